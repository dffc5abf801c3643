"""What a function does first with an array that it is given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.errors import UserError


def as_float(x: ArrayLike) -> jax.Array:
    """The array with integers made floats; other dtypes stay."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(x, float))


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """The leaves of a tree with their paths, as files and messages name them: ``params/classifier/bias``."""
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


def native(array: np.ndarray) -> np.ndarray:
    """The array in the byte order of this machine: a compiled function takes bytes as they are."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_window(window: ArrayLike) -> jax.Array:
    """A window ``(*positions, channels)`` of floats; ValueError for one without positions or samples."""
    window = as_float(window)
    if window.ndim < 2 or window.size == 0:
        raise ValueError(f"a window is (*positions, channels) and not empty, got the shape {window.shape}")
    return window


def check_finite(windows: ArrayLike) -> None:
    """ValueError where windows hold NaN or infinity, which a network may answer as if they were zeros."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(windows)).all(tuple(range(1, np.ndim(windows)))))
    if len(bad):
        raise UserError(f"{len(bad)} windows hold NaN or infinity, the first of them is number {bad[0]}: leave them out")


def check_labels(labels: ArrayLike, count: int, classes: int) -> None:
    """ValueError unless there are ``count`` labels, integers from 0 to below ``classes``."""
    found = np.asarray(labels)
    if found.shape != (count,):
        raise ValueError(f"{count} windows need a label each, an array ({count},), got the shape {found.shape}")
    if not np.issubdtype(found.dtype, np.integer) or found.min() < 0 or found.max() >= classes:
        raise ValueError(f"labels are integers from 0 to {classes - 1}, got {found.dtype} from {found.min()} to {found.max()}")
