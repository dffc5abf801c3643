"""From recordings to the two sides of a split as windows: which split, cut how."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax import signals
from drsn_jax.data.recordings import Recording, check_recordings
from drsn_jax.data.storage import in_parts
from drsn_jax.data.windows import (
    Segment,
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
      validation, validation_labels: windows held out of the training side and their labels; none by default.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    test_recordings: np.ndarray
    validation: np.ndarray = np.empty((0, 0, 0), np.float32)
    validation_labels: np.ndarray = np.empty(0, np.int32)


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
        raise ValueError(f"a split needs 2 folds or more, got {folds}")
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


def few_windows(fold: Fold, per_class: int, seed: int) -> Fold:
    """The fold with at most ``per_class`` training windows of each class, chosen at random by ``seed``; its other sides stay."""
    shuffled = np.random.default_rng(seed).permutation(len(fold.train))
    chosen = np.concatenate([shuffled[fold.train_labels[shuffled] == c][:per_class] for c in np.unique(fold.train_labels)])
    chosen = np.sort(chosen)
    return fold._replace(train=fold.train[chosen], train_labels=fold.train_labels[chosen])


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
        (train_windows, train_labels, _), (test_windows, test_labels, test_recordings), held_out = (
            _cut(recordings, side, length, step) for side, step in ((train, stride), (test, length), (validation, length))
        )
        return Fold(name, train_windows, train_labels, test_windows, test_labels, test_recordings, *held_out[:2])

    return cut


def _cut(
    recordings: Sequence[Recording], segments: list[Segment], length: int, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not segments:
        return np.empty((0, length, 1), np.float32), np.empty(0, np.int32), np.empty(0, np.int32)
    windows = cut_windows(recordings, segments, length, stride)
    return remove_means(windows.windows), windows.labels, windows.recordings


def _random_windows(
    recordings: Sequence[Recording], folds: int, length: int, stride: int, validation: float, seed: int
) -> list[Callable[[], Fold]]:
    whole = [Segment(i, 0, len(recording.signal)) for i, recording in enumerate(recordings)]
    every = cut_windows(recordings, whole, length, stride)
    windows = remove_means(every.windows)

    def taker(name: str, train: np.ndarray, test: np.ndarray) -> Callable[[], Fold]:
        apart = train[:0]
        if validation:
            shuffled = np.random.default_rng(seed).permutation(train)
            count = math.ceil(validation * len(train))
            train, apart = np.sort(shuffled[count:]), np.sort(shuffled[:count])
            if not len(train):
                raise ValueError(f"a validation share of {validation} leaves no windows to train on: choose a smaller one")

        def cut() -> Fold:  # only now, for each fold is a copy of the windows
            sides = [(windows[side], every.labels[side]) for side in (train, test, apart)]
            return Fold(name, *sides[0], *sides[1], every.recordings[test], *sides[2])

        return cut

    return [taker(str(i), *sides) for i, sides in enumerate(random_window_folds(every.labels, folds, seed))]
