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
    """An array of a file, as the file describes it before it is read.

    Fields:
      name: of the array.
      kind: its type in the words of the file, for messages.
      numeric: whether it holds real numbers.
      shape: of the array.
      look: what it looks like, where that is no signal (see ``looks.look``): ``"a time axis"``. Empty for a signal, and where
        its numbers were not looked at.
    """

    name: str
    kind: str
    numeric: bool
    shape: tuple[int, ...]
    look: str = ""


def pick(names: Sequence[str], channel: str, where: str) -> list[str]:
    """Return the names that ``channel`` means, in the order of its parts.

    For example ``pick(["a_x", "a_y", "b"], "b + *_x", "file.csv")`` is ``["b", "a_x"]``.

    Raises RecordingError where a part of ``channel`` fits no name, or is a pattern that fits several names, and where
    ``channel`` is empty although there are several names.
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
    picked = []
    for part in (part.strip() for part in channel.split("+")):
        fitting = [name for name in names if name == part] or [name for name in names if fnmatch.fnmatchcase(name, part)]
        if not fitting:
            raise RecordingError(f"{where} holds no signal {part!r}, choose one of {listed}")
        if len(fitting) > 1:
            raise RecordingError(f"{where}: {part!r} fits {len(fitting)} signals ({', '.join(fitting[:20])}), choose one of them")
        picked += fitting
    if len(set(picked)) < len(picked):
        raise RecordingError(f"{where}: the channel {channel!r} means the same signal twice")
    return picked


def choose(variables: Sequence[Variable], channel: str, where: str) -> list[str]:
    """Return the names of the variables that ``channel`` means.

    An empty channel takes the only variable that could be a signal: two numbers or more, in one row or column.

    Raises RecordingError as ``pick``, for a variable that is not a signal, and for variables of different lengths.
    """
    signals = [v for v in variables if channel or (v.numeric and math.prod(v.shape) == max(v.shape, default=0) > 1)]
    names = pick([v.name for v in signals], channel, where)
    by_name = {v.name: v for v in signals}
    for variable in (by_name[name] for name in names):
        shape = variable.shape
        if not variable.numeric:
            raise RecordingError(f"{where}: {variable.name} is of type {variable.kind}, expected an array of real numbers")
        if math.prod(shape) == 0:
            raise RecordingError(f"{where}: {variable.name} is empty, expected samples")
        if math.prod(shape) != max(shape, default=0):
            raise RecordingError(f"{where}: {variable.name} has the shape {shape}, expected one signal, (n, 1) or (1, n)")
    lengths = {name: math.prod(by_name[name].shape) for name in names}
    if len(set(lengths.values())) > 1:
        raise RecordingError(f"{where}: the channels differ in length ({', '.join(f'{k}: {v}' for k, v in lengths.items())})")
    return names


def numbered(count: int, channel: str, where: str) -> list[int]:
    """Return the indices from 0 of the channels that are meant, where a file has ``count`` channels without names."""
    return [int(name) - 1 for name in pick([str(i + 1) for i in range(count)], channel, where)]
