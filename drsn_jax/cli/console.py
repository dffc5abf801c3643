"""What a script says on the terminal: lines, a progress bar, errors in one sentence."""

import errno
import io
import os
import platform
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import jax

from drsn_jax.core import distributed, interruption, runtime
from drsn_jax.core.errors import FileWarning, UserError, missing_extra, options_named
from drsn_jax.core.text import visible, visible_lines

# Python raises these itself where a computation has a fault; training raises other ArithmeticErrors, as ``Diverged``
_FAULTS_OF_ARITHMETIC = (ZeroDivisionError, OverflowError, FloatingPointError)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(
    main: Callable[[], None], interrupted: str = "interrupted: the same command with --out on this run's folder continues it"
) -> None:
    """Call ``main`` and leave the process, with code 1 after an error and 130 after Ctrl-C, as shells have it (128 + SIGINT).

    What the user can mend is told in one sentence: a UserError, an OSError, a lack of memory, a training that diverged. Any
    other exception is a fault of the program: one line asks to report it, and the traceback follows. With
    ``DRSN_JAX_TRACEBACK=1`` the traceback is shown for all.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without some character gets another one
            stream.reconfigure(errors="replace")
    try:
        with interruption.heard(), options_named(), warnings.catch_warnings():  # which puts back what is shown now
            warnings.showwarning = _show_warning(warnings.showwarning)
            main()
    except KeyboardInterrupt:
        show_traceback_on_request()
        _leave(interrupted, 128 + signal.SIGINT)
    except BrokenPipeError:  # who read the output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        _leave(None)
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            _leave(visible_lines(f"{_report_request(error)}\n{''.join(traceback.format_exception(error)).rstrip()}"))
        show_traceback_on_request()
        # trainings that diverged are listed, a line for each; other messages hold names of files, which might forge a line
        _leave(f"error: {(visible_lines if isinstance(error, ArithmeticError) else visible)(sentence)}")


def _show_warning(usual: Callable[..., None]) -> Callable[..., None]:
    """Return ``warnings.showwarning`` that shows what concerns the user's files in one line, and everything else as usual."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, FileWarning):
            print(visible(f"warning: {message}"), file=sys.stderr)
        else:
            usual(message, category, *place, **options)

    return show


def _sentence(error: Exception) -> str | None:
    """Return what the user is told of an error; None for a fault of the program."""
    if isinstance(error, MemoryError):
        size = " ".join(str(error).split()) or "a large array"
        return f"there is not enough memory ({size}): take fewer or shorter windows, or a lower sampling rate"
    # a disk is full, and nobody has said more about it than the system
    if isinstance(error, OSError) and error.errno in _FULL and error.strerror == os.strerror(error.errno):
        written = f"{error.filename} could not be written" if error.filename else "a file could not be written"
        return f"{written} ({error.strerror}): make room, and the same command with --out on this run's folder goes on"
    if isinstance(error, UserError | OSError):
        return str(error)
    if isinstance(error, ArithmeticError) and not isinstance(error, _FAULTS_OF_ARITHMETIC):
        return str(error)
    if isinstance(error, ImportError) and (missing := missing_extra(error, "this command")) is not None:
        return str(missing)
    if isinstance(error, RuntimeError | AssertionError) and (refused := runtime.missing_platform(error)) is not None:
        return str(refused)
    if isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1:
        reason = (str(error).splitlines() or ["without a reason"])[0]
        return (
            f"the job of several processes has ended ({reason}): another process stopped or cannot be reached, its own message "
            "says why; the same commands with --out on this run's folder go on from the last checkpoint"
        )
    return None


def _report_request(error: Exception) -> str:
    """Return the line above the traceback of a fault of the program."""
    found = ", ".join(f"{name} {version}" for name, version in runtime.versions().items())
    return (
        f"fault: {type(error).__name__} inside the program, not in what it was given. Please report the command and all of the "
        f"following lines (Python {platform.python_version()}, {found})"
    )


def show_traceback_on_request() -> None:
    """Print the traceback of the exception that is being handled where ``DRSN_JAX_TRACEBACK`` is set, and not to 0."""
    if os.environ.get("DRSN_JAX_TRACEBACK", "0") not in ("", "0"):
        traceback.print_exc()


def say(text: str) -> None:
    """Print a line for the user, from process 0 alone."""
    if distributed.is_main_process():
        print(visible_lines(text), flush=True)


def remark(text: str) -> None:
    """Print a line for the user on standard error, from process 0 alone: beside answers that a program may read."""
    if distributed.is_main_process():
        print(visible_lines(text), file=sys.stderr, flush=True)


def _leave(message: str | None, code: int = 1) -> NoReturn:
    """Leave with a message on standard error and a code; without a message with code 0."""
    if jax.distributed.is_initialized():
        print(message or "", file=sys.stderr, flush=True)
        # not by the usual way, which waits for the other processes: they may wait for this one
        os._exit(code)
    if message is not None and code != 1:
        print(message, file=sys.stderr, flush=True)
        sys.exit(code)
    sys.exit(message)


def default_out(script: str) -> Path:
    """Make the folder ``runs/<script>-<UTC time>`` under a name that is not taken, and return it.

    Of several processes only the first makes it; the others have nothing to write. Raises UserError where it cannot be made.
    """
    base = Path("runs") / f"{script}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    if not distributed.is_main_process():
        return base
    out, number = base, 1
    try:
        base.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {base.parent} cannot be made ({error.strerror}): choose another by --out") from error
    while True:
        try:
            out.mkdir()  # two runs may begin in the same second: only one of them makes it
        except FileExistsError:
            number += 1
            out = base.with_name(f"{base.name}-{number}")
        except OSError as error:
            raise UserError(f"the folder {out} cannot be made ({error.strerror}): choose another by --out") from error
        else:
            return out


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``45 s``, ``3 min 20 s``, ``2 h 05 min``, ``5 days 3 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


class ProgressBar:
    """A bar with the time left on a terminal, elsewhere a plain line every few seconds; a context manager.

    Args:
      total: the number of epochs of all trainings.
      epochs: the number of epochs of one training; 0 where they differ.

    Needs rich (extra ``experiments``).
    """

    def __init__(self, total: int, epochs: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console: Any = Console()
        self._bar: Any = None
        self._total, self._done, self._begun = total, 0, time.monotonic()
        self._epochs, self._number, self._skipped = epochs, 0, 0
        self._told = self._begun
        if self.console.is_terminal and distributed.is_main_process():
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("time left"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "ProgressBar":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def epoch(self, what: str, number: int, amount: int = 1) -> None:
        """Move the bar on by the epoch ``number``, from 1, of ``amount`` trainings that are made together.

        A training that goes on from a checkpoint begins at a later epoch: those before it are done, and took no time of this run.
        """
        if number != self._number + 1 and number > 1:
            self._done, self._skipped = self._done + (number - 1) * amount, self._skipped + (number - 1) * amount
            if self._bar:  # the speed so far is forgotten, for these epochs would falsify it
                self._bar.reset(self._task, completed=self._done)
        self._number = number
        self.advance(f"{what}, epoch {number}{f' of {self._epochs}' if self._epochs else ''}", amount)

    def advance(self, what: str, amount: int = 1) -> None:
        """Move the bar on by ``amount``, in the unit of the total; ``what`` stands beside the bar."""
        self._done += amount
        if self._bar:
            self._bar.update(self._task, advance=amount, description=visible(what))
            return
        now = time.monotonic()
        # a line every five seconds at first, and every minute in a run of hours
        if now - self._told >= min(60.0, max(5.0, (now - self._begun) / 20)) and self._done < self._total:
            self._told = now
            left = (now - self._begun) / (self._done - self._skipped) * (self._total - self._done)
            say(f"{what}: {self._done} of {self._total} epochs, about {duration(left)} left")

    def say(self, text: str) -> None:
        """Print a line that stays above the bar."""
        if self._bar:
            self._bar.console.print(visible_lines(text), markup=False, highlight=False)
        else:
            say(text)
