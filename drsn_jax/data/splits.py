"""Splits that keep one recording, condition, part or stretch of time on one side."""

import math
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
    """What to train on and what to test on."""

    train: list[Segment]
    test: list[Segment]


def require_windows(recordings: Sequence[Recording], segments: Sequence[Segment], length: int) -> None:
    """ValueError for a recording of which all segments are shorter than a window: a class must not vanish unseen."""
    without = {s.recording for s in segments} - {s.recording for s in segments if s.stop - s.start >= length}
    if without:
        raise UserError(
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
        raise UserError(f"all recordings are of one condition, {conditions[0]!r}: fill in the column or split otherwise")
    if test_condition not in conditions:
        raise UserError(f"no recording is of the condition {test_condition!r}, choose one of {conditions}")
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
            raise UserError(f"{title(recordings, i)} has no group: name the physical part of every recording")
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
                raise UserError(
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
        raise UserError(f"a split needs 2 folds or more, got {folds}")
    if count < folds:
        raise UserError(f"there are {count} {what}, too few for {folds} folds")


def _split(recordings: Sequence[Recording], test: Sequence[bool], what: str) -> Split:
    """Whole recordings on either side, and every class on both."""
    split = Split([], [])
    for i, (recording, is_test) in enumerate(zip(recordings, test, strict=True)):
        (split.test if is_test else split.train).append(Segment(i, 0, len(recording.signal)))
    for name in class_names(recordings):
        for side, segments in (("train", split.train), ("test", split.test)):
            if not any(recordings[s.recording].label == name for s in segments):
                raise UserError(f"{what}: the class {name!r} has no recording to {side} on")
    return split


SPLITS = ("condition", "group", "recording", "time", "random-windows")


class Choice(NamedTuple):
    """A split that recordings allow.

    Fields:
      split: one of ``SPLITS``.
      folds: how many.
      notice: for the user: what is on one side only, and why nothing stricter is.
    """

    split: str
    folds: int
    notice: str


def strictest_split(recordings: Sequence[Recording], folds: int) -> Choice:
    """The first of the splits by group, condition, recording and time that these recordings allow, in fewer folds than asked for
    rather than less strict.

    Raises ValueError for fewer than two folds.
    """
    if folds < 2:
        raise UserError(f"a split needs 2 folds or more, got {folds}")
    makers = {"group": folds_by_group, "condition": lambda all_of, _: folds_by_condition(all_of), "recording": folds_by_recording}
    refused: list[str] = []
    for split, make in makers.items():
        why = ""
        for count in range(folds, 1, -1):
            try:
                make(recordings, count)
            except ValueError as error:
                why = str(error)
            else:
                return Choice(split, count, _notice(split, refused, f" ({count} folds, not {folds})" if count < folds else ""))
        refused.append(f"by {split}: {why}")
    return Choice("time", folds, _notice("time", refused, ""))


def _notice(split: str, refused: Sequence[str], fewer: str) -> str:
    if not refused:
        return f"the split is by group{fewer}: no physical part is on both sides"
    return (
        f"the split is by {split}{fewer}, because no stricter one is possible ({'; '.join(refused)}): the same physical parts "
        "are or may be on both sides, so the accuracy does not tell how a part will do that was not trained on"
    )


def hold_out(segments: Sequence[Segment], share: float, window_length: int) -> tuple[list[Segment], list[Segment]]:
    """Training segments and validation segments: the end of the longest segment of each recording, so long that whole windows
    make up ``share`` of the recording's segments, and a window's length before it goes to neither side.

    Of the same recordings as the training, so it says when to stop and not how good the network will be elsewhere. A share of 0
    holds out nothing.
    """
    if share == 0:
        return list(segments), []
    train, apart = [], []
    for recording in dict.fromkeys(s.recording for s in segments):
        own = [s for s in segments if s.recording == recording]
        longest = max(own, key=lambda s: s.stop - s.start)
        wanted = math.ceil(share * sum(s.stop - s.start for s in own) / window_length) * window_length
        start = longest.stop - wanted
        apart.append(Segment(recording, max(start, longest.start), longest.stop))
        train += [s for s in own if s is not longest]
        if start - window_length > longest.start:
            train.append(Segment(recording, longest.start, start - window_length))
        elif len(own) == 1:  # nothing is left: an empty side, which ``require_windows`` names
            train.append(Segment(recording, longest.start, longest.start))
    return train, apart
