"""Sampling rates that a file mentions: in a variable such as ``fs``, a time step, a time axis, an attribute."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import from_first, steady_step

SAME = 1e-5  # relative: rates that differ by less are one rate that was written with different digits
JUMP = 10.0  # steps of a time axis that are so many times as long as the others are a gap
SURE = 1e-3  # relative: a time axis whose steps leave more in doubt says no rate
# names that mean something else where the rate would be lower: the speed of a shaft in Hz, as in the files of MFPT, and any time
DOUBTFUL = {"rate": 1000.0, "ts": 100.0}
RATE_NAMES = frozenset(
    [
        "fs",
        "rate",
        "srate",
        "fsamp",
        "samprate",
        "abtastrate",
        "abtastfrequenz",
        "sr",
        "samplerate",
        "samplingrate",
        "samplefrequency",
        "samplingfrequency",
        "samplefreq",
        "samplingfreq",
        "sampfreq",
        "fsample",
        "fsampling",
        "samplespersecond",
        "sps",
        "framerate",
        "frequencysampling",
        "samplesperseconds",
        "samplerates",
        "samplingrates",
        "acquisitionrate",
        "daqrate",
    ]
)
STEP_NAMES = frozenset(
    [
        "dt",
        "ts",
        "deltat",
        "timestep",
        "sampletime",
        "samplingtime",
        "sampleinterval",
        "samplinginterval",
        "sampleperiod",
        "samplingperiod",
        "wfincrement",
        "xincrement",
        "deltax",
        "dx",
        "tstep",
        "timeincrement",
        "tsample",
        "increment",
    ]
)


# Hz: no vibration is sampled slower or faster, so the unit of a time axis that says so and does not write its unit is in doubt
SLOWEST, FASTEST = 100.0, 2e6
EPOCHS = {1e9: 1.0, 1e12: 1e-3, 1e15: 1e-6, 1e18: 1e-9}  # seconds of one unit, by the size of a time since 1970 in that unit
HERTZ = {"": 1.0, "hz": 1.0, "khz": 1e3, "mhz": 1e6}
SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0}
TIME_NAME = re.compile(
    r"(t|tt|time|times|zeit|zeitachse|temps|tiempo|tempo|czas|sekunden|elapsed|elapsedtime|timestamps?|timestep|seconds|secs?|datetime)"
    r"|(t|time|x)(vec|vector|axis|array|base|stamps?|values|data)"
)
NUMBER = re.compile(r"\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)\s*([a-zA-Zµμ]*)\s*(?:/s)?\s*")


class Rate(NamedTuple):
    """A sampling rate that a file mentions: ``Rate(12000.0, "its variable fs")``.

    Fields:
      hertz: the rate in Hz.
      source: where it is mentioned, for messages.
      within: how sure it is, relative to the rate; the steps of a rounded time axis leave more open than a number does.
    """

    hertz: float
    source: str
    within: float = SAME


def mentioned(name: str, value: object, source: str) -> Rate | None:
    """Return the rate that a named number means; None for other names and for what is no positive number.

    ``name`` is compared without capitals, blanks and underscores: ``sampling_rate``, ``Fs`` and ``SampleRate`` are rates, and
    ``dt`` or ``wf_increment`` is a step in seconds. A dotted path such as ``bearing.sr`` is known by its last part. A unit may
    stand behind the name, ``fs [kHz]`` or ``dt_ms``, or behind a number that is text, ``"48 kHz"``.
    """
    number, unit = _number(value)
    if not (math.isfinite(number) and number > 0):
        return None
    key = _key(name)
    for names, units in ((RATE_NAMES, HERTZ), (STEP_NAMES, SECONDS)):
        for ending in sorted(units, key=len, reverse=True):
            base = key.removesuffix(ending).removesuffix("in" if ending else "")
            if key.endswith(ending) and base in names:
                scale = units.get(unit.lower(), math.nan) if unit else units[ending]
                hertz = number * scale if units is HERTZ else 1 / (number * scale)
                return Rate(hertz, source) if DOUBTFUL.get(base, 0.0) <= hertz < math.inf else None
    return None


def _key(name: str) -> str:
    """Return the last part of a dotted path in small letters and digits alone: ``fs1`` and ``fs2`` are of two channels."""
    return re.sub(r"[^a-zµμ0-9]", "", re.split(r"[./]", name.strip())[-1].lower())


def _number(value: object) -> tuple[float, str]:
    """Return a number and its unit, which only a text has; NaN for what is no number."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        found = NUMBER.fullmatch(value)
        return (float(found[1]), found[2]) if found else (math.nan, "")
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    try:
        return float(value), ""  # type: ignore[arg-type]  # whatever a file holds
    except (TypeError, ValueError, OverflowError):
        return math.nan, ""


def time_unit(name: str) -> float | None:
    """Return the seconds of one unit of an axis that ``name`` calls a time; None for another name, 0 where no unit is written.

    For example 0.001 for ``Time [ms]`` and ``t_ms``, 1 for ``time (s)`` and ``seconds``, 0 for ``t``.
    """
    key = _key(name)
    if key in ("s", "sec", "secs", "seconds", "sekunden", "elapsedseconds"):
        return 1.0
    if key in ("ms", "milliseconds"):
        return 1e-3
    for ending in sorted(filter(None, SECONDS), key=len, reverse=True):
        # a unit stands apart from the name: "times" is no time in seconds
        if re.search(rf"[^a-zµμ]{ending}[^a-zµμ]*$", name.strip().lower()) and TIME_NAME.fullmatch(key.removesuffix(ending)):
            return SECONDS[ending]
    return 0.0 if TIME_NAME.fullmatch(key) else None


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
    if (steps < 0).any() or not (steps > 0).any():
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


def same(first: float, second: float, within: float = SAME) -> bool:
    """Return whether two rates are one that was written with different digits, or derived from rounded times."""
    return math.isclose(first, second, rel_tol=within)


def agreed(rates: Iterable[Rate | None], where: str) -> tuple[float | None, str]:
    """Return the rate on which all that a file mentions agree, and where it is mentioned, see ``surest``; None and an empty
    text without any."""
    rate = surest(rates, where)
    return (None, "") if rate is None else (rate.hertz, rate.source)


def surest(rates: Iterable[Rate | None], where: str) -> Rate | None:
    """Return the surest of the rates that a file mentions, which is the first where all are numbers; None without any.

    Raises RecordingError where two differ by more than their rounding allows.
    """
    found = [rate for rate in rates if rate is not None]
    if not found:
        return None
    best = min(found, key=lambda rate: rate.within)
    for other in found:
        if not same(best.hertz, other.hertz, other.within):
            raise RecordingError(
                f"{where} mentions two sampling rates: {best.hertz:.9g} Hz by {best.source} and {other.hertz:.9g} Hz by "
                f"{other.source}: correct the file"
            )
    return best
