"""Signals in files, and which of them a channel means.

A channel is the name of a variable or column, or a pattern for it with ``*`` and ``?``, or, where they have no names, a number
from 1. Several, joined by ``+``, become the channels of one signal; an empty one takes the only candidate.
"""

import contextlib
import fnmatch
import math
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


@dataclass(frozen=True)
class Variable:
    """What a file says of one of its arrays, before it is read: its name, its type in the file's words, whether these are real
    numbers, and its shape."""

    name: str
    kind: str
    numeric: bool
    shape: tuple[int, ...]


def pick(names: Sequence[str], channel: str, where: str) -> list[str]:
    """The names that ``channel`` means, in its order.

    Raises RecordingError where one of its parts fits no name, or several and is none of them exactly, or where nothing is asked
    for and there is a choice.
    """
    listed = ", ".join(name[:100] for name in names[:20]) + (", …" if len(names) > 20 else "")
    if not names:
        raise RecordingError(f"{where} holds no numeric signal, expected real numbers in one row or column")
    if channel in names and names.count(channel) == 1:
        return [channel]
    if not channel:
        if len(names) > 1:
            raise RecordingError(f"{where} holds {len(names)} signals ({listed}): name the channel")
        return list(names)
    chosen = []
    for part in (part.strip() for part in channel.split("+")):
        found = [name for name in names if name == part] or [name for name in names if fnmatch.fnmatchcase(name, part)]
        if not found:
            raise RecordingError(f"{where} holds no signal {part!r}, choose one of {listed}")
        if len(found) > 1:
            raise RecordingError(f"{where}: {part!r} fits {len(found)} signals ({', '.join(found[:20])}), choose one of them")
        chosen += found
    if len(set(chosen)) < len(chosen):
        raise RecordingError(f"{where}: the channel {channel!r} means the same signal twice")
    return chosen


def choose(variables: Sequence[Variable], channel: str, where: str) -> list[str]:
    """The names of the variables that ``channel`` means; without it the one that could be a signal (numbers in one row or column,
    more than one).

    Raises RecordingError as ``pick``, and for what is no signal or differs in length from another.
    """
    signals = [v for v in variables if channel or (v.numeric and math.prod(v.shape) == max(v.shape, default=0) > 1)]
    names = pick([v.name for v in signals], channel, where)
    found = {v.name: v for v in signals}
    for variable in (found[name] for name in names):
        shape = variable.shape
        if not variable.numeric:
            raise RecordingError(f"{where}: {variable.name} is of type {variable.kind}, expected an array of real numbers")
        if math.prod(shape) == 0:
            raise RecordingError(f"{where}: {variable.name} is empty, expected samples")
        if math.prod(shape) != max(shape, default=0):
            raise RecordingError(f"{where}: {variable.name} has the shape {shape}, expected one signal, (n, 1) or (1, n)")
    lengths = {name: math.prod(found[name].shape) for name in names}
    if len(set(lengths.values())) > 1:
        raise RecordingError(f"{where}: the channels differ in length ({', '.join(f'{k}: {v}' for k, v in lengths.items())})")
    return names


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


def numbered(count: int, channel: str, where: str) -> list[int]:
    """Which of ``count`` channels without names are meant."""
    return [int(name) - 1 for name in pick([str(i + 1) for i in range(count)], channel, where)]


def library(name: str) -> Any:
    """A library that is only needed for some formats."""
    return optional(name, "reading this kind of file")
