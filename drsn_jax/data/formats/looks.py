"""What an array of numbers looks like, so that a time axis, row numbers or labels are not taken for a signal."""

import numpy as np

STEADY = 1e-3  # of the step
FEW = 64  # labels have at most so many different values


def look(values: np.ndarray) -> str:
    """Return what the numbers of one row or column look like where that is no signal: ``"constant"``, ``"row numbers"`` (rising
    by one), ``"a time axis"`` (rising by a steady step), ``"labels"`` (a few whole numbers that stay the same for long). Return
    an empty text for everything else, and for fewer than three numbers.
    """
    values = np.asarray(values).ravel()
    if values.size < 3 or not np.isfinite(values).all():
        return ""
    values = values.astype(np.float64)
    if values.min() == values.max():
        return "constant"
    step = steady_step(values)
    if step is not None:
        return "row numbers" if abs(step) == 1 and float(values[0]).is_integer() else "a time axis"
    whole = np.all(values == np.round(values))
    if whole and len(np.unique(values[:10_000])) <= FEW and np.count_nonzero(np.diff(values)) < values.size / 10:
        return "labels"
    return ""


def steady_step(values: np.ndarray) -> float | None:
    """Return the step of an axis, a row or column that rises or falls by the same amount everywhere; None for another array.

    The numbers of an axis are rounded as the file wrote them, so each may be off by what float32 or six written digits lose.
    """
    values = np.asarray(values, np.float64).ravel()
    if values.size < 3 or not np.isfinite(values).all():
        return None
    step = (values[-1] - values[0]) / (values.size - 1)
    if step == 0:
        return None
    off = np.abs(values - (values[0] + step * np.arange(values.size))).max()
    # a few numbers must lie on the line; in many, those that were rounded to more than a step may lie beside it
    allowed = (STEADY if values.size < 16 else 1.0) * abs(step)
    rounded = max(abs(values[0]), abs(values[-1])) * 2.0**-22  # by float32
    return float(step) if off <= max(allowed, rounded) and np.all(np.diff(values) * step >= 0) else None
