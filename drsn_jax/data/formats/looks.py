"""What an array of numbers looks like, so that a time axis, row numbers or labels are not taken for a signal."""

import re
from collections.abc import Sequence

import numpy as np

STEADY = 1e-3  # of the step
FEW = 64  # labels have at most so many different values
MANY = 8  # so many numbers that rise one after another do not do so by chance
AT_ONCE = 1 << 16  # numbers in one of the three parts of a long array that are looked at
MOST = 64  # sensors or classes that one file holds
# names of columns that tell which sensor or class a line belongs to
_WHICH = re.compile(
    r"(sensor|channel|device|node|axis|kanal|file|run|experiment|bearing|machine)(s|id|name|number|no|nr)?"
    r"|labels?|class(es)?|fault(s|type|class)?|condition|target|id|category|klasse|zustand|fehler"
)


def tells_which(name: str) -> bool:
    """Return whether the name of a column says that it tells the sensor or the class of each sample: ``label``, ``Sensor ID``."""
    return _WHICH.fullmatch(re.sub(r"[^a-z]", "", re.split(r"[./]", name.strip())[-1].lower())) is not None


def several(where: str, column: str, values: Sequence[str]) -> str:
    """Return the message for a file whose ``column`` tells, by several ``values``, that it holds several recordings."""
    listed = ", ".join(value[:20] for value in values[:5]) + (", …" if len(values) > 5 else "")
    return f"{where} holds several recordings: its {column} says {listed}; save each in a file of its own"


def parts(length: int) -> list[tuple[int, int]]:
    """Return the parts ``(start, stop)`` of an array that are looked at: all of it, or its beginning, middle and end."""
    if length <= 3 * AT_ONCE:
        return [(0, length)]
    middle = (length - AT_ONCE) // 2
    return [(0, AT_ONCE), (middle, middle + AT_ONCE), (length - AT_ONCE, length)]


def look(values: np.ndarray, rows: np.ndarray | None = None) -> str:
    """Return what the numbers of one row or column look like where that is no signal, and an empty text for a signal.

    The looks are ``"constant"``, ``"row numbers"`` (rising by one), ``"a time axis"`` (rising by a steady step), ``"rising
    numbers"`` (never falling, as a counter or the times of unsteady samples), and ``"labels"`` (a few whole numbers that stay the
    same for long, or come again and again and begin at 0 or 1). Fewer than three numbers have no look.

    Args:
      values: the numbers.
      rows: their places in the array, where only parts of it are given.
    """
    values = np.asarray(values).ravel()
    if values.size < 3 or not np.isfinite(values).all():
        return ""
    begins, whole = float(values[0]), bool(np.all(values == np.round(values)))
    values = from_first(values)
    if values.min() == values.max():
        return "constant"
    step = steady_step(values, rows, largest=abs(begins))
    if step is not None:
        return "row numbers" if abs(step) == 1 and begins.is_integer() else "a time axis"
    changes = np.diff(values)
    if whole:
        different = np.unique(values)
        rare = np.count_nonzero(changes) < values.size / 10
        again = different[0] + begins in (0, 1) and different[-1] + begins < FEW and 4 * different.size <= values.size
        if different.size <= FEW and (rare or again):
            return "labels"
    if np.count_nonzero(changes) >= MANY - 1 and (np.all(changes >= 0) or np.all(changes <= 0)):
        return "rising numbers"
    return ""


def from_first(values: np.ndarray) -> np.ndarray:
    """Return how far the numbers lie from the first one, as float64. Large whole numbers, such as nanoseconds, lose nothing."""
    exact = np.longdouble if values.dtype.kind in "iu" and values.dtype.itemsize == 8 else np.float64
    values = values.astype(exact)
    return (values - values[0]).astype(np.float64)


def steady_step(values: np.ndarray, rows: np.ndarray | None = None, largest: float = 0.0) -> float | None:
    """Return the step of an axis, a row or column that rises or falls by the same amount everywhere; None for another array.

    The numbers of an axis are rounded as the file wrote them, so each may be off by what float32 or six written digits lose.

    Args:
      values: the numbers.
      rows: their places in the array, where only parts of it are given.
      largest: a number of the array before a constant was taken from it, which says how coarse float32 is.
    """
    values = np.asarray(values, np.float64).ravel()
    if values.size < 3 or not np.isfinite(values).all():
        return None
    rows = np.arange(values.size) if rows is None else rows
    step = (values[-1] - values[0]) / (rows[-1] - rows[0])
    if step == 0:
        return None
    off = np.abs(values - (values[0] + step * (rows - rows[0]))).max()
    # a few numbers must lie on the line; in many, those that were rounded to more than a step may lie beside it
    allowed = (STEADY if values.size < 16 else 1.0) * abs(step)
    rounded = max(largest, abs(values[0]), abs(values[-1])) * 2.0**-22  # by float32
    return float(step) if off <= max(allowed, rounded) and np.all(np.diff(values) * step >= 0) else None
