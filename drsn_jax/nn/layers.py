"""Convolution, normalisation and pooling: the place where it is decided how they are computed.

Features are ``(batch, *positions, channels)``. The number of position axes is that of the kernel.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float
from drsn_jax.nn.blocked import sums_of_rows

Module = Callable[..., nn.Module]


Padding = str | Sequence[tuple[int, int]]


he_normal = nn.initializers.he_normal()  # fan-in


def centred_padding(kernel: Sequence[int]) -> list[tuple[int, int]]:
    """Zeros ``((k-1)//2, k//2)`` for each axis: output position i sits on input position i·stride, where a strided shortcut
    takes its sample. ``"SAME"`` instead is half a step off for even lengths and stride 2."""
    return [((k - 1) // 2, k // 2) for k in kernel]


def convolution(
    features: int,
    kernel: Sequence[int],
    strides: int = 1,
    *,
    padding: str = "centred",
    conv: Module = nn.Conv,
    dtype: Any = None,
    name: str | None = None,
) -> nn.Module:
    """A convolution over all positions with He-normal kernel and zero bias; ``conv`` may be the user's own, with the fields of
    ``flax.linen.Conv``. ``padding`` is ``"centred"`` or what ``conv`` itself understands (``"SAME"``, ``"VALID"``)."""
    pads: Padding = centred_padding(kernel) if padding == "centred" else padding
    return conv(
        features,
        tuple(kernel),
        strides=(strides,) * len(kernel),
        padding=pads,
        kernel_init=he_normal,
        dtype=dtype,
        name=name,
    )


def dense(features: int, *, dtype: Any = None, name: str | None = None) -> nn.Dense:
    """A fully connected layer with He-normal weights and zero bias."""
    return nn.Dense(features, kernel_init=he_normal, dtype=dtype, name=name)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, statistics in at least float32::

        y = (x - mean) / sqrt(var + epsilon) · scale + bias
        running ← momentum · running + (1 - momentum) · batch          (biased variance)

    With ``axis_name`` the statistics are those of all replicas. Where they rest on a single value per channel (a batch of
    one in the sub-network of a shrinkage) the running averages stay as they are: one value has no variance.
    Parameters and statistics have the names of ``flax.linen.BatchNorm``. With ``staged`` the sums over a batch, those of its
    derivatives too, are taken of eight positions first and then of their sums: XLA on a CPU is slow at sums of many rows (a
    training step of DRSN-CW on images of 32 × 32: 1.25 times as fast).

    Source: Ioffe & Szegedy, ICML 2015.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = None
    axis_name: str | None = None
    staged: bool = False

    @nn.compact
    def __call__(self, x: ArrayLike, use_running_average: bool) -> jax.Array:
        x = as_float(x)
        channels = x.shape[-1]
        wide = jnp.promote_types(x.dtype, jnp.float32)
        scale = self.param("scale", nn.initializers.ones_init(), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), scale.dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), scale.dtype)

        if use_running_average:
            mean, var = running_mean.value, running_var.value
        else:
            # the axis does not exist while parameters are made
            axis_name = None if self.is_initializing() else self.axis_name
            mean, var = batch_statistics(x.astype(wide), axis_name, self.staged)
            count = math.prod(x.shape[:-1]) * (1 if axis_name is None else jax.lax.axis_size(axis_name))
            if not self.is_initializing():
                old = {"mean": running_mean.value, "var": running_var.value}
                new = update_running(old, {"mean": mean, "var": var}, count, self.momentum)
                running_mean.value, running_var.value = new["mean"], new["var"]

        gain = scale * jax.lax.rsqrt(var + self.epsilon)
        if self.staged and not use_running_average:
            mean, gain, bias = (_spread(vector, x.shape) for vector in (mean, gain, bias))
        y = (x.astype(wide) - mean) * gain + bias
        return y.astype(self.dtype or x.dtype)


def update_running(
    running: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], count: int, momentum: float = BatchNorm.momentum
) -> dict[str, jax.Array]:
    """The new running averages; they stay where a batch has a single value per channel (``count``)."""
    if count <= 1:
        return dict(running)
    return {k: (momentum * running[k] + (1 - momentum) * batch[k]).astype(running[k].dtype) for k in running}


def batch_statistics(x: jax.Array, axis_name: str | None = None, staged: bool = False) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of each channel of ``(..., channels)``, over all replicas of ``axis_name``; ``staged`` as in
    ``BatchNorm``."""

    def mean_of(values: jax.Array) -> jax.Array:
        if staged and (count := _rows_of_a_stage(x.shape)) > 1:
            mean = jnp.sum(sums_of_rows(values.reshape(-1, x.shape[-1]), count), 0) / math.prod(x.shape[:-1])
        else:
            mean = jnp.mean(values, tuple(range(x.ndim - 1)))
        return mean if axis_name is None else jax.lax.pmean(mean, axis_name)

    mean = mean_of(x)
    # deviations first, squares second: E[x²] - E[x]² cancels for channels with a large mean
    return mean, mean_of(jnp.square(x - (_spread(mean, x.shape) if staged else mean)))


def _rows_of_a_stage(shape: Sequence[int]) -> int:
    """How many positions of ``(..., channels)`` are summed first; 1 where it pays not to."""
    rows = math.prod(shape[:-1])
    return math.gcd(rows, 8) if rows >= 1024 else 1


def _spread(vector: jax.Array, shape: Sequence[int]) -> jax.Array:
    """A number for each channel at every position, in two stages: the derivative of a broadcast is a sum."""
    if (count := _rows_of_a_stage(shape)) == 1:
        return vector
    rows = math.prod(shape[:-1]) // count
    some = jax.lax.optimization_barrier(jnp.broadcast_to(vector, (rows, shape[-1])))
    return jnp.broadcast_to(some[:, None], (rows, count, shape[-1])).reshape(shape)


def normalisation(norm: Module, *, axis_name: str | None = None, dtype: Any = None, name: str | None = None) -> nn.Module:
    """A norm built by ``norm`` (a module class or a partial of one), told the axis of the replicas and the dtype where it has
    such a field and the partial leaves it open: the user's own norm sees only what it knows."""
    given = norm.keywords if isinstance(norm, functools.partial) else {}
    known = inspect.signature(norm).parameters
    offered = {"axis_name": axis_name, "dtype": dtype}
    fields = {field: value for field, value in offered.items() if field in known and field not in given}
    return norm(**fields, name=name)


def normalise(module: nn.Module, x: jax.Array, train: bool) -> jax.Array:
    """Call a norm of any kind: those with running averages are told whether to use them, others have none."""
    if "use_running_average" in inspect.signature(type(module).__call__).parameters:
        return module(x, use_running_average=not train)
    return module(x)


def position_mean(x: jax.Array) -> jax.Array:
    """Mean over the positions: ``(batch, *positions, channels)`` → ``(batch, channels)``, summed in at least float32."""
    return jnp.mean(x, tuple(range(1, x.ndim - 1)), dtype=jnp.promote_types(x.dtype, jnp.float32))
