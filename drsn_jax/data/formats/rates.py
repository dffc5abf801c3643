"""Sampling rates that a file mentions: in a variable such as ``fs``, a time step, a time axis, an attribute."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from drsn_jax.data.formats.common import SAME, RecordingError

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
        "tinterval",
        "xincr",
        "timeincrement",
        "tsample",
        "increment",
    ]
)


HERTZ = {"": 1.0, "hz": 1.0, "khz": 1e3, "mhz": 1e6}
SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0}
NUMBER = re.compile(r"\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)\s*([a-zA-Zµμ]*)\s*(?:/s)?\s*")


WORDS = {
    **dict.fromkeys(["1/s", "s-1", "s^-1", "sps", "s/s", "sa/s", "samples/s", "samples/sec", "samples/second"], "Hz"),
    **dict.fromkeys(["samples per second", "hertz"], "Hz"),
    **dict.fromkeys(["ks/s", "ksps", "ksa/s", "kilohertz"], "kHz"),
    "second": "s",
    "secs": "s",
    "msec": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "usec": "us",
    "microsecond": "us",
    "microseconds": "us",
}


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
    key = key_of(name)
    for names, units in ((RATE_NAMES, HERTZ), (STEP_NAMES, SECONDS)):
        for ending in sorted(units, key=len, reverse=True):
            base = key.removesuffix(ending).removesuffix("in" if ending else "")
            if key.endswith(ending) and base in names:
                scale = units.get(unit.lower(), math.nan) if unit else units[ending]
                hertz = number * scale if units is HERTZ else 1 / (number * scale)
                return Rate(hertz, source) if DOUBTFUL.get(base, 0.0) <= hertz < math.inf else None
    return None


def with_unit(number: float, unit: str) -> str:
    """Return a number with its unit as ``mentioned`` reads it: ``"1000.0 Hz"`` for ``samples/s``."""
    return f"{number!r} {WORDS.get(unit.strip().lower(), unit.strip())}"


def with_units(named: Mapping[str, object]) -> dict[str, object]:
    """Return named values, the numbers of which have the unit that a value beside them states: ``fs_unit`` is the unit of ``fs``.

    For example ``{"fs": 25.6, "fs_unit": "kHz"}`` becomes ``{"fs": "25.6 kHz", "fs_unit": "kHz"}``.
    """
    keys = {key_of(name): name for name in named}
    found = dict(named)
    for name in named:
        for ending in ("unit", "units", "unitstring"):
            beside = named.get(keys.get(key_of(name) + ending, ""))
            unit = beside.decode("latin-1") if isinstance(beside, bytes) else beside
            number, own = _number(named[name])
            if isinstance(unit, str) and unit.strip() and not own and math.isfinite(number):
                found[name] = with_unit(float(number), unit)
    return found


def may_mention(name: str) -> bool:
    """Return whether a number of this name may be a sampling rate or a step in seconds."""
    return any(mentioned(name, number, "") for number in (1e4, 1e-4))


def key_of(name: str) -> str:
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
