"""A model whose windows are revolutions of the shaft: what is kept of that, and its answers at other speeds."""

import dataclasses
import json

import numpy as np
import pytest
import tiny

from drsn_jax.core.errors import UserError
from drsn_jax.data.recordings import Recording
from drsn_jax.data.resampling import in_revolutions
from drsn_jax.diagnosis.asking import ask, trained_bearing
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.description import BundleError, read_description
from drsn_jax.diagnosis.diagnosis import diagnose
from drsn_jax.diagnosis.labelled import labelled_windows
from drsn_jax.diagnosis.report import write_report
from drsn_jax.functional.bearings import named_bearing

RATE, SAMPLES = 8000, 32  # two revolutions are a window


@pytest.fixture(scope="module")
def bundle():
    return Bundle(
        tiny.network.clone(standardise=True),
        tiny.variables(),
        ("a", "b", "c"),
        tiny.LENGTH,
        SAMPLES,
        tiny.LENGTH,
        per_revolution=True,
    )


def vibration(speed, seconds=4.0):
    """The orders 2 and 5 of a shaft."""
    turns = speed * np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * 2 * turns) + 0.5 * np.sin(2 * np.pi * 5 * turns)).astype(np.float32)


def test_it_is_kept_and_told(bundle, tmp_path):
    assert repr(bundle).endswith("windows of 64 samples × 1 channel at 32 samples a revolution)")
    save(tmp_path / "model", bundle)
    assert read_description(tmp_path / "model")["format"] == 6  # an earlier version would take the rate for Hz
    assert load(tmp_path / "model").per_revolution
    page = write_report(tmp_path, bundle, []).read_text(encoding="utf-8")
    assert "64 samples, 2 revolutions of the shaft at 32 samples in each" in page


def test_other_models_are_described_as_before(bundle, tmp_path):
    save(tmp_path / "model", dataclasses.replace(bundle, per_revolution=False))
    found = json.loads((tmp_path / "model" / "model.json").read_text())
    assert found["format"] == 6
    assert "per_revolution" not in found
    assert not load(tmp_path / "model").per_revolution


def test_a_wrong_fact_is_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match="per_revolution is 'yes', expected true or false"):
        save(tmp_path / "model", dataclasses.replace(bundle, per_revolution="yes"))


def test_the_answer_is_the_same_at_another_speed(bundle):
    slow, fast = (bundle.diagnose(vibration(speed), RATE, speed) for speed in (20.0, 31.7))
    assert (len(slow.starts), len(fast.starts)) == (40, 63)
    # the filter sees the ends
    np.testing.assert_allclose(slow.probabilities[1:-1], slow.probabilities[1:2].repeat(38, 0), atol=1e-3)
    np.testing.assert_allclose(fast.probabilities[1:-1], slow.probabilities[1:2].repeat(61, 0), atol=1e-2)
    with pytest.raises(BundleError, match="it needs the speed of every recording: give it by speed"):
        bundle.diagnose(vibration(20.0), RATE)
    with pytest.raises(ValueError, match="the speed of the signal is a positive number of revolutions a second, got 0"):
        bundle.diagnose(vibration(20.0), RATE, 0.0)


def test_a_file_is_asked_by_its_speed(bundle, tmp_path):
    np.save(tmp_path / "x.npy", vibration(20.0))
    asked = ask(bundle, tmp_path / "x.npy", sampling_rate=RATE, speed=20.0)
    found = bundle.diagnose(vibration(20.0), RATE, 20.0)
    np.testing.assert_array_equal(asked.found.probabilities, found.probabilities)
    # what is drawn and looked at is the signal of the windows, with its samples a second
    assert (asked.signal.sampling_rate, asked.length) == (640.0, 2560)
    np.testing.assert_array_equal(asked.signal.read(100, 200), in_revolutions(vibration(20.0), RATE, 20.0, SAMPLES)[100:200])
    assert asked.signal.rate_from == "the rate that was given, resampled from 8000 Hz by the speed"
    assert asked.found.warnings == ()
    slow = ask(bundle, tmp_path / "x.npy", sampling_rate=RATE, speed=400.0).found.warnings[0]
    assert slow.startswith("it has 20 samples in a revolution, fewer than the 32 of the training: its highest orders are empty")
    with pytest.raises(ValueError, match="holds no sampling rate"):  # none can be assumed
        ask(bundle, tmp_path / "x.npy", speed=20.0)
    with pytest.raises(BundleError, match="needs the speed"):
        ask(bundle, tmp_path / "x.npy", sampling_rate=RATE)


def test_physics_is_told_of_the_file_as_it_was_recorded(bundle, tmp_path):
    """At equal angles it has lost all frequencies above half of the samples of a revolution, where a fault may ring."""
    whole = vibration(20.0)
    np.save(tmp_path / "x.npy", whole)
    asked = ask(bundle, tmp_path / "x.npy", sampling_rate=RATE, speed=20.0)
    assert (asked.recorded.sampling_rate, asked.recorded.length) == (RATE, len(whole))
    np.testing.assert_allclose(asked.recorded.read(5, 300)[:, 0], whole[5:300], rtol=1e-6)


def test_a_signal_in_seconds_is_not_taken_for_one_in_revolutions(bundle):
    with pytest.raises(UserError, match=r"revolutions of the shaft: ask it by Bundle.diagnose\(signal, rate, speed\)"):
        diagnose(bundle, vibration(20.0), RATE)
    seconds = dataclasses.replace(bundle, per_revolution=False, sampling_rate=RATE)
    with pytest.raises(BundleError, match="are in seconds, so that it has no use for a speed"):
        seconds.diagnose(vibration(20.0), RATE, 20.0)


def test_labelled_recordings_are_of_the_same_kind(bundle):
    given = [Recording(vibration(20.0)[:, None], "a", RATE, speed=20.0, name="x")]
    with pytest.raises(ValueError, match="x is sampled in Hz and the training data at equal angles of the shaft"):
        labelled_windows(bundle, given)


def test_the_bearing_of_the_training_is_known(bundle):
    bearing = named_bearing("6205")
    assert trained_bearing(dataclasses.replace(bundle, training={"bearing": bearing._asdict()})) == bearing
    for other in (None, "6205", {"bpfi": 5.4}, bearing._asdict() | {"bpfi": -1}, bearing._asdict() | {"bpfi": "x"}):
        assert trained_bearing(dataclasses.replace(bundle, training={"bearing": other})) is None
    assert trained_bearing(bundle) is None
