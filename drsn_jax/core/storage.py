"""Arrays in memory, or in files where they would fill it: both are ``numpy.ndarray`` and give the same results to rounding.

The files are temporary, without a name where the system allows it (they lie in ``tempfile.gettempdir()``, see ``TMPDIR``), and
gone when the array is.
"""

import collections
import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

SHARE = 1 / 16  # of the machine's memory, that one array may take; a run has several
UNKNOWN = 2**31  # bytes, where a system does not tell its memory
BLOCK = 2**24  # bytes that are worked on at a time


@functools.cache
def limit() -> int:
    """The bytes beyond which an array goes into a file."""
    try:
        return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return int(SHARE * UNKNOWN)


def store(parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.typing.DTypeLike, *, to_file: bool) -> np.ndarray:
    """The parts, one after another along the first axis, as an array of ``shape``: in memory or, read-only, in a file.

    Raises OSError where the disk is full, ValueError for parts that do not make up the shape.
    """
    dtype = np.dtype(dtype)
    rows = 0
    if not to_file:
        array = np.empty(shape, dtype)
        for part in parts:
            array[rows : rows + len(part)] = part
            rows += len(part)
    else:
        with tempfile.TemporaryFile() as file:
            try:
                for part in parts:
                    # not through the map: where the disk is full, that would kill the process
                    file.write(np.ascontiguousarray(part, dtype).data)
                    rows += len(part)
                file.flush()
            except OSError as error:
                raise OSError(
                    f"{tempfile.gettempdir()} has no room for the {np.prod(shape) * dtype.itemsize / 1e9:.1f} GB of windows or "
                    f"recordings that memory cannot hold ({error.strerror}): free some, or let TMPDIR name another folder"
                ) from error
            array = np.memmap(file, dtype, "r", shape=shape)
    if rows != shape[0]:
        raise ValueError(f"the parts have {rows} rows in all, expected {shape[0]}")
    return array


def in_file(array: np.ndarray) -> bool:
    """Whether an array lies in a file."""
    return isinstance(array, np.memmap)


def blocks(length: int, row_bytes: int) -> list[tuple[int, int]]:
    """``(start, stop)`` of stretches of ``length`` rows that are worked on at a time."""
    step = max(1, BLOCK // max(1, row_bytes))
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def in_parts(function: Callable[..., np.ndarray], first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """``function(first, *others)``, which works row by row: of an array that lies in a file in parts, and into a file again where
    the result is as large."""
    if not in_file(first) or len(first) == 0:
        return function(first, *others)
    stretches = blocks(len(first), first[:1].nbytes)
    parts = (np.asarray(function(*(array[a:b] for array in (first, *others)))) for a, b in stretches)
    head = next(parts)
    shape = (len(first), *head.shape[1:])
    size = int(np.prod(shape)) * head.dtype.itemsize
    return store(itertools.chain([head], parts), shape, head.dtype, to_file=size > limit())


PREFETCH = 2  # batches that are ready before they are asked for
Item = TypeVar("Item")


def prefetch(items: Iterator[Item], count: int) -> Generator[Item, None, None]:
    """The same items, ``count`` of them made by a thread before they are asked for; errors arrive in their place."""
    if count == 0:
        yield from items
        return
    end: Any = object()
    with ThreadPoolExecutor(1, "batches") as thread:
        waiting = collections.deque(thread.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item
