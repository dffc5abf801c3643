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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from drsn_jax.data.recordings import Recording, title
from drsn_jax.data.storage import blocks, limit, store


class Segment(NamedTuple):
    """The samples ``[start, stop)`` of ``recordings[recording]``."""

    recording: int
    start: int
    stop: int


class Split(NamedTuple):
    """What to train on and what to test on."""

    train: list[Segment]
    test: list[Segment]


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


def class_names(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The labels in the order of their first appearance."""
    return tuple(dict.fromkeys(r.label for r in recordings))


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


def require_windows(recordings: Sequence[Recording], segments: Sequence[Segment], length: int) -> None:
    """ValueError for a recording of which all segments are shorter than a window: a class must not vanish unseen."""
    without = {s.recording for s in segments} - {s.recording for s in segments if s.stop - s.start >= length}
    if without:
        raise ValueError(
            f"no segment of {title(recordings, min(without))} is as long as a window of {length} samples: "
            "choose shorter windows or another number of folds"
        )


def split_by_condition(recordings: Sequence[Recording], test_condition: str) -> Split:
    """Test on one condition, train on all others.

    Raises:
      ValueError: for a condition that no recording has, or a class that is not on both sides.
    """
    conditions = list(dict.fromkeys(r.condition for r in recordings))
    if len(conditions) < 2:
        raise ValueError(f"all recordings are of one condition, {conditions[0]!r}: fill in the column or split otherwise")
    if test_condition not in conditions:
        raise ValueError(f"no recording is of the condition {test_condition!r}, choose one of {conditions}")
    on_test = [r.condition == test_condition for r in recordings]
    return _split(recordings, on_test, f"condition {test_condition!r}")


def folds_by_condition(recordings: Sequence[Recording]) -> list[Split]:
    """One split for each condition, in order of first appearance; errors as ``split_by_condition``."""
    return [split_by_condition(recordings, c) for c in dict.fromkeys(r.condition for r in recordings)]


def folds_by_group(recordings: Sequence[Recording], folds: int) -> list[Split]:
    """The groups (physical parts) of each class dealt to the folds in turn, a group's recordings together.

    Raises:
      ValueError: for fewer than two folds, a recording without a group, fewer groups of a class than folds,
        or (where groups carry several labels) a class that is not on both sides of every split.
    """
    # a part that was recorded healthy and faulty carries several labels
    labels: dict[str, set[str]] = {}
    for i, r in enumerate(recordings):
        if not r.group:
            raise ValueError(f"{title(recordings, i)} has no group: name the physical part of every recording")
        labels.setdefault(r.group, set()).add(r.label)
    for name in class_names(recordings):
        _enough(folds, sum(name in of_group for of_group in labels.values()), f"groups of the class {name!r}")
    in_order = sorted(labels, key=lambda group: sorted(labels[group]))
    fold = {group: i % folds for i, group in enumerate(in_order)}
    return [_split(recordings, [fold[r.group] == k for r in recordings], f"fold {k}") for k in range(folds)]


def folds_by_recording(recordings: Sequence[Recording], folds: int) -> list[Split]:
    """The recordings of each class, condition by condition, dealt to the folds in turn.

    With as many recordings of a class and condition as folds, each fold tests on one of them.

    Raises:
      ValueError: for fewer than two folds, or fewer recordings of a class than folds.
    """
    for name in class_names(recordings):
        _enough(folds, sum(r.label == name for r in recordings), f"recordings of the class {name!r}")
    in_order = sorted(range(len(recordings)), key=lambda i: (recordings[i].label, recordings[i].condition))
    fold = {index: i % folds for i, index in enumerate(in_order)}
    return [_split(recordings, [fold[i] == k for i in sorted(fold)], f"fold {k}") for k in range(folds)]


def folds_by_time(recordings: Sequence[Recording], folds: int, gap: int) -> list[Split]:
    """Every recording cut into ``folds`` equal stretches: fold k tests on the k-th and trains on the rest.

    Args:
      recordings: all recordings.
      folds: how many.
      gap: samples left out on either side of the test stretch, because neighbours resemble each other; a
        window's length or more is sensible.

    Raises:
      ValueError: for fewer than two folds, a negative gap, or a recording of which a fold leaves nothing to
        train or test on.
    """
    if gap < 0:
        raise ValueError(f"the gap is a number of samples and not negative, got {gap}")
    splits = [Split([], []) for _ in range(folds)]
    for i, recording in enumerate(recordings):
        length = len(recording.signal)
        _enough(folds, length, f"samples of {title(recordings, i)}")
        for k, split in enumerate(splits):
            start, stop = length * k // folds, length * (k + 1) // folds
            rest = [Segment(i, a, b) for a, b in ((0, start - gap), (stop + gap, length)) if a < b]
            if not rest:
                raise ValueError(
                    f"a gap of {gap} samples leaves nothing to train on of the {length} of "
                    f"{title(recordings, i)} in fold {k}: choose a smaller gap or more folds"
                )
            split.train.extend(rest)
            split.test.append(Segment(i, start, stop))
    return splits


def random_window_folds(labels: ArrayLike, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random windows of each class on either side, only to compare with figures that were made so.

    **This leaks**: windows of one recording, overlapping ones too, are on both sides, so that a network is
    rewarded for knowing the recording.

    Args:
      labels: ``(n,)``, the classes of the windows.
      folds: how many.
      seed: of the shuffle.

    Returns:
      For each fold the indices of the training and of the test windows, ascending.

    Raises:
      ValueError: for fewer than two folds, or fewer windows of a class than folds.

    Source: Zhao et al., IEEE Trans. Ind. Informatics 16(7), 2020 (ten folds).
    """
    labels = np.asarray(labels)
    for name, count in zip(*np.unique(labels, return_counts=True), strict=True):
        _enough(folds, count, f"windows of the class {name}")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    fold = np.empty(len(labels), int)
    fold[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]


def _enough(folds: int, count: int, what: str) -> None:
    if folds < 2:
        raise ValueError(f"a split needs 2 folds or more, got {folds}")
    if count < folds:
        raise ValueError(f"there are {count} {what}, too few for {folds} folds")


def _split(recordings: Sequence[Recording], test: Sequence[bool], what: str) -> Split:
    """Whole recordings on either side, and every class on both."""
    split = Split([], [])
    for i, (recording, is_test) in enumerate(zip(recordings, test, strict=True)):
        (split.test if is_test else split.train).append(Segment(i, 0, len(recording.signal)))
    for name in class_names(recordings):
        for side, segments in (("train", split.train), ("test", split.test)):
            if not any(recordings[s.recording].label == name for s in segments):
                raise ValueError(f"{what}: the class {name!r} has no recording to {side} on")
    return split
