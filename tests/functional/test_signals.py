"""Mean removed and standardised: against NumPy, on constants, in every dtype, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads

from drsn_jax.functional.signals import remove_mean, standardise, standardise_together

SHAPES = [(64, 1), (37, 3), (8, 9, 2), (4, 5, 6, 2)]
DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32]
# eager JAX compiles one operation at a time
remove, scale_to_one = jax.jit(remove_mean), jax.jit(standardise)


def random_window(shape, offset=0.0, scale=1.0, seed=0):
    return offset + scale * np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_channel_is_centred_and_scaled_over_its_positions(shape):
    window = random_window(shape, offset=3) * np.arange(1, shape[-1] + 1)
    axes = tuple(range(len(shape) - 1))
    centred = window - window.mean(axes)
    np.testing.assert_allclose(remove(window.astype(np.float32)), centred, atol=1e-5)
    np.testing.assert_allclose(scale_to_one(window.astype(np.float32)), centred / window.std(axes), atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_stays(dtype):
    window = jnp.asarray(random_window((256, 2), offset=1), dtype)
    assert remove(window).dtype == scale_to_one(window).dtype == dtype
    np.testing.assert_allclose(np.var(np.asarray(scale_to_one(window), np.float64), 0), 1, atol=0.01)


@pytest.mark.usefixtures("x64")
def test_float64_keeps_its_precision():
    window = random_window((100, 2), offset=5)
    assert scale_to_one(window).dtype == jnp.float64
    np.testing.assert_allclose(scale_to_one(window), (window - window.mean(0)) / window.std(0), rtol=1e-12, atol=1e-12)


def test_integers_become_floats():
    window = np.array([[0], [10], [20], [30]], np.int16)
    np.testing.assert_array_equal(remove_mean(window), [[-15], [-5], [5], [15]])
    assert standardise(window).dtype == jnp.float32


def test_half_precision_does_not_overflow():
    window = jnp.array([[40000.0], [-40000.0], [40000.0], [-40000.0]], jnp.float16)
    np.testing.assert_array_equal(standardise(window), [[1], [-1], [1], [-1]])


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e25])
def test_scale_does_not_matter(scale):
    window = random_window((64, 2)).astype(np.float32)
    np.testing.assert_allclose(scale_to_one(window * np.float32(scale)), scale_to_one(window), rtol=1e-4, atol=1e-6)


def test_a_large_mean_does_not_cancel():
    window = np.float32(4096) + np.tile(np.array([[0.0], [0.5]], np.float32), (512, 1))
    np.testing.assert_array_equal(scale_to_one(window), np.tile([[-1.0], [1.0]], (512, 1)))


# 0.1 and its like have no exact mean in float32
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-38, 12345.678])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_channel_becomes_zeros_beside_a_living_one(value, dtype):
    alive = random_window((1000, 1))
    window = np.concatenate([np.full_like(alive, value), alive], axis=1).astype(dtype)
    mapped = np.asarray(jax.jit(jax.vmap(standardise))(window[None]))[0]
    for result in map(np.asarray, (remove_mean(window), standardise(window), mapped)):
        assert np.all(np.asarray(result[:, 0]) == 0)
        assert np.std(np.asarray(result[:, 1], np.float64)) > 0.9


@pytest.mark.usefixtures("x64")
def test_gradients_are_those_of_finite_differences():
    window = random_window((12, 2), offset=2)
    together = jax.jit(lambda w: (remove_mean(w), standardise(w)))
    check_grads(together, (window,), order=2, modes=["rev"])


def test_gradients_of_a_constant_channel_are_zero_and_leave_the_others_alone():
    window = jnp.asarray(np.concatenate([np.full((9, 1), 0.1), random_window((9, 1))], axis=1), jnp.float32)
    weights = jnp.asarray(random_window((9, 2), seed=1), jnp.float32)
    gradient = jax.jit(jax.grad(lambda w: jnp.sum(weights * standardise(w))))(window)
    alone = jax.jit(jax.grad(lambda w: jnp.sum(weights[:, 1:] * standardise(w))))(window[:, 1:])
    np.testing.assert_array_equal(gradient[:, 0], 0)
    np.testing.assert_allclose(gradient[:, 1:], alone, rtol=1e-5, atol=1e-6)
    assert np.any(np.abs(alone) > 0.01)


def test_nan_stays_visible_in_its_channel():
    window = jnp.asarray(random_window((16, 2)), jnp.float32).at[3, 0].set(jnp.nan)
    result = np.asarray(scale_to_one(window))
    assert np.isnan(result[:, 0]).all()
    assert np.isfinite(result[:, 1]).all()


def test_vmap_is_a_loop():
    batch = random_window((5, 32, 2), offset=1).astype(np.float32)
    for function in (remove_mean, standardise):
        np.testing.assert_allclose(jax.vmap(function)(batch), np.stack([function(w) for w in batch]), rtol=1e-5, atol=1e-6)


@given(
    hnp.arrays(np.float32, (7, 2), elements=st.floats(-1000, 1000, width=32)),
    st.floats(-100, 100, width=32),
)
def test_an_offset_changes_no_mean_removed_window(window, offset):
    np.testing.assert_allclose(remove_mean(window + np.float32(offset)), remove_mean(window), atol=1e-3)


@pytest.mark.parametrize("function", [remove_mean, standardise])
@pytest.mark.parametrize("shape", [(), (16,), (0, 2), (4, 0)])
def test_refuses_what_is_no_window(function, shape):
    with pytest.raises(ValueError, match=r"a window is \(\*positions, channels\) and not empty"):
        function(np.zeros(shape, np.float32))


def test_together_the_ratios_of_channels_stay():
    """As those of the three phases of a motor's current; the window has variance 1 as a whole."""
    waves = np.sin(0.3 * np.arange(100))[:, None] * [1.0, 2.0, 3.0] + [5.0, 0.0, -9.0]
    scaled = np.asarray(standardise_together(waves))
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    assert np.mean(np.square(scaled)) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(scaled.std(0) / scaled[:, 0].std(), [1, 2, 3], rtol=1e-5)
    assert not np.any(standardise_together(np.full((9, 2), 7.0)))
