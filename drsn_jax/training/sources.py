"""Where the examples of a training come from: an array, or a source from which they are read one by one when their batch is made.

A source is whatever has a length and an item for each number: the data sources of Grain, the datasets of PyTorch with one item
for an example, arrays of HDF5 and Zarr, and a class of one's own with ``__len__`` and ``__getitem__``.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from drsn_jax.core.arrays import as_labels
from drsn_jax.core.errors import UserError

WANTED = 'a pair (window, label) or a mapping with "window" and "label"'


class RandomAccess(Protocol):
    """Something with an item for each number from 0, and a length or, as arrays of Zarr, only a ``shape``."""

    def __getitem__(self, index: int, /) -> Any: ...


def in_memory(windows: Any) -> bool:
    """Return whether windows lie in memory, or are mapped into it, and become an array at once: arrays of all libraries, lists
    and tables. Arrays of HDF5 and Zarr, which are read where they are indexed, are none."""
    if isinstance(windows, np.ndarray | jax.Array | list | tuple):
        return True
    return any(hasattr(windows, name) for name in ("__dlpack__", "to_numpy")) or not hasattr(windows, "__getitem__")


def _check_windows(dtype: np.dtype) -> None:
    if dtype.kind not in "iufb" and dtype != jnp.bfloat16:
        raise UserError(f"windows are real numbers, got the type {dtype}")


def _check_count(windows: int, labels: int) -> None:
    if windows == 0 or windows != labels:
        raise UserError(f"training needs as many windows as labels, and some: got {windows} and {labels}")


class Arrays:
    """Windows and labels in memory, or windows in a memory map. Raises UserError as ``Batches``."""

    def __init__(self, windows: np.ndarray, labels: ArrayLike) -> None:
        given = np.asarray(labels)
        _check_count(len(windows), len(given))
        _check_windows(windows.dtype)
        self.windows, self.labels, self.shape = windows, as_labels(given, len(windows)), windows.shape[1:]
        self.examples = len(windows)

    @property
    def highest(self) -> int:
        """The highest label."""
        return int(np.max(self.labels))

    def read(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows ``(*shape, *window)`` and labels ``(*shape,)`` of examples with the numbers ``(*shape,)``."""
        return self.windows[examples], self.labels[examples]

    def window(self, number: int) -> np.ndarray:
        """Return one window."""
        return self.windows[number]


class Source:
    """Examples that are read when they are asked for.

    Args:
      source: its items are windows ``(*positions, channels)`` where ``labels`` are given, else pairs of a window and its label or
        mappings with ``window`` and ``label``. Item 0 is read at once, for its shape, unless there are labels and the source has
        a ``shape`` and a ``dtype``.
      labels: ``(n,)`` integers from 0, or None where each item has its own.

    Fields:
      examples: their number.
      labels: those that were given, or None.
      shape, dtype: of a window.
      highest: the highest label; where items have their own, of those that were read so far, -1 before the first.

    Raises UserError without examples, for items of another kind, for windows that are not real numbers and for labels that are
    not integers from 0.
    """

    def __init__(self, source: RandomAccess, labels: ArrayLike | None) -> None:
        count, given = _length(source), None if labels is None else np.asarray(labels)
        _check_count(count, count if given is None else len(given))
        self._source: Any = source
        self.examples = count
        self.labels = None if given is None else as_labels(given, count)
        self.highest = -1 if self.labels is None else int(np.max(self.labels))
        if self.labels is not None and hasattr(source, "shape") and hasattr(source, "dtype"):
            self.shape, dtype = tuple(map(int, self._source.shape[1:])), np.dtype(self._source.dtype)
        else:
            window, _ = self._item(0)
            self.shape, dtype = window.shape, window.dtype
        _check_windows(dtype)
        self.dtype = dtype.newbyteorder("=")

    def read(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows ``(*shape, *window)`` and labels ``(*shape,)`` of examples with the numbers ``(*shape,)``.

        Each is read once, in the order of the source. Raises UserError for one that differs from the first in its shape or in the
        kind of its numbers, and for a label that is no integer from 0.
        """
        numbers, places = np.unique(examples, return_inverse=True)
        windows, labels = np.empty((len(numbers), *self.shape), self.dtype), np.empty(len(numbers), np.int32)
        for row, number in enumerate(numbers.tolist()):
            windows[row], labels[row] = self._example(number)
        self.highest = max(self.highest, int(labels.max()))
        places = places.reshape(examples.shape)
        return windows[places], labels[places]

    def window(self, number: int) -> np.ndarray:
        """Return one window."""
        return self._item(number)[0]

    def _example(self, number: int) -> tuple[np.ndarray, int]:
        """Return a window, of the shape of all others, and its label."""
        window, label = self._item(number)
        if window.shape != self.shape:
            raise UserError(
                f"example {number} of the source has a window of the shape {window.shape}, others have {self.shape}: the windows "
                "of a training have one shape, so cut or pad them"
            )
        if not np.can_cast(window.dtype, self.dtype, "same_kind"):
            raise UserError(
                f"example {number} of the source has a window of the type {window.dtype}, others have {self.dtype}: give all of "
                "them one type, such as float32"
            )
        return window, label

    def _item(self, number: int) -> tuple[np.ndarray, int]:
        item = self._source[number]
        if self.labels is not None:
            if isinstance(item, tuple | Mapping):
                raise UserError(
                    f"example {number} of the source is {_kind(item)}, though labels are given: leave one of them out"
                )
            return _array(item, number), int(self.labels[number])
        if isinstance(item, Mapping) and "window" in item and "label" in item:
            window, label = item["window"], item["label"]
        elif isinstance(item, tuple | list) and len(item) == 2:
            window, label = item
        else:
            raise UserError(f"example {number} of the source is {_kind(item)}, expected {WANTED}; or give labels (n,) for all")
        value = np.asarray(label)
        if value.shape != () or value.dtype.kind not in "iu" or value < 0:
            raise UserError(f"example {number} of the source has the label {label!r}: labels are integers from 0")
        return _array(window, number), int(value)


def _length(source: Any) -> int:
    """Return the number of items of a source; raise UserError for something else."""
    if hasattr(source, "__getitem__"):
        if hasattr(source, "__len__"):
            return len(source)
        if getattr(source, "shape", ()):
            return int(source.shape[0])
    raise UserError(f"windows are an array, or a source with a length and an item for each number, got {type(source)}")


def _array(window: Any, number: int) -> np.ndarray:
    try:
        return np.asarray(window)
    except ValueError as error:
        raise UserError(f"example {number} of the source has a window that is no array ({error})") from error


def _kind(item: Any) -> str:
    """Return what an item of a source is, in words."""
    if isinstance(item, Mapping):
        return f"a mapping with {', '.join(map(repr, item)) or 'nothing'}"
    kind = type(item).__name__
    if isinstance(item, tuple | list):
        return f"a {kind} of {len(item)}"
    shape = getattr(item, "shape", None)
    return f"of the type {kind}" if shape is None else f"an array of the shape {tuple(shape)}"
