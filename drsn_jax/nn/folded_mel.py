"""A log-mel front end in operations that ONNX has (see ``folded``): its Fourier transform is a convolution with waves."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.functional.mel import SILENCE, LogMel
from drsn_jax.nn.folded import Tree, centred, convolve, without_positions


def behind_front_end(network: Any, variables: Tree, without_mean: bool = True) -> Callable[[jax.Array], jax.Array]:
    """Return a function from windows ``(batch, length, channels)``, as they were recorded, to logits ``(batch, classes)``.

    The network has a front end, and what lies behind it is computed by the modules; see ``folded.folded``.
    """
    plain = network.clone(front_end=None, dtype=None, implementation="modules")

    def logits(windows: jax.Array) -> jax.Array:
        x, broken = centred(windows, (1,), without_mean)
        return plain.apply(variables, _log_mel(network.front_end, x), train=False) + without_positions(broken)

    return logits


def _log_mel(front_end: LogMel, x: jax.Array) -> jax.Array:
    """Return log-mel spectrograms ``(batch, frames, mels, channels)`` of ``(batch, channels, 1, length)``."""
    channels, frame = x.shape[1], front_end.frame
    peak = jnp.max(jnp.abs(x), (1, 2, 3), keepdims=True)
    peak = jnp.where(peak == 0, 1, peak)
    time, half = np.arange(frame), frame // 2
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / frame)
    angles = 2 * np.pi * np.outer(np.arange(half + 1), time) / frame
    parts = [
        convolve(x / peak, np.tile((hann * wave)[:, None], (channels, 1, 1)), None, front_end.hop, [(half, half)], channels)
        for wave in (np.cos(angles), np.sin(angles))
    ]
    filters = np.tile(front_end.filters()[:, :, None], (channels, 1, 1))
    power = convolve(parts[0] * parts[0] + parts[1] * parts[1], filters, groups=channels)
    floor = jnp.maximum(jnp.max(power, (1, 2, 3), keepdims=True) * np.float32(10 ** (-front_end.range_db / 10)), SILENCE)
    logs = jnp.log(jnp.maximum(power, floor)) + 2 * jnp.log(peak)
    return jnp.transpose(jnp.reshape(logs, (-1, channels, front_end.mels, logs.shape[-1])), (0, 3, 2, 1))
