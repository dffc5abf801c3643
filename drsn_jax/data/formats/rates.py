"""Sampling rates that a file mentions: in a variable such as ``fs``, a time step, a time axis, an attribute."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from drsn_jax.data.formats.common import RecordingError

SAME = 1e-5  # relative: rates that differ by less are one rate that was written with different digits
RATE_NAMES = frozenset(
    [
        "fs",
        "sr",
        "rate",
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
        "ratehz",
        "fshz",
        "srhz",
        "samplingratehz",
        "sampleratehz",
    ]
)
STEP_NAMES = frozenset(
    [
        "dt",
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


class Rate(NamedTuple):
    """A sampling rate in Hz that a file mentions, and where: ``Rate(12000.0, "its variable fs")``."""

    hertz: float
    source: str


def mentioned(name: str, value: object, source: str) -> Rate | None:
    """Return the rate that a named number means; None for other names and for what is no positive number.

    ``name`` is compared without capitals, blanks and underscores: ``sampling_rate``, ``Fs`` and ``SampleRate`` are rates, and
    ``dt`` or ``wf_increment`` is a step in seconds. A dotted path such as ``bearing.sr`` is known by its last part.
    """
    key = re.sub(r"[^a-z]", "", re.split(r"[./]", name.strip())[-1].lower())
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever a file holds
    except (TypeError, ValueError, OverflowError):
        return None
    if not (math.isfinite(number) and number > 0):
        return None
    if key in RATE_NAMES:
        return Rate(number, source)
    return Rate(1 / number, source) if key in STEP_NAMES else None


def same(first: float, second: float) -> bool:
    """Return whether two rates are one that was written with different digits."""
    return math.isclose(first, second, rel_tol=SAME)


def agreed(rates: Iterable[Rate | None], where: str) -> tuple[float | None, str]:
    """Return the rate on which all that a file mentions agree, and where it is mentioned first; None and an empty text without
    any. Raises RecordingError where two differ by more than ``SAME``."""
    found = [rate for rate in rates if rate is not None]
    if not found:
        return None, ""
    for other in found[1:]:
        if not same(found[0].hertz, other.hertz):
            raise RecordingError(
                f"{where} mentions two sampling rates: {found[0].hertz:.9g} Hz by {found[0].source} and {other.hertz:.9g} Hz by "
                f"{other.source}: correct the file"
            )
    return found[0]
