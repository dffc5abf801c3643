"""The speed of a shaft, found in a vibration: the spacing at which lines stand in its spectrum."""

import math
from typing import NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError

HARMONICS = 5  # lines of the shaft that are added up: with three a fault's lines win, with eight twice the speed
HIGHEST_DB = 30.0  # one line counts no more, so that a single tone is no shaft
LEVEL_HZ = 15.0  # the noise around is the median of stretches so wide
OTHER = 0.03  # a speed that is farther from the best, relative, is another one
CLEAR = 0.8  # the speed is known where every other one has less than this share of the best one's sum
SECONDS = 20.0  # of a recording: a shaft that drifts would smear over more bins of a longer one
LEAST_REVOLUTIONS = 20.0  # of the slowest speed: fewer have no lines that could be told apart


class ShaftSpeed(NamedTuple):
    """A speed that was found.

    Fields:
      hz: in revolutions a second, the best one of the range.
      rival: what share of its sum the best of all other speeds has, 0 to 1: near 1 it is a guess.
    """

    hz: float
    rival: float

    @property
    def known(self) -> bool:
        """Whether no other speed of the range is nearly as good."""
        return self.rival < CLEAR


def shaft_speed(signal: np.ndarray, sampling_rate: float, lowest: float, highest: float) -> ShaftSpeed:
    """Return the speed between ``lowest`` and ``highest``, in revolutions a second, whose first five multiples stand out most.

    For each speed the heights of the lines at its multiples are added up, in dB above the noise around, each from 0 to 30. A
    narrow range makes the answer surer: half the speed, twice it, and lines of gears and bearings are then outside. Of several
    shafts the one with the strongest lines is found.

    Args:
      signal: a recording ``(length, 1)`` or ``(length,)``; the first 20 seconds are looked at.
      sampling_rate: in Hz.
      lowest, highest: the range that is searched.

    Raises ValueError for several channels, samples that are not finite, a recording without any vibration or shorter than 20
    revolutions of the lowest speed, a range that is none, and where the lines of the highest speed reach half the sampling rate.

    Example::

        >>> rng, time = np.random.default_rng(0), np.arange(60_000) / 12_000
        >>> turning = sum(np.cos(2 * np.pi * 29.5 * number * time) / number for number in (1, 2, 3, 4, 5))
        >>> found = shaft_speed(turning + rng.normal(size=60_000), 12_000, lowest=20.0, highest=40.0)
        >>> round(found.hz, 1), found.known
        (29.5, True)
    """
    samples = _checked(signal, sampling_rate, lowest, highest)
    samples = samples - samples.mean()
    length = len(samples)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    bins = length / sampling_rate  # of one Hz
    count = math.ceil((HARMONICS + 0.5) * highest * bins)
    power = np.square(np.abs(np.fft.rfft(samples * hann)[:count]))
    heights = np.clip(10 * np.log10(np.maximum(power, np.finfo(float).tiny) / _level(power, bins)), 0, HIGHEST_DB)
    # a quarter of a bin of the highest line from one speed to the next
    speeds = np.arange(lowest, highest, 0.25 / (HARMONICS * bins))
    numbers = np.arange(1, HARMONICS + 1)
    sums = heights[np.round(numbers[:, None] * speeds * bins).astype(int).clip(max=len(heights) - 1)].sum(0)
    best = int(np.argmax(sums))
    others = sums[np.abs(speeds / speeds[best] - 1) > OTHER]
    rival = float(others.max() / sums[best]) if len(others) and sums[best] > 0 else float(sums[best] <= 0)
    return ShaftSpeed(float(speeds[best]), rival)


def _level(power: np.ndarray, bins: float) -> np.ndarray:
    """Return the level of the noise at each bin, of which a Hz has so many ``bins``: medians of stretches, and lines between."""
    stretches = np.array_split(np.arange(len(power)), max(1, round(len(power) / (LEVEL_HZ * bins))))
    levels = [np.median(power[own]) / math.log(2) for own in stretches]
    level = np.interp(np.arange(len(power)), [own.mean() for own in stretches], levels)
    return np.maximum(level, np.finfo(float).tiny)


def _checked(signal: np.ndarray, sampling_rate: float, lowest: float, highest: float) -> np.ndarray:
    """Return the samples that are looked at, ``(length,)``; raise UserError for what cannot be."""
    samples = np.asarray(signal)[:, None] if np.ndim(signal) == 1 else np.asarray(signal)
    if samples.ndim != 2 or samples.shape[1] != 1:
        raise UserError(f"a speed is found in one channel (length, 1), got the shape {samples.shape}")
    if not 0 < sampling_rate < math.inf or not 0 < lowest < highest < math.inf:
        raise UserError(f"a range of speeds has two positive numbers, the lower one first, got {lowest:g} and {highest:g}")
    if (HARMONICS + 1) * highest >= sampling_rate / 2:
        raise UserError(
            f"{HARMONICS} lines of a shaft at {highest:g} Hz need more than {2 * (HARMONICS + 1) * highest:g} samples a second, "
            f"and the recording has {sampling_rate:g}: search slower speeds"
        )
    found = np.asarray(samples[: round(SECONDS * sampling_rate), 0], np.float64)
    if len(found) < LEAST_REVOLUTIONS * sampling_rate / lowest:
        raise UserError(
            f"the recording lasts {len(found) / sampling_rate:.3g} s, and {LEAST_REVOLUTIONS:g} revolutions of {lowest:g} Hz "
            f"take {LEAST_REVOLUTIONS / lowest:.3g}: take a longer one, or search faster speeds"
        )
    if not np.isfinite(found).all() or np.ptp(found) == 0:
        raise UserError("the recording holds samples that are not finite, or no vibration at all")
    return found
