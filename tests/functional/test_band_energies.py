"""Energies in frequency bands: against the formula in NumPy, what noise and tones give, and how they rise and fall."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsn_jax.functional.band_energies import FLOOR, log_band_energies, modulation_power

energies = jax.jit(functools.partial(log_band_energies, bands=16, frame=32, hop=8))
rhythm = jax.jit(modulation_power, static_argnames="most")


def by_formula(window, bands, frame, hop):
    """The docstring's formula, one frame and one band after the other, in double precision."""
    length, channels = window.shape
    hann = np.hanning(2 * frame + 1)[1::2]
    made = np.empty((1 + (length - frame) // hop, channels, bands))
    for t, c, k in np.ndindex(made.shape):
        turns = (np.arange(frame) - (frame - 1) / 2) * (k + 0.5) / (2 * bands)
        part = window[t * hop : t * hop + frame, c] * hann
        wave = np.exp(2j * np.pi * turns)
        made[t, c, k] = abs(np.sum(part * wave)) ** 2 / np.sum(hann**2)
    return np.log(made + FLOOR * made.mean((0, 2), keepdims=True))


@settings(max_examples=6)
@given(length=st.sampled_from([32, 39, 120]), channels=st.integers(1, 2), size=st.sampled_from([1e-18, 1.0, 1e18]))
def test_energies_follow_the_formula_at_any_size(length, channels, size):
    window = np.random.default_rng(length).normal(size=(length, channels))
    found = np.asarray(energies(np.float32(size * window)))
    np.testing.assert_allclose(found - 2 * np.log(size), by_formula(window, 16, 32, 8), atol=2e-3)


def test_white_noise_has_the_mean_energy_one_and_a_tone_its_own_band():
    noise = np.random.default_rng(0).normal(size=(65_536, 1)).astype(np.float32)
    mean = np.exp(np.asarray(jax.jit(log_band_energies)(noise))).mean(0)[0]
    np.testing.assert_allclose(mean, 1, atol=0.1)
    for band in (0, 5, 15):
        tone = np.cos(2 * np.pi * (band + 0.5) / 32 * np.arange(512))[:, None].astype(np.float32)
        assert (np.asarray(energies(tone)).mean(0)[0].argmax()) == band


def test_channels_do_not_disturb_each_other():
    """Neither a weak channel beside a strong one nor a silent one; silence has a bounded value."""
    window = np.random.default_rng(2).normal(size=(200, 3)).astype(np.float32)
    found = np.asarray(energies(window * np.array([1, 1e-6, 0], np.float32)))
    np.testing.assert_allclose(found[:, 0], energies(window[:, :1])[:, 0], atol=1e-4)
    np.testing.assert_allclose(found[:, 1] - 2 * np.log(1e-6), energies(window[:, 1:2])[:, 0], atol=1e-3)
    np.testing.assert_allclose(found[:, 2], np.log(FLOOR), rtol=1e-6)


def test_silence_and_short_windows_are_finite_with_finite_gradients():
    for window in (np.zeros((100, 2), np.float32), np.ones((5, 1), np.float32), np.zeros((40, 1), np.float32)):
        value, gradient = jax.jit(jax.value_and_grad(lambda w: jnp.sum(energies(w))))(window)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    assert energies(np.ones((5, 1), np.float32)).shape == (1, 1, 16)
    assert energies(np.ones((100, 2), np.float16)).dtype == np.float16


def test_a_regular_rhythm_is_a_line():
    """A tone whose loudness changes 16 times in the window has its line where 16 turns are."""
    time = np.arange(2048)
    noise = np.random.default_rng(1).normal(size=2048)
    loud = (1 + 0.9 * np.cos(2 * np.pi * 16 * time / 2048)) * noise
    found = np.asarray(rhythm(log_band_energies(np.float32(loud[:, None]))))
    assert found.shape == (62, 1, 64)
    turns = (1 + np.arange(62)) * 2048 / (125 * 16)
    assert abs(turns[found.mean((1, 2)).argmax()] - 16) < 1.1
    assert rhythm(np.zeros((9, 2, 3), np.float32), most=2).shape == (2, 2, 3)
    assert rhythm(np.zeros((1, 2, 3), np.float32)).shape == (1, 2, 3)  # a single frame has no rhythm
    np.testing.assert_array_equal(rhythm(np.ones((9, 2, 3), np.float32)), 0)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"\(length, channels\), got the shape \(3, 4, 5\)"):
        log_band_energies(np.zeros((3, 4, 5)))
    for wrong in ({"bands": 0}, {"frame": 0}, {"hop": 0}):
        with pytest.raises(ValueError, match="numbers from 1"):
            log_band_energies(np.zeros((64, 1)), **wrong)
