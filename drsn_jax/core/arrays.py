"""Checks and conversions of arrays at the beginning of a public function."""

import contextlib
import contextvars
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.errors import UserError

Function = TypeVar("Function", bound=Callable[..., Any])
SWAPPED = 4  # so many times as many channels as positions: the axes are swapped
COARSE = 64  # an offset so many times the range of the samples leaves them fewer than 17 bits of float32


_ordered: contextvars.ContextVar[bool] = contextvars.ContextVar("_ordered", default=False)


@contextlib.contextmanager
def order_known() -> Iterator[None]:
    """Let ``as_windows`` take any shape inside the block, where the caller was told which axis is which."""
    before = _ordered.set(True)
    try:
        yield
    finally:
        _ordered.reset(before)


def in_one_program(*static: str) -> Callable[[Function], Function]:
    """Return a decorator for a function of arrays, with the names of its arguments that decide what is compiled.

    Outside of compiled functions JAX compiles one operation at a time, which takes 10 ms for each of them and for each new shape;
    with this the whole function is one program. Inside a compiled function nothing changes: its operations stand there as if
    they had been written there. Tables and lists become arrays before, for a compiled function takes arrays and numbers alone.
    """
    return lambda function: cast(Function, jax.jit(function, static_argnames=static, inline=True))


def as_float(x: ArrayLike) -> jax.Array:
    """Return the array as floats if it holds integers; other dtypes stay."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def wide_dtype(*dtypes: Any) -> np.dtype:
    """Return the widest of some dtypes of floats and float32: the dtype in which they are summed up.

    ``jnp.promote_types`` would refuse to mix dtypes where the user has set JAX's dtype promotion to strict.
    """
    return max((np.dtype(dtype) for dtype in (np.float32, *dtypes)), key=lambda dtype: dtype.itemsize)


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Return the leaves of a tree with their paths, as files and messages name them: ``params/classifier/bias``."""
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


def native(array: np.ndarray) -> np.ndarray:
    """Return the array in the byte order of this machine, because a compiled function takes the bytes as they are."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_window(window: ArrayLike) -> jax.Array:
    """Return a window ``(*positions, channels)`` as floats; raise ValueError if it has no positions or no samples."""
    window = as_float(window)
    if window.ndim < 2 or window.size == 0:
        raise ValueError(f"a window is (*positions, channels) and not empty, got the shape {window.shape}")
    return window


def check_finite(windows: ArrayLike) -> None:
    """Raise ValueError if windows ``(n, …)`` hold NaN or infinity, to which no network has an answer."""
    if np.isfinite(np.asarray(windows)).all():
        return
    bad = np.flatnonzero(~np.isfinite(np.asarray(windows)).all(tuple(range(1, np.ndim(windows)))))
    if len(bad):
        raise UserError(f"{len(bad)} windows hold NaN or infinity, the first of them is number {bad[0]}: leave them out")


def as_windows(windows: Any) -> Any:
    """Return windows ``(n, *positions, channels)`` as an array that is indexed by position; a list or a table becomes one.

    Raises ValueError where the axes look swapped: for signals ``(n, channels, length)`` with at least ``SWAPPED`` times as many
    channels as positions, and for images ``(n, channels, height, width)`` with at most four channels. For signals with fewer, but
    more than positions, there is a warning. Inside ``order_known`` there is neither.
    """
    if not isinstance(windows, np.ndarray | jax.Array | jax.ShapeDtypeStruct):
        windows = np.asarray(windows)
    shape = windows.shape
    if len(shape) == 3:
        swapped, doubtful = shape[2] >= SWAPPED * shape[1], shape[2] > shape[1]
    else:
        swapped = doubtful = len(shape) > 3 and shape[1] <= 4 and min(shape[2:]) >= 8
    if doubtful and not _ordered.get():
        found = (
            f"the windows have the shape {shape}, which looks like (n, channels, *positions): expected (n, *positions, channels)"
        )
        if swapped:
            raise UserError(f"{found}, as numpy.moveaxis(windows, 1, -1) makes it")
        warnings.warn(f"{found}", stacklevel=3)
    return windows


def coarse(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return where the offset of samples from ``low`` to ``high`` is so large against their range that float32 may not tell them
    apart; element by element."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    with np.errstate(invalid="ignore"):  # samples that are not finite are refused elsewhere
        return (np.abs(low + high) / 2 > COARSE * (high - low)) & np.isfinite(high - low)


def rounded(windows: Any) -> np.ndarray:
    """Return windows ``(n, length, channels)`` as float32. From those whose samples float32 could not tell apart, as 20 counts on
    2**30 counts, the first sample of each channel is subtracted before they are rounded."""
    array = np.asarray(windows)
    if array.dtype.kind not in "iuf" or array.ndim < 2 or array.size == 0 or np.can_cast(array.dtype, np.float32):
        return np.asarray(array, np.float32)
    with np.errstate(over="ignore"):
        far = coarse(array.min(1, keepdims=True), array.max(1, keepdims=True))
        if not far.any():
            return array.astype(np.float32)
        kind = np.int64 if array.dtype.kind in "iu" else np.float64  # int64 holds the difference of large unsigned numbers too
        return np.where(far, array.astype(kind) - array[:, :1].astype(kind), array).astype(np.float32)


def as_labels(labels: Any, count: int, classes: int | None = None) -> np.ndarray:
    """Return labels as an array ``(count,)`` of integers that is indexed by position, also those of a table with its own index.

    Raises ValueError unless they are ``count`` integers from 0, below ``classes`` where it is given.
    """
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(value, int | np.integer) for value in array.flat):
        array = array.astype(np.int64)  # whole numbers of a table that knows missing ones
    if array.shape != (count,):
        raise UserError(f"{count} windows need a label each, an array ({count},), got the shape {array.shape}")
    if not array.size:
        return array.astype(np.int64)
    whole = np.issubdtype(array.dtype, np.integer)
    if whole and array.min() >= 0 and (classes is None or array.max() < classes):
        return array
    values = f"from {array.min()} to {array.max()}" if array.dtype.kind in "iuf" else _some(array)
    advice = "" if whole else ": numpy.unique(labels, return_inverse=True)[1] numbers them"
    limit = "0" if classes is None else f"0 to {classes - 1}"
    raise UserError(f"labels are integers from {limit}, got {array.dtype} {values}{advice}")


def _some(array: np.ndarray) -> str:
    """Return the first values of an array as text."""
    first = [repr(value) for value in array.ravel()[:3].tolist()]
    return ", ".join(first) + (", …" if array.size > 3 else "")


def whole_below(drawn: jax.Array, limit: ArrayLike) -> jax.Array:
    """Return whole numbers from 0 to below ``limit`` (at most 2**23), of uniform draws in [0, 1)."""
    return jnp.minimum((drawn * limit).astype(jnp.int32), jnp.asarray(limit, jnp.int32) - 1)
