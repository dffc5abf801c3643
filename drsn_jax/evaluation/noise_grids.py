"""A network under every kind and level of noise, in one compiled call.

A cell of the grid is one SNR in one repeat. All cells share the weights of the network, so ``vmap`` runs them as one larger
batch; the kinds of noise are computed one after another. Cells and windows that together do not fit the memory limit are cut into
chunks, which are computed one after another inside the same call.
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

from drsn_jax.core.arrays import as_labels, as_windows, check_finite
from drsn_jax.core.distributed import Device, pmap_parts
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import PAPER_KINDS, Noise, add_noise_once, check_level, noise_maker
from drsn_jax.nn.networks import Network
from drsn_jax.nn.variable_shapes import variable_shapes
from drsn_jax.training.steps import Prepare, make_eval_step


class NoiseGrid(NamedTuple):
    """The result of ``noise_grid``; arrays are ``(kinds, levels, repeats)``.

    Fields:
      kinds, snr_db: the kinds of noise and the levels in dB, along the first two axes.
      accuracy: the share of windows whose predicted class is right.
      loss: the mean cross-entropy.
      concentration: the share of windows that are given the most frequent prediction; 1 if all windows are given the same class.
      confusion: counts ``(kinds, levels, repeats, classes, classes)``, true × predicted class.
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
    kinds: Sequence[str] = PAPER_KINDS,
    snr_db: Sequence[float] = (-5.0, 0.0, 5.0),
    repeats: int = 1,
    key: jax.Array | None = None,
    *,
    prepare: Prepare | None = None,
    memory_limit: int | None = None,
    devices: Sequence[Device] | None = None,
) -> NoiseGrid:
    """Evaluate a trained network under each (kind, SNR, repeat).

    In repeat r window i has the noise of the key ``fold_in(fold_in(key, r), i)``. The draw is the same at each level, so that the
    points of a curve over the SNR differ only in the level. Results depend on ``memory_limit`` and ``devices`` only by rounding.

    Args:
      network, variables: as for ``network.apply``.
      windows: ``(n, *positions, channels)``, with their mean removed.
      labels: ``(n,)`` integers.
      kinds: different kinds of noise, from ``NOISE_KINDS``; by default the three of the paper.
      snr_db: levels in dB; ``inf`` adds nothing.
      repeats: the number of draws of the noise.
      key: a JAX random key; ``jax.random.key(0)`` if not given.
      prepare: ``window -> window``, applied after the noise, as in the training; not for a network that standardises itself.
      memory_limit: how many bytes the features of all cells that are computed at once may take on each device. The default is
        256 MiB, on a CPU 16 MiB, which its caches hold (1.3 times as fast for 1,000 windows), and always enough for one window.
      devices: devices over which the cells are spread by ``pmap``; None computes on the default device.

    Raises ValueError for no kinds, equal or unknown ones, no levels, levels that are not an SNR, fewer than one repeat, no
    windows, windows that are not finite, labels that do not fit, an empty list of devices, and if a single window in a single
    cell does not fit ``memory_limit``.
    """
    kinds, levels = (kinds,) if isinstance(kinds, str) else tuple(kinds), tuple(map(float, snr_db))
    windows, labels = as_windows(windows), np.asarray(labels)
    _check(network, windows, labels, kinds, levels, repeats, devices)
    # as JAX would take them, but in host memory: there they are cut into blocks without a compilation
    given: tuple[Any, Any] = (windows, labels)
    windows, labels = (np.asarray(each, jax.dtypes.canonicalize_dtype(each.dtype)) for each in given)
    examples = len(windows)
    devices = None if devices is None else list(devices)
    window_bytes = _bytes_of_a_window(network, windows.shape[1:], windows.dtype, prepare)  # pyright: ignore[reportArgumentType]
    if memory_limit is None:
        memory_limit = max(window_bytes, 2**24 if (devices or jax.local_devices())[0].platform == "cpu" else 2**28)
    cells, size = _chunk(window_bytes, examples, len(levels) * repeats, memory_limit)
    count = 1 if devices is None else len(devices)
    cells = min(cells, -(-len(levels) * repeats // count))

    level_of, repeat_of = (axis.ravel() for axis in np.meshgrid(levels, range(repeats), indexing="ij"))
    rows = -(-len(level_of) // (count * cells))
    # the grid is filled up with copies of its first cells, whose results are cut off at the end
    cell = np.resize(np.arange(len(level_of)), (count, rows, cells))
    cell_levels = level_of[cell].astype(np.float32)
    cell_keys = _keys_of(jax.random.key(0) if key is None else key, repeat_of[cell])
    settings: Any = (network, kinds, prepare, None if devices is None else tuple(devices))
    evaluate = _evaluator(*settings)
    if devices is None:
        cell_levels, cell_keys = cell_levels[0], cell_keys[0]
    results = jax.device_get(evaluate(variables, _blocks(windows, labels, size), cell_levels, cell_keys))
    shape = (len(kinds), len(levels), repeats)
    confusion, loss = (_arranged(array if devices is not None else array[None], shape) for array in results)
    confusion = np.rint(confusion).astype(np.int64)
    right = np.trace(confusion, axis1=-2, axis2=-1)
    return NoiseGrid(kinds, levels, right / examples, loss / examples, confusion.sum(-2).max(-1) / examples, confusion)


@jax.jit
def _keys_of(key: jax.Array, repeats: ArrayLike) -> jax.Array:
    """Return the keys ``fold_in(key, r)`` of an array of numbers of repeats."""
    return jnp.vectorize(functools.partial(jax.random.fold_in, key))(repeats)


def _blocks(windows: np.ndarray, labels: np.ndarray, size: int) -> dict[str, Any]:
    """Cut the windows into blocks of ``size``; the last block is filled up with windows of weight 0."""
    examples = len(windows)
    filled = np.resize(np.arange(examples), (-(-examples // size), size))
    weights = (np.arange(filled.size) < examples).astype(np.float32).reshape(filled.shape)
    return {"windows": windows[filled], "labels": labels[filled], "weights": weights, "first": filled[:, 0].astype(np.int32)}


def _arranged(array: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Order results ``(devices, kinds, rows, cells, …)`` as ``shape``, (kinds, levels, repeats), and cut the copies off."""
    array = np.moveaxis(array, 1, 0)
    flat = array.reshape(shape[0], -1, *array.shape[4:])
    return flat[:, : shape[1] * shape[2]].reshape(*shape, *array.shape[4:])


@functools.lru_cache(maxsize=16)
def _evaluator(
    network: Network, kinds: tuple[str, ...], prepare: Prepare | None, devices: tuple[Device, ...] | None
) -> Callable[..., Any]:
    """Make the compiled call ``(variables, blocks of windows, levels, keys) -> (confusion, summed loss)``.

    Levels and keys are ``(rows, cells)``: the cells of a row are computed at once, the rows one after another. The results are
    ``(kinds, rows, cells, …)``. With ``devices`` all but the variables and blocks have an axis of devices in front.
    """
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

        by_kind = [_map(lambda pair, kind=kind: row(kind, *pair), (levels, keys)) for kind in kinds]
        return jax.tree.map(lambda *each: jnp.stack(each), *by_kind)

    if devices is None:
        return jax.jit(evaluate)
    return pmap_parts(evaluate, devices, (None, None, 0, 0))


def _map(function: Callable[[Any], Any], items: Any) -> Any:
    """Apply ``lax.map``, but without a loop if there is one item, because XLA's convolutions are slow in loops on a CPU."""
    if len(jax.tree.leaves(items)[0]) > 1:
        return jax.lax.map(function, items)
    result = function(jax.tree.map(lambda leaf: leaf[0], items))
    return jax.tree.map(lambda leaf: leaf[None], result)


def _chunk(one: int, examples: int, cells: int, limit: int) -> tuple[int, int]:
    """Return how many cells and how many windows of each are computed at once, if one window takes ``one`` bytes.

    Raises ValueError if a single window does not fit the limit.
    """
    if one > limit:
        raise UserError(
            f"a single window takes about {one / 2**20:.3g} MiB, and the memory limit is {limit / 2**20:.3g} MiB: raise it, or "
            "take shorter windows"
        )
    at_once = limit // one
    # as many whole cells as fit, or else blocks of the windows of one cell, as evenly as possible
    if at_once >= examples:
        wanted = min(cells, at_once // examples)
        return -(-cells // -(-cells // wanted)), examples
    blocks = -(-examples // at_once)
    return 1, -(-examples // blocks)


@functools.lru_cache(maxsize=16)
def _bytes_of_a_window(network: Any, window: tuple[int, ...], dtype: Any, prepare: Prepare | None) -> int:
    """Return an upper estimate of the bytes that one window takes: six times its share of the largest array in the program."""
    step = make_eval_step(network, noise=Noise("gaussian", 0.0), prepare=prepare)
    count = 64  # so many windows that arrays which do not grow with them (the weights) are not the largest ones

    def loss(variables: Any, windows: jax.Array) -> jax.Array:
        batch = {"windows": windows, "labels": jnp.zeros(count, jnp.int32), "weights": jnp.ones(count)}
        return step(variables, batch, jax.random.key(0))["loss"]

    windows = jax.ShapeDtypeStruct((count, *window), dtype)
    variables = variable_shapes(network, window)
    return 6 * max(_sizes(jax.make_jaxpr(loss)(variables, windows).jaxpr)) // count


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Yield the sizes in bytes of all arrays that a program makes."""
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
        raise UserError(f"a grid has different kinds of noise, at least one, got {list(kinds)}")
    for kind in kinds:
        noise_maker(kind)
    if not levels:
        raise UserError("a grid has at least one level, got no snr_db")
    for level in levels:
        check_level(level)
    if repeats < 1:
        raise UserError(f"a grid has at least one repeat, got {repeats}")
    if len(windows) == 0:
        raise UserError("a grid needs windows, got none")
    check_finite(windows)
    as_labels(labels, len(windows), network.classes)
    if devices is not None and len(devices) == 0:
        raise UserError("a grid is spread over at least one device, got none: None takes the default one")
