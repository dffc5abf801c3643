"""The blocked view of one-dimensional features: convolutions as matrix products, for CPUs.

Features ``(batch, length, channels)`` are seen as ``(batch · blocks, positions · channels)``, a free reshape. A block of four
positions a b c d with two channels, and what a convolution of three samples makes of it::

                     own block: middle                 block after    block before
                     a0 a1   b0 b1   c0 c1   d0 d1       a0 a1          d0 d1
    input     a0 a1 ┌  K₁      K₀                   ┐  ┌         ┐    ┌   K₂    ┐
              b0 b1 │  K₂      K₁      K₀           │  │         │    │         │     K₀ K₁ K₂: (channels, features), the
              c0 c1 │          K₂      K₁      K₀   │  │         │    │         │     three samples of the kernel
              d0 d1 └                  K₂      K₁   ┘  └   K₀    ┘    └         ┘

Blocks times ``middle`` are the outputs as far as each block knows them; blocks times ``edges``, the two narrow matrices side by
side, are what it owes its neighbours, and is added there (``spread``). Every block of every example is a row of the same two
products. They do more than the convolution needs (32 × 40 instead of 12 × 32 numbers a block with 4 channels), at ten times its
rate. Backwards the same two matrices serve, with the cotangents of the edges collected from the neighbours (``collect``).

Written for XLA on a CPU: edges are added slice by slice and vectors of the channels reach the width of a block as products with
a 0/1 matrix, because ``pad``, ``concatenate`` and ``tile`` make the loops that they are fused into scalar ones.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

WIDTH = 32  # numbers in a block: eight positions of 4 channels, two of 16


def positions_of(length: int, channels: int, width: int = WIDTH) -> int:
    """How many positions make a block: the most that divide ``length`` and are no more than ``width`` numbers, at least one."""
    return max(p for p in range(1, max(1, width // channels) + 1) if length % p == 0)


class Neighbour(NamedTuple):
    """Blocks ``away`` blocks after their own (negative: before) and the ``columns`` of their output that it adds to; in the
    edges these are the columns ``edge``."""

    away: int
    columns: slice
    edge: slice

    @property
    def giving(self) -> slice:
        """The rows of the blocks that have such a neighbour, if ends of examples did not count."""
        return slice(None, -self.away) if self.away > 0 else slice(-self.away, None)

    @property
    def taking(self) -> slice:
        """The rows of these neighbours."""
        return slice(self.away, None) if self.away > 0 else slice(None, self.away)


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
    def width(self) -> int:
        """Numbers in a block of the input."""
        return self.strides * self.positions * self.channels

    def to_blocks(self, x: jax.Array) -> jax.Array:
        """Features of any view as blocks ``(batch · blocks, width)``."""
        return x.reshape(-1, self.width)

    def sample(self, away: int = 0) -> np.ndarray:
        """Which sample of the kernel leads from an input position of a block to an output position of the block ``away`` blocks
        after it: ``(input positions, output positions)``, those outside of the kernel for none."""
        inputs, outputs = np.arange(self.strides * self.positions), np.arange(self.positions) * self.strides
        return inputs[:, None] - outputs - away * len(inputs) + (self.kernel - 1) // 2

    def neighbours(self) -> list[Neighbour]:
        """The blocks beside its own that a block adds to."""
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


def channel_sums_of(x: jax.Array, channels: int) -> jax.Array:
    """``channel_sums`` of an expression that is not needed as an array."""
    return channel_sums(sums_of_rows(x, math.gcd(len(x), 8)), channels)


def sums_of_rows(x: jax.Array, count: int) -> jax.Array:
    """The sums of every ``count`` rows of an expression, as an array of their own: XLA fuses it with a sum over few rows, not
    with one over many, and would take this and a sum of it for one."""
    return jax.lax.optimization_barrier(jnp.sum(x.reshape(-1, count, x.shape[1]), 1))


def zero_after(x: jax.Array) -> jax.Array:
    """A zero that XLA takes for one that depends on ``x``."""
    return jnp.where((x[0, 0] > 0) & (x[0, 0] < 0), jnp.ones((), x.dtype), 0)


# convolution


class Bands(NamedTuple):
    """The matrices of a convolution: ``middle`` ``(width, positions · features)`` for the own block, ``edges`` ``(width,
    …)`` for its neighbours, side by side; None where there are none."""

    middle: jax.Array
    edges: jax.Array | None


def bands(kernel: jax.Array, shape: Shape) -> Bands:
    """The matrices of the convolution ``kernel (k, channels, features)``."""
    neighbours = shape.neighbours()
    parts = [shape.sample(), *(shape.sample(n.away)[:, _positions(n, shape)] for n in neighbours)]
    # 1 where input position q meets output position p, of its own block or of a neighbour's, at the kernel's sample k
    meets = np.concatenate(parts, 1)[:, :, None] == np.arange(shape.kernel)
    matrix = jnp.einsum("qpk,kcf->qcpf", jnp.asarray(meets, kernel.dtype), kernel).reshape(shape.width, -1)
    own = shape.positions * shape.features
    return Bands(matrix[:, :own], matrix[:, own:] if neighbours else None)


def _positions(neighbour: Neighbour, shape: Shape) -> slice:
    return slice(neighbour.columns.start // shape.features, neighbour.columns.stop // shape.features)


def convolve(x: jax.Array, bands: Bands, shape: Shape) -> jax.Array:
    """A convolution without bias: features in any view → ``(batch · blocks, positions · features)``."""
    x = shape.to_blocks(x)
    return x @ bands.middle if bands.edges is None else spread(x @ bands.middle, x @ bands.edges, shape)


def spread(y: jax.Array, edges: jax.Array, shape: Shape) -> jax.Array:
    """Blocks plus what their neighbours owe them."""
    for n in shape.neighbours():
        owed = jnp.where(_has(n, len(y), shape), edges[n.giving, n.edge], 0)
        y = jax.lax.dynamic_update_slice(y, y[n.taking, n.columns] + owed, (max(n.away, 0), n.columns.start))
    return y


def collect(y: jax.Array, shape: Shape) -> jax.Array:
    """The transpose of ``spread`` for the edges: blocks → the columns of their neighbours that they add to, zeros where an
    example ends."""
    neighbours = shape.neighbours()
    # constant zeros XLA would make from the start, for all convolutions, and hold
    edges = jnp.broadcast_to(zero_after(y), (len(y), neighbours[-1].edge.stop))
    for n in neighbours:
        piece = jnp.where(_has(n, len(y), shape), y[n.taking, n.columns], 0)
        edges = jax.lax.dynamic_update_slice(edges, piece, (max(-n.away, 0), n.edge.start))
    return edges


def _has(neighbour: Neighbour, count: int, shape: Shape) -> jax.Array:
    """For the blocks ``giving`` of ``count``, whether the one so far away is of the same example: ``(n, 1)``."""
    number = (jnp.arange(count, dtype=jnp.uint32) % shape.blocks)[neighbour.giving]
    away = neighbour.away
    return (number < shape.blocks - away if away > 0 else number >= -away)[:, None]
