"""Files that hold several arrays: which of them is the signal, and which sampling rate the others tell.

A reader lists the arrays of a file as ``Held``, each with a function that reads rows of it, and ``signal_of`` does the rest.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drsn_jax.data.formats.axes import is_frequency, jump, may_be_axis, of_axis
from drsn_jax.data.formats.channels import Variable, choose, has_columns, needs_looks
from drsn_jax.data.formats.common import RecordingError, Signal, as_float32, is_numeric
from drsn_jax.data.formats.looks import MOST, look, parts, several, tells_which
from drsn_jax.data.formats.rates import Rate, may_mention, mentioned, surest, with_unit, with_units


def unread(start: int, stop: int) -> np.ndarray:
    """Stand for the numbers of an array that cannot be read."""
    raise TypeError("this array cannot be read")


@dataclass(frozen=True, eq=False)
class Held:
    """An array that a file holds.

    Fields:
      kind: its type in the words of the file, for messages.
      shape: as the file's user knows it; empty for what is no array of numbers.
      part: ``(start, stop) -> rows``, the rows from ``start`` to ``stop``. A row or column of numbers has rows of one number,
        ``(n, 1)``; a matrix keeps its rows, ``(n, columns)``.
      numeric: whether it holds real numbers.
      name: of the array; a dotted path for a field of a struct.
      alias: a second name.
      holds: whether signals may lie in it that cannot be read.
      text: what it says, for text.
      cells: what an array of texts says, one for each row; None for other arrays.
      stated: the unit of its numbers in the words of the file; empty where it states none.
      hints: rates that attributes of the array mention.
      unit: seconds of one unit, for dates.
      check: raises an error where numbers are missing that the file promises.
      fresh: whether ``part`` returns arrays that nobody else holds.
      bare: whether the columns are named by their numbers alone, because the file holds nothing else.
    """

    kind: str
    shape: tuple[int, ...] = ()
    part: Callable[[int, int], np.ndarray] = unread
    numeric: bool = False
    name: str = ""
    alias: str = ""
    holds: bool = False
    text: str = ""
    cells: Callable[[], np.ndarray] | None = None
    stated: str = ""
    hints: tuple[Rate, ...] = ()
    unit: float | None = None
    check: Callable[[], None] = lambda: None
    fresh: bool = False
    bare: bool = False

    @property
    def is_row(self) -> bool:
        """Whether it holds one row or column of numbers or dates."""
        return (self.numeric or self.unit is not None) and math.prod(self.shape) == max(self.shape, default=1) > 0

    @property
    def length(self) -> int:
        """The number of its rows: of all numbers, where they lie in one row or column."""
        return math.prod(self.shape) if self.is_row or not self.shape else self.shape[0]

    def sample(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the places and the numbers of the parts of a column that are looked at."""
        self.check()
        places = parts(self.length)
        numbers = [self.part(start, stop)[:, column] for start, stop in places]
        return np.concatenate([np.arange(*place) for place in places]), np.concatenate(numbers)

    def look(self, column: int = 0) -> str:
        """Return what the numbers of a column look like, see ``looks.look``."""
        rows, values = self.sample(column)
        return look(values, rows)


def of_array(values: np.ndarray, **fields: Any) -> Held:
    """Return an array in memory, of any type and shape, as ``Held``; ``fields`` are its other fields."""
    numeric = is_numeric(values.dtype)
    rows = values.reshape(-1, 1) if values.size == max(values.shape, default=0) or values.ndim < 2 else values
    return Held(**{"kind": str(values.dtype), "numeric": numeric, **fields}, shape=values.shape, part=lambda a, b: rows[a:b])


def signal_of(held: Sequence[Held], channel: str, where: str, hints: Iterable[Rate | None] = ()) -> Signal:
    """Return the signal that ``channel`` means among the arrays of a file, with the rate that the file mentions.

    ``hints`` are rates that the file mentions outside its arrays. Raises RecordingError as ``choose`` and ``agreed`` do.
    """
    variables, places = _variables(held, looked=needs_looks(channel))
    names = choose(variables, channel, where)
    chosen = [places[name] for name in names]
    length = chosen[0][0].length
    for array, _ in chosen:
        array.check()
    _check_one_recording(held, chosen, where)
    rate = surest([*hints, *_mentioned(held, chosen), *_axes(held, chosen, where)], where) or Rate(0.0, "")

    arrays = list({id(array): array for array, _ in chosen}.values())
    columns = [column for _, column in chosen]

    def wide(start: int, stop: int) -> np.ndarray:
        # an array of several channels is read once
        read_once = {id(array): array.part(start, stop) for array in arrays}
        if len(arrays) > 1:
            return np.stack([read_once[id(array)][:, column] for array, column in chosen], 1)
        (values,) = read_once.values()
        return values if columns == [*range(values.shape[1])] else values[:, columns]

    def read(start: int, stop: int) -> np.ndarray:
        values = wide(start, stop)
        own = len(arrays) == 1 and arrays[0].fresh and values.dtype == np.float32 and values.flags.c_contiguous
        return values if own else as_float32(values)

    rounded = not all(np.can_cast(array.part(0, 1).dtype, np.float32) for array in arrays)
    only = len(held) == 1 and held[0].bare and held[0].is_row
    channel = "" if only else " + ".join(names)
    return Signal(
        length, len(chosen), rate.hertz or None, read, None, channel, rate.source, rate.within, wide if rounded else None
    )


def _variables(held: Sequence[Held], looked: bool) -> tuple[list[Variable], dict[str, tuple[Held, int]]]:
    """Describe the arrays, each column of a matrix for itself, and say which array and column a name means.

    The numbers are looked at where that decides what is taken.
    """
    variables: list[Variable] = []
    places: dict[str, tuple[Held, int]] = {}
    matrices = [array for array in held if _is_matrix(array)]
    for array in held:
        columns = range(1)
        if array in matrices:
            columns = range(array.shape[1])
            names = [str(k + 1) if array.bare else f"{array.name}.{k + 1}" for k in columns]
            # a number alone is enough where there is one matrix
            aliases = [str(k + 1) if len(matrices) == 1 else f"{array.alias}.{k + 1}" if array.alias else "" for k in columns]
            shapes = [(array.shape[0],)] * len(columns)
            if not looked and not array.bare:  # its name finds it, for a message
                variables.append(Variable(array.name, array.kind, True, array.shape, "", array.alias))
        else:
            names, aliases, shapes = [array.name], [array.alias], [array.shape]
        for column, name, alias, shape in zip(columns, names, aliases, shapes, strict=True):
            seen = looked and array.numeric and math.prod(shape) > 1 and len(shape) <= 2
            found = array.look(column) if seen and (array.is_row or array in matrices) else _constant(array) if seen else ""
            variables.append(Variable(name, array.kind, array.numeric, shape, found, alias, array.holds))
            places[name] = array, column
    return variables, places


def _constant(array: Held) -> str:
    """Return ``"constant"`` for a matrix whose first and last rows hold one number."""
    ends = [array.part(row, row + 1) for row in (0, array.shape[0] // 2, array.shape[0] - 1)]
    return "constant" if all((values == ends[0].flat[0]).all() for values in ends) else ""


def _beside(array: Held, chosen: Sequence[tuple[Held, int]]) -> bool:
    """Return whether an array lies beside, or above, all the chosen ones in the groups and structs of a file."""
    folder = array.name[: max(array.name.rfind("."), array.name.rfind("/")) + 1]
    folder = folder.removesuffix("x_values.")  # beside y_values, in structs of Test.Lab
    return all(one.name.startswith(folder) or one.alias.startswith(folder) for one, _ in chosen)


def _mentioned(held: Sequence[Held], chosen: Sequence[tuple[Held, int]]) -> list[Rate | None]:
    """Return the rates that attributes of the chosen arrays, and numbers or texts beside them, mention by their names."""
    rates: list[Rate | None] = [hint for array, _ in chosen for hint in array.hints]
    named: dict[str, object] = {}
    for array in held:
        if any(array is one for one, _ in chosen) or not _beside(array, chosen):
            continue
        value: object = array.text
        if array.numeric and array.is_row and may_mention(array.name):
            _, values = array.sample(0)
            value = values[0] if (values == values[0]).all() else ""  # one number, or a column that repeats it
            if array.stated and value != "":
                value = with_unit(float(values[0]), array.stated)
        named[array.name] = value
    return rates + [mentioned(name, value, f"its {name}") for name, value in with_units(named).items() if may_mention(name)]


def _axes(held: Sequence[Held], chosen: Sequence[tuple[Held, int]], where: str) -> list[Rate | None]:
    """Return the rates of the time axes that are as long as the chosen signal.

    Raises RecordingError for one that jumps.
    """
    rates: list[Rate | None] = []
    tops = {_top(one.name) for one, _ in chosen}
    for array in held:
        matrix = _is_matrix(array)
        if array.length != chosen[0][0].length or not (array.is_row or matrix):
            continue
        if not _beside(array, chosen) and _top(array.name) not in tops:
            continue
        for column in range(array.shape[1] if matrix else 1):
            names = [f"{name}.{column + 1}" if matrix else name for name in (array.name, array.alias) if name]
            name = next((n for n in names if may_be_axis(n)), None)
            if name is None and array.unit is None and not array.bare:
                continue
            if any(array is one and column == k for one, k in chosen):
                continue
            rows, values = array.sample(column)
            if name and (row := jump(name, values, rows)) is not None:
                raise RecordingError(
                    f"{where}: its {name} jumps before sample {row}, so samples are missing: cut the recording there"
                )
            source = f"the steps of its {f'column {column + 1}' if array.bare else names[0]}"
            rates.append(of_axis(name or "", values, source, rows=rows, unit=array.unit))
    return rates


def _check_one_recording(held: Sequence[Held], chosen: Sequence[tuple[Held, int]], where: str) -> None:
    """Raise RecordingError where an array beside the signal, as long as it, is the axis of a spectrum, or tells that its samples
    belong to several sensors or classes."""
    length = chosen[0][0].length
    for array in held:
        struct = array.name.removesuffix("x_values.quantity.label")  # of Test.Lab
        if array.text.lower() == "hz" and struct != array.name and all(one.name.startswith(struct) for one, _ in chosen):
            raise RecordingError(f"{where} holds a spectrum ({array.name} is Hz): give the recording itself, over time")
        if array.cells is not None and tells_which(array.name) and _beside(array, chosen) and len(array.cells()) == length:
            texts = np.unique(array.cells()).tolist()
            if 1 < len(texts) <= MOST:
                raise RecordingError(several(where, array.name, [str(text) for text in texts]))
        beside = array.is_row and array.numeric and array.length == length > 2 and _beside(array, chosen)
        if not beside or any(array is one for one, _ in chosen):
            continue
        if is_frequency(array.name, array.look()):
            raise RecordingError(f"{where} holds a spectrum over {array.name}: give the recording itself, over time")
        if tells_which(array.name) and array.look() == "labels":
            values = np.unique(array.sample(0)[1])
            raise RecordingError(several(where, array.name, [f"{value:g}" for value in values]))


def _is_matrix(array: Held) -> bool:
    """Return whether the columns of an array may be signals of their own."""
    return array.numeric and not array.is_row and has_columns(array.shape)


def _top(name: str) -> str:
    """Return the first part of a path: the variable of a file in which a field lies."""
    return name.partition(".")[0].partition("/")[0].partition("(")[0]
