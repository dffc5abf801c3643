"""What recordings hold, for a look before training: what was taken from each file, and how much, how fast and how loud."""

import glob
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from drsn_jax.core.storage import blocks
from drsn_jax.data.recordings import Recording, class_names, title

ROWS = 40  # a longer table is one row for each class
SOURCES = 5  # different channels and rates that are listed
SLOW = 200.0  # Hz: a rate below it may be another number
CLIPPED, FEW = 1e-3, 8  # share and number of samples that have the highest or the lowest value of a channel
FAR = 3.0  # a recording whose level is so many times above or below those of all others of its class is told
APART = 2.0  # a class whose level is so many times above or below that of every other gives itself away


class Source(NamedTuple):
    """Recordings whose channel and sampling rate were found in the same way.

    Fields:
      channel: which signal of the files was taken; empty where they hold one without a name.
      sampling_rate: in Hz, or of recordings at equal angles of the shaft the samples in a revolution.
      rate_from: where the rate is from.
      files: the names of the recordings.
    """

    channel: str
    sampling_rate: float
    rate_from: str
    files: list[str]


def sources(recordings: Sequence[Recording]) -> list[Source]:
    """Return what was taken from which files, in the order of the recordings."""
    found: dict[tuple[str, float, str], Source] = {}
    for number, r in enumerate(recordings):
        key = (r.channel, r.sampling_rate, r.rate_from)
        found.setdefault(key, Source(*key, [])).files.append(title(recordings, number))
    return list(found.values())


def taken(recordings: Sequence[Recording]) -> list[Mapping[str, Any]]:
    """Return ``sources`` as facts by name, for the description of a model."""
    return [source._asdict() for source in sources(recordings)]


def common_channel(names: Sequence[str]) -> str:
    """Return a channel that means the signal of each of these names in its file; an empty one where there is none.

    Equal names are that channel. Different ones are a pattern of what they have in common but for numbers::

        >>> common_channel(["X097_DE_time", "X105_DE_time"])
        'X*_DE_time'
    """
    if not names or not all(names):
        return ""
    if len(set(names)) == 1:
        return names[0]
    parts = [name.split(" + ") for name in names]
    if len({len(part) for part in parts}) > 1:
        return ""
    patterns = [_pattern(part) for part in zip(*parts, strict=True)]
    return " + ".join(patterns) if all(patterns) else ""


def _pattern(names: Sequence[str]) -> str:
    """Return a pattern that fits all names; an empty text where they have neither beginning nor end in common."""
    if len(set(names)) == 1:
        return names[0]
    start = _beginning(names)
    end = _beginning([name[len(start) :][::-1] for name in names])[::-1]
    # the numbers of other files have other digits in common
    start, end = re.sub(r"\d+$", "", start), re.sub(r"^\d+", "", end)
    return f"{glob.escape(start)}*{glob.escape(end)}" if start or end else ""


def _beginning(names: Sequence[str]) -> str:
    """Return the letters with which all names begin."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def levels(recordings: Sequence[Recording]) -> list[float]:
    """Return the level of each recording: the root mean square over time and channels, after each channel's mean is removed."""
    return [_level(r.signal) for r in recordings]


def _level(signal: np.ndarray) -> float:
    mean = sum(part.sum(0, dtype=np.float64) for part in _parts(signal)) / len(signal)
    return float(np.sqrt(sum(np.square(part - mean).sum() for part in _parts(signal)) / signal.size))


def _parts(signal: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a signal in parts, because it may lie in a file that memory cannot hold."""
    return (signal[start:stop] for start, stop in blocks(len(signal), 8 * signal.shape[1]))


def loud(labels: Sequence[str], level: Sequence[float]) -> list[str]:
    """Return a sentence for each class whose recordings are all at least ``APART`` times louder or quieter than all others.

    Args:
      labels: the class of each recording.
      level: the level of each recording.
    """
    told, names = [], list(dict.fromkeys(labels))
    for name in names:
        own = [value for label, value in zip(labels, level, strict=True) if label == name]
        others = [value for label, value in zip(labels, level, strict=True) if label != name]
        # of two classes one is told
        for above, below, word in ((own, others, "louder"), (others, own, "quieter"))[: 1 if len(names) == 2 else 2]:
            if others and min(above) >= APART * max(below) > 0:
                told.append(
                    f"every recording of {name!r} is at least {min(above) / max(below):.3g} times {word} than those of the other "
                    "classes: is the gain, the unit or the sensor another one? Standardised windows hide the level itself"
                )
    return told


def odd(recordings: Sequence[Recording], level: Sequence[float]) -> list[str]:
    """Return a sentence if a recording is ``FAR`` times louder or quieter than every other one of its class.

    It is compared with those of its condition, or where these are fewer than two with all of its class; ``level`` is the level of
    each recording.
    """
    found: dict[str, tuple[float, str]] = {}
    for number, r in enumerate(recordings):
        of_class = [n for n, other in enumerate(recordings) if n != number and other.label == r.label]
        alike = [n for n in of_class if recordings[n].condition == r.condition]
        others = [level[n] for n in (alike if len(alike) > 1 else of_class)]
        if len(others) < 2:
            continue
        louder, quieter = level[number] / (max(others) or math.inf), min(others) / (level[number] or math.inf)
        for times, word in ((louder, "louder"), (quieter, "quieter")):
            if times >= FAR:
                found[title(recordings, number)] = times, word
    if not found:
        return []
    worst = max(found, key=lambda name: found[name][0])
    times, word = found[worst]
    more = f" ({len(found)} recordings stand out so)" if len(found) > 1 else ""
    return [f"{worst} is {times:.3g} times {word} than all others of its class: is its gain, unit or sensor another one?{more}"]


def summary(recordings: Sequence[Recording]) -> list[str]:
    """Return the lines of a summary: what was taken, a table of files, seconds, rate, speed and level (RMS) of each class and
    condition, and warnings, such as one for a class that gives itself away by its level.

    Of recordings at equal angles of the shaft revolutions stand in place of the seconds, and their samples in place of the rate.
    """
    turned = recordings[0].per_revolution
    found = sources(recordings)
    lines = [_source(source, "samples a revolution" if turned else "Hz") for source in found[:SOURCES]]
    if len(found) > SOURCES:
        rest = sum(len(source.files) for source in found[SOURCES:])
        channel = common_channel([r.channel for r in recordings])
        lines.append(
            f"and {rest} files more{f', all by channels such as {channel}' if channel else ', by other channels or rates'}"
        )
    level = levels(recordings)
    groups: dict[tuple[str, str], list[int]] = {}
    for number, r in enumerate(recordings):
        groups.setdefault((r.label, r.condition), []).append(number)
    if len(groups) > ROWS:
        groups = {}
        for number, r in enumerate(recordings):
            groups.setdefault((r.label, ""), []).append(number)
    # the classes in their own order, and their conditions in that of the recordings
    order = class_names(recordings)
    rows = [["class", "condition", "files", *(("revolutions", "samples in each") if turned else ("seconds", "Hz")), "rpm"]]
    rows[0].append("level (RMS)")
    for (label, condition), numbers in sorted(groups.items(), key=lambda group: order.index(group[0][0])):
        own = [recordings[number] for number in numbers]
        seconds = sum(len(r.signal) / r.sampling_rate for r in own)
        heights = [level[number] for number in numbers]
        rpm = [60 * r.speed for r in own if r.speed is not None]
        row = [label, condition, str(len(own)), f"{seconds:.4g}", _range([r.sampling_rate for r in own], ".9g")]
        rows.append([*row, _range(rpm, ".5g") if rpm else "", _range(heights, ".3g")])
    told_of = [column for column in range(len(rows[0])) if any(row[column] for row in rows[1:])]  # no condition, no speed
    rows = [[row[column] for column in told_of] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    told = [
        *([] if turned else slow(found)),
        *clipped(recordings),
        *loud([r.label for r in recordings], level),
        *odd(recordings, level),
    ]
    return [*lines, *(f"warning: {sentence}" for sentence in told)]


def clipped(recordings: Sequence[Recording]) -> list[str]:
    """Return a sentence if more than ``CLIPPED`` of the samples of a channel have its highest or its lowest value."""
    shares: dict[str, float] = {}
    for number, r in enumerate(recordings):
        low, high = r.signal.min(0), r.signal.max(0)
        count = sum(((part <= low) | (part >= high)).sum(0) for part in _parts(r.signal))
        if (share := float(np.max(count / len(r.signal)))) > CLIPPED and np.max(count) > FEW:
            shares[title(recordings, number)] = share
    if not shares:
        return []
    worst = max(shares, key=shares.__getitem__)
    others = f" ({len(shares)} recordings are clipped)" if len(shares) > 1 else ""
    return [
        f"{100 * shares[worst]:.2g} % of {worst} have its highest or lowest value: it is clipped at the end of a range{others}"
    ]


def slow(found: Sequence[Source]) -> list[str]:
    """Return a sentence if a rate is so low that it may be the speed of a shaft, which some sets call ``fs``."""
    low = [source for source in found if source.sampling_rate < SLOW]
    if not low:
        return []
    origin = f" by {low[0].rate_from}" if low[0].rate_from else ""
    return [
        f"{low[0].sampling_rate:.9g} Hz{origin} is a low rate for vibration: if it is the speed of a shaft, give the rate by "
        "--sampling-rate with --overrule-rate"
    ]


def _source(source: Source, unit: str) -> str:
    names = ", ".join(source.files[:3]) + (", …" if len(source.files) > 3 else "")
    what = f"channel {source.channel}" if source.channel else "the only signal"
    count = f"{len(source.files)} files" if len(source.files) > 1 else "1 file"
    origin = f", by {source.rate_from}" if source.rate_from else ""
    return f"taken: {what} of {count} ({names}), {source.sampling_rate:.9g} {unit}{origin}"


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
