"""Layers on blocks (see ``blocked``): norm → ReLU → convolution, means and thresholds, the shortcut.

The rules for the backward pass keep few arrays and read each of them few times, because memory is slower than arithmetic here.
JAX cannot differentiate functions with such rules in forward mode.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.nn.blocked import (
    Shape,
    channel_sums,
    channel_sums_of,
    collect,
    convolve,
    narrow,
    rows_of_a_group,
    sums_of_rows,
    widen,
    zero_after,
)

_custom_vjp: Any = jax.custom_vjp  # its own type loses what the function returns


# normalisation


@functools.partial(_custom_vjp, nondiff_argnums=(5, 6, 7))
def norm_relu_convolve(
    x: jax.Array,
    bias: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    matrix: jax.Array,
    shape: Shape,
    epsilon: float,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Apply batch normalisation, ReLU and convolution to ``x + bias``, by the statistics of the batch.

    Args:
      x: blocks ``(batch · blocks, width)``.
      bias: of the layer before, ``(channels,)``. In front of a norm it shifts the mean and nothing else, so it is never added.
      scale, offset: of the norm, ``(channels,)``.
      matrix: of the convolution (``blocked.matrix``), whose bias the caller adds.
      shape: of the convolution.
      epsilon: added to the variance.
      axis_name: the mapped axis whose replicas share the statistics.

    Returns the output blocks, and the mean and biased variance ``(channels,)`` of ``x + bias`` over all replicas.

    The backward pass keeps only ``x`` and computes the normalised features again: reading another array that does not fit into a
    cache takes longer than the arithmetic.
    """
    return _norm_relu_convolve_forward(x, bias, scale, offset, matrix, shape, epsilon, axis_name)[0]


# compiled functions inside compiled functions are traced once for each shape, however often they are called
@functools.partial(jax.jit, static_argnums=(5, 6, 7))
def _norm_relu_convolve_forward(x, bias, scale, offset, matrix, shape, epsilon, axis_name):
    centred, mean, var = _statistics(x, shape.channels, axis_name)
    inverse = jax.lax.rsqrt(var + epsilon)
    y = jnp.maximum(scale_and_shift(centred, scale * inverse, offset, True), 0)
    return (convolve(y, matrix, shape), mean + bias, var), (x, mean, inverse, scale, offset, matrix)


def norm(
    x: jax.Array, scale: jax.Array, offset: jax.Array, epsilon: float, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Apply batch normalisation to blocks by the statistics of the batch; return them too, as ``norm_relu_convolve`` does."""
    centred, mean, var = _statistics(x, len(scale), axis_name)
    return scale_and_shift(centred, scale * jax.lax.rsqrt(var + epsilon), offset, True), mean, var


def _statistics(x: jax.Array, channels: int, axis_name: str | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return blocks minus the mean of their channel, and mean and biased variance ``(channels,)`` over all replicas."""
    share = channels / x.size
    mean = _mean_of_replicas(channel_sums(x, channels) * share, axis_name)
    centred = x - widen(mean[None], x.shape[1], True)
    return centred, mean, _mean_of_replicas(channel_sums_of(centred * centred, channels) * share, axis_name)


def scale_and_shift(x: jax.Array, gain: jax.Array, offset: jax.Array, training: bool = False) -> jax.Array:
    """Compute ``x · gain + offset`` with one number for each channel, ``(channels,)``; ``training`` is as in ``widen``."""
    return x * widen(gain[None], x.shape[1], training) + widen(offset[None], x.shape[1], training)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _norm_relu_convolve_backward(shape, epsilon, axis_name, kept, cotangents):
    x, mean, inverse, scale, offset, matrix = kept
    of_z, of_mean, of_var = cotangents
    # computed again, not kept: without the zero XLA would find the same expression in the forward pass and keep its result
    x = x - widen((mean + zero_after(of_z))[None], shape.width, True)
    y = jnp.maximum(scale_and_shift(x, scale * inverse, offset, True), 0)
    of_y, of_matrix = _of_product(y, of_z, matrix, shape)
    of_normed = jnp.where(y > 0, of_y, 0)
    of_offset = channel_sums(of_normed, shape.channels)
    of_gain = channel_sums_of(of_normed * x, shape.channels)
    gain, share = scale * inverse, shape.channels / x.size
    of_var = of_var - 0.5 * of_gain * gain * inverse**2
    through, of_var = _mean_of_replicas(jnp.stack([of_mean - gain * of_offset, 2 * of_var]), axis_name) * share
    gain, of_var, through = (widen(vector[None], shape.width, True) for vector in (gain, of_var, through))
    of_x = of_normed * gain + x * of_var + through
    return of_x, of_mean, of_gain * inverse, of_offset, of_matrix


def _of_product(y: jax.Array, of_z: jax.Array, matrix: jax.Array, shape: Shape) -> tuple[jax.Array, jax.Array]:
    """Return the cotangents of ``y`` and ``matrix`` in ``convolve(y, matrix, shape)``."""
    if matrix.shape[1] < 2 * shape.own:  # few edges: one product takes them along
        rows = collect(of_z, shape, True)
        return rows @ matrix.T, _product_over_rows(y, rows)
    middle, edges = matrix[:, : shape.own], matrix[:, shape.own :]
    of_edges = collect(of_z, shape, False)
    return of_z @ middle.T + of_edges @ edges.T, jnp.concatenate([y.T @ of_z, y.T @ of_edges], 1)


def _product_over_rows(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return ``one.T @ other`` for two arrays of many short rows."""
    # Eigen is twice as slow where the rows of the first factor lie at the same places of a cache: 64 numbers apart, not 40
    if math.gcd(one.shape[1], 64) <= math.gcd(other.shape[1], 64):
        return one.T @ other
    # the barrier keeps XLA from swapping the factors
    return jax.lax.optimization_barrier(other.T @ one).T


norm_relu_convolve.defvjp(_norm_relu_convolve_forward, _norm_relu_convolve_backward)


def _mean_of_replicas(x: jax.Array, axis_name: str | None) -> jax.Array:
    return x if axis_name is None else jax.lax.pmean(x, axis_name)


# thresholds


@functools.partial(_custom_vjp, nondiff_argnums=(1, 2))
def mean_magnitude(x: jax.Array, blocks: int, channels: int) -> jax.Array:
    """Return the mean of ``|x|`` over the positions of each example: ``(batch · blocks, width)`` → ``(batch, channels)``."""
    return mean_of_positions(jnp.abs(x), blocks, channels)


def _mean_magnitude_backward(blocks, channels, x, of_mean):
    wide = _over_blocks(of_mean * (channels / (blocks * x.shape[1])), x)
    return (jnp.where(x >= 0, wide, -wide),)  # the derivative of jnp.abs at 0 is 1


mean_magnitude.defvjp(lambda x, blocks, channels: (mean_magnitude(x, blocks, channels), x), _mean_magnitude_backward)


def mean_of_positions(x: jax.Array, blocks: int, channels: int) -> jax.Array:
    """Return the mean over the positions of each example: ``(batch · blocks, width)`` → ``(batch, channels)``."""
    return _example_sums(x, blocks, channels) * (channels / (blocks * x.shape[1]))


def _example_sums(x: jax.Array, blocks: int, channels: int) -> jax.Array:
    """Like ``mean_of_positions``, but return the sum. It is made in two stages (``blocked.sums_of_rows``)."""
    count = rows_of_a_group(blocks)
    # narrowed in between: XLA fuses two sums into one loop, which is scalar, and a product with nothing
    return jnp.sum(narrow(sums_of_rows(x, count), channels).reshape(-1, blocks // count, channels), 1)


def scale(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Multiply blocks by ``weight``, one number for each channel of each example ``(batch, channels)``."""
    return x * _over_blocks(weight, x)


@_custom_vjp
def soft_threshold_blocks(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """Apply ``thresholding.soft_threshold`` to blocks, with thresholds ``(batch, channels)`` for each channel of each example."""
    wide = _over_blocks(threshold, x)
    return x - jnp.clip(x, -wide, wide)


def _soft_threshold_backward(kept, of_y):
    x, threshold = kept
    wide = _over_blocks(threshold, x)
    sums = _example_sums(_signed(x, wide, of_y), len(x) // len(threshold), threshold.shape[1])
    return jnp.where(jnp.abs(x) > wide, of_y, 0), -sums


soft_threshold_blocks.defvjp(lambda x, threshold: (soft_threshold_blocks(x, threshold), (x, threshold)), _soft_threshold_backward)


def _over_blocks(vectors: jax.Array, x: jax.Array) -> jax.Array:
    """Repeat ``(batch, channels)`` at every position, in the shape of the blocks ``x``."""
    wide = widen(vectors, x.shape[1])[:, None]
    return jnp.broadcast_to(wide, (len(wide), len(x) // len(wide), x.shape[1])).reshape(x.shape)


def _signed(x, threshold, y):
    """Return ``y · sign(x)`` where ``|x|`` is above the threshold, and 0 elsewhere."""
    return jnp.where(x > threshold, y, jnp.where(x < -threshold, -y, 0))


# shortcut


def shortcut(x: jax.Array, shape: Shape) -> jax.Array:
    """Take every ``strides``-th position and pad it with zero channels, as ``residual_unit.pad_channels``.

    Both are one product with a 0/1 matrix: features as for ``Shape.to_blocks`` → ``(batch · blocks, positions · features)``.
    """
    if shape.strides == 1 and shape.channels == shape.features:
        return x
    picks = np.zeros((shape.positions, shape.strides, shape.channels, shape.positions, shape.features))
    front = (shape.features - shape.channels) // 2
    for p in range(shape.positions):
        for c in range(shape.channels):
            picks[p, 0, c, p, front + c] = 1
    return shape.to_blocks(x) @ jnp.asarray(picks.reshape(shape.width, -1), x.dtype)
