"""Convolution, normalisation and pooling as all networks of this package compute them.

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

from drsn_jax.core.arrays import as_float, wide_dtype
from drsn_jax.nn.blocked import rows_of_a_group, sums_of_rows

Module = Callable[..., nn.Module]
Padding = str | Sequence[tuple[int, int]]


def _traced_once(initializer: nn.initializers.Initializer) -> nn.initializers.Initializer:
    """Return an initializer that is traced once for each shape: whenever a module is applied, Flax traces the initializers of
    all its parameters again to compare their shapes."""
    return jax.jit(initializer, static_argnums=(1, 2))


he_normal: nn.initializers.Initializer = _traced_once(nn.initializers.he_normal())  # fan-in
zeros: nn.initializers.Initializer = _traced_once(nn.initializers.zeros_init())
ones: nn.initializers.Initializer = _traced_once(nn.initializers.ones_init())


def centred_padding(kernel: Sequence[int]) -> list[tuple[int, int]]:
    """Return the numbers of zeros before and after each axis, ``((k-1)//2, k//2)``, for kernel sizes ``k``.

    Output position i then lies on input position i·stride, from which a strided shortcut takes its sample. ``"SAME"`` is half a
    step off for even lengths and stride 2.
    """
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
    """Create a convolution over all positions, with He-normal kernel and zero bias.

    ``conv`` may be the user's own module with the fields of ``flax.linen.Conv``. ``padding`` is ``"centred"`` or what ``conv``
    itself understands (``"SAME"``, ``"VALID"``).
    """
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
    """Create a fully connected layer with He-normal weights and zero bias."""
    return nn.Dense(features, kernel_init=he_normal, bias_init=zeros, dtype=dtype, name=name)


class BatchNorm(nn.Module):
    """Normalise over all axes but the last by the statistics of the batch, which are computed in at least float32::

        y = (x - mean) / sqrt(var + epsilon) · scale + bias
        running ← momentum · running + (1 - momentum) · batch          (biased variance)

    Where a channel has a single value in the batch (a batch of one in the sub-network of a shrinkage), the running averages do
    not change: one value has no variance. Parameters and statistics have the names of ``flax.linen.BatchNorm``.

    Fields:
      momentum, epsilon: as in the formulas.
      dtype: of the output; None takes that of the input.
      axis_name: the mapped axis whose replicas share the statistics.
      staged: whether sums over the batch, and those of their derivatives, are made in two stages: groups of eight positions
        first, then the sums of the groups. XLA on a CPU is slow at sums of many rows: with two stages a training step of DRSN-CW
        on images of 32 × 32 is 1.25 times as fast.

    Source: Ioffe & Szegedy, ICML 2015.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = None
    axis_name: str | None = None
    staged: bool = False

    @nn.compact
    def __call__(self, x: ArrayLike, use_running_average: bool) -> jax.Array:
        """Normalise ``x`` ``(..., channels)``, in evaluation by the running averages."""
        x = as_float(x)
        channels = x.shape[-1]
        wide = wide_dtype(x.dtype)
        # like the parameters of flax's layers they are float32 even with jax_enable_x64
        scale = self.param("scale", ones, (channels,), jnp.float32)
        bias = self.param("bias", zeros, (channels,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)

        if use_running_average:
            mean, var = running_mean.value, running_var.value
        else:
            # the mapped axis does not exist while parameters are initialised
            axis_name = None if self.is_initializing() else self.axis_name
            mean, var = batch_statistics(x.astype(wide), axis_name, self.staged)
            count = math.prod(x.shape[:-1]) * (1 if axis_name is None else jax.lax.axis_size(axis_name))
            if not self.is_initializing():
                old = {"mean": running_mean.value, "var": running_var.value}
                new = update_running(old, {"mean": mean, "var": var}, count, self.momentum)
                running_mean.value, running_var.value = new["mean"], new["var"]

        widest = wide_dtype(wide, scale.dtype)
        gain = scale.astype(widest) * jax.lax.rsqrt(var.astype(widest) + self.epsilon)
        staged = self.staged and not use_running_average
        mean, gain, bias = (_over_positions(vector.astype(widest), x.shape, staged) for vector in (mean, gain, bias))
        y = (x.astype(widest) - mean) * gain + bias
        return y.astype(self.dtype or x.dtype)


def update_running(
    running: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], count: int, momentum: float = BatchNorm.momentum
) -> dict[str, jax.Array]:
    """Return the new running averages, which stay as they are if the batch has ``count`` = 1 value in each channel."""
    if count <= 1:
        return dict(running)
    wide = {k: wide_dtype(running[k].dtype, batch[k].dtype) for k in running}
    new = {k: momentum * running[k].astype(wide[k]) + (1 - momentum) * batch[k].astype(wide[k]) for k in running}
    return {k: new[k].astype(running[k].dtype) for k in running}


def batch_statistics(x: jax.Array, axis_name: str | None = None, staged: bool = False) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the biased variance ``(channels,)`` of ``(..., channels)``.

    They are those of all replicas of ``axis_name``. ``staged`` is as in ``BatchNorm``.
    """

    def mean_of(values: jax.Array) -> jax.Array:
        if staged and (count := _positions_of_a_group(x.shape)) > 1:
            mean = jnp.sum(sums_of_rows(values.reshape(-1, x.shape[-1]), count), 0) / math.prod(x.shape[:-1])
        else:
            mean = jnp.mean(values, tuple(range(x.ndim - 1)))
        return mean if axis_name is None else jax.lax.pmean(mean, axis_name)

    mean = mean_of(x)
    # deviations first, squares second: E[x²] - E[x]² cancels for channels with a large mean
    return mean, mean_of(jnp.square(x - _over_positions(mean, x.shape, staged)))


def _positions_of_a_group(shape: Sequence[int]) -> int:
    """Return how many positions of ``(..., channels)`` the first stage of a sum adds up; 1 where two stages are not faster."""
    positions = math.prod(shape[:-1])
    return rows_of_a_group(positions) if positions >= 1024 else 1


def _over_positions(vector: jax.Array, shape: Sequence[int], staged: bool) -> jax.Array:
    """Return ``(channels,)`` as an array that broadcasts with features of ``shape`` ``(..., channels)``.

    With ``staged`` it is broadcast to ``shape`` in two stages: the derivative of a broadcast is a sum, which then has them too.
    """
    if not staged or (count := _positions_of_a_group(shape)) == 1:
        return vector.reshape(*(1,) * (len(shape) - 1), -1)
    groups = math.prod(shape[:-1]) // count
    # the barrier keeps XLA from merging the two stages again
    by_group = jax.lax.optimization_barrier(jnp.broadcast_to(vector, (groups, shape[-1])))
    return jnp.broadcast_to(by_group[:, None], (groups, count, shape[-1])).reshape(shape)


def normalisation(norm: Module, *, axis_name: str | None = None, dtype: Any = None, name: str | None = None) -> nn.Module:
    """Create a norm by calling ``norm``, a module class or a partial of one.

    ``axis_name`` and ``dtype`` are passed on only where the norm has such a field and the partial does not set it. A user's own
    norm therefore needs neither.
    """
    given = norm.keywords if isinstance(norm, functools.partial) else {}
    known = _parameters(norm.func if isinstance(norm, functools.partial) else norm)
    offered = {"axis_name": axis_name, "dtype": dtype}
    fields = {field: value for field, value in offered.items() if field in known and field not in given}
    return norm(**fields, name=name)


@functools.lru_cache(maxsize=128)
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names of the parameters of a function or class. The result is cached: each module that is traced asks for it."""
    return frozenset(inspect.signature(function).parameters)


def normalise(module: nn.Module, x: jax.Array, train: bool) -> jax.Array:
    """Normalise ``x`` by a norm of any kind.

    A norm with running averages (its ``__call__`` has the argument ``use_running_average``) uses them in evaluation. Other norms
    are called with ``x`` alone.
    """
    if "use_running_average" in _parameters(type(module).__call__):
        return module(x, use_running_average=not train)
    return module(x)


def position_mean(x: jax.Array) -> jax.Array:
    """Return the mean over the positions in at least float32: ``(batch, *positions, channels)`` → ``(batch, channels)``."""
    return jnp.mean(x, tuple(range(1, x.ndim - 1)), dtype=wide_dtype(x.dtype))


def relu_mean(x: jax.Array) -> jax.Array:
    """Return the mean over the positions of ``ReLU(x)``, as ``position_mean``; NaN anywhere in a channel makes its mean NaN."""
    return position_mean(relu_with_nan(x))


def relu_with_nan(x: jax.Array) -> jax.Array:
    """Return ``ReLU(x)``, in which NaN stays NaN when it is summed."""
    # not jax.nn.relu: from jax 0.10.2 on, XLA for CPUs loses NaN where it fuses a maximum into a sum of 4,096 numbers or more
    return jnp.where(x <= 0, 0, x)


def nan_where_not_finite(y: jax.Array, windows: jax.Array) -> jax.Array:
    """Return ``y`` ``(batch, …)``, but NaN for each window ``(batch, *positions, channels)`` that holds NaN or infinity.

    Arithmetic alone does not promise it: the ReLU of minus infinity is 0, and a compiler may lose NaN (see ``relu_with_nan``).
    """
    finite = jnp.isfinite(windows).all(tuple(range(1, windows.ndim)))
    return jnp.where(jnp.expand_dims(finite, tuple(range(1, y.ndim))), y, jnp.nan)
