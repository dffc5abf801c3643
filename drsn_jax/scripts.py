"""What every experiment script needs around its work: options, a preset, progress, errors in one sentence."""

import argparse
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Options = TypeVar("Options")


def parse(
    options: type[Options], description: str | None, presets: Mapping[str, Options], arguments: Sequence[str] | None = None
) -> Options:
    """Options from the command line; ``--preset NAME`` sets the defaults that the other options then change.

    Needs tyro (extra ``experiments``). Leaves with code 2 and a message where an option is wrong.
    """
    import tyro

    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default=next(iter(presets)))
    name = first.parse_known_args(arguments)[0].preset
    # an unknown name is left to the full parser, which says what there is
    default = presets.get(name, next(iter(presets.values())))
    return tyro.cli(options, args=arguments, default=default, description=description)


def run(main: Callable[[], None]) -> None:
    """Call ``main`` and leave the process: what the user can mend is told in one sentence and ends with code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without some character gets another one
            stream.reconfigure(errors="replace")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command with --out on this run's folder continues it")
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        sys.exit(f"error: {error}")


def default_out(script: str) -> Path:
    """``runs/<script>-<UTC time>``, a name that is not taken."""
    base = Path("runs") / f"{script}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    out, number = base, 2
    while out.exists():
        out, number = base.with_name(f"{base.name}-{number}"), number + 1
    return out


def duration(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``3 min 20 s``, ``2 h 05 min``, ``5 days 3 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


class Progress:
    """A bar with the time left on a terminal, plain lines elsewhere; a context manager. Needs rich (extra ``experiments``)."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = Console()
        self._bar: Any = None
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("time left"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, what: str, amount: int = 1) -> None:
        """``amount`` of the total is done; ``what`` stands beside the bar."""
        if self._bar:
            self._bar.update(self._task, advance=amount, description=what)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, flush=True)
