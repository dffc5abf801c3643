"""Arrays that lie in memory, or in a file if they would fill memory.

Both are ``numpy.ndarray`` and give the same results but for rounding. The files are temporary: they lie in
``tempfile.gettempdir()`` (set ``TMPDIR`` to choose another folder), have no name where the system allows that, and are deleted
with their array.
"""

import collections
import functools
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

SHARE = 1 / 16  # share of the machine's memory that one array may take; a run has several arrays
UNKNOWN = 2**31  # bytes of memory to assume if the system does not tell
BLOCK = 2**24  # bytes of an array in a file that are worked on at a time
ALIGNMENT = 64  # bytes


@functools.cache
def limit() -> int:
    """Return the size in bytes beyond which an array goes into a file."""
    try:
        return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return int(SHARE * UNKNOWN)


def store(parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.typing.DTypeLike, *, to_file: bool) -> np.ndarray:
    """Join the parts along the first axis to an array of ``shape``, in memory or (with ``to_file``) read-only in a file.

    Raises OSError if the disk is full, ValueError if the parts do not make up the shape.
    """
    if to_file:
        with Spool() as spool:
            spool.add(parts, shape, dtype)
            return spool.arrays()[0]
    array, rows = np.empty(shape, dtype), 0
    for part in parts:
        array[rows : rows + len(part)] = part
        rows += len(part)
    _check_rows(rows, shape)
    return array


class Spool:
    """Many arrays in one temporary file, a context manager. The arrays outlive it.

    The file is opened once, while every array that is mapped alone keeps a file open, and a process may open about a thousand.
    """

    def __init__(self) -> None:
        self._opened: Any = None
        self._places: list[tuple[int, tuple[int, ...], np.dtype]] = []
        self._end = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._opened is not None:
            self._opened.__exit__(None, None, None)
            self._opened = None

    @property
    def _file(self) -> Any:
        if self._opened is None:  # not before it is needed: there may be no room for it
            self._opened = tempfile.TemporaryFile().__enter__()  # noqa: SIM115  # closed by ``__exit__``
        return self._opened

    def add(self, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> None:
        """Write an array, which the parts make up along the first axis. Raises as ``store``."""
        dtype, rows = np.dtype(dtype), 0
        try:
            for part in parts:
                # not written through the memory map, which kills the process if the disk is full
                self._file.write(np.ascontiguousarray(part, dtype).data)
                rows += len(part)
            size = math.prod(shape) * dtype.itemsize
            self._file.write(bytes(-size % ALIGNMENT))
            self._file.flush()
        except OSError as error:
            raise OSError(
                f"{tempfile.gettempdir()} has no room for the {np.prod(shape) * dtype.itemsize / 1e9:.1f} GB of windows or "
                f"recordings that memory cannot hold ({error.strerror}): free some, or let TMPDIR name another folder"
            ) from error
        _check_rows(rows, shape)
        self._places.append((self._end, shape, dtype))
        self._end += size + -size % ALIGNMENT

    def last(self) -> np.ndarray:
        """Return a map of the array that was added last, which keeps a file open as long as it is used."""
        first, shape, dtype = self._places[-1]
        return np.memmap(self._file, dtype, "r", offset=first, shape=shape)

    def drop_last(self) -> None:
        """Forget the array that was added last; the next one takes its place."""
        self._end = self._places.pop()[0]
        self._file.seek(self._end)

    def arrays(self) -> list[np.ndarray]:
        """Return all arrays in their order, read-only parts of one map."""
        if not self._places:
            return []
        whole = np.memmap(self._file, np.uint8, "r", shape=(self._end,))
        return [
            whole[first : first + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
            for first, shape, dtype in self._places
        ]


def _check_rows(rows: int, shape: tuple[int, ...]) -> None:
    if rows != shape[0]:
        raise ValueError(f"the parts have {rows} rows in all, expected {shape[0]}")


def in_file(array: np.ndarray) -> bool:
    """Return whether an array lies in a file."""
    return isinstance(array, np.memmap)


def blocks(length: int, row_bytes: int) -> list[tuple[int, int]]:
    """Cut ``length`` rows of ``row_bytes`` bytes each into stretches ``(start, stop)`` of about ``BLOCK`` bytes."""
    step = max(1, BLOCK // max(1, row_bytes))
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def in_parts(function: Callable[..., np.ndarray], first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return ``function(first, *others)`` for a function that works row by row.

    If ``first`` lies in a file, the function is applied to parts of the arrays, and the result lies in a file too if it is larger
    than ``limit()``.
    """
    if not in_file(first) or len(first) == 0:
        return function(first, *others)
    stretches = blocks(len(first), first[:1].nbytes)
    parts = (np.asarray(function(*(array[a:b] for array in (first, *others)))) for a, b in stretches)
    head = next(parts)
    shape = (len(first), *head.shape[1:])
    size = int(np.prod(shape)) * head.dtype.itemsize
    return store(itertools.chain([head], parts), shape, head.dtype, to_file=size > limit())


PREFETCH = 2  # batches that are made before they are asked for
Item = TypeVar("Item")


def prefetch(items: Iterator[Item], count: int) -> Generator[Item, None, None]:
    """Yield the items of an iterator, of which a thread makes ``count`` before they are asked for. An error of the iterator is
    raised at the place of its item."""
    if count == 0:
        yield from items
        return
    end: Any = object()
    with ThreadPoolExecutor(1, "batches") as thread:
        waiting = collections.deque(thread.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item
