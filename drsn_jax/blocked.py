"""The blocked view of one-dimensional features: convolutions as one matrix product, for CPUs.

Features ``(batch, length, channels)`` are seen as ``(batch, blocks, positions · channels)``, a free reshape. One block of
four positions a b c d with two channels, and what the output of a convolution of three samples needs of it::

        block before          this block           block after
    … ║ a0 a1 ┊ … ┊ d0 d1 ║ a0 a1 ┊ … ┊ d0 d1 ║ a0 a1 ┊ … ┊ d0 d1 ║ …
                    └───────────────────────────────┘
                     left   stride · positions   right   and a one

That row times a banded matrix is the output block; every row and every example is a row of the same product::

                     output    a0 a1   b0 b1   c0 c1   d0 d1
    input   left     d0 d1  ┌    K₀                           ┐
                     a0 a1  │    K₁      K₀                   │       K₀ K₁ K₂: (channels, features), the three
                     b0 b1  │    K₂      K₁      K₀           │       samples of the kernel
                     c0 c1  │            K₂      K₁      K₀   │
                     d0 d1  │                    K₂      K₁   │
            right    a0 a1  │                            K₂   │
            one       1     └    b       b       b       b    ┘

The column of ones carries the bias and, backwards, its gradient. The product does more than the convolution needs
(41 × 32 instead of 12 × 32 numbers a block with 4 channels), at ten times its rate.

Written for XLA on a CPU: the operand is filled slice by slice, vectors of the channels reach the width of a block as products
with a 0/1 matrix, because ``pad``, ``concatenate`` and ``tile`` make the loops that they are fused into scalar ones. Rules
for the backward pass keep the inputs alone. They make forward-mode differentiation impossible.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

WIDTH = 32  # numbers in a block: eight positions of 4 channels, two of 16


def positions_of(length: int, channels: int, width: int = WIDTH) -> int:
    """How many positions make a block: the most that divide ``length`` and are no more than ``width`` numbers, at least one."""
    return max(p for p in range(1, max(1, width // channels) + 1) if length % p == 0)


class Shape(NamedTuple):
    """What a convolution from ``channels`` to ``features`` makes of a block: ``positions`` are those of the output, every
    ``strides``-th of the input; the padding is centred. The input's length is a multiple of ``strides · positions``."""

    kernel: int
    strides: int
    positions: int
    channels: int
    features: int

    @property
    def left(self) -> int:
        """Numbers of the blocks before that an output block needs."""
        return (self.kernel - 1) // 2 * self.channels

    @property
    def right(self) -> int:
        """Numbers of the blocks after that an output block needs."""
        return max(0, self.kernel // 2 - self.strides + 1) * self.channels

    @property
    def width(self) -> int:
        """Numbers in a block of the input."""
        return self.strides * self.positions * self.channels

    def blocks(self, x: jax.Array) -> jax.Array:
        """Features of any view as ``(batch, blocks, width)``."""
        return x.reshape(len(x), -1, self.width)


# channels ↔ blocks


def widen(vector: jax.Array, width: int) -> jax.Array:
    """One number a channel, ``(…, channels)``, at every position of a block: ``(…, width)``."""
    channels = vector.shape[-1]
    return vector @ jnp.asarray(np.tile(np.eye(channels), width // channels), vector.dtype)


def narrow(vector: jax.Array, channels: int) -> jax.Array:
    """The sums of each channel over the positions of a block: ``(…, width)`` → ``(…, channels)``."""
    return vector @ jnp.asarray(np.tile(np.eye(channels), vector.shape[-1] // channels).T, vector.dtype)


def channel_sums(x: jax.Array, channels: int) -> jax.Array:
    """Sums of each channel over the batch and its positions: ``(batch, blocks, width)`` → ``(channels,)``."""
    return narrow(jnp.sum(x, (0, 1)), channels)


# convolution


def band(kernel: jax.Array, bias: jax.Array, shape: Shape) -> jax.Array:
    """The matrix ``(left + width + right + 1, positions · features)`` of a convolution with ``kernel (k, channels, features)``."""
    left, right = shape.left // shape.channels, shape.right // shape.channels
    rows = left + shape.strides * shape.positions + right
    # input position q meets output position p at the kernel's sample k
    meets = np.zeros((rows, shape.positions, shape.kernel))
    for p in range(shape.positions):
        for k in range(shape.kernel):
            if (q := p * shape.strides + k) < rows:
                meets[q, p, k] = 1
    matrix = jnp.einsum("qpk,kcf->qcpf", jnp.asarray(meets, kernel.dtype), kernel)
    return jnp.concatenate(
        [matrix.reshape(rows * shape.channels, -1), widen(bias, shape.positions * shape.features)[None]]
    )


def operand(x: jax.Array, shape: Shape) -> jax.Array:
    """``(batch, blocks, width)`` → ``(batch, blocks, left + width + right + 1)``, zeros beyond both ends."""
    batch, blocks, width = x.shape
    rows = jnp.zeros((batch, blocks, shape.left + width + shape.right + 1), x.dtype)
    rows = _write(rows, x, 0, shape.left)
    for away, into, taken in _neighbours(shape, blocks):
        piece = x[:, :-away, taken] if away > 0 else x[:, -away:, taken]
        rows = _write(rows, piece, max(away, 0), into.start)
    return _write(rows, jnp.ones((batch, blocks, 1), x.dtype), 0, shape.left + width + shape.right)


def _operand_transposed(rows: jax.Array, shape: Shape) -> jax.Array:
    """The transpose of ``operand``, the ones left out: every number of a row goes back to where it was taken from."""
    blocks, width = rows.shape[1], shape.width
    x = rows[:, :, shape.left : shape.left + width]
    for away, into, taken in _neighbours(shape, blocks):
        here = slice(None, -away) if away > 0 else slice(-away, None)
        there = slice(away, None) if away > 0 else slice(None, away)
        x = _write(x, x[:, here, taken] + rows[:, there, into], max(-away, 0), taken.start)
    return x


def _neighbours(shape: Shape, blocks: int) -> list[tuple[int, slice, slice]]:
    """Which blocks a row takes from beside its own: how far before (after: negative), into and from which columns."""
    found, width = [], shape.width
    for away in range(1, min(math.ceil(max(shape.left, shape.right) / width), blocks - 1) + 1):
        if (left := shape.left - (away - 1) * width) > 0:
            low = max(0, left - width)
            found.append((away, slice(low, left), slice(width - (left - low), width)))
        if (right := shape.right - (away - 1) * width) > 0:
            start = shape.left + width + (away - 1) * width
            found.append((-away, slice(start, start + min(right, width)), slice(0, min(right, width))))
    return found


def _write(into: jax.Array, piece: jax.Array, block: int, column: int) -> jax.Array:
    return jax.lax.dynamic_update_slice(into, piece, (0, block, column))


def convolve(x: jax.Array, matrix: jax.Array, shape: Shape) -> jax.Array:
    """A convolution with nothing in front: features in any view → ``(batch, blocks, positions · features)``."""
    return operand(shape.blocks(x), shape) @ matrix


# normalisation


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def statistics(x: jax.Array, channels: int, axis_name: str | None = None) -> tuple[jax.Array, jax.Array]:
    """``layers.batch_statistics`` of features in the blocked view: mean and biased variance ``(channels,)``."""
    scale = channels / x.size
    mean = _mean_of_replicas(channel_sums(x, channels) * scale, axis_name)
    deviations = x - widen(mean, x.shape[-1])
    return mean, _mean_of_replicas(channel_sums(deviations * deviations, channels) * scale, axis_name)


def _statistics_forward(x, channels, axis_name):
    mean, var = statistics(x, channels, axis_name)
    return (mean, var), (x, mean)


def _statistics_backward(channels, axis_name, kept, cotangents):
    (x, mean), (of_mean, of_var) = kept, _mean_of_replicas(jnp.stack(cotangents), axis_name) * (channels / kept[0].size)
    width = x.shape[-1]
    return (widen(of_mean, width) + (x - widen(mean, width)) * widen(2 * of_var, width),)


statistics.defvjp(_statistics_forward, _statistics_backward)


def _mean_of_replicas(x: jax.Array, axis_name: str | None) -> jax.Array:
    return x if axis_name is None else jax.lax.pmean(x, axis_name)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def norm_relu_convolve(
    x: jax.Array, mean: jax.Array, gain: jax.Array, offset: jax.Array, matrix: jax.Array, shape: Shape
) -> jax.Array:
    """``convolve(relu((x - mean) · gain + offset))`` of ``shape.blocks(x)`` with ``mean``, ``gain`` and ``offset`` of
    ``(channels,)``.

    Only the arguments are kept for the backward pass; it is two products and one sum of each kind.
    """
    return _norm_relu_convolve_forward(x, mean, gain, offset, matrix, shape)[0]


def _norm_relu_convolve_forward(x, mean, gain, offset, matrix, shape):
    normed = (x - widen(mean, shape.width)) * widen(gain, shape.width) + widen(offset, shape.width)
    rows = operand(jnp.maximum(normed, 0), shape)
    return rows @ matrix, (x, rows, mean, gain, offset, matrix)


def _norm_relu_convolve_backward(shape, kept, of_y):
    x, rows, mean, gain, offset, matrix = kept
    of_matrix = jnp.einsum("bnr,bnw->rw", rows, of_y)
    of_relu = _operand_transposed(of_y @ matrix[:-1].T, shape)
    alive = rows[:, :, shape.left : shape.left + shape.width] > 0
    of_normed = jnp.where(alive, of_relu, 0)
    deviations = x - widen(mean, shape.width)
    of_offset = channel_sums(of_normed, shape.channels)
    of_gain = channel_sums(of_normed * deviations, shape.channels)
    return of_normed * widen(gain, shape.width), -gain * of_offset, of_gain, of_offset, of_matrix


norm_relu_convolve.defvjp(_norm_relu_convolve_forward, _norm_relu_convolve_backward)


# thresholds


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def mean_magnitude(x: jax.Array, channels: int) -> jax.Array:
    """The mean of ``|x|`` over the positions: ``(batch, blocks, width)`` → ``(batch, channels)``."""
    return narrow(jnp.sum(jnp.abs(x), 1), channels) * _share(x, channels)


def _mean_magnitude_backward(channels, x, of_mean):
    return (jnp.sign(x) * widen(of_mean * _share(x, channels), x.shape[-1])[:, None],)


mean_magnitude.defvjp(lambda x, channels: (mean_magnitude(x, channels), x), _mean_magnitude_backward)


def mean_of_positions(x: jax.Array, channels: int) -> jax.Array:
    """The mean over the positions: ``(batch, blocks, width)`` → ``(batch, channels)``."""
    return narrow(jnp.sum(x, 1), channels) * _share(x, channels)


def _share(x: jax.Array, channels: int) -> float:
    return channels / (x.shape[1] * x.shape[2])


@jax.custom_vjp
def soft_threshold(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """``thresholding.soft_threshold`` of ``(batch, blocks, width)`` with one threshold a channel, ``(batch, channels)``."""
    wide = widen(threshold, x.shape[-1])[:, None]
    return x - jnp.clip(x, -wide, wide)


def _soft_threshold_backward(kept, of_y):
    x, threshold = kept
    of_x = jnp.where(jnp.abs(x) > widen(threshold, x.shape[-1])[:, None], of_y, 0)
    return of_x, -narrow(jnp.sum(of_x * jnp.sign(x), 1), threshold.shape[-1])


soft_threshold.defvjp(lambda x, threshold: (soft_threshold(x, threshold), (x, threshold)), _soft_threshold_backward)


# shortcut


def shortcut(x: jax.Array, channels: int, features: int, strides: int, positions: int) -> jax.Array:
    """Every ``strides``-th position with zero channels around (see ``networks.pad_channels``), as a product with a 0/1 matrix;
    ``positions`` are those of an output block."""
    front = (features - channels) // 2
    if strides == 1 and channels == features:
        return x
    picks = np.zeros((positions, strides, channels, positions, features))
    for p in range(positions):
        for c in range(channels):
            picks[p, 0, c, p, front + c] = 1
    matrix = jnp.asarray(picks.reshape(strides * positions * channels, -1), x.dtype)
    return x.reshape(len(x), -1, len(matrix)) @ matrix
