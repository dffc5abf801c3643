"""From recordings to the two sides of a split as windows: which split, cut how."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax import signals
from drsn_jax.data.recordings import Recording, check_recordings
from drsn_jax.data.windows import (
    Segment,
    Split,
    cut_windows,
    folds_by_condition,
    folds_by_group,
    folds_by_recording,
    folds_by_time,
    random_window_folds,
    require_windows,
    split_by_condition,
)

SPLITS = ("condition", "group", "recording", "time", "random-windows")


class Fold(NamedTuple):
    """One split as windows.

    Fields:
      name: which one, for tables.
      train, test: windows ``(n, length, channels)`` without their mean, float32.
      train_labels, test_labels: ``(n,)``, int32.
      test_recordings: ``(n,)``, the recording of each test window.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    test_recordings: np.ndarray


def make_folds(
    recordings: Sequence[Recording],
    split: str,
    *,
    window_length: int,
    train_stride: int,
    folds: int = 5,
    test_condition: str | None = None,
    seed: int = 0,
) -> list[Callable[[], Fold]]:
    """The folds of a split, each cut into windows when it is called for, because a paper-size one takes 240 MB.

    Args:
      recordings: all recordings.
      split: one of ``SPLITS``; ``"random-windows"`` leaks (see ``random_window_folds``).
      window_length, train_stride: in samples; test windows do not overlap.
      folds: how many, but for the split by condition, which has one for each condition.
      test_condition: the only condition to test on, with the split by condition.
      seed: of random windows.

    Raises:
      RecordingError: for recordings that ``check_recordings`` refuses.
      ValueError: for an unknown split or one that these recordings do not allow.
    """
    check_recordings(recordings, window_length)
    match split:
        case "condition" if test_condition is not None:
            names, splits = [test_condition], [split_by_condition(recordings, test_condition)]
        case "condition":
            names = list(dict.fromkeys(r.condition for r in recordings))
            splits = folds_by_condition(recordings)
        case "group":
            splits = folds_by_group(recordings, folds)
        case "recording":
            splits = folds_by_recording(recordings, folds)
        case "time":
            # a window's length between the sides: neighbours resemble each other
            splits = folds_by_time(recordings, folds, gap=window_length)
        case "random-windows":
            return _random_windows(recordings, folds, window_length, train_stride, seed)
        case _:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    for one in splits:  # now, and not when the folds before it are done
        for segments in one:
            require_windows(recordings, segments, window_length)
    if split != "condition":  # numbered where they have no name
        names = [str(number) for number in range(len(splits))]
    return [_cutter(name, recordings, one, window_length, train_stride) for name, one in zip(names, splits, strict=True)]


def remove_means(windows: np.ndarray) -> np.ndarray:
    """``signals.remove_mean`` of every window of ``(n, *positions, channels)``."""
    return np.asarray(_remove_means(windows))


_remove_means = jax.jit(jax.vmap(signals.remove_mean))


def _cutter(name: str, recordings: Sequence[Recording], split: Split, length: int, stride: int) -> Callable[[], Fold]:
    def cut() -> Fold:
        train = cut_windows(recordings, split.train, length, stride)
        test = cut_windows(recordings, split.test, length, length)
        return Fold(
            name, remove_means(train.windows), train.labels, remove_means(test.windows), test.labels, test.recordings
        )

    return cut


def _random_windows(
    recordings: Sequence[Recording], folds: int, length: int, stride: int, seed: int
) -> list[Callable[[], Fold]]:
    whole = [Segment(i, 0, len(recording.signal)) for i, recording in enumerate(recordings)]
    every = cut_windows(recordings, whole, length, stride)
    windows = remove_means(every.windows)

    def taker(name: str, train: np.ndarray, test: np.ndarray) -> Callable[[], Fold]:
        return lambda: Fold(
            name, windows[train], every.labels[train], windows[test], every.labels[test], every.recordings[test]
        )

    return [taker(str(i), *sides) for i, sides in enumerate(random_window_folds(every.labels, folds, seed))]
