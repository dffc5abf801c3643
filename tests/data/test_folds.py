"""Every kind of split as windows: what is on which side, without mean, with its labels."""

import dataclasses
import itertools
import time
from typing import Any

import numpy as np
import pytest

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.held_out import hold_out, hold_out_whole
from drsn_jax.data.recordings import Recording
from drsn_jax.data.split_choice import SPLITS, strictest_split
from drsn_jax.data.splits import Segment
from drsn_jax.data.windows import few_windows, make_folds, remove_means

LENGTH = 32
CONDITIONS, PARTS = ("slow", "fast"), 3


@pytest.fixture(scope="module")
def recordings():
    """Two classes × two conditions × three parts, 320 samples of noise about a large mean, all different."""
    rng = np.random.default_rng(0)
    return [
        Recording(
            (100 + rng.normal(size=(320, 1))).astype(np.float32), label, 1000.0, condition, f"{label}{part}", f"{label}-{i}"
        )
        for i, (label, condition, part) in enumerate(itertools.product("ab", CONDITIONS, range(PARTS)))
    ]


def cut(recordings, split, **changed):
    options: dict[str, Any] = {"window_length": LENGTH, "train_stride": 16, "folds": 3} | changed
    return [fold() for fold in make_folds(recordings, split, **options)]


def places(recordings, side):
    """(recording, start) of each window of a side, found by its samples."""
    known = {}
    for i, recording in enumerate(recordings):
        for start in range(len(recording.signal) - LENGTH + 1):
            part = recording.signal[start : start + LENGTH, 0].astype(float)
            known[tuple(np.round(np.diff(part[:6]), 3))] = (i, start)
    return [known[tuple(np.round(np.diff(window[:6, 0].astype(float)), 3))] for window in side.windows]


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_gives_windows_without_mean_and_with_their_labels(recordings, split):
    folds = cut(recordings, split)
    assert len(folds) == (2 if split == "condition" else 3)
    assert [fold.name for fold in folds] == (list(CONDITIONS) if split == "condition" else ["0", "1", "2"])
    for fold in folds:
        for side in (fold.train, fold.test):
            windows, labels = side.windows, side.labels
            assert windows.shape == (len(labels), LENGTH, 1)
            assert windows.dtype == np.float32
            assert labels.dtype == np.int32
            assert np.abs(windows.mean(1)).max() < 1e-5
            assert windows.std() == pytest.approx(1, rel=0.1)
            indices = [i for i, _ in places(recordings, side)]
            np.testing.assert_array_equal(labels, ["ab".index(recordings[i].label) for i in indices])
            np.testing.assert_array_equal(side.recordings, indices)


@pytest.mark.parametrize(("split", "by"), [("condition", "condition"), ("group", "group"), ("recording", "name")])
def test_one_condition_part_or_recording_is_on_one_side(recordings, split, by):
    tested = []
    for fold in cut(recordings, split):
        sides = [{getattr(recordings[i], by) for i, _ in places(recordings, side)} for side in (fold.train, fold.test)]
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == {getattr(recording, by) for recording in recordings}
        tested += sides[1]
        if split == "condition":
            assert sides[1] == {fold.name}
    assert len(tested) == len(set(tested))


def test_stretches_of_time_keep_a_windows_length_apart(recordings):
    for fold in cut(recordings, "time"):
        train, test = (set(places(recordings, side)) for side in (fold.train, fold.test))
        assert {i for i, _ in train} == {i for i, _ in test} == set(range(len(recordings)))
        for i, start in test:
            for other, begin in train:
                # from the end of one to the beginning of the other
                assert i != other or abs(start - begin) >= 2 * LENGTH


def test_random_windows_are_tested_once(recordings):
    folds = cut(recordings, "random-windows")
    tested = [place for fold in folds for place in places(recordings, fold.test)]
    starts = range(0, 320 - LENGTH + 1, 16)
    assert sorted(tested) == sorted(itertools.product(range(len(recordings)), starts))
    for fold in folds:
        assert len(fold.train.windows) + len(fold.test.windows) == len(tested)
        assert not set(places(recordings, fold.train)) & set(places(recordings, fold.test))
    again, other = cut(recordings, "random-windows"), cut(recordings, "random-windows", seed=1)
    np.testing.assert_array_equal(folds[0].test.windows, again[0].test.windows)
    assert not np.array_equal(folds[0].test.windows, other[0].test.windows)


def test_test_windows_do_not_overlap_and_training_windows_have_their_stride(recordings):
    (fold,) = cut(recordings, "condition", test_condition="fast", train_stride=8)
    assert fold.name == "fast"
    for side, stride, condition in ((fold.train, 8, "slow"), (fold.test, LENGTH, "fast")):
        found = places(recordings, side)
        assert {recordings[i].condition for i, _ in found} == {condition}
        starts = [start for i, start in found if i == found[0][0]]
        assert starts == list(range(0, 320 - LENGTH + 1, stride))


def test_windows_are_cut_when_they_are_asked_for(recordings, monkeypatch):
    from drsn_jax.data import windows

    asked = []
    original = windows.cut_windows
    monkeypatch.setattr(windows, "cut_windows", lambda *arguments: asked.append(1) or original(*arguments))
    made = make_folds(recordings, "recording", window_length=LENGTH, train_stride=LENGTH, folds=3)
    assert not asked
    made[1]()
    assert len(asked) == 2


def test_means_are_those_of_each_window_and_channel():
    windows = np.random.default_rng(0).normal(5, 2, (4, 10, 3)).astype(np.float32)
    windows[1] = 7.1
    found = remove_means(windows)
    np.testing.assert_allclose(found, windows - windows.mean(1, keepdims=True), atol=1e-5)
    np.testing.assert_array_equal(found[1], 0)


@pytest.mark.parametrize("split", ["", "Time", "windows"])
def test_unknown_splits_are_refused(recordings, split):
    with pytest.raises(ValueError, match=f"unknown split '{split}': choose one of condition, group, .*random-windows"):
        cut(recordings, split)


def test_recordings_that_are_too_short_are_refused(recordings):
    with pytest.raises(RecordingError, match="less than a window of 400"):
        cut(recordings, "recording", window_length=400)


def test_an_unknown_test_condition_is_refused(recordings):
    with pytest.raises(ValueError, match="no recording is of the condition 'idle'"):
        cut(recordings, "condition", test_condition="idle")


# --- validation


@pytest.mark.parametrize("split", SPLITS)
def test_validation_is_held_out_of_the_training_side(recordings, split):
    """No sample of a validation window is in a training or test window, a window's length lies between; the test stays."""
    for fold, usual in zip(cut(recordings, split, validation=0.2), cut(recordings, split), strict=True):
        np.testing.assert_array_equal(fold.test.windows, usual.test.windows)
        assert fold.validation.windows.shape == (len(fold.validation.labels), LENGTH, 1)
        assert fold.validation.windows.dtype == np.float32
        assert np.abs(fold.validation.windows.mean(1)).max() < 1e-5
        apart = places(recordings, fold.validation)
        np.testing.assert_array_equal(fold.validation.labels, ["ab".index(recordings[i].label) for i, _ in apart])
        np.testing.assert_array_equal(fold.validation.recordings, [i for i, _ in apart])
        assert set(fold.validation.labels) == {0, 1}
        train, test = places(recordings, fold.train), places(recordings, fold.test)
        assert set(train) < set(places(recordings, usual.train))
        if split == "random-windows":  # which leaks: only the windows themselves are apart
            assert not {*apart} & {*train, *test}
            assert len(apart) == -(-len(usual.train.windows) // 5)
            continue
        assert {i for i, _ in apart} == {i for i, _ in train}
        for i, start in apart:
            assert all(abs(start - other) >= 2 * LENGTH for j, other in train if j == i)
            assert all(abs(start - other) >= 2 * LENGTH for j, other in test if j == i)


def test_the_share_is_of_each_recording_and_in_whole_windows(recordings):
    """A fifth of 320 samples is two windows of 32, three tenths are three."""
    for share, windows in ((0.01, 1), (0.2, 2), (0.3, 3)):
        (fold, *_) = cut(recordings, "recording", validation=share)
        trained = {i for i, _ in places(recordings, fold.train)}
        assert len(fold.validation.windows) == windows * len(trained)
        assert max(start for _, start in places(recordings, fold.validation)) == 320 - LENGTH


def test_segments_that_are_not_the_longest_are_trained_on():
    train, apart = hold_out([Segment(3, 0, 100), Segment(3, 150, 400), Segment(1, 0, 64)], 0.1, 32)
    # a tenth of 350 samples is two windows, a tenth of 64 is one; of the short one nothing is left to train on
    assert apart == [Segment(3, 336, 400), Segment(1, 32, 64)]
    assert train == [Segment(3, 0, 100), Segment(3, 150, 304), Segment(1, 0, 0)]


def test_without_a_share_nothing_is_held_out(recordings):
    for fold in cut(recordings, "group"):
        assert len(fold.validation.windows) == len(fold.validation.labels) == 0


@pytest.mark.parametrize("split", ["recording", "random-windows"])
@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(recordings, split, share):
    with pytest.raises(ValueError, match="share of validation is from 0 to below 1"):
        cut(recordings, split, validation=share)


def test_a_share_that_leaves_nothing_to_train_on_is_refused(recordings):
    with pytest.raises(ValueError, match=r"share of 0\.9999 leaves no windows to train on"):
        cut(recordings, "random-windows", validation=0.9999)
    with pytest.raises(ValueError, match=r"as long as a window of 32 samples: choose shorter windows .*split=recording"):
        cut(recordings, "recording", validation=0.95)


def test_few_training_windows_of_each_class(recordings):
    (fold, *_) = cut(recordings, "recording", validation=0.2)
    for per_class in (3, 10_000):
        few = few_windows(fold, per_class, seed=1)
        counts = np.minimum(np.bincount(fold.train.labels), per_class)
        np.testing.assert_array_equal(np.bincount(few.train.labels), counts)
        assert set(places(recordings, few.train)) <= set(places(recordings, fold.train))
        labels = ["ab".index(recordings[i].label) for i, _ in places(recordings, few.train)]
        np.testing.assert_array_equal(few.train.labels, labels)
        np.testing.assert_array_equal(few.test.windows, fold.test.windows)
        np.testing.assert_array_equal(few.validation.windows, fold.validation.windows)
    first, again, other = (few_windows(fold, 3, seed=seed).train.windows for seed in (1, 1, 2))
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, again)


def test_the_strictest_split_that_is_possible(recordings):
    assert strictest_split(recordings, 3)[:2] == ("group", 3)
    assert strictest_split(recordings, 3).notice == "the split is by group: no physical part is on both sides"
    # fewer folds rather than a weaker split
    assert strictest_split(recordings, 5)[:2] == ("group", 3)
    assert "(3 folds, not 5)" in strictest_split(recordings, 5).notice


@pytest.mark.parametrize(
    ("changed", "split", "reasons"),
    [
        ({"group": ""}, "condition", ["by group: a-0 has no group"]),
        ({"group": "one"}, "condition", ["by group: there are 1 groups of the class 'a', too few for 2 folds"]),
        ({"group": "", "condition": ""}, "recording", ["has no group", "by condition: all recordings are of one condition"]),
    ],
)
def test_a_weaker_split_says_why(recordings, changed, split, reasons):
    choice = strictest_split([dataclasses.replace(r, **changed) for r in recordings], 3)
    assert choice[:2] == (split, 3 if split == "recording" else choice.folds)
    for part in (*reasons, f"the split is by {split}", "both sides"):
        assert part in choice.notice
    make_folds(recordings, choice.split, window_length=LENGTH, train_stride=16, folds=choice.folds)


def test_one_recording_a_class_leaves_a_split_by_time(recordings):
    two = [dataclasses.replace(r, group="", condition="") for r in (recordings[0], recordings[-1])]
    choice = strictest_split(two, 3)
    assert choice[:2] == ("time", 3)
    assert "by recording: there are 1 recordings of the class 'a'" in choice.notice


def test_a_split_has_two_folds(recordings):
    with pytest.raises(ValueError, match="2 folds or more, got 1"):
        strictest_split(recordings, 1)


@pytest.mark.parametrize("length", [LENGTH, 2 * LENGTH, 3 * LENGTH - 1])
def test_short_recordings_are_held_out_whole(length):
    """Files of one to three windows, as those of a run to failure: a share of each class, and every window on one side."""
    rng = np.random.default_rng(0)
    found = [
        Recording(rng.normal(size=(length, 1)).astype(np.float32), label, 1000.0, name=f"{label}{number}")
        for label in "ab"
        for number in range(20)
    ]
    for fold in cut(found, "recording", folds=4, validation=0.2):
        sides = [set(side.recordings.tolist()) for side in (fold.train, fold.test, fold.validation)]
        assert [len(side) for side in sides] == [24, 10, 6]
        assert not any(one & other for one, other in itertools.combinations(sides, 2))
        assert [int(np.sum([found[i].label == "a" for i in side])) for side in sides] == [12, 5, 3]


def test_a_class_with_a_single_short_recording_is_told():
    rng = np.random.default_rng(0)
    found = [
        Recording(rng.normal(size=(LENGTH, 1)).astype(np.float32), label, 1000.0, name=f"{label}{number}")
        for label, count in (("a", 2), ("b", 20))
        for number in range(count)
    ]
    with pytest.raises(ValueError, match=r"no segment of a[01] is as long as a window"):
        cut(found, "recording", folds=2, validation=0.2)


@pytest.mark.parametrize("split", [split for split in SPLITS if split != "condition"])
def test_a_billion_folds_are_refused_at_once(recordings, split):
    with pytest.raises(ValueError, match="too few for 1000000000 folds"):
        cut(recordings, split, folds=10**9)


def test_a_choice_for_a_billion_folds_takes_those_there_are(recordings):
    assert strictest_split(recordings, 10**9)[:2] == strictest_split(recordings, len(recordings))[:2]


@pytest.mark.parametrize("length", [40, 1000])
def test_the_time_to_hold_out_grows_with_the_recordings_and_not_with_their_square(length):
    """Recordings of one window are held out whole, longer ones give up their end."""
    count = 40_000
    segments, labels = [Segment(i, 0, length) for i in range(count)], ["abcd"[i % 4] for i in range(count)]
    began = time.process_time()
    train, held_out = hold_out(segments, 0.2, 32, labels)
    assert time.process_time() - began < 5  # 0.2 s, and over a minute where each recording looks at all
    assert {s.recording for s in train} | {s.recording for s in held_out} == set(range(count))


@pytest.mark.parametrize("by", ["recording", "condition", "group"])
def test_whole_ones_are_held_out(recordings, by):
    """None is on both sides, every class is on both, and the test keeps what it had."""
    split = "recording" if by == "condition" else "condition"  # of two conditions one is left to train on
    belongs = [getattr(r, "name" if by == "recording" else by) for r in recordings]
    for with_validation, without in zip(
        cut(recordings, split, validation=0.2, validation_by=by), cut(recordings, split), strict=True
    ):
        train, held_out = (
            {belongs[i] for i in np.unique(side.recordings)} for side in (with_validation.train, with_validation.validation)
        )
        assert train
        assert held_out
        assert not train & held_out
        assert set(with_validation.validation.labels) == set(with_validation.train.labels) == {0, 1}
        np.testing.assert_array_equal(with_validation.test.windows, without.test.windows)
        # nothing is lost: there is no gap between recordings
        used = np.unique(np.concatenate([with_validation.train.recordings, with_validation.validation.recordings]))
        np.testing.assert_array_equal(used, np.unique(without.train.recordings))


def test_the_share_is_of_whole_ones_and_evenly_among_them(recordings):
    whole = [Segment(i, 0, 320) for i in range(12)]
    labels = [r.label for r in recordings]
    train, held_out = hold_out_whole(whole, 0.4, [r.name for r in recordings], labels, "recording")
    assert [s.recording for s in held_out] == [1, 3, 5, 7, 9, 11]  # 40 % of the six of each class are more than two
    assert len(train) == 6
    assert hold_out_whole(whole, 0.9, [r.group for r in recordings], labels, "group")[0]  # one of three parts is left
    assert hold_out_whole(whole, 0.0, [r.name for r in recordings], labels, "recording") == (whole, [])


def test_too_few_whole_ones_are_refused(recordings):
    with pytest.raises(ValueError, match="validation_by=condition: the class 'a' has 1 condition to train on, too few"):
        cut(recordings, "condition", validation=0.2, validation_by="condition")
    nameless = [dataclasses.replace(r, group="") for r in recordings]
    with pytest.raises(ValueError, match="validation_by=group: a recording has no group"):
        cut(nameless, "condition", validation=0.2, validation_by="group")
    with pytest.raises(ValueError, match="by group with the split by random-windows: choose time"):
        cut(recordings, "random-windows", validation=0.2, validation_by="group")
    with pytest.raises(ValueError, match="by name with the split by time: choose time, recording"):
        cut(recordings, "time", validation=0.2, validation_by="name")
