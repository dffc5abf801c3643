"""The methods beside the networks: their features, and that they learn and are tested like a network."""

import numpy as np
import pytest
import tiny

from drsn_jax.functional.mel import LogMel
from drsn_jax.functional.noise import Noise
from drsn_jax.studies import trial_data
from drsn_jax.studies.speech_peers import MEL_LOGISTIC, MFCC_SVM, cepstrum, peers, statistics

FRONT_END = LogMel(64.0, frame=16, hop=4, mels=4)


@pytest.mark.parametrize("name", [MEL_LOGISTIC, MFCC_SVM])
def test_a_peer_is_trained_and_tested_like_a_network(name):
    fold = tiny.fold(60, 30)
    data = trial_data.with_noise(fold, seed=0, noise=Noise("gaussian", 20.0))
    method = peers(tiny.CLASSES, FRONT_END)[name]
    result = method.run(data, seed=0)
    assert result.parameters > 0
    assert np.trace(result.test_confusion) == (result.predicted == fold.test.labels).sum()
    assert np.trace(result.test_confusion) >= 27
    assert np.trace(result.train_confusion) >= 54
    worse = method.retest(result, trial_data.tested_in(data, fold, seed=0, noise=Noise("gaussian", -20.0)))
    assert np.trace(worse.test_confusion) < np.trace(result.test_confusion)
    np.testing.assert_array_equal(worse.train_confusion, result.train_confusion)


def test_features():
    spectrograms = np.random.default_rng(0).normal(size=(3, 20, 6, 2))
    found = statistics(spectrograms)
    assert found.shape == (3, 24)
    np.testing.assert_allclose(found[1, :12].reshape(6, 2), spectrograms[1].mean(0))
    np.testing.assert_allclose(found[1, 12:].reshape(6, 2), spectrograms[1].std(0))
    flat = cepstrum(np.ones((2, 20, 6, 1)), coefficients=3, stretches=4)
    assert flat.shape == (2, 12)
    # a flat spectrum has only the first coefficient, and sqrt(6) is the norm of six ones
    np.testing.assert_allclose(flat[0], [np.sqrt(6), 0, 0] * 4, atol=1e-12)
