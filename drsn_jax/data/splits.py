"""Splits of recordings into segments to train on and segments to test on.

A split names segments, and ``windows`` cuts windows inside them. So training and testing may use different strides, and no
sample is ever on both sides. Which split answers which question:

- by condition: does the network work under a speed or load that it was not trained on?
- by group: does it work on a physical part that it was not trained on? This is the question of most users, and the hardest.
- by recording: does it work on a new recording of the same parts under the same conditions?
- by time: does it work on a later stretch of the same recordings? Use it where there is one recording of each class; it is
  easier than it sounds.
- random windows: none of these, because windows of one recording are on both sides. It is here only to compare with published
  figures that were made so.

``split_choice`` chooses among them. A split that tests on one k-th of the data is one of k folds:
``folds_by_time(recordings, 4, gap)[-1]`` tests on the last quarter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from drsn_jax.core.errors import UserError
from drsn_jax.data.recordings import Recording, class_names, title


class Segment(NamedTuple):
    """The samples ``[start, stop)`` of ``recordings[recording]``."""

    recording: int
    start: int
    stop: int


class Split(NamedTuple):
    """The segments to train on and those to test on."""

    train: list[Segment]
    test: list[Segment]


def split_by_condition(recordings: Sequence[Recording], test_condition: str) -> Split:
    """Test on one condition and train on all others.

    Raises:
      ValueError: for a condition that no recording has, or a class that is not on both sides.
    """
    conditions = list(dict.fromkeys(r.condition for r in recordings))
    if len(conditions) < 2:
        raise UserError(f"all recordings are of one condition, {conditions[0]!r}: fill in the column or split otherwise")
    if test_condition not in conditions:
        raise UserError(f"no recording is of the condition {test_condition!r}, choose one of {conditions}")
    on_test = [r.condition == test_condition for r in recordings]
    return _split(recordings, on_test, f"condition {test_condition!r}")


def folds_by_condition(recordings: Sequence[Recording]) -> list[Split]:
    """Make one split for each condition, in order of first appearance. Raises as ``split_by_condition``."""
    return [split_by_condition(recordings, c) for c in dict.fromkeys(r.condition for r in recordings)]


def folds_by_group(recordings: Sequence[Recording], folds: int) -> list[Split]:
    """Deal the groups (physical parts) of each class to the folds in turn; the recordings of a group stay together.

    Raises:
      ValueError: for fewer than two folds, a recording without a group, fewer groups of a class than folds,
        or (where groups carry several labels) a class that is not on both sides of every split.
    """
    # a part that was recorded healthy and faulty carries several labels
    labels: dict[str, set[str]] = {}
    for i, r in enumerate(recordings):
        if not r.group:
            raise UserError(f"{title(recordings, i)} has no group: name the physical part of every recording")
        labels.setdefault(r.group, set()).add(r.label)
    for name in class_names(recordings):
        _enough(folds, sum(name in of_group for of_group in labels.values()), f"groups of the class {name!r}")
    in_order = sorted(labels, key=lambda group: sorted(labels[group]))
    fold = {group: i % folds for i, group in enumerate(in_order)}
    return [_split(recordings, [fold[r.group] == k for r in recordings], f"fold {k}") for k in range(folds)]


def folds_by_recording(recordings: Sequence[Recording], folds: int) -> list[Split]:
    """Deal the recordings of each class to the folds in turn, condition by condition.

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
    """Cut every recording into ``folds`` equal stretches: fold k tests on the k-th stretch and trains on the rest.

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
    for i, recording in enumerate(recordings):  # of all, before a fold is made
        units = len(recording.signal) // recording.unit
        _enough(folds, units, f"{'samples' if recording.unit == 1 else 'windows'} of {title(recordings, i)}")
    splits = [Split([], []) for _ in range(folds)]
    for i, recording in enumerate(recordings):
        length = len(recording.signal)
        for k, split in enumerate(splits):
            # between the units of the recording, which are samples except for windows that were cut before
            start, stop = (length // recording.unit * edge // folds * recording.unit for edge in (k, k + 1))
            rest = [Segment(i, a, b) for a, b in ((0, start - gap), (stop + gap, length)) if a < b]
            if not rest:
                raise UserError(
                    f"a gap of {gap} samples leaves nothing to train on of the {length} of "
                    f"{title(recordings, i)} in fold {k}: choose a smaller gap or more folds"
                )
            split.train.extend(rest)
            split.test.append(Segment(i, start, stop))
    return splits


def random_window_folds(labels: ArrayLike, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal the windows of each class to the folds at random, only to compare with figures that were made so.

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


def require_windows(recordings: Sequence[Recording], segments: Sequence[Segment], length: int) -> None:
    """Raise ValueError for a recording of which all segments are shorter than a window of ``length`` samples.

    Otherwise a class could vanish from one side without anybody seeing it.
    """
    without = {s.recording for s in segments} - {s.recording for s in segments if s.stop - s.start >= length}
    if without:
        raise UserError(
            f"no segment of {title(recordings, min(without))} is as long as a window of {length} samples: "
            "choose shorter windows (--window-length), another number of folds, or a split that keeps recordings whole (--split "
            "recording)"
        )


def _enough(folds: int, count: int, what: str) -> None:
    """Raise ValueError for fewer than two folds, or fewer things to deal than folds."""
    if folds < 2:
        raise UserError(f"a split needs 2 folds or more, got {folds}")
    if count < folds:
        raise UserError(f"there are {count} {what}, too few for {folds} folds: choose fewer by --folds, or another --split")


def _split(recordings: Sequence[Recording], test: Sequence[bool], what: str) -> Split:
    """Put whole recordings on either side. Raises ValueError for a class that is not on both sides, naming ``what`` was split."""
    split = Split([], [])
    for i, (recording, is_test) in enumerate(zip(recordings, test, strict=True)):
        (split.test if is_test else split.train).append(Segment(i, 0, len(recording.signal)))
    for name in class_names(recordings):
        for side, segments in (("train", split.train), ("test", split.test)):
            if not any(recordings[s.recording].label == name for s in segments):
                raise UserError(f"{what}: the class {name!r} has no recording to {side} on")
    return split
