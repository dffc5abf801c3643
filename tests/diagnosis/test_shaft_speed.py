"""The speed of a shaft from its vibration: made-up shafts, the simulated machine, real recordings, and what is unknown."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.errors import UserError
from drsn_jax.data.drivetrain import LOADS, SAMPLING_RATE, simulate
from drsn_jax.data.drivetrain_faults import STATES
from drsn_jax.data.recordings import read_recordings
from drsn_jax.diagnosis.shaft_speed import shaft_speed

RATE = 4000.0
TABLE = Path(__file__).parents[2] / "experiments" / "recordings" / "cwru_drive_end_12k.csv"
NOMINAL = {"0 hp": 1797 / 60, "1 hp": 1772 / 60, "2 hp": 1750 / 60, "3 hp": 1730 / 60}


def shaft(hz, seconds=8.0, noise=1.0, lines=(1, 2, 3, 4, 5), seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    turning = [np.cos(2 * np.pi * hz * number * time + rng.uniform(0, 6)) / number for number in lines]
    return np.sum(turning, 0) + noise * rng.normal(size=len(time))


@given(hz=st.floats(12, 48), seed=st.integers(0, 20))
def test_the_spacing_of_the_lines_is_found(hz, seed):
    found = shaft_speed(shaft(hz, seed=seed), RATE, 10.0, 50.0)
    assert found.hz == pytest.approx(hz, rel=0.005)


def test_a_shaft_without_one_of_its_lines_is_found_too():
    for lines in ((1, 2, 4, 5), (2, 3, 4, 5), (1, 3, 4)):
        assert shaft_speed(shaft(23.7, lines=lines), RATE, 15.0, 40.0).hz == pytest.approx(23.7, rel=0.005)


def test_a_narrow_range_makes_it_known():
    """Half the speed has two of its lines, so that in a wide range it is a rival."""
    wide, narrow = (shaft_speed(shaft(30.0), RATE, *limits) for limits in ((10.0, 50.0), (24.0, 36.0)))
    assert wide.hz == pytest.approx(narrow.hz, rel=0.001)
    assert narrow.rival < 0.75 * wide.rival
    assert narrow.known


@pytest.mark.parametrize("seconds", [2, 5, 20])
@pytest.mark.parametrize("limits", [(10.0, 50.0), (20.0, 40.0), (28.0, 32.0), (29.6, 30.2)])
def test_noise_has_no_speed(seconds, limits):
    """Nor in a range so narrow that no other speed is in it."""
    for seed in range(40):
        noise = np.random.default_rng(seed).standard_normal((round(seconds * RATE),))
        assert not shaft_speed(noise, RATE, *limits).known


def test_a_shaft_outside_of_the_range_is_not_known():
    for limits in ((30.2, 31.6), (25.0, 29.5), (31.0, 36.0)):
        assert not shaft_speed(shaft(29.95, noise=0.3), RATE, *limits).known


@pytest.mark.parametrize("hz", [50.0, 60.0])
def test_the_hum_of_the_mains_is_no_shaft(hz):
    """Neither at its own frequency nor at half of it, of which it has every second line."""
    hum = shaft(hz, lines=(1, 2, 3, 4, 5, 6, 7), noise=0.1)
    for limits in ((20.0, 40.0), (hz - 5, hz + 5), (hz / 2 - 2, hz / 2 + 2)):
        assert not shaft_speed(hum, RATE, *limits).known


def test_a_single_tone_is_no_shaft():
    hum = np.sin(2 * np.pi * 50.0 * np.arange(32_000) / RATE) + 0.01 * np.random.default_rng(0).normal(size=32_000)
    assert not shaft_speed(hum, RATE, 10.0, 60.0).known


def test_the_gain_and_the_offset_do_not_matter():
    one, other = shaft_speed(shaft(27.0), RATE, 20.0, 35.0), shaft_speed(1e-3 * shaft(27.0) + 7, RATE, 20.0, 35.0)
    assert other.hz == one.hz
    assert (other.rival, *other.above_db) == pytest.approx((one.rival, *one.above_db), rel=1e-6)


def test_the_motor_of_the_simulated_machine_slips():
    """Its shaft turns slower than it is set, by half a per cent to 3 %, the more the higher its load."""
    cells = [(STATES.index(state), load) for load in LOADS for state in ("healthy", "inner race")]
    states, loads = (np.array(column) for column in zip(*cells, strict=True))
    recordings = jax.jit(jax.vmap(functools.partial(simulate, length=40 * 2048), (0, 0, None, 0)))
    signals = np.asarray(recordings(jax.random.split(jax.random.key(0), len(cells)), states, 30.0, loads))
    speeds = [shaft_speed(signal, SAMPLING_RATE, 20.0, 40.0).hz for signal in signals]
    by_load = np.mean(np.reshape(speeds, (len(LOADS), 2)), 1).tolist()
    assert by_load == sorted(by_load, reverse=True)
    assert 29.0 < by_load[-1] < by_load[0] < 29.95


def test_the_recordings_of_case_western(data_folder):
    """Between 600 and 3,600 rpm all are found, and between 1,200 and 2,400 all are known."""
    recordings = read_recordings(TABLE, data_folder / "cwru" / "drive_end_12k")
    assert len(recordings) == 36
    for recording in recordings:
        wide, narrow = (shaft_speed(np.asarray(recording.signal), 12_000.0, *limits) for limits in ((10.0, 60.0), (20.0, 40.0)))
        assert wide.hz == pytest.approx(NOMINAL[recording.condition], rel=0.007)
        assert narrow.hz == pytest.approx(NOMINAL[recording.condition], rel=0.007)
        assert narrow.known


@pytest.mark.parametrize(
    ("signal", "limits", "words"),
    [
        (np.ones((4000, 2)), (10.0, 50.0), r"one channel \(length, 1\), got the shape \(4000, 2\)"),
        (shaft(30.0), (50.0, 10.0), "the lower one first, got 50 and 10"),
        (shaft(30.0), (0.0, 10.0), "two positive numbers"),
        (shaft(30.0), (10.0, np.nan), "two positive numbers"),
        (shaft(30.0), (10.0, 400.0), "5 lines of a shaft at 400 Hz need more than 5280 samples a second"),
        (shaft(30.0, seconds=1.0), (10.0, 50.0), r"lasts 1 s, and 20 revolutions of 10 Hz take 2: take a longer one"),
        (np.ones(40_000), (10.0, 50.0), "no vibration at all"),
        (np.where(np.arange(40_000) == 7, np.nan, shaft(30.0, seconds=10.0)), (10.0, 50.0), "not finite"),
        (np.zeros(0), (10.0, 50.0), "lasts 0 s"),
    ],
)
def test_what_cannot_be_searched(signal, limits, words):
    with pytest.raises(UserError, match=words):
        shaft_speed(signal, RATE, *limits)
