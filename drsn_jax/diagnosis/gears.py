"""What a recording shows of a gear: the lines of its mesh, and how strong the sidebands around them are.

It needs no training, but the speed of the shaft and the number of teeth. It accuses nobody: gears in good order have sidebands
too, and every shaft has lines at whole orders, which are those of a gear on it. How strong they were in recordings of the same
machine in good order is what tells (``gear_facts``).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.data.recording import Recording
from drsn_jax.diagnosis.evidence import (
    HARMONICS,
    LONGEST,
    SLIP,
    FaultEvidence,
    checked_samples,
    envelope_power,
    noise_level,
    of_fault,
)
from drsn_jax.functional.gears import GearOrders

SIDEBANDS = 2  # on each side of each line of the mesh
BESIDE = 0.2  # orders on either side of a line that belong to it: no shaft turns quite evenly
HIGHEST_DB = 30.0  # a line counts no more in the search of the speed, so that a single tone decides nothing
MESH_WEIGHT = 2.0  # and lines of the mesh count so many times a sideband
STANDS_OUT = 4.0  # standard deviations of noise: what is less is not told from it
NONE_DB = -30.0  # sidebands that do not stand out count as so weak when recordings are compared
MORE_DB = 3.0  # so much above the strongest of all healthy recordings is more than they have


class GearEvidence(NamedTuple):
    """The lines of a gear.

    Fields:
      mesh: the order at which its teeth mesh, in multiples of the shaft's speed.
      tooth: the distance of the sidebands, in the same.
      slip: how far the lines were found from it, relative: the error of the speed.
      above_db: how far the highest bin of each line of the mesh stands above the noise around, in dB; one to three lines, as many
        as the sampling rate shows.
      stands_out: whether any of these lines stands out of the noise.
      sidebands_db: the power of all sidebands relative to that of the mesh, in dB; None where one of both does not stand out.
      sun: of a planetary stage the lines of a fault of the sun, in the spectrum of the envelope; None for another gear, whose
        lines would be those of its shaft.
    """

    mesh: float
    tooth: float
    slip: float
    above_db: tuple[float, ...]
    stands_out: bool
    sidebands_db: float | None
    sun: FaultEvidence | None

    def __str__(self) -> str:
        if not self.stands_out:
            return f"no line of the mesh ({self.mesh:.4g}× the shaft) stands out of the noise"
        lines = ", ".join(f"{number * self.mesh:.4g}×" for number in range(1, len(self.above_db) + 1))
        heights = ", ".join(f"{value:.0f}" for value in self.above_db)
        told = f"lines of the mesh at {lines} the shaft stand {heights} dB above the noise around"
        if self.sidebands_db is None:
            return f"{told}, and no sidebands {self.tooth:.3g}× beside them"
        far = f"{abs(self.sidebands_db):.0f} dB {'below' if self.sidebands_db < 0 else 'above'} them"
        far = far if self.sidebands_db >= NONE_DB else f"more than {-NONE_DB:.0f} dB below them"
        return f"{told}, and the sidebands {self.tooth:.3g}× beside them are together {far}"


def gear_evidence(signal: np.ndarray, sampling_rate: float, speed: float, gear: GearOrders) -> GearEvidence:
    """Return what a recording shows of a gear.

    Up to three lines of the mesh, with two sidebands on each side, are looked for in the power spectrum, at one speed within
    1.2 % of the one that is given, and for a gear of many teeth within less than half a sideband: the one at which they stand
    highest together. The power of a line is that of the bins within 0.2 orders, less that of the noise there.

    Args:
      signal: a recording ``(length, 1)`` or ``(length,)``; several seconds are better than one.
      sampling_rate: in Hz.
      speed: of the shaft, in revolutions a second, constant over the recording.
      gear: its orders, by ``functional.named_gear``.

    Raises ValueError as ``bearing_evidence``, and where the mesh and its sidebands lie beyond half the sampling rate.

    Source: for sidebands and their ratio Randall, J. Mech. Des. 104(2), 1982.

    Example::

        >>> import numpy as np
        >>> from drsn_jax.functional import named_gear
        >>> turns = 25.0 * np.arange(50_000) / 10_000  # five seconds at 1,500 rpm
        >>> mesh = (1 + 0.5 * np.cos(2 * np.pi * turns)) * np.cos(2 * np.pi * 21 * turns)
        >>> found = gear_evidence(mesh + np.random.default_rng(0).normal(size=50_000), 10_000, 25.0, named_gear("21"))
        >>> round(found.sidebands_db)  # two of a quarter of its amplitude each
        -9
    """
    return gear_lines(signal, sampling_rate, speed, gear)[0]


def gear_lines(
    signal: np.ndarray, sampling_rate: float, speed: float, gear: GearOrders, *, with_sun: bool = True
) -> tuple[GearEvidence, np.ndarray, np.ndarray]:
    """Return the evidence, and the spectrum that shows it: its bins as orders of the shaft, ``(bins,)``, and their power,
    ``(bins,)``. Without ``with_sun`` no envelope is made. Arguments and errors as ``gear_evidence``."""
    samples = checked_samples(signal, sampling_rate, speed)
    samples = samples[: len(samples) // 2 * 2]
    bins = len(samples) * speed / sampling_rate  # of one order
    highest = sampling_rate / (2 * speed * (1 + SLIP))  # order that the rate shows
    margin = SIDEBANDS * gear.tooth + 1  # around each line of the mesh
    harmonics = min(HARMONICS, int((highest - margin) / gear.mesh))
    if harmonics < 1:
        raise UserError(
            f"the teeth mesh {gear.mesh * speed:.4g} times a second, which with its sidebands lies beyond half the sampling rate "
            f"of {sampling_rate:g} Hz: record at a higher one, or check speed and teeth"
        )
    power = _power(samples, math.ceil((harmonics * gear.mesh + margin) * bins * (1 + SLIP)))
    level = noise_level(power, max(1, round(len(power) / bins)))
    mesh = gear.mesh * np.arange(1, harmonics + 1)
    sides = (mesh[:, None] + sidebands(gear)).ravel()
    slip = _slip(power / level, bins, mesh, sides, 0.45 * gear.tooth / gear.mesh)
    found = [_line(power, level, float(order), bins * (1 + slip)) for order in mesh]
    strength = sum(line for line, _ in found)
    around = sum(_line(power, level, float(order), bins * (1 + slip))[0] for order in sides)
    ratio = 10 * math.log10(around / strength) if strength > 0 and around > 0 else None
    heights = tuple(height for _, height in found)
    sun = _sun(samples, bins, gear) if with_sun else None
    evidence = GearEvidence(gear.mesh, gear.tooth, slip, heights, strength > 0, ratio, sun)
    return evidence, np.arange(len(power)) / bins, power


def sidebands(gear: GearOrders) -> np.ndarray:
    """Return how far the sidebands that are looked at stand from a line of the mesh, in orders: not those that are nearer to the
    next line."""
    numbers = np.array([number for number in range(-SIDEBANDS, SIDEBANDS + 1) if number])
    return gear.tooth * numbers[np.abs(numbers) * gear.tooth < gear.mesh / 2]


def _power(samples: np.ndarray, count: int) -> np.ndarray:
    """Return the first bins of the power spectrum of samples, ``(count,)``."""
    samples = samples.astype(np.float64) - samples.mean()
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(samples)) / len(samples))
    return np.square(np.abs(np.fft.rfft(samples * hann)[:count]))


def _slip(above: np.ndarray, bins: float, mesh: np.ndarray, sides: np.ndarray, most: float) -> float:
    """Return at which error of the speed the lines stand highest together."""
    orders = np.concatenate([mesh, sides])
    weights = np.where(np.arange(len(orders)) < len(mesh), MESH_WEIGHT, 1.0)
    heights = np.clip(10 * np.log10(np.maximum(above, 1e-30)), 0, HIGHEST_DB)
    most = min(SLIP, most)
    # a quarter of a bin of the highest line from one to the next, and none at all in the middle
    steps = math.ceil(most * orders.max() * bins / 0.25)
    slips = np.linspace(-most, most, 2 * steps + 1)
    places = np.round(orders[:, None] * bins * (1 + slips)).astype(int).clip(max=len(heights) - 1)
    return float(slips[np.argmax(weights @ heights[places])])


def _line(power: np.ndarray, level: np.ndarray, order: float, bins: float) -> tuple[float, float]:
    """Return the power of a line without that of the noise, 0 where it does not stand out, and how far its highest bin is above
    the noise, in dB."""
    own = slice(round((order - BESIDE) * bins), round((order + BESIDE) * bins) + 1)
    relative = power[own] / level[own]
    excess = float(np.sum(power[own] - level[own]))
    stands_out = relative.sum() - len(relative) > STANDS_OUT * math.sqrt(len(relative))
    return excess if stands_out else 0.0, float(10 * np.log10(max(relative.max(), 1e-3)))


def _sun(samples: np.ndarray, bins: float, gear: GearOrders) -> FaultEvidence | None:
    """Return the evidence for a fault of the sun of a planetary stage in the spectrum of the envelope."""
    if gear.tooth == 1:
        return None
    return of_fault(
        np.asarray(envelope_power(samples), np.float64),
        bins,
        "sun",
        "the rate at which a tooth meets planets",
        gear.tooth,
        HARMONICS,
    )


def gear_facts(recordings: Sequence[Recording], healthy: Sequence[Recording]) -> dict[str, Any]:
    """Return what is known of the gear of all recordings, as facts by name for the description of a model.

    They are ``gear``, its orders by name, where all have the same, and ``healthy_sidebands_db``, how strong the sidebands are in
    each of the ``healthy`` ones whose speed is known; none where the lines cannot be looked for.
    """
    gear = recordings[0].gear
    if gear is None or not all(r.gear is not None and np.allclose(r.gear, gear, 1e-6) for r in recordings):
        return {}
    facts: dict[str, Any] = {"gear": gear._asdict()}
    found = [compared(evidence) for r in healthy if (evidence := _of_recording(r, gear)) is not None and evidence.stands_out]
    return {**facts, "healthy_sidebands_db": found} if found else facts


def _of_recording(recording: Recording, gear: GearOrders) -> GearEvidence | None:
    if recording.speed is None:
        return None
    rate = recording.sampling_rate * (recording.speed if recording.per_revolution else 1)
    try:
        samples = np.asarray(recording.signal[:LONGEST, :1])
        return gear_lines(samples, rate, recording.speed, gear, with_sun=False)[0]
    except UserError:  # too short, silent, or a mesh beyond half the sampling rate: there is nothing to compare with
        return None


def compared(evidence: GearEvidence) -> float:
    """Return how strong the sidebands are, in dB, for a comparison: no less than ``NONE_DB``."""
    return NONE_DB if evidence.sidebands_db is None else max(NONE_DB, evidence.sidebands_db)


def against_healthy(evidence: GearEvidence, healthy: Sequence[float]) -> str:
    """Return how the sidebands compare with those of healthy recordings, a clause; nothing where there is none to compare."""
    if not healthy or not evidence.stands_out:
        return ""
    low, high = min(healthy), max(healthy)
    spread = f"up to {round(high)} dB" if low <= NONE_DB or round(low) == round(high) else f"{round(low)} to {round(high)} dB"
    count = f"{len(healthy)} healthy {'recording' if len(healthy) == 1 else 'recordings'} of the training"
    if compared(evidence) > high + MORE_DB:
        return f"that is more than in {count} ({spread})"
    return f"the {count} had {spread}"
