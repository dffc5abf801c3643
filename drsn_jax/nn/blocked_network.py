"""The features of a whole ``Network`` in the blocked view, as a pure function of its variables.

The same parameters and statistics, the same result to rounding as the modules give; ``networks.Network`` decides when. With
fixed statistics the second norm of a unit is folded into its first convolution.

DRSN-CW at paper size on two cores, windows a second (``experiments/benchmarks/throughput.py``; README has the command)::

                                  modules    blocked    ratio
    training, batch 128               943      2,313    2.5 ×
      with tcmalloc                   829      1,821    2.2 ×
    training, batch 1,024             840      1,834    2.2 ×
      with tcmalloc                   888      1,912    2.2 ×

Narrow blocks (lengths with few divisors) lose the rate of the product, wide layers spend it on zeros: ``Plan.pays`` asks for
16 to 32 numbers a block.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from drsn_jax.core.arrays import named_leaves
from drsn_jax.nn import blocked, blocked_layers
from drsn_jax.nn.layers import BatchNorm, position_mean, update_running

Tree = Mapping[str, Any]


MIN_WIDTH = 16  # of a block, for the product to pay


class Plan(NamedTuple):
    """What the features depend on beside the variables: fields of a ``Network``, and the positions in a block behind its first
    convolution and in each stage."""

    widths: tuple[int, ...]
    units: tuple[int, ...]
    kernel: int
    stem: int
    shrinkage: str | None
    shortcut: str | None
    axis_name: str | None
    positions: tuple[int, ...]

    @property
    def pays(self) -> bool:
        """Whether a CPU is faster so (see the table in the module's docstring)."""
        widths = (self.widths[0], *self.widths)
        return all(MIN_WIDTH <= p * w <= blocked.WIDTH for p, w in zip(self.positions, widths, strict=True))


def plan(network: Any, variables: Mapping[str, Tree], x: jax.Array) -> Plan | None:
    """How to compute the features of ``x`` ``(batch, length, channels)``, or None where it takes the modules: for more or fewer
    axes, another padding, a rule that is not soft, a convolution or norm of the user's own, lengths that the strides do not
    divide, 16-bit numbers or several dtypes, and variables that are not those of the network."""
    if (
        x.ndim != 3
        or x.size == 0
        or len(network.kernel) != 1
        or network.padding != "centred"
        or network.conv is not nn.Conv
        or network.norm is not BatchNorm
        or network.dtype not in (None, x.dtype)
        or x.dtype not in (jnp.float32, jnp.float64)
        or network.shrinkage not in (None, "squeeze_excitation", "channel_wise", "channel_shared")
        or network.shortcut not in (None, "zero_padding", "projection")
        or (network.threshold_rule != "soft" and network.shrinkage in ("channel_wise", "channel_shared"))
        or (network.shortcut == "zero_padding" and any(a > b for a, b in itertools.pairwise(network.widths)))
    ):
        return None
    length, positions = x.shape[1], []
    for strides, width in ((network.stem, network.widths[0]), *((2, width) for width in network.widths)):
        if length % strides:
            return None
        length //= strides
        positions.append(blocked.positions_of(length, width))
    found = {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(variables)}
    if any(found.get(name) != (shape, x.dtype) for name, shape in _shapes(network, x.shape[2])):
        return None
    return Plan(
        tuple(network.widths), tuple(network.units), network.kernel[0], network.stem, network.shrinkage, network.shortcut,
        network.axis_name, tuple(positions),
    )  # fmt: skip


def _shapes(network: Any, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names and shapes of the variables that the features depend on."""

    def affine(name: str, *kernel: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from ((f"params/{name}/kernel", kernel), (f"params/{name}/bias", kernel[-1:]))

    def norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for vector in ("params/{}/scale", "params/{}/bias", "batch_stats/{}/mean", "batch_stats/{}/var"):
            yield vector.format(name), (width,)

    (kernel,), width = network.kernel, network.widths[0]
    yield from affine("stem_conv", kernel, channels, width)
    for stage, (features, count) in enumerate(zip(network.widths, network.units, strict=True)):
        for number in range(count):
            unit = f"stages_{stage}_{number}"
            yield from norm(f"{unit}/norm_1", width)
            yield from affine(f"{unit}/conv_1", kernel, width, features)
            yield from norm(f"{unit}/norm_2", features)
            yield from affine(f"{unit}/conv_2", kernel, features, features)
            if network.shortcut == "projection" and (number == 0 or width != features):
                yield from affine(f"{unit}/projection", 1, width, features)
            if network.shrinkage is not None:
                outputs = 1 if network.shrinkage == "channel_shared" else features
                yield from affine(f"{unit}/attention/dense_1", features, features)
                yield from affine(f"{unit}/attention/dense_2", features, outputs)
            if network.shrinkage in ("channel_wise", "channel_shared"):
                yield from norm(f"{unit}/attention/norm", features)
            width = features
    yield from norm("last_norm", width)


def features(plan: Plan, variables: Mapping[str, Tree], x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
    """The pooled features ``(batch, widths[-1])`` of windows ``(batch, length, channels)`` and the new ``batch_stats``, which
    are the old ones unless ``train``."""
    params, stats, width = variables["params"], variables["batch_stats"], plan.widths[0]
    length, strides = x.shape[1] // plan.stem, plan.stem
    shape = blocked.Shape(length // plan.positions[0], plan.kernel, strides, plan.positions[0], x.shape[-1], width)
    y, updated = _convolve(params["stem_conv"], x, shape), {}
    for stage, (features, count, positions) in enumerate(zip(plan.widths, plan.units, plan.positions[1:], strict=True)):
        length //= 2
        for number in range(count):
            strides = 2 if number == 0 else 1
            shape = blocked.Shape(length // positions, plan.kernel, strides, positions, width, features)
            name = f"stages_{stage}_{number}"
            y, updated[name] = _unit(plan, params[name], stats[name], y, train, shape)
            width = features
    y = y.reshape(len(x), -1, width)
    y, updated["last_norm"] = _norm(plan, params["last_norm"], stats["last_norm"], y, train)
    return position_mean(jax.nn.relu(y)), updated


def _unit(plan: Plan, params: Tree, stats: Tree, x: jax.Array, train: bool, shape: blocked.Shape) -> tuple[jax.Array, Tree]:
    x, updated = shape.view(x), dict(stats)
    second = shape._replace(strides=1, channels=shape.features)
    first, last = params["conv_1"], params["conv_2"]
    if train:
        none = jnp.zeros_like(params["norm_1"]["bias"])
        y, updated["norm_1"] = _norm_relu_convolve(plan, params, stats, x, none, shape, 1)
        y, updated["norm_2"] = _norm_relu_convolve(plan, params, stats, y, first["bias"], second, 2)
        y = y + blocked.widen(last["bias"], second.width)
    else:
        gain, offset = _fixed(params["norm_1"], stats["norm_1"])
        y = jax.nn.relu(x * blocked.widen(gain, shape.width) + blocked.widen(offset, shape.width))
        gain, offset = _fixed(params["norm_2"], stats["norm_2"])
        y = _convolve({"kernel": first["kernel"] * gain, "bias": first["bias"] * gain + offset}, y, shape)
        y = _convolve(last, jax.nn.relu(y), second)
    if plan.shrinkage == "squeeze_excitation":
        y = _squeeze_excitation(params["attention"], y, second)
    elif plan.shrinkage is not None:
        y, updated["attention"] = _shrinkage(plan, params["attention"], stats["attention"], y, train, second)
    if plan.shortcut is None:
        return y, updated
    if "projection" in params:
        return y + _convolve(params["projection"], x, shape._replace(kernel=1)), updated
    return y + blocked_layers.shortcut(x, shape), updated


def _shrinkage(plan: Plan, params: Tree, stats: Tree, x: jax.Array, train: bool, shape: blocked.Shape) -> tuple[jax.Array, Tree]:
    average = blocked_layers.mean_magnitude(x, shape.blocks, shape.channels)
    hidden, updated = _norm(plan, params["norm"], stats["norm"], _dense(params["dense_1"], average), train)
    alpha = jax.nn.sigmoid(_dense(params["dense_2"], jax.nn.relu(hidden)))
    if plan.shrinkage == "channel_shared":
        average = jnp.mean(average, -1, keepdims=True)
    return blocked_layers.soft_threshold_blocks(x, jnp.broadcast_to(alpha * average, (len(alpha), shape.channels))), {
        "norm": updated
    }


def _squeeze_excitation(params: Tree, x: jax.Array, shape: blocked.Shape) -> jax.Array:
    hidden = jax.nn.relu(_dense(params["dense_1"], blocked_layers.mean_of_positions(x, shape.blocks, shape.channels)))
    weight = jax.nn.sigmoid(_dense(params["dense_2"], hidden))
    return blocked_layers.scale(x, weight)


def _dense(params: Tree, x: jax.Array) -> jax.Array:
    return x @ params["kernel"] + params["bias"]


def _convolve(params: Tree, x: jax.Array, shape: blocked.Shape) -> jax.Array:
    y = blocked.convolve(x, blocked.bands(params["kernel"], shape), shape)
    return y + blocked.widen(params["bias"], y.shape[1])


# norms


def _norm(plan: Plan, params: Tree, stats: Tree, x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
    """A norm by its module: what is no block."""
    variables = {"params": params, "batch_stats": stats}
    y, updated = BatchNorm(axis_name=plan.axis_name, parent=None).apply(variables, x, not train, mutable=["batch_stats"])
    return y, updated["batch_stats"]


def _norm_relu_convolve(
    plan: Plan, params: Tree, stats: Tree, x: jax.Array, bias: jax.Array, shape: blocked.Shape, number: int
) -> tuple[jax.Array, Tree]:
    """The norm and convolution of this number after ``x + bias``, but for the convolution's bias."""
    norm, running = params[f"norm_{number}"], stats[f"norm_{number}"]
    bands = blocked.bands(params[f"conv_{number}"]["kernel"], shape)
    y, mean, var = blocked_layers.norm_relu_convolve(
        x, bias, norm["scale"], norm["bias"], bands, shape, BatchNorm.epsilon, plan.axis_name
    )
    count = x.size // shape.channels * (1 if plan.axis_name is None else jax.lax.axis_size(plan.axis_name))
    return y, update_running(running, {"mean": mean, "var": var}, count)


def _fixed(params: Tree, stats: Tree) -> tuple[jax.Array, jax.Array]:
    """A norm with running statistics as two vectors, to multiply with and to add."""
    gain = params["scale"] * jax.lax.rsqrt(stats["var"] + BatchNorm.epsilon)
    return gain, params["bias"] - stats["mean"] * gain
