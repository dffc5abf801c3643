"""The speed of a shaft, found in a vibration: the spacing at which lines stand in its spectrum."""

import math
from typing import NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.evidence import noise_level

HARMONICS = 5  # lines of the shaft that are added up: with three a fault's lines win, with eight twice the speed
HIGHEST_DB = 30.0  # one line counts no more, so that a single tone is no shaft
LEVEL_HZ, LEVEL_BINS = 15.0, 20  # the noise around is the median of stretches so wide, of at least so many bins
STANDS_OUT_DB = 9.0  # noise reaches it in one bin of 2,800, and in three lines of one speed hardly ever
LINES = 3  # of the five that must stand out, one of them odd: the even ones alone are those of twice the speed
OTHER = 0.03  # a speed that is farther from the best, relative, is another one
CLEAR = 0.8  # the speed is known where every other one has less than this share of the best one's sum
BEYOND = 1.2  # rivals are looked for so far outside the range: in a very narrow one anything would be without a rival
MAINS = (50.0, 60.0)  # Hz, whose multiples hum in every cable: a shaft at just this speed cannot be told from them
MAINS_WITHIN = 0.002  # relative
SECONDS = 20.0  # of a recording: a shaft that drifts would smear over more bins of a longer one
LEAST_REVOLUTIONS = 20.0  # of the slowest speed: fewer have no lines that could be told apart


class ShaftSpeed(NamedTuple):
    """A speed that was found.

    Fields:
      hz: in revolutions a second, the best one of the range.
      rival: what share of its sum the best of all other speeds has, a fifth outside the range too: near 1 it is a guess, and
        above 1 a speed outside is better.
      above_db: how far each of its five lines stands above the noise around, in dB, from 0 to 30.
    """

    hz: float
    rival: float
    above_db: tuple[float, ...]

    @property
    def known(self) -> bool:
        """Whether at least three of its lines stand out, one of them odd, and no other speed is nearly as good."""
        lines = [height >= STANDS_OUT_DB for height in self.above_db]
        return sum(lines) >= LINES and any(lines[::2]) and self.rival < CLEAR


def shaft_speed(signal: np.ndarray, sampling_rate: float, lowest: float, highest: float) -> ShaftSpeed:
    """Return the speed between ``lowest`` and ``highest``, in revolutions a second, whose first five multiples stand out most.

    For each speed the heights of the lines at its multiples are added up, in dB above the noise around, each from 0 to 30. A
    narrow range makes the answer surer: half the speed, twice it, and lines of gears and bearings are then outside. Of several
    shafts the one with the strongest lines is found, and none at the frequency of the mains, 50 or 60 Hz.

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
    count = math.ceil((HARMONICS + 0.5) * BEYOND * highest * bins)
    power = np.square(np.abs(np.fft.rfft(samples * hann)[:count]))
    stretches = max(1, min(round(len(power) / (LEVEL_HZ * bins)), len(power) // LEVEL_BINS))
    heights = np.clip(10 * np.log10(np.maximum(power, np.finfo(float).tiny) / noise_level(power, stretches)), 0, HIGHEST_DB)
    # a quarter of a bin of the highest line from one speed to the next
    speeds = np.arange(lowest / BEYOND, highest * BEYOND, 0.25 / (HARMONICS * bins))
    numbers = np.arange(1, HARMONICS + 1)
    lines = heights[np.round(numbers[:, None] * speeds * bins).astype(int).clip(max=len(heights) - 1)]
    sums, inside = lines.sum(0), (speeds >= lowest) & (speeds <= highest)
    humming = np.any([np.abs(speeds / mains - 1) < MAINS_WITHIN for mains in MAINS], axis=0)
    best = int(np.argmax(np.where(inside & ~humming, sums, -1)))
    # just outside of the range the same lines may be higher: the shaft turns at another speed than was thought
    others = sums[~humming & ((np.abs(speeds / speeds[best] - 1) > OTHER) | ~inside & (sums > sums[best]))]
    rival = float(others.max() / sums[best]) if len(others) and sums[best] > 0 else 1.0
    return ShaftSpeed(float(speeds[best]), rival, tuple(map(float, lines[:, best])))


def _checked(signal: np.ndarray, sampling_rate: float, lowest: float, highest: float) -> np.ndarray:
    """Return the samples that are looked at, ``(length,)``; raise UserError for what cannot be."""
    samples = np.asarray(signal)[:, None] if np.ndim(signal) == 1 else np.asarray(signal)
    if samples.ndim != 2 or samples.shape[1] != 1:
        raise UserError(f"a speed is found in one channel (length, 1), got the shape {samples.shape}")
    if not 0 < sampling_rate < math.inf:
        raise UserError(f"a sampling rate is a positive number of Hz, got {sampling_rate}")
    if not 0 < lowest < highest < math.inf:
        raise UserError(f"a range of speeds has two positive numbers, the lower one first, got {lowest:g} and {highest:g}")
    if (needed := 2 * (HARMONICS + 0.5) * BEYOND * highest) >= sampling_rate:
        raise UserError(
            f"{HARMONICS} lines of a shaft at {highest:g} Hz need more than {needed:g} samples a second, "
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
