"""Windows of recordings, and splits that keep one recording, condition, part or stretch of time on one side.

A split names segments of recordings, and windows are cut inside the segments, so that training and testing
may use different strides and no sample is ever on both sides. Which split answers which question:

- by condition: does it work under a speed or load that it was not trained on?
- by group: does it work on a part that it was not trained on? The question of most users, and the hardest.
- by recording: on a new recording of the same parts under the same conditions?
- by time: on a later stretch of the same recordings? For one recording a class, and easier than it sounds.

One split with the test share 1/k is one of k folds: ``folds_by_time(recordings, 4, gap)[-1]`` tests on the
last quarter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from drsn_jax.core.storage import blocks, in_parts, limit, store
from drsn_jax.data.recordings import Recording, check_recordings, class_names, title
from drsn_jax.data.splits import (
    SPLITS,
    Segment,
    folds_by_condition,
    folds_by_group,
    folds_by_recording,
    folds_by_time,
    hold_out,
    random_window_folds,
    require_windows,
    split_by_condition,
)
from drsn_jax.functional import signals


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows and where they come from.

    Fields:
      windows: ``(n, length, channels)``, float32.
      labels: ``(n,)``, int32, indices into ``classes``.
      recordings: ``(n,)``, int32, indices of the recordings.
      starts: ``(n,)``, int64, the first sample of each window in its recording.
      classes: the names of the classes.
    """

    windows: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray
    starts: np.ndarray
    classes: tuple[str, ...]


def cut_windows(
    recordings: Sequence[Recording],
    segments: Sequence[Segment],
    length: int,
    stride: int,
    classes: Sequence[str] | None = None,
) -> Windows:
    """Windows of ``length`` samples at every ``stride`` samples of each segment, as recorded.

    Nothing is removed or scaled. What is left at the end of a segment is dropped, and a segment shorter than
    a window gives none.

    Args:
      recordings: all recordings, of one number of channels; ``check_recordings`` sees to it.
      segments: one side of a split.
      length: in samples.
      stride: from one window to the next, in samples; less than ``length`` makes windows overlap.
      classes: the names of the classes; by default those of all the recordings in order of first appearance.

    Raises:
      ValueError: for a length or stride below 1, no segments, one that reaches beyond its recording, a label
        that is not among the classes, or a recording of which all segments are shorter than a window.
    """
    if length < 1 or stride < 1:
        raise ValueError(f"length and stride are at least 1 sample, got {length} and {stride}")
    if not segments:
        raise ValueError("there are no segments to cut windows from")
    classes = class_names(recordings) if classes is None else tuple(classes)
    numbers = {name: i for i, name in enumerate(classes)}
    views, labels, indices, starts = [], [], [], []
    for index, start, stop in segments:
        recording = recordings[index]
        if recording.label not in numbers:
            raise ValueError(f"{title(recordings, index)} is labelled {recording.label!r}, expected one of {classes}")
        if not 0 <= start < stop <= len(recording.signal):
            raise ValueError(
                f"the segment [{start}, {stop}) is not within the {len(recording.signal)} samples of {title(recordings, index)}"
            )
        if stop - start < length:
            continue
        view = sliding_window_view(recording.signal[start:stop], length, axis=0)[::stride]
        views.append(view.swapaxes(1, 2))
        labels.append(np.full(len(view), numbers[recording.label], np.int32))
        indices.append(np.full(len(view), index, np.int32))
        starts.append(np.arange(len(view)) * stride + start)
    require_windows(recordings, segments, length)
    shape = (sum(map(len, views)), length, recordings[segments[0].recording].signal.shape[1])
    parts = (view[start:stop] for view in views for start, stop in blocks(len(view), 4 * math.prod(shape[1:])))
    return Windows(
        store(parts, shape, np.float32, to_file=4 * math.prod(shape) > limit()),
        np.concatenate(labels),
        np.concatenate(indices),
        np.concatenate(starts),
        classes,
    )


class Side(NamedTuple):
    """One side of a split as windows: those to train on, to test on or to validate with.

    ``len`` of a side counts its three fields; the number of its windows is ``len(side.windows)``.

    Fields:
      windows: ``(n, length, channels)``, float32, without their mean.
      labels: ``(n,)``, int32, indices into the classes.
      recordings: ``(n,)``, int32, the index of the recording of each window.
    """

    windows: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray

    def select(self, which: np.ndarray | slice) -> "Side":
        """Return the side with some of its windows, given by their indices or as a slice."""
        return Side(self.windows[which], self.labels[which], self.recordings[which])


NO_WINDOWS = Side(np.empty((0, 0, 0), np.float32), np.empty(0, np.int32), np.empty(0, np.int32))


class Fold(NamedTuple):
    """One split as windows.

    Fields:
      name: of the split, for tables.
      train, test: the windows to train and to test on.
      validation: windows held out of the training side; none by default.
    """

    name: str
    train: Side
    test: Side
    validation: Side = NO_WINDOWS


def make_folds(
    recordings: Sequence[Recording],
    split: str,
    *,
    window_length: int,
    train_stride: int,
    folds: int = 5,
    test_condition: str | None = None,
    validation: float = 0.0,
    seed: int = 0,
) -> list[Callable[[], Fold]]:
    """The folds of a split, each cut into windows when it is called for, because a paper-size one takes 240 MB.

    Args:
      recordings: all recordings.
      split: one of ``SPLITS``; ``"random-windows"`` leaks (see ``random_window_folds``).
      window_length, train_stride: in samples; test windows do not overlap.
      folds: how many, but for the split by condition, which has one for each condition.
      test_condition: the only condition to test on, with the split by condition.
      validation: the share of every training recording that is held out at its end (see ``hold_out``); with random windows, of
        the training windows.
      seed: of random windows.

    Raises:
      RecordingError: for recordings that ``check_recordings`` refuses.
      ValueError: for an unknown split or one that these recordings do not allow, or a share that is not from 0 to below 1.
    """
    if not 0 <= validation < 1:
        raise ValueError(f"the share of validation is from 0 to below 1, got {validation}")
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
            return _random_windows(recordings, folds, window_length, train_stride, validation, seed)
        case _:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    held = [hold_out(one.train, validation, window_length) for one in splits]
    for one, (train, apart) in zip(splits, held, strict=True):  # now, and not when the folds before it are done
        for segments in (train, apart, one.test):
            require_windows(recordings, segments, window_length)
    if split != "condition":  # numbered where they have no name
        names = [str(number) for number in range(len(splits))]
    return [
        _cutter(name, recordings, one.test, *sides, window_length, train_stride)
        for name, one, sides in zip(names, splits, held, strict=True)
    ]


def few_windows(fold: Fold, per_class: int, seed: int) -> Fold:
    """The fold with at most ``per_class`` training windows of each class, chosen at random by ``seed``; its other sides stay."""
    labels = fold.train.labels
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    kept = np.concatenate([shuffled[labels[shuffled] == c][:per_class] for c in np.unique(labels)])
    return fold._replace(train=fold.train.select(np.sort(kept)))


def remove_means(windows: np.ndarray) -> np.ndarray:
    """``signals.remove_mean`` of every window of ``(n, *positions, channels)``."""
    return in_parts(lambda part: np.asarray(_remove_means(part)), windows)


_remove_means = jax.jit(jax.vmap(signals.remove_mean))


def _cutter(
    name: str,
    recordings: Sequence[Recording],
    test: list[Segment],
    train: list[Segment],
    validation: list[Segment],
    length: int,
    stride: int,
) -> Callable[[], Fold]:
    def cut() -> Fold:
        return Fold(
            name,
            train=_cut(recordings, train, length, stride),
            test=_cut(recordings, test, length, length),
            validation=_cut(recordings, validation, length, length),
        )

    return cut


def _cut(recordings: Sequence[Recording], segments: list[Segment], length: int, stride: int) -> Side:
    if not segments:
        return Side(np.empty((0, length, 1), np.float32), np.empty(0, np.int32), np.empty(0, np.int32))
    windows = cut_windows(recordings, segments, length, stride)
    return Side(remove_means(windows.windows), windows.labels, windows.recordings)


def _random_windows(
    recordings: Sequence[Recording], folds: int, length: int, stride: int, validation: float, seed: int
) -> list[Callable[[], Fold]]:
    whole = [Segment(i, 0, len(recording.signal)) for i, recording in enumerate(recordings)]
    every = cut_windows(recordings, whole, length, stride)
    all_windows = Side(remove_means(every.windows), every.labels, every.recordings)

    def taker(name: str, train: np.ndarray, test: np.ndarray) -> Callable[[], Fold]:
        apart = train[:0]
        if validation:
            shuffled = np.random.default_rng(seed).permutation(train)
            count = math.ceil(validation * len(train))
            train, apart = np.sort(shuffled[count:]), np.sort(shuffled[:count])
            if not len(train):
                raise ValueError(f"a validation share of {validation} leaves no windows to train on: choose a smaller one")

        def cut() -> Fold:  # only now, for each fold is a copy of the windows
            return Fold(name, all_windows.select(train), all_windows.select(test), all_windows.select(apart))

        return cut

    return [taker(str(i), *sides) for i, sides in enumerate(random_window_folds(every.labels, folds, seed))]
