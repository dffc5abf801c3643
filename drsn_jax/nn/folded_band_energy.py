"""The network of band energies in as few operations as possible (see ``folded``).

The Fourier transform of the rhythm is a product with a constant matrix, the norm of the views a part of the classifier, and the
mean of frames is taken of the energies themselves, not by exponentials of their logarithms.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.functional.band_energies import FLOOR, band_filters
from drsn_jax.nn.band_energy import LOWEST, BandEnergyNetwork
from drsn_jax.nn.folded import (
    Tree,
    convolve,
    gain_and_offset,
    over_positions,
    prepared,
    residual_units,
    weights,
    wide,
    without_positions,
)
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.networks import Network

ROWS = (1,)  # features are (batch, channels, 1, positions): there are many channels


def folds_band_energy(network: Network) -> bool:
    """Return whether ``folded_band_energy`` covers a network: with flax's convolution and this package's norm."""
    return type(network) is BandEnergyNetwork and network.conv is nn.Conv and network.norm is BatchNorm


def folded_band_energy(network: Any, variables: Tree, without_mean: bool = True) -> Callable[[jax.Array], jax.Array]:
    """Return a function from windows ``(batch, length, channels)``, as they were recorded, to logits ``(batch, classes)``; see
    ``folded.folded``."""
    params, stats = variables["params"], variables["batch_stats"]

    def logits(windows: jax.Array) -> jax.Array:
        x, broken = prepared(network, windows, ROWS, without_mean)
        energies, level = _energies(network, x)
        logs = _logarithms(energies, level)
        rhythm = _rhythm(network, params["rhythm"]["shares"], logs)
        gain, offset = gain_and_offset(params["views_norm"], stats["views_norm"])
        kernel, bias = weights(params["classifier"])
        kernel, bias = kernel * gain[:, None], bias + kernel[:, :, 0] @ offset
        # the views are not joined: each has its part of the classifier's kernel
        bands, lines = logs.shape[1], rhythm.shape[-1]
        of_level, of_rhythm, of_units = np.split(kernel, [bands, bands + lines * network.views], 1)
        of_rhythm = of_rhythm.reshape(-1, lines, network.views).transpose(0, 2, 1)
        y = convolve(jnp.mean(logs, (2, 3), keepdims=True), of_level, bias) + convolve(rhythm, of_rhythm, padding="VALID")
        if network.over_time:
            units, gain = _over_time(network, params, stats, energies, level)
            y = y + convolve(units, of_units * gain[:, None])
        return without_positions(y + broken)

    return logits


def _energies(network: BandEnergyNetwork, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    """Return the energies with their floor, ``(batch, channels · bands, 1, frames)``, and the logarithm that is to be added to
    theirs, ``(batch, channels, 1, 1)``; None for windows of variance 1."""
    level, channels, length = None, x.shape[1], x.shape[-1]
    if not network.standardise:
        peak = jnp.max(jnp.abs(x), -1, keepdims=True)
        peak = jnp.where(peak == 0, 1, peak)
        x, level = x / peak, 2 * jnp.log(peak)
    filters = band_filters(network.bands, network.frame).T[:, None]
    missing = [(0, max(0, network.frame - length))]
    parts = [convolve(x, np.tile(part, (channels, 1, 1)), None, network.hop, missing, channels) for part in np.split(filters, 2)]
    energies = parts[0] * parts[0] + parts[1] * parts[1]
    if channels > 1:
        energies = jnp.reshape(energies, (-1, channels, network.bands, energies.shape[-1]))
    mean = jnp.mean(energies, (2, 3) if channels > 1 else (1, 2, 3), keepdims=True)
    energies = energies + FLOOR * jnp.where(mean == 0, 1, mean)
    return jnp.reshape(energies, (-1, channels * network.bands, *ROWS, energies.shape[-1])) if channels > 1 else energies, level


def _logarithms(energies: jax.Array, level: jax.Array | None) -> jax.Array:
    """Return the logarithms of energies, with the level of each channel."""
    logs = jnp.log(energies)
    if level is None:
        return logs
    channels, (bands, frames) = level.shape[1], (logs.shape[1], logs.shape[-1])
    return jnp.reshape(jnp.reshape(logs, (-1, channels, bands // channels, frames)) + level, (-1, bands, *ROWS, frames))


def _rhythm(network: BandEnergyNetwork, shares: jax.Array, logs: jax.Array) -> jax.Array:
    """Return the logarithms of the averaged power of the rhythm, ``(batch, views, 1, lines)``."""
    power = jnp.square(jnp.matmul(logs, np.asarray(_transform(logs.shape[-1]), np.float32)))
    real, imaginary = jnp.split(power, 2, -1)
    share = np.exp(wide(shares) - wide(shares).max(0))
    return jnp.log(convolve(real + imaginary, (share / share.sum(0)).T[:, :, None]) + LOWEST)


def _transform(frames: int, most: int = 128) -> np.ndarray:
    """Return cosines, and behind them sines, ``(frames, 2 · lines)``: what ``band_energies.modulation_power`` squares."""
    points = max(frames, 2)
    angles = 2 * np.pi * np.outer(np.arange(frames), np.arange(1, min(points // 2, most) + 1)) / points
    waves = np.concatenate([np.cos(angles), np.sin(angles)], 1) / np.sqrt(frames)
    return waves - waves.mean(0)  # the mean over time is removed by that


def _over_time(
    network: BandEnergyNetwork, params: Tree, stats: Tree, energies: jax.Array, level: jax.Array | None
) -> tuple[jax.Array, np.ndarray]:
    """Return what the residual units see in the energies over time, and its gains; see ``folded.residual_units``."""
    bands, pool = energies.shape[1], min(network.pool, energies.shape[-1])
    pooled = convolve(energies, np.ones((bands, 1, pool)), None, pool, "VALID", bands)
    gain, offset = gain_and_offset(params["band_norm"], stats["band_norm"])
    x = _logarithms(pooled, level)
    x = x * over_positions(gain, x) + over_positions(offset, x)
    x = convolve(x, *weights(params["stem_conv"]), network.stem, network.padding)
    return residual_units(network, params, stats, x)
