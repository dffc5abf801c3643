"""Thresholding rules: values, derivatives at and away from the kinks, types, transformations.

Most are asked under ``jit``, for eager JAX compiles one operation at a time. One test compares the two:
``test_jit_vmap_and_pmap_change_nothing``.
"""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from drsn_jax.functional.thresholding import (
    THRESHOLD_RULES,
    firm_threshold,
    garrote_threshold,
    hard_threshold,
    soft_threshold,
    threshold_rule,
)

INF, NAN = float("inf"), float("nan")
RULES = list(THRESHOLD_RULES)


@functools.partial(jax.jit, static_argnums=0)
def compiled_gradients(rule, x, threshold):
    return jax.grad(lambda a, b: rule(a, b).sum(), (0, 1))(x, threshold)


def gradients(rule, x, threshold):
    """The two derivatives of an elementwise rule."""
    return compiled_gradients(rule, jnp.asarray(x, float), jnp.asarray(threshold, float))


@functools.cache
def compiled(name):
    """A rule under ``jit``."""
    return jax.jit(threshold_rule(name))


@functools.partial(jax.jit, static_argnums=0)
def hessian(rule, x, threshold):
    return jax.hessian(rule, (0, 1))(x, threshold)


jvp = jax.jit(functools.partial(jax.jvp, soft_threshold))


def formula(name, x, threshold):
    """The rules as printed, in NumPy."""
    with np.errstate(all="ignore"):
        size, sign = np.abs(x), np.sign(x)
        kept = {
            "soft": x - sign * threshold,
            "hard": x + 0 * threshold,
            "garrote": x - threshold**2 / x,
            "firm": np.where(size > 2 * threshold, x, 2 * sign * (size - threshold)),
        }[name]
        return np.where(size > threshold, kept, 0)


# soft rule: the paper's values and derivatives

PAPER = [  # x, τ, y, ∂y/∂x, ∂y/∂τ
    (3.0, 1.0, 2.0, 1, -1),
    (-3.0, 1.0, -2.0, 1, 1),
    (0.5, 1.0, 0.0, 0, 0),
    (-0.5, 1.0, 0.0, 0, 0),
    (1.0, 1.0, 0.0, 0, 0),  # the kinks belong to the closed interval
    (-1.0, 1.0, 0.0, 0, 0),
    (0.0, 1.0, 0.0, 0, 0),
    (0.0, 0.0, 0.0, 0, 0),  # a channel of zeros sets its own threshold to 0
    (2.0, 0.0, 2.0, 1, -1),
    (-2.0, 0.0, -2.0, 1, 1),
    (INF, 1.0, INF, 1, -1),
    (-INF, 1.0, -INF, 1, 1),
]


@pytest.mark.parametrize(("x", "threshold", "y", "dx", "dt"), PAPER)
def test_soft_values_and_derivatives_are_the_papers(x, threshold, y, dx, dt):
    assert float(compiled("soft")(x, threshold)) == y
    assert gradients(soft_threshold, x, threshold) == (dx, dt)
    for tangents, expected in (((1.0, 0.0), dx), ((0.0, 1.0), dt), ((1.0, 1.0), dx + dt)):
        value, tangent = jvp((x, threshold), tangents)
        assert (value, tangent) == (y, expected)


def test_soft_derivatives_just_outside_the_kink():
    for threshold in (1.0, 1e-3, 300.0):
        outside = np.nextafter(np.float32(threshold), np.float32(INF))
        assert gradients(soft_threshold, outside, threshold) == (1, -1)
        assert gradients(soft_threshold, -outside, threshold) == (1, 1)


def test_soft_hessian_is_zero_everywhere():
    for x, threshold, *_ in PAPER:
        assert np.array_equal(hessian(soft_threshold, x, threshold), np.zeros((2, 2)))


@pytest.mark.parametrize("modes", ["fwd", "rev"])
def test_soft_gradients_agree_with_differences_to_second_order(x64, modes):
    x = np.array([[-3.0, -1.4, -0.2], [0.3, 1.1, 4.0]])
    check_grads(jax.jit(soft_threshold), (x, np.array([0.5, 0.7, 2.0])), order=2, modes=modes)
    check_grads(jax.jit(lambda a, t: soft_threshold(a, t) ** 3), (x, np.array([[0.6], [0.8]])), order=2, modes=modes)


# all rules

GRID = np.linspace(-4, 4, 33)[:, None] + np.zeros(4)
THRESHOLDS = np.array([0.0, 0.3, 1.0, 2.5])


@pytest.mark.parametrize("name", RULES)
def test_rules_equal_their_formulas(name):
    x, threshold = GRID.astype(np.float32), THRESHOLDS.astype(np.float32)
    np.testing.assert_allclose(compiled(name)(x, threshold), formula(name, x, threshold), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_rules_gradients_agree_with_their_formulas(x64, name):
    x, threshold, step = GRID + 0.01, THRESHOLDS + 0 * GRID, 1e-6
    dx, dt = gradients(threshold_rule(name), x, threshold)
    np.testing.assert_allclose(
        dx, (formula(name, x + step, threshold) - formula(name, x - step, threshold)) / (2 * step), atol=1e-5
    )
    threshold, dt = threshold[:, 1:], dt[:, 1:]  # no negative thresholds
    np.testing.assert_allclose(
        dt,
        (formula(name, x[:, 1:], threshold + step) - formula(name, x[:, 1:], threshold - step)) / (2 * step),
        atol=1e-5,
    )


@pytest.mark.parametrize("name", RULES)
def test_rules_and_gradients_are_zero_at_zero_and_finite_at_the_kinks(name):
    rule, values = threshold_rule(name), compiled(name)
    for threshold in (0.0, 1.0):
        assert float(values(0.0, threshold)) == 0
        assert gradients(rule, 0.0, threshold) == (0, 0)
    assert float(values(1.0, 1.0)) == float(values(-1.0, 1.0)) == 0
    for x in (-2.0, -1.0, 1.0, 2.0):
        assert np.isfinite(gradients(rule, x, 1.0)).all()
        assert np.isfinite(hessian(rule, x, 1.0)).all()


@pytest.mark.parametrize(("name", "jump"), [("soft", 0), ("garrote", 0), ("firm", 0), ("hard", 1)])
def test_continuity(name, jump):
    rule = compiled(name)
    threshold, step = 0.8, np.float32(1e-4)
    for kink in (threshold, -threshold, 2 * threshold, -2 * threshold):
        height = abs(float(rule(kink + step, threshold)) - float(rule(kink - step, threshold)))
        expected = jump * threshold if abs(kink) == threshold else 0
        assert height == pytest.approx(expected, abs=5e-4)


def test_bias_for_large_values():
    x = np.float32(100)
    assert soft_threshold(x, 1) == 99  # the soft rule keeps its bias
    assert garrote_threshold(x, 1) == pytest.approx(99.99)
    assert firm_threshold(x, 1) == hard_threshold(x, 1) == 100


@pytest.mark.parametrize(("dtype", "x"), [(jnp.float16, 1e-3), (jnp.bfloat16, 1e-20), (jnp.float32, 1e-20), (jnp.float32, 1e-25)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_garrote_gradient_of_small_features(dtype, x, share):
    # ∂y/∂x = 1 + τ²/x² and ∂y/∂τ = -2·τ/x are small numbers, whatever the scale of x and τ
    x = jnp.asarray(x, dtype)
    dx, dt = compiled_gradients(garrote_threshold, x, x * share)
    assert float(dx) == pytest.approx(1 + share**2, rel=0.01)
    assert float(dt) == pytest.approx(-2 * share, rel=0.01)


@pytest.mark.parametrize("name", RULES)
def test_nan_and_infinity(name):
    rule = compiled(name)
    values = np.array([-INF, -2, -1, 0, 0.5, 1, INF], np.float32)
    assert np.isnan(rule(np.float32(NAN), np.abs(values[1:-1]))).all()  # x
    assert np.isnan(rule(values, np.float32(NAN))).all()  # τ
    assert np.array_equal(rule(np.array([INF, -INF], np.float32), 3.0), [INF, -INF])
    dx, dt = gradients(threshold_rule(name), [INF, -INF], [3.0, 0.5])
    assert np.array_equal(dx, [1, 1])
    assert np.array_equal(dt, [-1, 1] if name == "soft" else [0, 0])
    if name == "soft":
        assert np.isnan(gradients(soft_threshold, NAN, 1.0)).all()
        assert np.isnan(gradients(soft_threshold, 0.0, NAN)).all()


# shapes and types


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(2, 1, 3), (2, 1, 1), (3,), (), (5, 1), (2, 5, 3)])
def test_thresholds_broadcast_and_their_gradient_sums(name, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    threshold = rng.uniform(0.1, 1, size=shape).astype(np.float32)
    y = compiled(name)(x, threshold)
    assert y.shape == x.shape
    np.testing.assert_allclose(y, formula(name, x, threshold), rtol=1e-5, atol=1e-6)
    dx, dt = gradients(threshold_rule(name), x, threshold)
    assert (dx.shape, dt.shape) == (x.shape, shape)
    if name == "soft":
        full = -np.sign(x) * (np.abs(x) > threshold)
        axes = tuple(i for i, n in enumerate((1,) * (3 - len(shape)) + shape) if n == 1)
        assert np.array_equal(dx, np.abs(full))
        assert np.array_equal(dt.ravel(), full.sum(axis=axes).ravel())


def test_x_broadcasts_too():
    assert np.array_equal(soft_threshold(np.float32(3), np.array([1, 2, 4], np.float32)), [2, 1, 0])
    assert gradients(soft_threshold, 3.0, [1.0, 2.0, 4.0])[0] == 2


HALF, BRAIN, SINGLE, DOUBLE = jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64


@pytest.mark.usefixtures("mixing")
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("x", "threshold", "expected"),
    [
        (np.ones(2, HALF), np.ones(2, HALF), HALF),
        (jnp.ones(2, BRAIN), jnp.ones(2, BRAIN), BRAIN),
        (np.ones(2, SINGLE), jnp.ones(2, BRAIN), SINGLE),
        (np.ones(2, HALF), jnp.ones(2, BRAIN), SINGLE),
        (np.ones(2, HALF), 0.5, HALF),
        (jnp.ones(2, BRAIN), 1, BRAIN),
        (np.ones(2, np.int32), np.ones(2, HALF), HALF),
        (np.ones(2, HALF), np.ones(2, np.int8), HALF),
        (np.ones(2, np.int32), 1, SINGLE),
        (np.ones(2, np.uint8), np.ones(2, np.int8), SINGLE),
        (3, 1, SINGLE),
        (3.0, 1, SINGLE),
        (np.ones(2), np.ones(2), SINGLE),  # without 64 bits JAX has no other
    ],
)
def test_dtypes(name, x, threshold, expected):
    y = jax.eval_shape(threshold_rule(name), x, threshold)
    assert y.dtype == expected
    if jnp.issubdtype(jnp.result_type(x, threshold), jnp.inexact):
        assert y.dtype == jnp.result_type(x, threshold)


@pytest.mark.usefixtures("mixing")
@pytest.mark.parametrize("name", RULES)
def test_dtypes_with_64_bits(x64, name):
    rule = threshold_rule(name)
    assert rule(np.ones(2), np.ones(2)).dtype == DOUBLE
    assert rule(np.ones(2, SINGLE), np.ones(2)).dtype == DOUBLE
    assert rule(np.ones(2, SINGLE), 1.0).dtype == SINGLE
    assert soft_threshold(1 + 1e-12, 1.0) == (1 + 1e-12) - 1


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [HALF, BRAIN, SINGLE])
def test_values_in_every_precision(name, dtype):
    x, threshold = jnp.asarray([-4, -1, -0.5, 0, 0.25, 2.5], dtype), jnp.asarray(0.5, dtype)
    expected = formula(name, np.asarray(x, np.float64), 0.5)
    precision = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(compiled(name)(x, threshold), np.float64), expected, rtol=2 * precision)


def test_integers():
    assert np.array_equal(soft_threshold(np.array([-3, 0, 1, 5]), 1), [-2, 0, 0, 4])
    assert np.array_equal(soft_threshold(np.array([-3, 0, 1, 5]), np.array([2, 2, 0, 1])), [-1, 0, 1, 4])
    assert jax.grad(soft_threshold)(3.0, 1) == 1  # an integer threshold has no tangent
    assert jax.jvp(lambda x: soft_threshold(x, 1), (3.0,), (2.0,)) == (2, 2)


@pytest.mark.parametrize("name", RULES)
def test_complex_numbers_are_refused(name):
    with pytest.raises(TypeError, match="complex64"):
        threshold_rule(name)(np.complex64(1j), 1.0)
    with pytest.raises(TypeError, match="real"):
        threshold_rule(name)(1.0, np.complex64(1j))


def test_unknown_rule_is_refused_by_name_and_choices():
    with pytest.raises(ValueError, match=r"unknown threshold rule 'softish'.*soft, hard, garrote, firm"):
        threshold_rule("softish")


# transformations


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    return (
        rng.normal(size=(8, 6, 3)).astype(np.float32),
        rng.uniform(0.1, 1, size=(8, 1, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("name", RULES)
def test_jit_vmap_and_pmap_change_nothing(batch, name):
    x, threshold = batch
    rule = threshold_rule(name)
    assert jax.local_device_count() == 8
    for got, expected in (
        (jax.jit(rule)(x, threshold), rule(x, threshold)),
        (jax.vmap(rule)(x, threshold), rule(x, threshold)),
        (jax.vmap(rule, (0, None))(x, threshold[0]), rule(x, threshold[:1])),
        (jax.vmap(rule, (None, 0))(x[0], threshold), rule(x[:1], threshold)),
        (jax.pmap(rule)(x, threshold), rule(x, threshold)),
    ):
        # a fused product and sum rounds once: not the same bits, but never another decision
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
        assert np.array_equal(np.equal(got, 0), np.equal(expected, 0))


def test_gradients_under_vmap_and_pmap(batch):
    x, threshold = batch
    gradient = jax.grad(lambda a, t: (soft_threshold(a, t) ** 2).sum(), (0, 1))
    expected = jax.jit(gradient)(x, threshold)
    for transform in (lambda gradient: jax.jit(jax.vmap(gradient)), jax.pmap):
        for got, wanted in zip(transform(gradient)(x, threshold), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_jvp_and_vjp_are_transposes(batch):
    x, threshold = batch
    rng = np.random.default_rng(2)
    x_dot, threshold_dot, y_bar = (rng.normal(size=a.shape).astype(np.float32) for a in (x, threshold, x))
    _, y_dot = jvp((x, threshold), (x_dot, threshold_dot))
    y, pull = jax.vjp(soft_threshold, x, threshold)
    x_bar, threshold_bar = pull(y_bar)
    assert np.array_equal(y, soft_threshold(x, threshold))
    outside = np.abs(x) > threshold
    np.testing.assert_allclose(y_dot, outside * (x_dot - np.sign(x) * threshold_dot), rtol=1e-6)
    assert np.vdot(y_bar, y_dot) == pytest.approx(np.vdot(x_bar, x_dot) + np.vdot(threshold_bar, threshold_dot), rel=1e-4)


@pytest.mark.parametrize("name", RULES)
def test_export_and_back(batch, name):
    pytest.importorskip("flatbuffers")  # what jax.export writes with
    x, threshold = batch
    exported = jax.export.export(jax.jit(threshold_rule(name)))(x, threshold)
    loaded = jax.export.deserialize(exported.serialize(vjp_order=1))
    assert np.array_equal(loaded.call(x, threshold), jax.jit(threshold_rule(name))(x, threshold))
    got = jax.grad(lambda a, t: loaded.call(a, t).sum(), (0, 1))(x, threshold)
    for ours, theirs in zip(gradients(threshold_rule(name), x, threshold), got, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


# properties of the soft rule

FEATURES = hnp.arrays(np.float32, 6, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
LEVELS = hnp.arrays(np.float32, 6, elements=st.floats(0, 1e6, width=32, allow_subnormal=False))
TINY = float(np.finfo(np.float32).tiny)  # XLA flushes what is smaller


@hypothesis.given(FEATURES, LEVELS)
def test_property_formula(x, threshold):
    expected = np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
    np.testing.assert_allclose(soft_threshold(x, threshold), expected, rtol=0, atol=TINY)


@hypothesis.given(FEATURES, LEVELS)
def test_property_shrinks_odd_and_keeps_the_sign(x, threshold):
    y = np.asarray(soft_threshold(x, threshold))
    assert (np.abs(y) <= np.abs(x)).all()
    assert (y * np.sign(x) >= 0).all()
    assert np.array_equal(soft_threshold(-x, threshold), -y)


@hypothesis.given(FEATURES, FEATURES, LEVELS)
def test_property_one_lipschitz_and_monotone(a, b, threshold):
    difference = np.float64(soft_threshold(a, threshold)) - np.float64(soft_threshold(b, threshold))
    between = np.float64(a) - np.float64(b)
    rounding = 1e-6 * (np.abs(a) + np.abs(b)) + TINY
    assert (np.abs(difference) <= np.abs(between) + rounding).all()
    assert (difference * np.sign(between) >= -rounding).all()
