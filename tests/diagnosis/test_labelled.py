"""A kept model on labelled recordings: what is refused, and whether the level of a window counts."""

import dataclasses

import numpy as np
import pytest
import tiny

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recording import Recording
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.labelled import evaluate_labelled, labelled_windows
from drsn_jax.functional.noise import Noise

MODEL = Bundle(tiny.network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 8000.0, tiny.LENGTH)


def recording(label, seed, length=4 * tiny.LENGTH):
    return Recording(np.random.default_rng(seed).normal(size=(length, 1)), label, 8000.0, name=f"{label}{seed}.npy")


def test_equal_samples_are_refused_as_before_a_training():
    first, other = recording("a", 0), recording("b", 1)
    assert len(labelled_windows(MODEL, [first, other]).windows) == 8
    with pytest.raises(RecordingError, match=r"a0.npy and copy.npy hold the same samples and have two labels, 'a' and 'b'"):
        labelled_windows(MODEL, [first, other, dataclasses.replace(first, label="b", name="copy.npy")])
    with pytest.raises(RecordingError, match="same samples, so that one measurement would count twice: leave one out"):
        labelled_windows(MODEL, [first, other, dataclasses.replace(first, name="copy.npy")])
    # windows that were given
    pair = [dataclasses.replace(r, unit=tiny.LENGTH) for r in (first, other)]
    pair[1] = dataclasses.replace(pair[1], signal=np.concatenate([other.signal, first.signal[-tiny.LENGTH :]]))
    with pytest.raises(RecordingError, match=r"window 3 of a0.npy and window 4 of b1.npy hold the same samples, with two labels"):
        labelled_windows(MODEL, pair)


def test_the_level_counts_where_it_does_for_the_model():
    first, other = recording("a", 0), recording("b", 1)
    first, other = (dataclasses.replace(r, signal=r.signal + level) for r, level in ((first, 30), (other, 10)))
    windows = labelled_windows(dataclasses.replace(MODEL, remove_mean=False), [first, other])
    np.testing.assert_allclose(windows.windows.mean((1, 2)), [30] * 4 + [10] * 4, atol=1)
    np.testing.assert_allclose(labelled_windows(MODEL, [first, other]).windows.mean((1, 2)), 0, atol=1e-5)
    # the level of a window is no part of the power that a noise is measured by
    seen = []

    class Watched(Bundle):
        def logits(self, windows, batch_size=None):
            seen.append(windows)
            return super().logits(windows, batch_size)

    model = Watched(**{**vars(MODEL), "remove_mean": False})
    list(evaluate_labelled(model, windows, [Noise("gaussian", 0.0)]))
    added = seen[0] - windows.windows
    varying = windows.windows - windows.windows.mean(1, keepdims=True)
    np.testing.assert_allclose(np.square(added).mean((1, 2)), np.square(varying).mean((1, 2)), rtol=1e-3)


def test_a_diagnosis_keeps_the_level_of_large_counts():
    """Which float32 would lose against their offset, were the first sample not subtracted for other models."""
    seen = []

    class Watched(Bundle):
        def predict_proba(self, windows):
            seen.append(windows)
            return super().predict_proba(windows)

    signal = 2.0**20 + recording("a", 0).signal.astype(np.float64) / 1000
    for keeps in (False, True):
        Watched(**{**vars(MODEL), "remove_mean": not keeps}).diagnose(signal, 8000.0)
        assert (seen.pop().mean() > 2**19) == keeps
