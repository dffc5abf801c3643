"""Convolutions of one-dimensional features as products of matrices, for CPUs.

Features ``(batch, length, channels)`` are reshaped to blocks ``(batch · blocks, positions · channels)``, which costs nothing.
The picture shows a block of four positions a b c d with two channels, and the matrices of a convolution with a kernel of three
samples::

                     own block: middle                 block after    block before
                     a0 a1   b0 b1   c0 c1   d0 d1       a0 a1          d0 d1
    input     a0 a1 ┌  K₁      K₀                   ┐  ┌         ┐    ┌   K₂    ┐
              b0 b1 │  K₂      K₁      K₀           │  │         │    │         │     K₀ K₁ K₂: (channels, features), the
              c0 c1 │          K₂      K₁      K₀   │  │         │    │         │     three samples of the kernel
              d0 d1 └                  K₂      K₁   ┘  └   K₀    ┘    └         ┘

Every block of every example is a row of two products. That with ``middle`` is the output of the block without the terms of its
neighbours' inputs. That with ``edges`` (the two narrow matrices side by side) is what the block contributes to the outputs of its
neighbours, to which ``spread`` adds it. They multiply more numbers than the convolution needs (32 × 40 instead of 12 × 32 for a
block with 4 channels), at ten times its rate. In the backward pass ``collect`` gathers the cotangents of the edges from the
neighbours. Where the edges are few, it appends them to the cotangents of the block, so that two products give the cotangents of
the inputs and of both matrices.

The code is written for XLA on a CPU, where ``pad``, ``concatenate``, ``tile`` and a change of the blocks' width make a fused loop
scalar. Edges are therefore added slice by slice, and vectors of the channels are widened by a product with a 0/1 matrix.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

WIDTH = 32  # numbers in a block: eight positions of 4 channels, two of 16
FEW_ROWS = 128  # up to which one product and the copies of its two parts are faster than two products


def positions_of(length: int, channels: int, width: int = WIDTH) -> int:
    """Return the number of positions in a block.

    It is the largest divisor of ``length`` for which a block has at most ``width`` numbers, or 1 if there is none.
    """
    return max(p for p in range(1, max(1, width // channels) + 1) if length % p == 0)


class Neighbour(NamedTuple):
    """A neighbouring block that receives part of a convolution's output.

    Fields:
      away: its distance in blocks; negative if it lies before the block that contributes.
      columns: the columns of its output that are added to.
      edge: where those columns lie in the matrix of edges.
    """

    away: int
    columns: slice
    edge: slice

    @property
    def giving(self) -> slice:
        """The rows of the blocks that have this neighbour, ignoring that examples end."""
        return slice(None, -self.away) if self.away > 0 else slice(-self.away, None)

    @property
    def taking(self) -> slice:
        """The rows of the neighbours of the blocks ``giving``, in the same order."""
        return slice(self.away, None) if self.away > 0 else slice(None, self.away)


class Shape(NamedTuple):
    """The shape of a convolution with centred padding on blocks.

    Fields:
      blocks: number of blocks of an example, the same for input and output.
      kernel: number of samples of the kernel.
      strides: stride; an input block has ``strides · positions`` positions.
      positions: number of positions in an output block.
      channels, features: channels of the input and of the output.
    """

    blocks: int
    kernel: int
    strides: int
    positions: int
    channels: int
    features: int

    @property
    def width(self) -> int:
        """The number of numbers in a block of the input."""
        return self.strides * self.positions * self.channels

    @property
    def own(self) -> int:
        """The number of numbers in a block of the output."""
        return self.positions * self.features

    def to_blocks(self, x: jax.Array) -> jax.Array:
        """Reshape features, in blocks of another size or not in blocks, to input blocks ``(batch · blocks, width)``."""
        return x.reshape(-1, self.width)

    def sample(self, away: int = 0) -> np.ndarray:
        """Return which sample of the kernel connects each input position with each output position.

        The input positions are those of a block, the output positions those of the block ``away`` blocks after it. The result
        is ``(input positions, output positions)``. A number outside of 0 to ``kernel - 1`` means that they are not connected.
        """
        inputs, outputs = np.arange(self.strides * self.positions), np.arange(self.positions) * self.strides
        return inputs[:, None] - outputs - away * len(inputs) + (self.kernel - 1) // 2

    def neighbours(self) -> list[Neighbour]:
        """Return the neighbours whose outputs the inputs of a block contribute to."""
        found, edge = [], 0
        farthest = min(math.ceil((self.kernel - 1) / (self.strides * self.positions)), self.blocks - 1)
        for away in (sign * distance for distance in range(1, farthest + 1) for sign in (1, -1)):
            sample = self.sample(away)
            reached = np.flatnonzero(np.any((sample >= 0) & (sample < self.kernel), 0))
            if len(reached):
                count = len(reached) * self.features
                start = int(reached[0]) * self.features
                found.append(Neighbour(away, slice(start, start + count), slice(edge, edge + count)))
                edge += count
        return found


# channels ↔ blocks


@functools.partial(jax.jit, static_argnums=(1, 2))
def widen(vector: jax.Array, width: int, training: bool = False) -> jax.Array:
    """Repeat one number a channel at every position of a block: ``(…, channels)`` → ``(…, width)``."""
    channels = vector.shape[-1]
    return _product(vector, np.tile(np.eye(channels), width // channels), training)


@functools.partial(jax.jit, static_argnums=(1, 2))
def narrow(vector: jax.Array, channels: int, training: bool = False) -> jax.Array:
    """Sum each channel over the positions of a block: ``(…, width)`` → ``(…, channels)``."""
    return _product(vector, np.tile(np.eye(channels), vector.shape[-1] // channels).T, training)


def _product(vectors: jax.Array, matrix: np.ndarray, training: bool) -> jax.Array:
    """Multiply ``(…, n)`` with a constant ``(n, m)``.

    On a CPU, XLA compiles each product of a vector and a matrix as a function of its own, but equal sums as one. In ``training``
    one vector is therefore multiplied by a sum. Otherwise it may be a constant of the program, and then XLA computes a product
    when it compiles, but not a sum.
    """
    constant = jnp.asarray(matrix, vectors.dtype)
    if training and vectors.size == len(matrix):
        return jnp.sum(vectors.reshape(-1, 1) * constant, 0).reshape(*vectors.shape[:-1], -1)
    return vectors @ constant


def channel_sums(x: jax.Array, channels: int) -> jax.Array:
    """Sum each channel over all blocks and their positions: ``(n, width)`` → ``(channels,)``."""
    return narrow(jnp.sum(x, 0), channels, True)


def channel_sums_of(x: jax.Array, channels: int) -> jax.Array:
    """Compute ``channel_sums`` in two stages, for an ``x`` that is an expression and needed nowhere else as an array."""
    return channel_sums(sums_of_rows(x, rows_of_a_group(len(x))), channels)


def rows_of_a_group(rows: int) -> int:
    """Return how many rows the first stage of a sum in two stages adds up: 8, 4, 2 or 1, the largest that divides ``rows``."""
    return math.gcd(rows, 8)


def sums_of_rows(x: jax.Array, count: int) -> jax.Array:
    """Sum groups of ``count`` rows: ``(n, width)`` → ``(n / count, width)``, the first stage of a sum in two stages.

    XLA on a CPU fuses the expression ``x`` into a short reduction but not into a long one, so long sums are made in two stages.
    """
    # the barrier keeps XLA from merging the two stages again
    return jax.lax.optimization_barrier(jnp.sum(x.reshape(-1, count, x.shape[1]), 1))


def zero_after(x: jax.Array) -> jax.Array:
    """Return a zero that is computed from ``x`` in a way that XLA cannot fold away.

    Adding it makes a value depend on ``x``, so that XLA neither computes the value earlier nor keeps it.
    """
    return jnp.where((x[0, 0] > 0) & (x[0, 0] < 0), jnp.ones((), x.dtype), 0)


# convolution


@functools.partial(jax.jit, static_argnums=(1, 2))
def matrix(kernel: jax.Array, shape: Shape, training: bool = False) -> jax.Array:
    """Return the matrix of the convolution with ``kernel`` ``(k, channels, features)``: ``middle`` and ``edges`` side by side.

    It is ``(width, own + edges)``; its first ``Shape.own`` columns lead from a block to its own output, the others to the outputs
    of its neighbours, in the order of ``Shape.neighbours``.
    """
    reached = [(n.away, n.columns.start // shape.features, n.columns.stop // shape.features) for n in shape.neighbours()]
    parts = [shape.sample(), *(shape.sample(away)[:, start:stop] for away, start, stop in reached)]
    # (q, p, k): whether sample k of the kernel connects input position q with output position p of the same block or a neighbour
    meets = jnp.asarray(np.concatenate(parts, 1)[:, :, None] == np.arange(shape.kernel), kernel.dtype)
    if training:  # a sum and not a product, as in ``_product``
        bands = jnp.sum(meets.transpose(2, 0, 1)[:, :, None, :, None] * kernel[:, None, :, None, :], 0)
    else:
        bands = jnp.einsum("qpk,kcf->qcpf", meets, kernel)
    return bands.reshape(shape.width, -1)


def convolve(x: jax.Array, matrix: jax.Array, shape: Shape) -> jax.Array:
    """Convolve without bias: features as for ``Shape.to_blocks`` → blocks ``(batch · blocks, positions · features)``."""
    x = shape.to_blocks(x)
    if not shape.neighbours():
        return x @ matrix
    if len(x) <= FEW_ROWS:
        both = x @ matrix
        return spread(both[:, : shape.own], both[:, shape.own :], shape)
    return spread(x @ matrix[:, : shape.own], x @ matrix[:, shape.own :], shape)


def spread(y: jax.Array, edges: jax.Array, shape: Shape) -> jax.Array:
    """Add to every block of ``y`` the edge columns that its neighbours computed for it."""
    for n in shape.neighbours():
        edge = jnp.where(_has(n, len(y), shape), edges[n.giving, n.edge], 0)
        y = jax.lax.dynamic_update_slice(y, y[n.taking, n.columns] + edge, (max(n.away, 0), n.columns.start))
    return y


def collect(y: jax.Array, shape: Shape, beside: bool) -> jax.Array:
    """Return, for every block, the columns of its neighbours that it adds to, the transpose of ``spread``; ``beside`` the block.

    The columns are zero where an example ends.
    """
    if not (neighbours := shape.neighbours()):
        return y
    start = shape.own if beside else 0
    # XLA would create constant zeros at the start of the program, for all convolutions, and hold them until the end; without the
    # barrier it would write them and ``y`` in one loop, which is scalar
    rows = jax.lax.optimization_barrier(jnp.broadcast_to(zero_after(y), (len(y), start + neighbours[-1].edge.stop)))
    rows = jax.lax.dynamic_update_slice(rows, y, (0, 0)) if beside else rows
    for n in neighbours:
        piece = jnp.where(_has(n, len(y), shape), y[n.taking, n.columns], 0)
        rows = jax.lax.dynamic_update_slice(rows, piece, (max(-n.away, 0), start + n.edge.start))
    return rows


def _has(neighbour: Neighbour, count: int, shape: Shape) -> jax.Array:
    """Return whether the neighbour of each block ``giving`` of ``count`` blocks belongs to the same example: ``(n, 1)``."""
    number = (jnp.arange(count, dtype=jnp.int32) % shape.blocks)[neighbour.giving]
    away = neighbour.away
    return (number < shape.blocks - away if away > 0 else number >= -away)[:, None]
