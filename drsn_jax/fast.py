"""The features of a whole ``Network`` in the blocked view, as a pure function of its variables.

The same parameters and statistics, the same result to rounding as the modules give; ``networks.Network`` decides when. With
fixed statistics the second norm of a unit is folded into its first convolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drsn_jax import blocked
from drsn_jax.layers import BatchNorm

Tree = Mapping[str, Any]
MOMENTUM, EPSILON = BatchNorm.momentum, BatchNorm.epsilon


class Plan(NamedTuple):
    """The fields of a ``Network`` that its features depend on, with one kernel length."""

    widths: Sequence[int]
    units: Sequence[int]
    kernel: int
    stem: int
    shrinkage: str | None
    shortcut: str | None
    axis_name: str | None


def lengths(plan: Plan, length: int) -> list[int] | None:
    """Positions behind the first convolution and in each stage, or None where a stride does not divide them."""
    found = []
    for strides in (plan.stem, *(2 for _ in plan.widths)):
        if length % strides:
            return None
        length //= strides
        found.append(length)
    return found


def features(plan: Plan, variables: Mapping[str, Tree], x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
    """The pooled features ``(batch, widths[-1])`` of windows ``(batch, length, channels)`` and the new ``batch_stats``, which
    are the old ones unless ``train``."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    counts = lengths(plan, x.shape[1])
    assert counts is not None, "a stride does not divide the length"
    norm = _Norms(train, plan.axis_name)
    positions = blocked.positions_of(counts[0], plan.widths[0])
    shape = blocked.Shape(plan.kernel, plan.stem, positions, x.shape[-1], plan.widths[0])
    y, updated = blocked.convolve(x, _band(params["stem_conv"], shape), shape), {}
    width = plan.widths[0]
    for stage, (features, count, length) in enumerate(zip(plan.widths, plan.units, counts[1:], strict=True)):
        positions = blocked.positions_of(length, features)
        for number in range(count):
            shape = blocked.Shape(plan.kernel, 2 if number == 0 else 1, positions, width, features)
            name = f"stages_{stage}_{number}"
            y, updated[name] = _unit(plan, norm, params[name], stats[name], y, shape)
            width = features
    mean, gain, offset, updated["last_norm"] = norm(params["last_norm"], stats["last_norm"], y)
    wide = y.shape[-1]
    normed = (y - blocked.widen(mean, wide)) * blocked.widen(gain, wide) + blocked.widen(offset, wide)
    return blocked.mean_of_positions(jax.nn.relu(normed), width), updated


def _unit(
    plan: Plan, norm: "_Norms", params: Tree, stats: Tree, x: jax.Array, shape: blocked.Shape
) -> tuple[jax.Array, Tree]:
    x, updated = shape.blocks(x), {}
    second = shape._replace(strides=1, channels=shape.features)
    mean, gain, offset, updated["norm_1"] = norm(params["norm_1"], stats["norm_1"], x)
    if norm.train:
        y = blocked.norm_relu_convolve(x, mean, gain, offset, _band(params["conv_1"], shape), shape)
        scaled = norm(params["norm_2"], stats["norm_2"], y)
        updated["norm_2"] = scaled[-1]
        y = blocked.norm_relu_convolve(y, *scaled[:3], _band(params["conv_2"], second), second)
    else:
        between, by, then, updated["norm_2"] = norm(params["norm_2"], stats["norm_2"], None)
        conv = params["conv_1"]
        folded = {"kernel": conv["kernel"] * by, "bias": (conv["bias"] - between) * by + then}
        y = blocked.norm_relu_convolve(x, mean, gain, offset, _band(folded, shape), shape)
        y = blocked.convolve(jax.nn.relu(y), _band(params["conv_2"], second), second)
    if plan.shrinkage is not None:
        y, attention = _attention(plan, norm, params["attention"], stats.get("attention", {}), y, shape.features)
        if attention:
            updated["attention"] = attention
    if plan.shortcut is None:
        return y, updated
    if "projection" in params:
        point = shape._replace(kernel=1)
        return y + blocked.convolve(x, _band(params["projection"], point), point), updated
    return y + blocked.shortcut(x, shape.channels, shape.features, shape.strides, shape.positions), updated


def _attention(
    plan: Plan, norm: "_Norms", params: Tree, stats: Tree, x: jax.Array, channels: int
) -> tuple[jax.Array, Tree]:
    first, second = params["dense_1"], params["dense_2"]
    if plan.shrinkage == "squeeze_excitation":
        hidden = jax.nn.relu(blocked.mean_of_positions(x, channels) @ first["kernel"] + first["bias"])
        weight = jax.nn.sigmoid(hidden @ second["kernel"] + second["bias"])
        return x * blocked.widen(weight, x.shape[-1])[:, None], {}
    average = blocked.mean_magnitude(x, channels)
    hidden = average @ first["kernel"] + first["bias"]
    mean, gain, offset, updated = norm(params["norm"], stats["norm"], hidden[:, None])
    alpha = jax.nn.sigmoid(jax.nn.relu((hidden - mean) * gain + offset) @ second["kernel"] + second["bias"])
    if plan.shrinkage == "channel_shared":
        average = jnp.mean(average, -1, keepdims=True)
    return blocked.soft_threshold(x, jnp.broadcast_to(alpha * average, (len(x), channels))), {"norm": updated}


class _Norms(NamedTuple):
    """A norm as three vectors: what is taken away, multiplied, added; and its new statistics."""

    train: bool
    axis_name: str | None

    def __call__(self, params: Tree, stats: Tree, x: jax.Array | None) -> tuple[jax.Array, jax.Array, jax.Array, Tree]:
        channels = len(params["scale"])
        if self.train:
            assert x is not None
            mean, var = blocked.statistics(x, channels, self.axis_name)
            count = x.size // channels * (1 if self.axis_name is None else jax.lax.axis_size(self.axis_name))
            if count > 1:
                batch = {"mean": mean, "var": var}
                stats = {k: MOMENTUM * stats[k] + (1 - MOMENTUM) * batch[k] for k in batch}
        else:
            mean, var = stats["mean"], stats["var"]
        return mean, params["scale"] * jax.lax.rsqrt(var + EPSILON), params["bias"], stats


def _band(params: Tree, shape: blocked.Shape) -> jax.Array:
    return blocked.band(params["kernel"], params["bias"], shape)
