"""The blocked implementation of a whole ``Network``: its features as a pure function of its variables.

It takes the same parameters and statistics as the modules, and its results equal theirs to rounding. ``networks.Network``
decides when it is used. In evaluation, the second norm of a unit is folded into the unit's first convolution.

Windows per second of DRSN-CW at paper size on two cores (docs/researcher.md has the command)::

                                  modules    blocked    ratio
    training, batch 128             2,211      7,511    3.4 ×
      with tcmalloc                 2,274      8,098    3.6 ×
    training, batch 1,024           1,953      6,291    3.2 ×
      with tcmalloc                 1,918      6,234    3.3 ×

Products of narrow blocks are slow (blocks are narrow where the length has few divisors). A layer of more than ``blocked.WIDTH``
channels has a block for each position. In training that pays, the less the wider it is; in inference it does not. Milliseconds of
a step, or of an answer to 64 windows, on two cores::

    widths                        modules    blocked    ratio
    training, 12-24-48, batch 64     53.2       33.6    1.6 ×
    training, 16-32-64, batch 64     66.4       48.0    1.4 ×
    training, 32-64-128, batch 32    73.9       68.8    1.1 ×
    inference, 12-24-48              17.4       18.6    0.9 ×
    inference, 32-64-128             35.1       43.7    0.8 ×
"""

import functools
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from drsn_jax.core.arrays import named_leaves
from drsn_jax.nn import blocked, blocked_layers
from drsn_jax.nn.layers import BatchNorm, relu_with_nan, update_running
from drsn_jax.nn.variable_shapes import variable_shapes

Tree = Mapping[str, Any]
MIN_WIDTH = 16  # the fewest numbers in a block for which the product is faster
# in training, where a block is a single position: the most channels, and samples of the kernel, for which products are faster
MAX_WIDTH, MAX_KERNEL = 64, 5


class Layout(NamedTuple):
    """All that the blocked implementation needs to know beside the variables.

    Fields:
      widths, units, kernel, stem, shrinkage, shortcut, axis_name: as in ``Network``; ``kernel`` is one number.
      positions: number of positions in a block in each stage.
    """

    widths: tuple[int, ...]
    units: tuple[int, ...]
    kernel: int
    stem: int
    shrinkage: str | None
    shortcut: str | None
    axis_name: str | None
    positions: tuple[int, ...]

    def pays(self, train: bool) -> bool:
        """Whether the blocked implementation is faster than the modules on a CPU (see the tables in the module's docstring)."""
        numbers = [p * w for p, w in zip(self.positions, self.widths, strict=True)]
        if min(numbers) < MIN_WIDTH:
            return False
        return max(numbers) <= blocked.WIDTH or (train and max(numbers) <= MAX_WIDTH and self.kernel <= MAX_KERNEL)


def layout_of(network: Any, variables: Mapping[str, Tree], x: jax.Array) -> Layout | None:
    """Return the layout with which the features of ``x`` ``(batch, length, channels)`` are computed.

    Returns None where only the modules can compute them: for what ``_is_covered`` excludes, for symbolic shapes, for lengths that
    the strides do not divide, and for variables whose names, shapes or dtypes are not those of the network (the modules then
    raise the error).
    """
    # a symbolic dimension of jax.export is no number: how the features divide into blocks is not known
    if not all(isinstance(size, int) for size in x.shape) or not _is_covered(network, x):
        return None
    length, positions = x.shape[1], []
    if length % (network.stem * 2 ** len(network.widths)):
        return None
    length //= network.stem
    for width in network.widths:
        length //= 2
        positions.append(blocked.positions_of(length, width))
    given = {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(variables)}
    wanted = named_leaves(variable_shapes(network, x.shape[1:]))
    if any(given.get(name) != (leaf.shape, x.dtype) for name, leaf in wanted if not name.startswith("params/classifier/")):
        return None
    return Layout(
        widths=tuple(network.widths),
        units=tuple(network.units),
        kernel=network.kernel[0],
        stem=network.stem,
        shrinkage=network.shrinkage,
        shortcut=network.shortcut,
        axis_name=network.axis_name,
        positions=tuple(positions),
    )


def _is_covered(network: Any, x: jax.Array) -> bool:
    """Return whether the blocked implementation covers the fields of ``network`` and the shape and dtype of ``x``."""
    has_thresholds = network.shrinkage in ("channel_wise", "channel_shared")
    conditions = {
        "the features of a Network": network.blocks,
        "one position axis": x.ndim == 3 and len(network.kernel) == 1,
        "windows that are not empty": x.size > 0,
        "one dtype of 32 or 64 bits": x.dtype in (jnp.float32, jnp.float64) and network.dtype in (None, x.dtype),
        "centred padding": network.padding == "centred",
        "no module of the user's own": network.conv is nn.Conv and network.norm is BatchNorm,
        "a known shrinkage": network.shrinkage in (None, "squeeze_excitation") or has_thresholds,
        "soft thresholds": network.threshold_rule == "soft" or not has_thresholds,
        "a known shortcut": network.shortcut in (None, "zero_padding", "projection"),
        "widths that zero padding can reach": network.shortcut != "zero_padding"
        or all(before <= after for before, after in itertools.pairwise(network.widths)),
    }
    return all(conditions.values())


def features(layout: Layout, variables: Mapping[str, Tree], x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
    """Return the pooled features ``(batch, widths[-1])`` of windows ``(batch, length, channels)``, and the new ``batch_stats``.

    Without ``train`` the statistics come back unchanged.
    """
    params, stats, width = variables["params"], variables["batch_stats"], layout.widths[0]
    length, strides = x.shape[1] // layout.stem, layout.stem
    positions = 2 * layout.positions[0]  # in blocks as the first unit takes them: another shape would make its loops scalar
    shape = blocked.Shape(length // positions, layout.kernel, strides, positions, x.shape[-1], width)
    y, updated = _convolve(params["stem_conv"], x, shape), {}
    for stage, (features, count, positions) in enumerate(zip(layout.widths, layout.units, layout.positions, strict=True)):
        length //= 2
        for number in range(count):
            strides = 2 if number == 0 else 1
            shape = blocked.Shape(length // positions, layout.kernel, strides, positions, width, features)
            name = f"stages_{stage}_{number}"
            y, updated[name] = _unit(layout, params[name], stats[name], y, train, shape)
            width = features
    y, updated["last_norm"] = _norm_blocks(layout, params["last_norm"], stats["last_norm"], y, train)
    return blocked_layers.mean_of_positions(relu_with_nan(y), len(y) // len(x), width), updated


# units of one shape are traced and lowered once
@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _unit(layout: Layout, params: Tree, stats: Tree, x: jax.Array, train: bool, shape: blocked.Shape) -> tuple[jax.Array, Tree]:
    """Compute a residual unit and its new statistics; ``shape`` is that of its first convolution."""
    x, updated = shape.to_blocks(x), dict(stats)
    second = shape._replace(strides=1, channels=shape.features)
    first, last = params["conv_1"], params["conv_2"]
    if train:
        none = jnp.zeros_like(params["norm_1"]["bias"])
        y, updated["norm_1"] = _norm_relu_convolve(layout, params, stats, x, none, shape, 1)
        y, updated["norm_2"] = _norm_relu_convolve(layout, params, stats, y, first["bias"], second, 2)
        y = y + blocked.widen(last["bias"][None], second.width, True)
    else:
        y = jax.nn.relu(blocked_layers.scale_and_shift(x, *_gain_and_offset(params["norm_1"], stats["norm_1"])))
        gain, offset = _gain_and_offset(params["norm_2"], stats["norm_2"])
        y = _convolve({"kernel": first["kernel"] * gain[None, None], "bias": first["bias"] * gain + offset}, y, shape)
        y = _convolve(last, jax.nn.relu(y), second)
    if layout.shrinkage == "squeeze_excitation":
        y = _squeeze_excitation(params["attention"], y, second)
    elif layout.shrinkage is not None:
        y, updated["attention"] = _shrinkage(layout, params["attention"], stats["attention"], y, train, second)
    if layout.shortcut is None:
        return y, updated
    if "projection" in params:
        return y + _convolve(params["projection"], x, shape._replace(kernel=1)), updated
    return y + blocked_layers.shortcut(x, shape), updated


def _shrinkage(
    layout: Layout, params: Tree, stats: Tree, x: jax.Array, train: bool, shape: blocked.Shape
) -> tuple[jax.Array, Tree]:
    """Shrink ``x`` by channel-wise or channel-shared thresholds; return it with the new statistics of the sub-network."""
    average = blocked_layers.mean_magnitude(x, shape.blocks, shape.channels)
    hidden, updated = _norm(layout, params["norm"], stats["norm"], _dense(params["dense_1"], average), train)
    alpha = jax.nn.sigmoid(_dense(params["dense_2"], jax.nn.relu(hidden)))
    if layout.shrinkage == "channel_shared":
        average = jnp.mean(average, -1, keepdims=True)
    threshold = jnp.broadcast_to(alpha * average, (len(alpha), shape.channels))
    return blocked_layers.soft_threshold_blocks(x, threshold), {"norm": updated}


def _squeeze_excitation(params: Tree, x: jax.Array, shape: blocked.Shape) -> jax.Array:
    hidden = jax.nn.relu(_dense(params["dense_1"], blocked_layers.mean_of_positions(x, shape.blocks, shape.channels)))
    weight = jax.nn.sigmoid(_dense(params["dense_2"], hidden))
    return blocked_layers.scale(x, weight)


def _dense(params: Tree, x: jax.Array) -> jax.Array:
    return x @ params["kernel"] + params["bias"][None]


def _convolve(params: Tree, x: jax.Array, shape: blocked.Shape) -> jax.Array:
    y = blocked.convolve(x, blocked.matrix(params["kernel"], shape), shape)
    return y + blocked.widen(params["bias"][None], y.shape[1])


# norms


def _norm(layout: Layout, params: Tree, stats: Tree, x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
    """Normalise ``x`` by the module: for arrays ``(..., channels)`` that are not in blocks."""
    variables = {"params": params, "batch_stats": stats}
    y, updated = BatchNorm(axis_name=layout.axis_name, parent=None).apply(variables, x, not train, mutable=["batch_stats"])
    return y, updated["batch_stats"]


def _norm_relu_convolve(
    layout: Layout, params: Tree, stats: Tree, x: jax.Array, bias: jax.Array, shape: blocked.Shape, number: int
) -> tuple[jax.Array, Tree]:
    """Apply ``norm_number``, ReLU and ``conv_number`` to ``x + bias`` in training; return the new statistics too.

    The bias of the convolution is not added here: a norm follows it, or the caller adds it.
    """
    norm, running = params[f"norm_{number}"], stats[f"norm_{number}"]
    matrix = blocked.matrix(params[f"conv_{number}"]["kernel"], shape, True)
    y, mean, var = blocked_layers.norm_relu_convolve(
        x, bias, norm["scale"], norm["bias"], matrix, shape, BatchNorm.epsilon, layout.axis_name
    )
    return y, _update_running(layout, running, mean, var, x)


def _norm_blocks(layout: Layout, params: Tree, stats: Tree, x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
    """Normalise blocks by a norm that no convolution follows; return its new statistics too."""
    if not train:
        return blocked_layers.scale_and_shift(x, *_gain_and_offset(params, stats)), stats
    y, mean, var = blocked_layers.norm(x, params["scale"], params["bias"], BatchNorm.epsilon, layout.axis_name)
    return y, _update_running(layout, stats, mean, var, x)


def _update_running(layout: Layout, running: Tree, mean: jax.Array, var: jax.Array, x: jax.Array) -> Tree:
    """Return the new running averages of a norm of the blocks ``x``."""
    values = x.size // len(mean) * (1 if layout.axis_name is None else jax.lax.axis_size(layout.axis_name))
    return update_running(running, {"mean": mean, "var": var}, values)


def _gain_and_offset(params: Tree, stats: Tree) -> tuple[jax.Array, jax.Array]:
    """Return gain and offset, both ``(channels,)``, of a norm with running statistics: ``norm(x) = x · gain + offset``."""
    gain = params["scale"] * jax.lax.rsqrt(stats["var"] + BatchNorm.epsilon)
    return gain, params["bias"] - stats["mean"] * gain
