"""Temperatures and calibration errors, against cases that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.evaluation.metrics import expected_calibration_error, fit_temperature, softmax


def drawn(count, temperature, seed=0):
    """Logits that are ``temperature`` times too sure for labels drawn from what they mean."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 4)) * 2
    labels = (np.cumsum(softmax(logits), 1) > rng.random((count, 1))).argmax(1)
    return logits * temperature, labels


def test_softmax():
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]])), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(2 * np.log([[1.0, 3.0]]), 2.0), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(np.array([[1e4, -1e4]])), [[1, 0]])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_the_temperature_of_the_labels_is_found(temperature):
    assert fit_temperature(*drawn(4000, temperature)) == pytest.approx(temperature, rel=0.1)


@given(st.integers(0, 20))
def test_a_fitted_temperature_is_never_worse(seed):
    logits, labels = drawn(50, 3.0, seed)
    targets = np.where(np.arange(4) == labels[:, None], 51 / 52, 1 / 52 / 3)  # Platt's
    loss = lambda t: -np.mean(np.sum(targets * np.log(softmax(logits, t)), 1))  # noqa: E731
    assert loss(fit_temperature(logits, labels)) <= loss(1.0) + 1e-9


@pytest.mark.parametrize("count", [3, 12, 60, 600])
@pytest.mark.parametrize("scale", [0.0, 0.2, 1.0])
def test_examples_that_are_all_right_show_no_more_than_their_number(count, scale):
    rng, labels = np.random.default_rng(0), np.arange(count) % 3
    logits = 3.0 * np.eye(3)[labels] + scale * rng.uniform(-1, 1, size=(count, 3))
    assert (logits.argmax(1) == labels).all()
    temperature = fit_temperature(logits, labels)
    confidence = softmax(logits, temperature).max(1).mean()
    assert confidence <= (count + 1) / (count + 2) + 1e-9
    assert confidence == pytest.approx((count + 1) / (count + 2), abs=0.03)  # and not much less
    unsure = softmax(np.array([[0.6, 0.4, 0.0]]), temperature).max()
    assert unsure < 0.8


def test_two_examples_of_one_class_are_no_surer_than_the_rule_of_succession():
    # softmax((2, 0) / T) is 3/4 for T = 2 / log 3
    assert fit_temperature(np.array([[2.0, 0.0]] * 2), np.array([0, 0])) == pytest.approx(2 / np.log(3), rel=1e-4)


def excess(count, temperature, seed):
    """By how much a temperature fitted to ``count`` windows makes the calibration error of 3,000 others larger."""
    logits, labels = drawn(count + 3000, temperature, seed)
    fitted = fit_temperature(logits[:count], labels[:count])
    errors = [expected_calibration_error(softmax(logits[count:], t), labels[count:]) for t in (fitted, 1.0)]
    return errors[0] - errors[1]


def test_a_temperature_of_a_dozen_windows_seldom_makes_things_worse():
    """Without the prior and the cross-validation it does so in 9 of 10 sets of logits that need no temperature."""
    worse = [excess(12, 1.0, seed) for seed in range(20)]
    assert np.mean(np.array(worse) > 0.005) <= 0.3
    assert np.mean(worse) < 0.02
    assert np.mean([excess(12, 3.0, seed) for seed in range(20)]) < -0.05  # and still helps where one is needed


def test_where_the_temperature_of_the_others_does_not_help_it_is_one():
    found = [fit_temperature(*drawn(12, 1.0, seed)) for seed in range(20)]
    assert sum(temperature == 1 for temperature in found) >= 10


def test_the_temperature_by_hand():
    """One logit, x or 0, and the prior: the slope of the sum of Platt's cross-entropy and of the prior vanishes."""
    logits, labels = np.tile([[4.0, 0.0]], (40, 1)), np.arange(40) % 4 == 3
    found = fit_temperature(logits, labels.astype(int))
    # the share of the first class in the targets: 30 examples with 41/42, 10 with 1/42
    target = (30 * 41 / 42 + 10 / 42) / 40
    slope = lambda log: 40 * (target - 1 / (1 + np.exp(-4 / np.exp(log)))) * 4 / np.exp(log) + log / 0.25  # noqa: E731
    assert slope(np.log(found)) == pytest.approx(0, abs=0.02)
    assert 1 < found < 4 / np.log(target / (1 - target))  # the prior draws it towards 1


def test_examples_are_needed():
    with pytest.raises(ValueError, match="held-out examples"):
        fit_temperature(np.empty((0, 3)), np.empty(0, int))


def test_the_calibration_error_by_hand():
    """Three at 0.9, of which two are right, and one at 0.6 that is wrong: 3/4 · |2/3 - 0.9| + 1/4 · |0 - 0.6|."""
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])
    found = expected_calibration_error(probabilities, np.array([0, 0, 1, 1]))
    assert found == pytest.approx(0.75 * abs(2 / 3 - 0.9) + 0.25 * 0.6)


def test_what_is_sure_and_right_has_no_error():
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0
    assert expected_calibration_error(np.eye(3), np.array([1, 2, 0])) == 1
