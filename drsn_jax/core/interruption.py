"""Ctrl-C: without a traceback while libraries are imported, and never swallowed by a callback of a library.

This module is imported before any other of the package, and imports nothing that takes time.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

AGAIN_SECONDS = 0.05  # after which a callback that swallowed an interruption has returned


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
    usual, timers = sys.unraisablehook, list[threading.Timer]()

    def hook(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            usual(unraisable)
            return
        timers.append(threading.Timer(AGAIN_SECONDS, _interrupt))
        timers[-1].daemon = True
        timers[-1].start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        for timer in timers:
            timer.cancel()


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
