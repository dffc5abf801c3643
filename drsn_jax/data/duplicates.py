"""Find recordings that hold the same samples under two names: a copy in another folder, a file that was saved twice."""

from collections.abc import Sequence

import numpy as np

from drsn_jax.core.storage import blocks
from drsn_jax.data.formats.common import RecordingError

BEGINNING = 64  # samples by which recordings are told apart before they are compared whole


SPLIT = "so that one measurement could be on both sides of a split"
COUNT = "so that one measurement would count twice"


def refuse_duplicates(signals: Sequence[np.ndarray], titles: Sequence[str], labels: Sequence[str], why: str = SPLIT) -> None:
    """Raise RecordingError where a signal is equal to another, or to the beginning of a longer one.

    A split would put one measurement on both sides, or it has two labels of which one is wrong.

    Args:
      signals: ``(length, channels)`` each.
      titles: of the recordings, for the message.
      labels: their classes.
      why: what is wrong with one measurement twice under one label, for the message.
    """
    alike: dict[bytes, list[int]] = {}
    for number, signal in enumerate(signals):
        alike.setdefault(_beginning(signal), []).append(number)
    for numbers in alike.values():
        for place, first in enumerate(numbers):
            for second in numbers[place + 1 :]:
                length = min(len(signals[first]), len(signals[second]))
                if _equal(signals[first][:length], signals[second][:length]):
                    _refuse(first, second, signals, titles, labels, why)


def refuse_equal_windows(
    signals: Sequence[np.ndarray], units: Sequence[int], titles: Sequence[str], labels: Sequence[str]
) -> None:
    """Raise RecordingError where a window that was cut before occurs twice, in one recording or in two.

    Args:
      signals: ``(n · unit, channels)`` each, windows one behind the other.
      units: the length of the windows of each signal; a signal whose unit is 1 has none and is passed over.
      titles: of the recordings, for the message.
      labels: their classes.
    """
    first: dict[int, tuple[int, int]] = {}
    for number, (signal, unit) in enumerate(zip(signals, units, strict=True)):
        for start in range(0, len(signal) if unit > 1 else 0, unit):
            window = signal[start : start + unit]
            place = first.setdefault(hash(window.tobytes()), (number, start))
            other, begin = place
            if place != (number, start) and np.array_equal(signals[other][begin : begin + unit], window):
                two = "" if labels[other] == labels[number] else f", with two labels, {labels[other]!r} and {labels[number]!r}"
                raise RecordingError(
                    f"window {begin // unit} of {titles[other]} and window {start // unit} of {titles[number]} hold the same "
                    f"samples{two}: leave one out"
                )


def _beginning(signal: np.ndarray) -> bytes:
    """Return the first samples from where the signal begins to change, and that place; many recordings begin with zeros."""
    changed = 0
    for start, stop in blocks(len(signal), signal[:1].nbytes):
        different = (signal[start:stop] != signal[:1]).any(1)
        if different.any():
            changed = start + int(np.argmax(different))
            break
    part = signal[changed : changed + BEGINNING]
    return repr((signal.shape[1], changed)).encode() + np.ascontiguousarray(part, np.float32).tobytes()


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return all(np.array_equal(first[a:b], second[a:b]) for a, b in blocks(len(first), first[:1].nbytes))


def _refuse(
    first: int, second: int, signals: Sequence[np.ndarray], titles: Sequence[str], labels: Sequence[str], why: str
) -> None:
    if len(signals[first]) > len(signals[second]):
        first, second = second, first
    equal = len(signals[first]) == len(signals[second])
    what = "hold the same samples" if equal else "begin with the same samples, all that the first of them has"
    if labels[first] != labels[second]:
        raise RecordingError(
            f"{titles[first]} and {titles[second]} {what} and have two labels, {labels[first]!r} and {labels[second]!r}: leave "
            "out the wrong one"
        )
    raise RecordingError(f"{titles[first]} and {titles[second]} {what}, {why}: leave one out")
