"""What a network may be given of a window: the window, the spectrum of its envelope, or its energies in bands over time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from drsn_jax.functional import signals
from drsn_jax.functional.band_energies import log_band_energies, modulation_power
from drsn_jax.nn.band_energy import LOWEST

BANDS = 32


def raw(window: jax.Array) -> jax.Array:
    """Return the window itself, each channel with mean 0 and variance 1."""
    return signals.standardise(window)


def envelope_spectrum(window: jax.Array) -> jax.Array:
    """Return the logarithm of the envelope's spectrum ``(lines, channels)``: how strongly the energies in 32 bands rise and fall
    at each rate, averaged over the bands. The number of lines is a multiple of 8."""
    energies = log_band_energies(signals.standardise(window), BANDS, hop=8)
    power = jnp.mean(modulation_power(energies), -1)
    return signals.standardise(jnp.log(power[: _multiple(len(power))] + LOWEST))


def time_frequency(window: jax.Array) -> jax.Array:
    """Return log energies in 32 bands over time, ``(frames, channels · bands)``. The number of frames is a multiple of 8."""
    energies = log_band_energies(signals.standardise(window), BANDS)
    return signals.standardise_together(energies[: _multiple(len(energies))].reshape(_multiple(len(energies)), -1))


def _multiple(length: int) -> int:
    return max(1, length - length % 8)


# name → what the network is given of a window, and the fields of that network
REPRESENTATIONS: dict[str, tuple[Callable[[jax.Array], jax.Array], dict[str, Any]]] = {
    "raw": (raw, {"widths": (4, 8, 16), "units": (2, 2, 2)}),
    "envelope_spectrum": (envelope_spectrum, {"widths": (16, 16), "units": (2, 2), "stem": 1}),
    "time_frequency": (time_frequency, {"widths": (16, 16), "units": (2, 2), "stem": 1}),
}
