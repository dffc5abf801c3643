"""The envelope and its spectrum: against SciPy, on signals whose envelope is known, and how impulsive a band is."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as scipy_signal

from drsn_jax.functional.envelopes import (
    analytic_signal,
    envelope,
    prewhiten,
    ringing_band,
    spectral_kurtosis,
    squared_envelope_spectrum,
)

RATE = 1000.0
TIME = np.arange(1000) / RATE
kurtosis_of_32 = jax.jit(functools.partial(spectral_kurtosis, frame=32))
band, lines = jax.jit(ringing_band), jax.jit(squared_envelope_spectrum)


def bursts(length=4096, every=200, ringing=0.31, decay=0.05, noise=0.3, seed=0):
    """Short bursts of a tone of ``ringing`` cycles a sample, in weak white noise."""
    rng = np.random.default_rng(seed)
    strikes = np.zeros(length)
    strikes[::every] = 1
    response = np.exp(-decay * np.arange(length)) * np.cos(2 * np.pi * ringing * np.arange(length))
    return (np.convolve(strikes, response)[:length] + noise * rng.normal(size=length))[:, None].astype(np.float32)


@settings(max_examples=8)
@given(length=st.sampled_from([16, 17, 251]), channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_analytic_signal_is_that_of_scipy(length, channels, seed):
    window = np.random.default_rng(seed).normal(size=(length, channels)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(analytic_signal)(window), np.asarray(scipy_signal.hilbert(window, axis=0)), atol=2e-5)


def test_the_envelope_is_what_a_tone_was_multiplied_with():
    strength = 1 + 0.5 * np.cos(2 * np.pi * 20 * TIME)
    window = (strength * np.cos(2 * np.pi * 300 * TIME))[:, None].astype(np.float32)
    np.testing.assert_allclose(np.asarray(envelope(window))[:, 0], strength, atol=1e-4)
    spectrum = np.asarray(squared_envelope_spectrum(window))[:, 0]
    # (1 + a cos)² = 1 + a²/2 + 2a cos + a²/2 cos(2·): lines at once and twice the rate
    np.testing.assert_allclose(spectrum[[20, 40]], [1.0, 0.125], atol=1e-4)
    assert np.delete(spectrum, [20, 40]).max() < 1e-4


def test_prewhitened_is_every_frequency_alike():
    """The phases stay, tones weigh no more than the noise, and what is empty stays so."""
    rng = np.random.default_rng(0)
    window = (rng.normal(size=(1000, 2)) + 50 * np.cos(2 * np.pi * 100 * TIME)[:, None]).astype(np.float32)
    spectrum, before = (np.fft.rfft(w, axis=0) for w in (np.asarray(prewhiten(window)), window))
    np.testing.assert_allclose(np.abs(spectrum), math.sqrt(1000), rtol=1e-3)
    np.testing.assert_allclose(np.angle(spectrum * before.conj()), 0, atol=1e-3)
    assert np.sqrt(np.mean(np.square(prewhiten(window)))) == pytest.approx(1, rel=1e-3)
    tone = np.asarray(prewhiten(np.cos(2 * np.pi * 100 * TIME)[:, None].astype(np.float32)))
    assert np.abs(np.fft.rfft(tone[:, 0])).round(3).nonzero()[0].tolist() == [100]
    assert not np.any(prewhiten(np.zeros((64, 1), np.float32)))


def test_a_band_leaves_the_rest_out():
    window = (np.cos(2 * np.pi * 100 * TIME) + 3 * np.cos(2 * np.pi * 300 * TIME))[:, None].astype(np.float32)
    np.testing.assert_allclose(envelope(window, (50, 150), RATE), 1, atol=1e-4)
    np.testing.assert_allclose(envelope(window, (300, 301), RATE), 3, atol=1e-4)
    np.testing.assert_allclose(envelope(window, (301, 500), RATE), 0, atol=1e-4)


def test_compiled_mapped_and_differentiated():
    windows = np.random.default_rng(0).normal(size=(3, 64, 2)).astype(np.float32)
    spectrum = jax.jit(jax.vmap(squared_envelope_spectrum))(windows)
    np.testing.assert_allclose(spectrum[1], squared_envelope_spectrum(windows[1]), atol=1e-5)
    slope = jax.jit(jax.grad(lambda w: jnp.sum(squared_envelope_spectrum(w)[1:9])))(windows[0])
    slope = np.asarray(slope)
    ahead, back = (np.sum(lines(windows[0] + step * slope)[1:9]) for step in (1e-3, -1e-3))
    np.testing.assert_allclose((ahead - back) / 2e-3, np.sum(slope**2), rtol=0.02)


def test_spectral_kurtosis_tells_noise_tones_and_bursts_apart():
    noise = np.random.default_rng(0).normal(size=(2**16, 1)).astype(np.float32)
    assert abs(float(np.mean(np.asarray(kurtosis_of_32(noise))[1:-1]))) < 0.05
    tone = np.cos(2 * np.pi * np.arange(2**12) / 8)[:, None].astype(np.float32)
    np.testing.assert_allclose(kurtosis_of_32(tone)[4], -1, atol=1e-3)
    assert float(np.max(kurtosis_of_32(bursts()))) > 1
    assert np.all(kurtosis_of_32(np.zeros((2**12, 1), np.float32)) == 0)


@pytest.mark.parametrize("ringing", [0.1, 0.31, 0.42])
def test_the_band_that_rings_is_found(ringing):
    low, high, kurtosis = band(bursts(ringing=ringing))
    assert low[0] < ringing < high[0]
    assert kurtosis[0] > 1
    spectrum = np.asarray(lines(bursts(ringing=ringing), (low[0], high[0])))[:, 0]
    found = np.argmax(spectrum[5:]) + 5
    assert abs(found % (4096 / 200)) < 1 or abs(found % (4096 / 200) - 4096 / 200) < 1


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_kurtosis_does_not_hang_on_the_unit(scale):
    np.testing.assert_allclose(kurtosis_of_32(bursts() * np.float32(scale)), kurtosis_of_32(bursts()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: envelope(np.zeros((4, 4, 1))), r"a signal \(length, channels\), got the shape \(4, 4, 1\)"),
        (lambda: spectral_kurtosis(np.zeros((16, 1)), 17), "from 4 to 16 samples, the length of the window, got 17"),
        (lambda: ringing_band(np.zeros((16, 1))), "16 samples is too short for frames of 8"),
    ],
)
def test_what_is_no_signal_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
