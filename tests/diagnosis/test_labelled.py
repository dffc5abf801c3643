"""What is refused where a kept model is tested on labelled recordings."""

import dataclasses

import numpy as np
import pytest
import tiny

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recording import Recording
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.labelled import labelled_windows

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
