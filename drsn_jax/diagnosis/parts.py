"""The windows of a recording: read in parts, so that a long one need not fit into memory, and measured."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from drsn_jax.core.arrays import rounded
from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import blocks

PART = 512  # windows that are read and computed at a time, at most
READ = 2**25  # bytes of samples that are read at a time, unless one window has more


def root_mean_squares(windows: np.ndarray) -> np.ndarray:
    """Return the RMS ``(n,)`` of windows ``(n, length, channels)``: the root mean square over time and channels, after each
    channel's mean is removed."""
    if len(windows) == 0:
        return np.zeros(0)
    # in float64, which takes twice the memory of the windows: a few of them at a time, and of a long one a stretch at a time
    means = windows.mean(1, keepdims=True, dtype=np.float64)
    squares = np.zeros(len(windows))
    row = 8 * windows.shape[2]
    for first, last in blocks(len(windows), row * windows.shape[1]):
        for start, stop in blocks(windows.shape[1], row * (last - first)):
            squares[first:last] += np.square(windows[first:last, start:stop] - means[first:last]).sum((1, 2))
    return np.sqrt(squares / (windows.shape[1] * windows.shape[2]))


def constant_channels(windows: np.ndarray) -> np.ndarray:
    """Return which channels of windows ``(n, length, channels)`` are constant, ``(n, channels)``."""
    return windows.min(1) == windows.max(1)


def window_bytes(window: int, channels: int) -> int:
    """Return how many bytes a window of so many samples takes as float32."""
    return 4 * window * channels


def ahead_of(window: int, channels: int) -> int:
    """Return how many parts are read while another is computed: none where one window is larger than a part should be."""
    return 1 if window_bytes(window, channels) <= READ else 0


def read_parts(
    read: Callable[[int, int], np.ndarray], count: int, window: int, channels: int, keep_level: bool = False
) -> Iterator[np.ndarray]:
    """Read the first ``count`` windows of a signal in parts, each ``(windows, window, channels)``.

    A part has at most ``PART`` windows and ``READ`` bytes, or one window. Of windows whose samples float32 could not tell apart,
    the first sample is subtracted (``arrays.rounded``), unless ``keep_level`` is given, for a model that their level tells
    something.

    Raises UserError for samples that are not finite.
    """
    part = max(1, min(PART, READ // window_bytes(window, channels)))
    for first in range(0, count, part):
        last = min(first + part, count)
        samples = np.asarray(read(first * window, last * window)).reshape(-1, window, channels)
        windows = np.asarray(samples, np.float32) if keep_level else rounded(samples)
        finite = np.isfinite(windows)
        if not finite.all():
            sample = first * window + int(np.argmin(finite.all(-1).ravel()))
            raise UserError(f"sample {sample} is not a finite number: cut the recording")
        yield windows


def measured_parts(parts: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield parts of a signal with the ``root_mean_squares`` and ``constant_channels`` of their windows.

    They are measured where a part is read, which is beside the network (``storage.prefetch``).
    """
    for windows in parts:
        yield windows, root_mean_squares(windows), constant_channels(windows)
