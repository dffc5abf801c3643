"""Windows of recordings: cut from segments, and gathered into the sides of a fold.

``cut_windows`` cuts windows as recorded. ``make_folds`` splits recordings (see ``splits``, which says what question each split
answers) and cuts every side into windows without their mean.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import blocks, in_parts, limit, store
from drsn_jax.data.held_out import hold_out, hold_out_whole, hold_out_windows
from drsn_jax.data.recordings import Recording, check_recordings, class_names, title
from drsn_jax.data.split_choice import named_splits
from drsn_jax.data.splits import Segment, random_window_folds, require_windows
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
    """Cut windows of ``length`` samples at every ``stride`` samples of each segment, as recorded.

    Nothing is removed or scaled. Samples that are left at the end of a segment are dropped, and a segment shorter than
    a window gives none.

    Args:
      recordings: all recordings; they have the same number of channels, as ``check_recordings`` makes sure.
      segments: one side of a split.
      length: of a window, in samples.
      stride: from one window to the next, in samples; less than ``length`` makes windows overlap.
      classes: the names of the classes; by default those of all the recordings in order of first appearance.

    Raises:
      ValueError: for a length or stride below 1, no segments, one that reaches beyond its recording, a label
        that is not among the classes, or a recording of which all segments are shorter than a window.

    Example::

        >>> ramp = np.arange(10, dtype=np.float32)[:, None]
        >>> recording = Recording(ramp, label="healthy", sampling_rate=100.0)
        >>> cut = cut_windows([recording], [Segment(recording=0, start=0, stop=10)], length=4, stride=3)
        >>> cut.windows.shape
        (3, 4, 1)
        >>> cut.windows[:, :, 0]
        array([[0., 1., 2., 3.],
               [3., 4., 5., 6.],
               [6., 7., 8., 9.]], dtype=float32)
        >>> cut.starts
        array([0, 3, 6])
    """
    if length < 1 or stride < 1:
        raise UserError(f"length and stride are at least 1 sample, got {length} and {stride}")
    if not segments:
        raise UserError("there are no segments to cut windows from")
    classes = class_names(recordings) if classes is None else tuple(classes)
    numbers = {name: i for i, name in enumerate(classes)}
    views, labels, indices, starts = [], [], [], []
    for index, start, stop in segments:
        recording = recordings[index]
        if recording.label not in numbers:
            raise UserError(f"{title(recordings, index)} is labelled {recording.label!r}, expected one of {classes}")
        if not 0 <= start < stop <= len(recording.signal):
            raise UserError(
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
    validation_by: str = "time",
    seed: int = 0,
) -> list[Callable[[], Fold]]:
    """Split recordings, and return for each fold a function that cuts it into windows when it is called.

    The windows are cut that late because those of one fold of the paper's size take 240 MB. All errors are raised at once.

    Args:
      recordings: all recordings.
      split: one of ``split_choice.SPLITS``; ``"random-windows"`` leaks (see ``random_window_folds``).
      window_length, train_stride: in samples; test windows and validation windows do not overlap.
      folds: how many; the split by condition has one fold for each condition instead.
      test_condition: the only condition to test on, with the split by condition.
      validation: the share of every training recording that is held out at its end (see ``hold_out``); with random windows, of
        the training windows.
      validation_by: ``"time"`` holds out that end; ``"recording"``, ``"condition"`` and ``"group"`` hold out whole ones (see
        ``hold_out_whole``), which tells how good the network will be elsewhere.
      seed: of random windows.

    Raises:
      RecordingError: for recordings that ``check_recordings`` refuses.
      ValueError: for an unknown split or one that these recordings do not allow, or a share that is not from 0 to below 1.
    """
    if not 0 <= validation < 1:
        raise UserError(f"the share of validation is from 0 to below 1, got {validation}")
    check_recordings(recordings, window_length)
    belongs = {
        "recording": [str(number) for number in range(len(recordings))],
        "condition": [r.condition for r in recordings],
        "group": [r.group for r in recordings],
    }
    if validation_by not in ("time", *belongs) or (split == "random-windows" and validation_by != "time"):
        raise UserError(
            f"windows cannot be held out by {validation_by} with the split by {split}: choose time"
            + ("" if split == "random-windows" else ", recording, condition or group")
        )
    if split == "random-windows":
        return _random_folds(recordings, folds, window_length, train_stride, validation, seed)
    cutters: list[Callable[[], Fold]] = []
    # a window's length between the sides of the split by time: neighbours resemble each other
    for name, sides in named_splits(recordings, split, folds, gap=window_length, test_condition=test_condition):
        labels = [r.label for r in recordings]
        if validation_by == "time":
            train, held_out = hold_out(sides.train, validation, window_length, labels)
        else:
            train, held_out = hold_out_whole(sides.train, validation, belongs[validation_by], labels, validation_by)
        for segments in (train, held_out, sides.test):  # now, and not when the folds before it are done
            require_windows(recordings, segments, window_length)
        sides_of_fold = {"train": train, "test": sides.test, "validation": held_out}
        cutters.append(functools.partial(_cut_fold, name, recordings, sides_of_fold, window_length, train_stride))
    return cutters


def few_windows(fold: Fold, per_class: int, seed: int) -> Fold:
    """Keep at most ``per_class`` training windows of each class, chosen at random by ``seed``; the other sides stay."""
    return fold._replace(train=fold.train.select(some_of_each_class(fold.train.labels, per_class, seed)))


def some_of_each_class(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Return the numbers of at most ``per_class`` examples of each class, chosen at random by ``seed``, in ascending order."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    return np.sort(np.concatenate([shuffled[labels[shuffled] == c][:per_class] for c in np.unique(labels)]))


def remove_means(windows: np.ndarray) -> np.ndarray:
    """Apply ``signals.remove_mean`` to every window of ``(n, *positions, channels)``."""
    return in_parts(lambda part: np.asarray(_remove_means(part)), windows)


_remove_means = jax.jit(jax.vmap(signals.remove_mean))


def _cut_fold(
    name: str, recordings: Sequence[Recording], sides: Mapping[str, Sequence[Segment]], length: int, train_stride: int
) -> Fold:
    """Cut the segments of the sides ``train``, ``test`` and ``validation`` into windows of ``length`` samples."""
    return Fold(
        name,
        train=_cut_side(recordings, sides["train"], length, train_stride),
        test=_cut_side(recordings, sides["test"], length, length),
        validation=_cut_side(recordings, sides["validation"], length, length),
    )


def _cut_side(recordings: Sequence[Recording], segments: Sequence[Segment], length: int, stride: int) -> Side:
    if not segments:
        return Side(np.empty((0, length, 1), np.float32), np.empty(0, np.int32), np.empty(0, np.int32))
    cut = cut_windows(recordings, segments, length, stride)
    return Side(remove_means(cut.windows), cut.labels, cut.recordings)


def _random_folds(
    recordings: Sequence[Recording], folds: int, length: int, stride: int, validation: float, seed: int
) -> list[Callable[[], Fold]]:
    """Cut whole recordings into windows, and deal these to the folds at random."""
    whole = [Segment(i, 0, len(recording.signal)) for i, recording in enumerate(recordings)]
    all_windows = _cut_side(recordings, whole, length, stride)
    selectors: list[Callable[[], Fold]] = []
    for number, (train, test) in enumerate(random_window_folds(all_windows.labels, folds, seed)):
        train, held_out = hold_out_windows(train, validation, seed)
        # each fold is a copy of the windows, so it is made when it is called for
        selectors.append(functools.partial(_select_fold, str(number), all_windows, train=train, test=test, validation=held_out))
    return selectors


def _select_fold(name: str, windows: Side, *, train: np.ndarray, test: np.ndarray, validation: np.ndarray) -> Fold:
    """Make a fold from all windows and the indices of each side."""
    return Fold(name, windows.select(train), windows.select(test), windows.select(validation))
