"""Time axes: the sampling rate that their steps tell, and the places where samples are missing."""

import math
import re

import numpy as np

from drsn_jax.data.formats.looks import from_first, steady_step
from drsn_jax.data.formats.rates import SAME, SECONDS, Rate, key_of

JUMP = 10.0  # steps of a time axis that are so many times as long as the others are a gap
SURE = 1e-3  # relative: a time axis whose steps leave more in doubt says no rate
# Hz: no vibration is sampled slower or faster, so the unit of a time axis that says so and does not write its unit is in doubt
SLOWEST, FASTEST = 100.0, 2e6
EPOCHS = {1e9: 1.0, 1e12: 1e-3, 1e15: 1e-6, 1e18: 1e-9}  # seconds of one unit, by the size of a time since 1970 in that unit
TIME_NAME = re.compile(
    r"(t|tt|time|times|zeit|zeitachse|temps|tiempo|tempo|czas|sekunden|elapsed|elapsedtime|timestamps?|seconds|secs?|datetime)"
    r"|(t|time|x)(vec|vector|axis|array|base|stamps?|values|data)"
)
FREQUENCY_NAME = re.compile(
    r"(freq|freqs|frequency|frequencies|frequenz|frequenzen|frequence|frecuencia|frequenza|orders?|ordnung)(axis|vector|vec|hz|khz)?"
)


def time_unit(name: str) -> float | None:
    """Return the seconds of one unit of an axis that ``name`` calls a time; None for another name, 0 where no unit is written.

    For example 0.001 for ``Time [ms]`` and ``t_ms``, 1 for ``time (s)`` and ``seconds``, 0 for ``t``.
    """
    key = key_of(name)
    if key in ("s", "sec", "secs", "seconds", "sekunden", "elapsedseconds"):
        return 1.0
    if key in ("ms", "milliseconds"):
        return 1e-3
    for ending in sorted(filter(None, SECONDS), key=len, reverse=True):
        # a unit stands apart from the name: "times" is no time in seconds
        if re.search(rf"[^a-zµμ]{ending}[^a-zµμ]*$", name.strip().lower()) and TIME_NAME.fullmatch(key.removesuffix(ending)):
            return SECONDS[ending]
    return 0.0 if TIME_NAME.fullmatch(key) else None


def is_frequency(name: str, seen: str, unit: str = "") -> bool:
    """Return whether ``name`` and ``unit`` are those of the axis of a spectrum: ``Frequency (Hz)``, ``f [kHz]``, ``Order``.

    ``seen`` is what its numbers look like, see ``looks.look``: they rise by a steady step. An ``order`` that counts rows is none.
    """
    stem = re.split(r"[\[(]", re.split(r"[./]", name.strip().lower())[-1])[0]
    key = re.sub(r"[^a-z]", "", stem)
    in_hertz = re.search(r"(?<![a-z])[km]?hz", f"{name} {unit}".lower()) is not None
    if seen not in ("a time axis", "row numbers") or (seen == "row numbers" and key.startswith("ord")):
        return False
    return FREQUENCY_NAME.fullmatch(key) is not None or (in_hertz and key in ("f", "x", "hz", "khz", "fhz", "xhz", "bin", "bins"))


def may_be_axis(name: str) -> bool:
    """Return whether an array of this name may be a time axis: its name is a time, a number, or empty."""
    return not name or name.rpartition(".")[2].isdigit() or time_unit(name) is not None


def of_axis(
    name: str, values: np.ndarray, source: str, *, rows: np.ndarray | None = None, unit: float | None = None
) -> Rate | None:
    """Return the rate of a time axis from its steps; None where it is no axis, or its steps are too unsteady to tell a rate.

    The rate is the roundest number that the rounding of the axis allows: times with six digits say 12000 Hz and not 11999.96.
    Whole numbers whose unit is not written count samples, or something else, and say no rate, except times since 1970.

    Args:
      name: of the axis; empty or a number where it has none. An axis with another name, which is no time, has no rate.
      values: its numbers.
      source: where they are, for messages.
      rows: their places in the axis, where only parts of it are given.
      unit: seconds of one unit, for an axis that is known to be a time; else its name says it.
    """
    values = np.asarray(values).ravel()
    if unit is None and not may_be_axis(name):
        return None
    if values.size < 3 or not np.isfinite(values).all():
        return None
    begins, coarse = float(values[0]), 2.0**-24 if values.dtype.itemsize <= 4 and values.dtype.kind == "f" else 2.0**-53
    known = unit or time_unit(name) or next((EPOCHS[size] for size in EPOCHS if size <= begins < 4 * size), 0.0)
    if not known and (values == np.round(values)).all():
        return None  # it counts samples, or something else than seconds
    values = from_first(values)
    rows = np.arange(values.size) if rows is None else rows
    step, within = _slope(values, rows, (abs(begins) + abs(values[-1])) * coarse)
    if step <= 0 or (np.diff(values) < 0).any() or within > SURE:
        return None
    if values.size < 16 and steady_step(values, rows, largest=abs(begins)) is None:
        return None
    hertz = 1 / (step * (known or 1.0))
    if not (known or SLOWEST <= hertz <= FASTEST):
        return None
    return Rate(roundest(hertz, within), source if known else f"{source}, read as seconds", max(within, SAME))


def jump(name: str, values: np.ndarray, rows: np.ndarray) -> int | None:
    """Return the row of a time axis before which samples are missing; None where it has no such place or is no axis.

    Samples are missing where a step is far longer than the others, which are of about one length.
    """
    if time_unit(name) is None or values.size < 16 or not np.isfinite(values).all():
        return None
    values = from_first(np.asarray(values).ravel())
    steps = np.diff(values)
    falls = steps < 0
    if falls.any():  # a time that begins anew falls at few places and is steady elsewhere
        usual = float(np.median(steps))
        steady = np.count_nonzero(np.abs(steps - usual) <= 0.5 * usual) > 0.95 * steps.size
        return int(rows[np.argmax(falls) + 1]) if usual > 0 and steady else None
    if not (steps > 0).any():
        return None
    steps = np.where(np.diff(rows) == 1, steps, 0.0)
    usual = max(float(np.median(steps)), float(steps[steps > 0].min()))  # a rounded axis may rise at some rows only
    last = int(np.argmax(steps))
    return int(rows[last + 1]) if steps[last] > JUMP * usual and np.count_nonzero(steps > 2 * usual) < steps.size / 10 else None


def _slope(values: np.ndarray, rows: np.ndarray, rounded: float) -> tuple[float, float]:
    """Fit a line to an axis. Returns its step and how much of it the distances from the line leave in doubt, relative to it.

    ``rounded`` is how far each number may lie from the line by its type alone.
    """
    middle = rows - rows.mean()
    step = float(np.dot(middle, values) / np.dot(middle, middle))
    if step == 0:
        return 0.0, math.inf
    off = values - values.mean() - step * middle
    # rounding is off now up, now down, and averages out; missing samples shift whole parts of the axis and do not
    shifted = max(abs(part.mean()) for part in np.array_split(off, 8) if part.size)
    largest = max(np.abs(off).max(), rounded)
    return step, float((4 * shifted + 8 * largest / math.sqrt(values.size)) / abs(values[-1]) + 2.0**-48)


def roundest(number: float, within: float) -> float:
    """Return the number with the fewest digits that differs from ``number`` by at most ``within`` of it."""
    for digits in range(1, 16):
        rounded = float(f"{number:.{digits}g}")
        if abs(rounded - number) <= within * abs(number):
            return rounded
    return number
