"""Sampling rates in a text file: in the lines above the samples, the steps of a time column, or dates."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.rates import DOUBTFUL, SAME, Rate, key_of, may_mention, mentioned
from drsn_jax.data.formats.text_cells import RATE, comment, decimals, digits, is_number, split
from drsn_jax.data.formats.text_names import split_unit

_TIMES = (
    "t time times timestamp xvalue seconds second secs sec elapsed elapsedtime relativetime timeaxis timestamps zeit zeitachse "
    "zeitstempel uhrzeit temps tiempo tempo datetime"
)
TIME_NAMES = frozenset(_TIMES.split())
TIME_UNITS = dict.fromkeys(["s", "sec", "secs", "second", "seconds"], 1.0)
TIME_UNITS |= dict.fromkeys(["ms", "msec", "milliseconds", "millisecond"], 1e-3)
TIME_UNITS |= dict.fromkeys(["us", "µs", "μs", "usec", "microseconds"], 1e-6)
TIME_UNITS |= {"ns": 1e-9, "min": 60.0, "h": 3600.0}
RATE_UNITS = dict.fromkeys(["hz", "s/s", "sa/s", "sps", "1/s", "samples/s", "samples/sec", "samples/second", "s-1"], 1.0)
RATE_UNITS |= {"khz": 1e3, "mhz": 1e6, "ks/s": 1e3, "ksps": 1e3, "ksa/s": 1e3, "ms/s": 1e6, "msps": 1e6}
FOREIGN = {  # names that are not English, as rates.mentioned knows them
    **dict.fromkeys(["abtastrate", "abtastfrequenz", "messrate", "frequenceechantillonnage", "samplingfreqency"], "fs"),
    **dict.fromkeys(["scanrate", "acquisitionrate", "sampleclock", "sampfreqency", "datarate", "sampleratesps"], "fs"),
    **dict.fromkeys(
        ["abtastintervall", "abtastzeit", "schrittweite", "interval", "samplingperiode", "hresolution", "xaxisdelta", "xdelta"],
        "dt",
    ),
}
PLACES = 1 << 18  # numbers of a column through which a line is laid at most
PARTS = 1 << 15  # numbers of a column that are looked at at once, few enough for the cache
SURE = 2e-3  # of the rate: one of which the digits leave more open is not told
SLOWEST = 100.0  # Hz: a column without a name that rises by a steady step may be in other units than seconds if slower
FASTEST = 2e6  # Hz: no vibration is sampled faster, so the unit of such a time column is in doubt
_NUMBER = re.compile(r"([+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ/1-]*)\.?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"\d,\d")
_PARTED = re.compile(r"(?<![\d.,])\d{1,3}(?:[ '\u2019\u00a0\u202f]\d{3})+(?![\d'])")  # 12 800, with a sign between thousands
_POINTS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")  # 12.800, where the decimal sign is a comma
UNIT_OF_AXIS = re.compile(
    r"(x|abscissa|horizontal|time|zeit)(axis|achse)?(units?|einheit|unitlabel)"
)  # keys of lines in a header
_PAIR = re.compile(r"\s*([^:=]*?[^\s:=])\s*[:=]\s*(.+)")
_WORDS = re.compile(r"\s*([A-Za-z][A-Za-z_ ]*?)\s+([\d.,]+(?:[eE][+-]?\d+)?\s*[A-Za-z/]*)\s*")


class Axis(NamedTuple):
    """The steps of a time axis: their mean in seconds, and how far the mean may be off."""

    step: float
    off: float


def header_rates(header: Sequence[str], separator: str | None, decimal: str) -> list[Rate]:
    """Return the rates that the lines above the samples mention: ``Fs = 12800 Hz``, ``Delta_X<tab>0.0001``, ``Rate,12.8 kHz``."""
    found: list[Rate] = []
    above: list[str] = []
    of_axis = next((unit for line in header if (unit := _stated_unit(line, UNIT_OF_AXIS)) in TIME_UNITS), "")
    for number, line in enumerate(header, 1):
        below_it = _stated_unit(header[number], re.compile("units?|einheit")) if number < len(header) else ""
        text = (comment(line) or line).strip()
        pairs = [("fs", text)] if RATE.fullmatch(text) else []
        below = split(text, separator)
        # names of columns above their values, as some oscilloscopes write them
        pairs += [*zip(above, below, strict=False)] if len(below) > 1 else []
        above = below
        for mark in {separator or "\t", "\t", ";", "," if decimal == "." else "\t"}:
            cells = [cell for cell in split(text, mark) if cell]
            pairs += [(cells[0], cell) for cell in _numbers(_with_units(cells[1:]))]
            if mark == "," and _THOUSANDS.search(text):
                cells = [text]  # 12,800 Hz may be one number
            matches = [_PAIR.fullmatch(cell) or _WORDS.fullmatch(cell) for cell in cells]
            pairs += [(match[1], match[2]) for match in matches if match]
        for name, value in pairs:
            rate = _mentioned(name, value, decimal, f"line {number} of its header", (below_it, of_axis))
            if rate is not None and rate.hertz not in [other.hertz for other in found]:
                found.append(rate)
    return found


def _with_units(cells: Sequence[str]) -> list[str]:
    """Join numbers with the units in the cells behind them: ``["25.6", "kHz"]`` becomes ``["25.6 kHz"]``."""
    joined: list[str] = []
    for cell in cells:
        word = cell.strip("[]() .").lower()
        if joined and (word in TIME_UNITS or word in RATE_UNITS) and joined[-1][-1:].isdigit():
            joined[-1] += f" {word}"
        else:
            joined.append(cell)
    return joined


def _numbers(cells: Sequence[str]) -> list[str]:
    """Return the first cells with numbers that follow each other: in ``rate,1000,range,10`` the 10 is of the range."""
    first = next((i for i, cell in enumerate(cells) if _NUMBER.match(cell)), len(cells))
    return [*itertools.takewhile(_NUMBER.match, cells[first:])]


def _stated_unit(line: str, key: re.Pattern[str]) -> str:
    """Return the unit that a line such as ``X axis unit: ms`` states, where its name fits ``key``; an empty text for others."""
    parts = [part.strip(' []()"') for part in re.split(r"[:=;,\t]", comment(line) or line) if part.strip(' []()"')]
    name = re.sub(r"[^a-z]", "", parts[0].lower()) if parts else ""
    return parts[1].lower() if len(parts) > 1 and key.fullmatch(name) else ""


def _mentioned(name: str, value: str, decimal: str, source: str, units: Sequence[str] = ()) -> Rate | None:
    """Return the rate that a name and a value with its unit mean; None for others.

    ``units`` are those that other lines of the header state, for a value without one.
    """
    stem, unit = split_unit(name.strip(' "'))
    value = _PARTED.sub(lambda found: re.sub(r"\D", "", found[0]), value.strip(' "'))
    number = _NUMBER.match(value)
    if number is None or re.search(r"\d", stem) or re.match(r"\s*['\d]", value[number.end() :]):
        return None
    written = number[1].replace(",", ".") if decimal == "," and "." not in number[1] else number[1]
    unit = (number[2] or unit).lower()
    # 12.800 Hz beside decimal commas may be 12800 Hz
    if not is_number(written) or (decimal == "," and unit in ("", "hz") and _POINTS.fullmatch(number[1])):
        return None
    key = FOREIGN.get(re.sub(r"[^a-z]", "", stem.lower()), stem)
    if not may_mention(key):
        return None
    step = mentioned(key, 1e-4, source) == Rate(1 / 1e-4, source)
    unit = unit or next((other for other in units if other in (TIME_UNITS if step else RATE_UNITS)), "")
    if unit in TIME_UNITS or (step and unit not in RATE_UNITS):
        rate = mentioned("dt", float(written) * TIME_UNITS.get(unit, 1.0), source)
    else:
        # a name that means a sampling rate only where the number is one keeps that limit
        rate = mentioned(key if key_of(key) in DOUBTFUL else "fs", float(written) * RATE_UNITS.get(unit, 1.0), source)
    near = 0.0 if rate is None else round(rate.hertz)
    return Rate(float(near), source) if rate and math.isclose(near, rate.hertz, rel_tol=1e-9) else rate


def time_unit(name: str, unit: str, first: bool = False) -> float | None:
    """Return the unit of a time column in seconds from its name and unit, 0.0 where it is named as one without a unit; None for
    another column. The ``first`` column is one also under another name if it has a unit of time."""
    key = re.sub(r"[^a-z]", "", split_unit(name)[0].lower())
    unit = unit.lower()
    if unit in TIME_UNITS and (first or key in TIME_NAMES or key.startswith(("time", "zeit"))):
        return TIME_UNITS[unit]
    return 0.0 if key in TIME_NAMES and not unit else None


def time_steps(values: np.ndarray, written: float, unit: float, where: str) -> Axis | None:
    """Return the steps of a time column, a numeric array (length,); None for fewer than three numbers and for unsteady steps.

    Args:
      values: the times, which may be rounded, also to more than a step.
      written: the worth of their last digit.
      unit: of both in seconds.
      where: the file and the column, for messages.

    Raises RecordingError where the time jumps, because the samples before and behind are not one recording.
    """
    count = len(values)
    if count < 3 or not np.isfinite(values).all():
        return None
    first, mean = float(values[0]), float(values[-1] - values[0]) / (count - 1)
    if mean == 0:
        return None
    if np.count_nonzero(np.diff(values[:PARTS]) * mean < 0) > count / 10:
        return None  # the name misleads: no time
    off = largest = 0.0
    line = mean * np.arange(PARTS + 1)
    for start in range(0, count, PARTS):
        part = values[start : start + PARTS + 1]
        steps = np.diff(part)
        ends = (float(steps.min(initial=mean)), float(steps.max(initial=mean)))
        if min(ends[0] * mean, ends[1] * mean) < 0:
            at = start + int(np.argmax(steps * mean < 0)) + 1
            raise RecordingError(f"{where} jumps back from {values[at - 1]:.9g} to {values[at]:.9g} at sample {at}: {_CUT}")
        largest = max(largest, -ends[0], ends[1])
        beside = part - line[: len(part)]
        line_start = first + mean * start
        off = max(off, float(beside.max()) - line_start, line_start - float(beside.min()))
    rounding = _rounding(values)
    if largest > 3 * max(rounding, abs(mean)) + rounding and count > 10:
        at = next(
            start + int(np.argmax(jumps)) + 1
            for start in range(0, count, PARTS)
            if (jumps := np.abs(np.diff(values[start : start + PARTS + 1])) == largest).any()
        )
        raise RecordingError(f"{where} jumps from {values[at - 1]:.9g} to {values[at]:.9g} at sample {at}: {_CUT}")
    if off > max(1.5 * abs(mean), 1.5 * rounding):
        return None
    places = np.arange(0.0, count, -(-count // PLACES))
    beyond = values[:: -(-count // PLACES)] - first
    centred = places - places.mean()
    slope = float((centred * beyond).sum() / (centred * centred).sum())  # no product of matrices, which would start threads
    rest = beyond - slope * places
    # numbers that are each rounded leave the slope of a line so far open; so does the stair of those that repeat
    open_by = 4 * float(rest.std()) * 12**0.5 / (count * len(places) ** 0.5) + rounding**2 / (abs(mean) * count**2)
    if rest.std() < written / 10:  # times on the line to the last digit may be so because all are rounded alike
        open_by = max(open_by, written / count)
    return Axis(abs(slope) * unit, open_by * unit)


_CUT = "cut the recording there"


def _rounding(values: np.ndarray) -> float:
    """Return the unit to which numbers of an axis were rounded where it is more than a step: the smallest difference that is not
    zero among those at its start and end, where numbers repeat. 0.0 elsewhere."""
    steps = np.abs(np.concatenate([np.diff(values[:5000]), np.diff(values[-5000:])]))
    return float(np.median(steps[steps > 0])) if (steps == 0).any() and (steps > 0).any() else 0.0


def last_digit(cells: Sequence[str], largest: float, decimal: str) -> float:
    """Return the worth of the last digit of numbers up to ``largest``, from cells with some of them: 0.001 for 12.500."""
    ways = {decimals(cell, decimal) for cell in cells}
    if len(ways) == 1 and not any("e" in way for way in ways):
        return 10.0 ** -int(next(iter(ways)) or 0)
    shown = max(digits(cell) for cell in cells)
    return 10.0 ** (math.floor(math.log10(largest or 1.0)) + 1 - shown)


def round_rate(axis: Axis) -> float | None:
    """Return the sampling rate in Hz of a time axis; the roundest number where the digits of the axis leave several.

    None where its digits do not tell the rate.
    """
    rate = 1 / axis.step
    share = axis.off / axis.step
    if share > SURE:
        return None
    width = rate * max(share, 1e-7)
    for power in range(5, -1, -1):
        unit = 10.0**power
        near = unit * round(rate / unit)
        # a round number must not lie within the width by chance
        if near and abs(near - rate) <= width and (2 * width <= unit / 10 or (power == 0 and share <= SAME)):
            return near
    return rate if share <= SAME else None


def epoch_unit(first: float) -> float | None:
    """Return the unit in seconds of a count since 1970 that begins with ``first``: 1e-3 for 1.7e12; None for other numbers."""
    for unit in (1.0, 1e-3, 1e-6, 1e-9):
        if 6e8 < first * unit < 4e9:
            return unit
    return None
