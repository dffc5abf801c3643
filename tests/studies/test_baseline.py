"""The power spectrum with logistic regression, which is no network."""

import numpy as np
import pytest
import tiny

from drsn_jax.studies.baseline import spectrum_classifier, spectrum_features


def tone(cycles, amplitude=1.0, length=512):
    """A tone of so many cycles in 128 samples."""
    return (amplitude * np.sin(2 * np.pi * cycles * np.arange(length) / 128)).astype(np.float32)


@pytest.mark.parametrize(("length", "bins"), [(512, 65), (128, 65), (200, 65), (64, 33), (32, 17)])
def test_one_feature_for_each_bin_and_channel(length, bins):
    windows = np.random.default_rng(0).normal(size=(5, length, 2)).astype(np.float32)
    assert spectrum_features(windows).shape == (5, 2 * bins)


@pytest.mark.parametrize("cycles", [5, 10, 40])
def test_a_tone_stands_in_its_bin(cycles):
    features = spectrum_features(tone(cycles)[None, :, None])[0]
    assert features.argmax() == cycles
    beyond = np.abs(np.arange(65) - cycles) > 2
    assert features[beyond].max() < features[cycles] - 10


def test_a_feature_is_the_logarithm_of_power():
    once, thrice = (spectrum_features(tone(10, amplitude)[None, :, None])[0, 10] for amplitude in (1, 3))
    assert thrice - once == pytest.approx(np.log(9), rel=1e-3)
    # Hann window: a tone of power 1/2 is spread over 1.5 bins of width 1/128
    assert once == pytest.approx(np.log(0.5 * 128 / 1.5), abs=0.01)


def test_silence_is_finite():
    features = spectrum_features(np.zeros((2, 256, 1), np.float32))
    assert np.all(np.isfinite(features))
    assert np.all(features < -80)


def test_two_tones_are_told_apart():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    windows = np.stack([tone([10, 14][label]) for label in labels]) + rng.normal(size=(40, 512))
    model, parameters = spectrum_classifier(windows[:20, :, None], labels[:20])
    np.testing.assert_array_equal(model.predict(spectrum_features(windows[20:, :, None])), labels[20:])
    assert parameters == 65 + 1


def test_three_classes_have_three_rows_of_parameters():
    windows, labels = tiny.tones(30)
    assert spectrum_classifier(windows, labels)[1] == 3 * (33 + 1)


def test_silent_windows_do_not_stop_it():
    windows, labels = tiny.tones(12)
    windows = windows.copy()
    windows[0] = 0
    model, _ = spectrum_classifier(windows, labels)
    assert np.all(np.isfinite(model.predict_proba(spectrum_features(windows))))
