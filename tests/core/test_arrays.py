"""What users hand in as windows and labels: taken by position, and refused where it cannot be meant."""

import functools

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.arrays import as_labels, as_windows, rounded
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.inspection import pooled_features
from drsn_jax.evaluation.metrics import confusion_matrix, cross_entropy, expected_calibration_error
from drsn_jax.evaluation.noise_grids import noise_grid
from drsn_jax.evaluation.prediction import evaluate, predict
from drsn_jax.training.batches import Batches
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import balanced_class_weights

WINDOWS, LABELS = tiny.tones(12)


class Table:
    """Labels of a table after a shuffle, as a pandas Series holds them: indexed by its own index, an array by position."""

    def __init__(self, values, index):
        self.values, self.index = np.asarray(values), list(index)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)

    def __getitem__(self, key):
        return np.array([self.values[self.index.index(i)] for i in np.ravel(key)])


@given(st.permutations(range(12)))
def test_labels_belong_to_windows_by_position(index):
    batch = next(Batches(WINDOWS, Table(LABELS, index), 12, seed=1).epoch(1))
    plain = next(Batches(WINDOWS, LABELS, 12, seed=1).epoch(1))
    np.testing.assert_array_equal(batch["labels"], plain["labels"])
    np.testing.assert_array_equal(batch["windows"], plain["windows"])


def test_lists_are_arrays():
    batch = next(Batches(WINDOWS.tolist(), LABELS.tolist(), 12).epoch(1))
    np.testing.assert_array_equal(batch["labels"], next(Batches(WINDOWS, LABELS, 12).epoch(1))["labels"])
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(LABELS, index=np.arange(12)[::-1])
    for labels in (series, series.astype("Int64"), series.astype("category")):
        np.testing.assert_array_equal(as_labels(labels, 12, 3), LABELS)


ENTRIES = {
    "evaluate": lambda labels: evaluate(tiny.eval_step, tiny.variables(), WINDOWS, labels, batch_size=12),
    "noise_grid": lambda labels: noise_grid(tiny.network, tiny.variables(), WINDOWS, labels, ("gaussian",), (0.0,)),
    "confusion_matrix": lambda labels: confusion_matrix(labels, LABELS, 3),
    "balanced_class_weights": lambda labels: balanced_class_weights(labels, 3),
    "cross_entropy": lambda labels: cross_entropy(np.zeros((12, 3)), labels),
    "expected_calibration_error": lambda labels: expected_calibration_error(np.full((12, 3), 1 / 3), labels),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (LABELS + 1, "labels are integers from 0.*, got int32 from 1 to 3"),
        (LABELS - 1, "labels are integers from 0.*, got int32 from -1 to 1"),
        (
            np.array(["healthy", "inner", "outer"])[LABELS],
            "got <U7 '.*', '.*', '.*', …: numpy.unique.labels, return_inverse=True",
        ),
        (LABELS / 1, "got float64 from 0.0 to 2.0"),
        (LABELS[:, None], r"12 windows need a label each, an array .12,., got the shape .12, 1."),
        (np.array([None] * 12), "got object None, None, None"),
    ],
)
def test_labels_that_are_no_classes_are_refused_everywhere(entry, labels, found):
    with pytest.raises(UserError, match=found):
        ENTRIES[entry](labels)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_step_of_ones_own_stops_at_a_label_that_is_no_class(label):
    """Its loss is not a number: -1 is not the last class."""
    labels = np.array([label, *LABELS[1:]])
    metrics = tiny.eval_step(tiny.variables(), {"windows": WINDOWS, "labels": labels, "weights": np.ones(12, np.float32)})
    assert np.isnan(metrics["loss"])
    assert metrics["confusion"].sum() == 11


CHANNELS_FIRST = WINDOWS.swapaxes(1, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Batches(CHANNELS_FIRST, LABELS, 4),
        lambda: create_state(tiny.network, tiny.optimizer, jax.random.key(0), CHANNELS_FIRST),
        lambda: evaluate(tiny.eval_step, tiny.variables(), CHANNELS_FIRST, LABELS),
        lambda: predict(lambda variables, windows: windows, {}, CHANNELS_FIRST),
        lambda: noise_grid(tiny.network, tiny.variables(), CHANNELS_FIRST, LABELS),
        lambda: pooled_features(tiny.network, tiny.variables(), CHANNELS_FIRST),
    ],
)
def test_channels_before_positions_are_refused(call):
    with pytest.raises(UserError, match=r"shape \(12, 1, 64\), which looks like .*numpy\.moveaxis\(windows, 1, -1\)"):
        call()


def test_which_axes_look_swapped():
    empty = functools.partial(np.empty, dtype=np.float32)
    for shape in ((5, 64, 3), (5, 8, 8), (5, 32, 32, 3), (5, 4, 4, 64), (5, 9, 9, 200), (5, 4, 4, 4, 8), (5, 8)):
        as_windows(empty(shape))
    for shape in ((5, 3, 12), (5, 1, 2048), (5, 3, 32, 32), (5, 1, 16, 64), (5, 1, 8, 8, 8)):
        with pytest.raises(UserError, match="which looks like"):
            as_windows(empty(shape))
    with pytest.warns(UserWarning, match=r"shape \(5, 64, 128\), which looks like"):
        as_windows(empty((5, 64, 128)))


@pytest.mark.parametrize(("offset", "kind"), [(1e8, np.float64), (-(2.0**40), np.float64), (2**30, np.int32), (2**62, np.uint64)])
def test_a_large_offset_is_subtracted_before_rounding(offset, kind):
    small = np.random.default_rng(0).integers(-20, 20, (3, 50, 2))
    windows = np.array([[[int(offset) + int(v) for v in row] for row in window] for window in small], kind)
    np.testing.assert_array_equal(rounded(windows), small - small[:, :1])
    mixed = np.concatenate([windows[..., :1], small[..., 1:].astype(kind) + 500], -1) if kind == np.float64 else None
    if mixed is not None:
        np.testing.assert_array_equal(rounded(mixed)[..., 1], small[..., 1] + 500)
    np.testing.assert_array_equal(rounded(small / 3), (small / 3).astype(np.float32))
    assert rounded(small.astype(np.int16)).dtype == np.float32


def test_one_kind_of_noise_needs_no_list():
    grid = noise_grid(tiny.network, tiny.variables(), WINDOWS, LABELS, "gaussian", (0.0,))
    assert grid.kinds == ("gaussian",)
