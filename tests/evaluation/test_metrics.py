"""Scores against scikit-learn, intervals against scipy and enumeration, sums that do not depend on the batch size."""

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics

from drsn_jax.evaluation.metrics import bootstrap_interval, confusion_matrix, macro_auroc, scores, t_interval
from drsn_jax.evaluation.prediction import evaluate, predict

NO_STATE: Any = None
# small counts, many of them 0: classes that do not occur, are never predicted, or neither
confusions = st.integers(2, 5).flatmap(lambda n: arrays(np.int64, (n, n), elements=st.sampled_from([0, 0, 0, 1, 2, 7])))
labelled = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 3), min_size=n, max_size=n).map(np.array),) * 2)
)


# --- scores


@given(confusions.filter(lambda confusion: confusion.sum() > 0))
def test_scores_are_those_of_scikit_learn(confusion):
    true, predicted = (np.repeat(index.ravel(), confusion.ravel()) for index in np.indices(confusion.shape))
    found = scores(confusion)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        balanced = metrics.balanced_accuracy_score(true, predicted)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    assert found.balanced_accuracy == pytest.approx(balanced)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(true, predicted, average="macro"))


@given(labelled, st.integers(0, 5))
def test_macro_auroc_is_the_mean_of_those_of_scikit_learn(pair, digits):
    """Each class that occurs and is not alone against the others; few digits make equal scores."""
    labels = pair[0]
    values = np.round(np.random.default_rng(len(labels)).random((len(labels), 4)), digits)
    areas: Any = [metrics.roc_auc_score(labels == c, values[:, c]) for c in range(4) if 0 < np.sum(labels == c) < len(labels)]
    found = macro_auroc(values, labels)
    assert found == pytest.approx(np.mean(areas)) if areas else math.isnan(found)


def test_macro_auroc_does_not_see_a_shift_of_one_class():
    values, labels = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]]), np.array([0, 0, 1, 1])
    assert macro_auroc(values, labels) == 1
    assert macro_auroc(np.add(values, [0, 5]), labels) == 1
    assert macro_auroc(np.zeros((4, 2)), labels) == 0.5
    for bad in (np.zeros((3, 2)), np.zeros(4), np.full((4, 2), np.nan)):
        with pytest.raises(ValueError, match="the scores of 4 examples"):
            macro_auroc(bad, labels)


def test_scores_of_a_known_confusion():
    found = scores(np.array([[8, 2, 0], [0, 0, 0], [1, 0, 1]]))
    assert found.accuracy == pytest.approx(9 / 12)
    assert found.balanced_accuracy == pytest.approx((0.8 + 0.5) / 2)
    assert found.macro_f1 == pytest.approx((16 / 19 + 0 + 2 / 3) / 3)


def test_scores_take_weighted_counts():
    confusion = np.array([[3, 1], [2, 4]])
    assert scores(0.25 * confusion) == pytest.approx(scores(confusion))


@given(labelled)
def test_confusion_matrix_is_that_of_scikit_learn(pair):
    true, predicted = pair
    found = confusion_matrix(true, predicted, 4)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, metrics.confusion_matrix(true, predicted, labels=range(4)))


# --- sums over batches


def counting(seen):
    """A step that sums what it is given; the numbers are exact."""

    def step(variables, batch):
        weights = batch["weights"]
        seen.append({name: values.shape for name, values in batch.items()})
        confusion = np.zeros((3, 3), np.float32)
        np.add.at(confusion, (batch["labels"], batch["labels"]), weights)
        return {"loss": weights @ batch["windows"][:, 0, 0], "count": weights.sum(), "confusion": confusion}

    return step


@given(st.integers(1, 40), st.integers(1, 50))
def test_sums_do_not_depend_on_the_batch_size(examples, batch_size):
    windows = 1 + np.arange(examples, dtype=np.float32).reshape(-1, 1, 1)
    labels, seen = np.arange(examples) % 3, []
    found = evaluate(counting(seen), NO_STATE, windows, labels, batch_size=batch_size)
    assert found["loss"] == windows.sum()
    assert found["count"] == examples
    np.testing.assert_array_equal(found["confusion"], np.diag(np.bincount(labels, minlength=3)))
    shapes = {"windows": (batch_size, 1, 1), "labels": (batch_size,), "weights": (batch_size,)}
    assert seen == [shapes] * math.ceil(examples / batch_size)


def test_evaluation_places_its_batches():
    seen, placed = [], []
    place = lambda batch: placed.append(1) or batch  # noqa: E731
    evaluate(counting(seen), NO_STATE, np.ones((5, 2, 1), np.float32), np.zeros(5, int), batch_size=2, place=place)
    assert len(placed) == len(seen) == 3


def test_evaluation_needs_windows():
    with pytest.raises(ValueError, match="no windows to evaluate on"):
        evaluate(counting([]), NO_STATE, np.empty((0, 4, 1)), np.empty(0, int))


@given(st.integers(1, 40), st.integers(1, 50))
def test_predictions_do_not_depend_on_the_batch_size(examples, batch_size):
    windows = np.random.default_rng(0).normal(size=(examples, 3, 1))
    seen = []

    def step(state, part):
        seen.append(len(part))
        return 2 * part[:, :, 0]

    np.testing.assert_array_equal(predict(step, NO_STATE, windows, batch_size), 2 * windows[:, :, 0])
    assert set(seen) == {batch_size}


# --- intervals


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_t_interval_is_that_of_scipy(values):
    found = t_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    if np.ptp(values) > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high), abs=1e-9)


def test_t_interval_by_hand():
    found = t_interval([1, 2, 3])
    assert found.mean == 2
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3))


def test_a_single_value_has_no_interval():
    assert t_interval([3]).mean == 3
    assert math.isnan(t_interval([3]).half_width)


def test_bootstrap_is_the_enumeration_of_all_samples():
    """All 5⁵ samples with replacement of recordings with unequal numbers of windows."""
    values, counts = np.array([0.9, 0.4, 0.75, 0.1, 0.6]), np.array([10, 80, 30, 5, 40])
    chosen = np.array(list(itertools.product(range(5), repeat=5)))
    means = (values * counts)[chosen].sum(1) / counts[chosen].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    found = bootstrap_interval(values.tolist(), counts.tolist(), draws=20_000)
    assert found.mean == pytest.approx(values @ counts / counts.sum())
    assert found.half_width == pytest.approx((high - low) / 2, rel=0.05)


def test_bootstrap_covers_the_truth():
    """95 % asked for; with 40 recordings a percentile bootstrap gives a little less."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        found = bootstrap_interval(rng.normal(3, 1, 40).tolist(), [7] * 40, seed=trial, draws=400)
        covered += abs(found.mean - 3) <= found.half_width
    assert 0.9 <= covered / 400 <= 0.975


def test_bootstrap_is_decided_by_its_seed():
    values, counts = np.random.default_rng(1).uniform(size=30).tolist(), [1] * 30
    assert bootstrap_interval(values, counts) == bootstrap_interval(values, counts)
    assert bootstrap_interval(values, counts) != bootstrap_interval(values, counts, seed=1)


def test_bootstrap_of_equal_values_is_a_point():
    assert bootstrap_interval([0.5] * 4, [1, 2, 3, 4]) == (0.5, 0)


def test_a_single_recording_gives_no_interval():
    assert np.isnan(bootstrap_interval([0.5], [10]).half_width)
