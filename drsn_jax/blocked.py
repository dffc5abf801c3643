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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_custom_vjp: Any = jax.custom_vjp  # whose type does not say what the function returns
WIDTH = 32  # numbers in a block: eight positions of 4 channels, two of 16


def positions_of(length: int, channels: int, width: int = WIDTH) -> int:
    """How many positions make a block: the most that divide ``length`` and are no more than ``width`` numbers, at least one."""
    return max(p for p in range(1, max(1, width // channels) + 1) if length % p == 0)


class Shape(NamedTuple):
    """What a convolution from ``channels`` to ``features`` makes of the ``blocks`` of an example: ``positions`` are those of
    an output block, every ``strides``-th of the input block; the padding is centred."""

    blocks: int
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

    def view(self, x: jax.Array) -> jax.Array:
        """Features of any view as blocks ``(batch · blocks, width)``."""
        return x.reshape(-1, self.width)


# channels ↔ blocks


def widen(vector: jax.Array, width: int) -> jax.Array:
    """One number a channel, ``(…, channels)``, at every position of a block: ``(…, width)``."""
    channels = vector.shape[-1]
    return vector @ jnp.asarray(np.tile(np.eye(channels), width // channels), vector.dtype)


def narrow(vector: jax.Array, channels: int) -> jax.Array:
    """The sums of each channel over the positions of a block: ``(…, width)`` → ``(…, channels)``."""
    return vector @ jnp.asarray(np.tile(np.eye(channels), vector.shape[-1] // channels).T, vector.dtype)


def channel_sums(x: jax.Array, channels: int) -> jax.Array:
    """Sums of each channel over the batch and its positions: ``(n, width)`` → ``(channels,)``."""
    return narrow(jnp.sum(x, 0), channels)


# convolution


def band(kernel: jax.Array, bias: jax.Array, shape: Shape) -> jax.Array:
    """The matrix ``(left + width + right + 1, positions · features)`` of the convolution ``kernel (k, channels, features)``."""
    left, right = shape.left // shape.channels, shape.right // shape.channels
    rows = left + shape.strides * shape.positions + right
    # input position q meets output position p at the kernel's sample k
    meets = np.zeros((rows, shape.positions, shape.kernel))
    for p in range(shape.positions):
        for k in range(shape.kernel):
            if (q := p * shape.strides + k) < rows:
                meets[q, p, k] = 1
    matrix = jnp.einsum("qpk,kcf->qcpf", jnp.asarray(meets, kernel.dtype), kernel)
    return jnp.concatenate([matrix.reshape(rows * shape.channels, -1), widen(bias, shape.positions * shape.features)[None]])


def operand(x: jax.Array, shape: Shape) -> jax.Array:
    """Blocks ``(n, width)`` → ``(n, left + width + right + 1)``, zeros beyond both ends of an example."""
    row = np.zeros(shape.left + shape.width + shape.right + 1)
    row[-1] = 1
    # no constant, XLA would make all operands from the start and hold them: a row that waits for x, though it is always the same
    row = jnp.where((x[0, 0] > 0) & (x[0, 0] < 0), 1, jnp.asarray(row, x.dtype))
    rows = _write(jnp.broadcast_to(row, (len(x), len(row))), x, 0, shape.left)
    for away, into, taken in _neighbours(shape):
        piece = x[_shifted(-away), taken]
        rows = _write(rows, jnp.where(_inside(len(x), away, shape), piece, 0), max(away, 0), into.start)
    return rows


def _operand_transposed(rows: jax.Array, alive: jax.Array, shape: Shape) -> jax.Array:
    """The transpose of ``operand``, the ones left out: every number of a row goes back to where it was taken from, if that is
    ``alive``."""
    x = jnp.where(alive, rows[:, shape.left : shape.left + shape.width], 0)
    for away, into, taken in _neighbours(shape):
        here = (_shifted(-away), taken)
        piece = jnp.where(_inside(len(x), away, shape) & alive[here], rows[_shifted(away), into], 0)
        x = _write(x, x[here] + piece, max(-away, 0), taken.start)
    return x


def _neighbours(shape: Shape) -> list[tuple[int, slice, slice]]:
    """Which blocks a row takes from beside its own: how far before (after: negative), into and from which columns."""
    found, width = [], shape.width
    for away in range(1, min(math.ceil(max(shape.left, shape.right) / width), shape.blocks - 1) + 1):
        if (left := shape.left - (away - 1) * width) > 0:
            low = max(0, left - width)
            found.append((away, slice(low, left), slice(width - (left - low), width)))
        if (right := shape.right - (away - 1) * width) > 0:
            start = shape.left + width + (away - 1) * width
            found.append((-away, slice(start, start + min(right, width)), slice(0, min(right, width))))
    return found


def _shifted(away: int) -> slice:
    """All blocks but the first ``away``, or but the last ones where that is negative."""
    return slice(away, None) if away > 0 else slice(None, away)


def _inside(count: int, away: int, shape: Shape) -> jax.Array:
    """For the blocks ``_shifted(away)`` of ``count``, whether the one so far before is of the same example: ``(n, 1)``."""
    number = (jnp.arange(count, dtype=jnp.uint32) % shape.blocks)[_shifted(away)]
    return (number >= away if away > 0 else number < shape.blocks + away)[:, None]


def _write(into: jax.Array, piece: jax.Array, block: int, column: int) -> jax.Array:
    return jax.lax.dynamic_update_slice(into, piece, (block, column))


def convolve(x: jax.Array, matrix: jax.Array, shape: Shape) -> jax.Array:
    """A convolution with nothing in front: features in any view → ``(batch · blocks, positions · features)``."""
    return operand(shape.view(x), shape) @ matrix


# normalisation


@functools.partial(_custom_vjp, nondiff_argnums=(4, 5, 6))
def norm_relu_convolve(
    x: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    matrix: jax.Array,
    shape: Shape,
    epsilon: float,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalisation, ReLU and convolution of ``shape.view(x)``, and the mean and biased variance ``(channels,)`` of x,
    over all replicas of ``axis_name``.

    Kept for the backward pass are what differs from the mean and the operand; it is two products and one sum of each kind.
    """
    return _norm_relu_convolve_forward(x, scale, offset, matrix, shape, epsilon, axis_name)[0]


def _norm_relu_convolve_forward(x, scale, offset, matrix, shape, epsilon, axis_name):
    share = shape.channels / x.size
    mean = _mean_of_replicas(channel_sums(x, shape.channels) * share, axis_name)
    x = x - widen(mean, shape.width)
    var = _mean_of_replicas(channel_sums(x * x, shape.channels) * share, axis_name)
    inverse = jax.lax.rsqrt(var + epsilon)
    rows = operand(jnp.maximum(x * widen(scale * inverse, shape.width) + widen(offset, shape.width), 0), shape)
    return (rows @ matrix, mean, var), (x, rows, scale, inverse, matrix)


def _norm_relu_convolve_backward(shape, epsilon, axis_name, kept, cotangents):
    x, rows, scale, inverse, matrix = kept
    of_y, of_mean, of_var = cotangents
    of_matrix = rows.T @ of_y
    alive = rows[:, shape.left : shape.left + shape.width] > 0
    of_normed = _operand_transposed(of_y @ matrix[:-1].T, alive, shape)
    of_offset = channel_sums(of_normed, shape.channels)
    of_gain = channel_sums(of_normed * x, shape.channels)
    gain, share = scale * inverse, shape.channels / x.size
    of_var = of_var - 0.5 * of_gain * gain * inverse**2
    of_mean, of_var = _mean_of_replicas(jnp.stack([of_mean - gain * of_offset, 2 * of_var]), axis_name) * share
    of_x = of_normed * widen(gain, shape.width) + x * widen(of_var, shape.width) + widen(of_mean, shape.width)
    return of_x, of_gain * inverse, of_offset, of_matrix


norm_relu_convolve.defvjp(_norm_relu_convolve_forward, _norm_relu_convolve_backward)


def _mean_of_replicas(x: jax.Array, axis_name: str | None) -> jax.Array:
    return x if axis_name is None else jax.lax.pmean(x, axis_name)


# thresholds


@functools.partial(_custom_vjp, nondiff_argnums=(1, 2))
def mean_magnitude(x: jax.Array, blocks: int, channels: int) -> jax.Array:
    """The mean of ``|x|`` over the positions of each example: blocks ``(batch · blocks, width)`` → ``(batch, channels)``."""
    return mean_of_positions(jnp.abs(x), blocks, channels)


def _mean_magnitude_backward(blocks, channels, x, of_mean):
    wide = _over_blocks(of_mean * (channels / (blocks * x.shape[1])), x)
    return (jnp.where(x >= 0, wide, -wide),)  # as the derivative of jnp.abs


mean_magnitude.defvjp(lambda x, blocks, channels: (mean_magnitude(x, blocks, channels), x), _mean_magnitude_backward)


def mean_of_positions(x: jax.Array, blocks: int, channels: int) -> jax.Array:
    """The mean over the positions of each example: blocks ``(batch · blocks, width)`` → ``(batch, channels)``."""
    sums = jnp.sum(x.reshape(-1, blocks, x.shape[1]), 1)
    return narrow(sums, channels) * (channels / (blocks * x.shape[1]))


def scale(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Blocks times one number for each channel of each example, ``(batch, channels)``."""
    return x * _over_blocks(weight, x)


@_custom_vjp
def soft_threshold(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """``thresholding.soft_threshold`` of blocks with one threshold for each channel of each example, ``(batch, channels)``."""
    wide = _over_blocks(threshold, x)
    return x - jnp.clip(x, -wide, wide)


def _soft_threshold_backward(kept, of_y):
    x, threshold = kept
    wide = _over_blocks(threshold, x)
    sums = jnp.sum(_signed(x, wide, of_y).reshape(len(threshold), -1, x.shape[1]), 1)
    return jnp.where(jnp.abs(x) > wide, of_y, 0), -narrow(sums, threshold.shape[1])


soft_threshold.defvjp(lambda x, threshold: (soft_threshold(x, threshold), (x, threshold)), _soft_threshold_backward)


def _over_blocks(vectors: jax.Array, x: jax.Array) -> jax.Array:
    """``(batch, channels)`` at every position: the shape of the blocks ``x``."""
    wide = widen(vectors, x.shape[1])[:, None]
    return jnp.broadcast_to(wide, (len(wide), len(x) // len(wide), x.shape[1])).reshape(x.shape)


def _signed(x, threshold, y):
    """``y`` with the sign of ``x`` where that is beyond the threshold, else 0."""
    return jnp.where(x > threshold, y, jnp.where(x < -threshold, -y, 0))


# shortcut


def shortcut(x: jax.Array, shape: Shape) -> jax.Array:
    """Every ``strides``-th position with zero channels around (``networks.pad_channels``): a product with a 0/1 matrix."""
    if shape.strides == 1 and shape.channels == shape.features:
        return x
    picks = np.zeros((shape.positions, shape.strides, shape.channels, shape.positions, shape.features))
    front = (shape.features - shape.channels) // 2
    for p in range(shape.positions):
        for c in range(shape.channels):
            picks[p, 0, c, p, front + c] = 1
    return shape.view(x) @ jnp.asarray(picks.reshape(shape.width, -1), x.dtype)
