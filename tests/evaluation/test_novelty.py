"""How far features are from those of a training: the distance, the promise of its limit, and few or odd features."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from drsn_jax.evaluation.novelty import AXES, Novelty, fit_novelty


def fitted(features, labels, held_out) -> Novelty:
    found = fit_novelty(features, labels, held_out)
    assert found is not None
    return found


def clouds(count, features=6, classes=3, seed=0):
    """Features of some classes, of one shape around other means, and the classes."""
    rng = np.random.default_rng(seed)
    means = 10 * np.random.default_rng(1).normal(size=(classes, features))
    shape = np.random.default_rng(2).normal(size=(features, features))
    labels = np.arange(count) % classes
    return (means[labels] + rng.normal(size=(count, features)) @ shape).astype(np.float32), labels


def test_the_distance_is_that_of_mahalanobis_to_the_nearest_class():
    features, labels = clouds(3000)
    found = fitted(features, labels, clouds(300, seed=3)[0])
    asked = clouds(20, seed=4)[0] + 5
    centres = np.stack([features[labels == k].mean(0) for k in range(3)])
    within = features - centres[labels]
    inverse = np.linalg.inv(within.T @ within / len(within))
    expected = [min(mahalanobis(one, centre, inverse) for centre in centres) for one in asked]
    np.testing.assert_allclose(found.of(asked) * found.limit, expected, rtol=2e-3)


@given(held_out=st.integers(99, 400), seed=st.integers(0, 5))
def test_one_in_a_hundred_windows_of_the_same_kind_lies_above_one(held_out, seed):
    """Over many draws of the held-out windows; here each draw must keep it roughly."""
    features, labels = clouds(300, features=2)
    found = fitted(features, labels, clouds(held_out, features=2, seed=seed + 10)[0])
    above = np.mean(np.asarray(found.of(clouds(4000, features=2, seed=seed + 100)[0])) > 1)
    # of the largest of 99 the mean is one in a hundred, and one draw in a hundred has more than 4.6
    assert above < 0.06


def test_the_promise_holds_in_the_mean():
    features, labels = clouds(300, features=2)
    new = clouds(4000, features=2, seed=1)[0]
    above = [
        np.mean(np.asarray(fitted(features, labels, clouds(99, features=2, seed=seed)[0]).of(new)) > 1) for seed in range(10, 60)
    ]
    assert 0.005 < np.mean(above) < 0.015


def test_what_lies_elsewhere_is_far():
    features, labels = clouds(300, features=60)
    found = fitted(features, labels, clouds(200, features=60, seed=5)[0])
    assert found.axes.shape == (60, AXES)
    assert np.max(found.of(clouds(50, features=60, seed=6)[0])) < 2
    assert np.min(found.of(clouds(50, features=60, seed=6)[0] + 100)) > 2


def test_features_that_never_change():
    """A dead unit is 0 in every window; where it is not, that is new."""
    features, labels = clouds(300)
    features[:, 2] = 0
    found = fitted(features, labels, features[:100])
    assert np.isfinite(found.of(features)).all()
    odd = features[:5].copy()
    odd[:, 2] = 1
    assert np.min(found.of(odd)) > 10
    same = fitted(np.ones((20, 3), np.float32), np.zeros(20, int), np.ones((20, 3), np.float32))
    assert np.isfinite(same.of(np.ones((1, 3)))).all()
    assert fitted(np.arange(20.0)[:, None], np.zeros(20, int), np.arange(20.0)[:, None]).axes.shape == (1, 0)


def test_a_direction_that_is_new_in_held_out_windows_keeps_the_promise():
    features, labels = clouds(300)
    features[:, 2] = 0
    held_out = clouds(200, seed=5)[0]
    held_out[:, 2] = np.where(np.arange(200) % 10 == 0, 5 + np.arange(200) / 40, 0)
    found = fitted(features, labels, held_out)
    assert np.mean(np.asarray(found.of(held_out)) > 1) <= 0.01


@pytest.mark.parametrize("scale", [1e10, 1e20, 1e30, 1e-30])
def test_features_of_any_size_have_a_novelty(scale):
    features, labels = clouds(300)
    assert np.all(np.asarray(fitted(features, labels, features).of(np.float32(scale) * features)) > 0)
    known = fitted(np.float32(scale) * features, labels, np.float32(scale) * features)
    assert np.isfinite(known.of(features)).all()
    if scale < 1e20:
        assert np.median(known.of(np.float32(scale) * features)) < 1.1


def test_a_class_without_windows_has_no_centre():
    features, labels = clouds(300)
    some = labels != 1
    assert fitted(features[some], labels[some], features).centres.shape == (2, 6)


def test_nothing_is_said_of_few_windows():
    features, labels = clouds(30)
    assert fit_novelty(features[:9], labels[:9], features) is None
    assert fit_novelty(features, labels, features[:9]) is None
    assert fit_novelty(features, labels, features[:0]) is None


def test_it_can_be_compiled_and_bad_features_are_refused():
    features, labels = clouds(30)
    found = fitted(features, labels, features)
    np.testing.assert_allclose(jax.jit(lambda x: found.of(x))(features), found.of(features), rtol=1e-5)
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match="features hold numbers that are not finite"):
        fit_novelty(features, labels, features)
    assert np.isnan(found.of(features)[3])
