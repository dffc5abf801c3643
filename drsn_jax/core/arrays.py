"""Checks and conversions of arrays at the beginning of a public function."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.errors import UserError


def as_float(x: ArrayLike) -> jax.Array:
    """Return the array as floats if it holds integers; other dtypes stay."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(x, float))


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
    """Raise ValueError if windows hold NaN or infinity, to which a network may answer as if they were zeros."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(windows)).all(tuple(range(1, np.ndim(windows)))))
    if len(bad):
        raise UserError(f"{len(bad)} windows hold NaN or infinity, the first of them is number {bad[0]}: leave them out")


def check_labels(labels: ArrayLike, count: int, classes: int) -> None:
    """Raise ValueError unless ``labels`` are ``count`` integers from 0 to ``classes - 1``."""
    found = np.asarray(labels)
    if found.shape != (count,):
        raise ValueError(f"{count} windows need a label each, an array ({count},), got the shape {found.shape}")
    if not np.issubdtype(found.dtype, np.integer) or found.min() < 0 or found.max() >= classes:
        raise ValueError(f"labels are integers from 0 to {classes - 1}, got {found.dtype} from {found.min()} to {found.max()}")
