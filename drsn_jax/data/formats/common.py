"""What the readers of all formats share: the signal they return, the error they raise, and conversions of arrays."""

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core import memory
from drsn_jax.core.errors import FileWarning, UserError, optional

# errors of the system, not of a file: rights, a failing disk or share, no memory, too many open files
SYSTEM = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT)
DEFLATE = 1100  # deflate, which these formats compress with, makes data up to 1032 times smaller
COPIES = 2.7  # times of its size that an array takes while it is unpacked and converted
SAME = 1e-5  # relative: rates that differ by less are one rate that was written with different digits


class RecordingError(UserError):
    """An error in the user's files. Its message is one line: what was found, where, and what to do."""

    def __init__(self, message: str) -> None:
        # names of files and variables may hold line breaks
        super().__init__(" ".join(message.splitlines()))


class RecordingWarning(FileWarning):
    """A file is used although something about it had to be assumed, or is passed over. The message says what."""


@dataclass(frozen=True, eq=False)
class Signal:
    """A signal in a file.

    Fields:
      length: in samples.
      channels: how many.
      sampling_rate: in Hz; None where the format holds none.
      read: ``(start, stop) -> (stop - start, channels)``, float32, an array that the caller may change. The values are as
        stored; those of audio files are from -1 to 1.
      mapped: ``(length, channels)``, the whole signal as a read-only memory map, where the file stores it as float32; else None.
      channel: what was taken, as a user names it: ``"X097_DE_time"`` or ``"2 + 3"``. Empty where the file holds one signal
        without a name.
      rate_from: where in the file the rate was found, for messages: ``"its variable fs"``. Empty where ``sampling_rate`` is None.
      rate_within: how sure the rate is, relative to it. The steps of a time axis that was rounded leave more open than a number.
      wide: as ``read``, with the numbers as they are stored, for types that float32 cannot hold (float64, int32): a small signal
        on a large offset is lost when it is rounded. None where ``read`` loses nothing.
    """

    length: int
    channels: int
    sampling_rate: float | None
    read: Callable[[int, int], np.ndarray]
    mapped: np.ndarray | None = None
    channel: str = ""
    rate_from: str = ""
    rate_within: float = SAME
    wide: Callable[[int, int], np.ndarray] | None = None


def check_promise(where: str, promised: int, stored: int) -> None:
    """Raise RecordingError where so few stored bytes cannot unpack to the promised ones.

    Otherwise a damaged header could fill the memory.
    """
    if promised > DEFLATE * stored:
        raise RecordingError(f"{where} is damaged: it promises {promised} bytes and {stored} are stored, get it again")


def check_room(where: str, promised: int) -> None:
    """Raise RecordingError where an array that is read whole, of so many bytes, takes more memory than is free."""
    free = memory.available()
    if COPIES * promised > free:
        raise RecordingError(
            f"{where} has {promised / 1e9:.2f} GB, which is read whole and takes {COPIES * promised / 1e9:.2f} GB of memory "
            f"then, and {free / 1e9:.2f} GB are free: cut it, or save it as .npy or .wav, which are read in parts"
        )


@contextlib.contextmanager
def damage(file: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises over a broken file into a RecordingError of one sentence."""
    try:
        yield
    except (RecordingError, ImportError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in SYSTEM:  # the file may be whole
            raise RecordingError(f"{file} cannot be read: {os.strerror(error.errno)}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"{file} is damaged or no {kind} file, get it again or save it anew: {reason[:200]}") from error


@contextlib.contextmanager
def silent(library_name: str) -> Iterator[None]:
    """Keep the log of a library off the terminal: what it says there is checked, or raised, by the reader."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == library_name]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def in_memory(values: np.ndarray, sampling_rate: float | None = None) -> Signal:
    """Return an array ``(length, channels)`` that is in memory as a signal."""
    read = lambda start, stop: as_float32(values[start:stop])  # noqa: E731
    return Signal(len(values), values.shape[1], sampling_rate, read, wide=wide_reader(values))


def wide_reader(values: np.ndarray) -> Callable[[int, int], np.ndarray] | None:
    """Return ``Signal.wide`` of an array ``(length, channels)``; None for a type that float32 holds."""
    return None if np.can_cast(values.dtype, np.float32) else lambda start, stop: values[start:stop]


def columns(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack arrays of one row or one column each as the columns of one array ``(length, channels)``."""
    return np.stack([values.ravel() for values in arrays], 1)


def as_float32(values: np.ndarray) -> np.ndarray:
    """Return a copy as float32. A number beyond the range of float32 becomes infinite, which ``check_samples`` refuses later."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(values, np.float32, order="C")


def is_numeric(kind: np.dtype) -> bool:
    """Return whether samples of this type are real numbers of at most 64 bits."""
    return kind.kind in "iuf" and kind.itemsize <= 8


def library(name: str) -> Any:
    """Import a library that is needed for some formats only. Raises MissingExtra, which names the extra that installs it."""
    return optional(name, "reading this kind of file")
