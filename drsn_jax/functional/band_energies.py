"""The energy of a window in frequency bands over time: what a network that works in strong noise is given in place of samples.

It is a pure function of a window ``(length, channels)``, which can be compiled, mapped and differentiated. Several windows:
``jax.vmap``.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program, wide_dtype
from drsn_jax.core.errors import UserError

FLOOR = 1e-4  # the energy, relative to the mean of its channel, that counts as silence: 40 dB below it


def log_band_energies(window: ArrayLike, bands: int = 64, frame: int = 64, hop: int = 16) -> jax.Array:
    """Return the logarithm of the energy in frequency bands, ``(frames, channels, bands)``, in the dtype of the window.

    With Hann-windowed cosines c and sines s of ``frame`` samples at the frequencies ``(k + ½) / (2 · bands)`` of the sampling
    rate, scaled so that white noise of variance 1 has the mean energy 1 in each band::

        E(t, k) = (Σ c_k(n) x(t·hop + n))² + (Σ s_k(n) x(t·hop + n))²;      y = ln(E + 10⁻⁴ · mean E)

    The mean is over all bands and frames of a channel, so that its gain changes ``y`` by a constant alone. A silent channel has
    ``ln 10⁻⁴``. There are ``1 + (length - frame) // hop`` frames; a window that is shorter than a frame is filled up with zeros.

    Raises ValueError for a window that is not ``(length, channels)``, and for numbers below 1.
    """
    window = as_window(window)
    if window.ndim != 2:
        raise UserError(f"energies are those of a signal (length, channels), got the shape {window.shape}")
    if min(bands, frame, hop) < 1:
        raise UserError(f"bands, frame and hop are numbers from 1, got {bands}, {frame} and {hop}")
    return _log_band_energies(window, bands, frame, hop)


@in_one_program("bands", "frame", "hop")
def _log_band_energies(window: jax.Array, bands: int, frame: int, hop: int) -> jax.Array:
    wide = window.astype(wide_dtype(window.dtype))
    # divided by the peak of each channel first, so that the squares neither overflow nor vanish; a constant to the gradient
    peak = jax.lax.stop_gradient(jnp.max(jnp.abs(wide), 0, keepdims=True))
    peak = jnp.where(peak == 0, 1, peak)
    signals = (wide / peak).T
    if (missing := frame - signals.shape[1]) > 0:
        signals = jnp.pad(signals, ((0, 0), (0, missing)))
    starts = np.arange(0, signals.shape[1] - frame + 1, hop)
    frames = signals[:, starts[:, None] + np.arange(frame)]  # (channels, frames, frame)
    parts = jnp.einsum("ctn,nk->tck", frames, band_filters(bands, frame).astype(wide.dtype), precision="highest")
    energy = jnp.square(parts[..., :bands]) + jnp.square(parts[..., bands:])
    mean = jnp.mean(energy, (0, 2), keepdims=True)
    # not the logarithm of nearly nothing, which would outweigh all other windows of a batch in the statistics of its norm
    floor = FLOOR * jnp.where(mean == 0, 1, mean)
    return (jnp.log(energy + floor) + 2 * jnp.log(peak)[:, :, None]).astype(window.dtype)


@functools.lru_cache(maxsize=16)
def band_filters(bands: int, frame: int) -> np.ndarray:
    """Return the cosines, and behind them the sines, ``(frame, 2 · bands)``."""
    time = np.arange(frame)[:, None] - (frame - 1) / 2
    hann = np.sin(np.pi * (np.arange(frame)[:, None] + 0.5) / frame) ** 2
    phase = 2 * np.pi * time * (np.arange(bands) + 0.5) / (2 * bands)
    filters = np.concatenate([hann * np.cos(phase), hann * np.sin(phase)], 1) / np.sqrt(np.sum(hann**2))
    filters.flags.writeable = False
    return filters


@in_one_program("most")
def modulation_power(energies: jax.Array, most: int = 128) -> jax.Array:
    """Return how strongly each band rises and falls at each rate, ``(lines, channels, bands)``, from ``log_band_energies``.

    It is the power spectrum of the log energies over time, divided by the number of frames, without its first bin: line ``l`` is
    the rate ``(l + 1) / (frames · hop)`` of the sampling rate. A fault that strikes regularly has lines at its rate and at
    multiples of it. There are as many lines as half the frames, at least one, and no more than ``most``.
    """
    frames = energies.shape[0]
    wide = energies.astype(wide_dtype(energies.dtype))
    centred = wide - jnp.mean(wide, 0, keepdims=True)
    spectrum = jnp.fft.rfft(centred, n=max(frames, 2), axis=0)[1 : 1 + most]
    return ((jnp.square(spectrum.real) + jnp.square(spectrum.imag)) / frames).astype(energies.dtype)
