"""Which signals of a file a channel means.

A channel is the name of a variable or column, or a pattern for it with ``*`` and ``?``, or, where they have no names, a number
from 1. Several, joined by ``+``, become the channels of one signal. An empty one takes the only candidate.

A field of a struct has a dotted path, ``bearing.gs``; a column of a matrix has its number behind the name, ``data.2``.
"""

import fnmatch
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drsn_jax.data.formats.common import RecordingError

HOW = "name the channel, by --channel NAME or in the column channel of a table"
AXES = frozenset({"constant", "row numbers", "rising numbers", "a time axis"})  # looks that may lie beside the only signal
MOST_COLUMNS = 64  # a matrix with more columns holds windows rather than channels
FEW_COLUMNS = 8  # a matrix with more may hold windows
LISTED = 20  # names in a message


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
      alias: a second name that a user may choose it by.
      holds: whether signals may lie in it that cannot be read, as in a table or a list column. No other signal of the file is
        then taken unasked.
    """

    name: str
    kind: str
    numeric: bool
    shape: tuple[int, ...]
    look: str = ""
    alias: str = ""
    holds: bool = False

    @property
    def is_row(self) -> bool:
        """Whether it holds numbers in one row or column."""
        return self.numeric and math.prod(self.shape) == max(self.shape, default=0)

    @property
    def is_candidate(self) -> bool:
        """Whether it has to be ruled out before another signal is taken unasked."""
        return self.holds or (self.numeric and math.prod(self.shape) > 1)


def is_pattern(channel: str) -> bool:
    """Return whether a channel may fit several names."""
    return any(mark in channel for mark in "*?[")


def needs_looks(channel: str) -> bool:
    """Return whether ``channel`` leaves open which signals are meant, so that what their numbers look like decides."""
    return not channel or is_pattern(channel)


def pick(names: Sequence[str], channel: str, where: str) -> list[str]:
    """Return the names that ``channel`` means, in the order of its parts.

    For example ``pick(["a_x", "a_y", "b"], "b + *_x", "file.csv")`` is ``["b", "a_x"]``.

    A pattern that fits several names means all of them, in the order of the file. Raises RecordingError where a part of
    ``channel`` fits no name, or without a pattern several, and where ``channel`` is empty although there are several names.
    """
    if not names:
        raise RecordingError(f"{where} holds no numeric signal, expected real numbers in one row or column")
    if not channel:
        if len(names) > 1:
            raise RecordingError(f"{where} holds {len(names)} signals ({_listed(names)}): {HOW}")
        return list(names)

    def fitting(part: str) -> list[str]:
        return [name for name in names if name == part] or [name for name in names if fnmatch.fnmatchcase(name, part)]

    return _by_parts(names, channel, where, fitting)


def choose(variables: Sequence[Variable], channel: str, where: str) -> list[str]:
    """Return the names of the variables that ``channel`` means.

    An empty channel takes the only candidate: two numbers or more in one row or column, and nothing else in the file that may be
    a signal, of whatever shape. What looks like a time axis, row numbers or a constant may lie beside it.

    Raises RecordingError as ``pick``, for a variable that is not a signal, and for variables of different lengths.
    """
    if not channel:
        return [_only(variables, where)]
    if not variables:
        raise RecordingError(f"{where} holds no numeric signal, expected real numbers in one row or column")
    offered = [v.name for v in variables if v.is_row and math.prod(v.shape) > 1]
    names = _by_parts([v.name for v in variables], channel, where, lambda part: _fitting(variables, part), offered)
    chosen = [next(v for v in variables if v.name == name) for name in names]
    for variable in chosen:
        _check(variable, where)
    lengths = {v.name: math.prod(v.shape) for v in chosen}
    if len(set(lengths.values())) > 1:
        raise RecordingError(f"{where}: the channels differ in length ({', '.join(f'{k}: {v}' for k, v in lengths.items())})")
    return names


def numbered(count: int, channel: str, where: str) -> list[int]:
    """Return the indices from 0 of the channels that are meant, where a file has ``count`` channels without names.

    All are meant by ``*``, because none of them can be a time axis or another column that is no signal, as named ones can.
    """
    if channel.strip() == "*":
        return list(range(count))
    return [int(name) - 1 for name in pick([str(i + 1) for i in range(count)], channel, where)]


def _by_parts(
    names: Sequence[str], channel: str, where: str, fitting: Callable[[str], list[str]], offered: Sequence[str] = ()
) -> list[str]:
    """Return the name that fits each part of ``channel``, or all that a pattern fits; a name may itself hold the sign ``+``.

    The message for a part that fits none offers the names ``offered``, or all.
    """
    if names.count(channel) == 1:
        return [channel]
    picked = []
    for part in (part.strip() for part in channel.split("+")):
        found = fitting(part)
        if not found:
            paths = tuple(f"{part}{sign}" for sign in "./({") if part else ()
            inside = [[name for name in among if name.startswith(paths)] for among in (offered, names)]
            shown = next(filter(None, (*inside, offered)), names)
            raise RecordingError(f"{where} holds no signal {part!r}, choose one of {_listed(shown)}")
        if len(found) > 1 and not is_pattern(part):
            raise RecordingError(f"{where}: {part!r} fits {len(found)} signals ({_listed(found)}), choose one of them")
        picked += found
    if len(set(picked)) < len(picked):
        raise RecordingError(f"{where}: the channel {channel!r} means the same signal twice")
    return picked


def _fitting(variables: Sequence[Variable], part: str) -> list[str]:
    """Return the names of the variables that a name or a pattern fits best.

    A whole name comes before a pattern, a row or column of numbers before anything else, and a path from the file's root before
    the end of one: ``gs`` finds ``bearing.gs``. A sign / before a path of HDF5 is passed over.
    """
    part = part.removeprefix("/") or part
    rows = [v for v in variables if v.is_row and math.prod(v.shape) > 1]

    def by_name(pattern: str) -> Callable[[Variable], bool]:
        return lambda v: any(fnmatch.fnmatchcase(name, pattern) for name in (v.name, v.alias) if name)

    for among, fits in (
        (variables, lambda v: v.name == part),
        (variables, lambda v: v.alias == part != ""),
        (rows, by_name(part)),
        (variables, by_name(part)),
        (rows, lambda v: part != "" and any(name.endswith((f".{part}", f"/{part}")) for name in (v.name, v.alias))),
    ):
        if found := [v for v in among if fits(v)]:
            # a pattern means signals: a time axis that it happens to fit is none
            signals = [v for v in found if v.look not in AXES] if is_pattern(part) else found
            return [v.name for v in signals or found]
    return []


def _check(variable: Variable, where: str) -> None:
    """Raise RecordingError for a variable that is not one row or column of numbers."""
    name, shape = variable.name, variable.shape
    if not variable.numeric:
        raise RecordingError(f"{where}: {name} is of type {variable.kind}, expected an array of real numbers{_way_out(variable)}")
    if math.prod(shape) == 0:
        raise RecordingError(f"{where}: {name} is empty, expected samples")
    if shape == ():
        raise RecordingError(f"{where}: {name} has the shape (), a single number, expected samples")
    if not variable.is_row:
        raise RecordingError(
            f"{where}: {name} has the shape {shape}, expected one signal, (n, 1) or (1, n): {advice(name, shape)}"
        )


def advice(name: str, shape: tuple[int, ...]) -> str:
    """Return what to do with an array of more than one row and column that was taken for a signal."""
    if len(shape) == 2 and min(shape) <= MOST_COLUMNS:
        rows, columns = shape
        if rows >= columns:
            windows = ", or give --windows-given if its rows are windows already cut" if columns > FEW_COLUMNS else ""
            return f"name its columns, from {name}.1 to {name}.{columns}{windows}"
        return "transpose it if its rows are channels, or give --windows-given if they are windows already cut"
    return "it looks like windows already cut, which --windows-given takes as they are"


def has_columns(shape: tuple[int, ...]) -> bool:
    """Return whether the columns of an array may be signals of their own, ``(n, channels)``."""
    return len(shape) == 2 and 1 < shape[1] <= min(MOST_COLUMNS, shape[0])


def _only(variables: Sequence[Variable], where: str) -> str:
    """Return the name of the variable that is taken where the user names none. Raises RecordingError where that is in doubt."""
    candidates = [v for v in variables if v.is_candidate]
    likely = [v for v in candidates if v.look not in AXES]
    if len(likely) == 1 and likely[0].is_row and not likely[0].look:
        return likely[0].name
    if len(candidates) == 1 and candidates[0].look == "constant" and candidates[0].is_row:
        return candidates[0].name  # a dead channel, which is refused with its value when it is read
    if not candidates:
        for variable in variables:
            if variable.numeric and math.prod(variable.shape) == 0:
                raise RecordingError(f"{where} holds no numeric signal: {variable.name} is empty, expected samples")
        raise RecordingError(f"{where} holds no numeric signal, expected real numbers in one row or column")
    listed = _listed([described(v) for v in candidates])
    for windows in likely:
        if windows.numeric and not windows.is_row and not has_columns(windows.shape):
            rows = windows.shape[0]
            labels = [v.name for v in candidates if v.is_row and math.prod(v.shape) == rows and v.look in ("", "labels")]
            beside = f", perhaps with their labels in {' or '.join(labels)}" if labels else ""
            shape = f"{windows.name} has the shape {windows.shape}{beside}"
            held = f" ({listed})" if len(candidates) > 1 else ""
            raise RecordingError(
                f"{where} holds no single signal{held}: {shape}, expected (n, 1) or (1, n): {advice(windows.name, windows.shape)}"
            )
    if len(candidates) == 1 and candidates[0].holds:
        raise RecordingError(
            f"{where} holds no numeric signal: {candidates[0].name} is of type {candidates[0].kind}, expected an array of "
            f"real numbers{_way_out(candidates[0])}"
        )
    if not likely or len(candidates) == 1:
        raise RecordingError(f"{where} holds nothing that looks like a signal ({listed}): if one of them is one, {HOW}")
    unread = next((v for v in candidates if v.holds), None)
    more = f"; {unread.name} cannot be read{_way_out(unread)}" if unread else f", for example {_example(likely)}"
    wide = next((v.name.rpartition(".")[0] for v in candidates if v.name.endswith(f".{FEW_COLUMNS + 1}")), "")
    more += f"; if the rows of {wide} are windows already cut, give --windows-given" if wide else ""
    raise RecordingError(f"{where} holds {len(candidates)} signals ({listed}): {HOW}{more}")


def _way_out(variable: Variable) -> str:
    """Return how to save the numbers of a variable that cannot be read."""
    if "list of" in variable.kind:
        return ": save each of its waveforms as an array"
    if "list" in variable.kind:
        return ": it holds a waveform in each row, which --windows-given takes as windows"
    return {
        "table": ": save its columns as arrays, for example x = T.x",
        "timetable": ": save its columns as arrays, for example x = T.x",
        "complex": ": save abs(x) or real(x)",
        "sparse": ": save full(x)",
    }.get(variable.kind, ": save its numbers as an array" if variable.holds else "")


def described(variable: Variable) -> str:
    """Return the name, the shape and the look of a variable for a list: ``"t [3000 x 1, a time axis]"``."""
    shape = " x ".join(map(str, variable.shape)) if variable.numeric else variable.kind
    return f"{variable.name[:100]} [{', '.join(filter(None, (shape, variable.look)))}]"


def _example(variables: Sequence[Variable]) -> str:
    """Return the name of a variable that may be a signal."""
    rows = [v for v in variables if v.is_row] or variables
    return max(rows, key=lambda v: (not v.look, math.prod(v.shape))).name[:100]


def _listed(names: Sequence[str]) -> str:
    """Join the first names for a message."""
    return ", ".join(name[:160] for name in names[:LISTED]) + (", …" if len(names) > LISTED else "")
