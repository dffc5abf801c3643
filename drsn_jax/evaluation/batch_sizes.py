"""How many windows a program is compiled for, so that any number of them is answered quickly and few programs are compiled.

A program is compiled for one number of windows. Filling a few windows up to a full batch costs as much as a full batch, and a
program for every number costs seconds of compilation for each.
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from drsn_jax.core.distributed import check_even
from drsn_jax.evaluation.prediction import check_batch_size, predict

WASTE = 1.25  # so many times as many windows may be computed, where that saves a compilation
PIECES = 3  # programs that may be called in place of one
CALL = 2  # windows that are computed in the time that a call takes beside them


def round_up(count: int) -> int:
    """Return the size of the program that is compiled for ``count`` windows: up to 16 that number, above at most an eighth more.

    The sizes are 1 to 16, 18, 20 … 32, 36, 40 … 64, 72 and so on, eight of them from one power of two to the next.
    """
    step = 1 << max(0, (count - 1).bit_length() - 4)
    return -(-count // step) * step


def cover(count: int, most: int, compiled: Collection[int], spare: int = 0) -> list[int]:
    """Return the sizes of the programs that are called for ``count`` windows, in their order.

    Full batches of ``most`` come first. For the rest it is a program of the size that ``round_up`` says or, where that is not
    ``compiled`` yet, up to ``PIECES`` of those that are, if they suffice with little waste, or with ``spare`` windows of it.
    """
    full, rest = divmod(count, most)
    sizes = [most] * full
    if rest == 0:
        return sizes
    # a call may allow fewer windows at a time than those before it
    compiled = {size for size in (*compiled, *sizes) if size <= most}
    wanted = min(round_up(rest), most)
    if wanted in compiled:
        return [*sizes, wanted]
    # little waste first, then twice the windows, and all that is spared last: the first program that suffices may be a large one
    limits = WASTE * count - full * most, rest + min(rest, spare), rest + spare
    return sizes + next(filter(None, (_pieces(rest, limit, compiled) for limit in limits)), [wanted])


def _pieces(count: int, limit: float, compiled: Collection[int]) -> list[int] | None:
    """Return the sizes of a few compiled programs that take ``count`` windows in the time of ``limit`` windows; None where they
    need more."""
    pieces: list[int] = []
    for _ in range(PIECES):
        rest, cost = count - sum(pieces), sum(pieces) + CALL * len(pieces)
        last = min((size for size in compiled if size >= rest), default=None)
        if last is not None and cost + last <= limit:
            return [*pieces, last]
        pieces.append(max((size for size in compiled if size < rest), default=0))
        if pieces[-1] == 0:
            return None
    return None


class InSizes:
    """A compiled function ``(state, windows) -> (n, ...)`` that takes any number of windows, at least one.

    Args:
      step: the function; it is compiled for every number of windows that it is called with.
      most: the windows of a full batch, unless a call says otherwise.
      devices: how many devices share the windows of a call evenly.
      spare: so many windows in all may be computed in vain before a second program is compiled to save more.
    """

    def __init__(self, step: Callable[[Any, Any], Any], most: int, *, devices: int = 1, spare: int = 0) -> None:
        self._step, self.most, self._devices = step, most, devices
        self._compiled: set[int] = set()
        self._spare = spare

    def __call__(self, state: Any, windows: np.ndarray, most: int | None = None) -> np.ndarray:
        """Return the rows of the function for windows ``(n, *positions, channels)``; raise ValueError for ``most`` below 1 and
        for one that the devices cannot share evenly."""
        most = self.most if most is None else most
        check_batch_size(most)
        most, devices = int(most), self._devices  # of numpy's whole numbers too
        check_even(most, devices)
        parts, start = [], 0
        for share in cover(-(-len(windows) // devices), most // devices, self._compiled, self._spare // devices):
            size = share * devices
            parts.append(predict(self._step, state, windows[start : start + size], size))
            self._compiled.add(share)
            start += size
        self._spare = max(0, self._spare - (start - len(windows)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
