"""What each frequency speaks for: against differences, for networks whose answer is known, and what cannot be asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.attribution import band_attributions

LENGTH, BANDS = 64, 8


class Linear:
    """Logits that are linear in the window, ``(length, channels, classes)``."""

    classes = 3

    def apply(self, variables, windows, *, train):
        assert not train
        return jnp.einsum("nlc,lck->nk", windows, variables)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def band_of(windows, number, bands=BANDS):
    """What a band holds of windows, by masks of the spectrum."""
    spectrum = np.fft.rfft(windows, axis=1)
    own = np.minimum(np.arange(spectrum.shape[1]) * 2 * bands // windows.shape[1], bands - 1) == number
    return np.fft.irfft(np.where(own[:, None], spectrum, 0), n=windows.shape[1], axis=1).astype(np.float32)


@pytest.mark.parametrize("length", [64, 65])
def test_it_is_the_slope_of_the_log_odds_in_the_level_of_a_band(length):
    windows, weights, labels = noise(5, length, 2), 0.1 * noise(length, 2, 3, seed=1), np.array([0, 1, 2, 0, 1])
    found = np.asarray(jax.jit(band_attributions(Linear(), BANDS))(weights, windows, labels))

    def log_odds(windows):
        odds = np.asarray(jax.nn.softmax(Linear().apply(weights, windows, train=False), -1), np.float64)
        own = odds[np.arange(5), labels]
        return np.log(own / (1 - own))

    for number in range(BANDS):
        own = band_of(windows, number)
        slope = (log_odds(windows + 0.01 * own) - log_odds(windows - 0.01 * own)) / 0.02
        np.testing.assert_allclose(found[:, number], slope, atol=2e-3)


def test_only_the_band_of_the_tone_that_a_class_listens_to_counts():
    time = np.arange(LENGTH)
    listens = np.cos(2 * np.pi * 10 / LENGTH * time)  # 10 of 32 bins: band 2 of 8
    weights = np.zeros((LENGTH, 1, 3), np.float32)
    weights[:, 0, 1] = listens
    windows = (listens + np.cos(2 * np.pi * 25 / LENGTH * time)).astype(np.float32)[None, :, None]
    attributions = jax.jit(band_attributions(Linear(), BANDS))
    for label, sign in ((1, 1), (0, -1)):
        found = np.asarray(attributions(weights, windows, np.array([label])))[0]
        assert sign * found[2] > 1
        assert np.abs(np.delete(found, 2)).max() < 1e-4


def test_a_network_that_scales_its_windows_cares_for_their_shape_alone():
    """Of a network by its modules and of the blocked one, which compute the same."""
    windows, labels, variables = noise(6, tiny.LENGTH, 1), np.array([0, 1, 2, 0, 1, 2]), tiny.variables()
    found = []
    for way in ("modules", "blocked"):
        network = tiny.network.clone(implementation=way, standardise=True)
        found.append(np.asarray(jax.jit(band_attributions(network, BANDS))(variables, windows, labels)))
    assert np.abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[0].sum(1), 0, atol=1e-3 * np.abs(found[0]).max())
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_windows_are_told_one_by_one():
    windows, weights = noise(4, LENGTH, 1), noise(LENGTH, 1, 3, seed=1)
    attributions = jax.jit(band_attributions(Linear(), BANDS))
    whole = attributions(weights, windows, np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(attributions(weights, windows[2:3], np.array([2])), whole[2:3], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_asked():
    with pytest.raises(UserError, match="no other that a frequency could speak for"):
        band_attributions(tiny.network.clone(classes=1))
    for bands in (0, 33):
        with pytest.raises(UserError, match=f"windows of 64 samples have from 1 to 32 bands, got {bands}"):
            band_attributions(Linear(), bands)(noise(LENGTH, 1, 3), noise(1, LENGTH, 1), np.array([0]))
