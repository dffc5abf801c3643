"""Sets of classes: the promised coverage, what they hold, few held-out windows, and the set of a recording."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.conformal import (
    FEWEST,
    MOST,
    covered_share,
    fit_surprises,
    highest_surprise,
    majority_set,
    prediction_sets,
    surprises,
)


def windows(count, seed, *, sharpness=2.0, classes=4):
    """Probabilities that are as unreliable as those of an overconfident network, and the classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = sharpness * (rng.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels])
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True), labels


def fitted(probabilities, labels):
    found = fit_surprises(probabilities, labels)
    assert found is not None
    return found


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.975])
@pytest.mark.parametrize("sharpness", [1.0, 8.0])
def test_sets_hold_the_true_class_as_often_as_was_asked_for(coverage, sharpness):
    """For a good and for an overconfident network, in the mean over draws of both sides; 95 means 95 ± 1."""
    shares = []
    for seed in range(40):
        held_out = fitted(*windows(400, seed, sharpness=sharpness))
        probabilities, labels = windows(2000, 1000 + seed, sharpness=sharpness)
        shares.append(prediction_sets(probabilities, held_out, coverage)[np.arange(2000), labels].mean())
    assert coverage - 0.005 < np.mean(shares) < coverage + 0.01


@given(seed=st.integers(0, 99), coverage=st.floats(0.05, 0.99), other=st.floats(0.05, 0.99))
def test_a_set_holds_the_most_probable_classes_and_grows_with_the_coverage(seed, coverage, other):
    held_out, (probabilities, _) = fitted(*windows(200, seed)), windows(50, seed + 1)
    small, large = (prediction_sets(probabilities, held_out, share) for share in sorted((coverage, other)))
    assert not np.any(small & ~large)
    least_inside = np.where(small, probabilities, np.inf).min(1)
    most_outside = np.where(small, -np.inf, probabilities).max(1)
    assert np.all(least_inside >= most_outside)


def test_the_rank_is_that_of_split_conformal_prediction():
    held_out = np.arange(1.0, 100)  # 99 of them
    assert highest_surprise(held_out, 0.95) == 95  # (99 + 1) · 0.95, which is 95 in decimals and a little more in binary
    assert highest_surprise(held_out, 0.951) == 96
    assert highest_surprise(held_out[::-1], 0.95) == 95
    assert highest_surprise(held_out, 0.995) == math.inf
    assert prediction_sets(np.full((1, 3), 1 / 3), held_out, 0.995).all()


def test_sure_networks_give_empty_sets_for_what_they_do_not_know():
    """True classes had 99 %: a window with 60 and 40 % fits none."""
    held_out = fitted(np.tile([0.99, 0.01], (100, 1)), np.zeros(100, int))
    sets = prediction_sets([[0.995, 0.005], [0.6, 0.4]], held_out, 0.95)
    assert sets.tolist() == [[True, False], [False, False]]


def test_how_often_sets_hold_the_true_class_and_how_large_they_are():
    held_out = fitted(np.tile([0.8, 0.1, 0.1], (100, 1)), np.zeros(100, int))
    probabilities = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.6, 0.3, 0.1]]
    assert covered_share(probabilities, [0, 0, 0], held_out, 0.95) == pytest.approx((1 / 3, 2 / 3))


def test_numbers_at_the_ends_stay_finite():
    found = surprises([[0.0, 1.0, 1 + 1e-6]])
    assert np.isfinite(found).all()
    assert found[0, 0] > 80
    assert found[0, 1] == found[0, 2] == 0


def test_few_held_out_windows_promise_nothing_and_of_many_some_are_kept():
    assert fit_surprises(*windows(FEWEST - 1, 0)) is None
    assert math.isfinite(highest_surprise(fitted(*windows(FEWEST, 0)), 0.975))
    many = fitted(*windows(MOST + 1000, 0))
    assert len(many) == MOST
    assert np.all(np.diff(many) >= 0)
    np.testing.assert_array_equal(many, fitted(*windows(MOST + 1000, 0)))
    # what was kept is like what was not
    assert highest_surprise(many, 0.9) == pytest.approx(highest_surprise(fitted(*windows(MOST, 1)), 0.9), rel=0.1)


def test_what_is_no_number_or_does_not_fit_is_refused():
    probabilities, labels = windows(50, 0)
    with pytest.raises(UserError, match="not finite: the training has diverged"):
        fit_surprises(np.where(probabilities > 0.9, np.nan, probabilities), labels)
    with pytest.raises(UserError, match=r"got \(50, 4\) and \(49,\)"):
        fit_surprises(probabilities, labels[1:])
    with pytest.raises(UserError, match="not finite"):
        prediction_sets([[np.nan, 0.5]], fitted(probabilities, labels))
    for coverage in (0, 1, -0.1, 95, math.nan):
        with pytest.raises(UserError, match="a share above 0 and below 1"):
            prediction_sets(probabilities, fitted(probabilities, labels), coverage)


def test_the_set_of_a_recording_is_that_of_more_than_half_of_its_windows():
    assert majority_set(np.array([[1, 0, 1], [1, 1, 0], [1, 1, 0], [0, 0, 0]], bool)).tolist() == [True, False, False]


@given(seed=st.integers(0, 20), alike=st.floats(0, 1))
def test_recordings_keep_their_promise_however_alike_their_windows_are(seed, alike):
    """Windows at 97.5 % make recordings of at least 95 %; with equal windows all stand or fall together. The held-out windows are
    single draws here: where they are many of a few recordings, this is a promise of those recordings alone."""
    held_out = fitted(*windows(800, seed))
    rng = np.random.default_rng(seed)
    right = []
    for number in range(200):
        probabilities, labels = windows(9, 10_000 * (seed + 1) + number, classes=4)
        own = np.flatnonzero(labels == labels[0])
        copied = np.where(rng.random(9) < alike, 0, rng.choice(own, 9))
        right.append(majority_set(prediction_sets(probabilities[copied], held_out, 0.975))[labels[0]])
    assert np.mean(right) > 0.92  # three standard deviations of 200 recordings below 95 %, and one draw of the held-out side
