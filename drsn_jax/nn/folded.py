"""A trained network in as few operations as possible, for runtimes that carry out one operation after another (ONNX).

It computes what the modules compute in evaluation, to rounding, in float32 whatever the network's dtype. Norms are folded into
the convolutions, features are ``(batch, channels, positions)``, and no operation needs to know how many windows there are, so
that a graph with a symbolic batch has as many nodes as one with a fixed batch. Fully connected layers are convolutions over one
position for the same reason.

A norm in front of a ReLU loses its gains to the convolution behind the ReLU where all are positive::

    conv(ReLU(g·x + o)) = conv'(ReLU(x + o/g)),   conv' = conv with its kernel multiplied by g
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.functional.thresholding import threshold_rule
from drsn_jax.nn.layers import BatchNorm, centred_padding
from drsn_jax.nn.networks import Network

Tree = Mapping[str, Any]
TINY = np.float32(np.finfo(np.float32).tiny)  # in place of the divisor 0
BLOCK = 16  # channels that runtimes compute together: features of such widths are (batch, channels, 1, positions), see ``folded``
SMALLEST = 1e-6  # of the largest gain: smaller ones stay where they are


def folds(network: Network) -> bool:
    """Return whether ``folded`` covers a network: one for signals, with flax's convolution and this package's norm."""
    signals = len(network.kernel) == 1 and network.front_end is None
    return network.blocks and signals and network.conv is nn.Conv and network.norm is BatchNorm


def folded(network: Network, variables: Tree, without_mean: bool = True) -> Callable[[jax.Array], jax.Array]:
    """Return a function from windows ``(batch, length, channels)``, as they were recorded, to logits ``(batch, classes)``.

    The mean of the windows is removed inside unless ``without_mean`` is false, and the network scales them if it was trained so.
    A window that holds NaN or
    infinity has NaN in all logits. The network must be one that ``folds`` allows.
    """
    params, stats = variables["params"], variables["batch_stats"]
    # an axis of length 1 more lets onnxruntime compute 16 channels at a time: 10 % faster where widths are multiples of it, 4 %
    # slower for the widths 4, 8, 16 (experiments/benchmarks/export_speed.py)
    rows = (1,) if all(width % BLOCK == 0 for width in network.widths) else ()

    def logits(windows: jax.Array) -> jax.Array:
        x, broken = prepared(network, windows, rows, without_mean)
        kernel, bias = weights(params["stem_conv"])
        x = convolve(x, kernel, bias, network.stem, network.padding)
        features, gain = residual_units(network, params, stats, x)
        kernel, bias = weights(params["classifier"], gain)
        return without_positions(convolve(features, kernel, bias) + broken)

    return logits


def prepared(network: Network, windows: jax.Array, rows: tuple[int, ...], without_mean: bool) -> tuple[jax.Array, jax.Array]:
    """Return windows as the network sees them, and a number for each that is 0 or NaN; see ``centred``."""
    x, broken = centred(windows, rows, without_mean)
    if not network.standardise:
        if network.offset == 0.0 and network.scale == 1.0:
            return x, broken
        offset, scale = (over_positions(np.atleast_1d(getattr(network, name)), x) for name in ("offset", "scale"))
        return (x - offset) / scale, broken
    axes = tuple(range(1, x.ndim)) if network.standardise == "together" else -1
    # as in ``functional.signals.standardise``: divided by the peak first, so that the squares neither overflow nor vanish
    x = x / jnp.maximum(jnp.max(jnp.abs(x), axes, keepdims=True), TINY)
    return x / jnp.sqrt(jnp.maximum(jnp.mean(x * x, axes, keepdims=True), TINY)), broken


def centred(windows: jax.Array, rows: tuple[int, ...], without_mean: bool = True) -> tuple[jax.Array, jax.Array]:
    """Return windows without their mean, or with it, ``(batch, channels, *rows, length)``, and a number for each, ``(batch, 1,
    …)``.

    It is 0, or NaN where the window holds a number that is not finite.
    """
    length, channels = windows.shape[1:]
    # with one channel there is nothing to transpose
    x = windows if channels == 1 else jnp.transpose(windows, (0, 2, 1))
    x = jnp.reshape(x, (-1, channels, *rows, length)).astype(jnp.float32)
    first = x[..., :1]
    mean = jnp.mean(x - first, -1, keepdims=True)
    broken = mean * 0 if channels == 1 else jnp.sum(mean * 0, 1, keepdims=True)
    return (x - first) - mean if without_mean else x, broken


def residual_units(network: Network, params: Tree, stats: Tree, x: jax.Array) -> tuple[jax.Array, np.ndarray]:
    """Return the pooled features ``(batch, widths[-1], …, 1)`` of the output of the stem, and gains ``(widths[-1],)`` that are
    still to be multiplied by."""
    for stage, (width, count) in enumerate(zip(network.widths, network.units, strict=True)):
        for number in range(count):
            name = f"stages_{stage}_{number}"
            x = _unit(network, params[name], stats[name], x, width, 2 if number == 0 else 1)
    x, gain = _norm_relu(x, params["last_norm"], stats["last_norm"])
    return _position_mean(x), gain


def _unit(network: Network, params: Tree, stats: Tree, x: jax.Array, width: int, strides: int) -> jax.Array:
    y, gain = _norm_relu(x, params["norm_1"], stats["norm_1"])
    kernel, bias = weights(params["conv_1"], gain, *gain_and_offset(params["norm_2"], stats["norm_2"]))
    y = jax.nn.relu(convolve(y, kernel, bias, strides, network.padding))
    y = convolve(y, *weights(params["conv_2"]), padding=network.padding)
    if network.shrinkage is not None:
        y = _attention(network, params["attention"], stats.get("attention", {}), y)
    if network.shortcut is None:
        return y
    if "projection" in params:
        x = convolve(x, *weights(params["projection"]), strides, network.padding)
    elif strides > 1 or x.shape[1] < width:
        x = convolve(x, _selection(x.shape[1], width), None, strides)
    return y + x


def _attention(network: Network, params: Tree, stats: Tree, x: jax.Array) -> jax.Array:
    squeezed = network.shrinkage == "squeeze_excitation"
    average = _position_mean(x if squeezed else jnp.abs(x))
    gain, offset = (1.0, 0.0) if squeezed else gain_and_offset(params["norm"], stats["norm"])
    hidden = jax.nn.relu(convolve(average, *weights(params["dense_1"], 1.0, gain, offset)))
    alpha = jax.nn.sigmoid(convolve(hidden, *weights(params["dense_2"])))
    if squeezed:
        return x * alpha
    threshold = alpha * (average if network.shrinkage == "channel_wise" else jnp.mean(average, 1, keepdims=True))
    if network.threshold_rule != "soft":
        return threshold_rule(network.threshold_rule)(x, threshold)
    # the subtraction keeps NaN in x, whatever a runtime makes of it in the minimum and the maximum
    return x - jnp.maximum(jnp.minimum(x, threshold), -threshold)


def _norm_relu(x: jax.Array, params: Tree, stats: Tree) -> tuple[jax.Array, np.ndarray]:
    """Return ReLU(norm(x)) divided by gains, and the gains."""
    gain, offset = gain_and_offset(params, stats)
    if (gain > SMALLEST * np.abs(gain).max()).all():
        return jax.nn.relu(x + over_positions(offset / gain, x)), gain
    return jax.nn.relu(x * over_positions(gain, x) + over_positions(offset, x)), np.ones_like(gain)


def gain_and_offset(params: Tree, stats: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and offset, ``(channels,)`` in float64, of a norm with running statistics: ``norm(x) = x · gain + offset``."""
    gain = wide(params["scale"]) / np.sqrt(wide(stats["var"]) + BatchNorm.epsilon)
    return gain, wide(params["bias"]) - wide(stats["mean"]) * gain


def weights(params: Tree, before: Any = 1.0, gain: Any = 1.0, offset: Any = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel ``(features, channels, k)`` and bias ``(features,)`` of a convolution or fully connected layer (k = 1).

    ``before`` multiplies the channels of its input; ``gain`` multiplies its features, to which ``offset`` is added.
    """
    kernel = wide(params["kernel"])
    kernel = (kernel[None] if kernel.ndim == 2 else kernel).transpose(2, 1, 0)
    kernel = kernel * np.reshape(gain, (-1, 1, 1)) * np.reshape(before, (1, -1, 1))
    return kernel, wide(params["bias"]) * gain + offset


def convolve(
    x: jax.Array,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    strides: int = 1,
    padding: str | Sequence[tuple[int, int]] = "centred",
    groups: int = 1,
) -> jax.Array:
    """Convolve ``(batch, channels, *rows, positions)`` with a kernel ``(features, channels / groups, k)``."""
    rows = x.ndim - 3
    pads = centred_padding(kernel.shape[2:]) if padding == "centred" else padding
    pads = pads if isinstance(pads, str) else [*[(0, 0)] * rows, *pads]
    kernel_in_rows: Any = np.asarray(kernel, np.float32).reshape(*kernel.shape[:2], *(1,) * rows, kernel.shape[2])
    layout = ("NCHW", "OIHW", "NCHW") if rows else ("NCH", "OIH", "NCH")
    y = jax.lax.conv_general_dilated(
        x, kernel_in_rows, (*(1,) * rows, strides), pads, dimension_numbers=layout, feature_group_count=groups
    )
    return y if bias is None else y + over_positions(bias, y)


def _selection(channels: int, width: int) -> np.ndarray:
    """Return the kernel of one position that pads with zero channels, half in front and half behind, an odd one behind."""
    return np.eye(width, channels, -((width - channels) // 2))[:, :, None]


def _position_mean(x: jax.Array) -> jax.Array:
    return jnp.mean(x, tuple(range(2, x.ndim)), keepdims=True)


def without_positions(x: jax.Array) -> jax.Array:
    """Drop the axes of one position: ``(batch, channels, 1, …)`` → ``(batch, channels)``."""
    return jnp.squeeze(x, tuple(range(2, x.ndim)))


def over_positions(vector: np.ndarray, x: jax.Array) -> np.ndarray:
    """Return ``(channels,)`` in float32 as an array that broadcasts with ``x``."""
    return np.asarray(vector, np.float32).reshape(1, -1, *(1,) * (x.ndim - 2))


def wide(array: Any) -> np.ndarray:
    """Return an array in float64."""
    return np.asarray(array, np.float64)
