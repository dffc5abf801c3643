"""What the readers of all formats share: the signal they return, the error they raise, and conversions of arrays."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError, optional

DEFLATE = 1100  # deflate, which these formats compress with, makes data up to 1032 times smaller


class RecordingError(UserError):
    """Something is wrong with the user's files: what was found, where, and what to do, in one line."""

    def __init__(self, message: str) -> None:
        # names of files and variables may hold line breaks
        super().__init__(" ".join(message.splitlines()))


@dataclass(frozen=True, eq=False)
class Signal:
    """A signal in a file.

    Fields:
      length: in samples.
      channels: how many.
      sampling_rate: in Hz; None where the format holds none.
      read: ``(start, stop) -> (stop - start, channels)`` float32, an array of the caller's own; sample values as stored, those
        of audio files from -1 to 1.
      mapped: the same ``(length, channels)`` as a read-only memory map of the file, where that holds it just so.
    """

    length: int
    channels: int
    sampling_rate: float | None
    read: Callable[[int, int], np.ndarray]
    mapped: np.ndarray | None = None


def check_promise(where: str, promised: int, stored: int) -> None:
    """RecordingError where so few stored bytes cannot unpack to the promised ones: a damaged header must not fill the memory."""
    if promised > DEFLATE * stored:
        raise RecordingError(f"{where} is damaged: it promises {promised} bytes and {stored} are stored, get it again")


@contextlib.contextmanager
def damage(file: Path, kind: str) -> Iterator[None]:
    """Whatever a library raises over a broken file is one sentence."""
    try:
        yield
    except (RecordingError, ImportError, MemoryError):
        raise
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"{file} is damaged or no {kind} file, get it again or save it anew: {told[:200]}") from error


def in_memory(values: np.ndarray, sampling_rate: float | None = None) -> Signal:
    return Signal(len(values), values.shape[1], sampling_rate, lambda start, stop: as_float32(values[start:stop]))


def columns(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one row or column each as the columns of one."""
    return np.stack([values.ravel() for values in arrays], 1)


def as_float32(values: np.ndarray) -> np.ndarray:
    """A copy as float32; a number beyond its range becomes infinite, and is found as such."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(values, np.float32, order="C")


def is_numeric(kind: np.dtype) -> bool:
    return kind.kind in "iuf" and kind.itemsize <= 8


def library(name: str) -> Any:
    """Import a library that only some formats need; MissingExtra, which names the extra, where it is not installed."""
    return optional(name, "reading this kind of file")
