"""The speed of the shaft and its bearing: from a table, a channel, a condition, and what they make of a window."""

import numpy as np
import pytest
import scipy.io

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import Recording, fingerprint, read_recordings
from drsn_jax.data.shaft import named_speed, read_speed, shaft_facts, window_facts, with_speeds
from drsn_jax.functional.bearings import named_bearing
from drsn_jax.functional.gears import named_gear


def recording(condition="", speed=None, rate=51_200.0, **facts):
    signal = np.random.default_rng(0).normal(size=(100, 1))
    return Recording(signal, "a", rate, condition, speed=speed, **facts)


def speed_file(folder, values):
    vibration = np.random.default_rng(0).normal(size=2000)
    scipy.io.savemat(folder / "x.mat", {"vibration": vibration, "rpm": np.asarray(values, np.float64)})
    return folder / "x.mat"


def test_a_table_tells_speed_bearing_and_teeth(tmp_path):
    rng = np.random.default_rng(0)
    for name, signal in zip("abc", rng.normal(size=(3, 500)), strict=True):
        scipy.io.savemat(tmp_path / f"{name}.mat", {"v": signal, "rpm": np.full(50, 1500.0) + np.tile([-3, 3], 25)})
    (tmp_path / "t.csv").write_text(
        "path,label,sampling_rate,channel,speed_rpm,bearing,teeth\n"
        "a.mat,x,1000,v,1797,6205,21\nb.mat,y,1000,v,rpm,9 7.94 39.04,20 100 3\nc.mat,y,1000,v,,,\n"
    )
    found = read_recordings(tmp_path / "t.csv")
    assert [r.speed for r in found] == [pytest.approx(1797 / 60), pytest.approx(25.0), None]
    assert [r.bearing for r in found] == [named_bearing("6205"), named_bearing("9 7.94 39.04"), None]
    assert [r.gear for r in found] == [named_gear("21"), named_gear("20 100 3"), None]
    # what is known of the shaft decides no result by itself
    (tmp_path / "t.csv").write_text("path,label,sampling_rate,channel\na.mat,x,1000,v\nb.mat,y,1000,v\nc.mat,y,1000,v\n")
    assert fingerprint(found) == fingerprint(read_recordings(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("1500,6205,2", "a gear has at least 6 teeth, got 2"),
        ("1500,6205,21.5", "a gear is its whole number of teeth"),
        ("0,6205", "the speed_rpm '0' is not a positive number of revolutions a minute"),
        ("-5,6205", "the speed_rpm '-5' is not a positive"),
        ("nan,6205", "the speed_rpm 'nan' is not a positive"),
        ("speed,6205", "holds no signal 'speed', choose one of v"),
        ("1500,6206", "'6206' is no bearing whose geometry is known here"),
        ("1500,9 7.94", "a bearing is its name, or its number of balls"),
    ],
)
def test_cells_that_cannot_be_used_are_told_with_their_line(tmp_path, cells, message):
    scipy.io.savemat(tmp_path / "a.mat", {"v": np.random.default_rng(0).normal(size=500)})
    (tmp_path / "t.csv").write_text(f"path,label,sampling_rate,channel,speed_rpm,bearing,teeth\na.mat,x,1000,v,{cells}\n")
    with pytest.raises(RecordingError, match=rf"t\.csv, line 2: .*{message}"):
        read_recordings(tmp_path / "t.csv")


def test_the_mean_of_a_channel_is_its_speed(tmp_path):
    """Noise of the measurement counts little; a single number is one too."""
    noisy = 1500 + np.random.default_rng(0).normal(0, 10, 4000)
    assert read_speed(speed_file(tmp_path, noisy), "rpm") == pytest.approx(np.mean(noisy) / 60, rel=1e-6)
    assert read_speed(speed_file(tmp_path, [[1721]]), "rpm") == pytest.approx(1721 / 60)
    assert read_speed(tmp_path / "x.mat", "") is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.linspace(1400, 1600, 100),
            "its speed rpm is not constant, 1410 to 1590 rpm around a mean of 1500: .*resample_to_angle",
        ),
        (
            np.r_[np.full(60, 1500.0), np.nan, np.full(39, 1500.0)],
            "sample 60 of its speed rpm is nan, expected positive",
        ),
        (np.r_[np.full(60, 1500.0), 0.0], r"sample 60 of its speed rpm is 0, expected positive numbers"),
        (np.full(60, -1500.0), r"sample 0 of its speed rpm is -1500"),
    ],
)
def test_a_speed_with_gaps_or_changes_is_refused(tmp_path, values, message):
    with pytest.raises(RecordingError, match=message):
        read_speed(speed_file(tmp_path, values), "rpm")


def test_several_channels_are_no_speed(tmp_path):
    speed_file(tmp_path, np.full(2000, 1500.0))
    with pytest.raises(RecordingError, match=r"means 2 channels \(vibration \+ rpm\), name one"):
        read_speed(tmp_path / "x.mat", "vibration + rpm")


@pytest.mark.parametrize("speed", [0.0, -1.0, np.nan, np.inf, "25"])
def test_a_recording_has_a_positive_speed_or_none(speed):
    with pytest.raises(RecordingError, match="the speed of x is a positive number of revolutions a second, got"):
        recording(speed=speed, name="x")


def test_whose_speed_it_is():
    """That of the recording, of its condition, of the user, in this order."""
    given = [recording(speed=20.0), recording("1500 rpm, 3 hp"), recording("3 hp"), recording("0 rpm")]
    assert [r.speed for r in with_speeds(given, 1800.0)] == [20.0, 25.0, 30.0, 30.0]
    assert [r.speed for r in with_speeds(given)] == [20.0, 25.0, None, None]


def test_what_is_known_of_all_shafts():
    bearing = named_bearing("6205")
    same = [recording(speed=20.0, bearing=bearing), recording(speed=30.0, bearing=named_bearing("9 7.94 39.04"))]
    assert shaft_facts(same) == {"speed_rpm": [1200.0, 1800.0], "bearing": bearing._asdict()}
    assert shaft_facts([*same, recording(bearing=named_bearing("6203"))]) == {}
    assert shaft_facts([recording()]) == {}


def test_a_window_is_told_in_seconds_and_revolutions():
    assert window_facts(2048, [recording()]) == ["windows of 2,048 samples: 0.040 s"]
    assert window_facts(64, [recording(rate=1e6)]) == ["windows of 64 samples: 6.4e-05 s"]
    told, warning = window_facts(4096, [recording(speed=15.0), recording(speed=25.0)])
    assert told == "windows of 4,096 samples: 0.080 s, 1.2 to 2 revolutions at 900 to 1500 rpm"
    # two revolutions at 900 rpm are 6,827 samples
    assert warning.endswith("holds less than 2 revolutions, so that a fault may not be in it: --window-length 8192 holds more")
    told = "windows of 8,192 samples: 0.160 s, 2.4 revolutions at 900 rpm"
    assert window_facts(8192, [recording(speed=15.0)]) == [told]


def test_less_than_one_revolution_is_warned_of():
    _, warning = window_facts(2048, [recording(speed=15.0)])
    assert warning == (
        "warning: a window holds less than one revolution, so that frequencies of faults cannot be told apart in it: "
        "--window-length 8192 or --revolutions 5 holds more"
    )
    turned = recording(speed=15.0, rate=400, per_revolution=True)
    assert window_facts(2000, [turned]) == ["windows of 2,000 samples: 5 revolutions of the shaft, 400 samples in each"]
    told, warning = window_facts(200, [turned])
    assert told == "windows of 200 samples: 0.5 revolutions of the shaft, 400 samples in each"
    assert "less than one revolution" in warning


def test_speeds_are_found_in_conditions():
    names = ["1500 rpm", "900rpm_0.7Nm", "3 hp", "1797 r/min", "25 Hz", "0 rpmx", "N15_M07"]
    assert sorted(filter(None, map(named_speed, names))) == [900.0, 1500.0, 1797.0]


@pytest.mark.parametrize(
    ("condition", "rpm"),
    [
        ("1500 rpm", 1500.0),
        ("900rpm 0.7 Nm", 900.0),
        ("1,797 rpm", 1797.0),
        ("load 3, 1797.4 r/min", 1797.4),
        ("3 hp", None),
        ("900-1500 rpm", None),
        ("1500 rpm to 1800 rpm", None),
        ("ramp 0 to 3000 rpm", None),
        ("ramp up, 3000 rpm", None),
        ("300 rpm output of a motor at 1500 rpm", None),
        ("1.500 rpm", None),  # one and a half thousand, as some write it
        ("0 rpm", None),
    ],
)
def test_a_condition_tells_a_speed_beyond_doubt_or_none(condition, rpm):
    """By it recordings are brought to equal angles: a wrong one would spoil every window without a word."""
    assert named_speed(condition) == rpm
    (found,) = with_speeds([recording(condition)])
    assert found.speed == (None if rpm is None else rpm / 60)
