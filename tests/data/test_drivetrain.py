"""The simulated drivetrain: every fault shows where theory puts it, and nothing gives a state away that should not."""

import functools
import itertools

import jax
import numpy as np
import pytest
from scipy import signal
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from drsn_jax.data.drivetrain import LOADS, SAMPLING_RATE, SPEEDS, characteristic_frequency, drivetrain_recordings, simulate
from drsn_jax.data.drivetrain_faults import STATES

FAULTS = STATES[1:]
LENGTH = 4096


@pytest.fixture(scope="module")
def long_recordings():
    """One recording of 6.4 s of every cell: {(state, speed, load): signal}."""
    signals = [r.signal[:, 0] for r in drivetrain_recordings(3, recordings=1, windows=40)]
    return dict(zip(itertools.product(STATES, SPEEDS, LOADS), signals, strict=True))


@pytest.fixture(scope="module")
def short_recordings():
    return drivetrain_recordings(windows=5)


def envelope_line(x, state, speed):
    """How far the envelope spectrum stands out at the state's frequency, up to 4 % lower for the slip of the motor."""
    # a root crack modulates the mesh, all others come through the resonances
    mesh = 100 * speed / 6
    band = (0.8 * mesh, 1.2 * mesh) if state == "root crack" else (1800, 5500)
    sos = signal.butter(4, band, "bandpass", fs=SAMPLING_RATE, output="sos")
    envelope = np.abs(signal.hilbert(signal.sosfiltfilt(sos, x)))
    spectrum = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(x))))
    ratio = np.fft.rfftfreq(len(x), 1 / SAMPLING_RATE) / characteristic_frequency(state, speed)
    around = spectrum[(ratio > 0.8) & (ratio < 1.2)]
    return spectrum[(ratio > 0.96) & (ratio < 1.005)].max() / np.median(around)


@pytest.mark.parametrize("state", FAULTS)
def test_envelope_shows_the_fault_and_a_healthy_machine_shows_none(long_recordings, state):
    for speed, load in itertools.product(SPEEDS, LOADS):
        assert envelope_line(long_recordings[state, speed, load], state, speed) > 15
        assert envelope_line(long_recordings["healthy", speed, load], state, speed) < 5


def test_characteristic_frequencies():
    # 9 balls of 0.23 pitch diameters; 3 planets that meet the sun at 5/6 of its speed
    expected = dict(zip(FAULTS, [166.05, 103.95, 123.535] + 4 * [75.0], strict=True))
    for index, state in enumerate(STATES[1:], 1):
        assert characteristic_frequency(state, 30.0) == pytest.approx(expected[state], rel=1e-4)
        assert characteristic_frequency(index, 20) == pytest.approx(2 / 3 * expected[state], rel=1e-4)
    for healthy in ("healthy", 0):
        with pytest.raises(ValueError, match="no characteristic frequency"):
            characteristic_frequency(healthy, 30.0)
    for unknown in ("gear", 8, -1):
        with pytest.raises(ValueError, match="unknown state"):
            characteristic_frequency(unknown, 30.0)


def test_one_function_maps_over_keys_states_speeds_and_loads():
    keys = jax.random.split(jax.random.key(1), len(STATES))
    states, speeds, loads = np.arange(len(STATES)), np.linspace(20, 40, len(STATES)), np.linspace(1, 18, len(STATES))
    mapped = jax.vmap(functools.partial(simulate, length=LENGTH))(keys, states, speeds, loads)
    assert mapped.shape == (len(STATES), LENGTH, 1)
    assert mapped.dtype == np.float32
    for i in range(len(STATES)):
        alone = simulate(keys[i], i, float(speeds[i]), float(loads[i]), LENGTH)
        # where an impact falls between two samples hangs on the rounding of its phase
        np.testing.assert_allclose(mapped[i], alone, atol=0.02 * float(np.std(alone)))


def test_the_key_decides_everything():
    first, same, other = (simulate(jax.random.key(k), 2, 30.0, 6.0, LENGTH) for k in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(np.corrcoef(first[:, 0], other[:, 0])[0, 1]) < 0.5


@pytest.mark.parametrize("length", [2, 1001])
def test_every_length_is_made(length):
    signal = simulate(jax.random.key(0), 1, 20.0, 1.0, length)
    assert signal.shape == (length, 1)
    assert np.isfinite(signal).all()


def test_another_length_is_the_same_machine(long_recordings):
    short = drivetrain_recordings(3, recordings=1, windows=5)
    for a, b in zip(short, long_recordings.values(), strict=True):
        assert a.signal.std() == pytest.approx(b.std(), rel=0.1)
        assert a.signal.mean() == pytest.approx(b.mean(), abs=0.05 * float(b.std()))


def test_a_recording_needs_two_samples():
    with pytest.raises(ValueError, match="at least 2 samples"):
        simulate(jax.random.key(0), 0, 20.0, 1.0, 1)


def test_recordings_are_named_and_complete(short_recordings):
    assert len(short_recordings) == 72 * 5
    assert len({r.name for r in short_recordings}) == 72 * 5
    assert {(r.label, r.condition) for r in short_recordings} == {
        (state, f"{speed:g} Hz, {load:g} lb·ft") for state in STATES for speed in SPEEDS for load in LOADS
    }
    assert short_recordings[53].name == "inner race, 20 Hz, 6 lb·ft, recording 3"
    assert all(r.name.startswith(f"{r.label}, {r.condition}") for r in short_recordings)
    for r in short_recordings:
        assert r.signal.shape == (10240, 1)
        assert r.signal.dtype == np.float32
        assert np.isfinite(r.signal).all()
        assert (r.sampling_rate, r.group) == (12_800, "")


def test_recordings_do_not_depend_on_how_many_there_are(short_recordings):
    few, other = (drivetrain_recordings(seed, recordings=1, windows=5) for seed in (0, 10))
    more = [r for r in short_recordings if r.name.endswith("recording 0")]
    for a, b, c in zip(few, more, other, strict=True):
        assert a.name == b.name == c.name
        np.testing.assert_array_equal(a.signal, b.signal)
        assert not np.allclose(a.signal, c.signal, atol=0.1)


@pytest.mark.parametrize("name", ["recordings", "windows", "window_length"])
def test_counts_start_at_one(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        drivetrain_recordings(**{name: 0})


def test_gain_and_offset_are_the_sensors_own(short_recordings):
    scale = np.array([r.signal.std() for r in short_recordings]).reshape(len(STATES), -1)
    offset = np.array([r.signal.mean() for r in short_recordings]).reshape(len(STATES), -1)
    # the recordings of a state differ by far more than the states do
    assert (np.std(np.log(scale), axis=1) > 0.4).all()
    assert (np.std(offset, axis=1) > 0.4).all()
    assert np.std(np.log(scale).mean(1)) < 0.3
    assert np.std(offset.mean(1)) < 0.3


def features_by_recording(recordings, feature):
    """Features and labels of the windows of recordings 0-3, then of recording 4."""
    features = np.array([feature(r.signal[:, 0].reshape(-1, 2048)) for r in recordings])
    labels = np.array([len(x) * [r.label] for x, r in zip(features, recordings, strict=True)])
    test = np.array([r.name.endswith("recording 4") for r in recordings])
    return [(features[side].reshape(-1, features.shape[-1]), labels[side].reshape(-1)) for side in (~test, test)]


@pytest.mark.parametrize(
    "classifier",
    [RandomForestClassifier(50, min_samples_leaf=5, random_state=0), LogisticRegression()],
    ids=["forest", "linear"],
)
def test_scale_and_offset_do_not_tell_the_state(short_recordings, classifier):
    train, test = features_by_recording(short_recordings, lambda x: np.stack([x.mean(1), x.var(1)], 1))
    model = make_pipeline(StandardScaler(), classifier).fit(*train)
    assert model.score(*test) < 0.4


def test_the_average_spectrum_does_not_tell_the_state(short_recordings):
    train, test = features_by_recording(short_recordings, lambda x: np.log(signal.welch(x, nperseg=128)[1]))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-2)).fit(*train)
    assert 0.3 < model.score(*test) < 0.85
