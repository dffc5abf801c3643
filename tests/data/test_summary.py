"""The look at recordings before training: what was taken, how much of each class, and a class that gives itself away."""

import fnmatch
import re

import numpy as np
import pytest
import scipy.io
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.data.recording_files import agreed_rate
from drsn_jax.data.recordings import Recording, read_folder, read_recordings
from drsn_jax.data.resampling import resample_to_revolutions
from drsn_jax.data.summary import common_channel, levels, summary, taken


def recording(label, level=1.0, condition="", length=2000, seed=0, **facts):
    signal = 100 + level * np.random.default_rng(seed).normal(size=(length, 1))
    return Recording(signal.astype(np.float32), label, 1000.0, condition, **facts)


def test_what_was_taken_and_how_much():
    recordings = [
        recording("good", 1.0, "1 hp", seed=1, name="1.mat", channel="X097_DE_time", rate_from="the table"),
        recording("good", 1.2, "1 hp", 4000, seed=2, name="2.mat", channel="X098_DE_time", rate_from="the table"),
        recording("worn", 1.1, "2 hp", seed=3, name="3.mat", channel="X097_DE_time", rate_from="the table"),
    ]
    level = levels(recordings)
    assert level == pytest.approx([1.0, 1.2, 1.1], rel=0.05)
    assert summary(recordings) == [
        "taken: channel X097_DE_time of 2 files (1.mat, 3.mat), 1000 Hz, by the table",
        "taken: channel X098_DE_time of 1 file (2.mat), 1000 Hz, by the table",
        "class  condition  files  seconds  Hz    level (RMS)",
        f"good   1 hp       2      6        1000  {level[0]:.3g} to {level[1]:.3g}",
        f"worn   2 hp       1      2        1000  {level[2]:.3g}",
    ]
    facts = {"sampling_rate": 1000.0, "rate_from": "the table"}
    assert taken(recordings) == [
        {"channel": "X097_DE_time", "files": ["1.mat", "3.mat"], **facts},
        {"channel": "X098_DE_time", "files": ["2.mat"], **facts},
    ]


def test_a_long_summary_is_one_row_for_each_class():
    recordings = [recording("ab"[i % 2], condition=str(i), channel=f"x{i}", seed=i, length=20) for i in range(100)]
    lines = summary(recordings)
    assert [line.split()[0] for line in lines] == ["taken:"] * 5 + ["and", "class", "a", "b"]
    assert "95 files more, all by channels such as x*" in lines[5]


@pytest.mark.parametrize(("level", "word"), [(5.0, "louder"), (0.2, "quieter")])
def test_a_class_that_gives_itself_away_by_its_level(level, word):
    recordings = [recording(label, 1.0 if label != "b" else level, seed=i) for i, label in enumerate("aabbc")]
    (warning,) = [line for line in summary(recordings) if line.startswith("warning")]
    assert "every recording of 'b' is at least 4.9" in warning
    assert f" times {word} than those" in warning
    recordings.append(recording("b", seed=9))
    assert not [line for line in summary(recordings) if "every recording" in line], "one of them is like the others"


@pytest.mark.parametrize(("level", "told"), [(4.0, "4.* times louder"), (0.2, "4.9 times quieter"), (2.0, "")])
def test_a_recording_whose_level_is_far_from_the_others_of_its_class(level, told):
    recordings = [recording(label, seed=i, name=f"{label}{i}.npy") for i, label in enumerate("aaabbb")]
    recordings[4] = recording("b", level, seed=9, name="odd.npy")
    found = [line for line in summary(recordings) if line.startswith("warning")]
    assert len(found) == bool(told)
    assert not told or re.match(f"warning: odd.npy is {told} than all others of its class: is its gain, unit", found[0])
    # another condition may be louder as a whole
    recordings += [recording("b", level, "fast", seed=20 + i, name=f"f{i}.npy") for i in range(3)]
    assert len([line for line in summary(recordings) if "others of its class" in line]) == bool(told)


def test_a_rate_that_may_be_the_speed_of_a_shaft(tmp_path):
    """As in a set whose variable fs is that. The rate that is given overrules it where that is asked for."""
    (tmp_path / "a").mkdir()
    signal = np.random.default_rng(0).normal(size=(2000, 1)).astype(np.float32)
    (warning,) = [line for line in summary([Recording(signal, "a", 24.6, rate_from="its fs")]) if line.startswith("warning")]
    assert warning.startswith("warning: 24.6 Hz by its fs is a low rate for vibration")
    assert agreed_rate("x.mat", 24.6, 51200.0, "its fs", overrule=True) == 51200.0
    with pytest.raises(ValueError, match="overrule_rate=True"):
        agreed_rate("x.mat", 24.6, 51200.0, "its fs")
    soundfile.write(tmp_path / "a" / "x.wav", signal[:, 0] / 8, 8000)
    (found,) = read_folder(tmp_path, sampling_rate=51200.0, overrule_rate=True)
    assert (found.sampling_rate, found.rate_from) == (51200.0, "the rate that was given")


def test_a_clipped_recording_is_told():
    signal = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
    signal[:, 1] = np.clip(signal[:, 1], -2, 2)
    recordings = [Recording(signal, "a", 1000.0, name="x"), Recording(signal[:, ::-1] + 1, "b", 1000.0, name="y")]
    (warning,) = [line for line in summary(recordings) if line.startswith("warning")]
    assert re.fullmatch(r"warning: 4\.\d % of x have its highest or lowest value: it is clipped .* \(2 recordings are.*", warning)
    assert not [line for line in summary([Recording(signal[:, :1], "a", 1000.0)]) if line.startswith("warning")]


def test_the_channel_of_a_model():
    assert common_channel(["a", "a"]) == "a"
    assert common_channel(["X097_DE_time", "X105_DE_time"]) == "X*_DE_time"
    assert common_channel(["X097_DE_time", "X098_DE_time"]) == "X*_DE_time"
    assert common_channel(["x1 + y1", "x2 + y2"]) == "x* + y*"
    for names in ([], ["", ""], ["a", ""], ["a", "b"], ["x + y", "x"]):
        assert common_channel(names) == ""


@given(st.lists(st.text("ab[*1_", min_size=1), min_size=1, max_size=4))
def test_the_common_channel_fits_every_name(names):
    pattern = common_channel(names)
    assert not pattern or all(name == pattern or fnmatch.fnmatchcase(name, pattern) for name in names)


def test_the_channels_of_a_table_and_where_a_rate_is_from(tmp_path):
    for name in ("X1", "X2"):
        values = np.random.default_rng(ord(name[1])).normal(size=300)
        scipy.io.savemat(tmp_path / f"{name}.mat", {f"{name}_DE_time": values, "other": values + 1})
    table = tmp_path / "recordings.csv"
    table.write_text("path,label,sampling_rate,channel\nX1.mat,a,100,*_DE_time\nX2.mat,b,100,X2_DE_time\n")
    found = read_recordings(table)
    assert [r.asked for r in found] == ["*_DE_time", "X2_DE_time"]
    assert {r.rate_from for r in found} == {"the table"}
    assert all(r.channel for r in found)


def test_speeds_stand_in_the_summary_and_revolutions_in_place_of_seconds():
    given = [recording("a", length=4000, speed=20.0, name="x"), recording("b", length=4000, speed=25.0, seed=1, name="y")]
    assert summary(given)[1:3] == [
        "class  files  seconds  Hz    rpm   level (RMS)",
        f"a      1      4        1000  1200  {levels(given)[0]:.3g}",
    ]
    turned = resample_to_revolutions(given, 40)
    lines = summary(turned)
    assert lines[0] == "taken: the only signal of 2 files (x, y), 40 samples a revolution, by resampled from 1000 Hz by the speed"
    # a low number of samples in a revolution is no low rate
    assert [line.split()[:5] for line in lines[2:]] == [["a", "1", "80", "40", "1200"], ["b", "1", "100", "40", "1500"]]
