"""Ctrl-C: without a traceback while libraries are imported, and never swallowed by a callback of a library.

This module is imported before any other of the package, and imports nothing that takes time.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

AGAIN_SECONDS = 0.05  # after which a callback that swallowed an interruption has usually returned


def end_at_once() -> None:
    """Let Ctrl-C end this process without a word, until ``heard``; a process that ignores it goes on to do so."""
    if _is(signal.default_int_handler):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt inside the block, and raise it again where a callback swallows it.

    Libraries run functions of Python where no exception can come out, as JAX does when Python collects garbage. Python then only
    prints an interruption that hits such a function, and the program goes on.
    """
    if _is(signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    usual, left = sys.unraisablehook, threading.Event()

    def again() -> None:
        # on a busy machine the hook may still run, and an interruption that hits the hook itself is lost
        while not left.wait(AGAIN_SECONDS):
            if not _runs(hook.__code__):
                _interrupt()
                return

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Thread(target=again, daemon=True).start()
        else:
            usual(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        left.set()


def _runs(code: CodeType) -> bool:
    """Return whether the main thread is inside a function, by its code."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def _is(handler: Any) -> bool:
    """Return whether this thread may set the handler of SIGINT, and it is ``handler`` now."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is handler


def _interrupt() -> None:
    """Send SIGINT to the main thread."""
    number = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and number is not None:
        signal.pthread_kill(number, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


# the command, as it is installed or by ``python -m drsn_jax``; a program that uses the package as a library is left alone
if sys.argv and (sys.argv[0] == "-m" or Path(sys.argv[0]).stem == "drsn-jax"):
    end_at_once()
