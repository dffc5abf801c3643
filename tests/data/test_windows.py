"""Windows and splits: what is cut where, and that no sample, recording or part is ever on both sides."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.data.recordings import Recording, class_names, read_recordings
from drsn_jax.data.splits import (
    Segment,
    folds_by_condition,
    folds_by_group,
    folds_by_recording,
    folds_by_time,
    random_window_folds,
    split_by_condition,
)
from drsn_jax.data.windows import cut_windows


def recording(label="a", length=100, condition="", group="", name="", channels=1):
    """A signal that says in every sample where it is: sample t of channel c is t + c/2."""
    signal = np.arange(length)[:, None] + np.arange(channels) / 2
    return Recording(signal.astype(np.float32), label, 100.0, condition, group, name)


def grid(labels="ab", conditions=("slow", "fast"), repeats=3, length=100, seed=None):
    """Recordings of every class and condition, in a group for each class and repeat; a seed shuffles them."""
    recordings = [
        recording(label, length, condition, f"{label}{k}", f"{label}-{condition}-{k}")
        for label, condition in itertools.product(labels, conditions)
        for k in range(repeats)
    ]
    order = range(len(recordings)) if seed is None else np.random.default_rng(seed).permutation(len(recordings))
    return [recordings[i] for i in order]


def samples(segments):
    return [(i, t) for i, start, stop in segments for t in range(start, stop)]


def of(segments):
    return {s.recording for s in segments}


grids = st.builds(
    grid,
    labels=st.sampled_from(["ab", "abc", "ba"]),
    conditions=st.sampled_from([("slow", "fast"), ("1", "2", "3")]),
    repeats=st.integers(3, 5),
    length=st.integers(60, 90),
    seed=st.integers(0, 99),
)


# --- windows


def test_windows_are_the_samples_that_they_say():
    recordings = [recording("x", 50), recording("y", 30, channels=1)]
    cut = cut_windows(recordings, [Segment(1, 3, 30), Segment(0, 10, 25)], length=8, stride=5)
    assert cut.classes == ("x", "y")
    np.testing.assert_array_equal(cut.starts, [3, 8, 13, 18, 10, 15])
    np.testing.assert_array_equal(cut.recordings, [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(cut.labels, [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(cut.windows[..., 0], cut.starts[:, None] + np.arange(8))
    assert cut.windows.shape == (6, 8, 1)
    assert (cut.windows.dtype, cut.labels.dtype, cut.recordings.dtype) == (np.float32, np.int32, np.int32)


def test_channels_stay_last():
    cut = cut_windows([recording(channels=3)], [Segment(0, 0, 100)], length=4, stride=50)
    assert cut.windows.shape == (2, 4, 3)
    np.testing.assert_array_equal(cut.windows[1], np.arange(50, 54)[:, None] + np.array([0, 0.5, 1]))


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_windows_are_float32_whatever_the_recordings(dtype):
    r = Recording(np.arange(20, dtype=dtype)[:, None], "a", 100.0)
    cut = cut_windows([r], [Segment(0, 0, 20)], length=10, stride=10)
    assert cut.windows.dtype == np.float32
    np.testing.assert_array_equal(cut.windows.ravel(), np.arange(20))


def test_windows_are_a_copy_of_the_recordings():
    r = recording()
    cut = cut_windows([r], [Segment(0, 0, 100)], length=10, stride=5)
    cut.windows[:] = -1
    assert r.signal[5, 0] == 5
    assert cut.windows.flags.c_contiguous


@given(
    parts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), min_size=1, max_size=4),
    length=st.integers(1, 30),
    stride=st.integers(1, 40),
)
def test_every_window_that_fits_and_none_that_does_not(parts, length, stride):
    recordings = [recording(length=100) for _ in parts]
    segments = [Segment(i, start, start + size) for i, (start, size) in enumerate(parts)]
    expected = [(i, start) for i, a, b in segments for start in range(a, b, stride) if start + length <= b]
    if len({i for i, _ in expected}) < len(parts):
        with pytest.raises(ValueError, match="as long as a window"):
            cut_windows(recordings, segments, length, stride)
        return
    cut = cut_windows(recordings, segments, length, stride)
    assert list(zip(cut.recordings.tolist(), cut.starts.tolist(), strict=True)) == expected
    np.testing.assert_array_equal(cut.windows[..., 0], cut.starts[:, None] + np.arange(length))


def test_classes_are_in_order_of_appearance_and_those_of_all_recordings():
    recordings = [recording("healthy"), recording("crack"), recording("healthy"), recording("broken")]
    assert class_names(recordings) == ("healthy", "crack", "broken")
    cut = cut_windows(recordings, [Segment(3, 0, 100)], 100, 1)
    assert cut.classes == ("healthy", "crack", "broken")
    np.testing.assert_array_equal(cut.labels, [2])


def test_given_classes_set_the_numbers():
    recordings = [recording("a"), recording("b")]
    segments = [Segment(0, 0, 100), Segment(1, 0, 100)]
    cut = cut_windows(recordings, segments, 100, 1, classes=["c", "b", "a"])
    assert cut.classes == ("c", "b", "a")
    np.testing.assert_array_equal(cut.labels, [2, 1])
    with pytest.raises(ValueError, match=r"recording 1 is labelled 'b', expected one of \('a', 'c'\)"):
        cut_windows(recordings, segments, 100, 1, classes=["a", "c"])


def test_a_short_segment_is_dropped_while_its_recording_has_another():
    cut = cut_windows([recording()], [Segment(0, 0, 9), Segment(0, 50, 60)], 10, 1)
    np.testing.assert_array_equal(cut.starts, [50])


def test_a_recording_never_vanishes_silently():
    recordings = [recording(), recording(name="short.mat")]
    with pytest.raises(ValueError, match=r"no segment of short\.mat is as long as a window of 10 samples"):
        cut_windows(recordings, [Segment(0, 0, 100), Segment(1, 0, 9), Segment(1, 91, 100)], 10, 1)


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (1, 0), (10, -1)])
def test_refuses_lengths_and_strides_below_one(length, stride):
    with pytest.raises(ValueError, match=f"at least 1 sample, got {length} and {stride}"):
        cut_windows([recording()], [Segment(0, 0, 100)], length, stride)


@pytest.mark.parametrize(("start", "stop"), [(0, 101), (-1, 50), (50, 50), (60, 50)])
def test_refuses_segments_beyond_the_recording(start, stop):
    with pytest.raises(ValueError, match=rf"segment \[{start}, {stop}\) is not within the 100 samples of x\.mat"):
        cut_windows([recording(name="x.mat")], [Segment(0, start, stop)], 10, 1)


def test_refuses_no_segments():
    with pytest.raises(ValueError, match="no segments"):
        cut_windows([recording()], [], 10, 1)


# --- splits: what holds for all of them

SPLITTERS = {
    "condition": lambda recordings, folds, gap: folds_by_condition(recordings),
    "group": lambda recordings, folds, gap: folds_by_group(recordings, folds),
    "recording": lambda recordings, folds, gap: folds_by_recording(recordings, folds),
    "time": lambda recordings, folds, gap: folds_by_time(recordings, folds, gap),
}


@pytest.mark.parametrize("kind", SPLITTERS)
@given(recordings=grids, folds=st.integers(2, 3), gap=st.integers(0, 15))
def test_no_sample_is_on_both_sides_and_each_is_tested_once(kind, recordings, folds, gap):
    splits = SPLITTERS[kind](recordings, folds, gap)
    everything = samples([Segment(i, 0, len(r.signal)) for i, r in enumerate(recordings)])
    assert sorted(t for split in splits for t in samples(split.test)) == everything
    for split in splits:
        train, test = samples(split.train), samples(split.test)
        assert not set(train) & set(test)
        assert len(set(train)) == len(train)
        # nothing is lost but gaps
        lost = len(everything) - len(train) - len(test)
        assert lost == 0 if kind != "time" or gap == 0 else 0 < lost <= 2 * gap * len(recordings)
        for side in split:
            assert {recordings[i].label for i in of(side)} == set(class_names(recordings))


@pytest.mark.parametrize("kind", SPLITTERS)
@given(
    recordings=grids,
    folds=st.integers(2, 3),
    gap=st.integers(0, 9),
    length=st.integers(1, 12),
    strides=st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
def test_no_sample_is_in_windows_of_both_sides_whatever_the_strides(kind, recordings, folds, gap, length, strides):
    for split in SPLITTERS[kind](recordings, folds, gap):
        used = []
        for side, stride in zip(split, strides, strict=True):
            cut = cut_windows(recordings, side, length, stride)
            used.append(
                {
                    (i, start + t)
                    for i, start in zip(cut.recordings.tolist(), cut.starts.tolist(), strict=True)
                    for t in range(length)
                }
            )
        assert not used[0] & used[1]


def test_the_property_above_can_fail():
    # random windows of the same recordings do share samples
    cut = cut_windows(grid(), [Segment(i, 0, 100) for i in range(12)], 20, 10)
    train, test = random_window_folds(cut.labels, 2, seed=0)[0]
    sides = [{(cut.recordings[n], cut.starts[n] + t) for n in side for t in range(20)} for side in (train, test)]
    assert sides[0] & sides[1]


# --- by condition


def test_one_condition_is_tested_and_the_others_trained():
    recordings = grid(conditions=("0 hp", "1 hp", "3 hp"), repeats=1)
    split = split_by_condition(recordings, "3 hp")
    assert split.train == [Segment(i, 0, 100) for i in (0, 1, 3, 4)]
    assert split.test == [Segment(i, 0, 100) for i in (2, 5)]
    assert folds_by_condition(recordings) == [split_by_condition(recordings, c) for c in ("0 hp", "1 hp", "3 hp")]


def test_unknown_condition_lists_those_there():
    with pytest.raises(ValueError, match=r"condition '4 hp', choose one of \['slow', 'fast'\]"):
        split_by_condition(grid(), "4 hp")


def test_a_class_that_is_missing_under_a_condition_is_named():
    recordings = [*grid("ab"), recording("c", condition="slow")]
    with pytest.raises(ValueError, match="condition 'fast': the class 'c' has no recording to test on"):
        split_by_condition(recordings, "fast")
    with pytest.raises(ValueError, match="condition 'slow': the class 'c' has no recording to train on"):
        split_by_condition(recordings, "slow")


def test_a_single_condition_leaves_nothing_to_train_on():
    with pytest.raises(ValueError, match="all recordings are of one condition, 'slow'"):
        folds_by_condition(grid(conditions=("slow",)))


# --- by group


@given(seed=st.integers(0, 99))
def test_groups_stay_together_and_every_fold_has_one_of_each_class(seed):
    recordings = grid("ab", repeats=3, seed=seed)
    splits = folds_by_group(recordings, 3)
    for split in splits:
        groups = [{recordings[i].group for i in of(side)} for side in split]
        assert not groups[0] & groups[1]
        assert sorted(g[0] for g in groups[1]) == ["a", "b"]
        assert len(of(split.test)) == 4


def test_a_part_recorded_healthy_and_faulty_stays_on_one_side():
    parts = [
        ("healthy", "p1"),
        ("fault", "p1"),
        ("healthy", "p2"),
        ("fault", "p2"),
        ("fault", "p3"),
        ("healthy", "p4"),
    ]
    recordings = [recording(label, group=part) for label, part in parts]
    for split in folds_by_group(recordings, 2):
        sides = [{recordings[i].group for i in of(side)} for side in split]
        assert not sides[0] & sides[1]


def test_groups_of_several_labels_that_cannot_be_dealt_evenly_are_refused():
    # each class has two of these three parts, one class both of them in one fold
    recordings = [recording(label, group=part) for part in ("ab", "ac", "bc") for label in part]
    with pytest.raises(ValueError, match="fold 0: the class 'b' has no recording to train on"):
        folds_by_group(recordings, 2)


def test_too_few_groups_for_the_folds():
    recordings = [*grid("ab", repeats=3), *grid("c", repeats=2)]
    with pytest.raises(ValueError, match="there are 2 groups of the class 'c', too few for 3 folds"):
        folds_by_group(recordings, 3)


def test_a_recording_without_a_group_is_named():
    with pytest.raises(ValueError, match=r"x\.mat has no group"):
        folds_by_group([*grid(), recording(name="x.mat")], 2)


# --- by recording


@given(repeats=st.integers(2, 5), labels=st.sampled_from(["ab", "abc"]), seed=st.integers(0, 99))
def test_with_as_many_recordings_a_cell_as_folds_each_fold_tests_one_of_each_cell(repeats, labels, seed):
    recordings = grid(labels, repeats=repeats, seed=seed)
    for split in folds_by_recording(recordings, repeats):
        cells = sorted((recordings[i].label, recordings[i].condition) for i in of(split.test))
        assert cells == sorted(itertools.product(labels, ("slow", "fast")))


@given(counts=st.lists(st.integers(3, 9), min_size=2, max_size=4), folds=st.integers(2, 3))
def test_folds_of_recordings_are_even_within_classes_and_over_all(counts, folds):
    recordings = [recording(f"class {c}", condition=str(k % 2)) for c, n in enumerate(counts) for k in range(n)]
    tests = [of(split.test) for split in folds_by_recording(recordings, folds)]
    assert max(map(len, tests)) - min(map(len, tests)) <= 1
    for name in class_names(recordings):
        sizes = [sum(recordings[i].label == name for i in test) for test in tests]
        assert max(sizes) - min(sizes) <= 1


def test_too_few_recordings_for_the_folds():
    with pytest.raises(ValueError, match="there are 1 recordings of the class 'c', too few for 2 folds"):
        folds_by_recording([*grid(), recording("c")], 2)


# --- by time


def test_the_last_fold_trains_on_what_came_before():
    split = folds_by_time([recording(length=100), recording("b", length=41)], 4, gap=7)[-1]
    assert split.train == [Segment(0, 0, 68), Segment(1, 0, 23)]
    assert split.test == [Segment(0, 75, 100), Segment(1, 30, 41)]


def test_a_middle_fold_has_a_gap_on_both_sides():
    split = folds_by_time([recording(length=90)], 3, gap=10)[1]
    assert split.train == [Segment(0, 0, 20), Segment(0, 70, 90)]
    assert split.test == [Segment(0, 30, 60)]


@given(length=st.integers(40, 200), folds=st.integers(2, 6), gap=st.integers(0, 15))
def test_the_gap_is_between_every_training_and_test_sample(length, folds, gap):
    for split in folds_by_time([recording(length=length)], folds, gap):
        train, test = np.array(samples(split.train))[:, 1], np.array(samples(split.test))[:, 1]
        distance = np.abs(train[:, None] - test).min()
        # as wide as asked, and not wider
        assert distance == gap + 1
        assert length // folds <= len(test) <= length // folds + 1


def test_a_gap_that_leaves_nothing_to_train_on():
    with pytest.raises(ValueError, match=r"gap of 50 samples leaves nothing to train on of the 100 of x\.mat in fold 0"):
        folds_by_time([recording(length=1000), recording(name="x.mat")], 2, gap=50)


def test_a_negative_gap():
    with pytest.raises(ValueError, match="not negative, got -1"):
        folds_by_time(grid(), 2, gap=-1)


def test_more_folds_than_samples():
    with pytest.raises(ValueError, match="there are 100 samples of a-slow-0, too few for 101 folds"):
        folds_by_time(grid(), 101, gap=0)


# --- random windows


@given(
    counts=st.lists(st.integers(5, 30), min_size=2, max_size=4),
    folds=st.integers(2, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_windows_are_stratified_and_tested_once(counts, folds, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    splits = random_window_folds(labels, folds, seed)
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(len(labels)))
    for train, test in splits:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
        for name, count in enumerate(counts):
            assert np.sum(labels[test] == name) in (count // folds, count // folds + 1)
        assert len(test) in (len(labels) // folds, len(labels) // folds + 1)
        for side in (train, test):
            assert (np.diff(side) > 0).all()


def test_the_seed_makes_the_folds():
    labels = np.repeat([0, 1], 50)
    first, again, other = (random_window_folds(labels, 5, seed)[0][1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # a shuffle: no fold is every fifth window
    assert len(set(np.diff(first).tolist())) > 1


def test_random_windows_of_a_list_of_names():
    train, test = random_window_folds(["a", "b", "a", "b"], 2, seed=0)[0]
    assert len(train) == len(test) == 2
    with pytest.raises(ValueError, match="there are 1 windows of the class b, too few for 2 folds"):
        random_window_folds(["a", "b", "a"], 2, seed=0)


@pytest.mark.parametrize("folds", [1, 0, -3])
def test_fewer_than_two_folds(folds):
    for call in (
        lambda: folds_by_group(grid(), folds),
        lambda: folds_by_recording(grid(), folds),
        lambda: folds_by_time(grid(), folds, 0),
        lambda: random_window_folds(np.zeros(9, int), folds, 0),
    ):
        with pytest.raises(ValueError, match=f"2 folds or more, got {folds}"):
            call()


# --- real recordings


def test_cwru_by_load_and_by_time(data_folder):
    recordings = read_recordings(data_folder / "cwru" / "drive_end_12k" / "recordings.csv")
    split = split_by_condition(recordings, "3 hp")
    assert (len(split.train), len(split.test)) == (27, 9)
    train = cut_windows(recordings, split.train, 2048, 512)
    test = cut_windows(recordings, split.test, 2048, 2048)
    assert len(train.windows) == sum((len(recordings[i].signal) - 2048) // 512 + 1 for i in of(split.train))
    assert train.classes == test.classes
    assert len(train.classes) == 9
    assert np.bincount(test.labels).tolist() == [len(recordings[i].signal) // 2048 for i in sorted(of(split.test))]
    n = len(test.windows) - 1
    r, start = recordings[test.recordings[n]], test.starts[n]
    np.testing.assert_array_equal(test.windows[n], r.signal[start : start + 2048])
    for fold in folds_by_time(recordings, 5, 2048):
        assert len(cut_windows(recordings, fold.test, 2048, 2048).windows) >= 36 * 11
