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
    labels = np.array([rng.choice(4, p=p) for p in softmax(logits)])
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
    loss = lambda t: -np.mean(np.log(softmax(logits, t)[np.arange(50), labels]))  # noqa: E731
    assert loss(fit_temperature(logits, labels)) <= loss(1.0) + 1e-9


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
