"""A network under every kind and level of noise, in one compiled call.

The cells of a grid, SNR × repeat, share the weights: ``vmap`` runs them as one larger batch. Kinds of noise are unrolled. What
does not fit the memory limit goes one chunk after another inside the same call.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.arrays import check_finite, check_labels
from drsn_jax.core.distributed import Device, pmap_parts
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import NOISE_KINDS, Noise, add_noise_once, check_level, example_keys, noise_maker
from drsn_jax.functional.signals import standardise
from drsn_jax.nn.networks import Network
from drsn_jax.training.steps import Prepare, make_eval_step


class NoiseGrid(NamedTuple):
    """What ``noise_grid`` found, arrays ``(kinds, levels, repeats)``.

    Fields:
      kinds, snr_db: the names and levels of the axes.
      accuracy: share of windows with the right class.
      loss: mean cross-entropy.
      concentration: the largest share of windows that are given one class; 1 where all are.
      confusion: counts ``(kinds, levels, repeats, classes, classes)``, true × predicted.
    """

    kinds: tuple[str, ...]
    snr_db: tuple[float, ...]
    accuracy: np.ndarray
    loss: np.ndarray
    concentration: np.ndarray
    confusion: np.ndarray


def noise_grid(
    network: Network,
    variables: Any,
    windows: ArrayLike,
    labels: ArrayLike,
    kinds: Sequence[str] = NOISE_KINDS,
    snr_db: Sequence[float] = (-5.0, 0.0, 5.0),
    repeats: int = 1,
    key: jax.Array | None = None,
    *,
    prepare: Prepare | None = standardise,
    memory_limit: int | None = None,
    devices: Sequence[Device] | None = None,
) -> NoiseGrid:
    """Evaluate a trained network under each (kind, SNR, repeat).

    Window i has in repeat r the noise of ``fold_in(fold_in(key, r), i)``, at each level the same draw: curves over the SNR
    differ by the level alone. Results do not depend on ``memory_limit`` and ``devices`` but for rounding.

    Args:
      network, variables: as for ``network.apply``.
      windows: ``(n, *positions, channels)`` without mean.
      labels: ``(n,)`` integers.
      kinds: of noise, from ``NOISE_KINDS``.
      snr_db: levels in dB; ``inf`` adds nothing.
      repeats: draws of the noise.
      key: a JAX random key; ``jax.random.key(0)`` if not given.
      prepare: ``window -> window`` after the noise; None for a network that was trained without.
      memory_limit: bytes that the features of the cells computed at once may take, on each device; by default 256 MiB, on a CPU
        16 MiB, which its caches hold (1,000 windows: 1.3 times as fast), and one window always.
      devices: over which the cells are spread by ``pmap``; None computes on the default device.

    Raises ValueError for arguments that cannot be, windows that are not finite, labels that do not fit, and where a single
    window in a single cell does not fit ``memory_limit``.
    """
    kinds, levels = tuple(kinds), tuple(map(float, snr_db))
    _check(network, windows, labels, kinds, levels, repeats, devices)
    windows, labels = jnp.asarray(windows), jnp.asarray(labels)
    examples = len(windows)
    devices = None if devices is None else list(devices)
    one = _bytes_of_a_window(network, windows.shape[1:], windows.dtype, prepare)  # pyright: ignore[reportArgumentType]
    if memory_limit is None:
        memory_limit = max(one, 2**24 if (devices or jax.local_devices())[0].platform == "cpu" else 2**28)
    cells, size = _chunk(one, examples, len(levels) * repeats, memory_limit)
    count = 1 if devices is None else len(devices)
    cells = min(cells, -(-len(levels) * repeats // count))

    keys = example_keys(jax.random.key(0) if key is None else key, repeats)
    level_of, repeat_of = (axis.ravel() for axis in np.meshgrid(levels, range(repeats), indexing="ij"))
    rows = -(-len(level_of) // (count * cells))
    # filled up with the first cells, which are cut off again at the end
    cell = np.resize(np.arange(len(level_of)), (count, rows, cells))
    cell_levels, cell_keys = jnp.asarray(level_of[cell], jnp.float32), keys[repeat_of[cell]]
    asked: Any = (network, kinds, prepare, None if devices is None else tuple(devices))
    evaluate = _evaluator(*asked)
    if devices is None:
        cell_levels, cell_keys = cell_levels[0], cell_keys[0]
    found = jax.device_get(evaluate(variables, _blocks(windows, labels, size), cell_levels, cell_keys))
    shape = (len(kinds), len(levels), repeats)
    confusion, loss = (_arranged(array if devices is not None else array[None], shape) for array in found)
    confusion = np.rint(confusion).astype(np.int64)
    right = np.trace(confusion, axis1=-2, axis2=-1)
    return NoiseGrid(kinds, levels, right / examples, loss / examples, confusion.sum(-2).max(-1) / examples, confusion)


def _blocks(windows: jax.Array, labels: jax.Array, size: int) -> dict[str, Any]:
    """Cut the windows into blocks of ``size``, the last one filled up with windows of weight 0."""
    examples = len(windows)
    filled = np.resize(np.arange(examples), (-(-examples // size), size))
    weights = (np.arange(filled.size) < examples).astype(np.float32).reshape(filled.shape)
    return {"windows": windows[filled], "labels": labels[filled], "weights": weights, "first": filled[:, 0].astype(np.int32)}


def _arranged(array: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Order the results ``(devices, kinds, rows, cells, …)`` as ``shape``, (kinds, levels, repeats), without what filled them."""
    array = np.moveaxis(array, 1, 0)
    flat = array.reshape(shape[0], -1, *array.shape[4:])
    return flat[:, : shape[1] * shape[2]].reshape(*shape, *array.shape[4:])


@functools.lru_cache(maxsize=16)
def _evaluator(
    network: Network, kinds: tuple[str, ...], prepare: Prepare | None, devices: tuple[Device, ...] | None
) -> Callable[..., Any]:
    """The compiled call: variables, blocks of windows, levels and keys ``(rows, cells)`` → confusion and summed loss
    ``(kinds, rows, cells, …)``."""
    step = make_eval_step(network, prepare=prepare)

    def cell(variables: Any, block: Any, level: jax.Array, key: jax.Array, kind: str) -> Any:
        noisy = add_noise_once(key, block["windows"], level, kind, first=block["first"])
        batch = {"windows": noisy, "labels": block["labels"], "weights": block["weights"]}
        metrics = step(variables, batch)
        return metrics["confusion"], metrics["loss"]

    def evaluate(variables: Any, blocks: Any, levels: jax.Array, keys: jax.Array) -> Any:
        def row(kind: str, level: jax.Array, key: jax.Array) -> Any:
            each = jax.vmap(functools.partial(cell, kind=kind), (None, None, 0, 0))
            parts = _map(lambda block: each(variables, block, level, key), blocks)
            return jax.tree.map(lambda part: part.sum(0), parts)

        found = [_map(lambda pair, kind=kind: row(kind, *pair), (levels, keys)) for kind in kinds]
        return jax.tree.map(lambda *each: jnp.stack(each), *found)

    if devices is None:
        return jax.jit(evaluate)
    return pmap_parts(evaluate, devices, (None, None, 0, 0))


def _map(function: Callable[[Any], Any], items: Any) -> Any:
    """``lax.map``, without a loop where there is one item: convolutions of XLA are slow in loops on a CPU."""
    if len(jax.tree.leaves(items)[0]) > 1:
        return jax.lax.map(function, items)
    one = function(jax.tree.map(lambda leaf: leaf[0], items))
    return jax.tree.map(lambda leaf: leaf[None], one)


def _chunk(one: int, examples: int, cells: int, limit: int) -> tuple[int, int]:
    """How many cells and how many windows are computed at once, where ``one`` window takes so many bytes."""
    if one > limit:
        raise UserError(
            f"a single window takes about {one / 2**20:.3g} MiB, and the memory limit is {limit / 2**20:.3g} MiB: raise it, or "
            "take shorter windows"
        )
    at_once = limit // one
    # whole cells while they fit, else blocks of one cell's windows, as even as can be
    if at_once >= examples:
        wanted = min(cells, at_once // examples)
        return -(-cells // -(-cells // wanted)), examples
    blocks = -(-examples // at_once)
    return 1, -(-examples // blocks)


@functools.lru_cache(maxsize=16)
def _bytes_of_a_window(network: Any, window: tuple[int, ...], dtype: Any, prepare: Prepare | None) -> int:
    """An upper estimate: a window's part of the largest array of the computation, six times."""
    step = make_eval_step(network, noise=Noise("gaussian", 0.0), prepare=prepare)
    count = 64  # so many that arrays which do not grow with the windows do not count

    def loss(variables: Any, windows: jax.Array) -> jax.Array:
        batch = {"windows": windows, "labels": jnp.zeros(count, jnp.int32), "weights": jnp.ones(count)}
        return step(variables, batch, jax.random.key(0))["loss"]

    windows = jax.ShapeDtypeStruct((count, *window), dtype)
    variables = jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), windows)
    return 6 * max(_sizes(jax.make_jaxpr(loss)(variables, windows).jaxpr)) // count


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Bytes of the arrays that are made inside a program."""
    for equation in jaxpr.eqns:
        for var in equation.outvars:
            shape, dtype = getattr(var.aval, "shape", ()), getattr(var.aval, "dtype", None)
            if dtype is not None and not jnp.issubdtype(dtype, jax.dtypes.extended):
                yield math.prod(shape) * dtype.itemsize
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _sizes(inner)


def _check(
    network: Network,
    windows: Any,
    labels: Any,
    kinds: tuple[str, ...],
    levels: tuple[float, ...],
    repeats: int,
    devices: Sequence[Device] | None,
) -> None:
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"a grid has different kinds of noise, at least one, got {list(kinds)}")
    for kind in kinds:
        noise_maker(kind)
    if not levels:
        raise ValueError("a grid has at least one level, got no snr_db")
    for level in levels:
        check_level(level)
    if repeats < 1:
        raise ValueError(f"a grid has at least one repeat, got {repeats}")
    if len(windows) == 0:
        raise ValueError("a grid needs windows, got none")
    check_finite(windows)
    check_labels(labels, len(windows), network.classes)
    if devices is not None and len(devices) == 0:
        raise ValueError("a grid is spread over at least one device, got none: None takes the default one")
