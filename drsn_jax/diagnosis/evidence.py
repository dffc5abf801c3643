"""What physics says about a recording of a rolling bearing: which of its faults has lines in the spectrum of the envelope.

It needs no training, but the speed of the shaft and the geometry of the bearing. A fault is struck at a rate that geometry fixes,
so its lines stand at multiples of a known order; chance decides how high the highest of many bins of noise stands. ``decades``
compares the two.
"""

import math
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax.core.arrays import as_window
from drsn_jax.core.errors import UserError
from drsn_jax.functional.envelopes import prewhiten, squared_envelope
from drsn_jax.functional.orders import BearingOrders

SLIP = 0.012  # rolling elements slip: lines are looked for so far from the order of the geometry, relative
LONGEST = 2**21  # samples of a recording: more lines are no surer, and their spectrum takes memory
LEAST_REVOLUTIONS = 20.0  # bins are narrow enough then to have neighbours
AROUND = 0.5  # orders on either side of a line that are its neighbourhood
HARMONICS = 3  # lines of each fault that are added up
HIGHEST = 10.0  # a line counts as no more than so many times its neighbourhood: one alone is no proof
SURE = 4.0  # decades from which on a fault is told: noise reaches them once in ten thousand recordings


class FaultEvidence(NamedTuple):
    """How strongly the lines of one fault stand out.

    Fields:
      fault: ``"inner race"``, ``"outer race"`` or ``"ball"``; ``"sun"`` of a planetary gear, see ``gear_evidence``.
      name: of its order, such as ``"BPFI"``.
      order: of its first line by the geometry, in multiples of the shaft's speed.
      slip: how far the lines were found from it, relative.
      above_db: how far each line stands above its neighbourhood, in dB.
      decades: how unlikely such lines are in noise: 4 means once in 10,000 recordings without any fault; from 0.
    """

    fault: str
    name: str
    order: float
    slip: float
    above_db: tuple[float, ...]
    decades: float

    @property
    def sure(self) -> bool:
        """Whether the lines are hardly noise."""
        return self.decades >= SURE

    def __str__(self) -> str:
        lines = ", ".join(f"{number}×" for number in range(1, len(self.above_db) + 1))
        heights = ", ".join(f"{value:.0f}" for value in self.above_db)
        told = f"lines at {lines} {self.name} stand {heights} dB above their neighbourhood"
        return told if self.sure else f"{told}, as noise may do"


def bearing_evidence(
    signal: np.ndarray, sampling_rate: float, speed: float, bearing: BearingOrders, harmonics: int = HARMONICS
) -> list[FaultEvidence]:
    """Return the evidence for each fault of a bearing, the strongest first.

    The signal is pre-whitened, and the power spectrum of its squared envelope is divided by the local level of its noise (the
    median of the bins around, divided by ln 2, their mean in noise). Multiples of the fault's order are then added up at one slip
    for all of them, and the slip with the highest sum is taken. A sum of ``harmonics`` bins of noise follows a gamma
    distribution, and as many sums are tried as the lines pass bins within the range of slips.

    Args:
      signal: a recording ``(length, 1)`` or ``(length,)``; several seconds are better than one.
      sampling_rate: in Hz.
      speed: of the shaft that turns the inner ring, in revolutions a second, constant over the recording.
      bearing: its orders, by ``bearing_orders``.
      harmonics: how many lines of each fault are added up.

    Raises ValueError for several channels, samples that are not finite, a speed or rate that is not positive, a recording of
    fewer than 20 revolutions, one without any power, and where the highest line lies beyond half the sampling rate.

    Source: Smith and Randall, Mech. Syst. Signal Process. 64-65, 2015, which compares such methods on the same recordings.

    Example::

        >>> import numpy as np
        >>> from drsn_jax.functional import bearing_orders
        >>> bearing = bearing_orders(balls=9, ball_diameter=7.94, pitch_diameter=39.04)
        >>> signal = np.random.default_rng(0).normal(size=60_000)  # five seconds
        >>> strokes = (np.arange(60_000) * 30 * bearing.bpfi / 12_000) % 1 < 0.01  # the inner race is struck 162 times a second
        >>> strongest = bearing_evidence(signal + 6 * strokes, 12_000, speed=30.0, bearing=bearing)[0]
        >>> strongest.fault, strongest.sure
        ('inner race', True)
    """
    orders, power = line_powers(signal, sampling_rate, speed, bearing, harmonics)
    return evidence_in(orders, power, bearing, harmonics)


def evidence_in(orders: np.ndarray, power: np.ndarray, bearing: BearingOrders, harmonics: int = HARMONICS) -> list[FaultEvidence]:
    """Return the evidence in a spectrum that ``line_powers`` made, as ``bearing_evidence``."""
    bins = 1 / orders[1]  # of one order
    faults = (("inner race", "BPFI", bearing.bpfi), ("outer race", "BPFO", bearing.bpfo), ("ball", "2×BSF", 2 * bearing.bsf))
    evidence = [of_fault(power, bins, *fault, harmonics) for fault in faults]
    return sorted(evidence, key=lambda one: one.decades, reverse=True)


def line_powers(
    signal: np.ndarray, sampling_rate: float, speed: float, bearing: BearingOrders, harmonics: int = HARMONICS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectrum in which ``bearing_evidence`` looks for lines: its bins as orders of the shaft, ``(bins,)``, and their
    power, ``(bins,)``. Arguments and errors as there."""
    found = checked_samples(signal, sampling_rate, speed)
    highest = harmonics * max(bearing.bpfi, bearing.bpfo, 2 * bearing.bsf) * speed
    if harmonics < 1 or highest * (1 + SLIP) + AROUND * speed >= sampling_rate / 2:
        raise UserError(
            f"{harmonics} lines of each fault reach {highest:.4g} Hz, and a rate of {sampling_rate:g} Hz shows less than half of "
            "itself: ask for fewer harmonics, at least one"
        )
    found = found[: len(found) // 2 * 2]
    power = np.asarray(envelope_power(found), np.float64)
    return np.arange(len(power)) * (sampling_rate / (len(found) * speed)), power


def noise_level(power: np.ndarray, count: int) -> np.ndarray:
    """Return the level of the noise at each bin of a power spectrum, ``(bins,)``: the medians of ``count`` stretches, divided by
    ln 2, their mean in noise, and straight lines between. It is never 0."""
    places = np.arange(len(power))
    stretches = np.array_split(places, count)
    levels = [np.median(power[own]) / math.log(2) for own in stretches]
    return np.maximum(np.interp(places, [own.mean() for own in stretches], levels), np.finfo(float).tiny)


def checked_samples(signal: np.ndarray, sampling_rate: float, speed: float) -> np.ndarray:
    """Return the samples ``(length,)`` of one channel; raise UserError for what cannot be looked at."""
    samples = as_window(np.asarray(signal)[:, None] if np.ndim(signal) == 1 else signal)
    if samples.ndim != 2 or samples.shape[1] != 1:
        raise UserError(f"the evidence is that of one channel (length, 1), got the shape {samples.shape}")
    if not (0 < sampling_rate < math.inf and 0 < speed < math.inf):
        raise UserError(f"speed and sampling rate are positive numbers of Hz, got {speed} and {sampling_rate}")
    found = np.asarray(samples[:, 0], np.float32)
    if not np.isfinite(found).all() or np.ptp(found) == 0:
        raise UserError("the recording holds samples that are not finite, or no vibration at all")
    if (turns := len(found) * speed / sampling_rate) < LEAST_REVOLUTIONS:
        raise UserError(
            f"the recording has {turns:.3g} revolutions of the shaft, and lines are told apart from {LEAST_REVOLUTIONS:g} on: "
            "take a longer one"
        )
    return found


@jax.jit
def envelope_power(samples: jax.Array) -> jax.Array:
    """Return the power spectrum of the squared envelope of the pre-whitened samples, ``(length // 2 + 1,)``."""
    squares = squared_envelope(prewhiten(samples[:, None] - samples.mean()))[:, 0]
    squares = squares - squares.mean()
    hann = 0.5 - 0.5 * jax.numpy.cos(2 * math.pi * jax.numpy.arange(len(squares), dtype=squares.dtype) / len(squares))
    return jax.numpy.square(jax.numpy.abs(jax.numpy.fft.rfft(squares * hann)))


def of_fault(power: np.ndarray, bins: float, fault: str, name: str, order: float, harmonics: int) -> FaultEvidence:
    """Return the evidence for lines at multiples of ``order``; an order is so many ``bins`` of the spectrum wide."""
    numbers = np.arange(1, harmonics + 1)
    # a quarter of a bin of the highest line from one slip to the next
    slips = np.arange(-SLIP, SLIP, 0.25 / (harmonics * order * bins))
    places = np.round(numbers[:, None] * order * bins * (1 + slips)).astype(int)
    heights = np.empty(places.shape)
    for row, place in zip(heights, places, strict=True):
        around = power[max(1, int(place[0] - AROUND * bins)) : int(place[-1] + AROUND * bins) + 1]
        level = np.median(around) / math.log(2)
        row[:] = power[place] / (level or np.finfo(float).tiny)
    sums = np.minimum(heights, HIGHEST).sum(0)
    best = int(np.argmax(sums))
    # sums of which at least one line lies in another bin
    tried = max(1.0, 2 * SLIP * sum(numbers) * order * bins)
    unlikely = tried * _gamma_above(float(sums[best]), harmonics)
    above = tuple(float(10 * np.log10(max(height, 1e-3))) for height in heights[:, best])
    return FaultEvidence(fault, name, order, float(slips[best]), above, max(0.0, -math.log10(max(unlikely, 1e-300))))


def _gamma_above(value: float, count: int) -> float:
    """Return how likely the sum of ``count`` exponential variables of mean 1 is above a value."""
    return math.exp(-value) * sum(value**k / math.factorial(k) for k in range(count))
