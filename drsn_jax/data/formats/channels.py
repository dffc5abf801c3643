"""Which signals of a file a channel means.

A channel is the name of a variable or column, or a pattern for it with ``*`` and ``?``, or, where they have no names, a number
from 1. Several, joined by ``+``, become the channels of one signal. An empty one takes the only candidate.
"""

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import dataclass

from drsn_jax.data.formats.common import RecordingError


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


def numbered(count: int, channel: str, where: str) -> list[int]:
    """Which of ``count`` channels without names are meant."""
    return [int(name) - 1 for name in pick([str(i + 1) for i in range(count)], channel, where)]
