"""A random filter: its gains are those that were asked for, it delays nothing, and it is a pure function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drsn_jax.functional import NoiseMixture, random_filter

NOISE = np.random.default_rng(0).normal(size=(4096, 2)).astype(np.float32)


def gains_db(window, filtered):
    """The gain at each frequency in dB, and whether the phase stayed."""
    before, after = (np.fft.rfft(np.asarray(each, np.float64), axis=0) for each in (window, filtered))
    return 20 * np.log10(np.abs(after / before)), np.abs(np.angle(after / before))


def test_the_gains_have_the_spread_and_the_phases_stay():
    keys = jax.random.split(jax.random.key(0), 200)
    filtered = jax.jit(jax.vmap(lambda key: random_filter(key, NOISE, 6.0)))(keys)
    gains, angles = zip(*(gains_db(NOISE, each) for each in filtered), strict=True)
    assert np.max(angles) < 1e-2
    at = np.array(gains)[:, np.round(np.linspace(0, 2048, 8)).astype(int)]  # (draws, points, channels)
    assert np.mean(at) == pytest.approx(0, abs=0.5)
    assert np.std(at) == pytest.approx(6, rel=0.05)
    # halfway between two points the gain is the mean of theirs
    between = np.array(gains)[:, round(2048 / 7 * 1.5)]
    np.testing.assert_allclose(between, at[:, 1:3].mean(1), atol=0.05)
    # each channel has gains of its own
    assert abs(np.corrcoef(at[..., 0].ravel(), at[..., 1].ravel())[0, 1]) < 0.1


def test_no_spread_changes_nothing():
    np.testing.assert_allclose(random_filter(jax.random.key(0), NOISE, 0.0), NOISE, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 2047])
def test_lengths_and_dtypes_stay(length):
    for dtype in (np.float32, np.float16):
        filtered = jax.jit(random_filter, static_argnums=2)(jax.random.key(0), NOISE[:length].astype(dtype), 3.0)
        assert (filtered.shape, filtered.dtype) == ((length, 2), dtype)
        assert np.isfinite(filtered).all()


def test_the_same_key_draws_the_same_filter_and_it_has_a_derivative():
    one, two = (random_filter(jax.random.key(number), NOISE, 6.0) for number in (0, 1))
    np.testing.assert_array_equal(one, random_filter(jax.random.key(0), NOISE, 6.0))
    assert not np.allclose(one, two)
    # it is linear in the window: the derivative along the window is the filtered window
    _, along = jax.jvp(lambda window: random_filter(jax.random.key(0), window, 6.0), (jnp.zeros((64, 2)),), (NOISE[:64],))
    np.testing.assert_allclose(along, random_filter(jax.random.key(0), NOISE[:64], 6.0), atol=1e-5)


def test_bad_input():
    for spread in (-1.0, np.inf, np.nan, 101, "6", None):
        with pytest.raises(ValueError, match="spread of a random filter is a number of dB from 0 to 100"):
            random_filter(jax.random.key(0), NOISE, spread)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"signals \(length, channels\), got the shape \(4096, 2, 1\)"):
        random_filter(jax.random.key(0), NOISE[:, :, None], 1.0)
    with pytest.raises(ValueError, match="2 frequencies at least, got 1"):
        random_filter(jax.random.key(0), NOISE, 1.0, points=1)
    for spread in (-1, None):
        with pytest.raises(ValueError, match="spread of a random filter"):
            NoiseMixture(("gaussian",), (0, 1), filter_db=spread)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="give filter_db as a number, not as a traced value"):
        jax.jit(lambda spread: NoiseMixture(("gaussian",), (0, 1), spread)(jax.random.key(0), NOISE))(6.0)


def test_a_mixture_filters_before_it_adds_noise():
    plain, filtered = NoiseMixture(("gaussian",), (20, 21)), NoiseMixture(("gaussian",), (20, 21), filter_db=6.0)
    assert jax.tree.structure(plain) != jax.tree.structure(filtered)
    (leaves, structure) = jax.tree.flatten(filtered)
    assert jax.tree.unflatten(structure, leaves) == filtered
    tone = np.sin(0.3 * np.arange(2048))[:, None].astype(np.float32)
    call = jax.jit(lambda noise, key: noise(key, tone))
    keys = jax.random.split(jax.random.key(0), 40)
    power = {noise: np.array([np.mean(np.square(call(noise, key))) for key in keys]) for noise in (plain, filtered)}
    # the tone keeps its power in noise of 20 dB, and not behind the filters
    assert np.ptp(10 * np.log10(power[plain] / np.mean(tone**2))) < 0.2
    assert np.std(10 * np.log10(power[filtered] / np.mean(tone**2))) > 3
