"""TDMS files: channels by group and name, rates of waveforms, files that were cut short or not closed."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nptdms import ChannelObject, GroupObject, RootObject, TdmsWriter
from nptdms.test import scenarios
from signal_files import PAIR, refused, whole

from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recordings import read_folder

X, Y = PAIR[:, 0].astype(np.float64), PAIR[:, 1].astype(np.float64)
RATED = {"wf_increment": 1 / 25600}


def write(file, channels, group=None, root=None, segments=1):
    """Write channels ``{"group/name": (values, properties)}``, the same in every segment."""
    with TdmsWriter(file) as writer:
        for _ in range(segments):
            groups = dict.fromkeys(name.split("/")[0] for name in channels)
            paths = [name.partition("/")[::2] for name in channels]
            objects = [ChannelObject(*path, *held) for path, held in zip(paths, channels.values(), strict=True)]
            writer.write_segment([RootObject(root or {}), *(GroupObject(name, group or {}) for name in groups), *objects])


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="+*?[]", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
TYPES = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])


@given(st.data())
def test_files_of_the_library_itself_are_read_right(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "a.tdms"
    names = data.draw(st.lists(NAMES.filter(lambda name: name.strip() == name), min_size=1, max_size=4, unique=True))
    rate = data.draw(st.sampled_from([None, 12000, 12800, 25600, 48000, 51200, 97656, 97656.25, 0.5]))
    segments = data.draw(st.integers(1, 3))
    channels, truth = {}, {}
    for name in names:
        kind, count = data.draw(TYPES), data.draw(st.integers(3, 20))
        values = np.random.default_rng(count).integers(0, 100, count).astype(kind)
        channels[f"g/{name}"] = values, {"wf_increment": 1 / rate} if rate else {}
        truth[f"g/{name}"] = np.tile(values, segments)
    write(file, channels, segments=segments)
    for name, values in truth.items():
        signal = open_signal(file, name)
        assert (signal.channel, signal.length, signal.sampling_rate) == (name, len(values), rate)
        np.testing.assert_array_equal(signal.read(1, signal.length - 1)[:, 0], values[1:-1])
    if len(names) == 1:
        np.testing.assert_array_equal(whole(file)[:, 0], truth[f"g/{names[0]}"])
    else:
        refused(file, f"{len(names)} signals", "channel")


@pytest.mark.parametrize(("made", "expected"), scenarios.get_scenarios())
def test_the_layouts_that_the_library_is_tested_by(tmp_path, recwarn, capfd, request, made, expected):
    """Interleaved, chunked, scaled and unfinished segments, channels that come and go."""
    file = tmp_path / "a.tdms"
    file.write_bytes(made.get_bytes_io_file().read())
    for (group, name), values in expected.items():
        if np.asarray(values).dtype.kind in "iuf" and len(values):
            np.testing.assert_array_equal(whole(file, f"{group}/{name}")[:, 0], np.float32(values))
        else:
            refused(file, channel=f"{group}/{name}")
    unfinished = "incomplete_last" in request.node.callspec.id
    assert {w.category for w in recwarn} <= {RecordingWarning}
    assert bool(recwarn) == unfinished
    assert capfd.readouterr() == ("", "")


def test_the_only_signal_beside_a_time_axis_and_constants_and_none_beside_another(tmp_path):
    file = tmp_path / "a.tdms"
    beside = {"g/acc": (X, {}), "g/time": (np.arange(1000) / 25600, {}), "h/words": (["a", "b"], {})}
    write(file, beside)
    assert open_signal(file, "g/acc").sampling_rate == 25600
    assert open_signal(file, "g/acc").rate_from == "the times in g/time"
    write(file, {**beside, "g/rms": (Y, {})})
    message = refused(file, "signals", "g/acc", "g/rms", "channel")
    assert "words" not in message
    np.testing.assert_array_equal(whole(file, "*/rms + *acc"), PAIR[:, ::-1])
    refused(file, "h/words is of type", channel="h/words")
    write(file, {"g/a": (X, {}), "g/b": (Y[:500], {})})
    refused(file, "the channels differ in length (g/a: 1000, g/b: 500)", channel="g/a+g/b")


@pytest.mark.parametrize(
    ("own", "group", "root", "rate", "source"),
    [
        (RATED, {}, {}, 25600, "the property wf_increment of g/a"),
        ({}, {"Sampling Rate": 12000.0}, {}, 12000, "the property Sampling Rate of g"),
        ({}, {}, {"fs": "48000"}, 48000, "the property fs of the file"),
        (RATED, {"sample_rate": 25600.1}, {}, 25600, "the property wf_increment of g/a"),
        ({"wf_increment": 0.0}, {}, {}, None, ""),
        ({"wf_increment": -1.0}, {}, {}, None, ""),
        ({"wf_increment": 1.0}, {}, {}, None, ""),  # what LabVIEW writes where nobody said it
        ({"wf_increment": 0.5, "wf_xunit_string": "ms"}, {}, {}, 2000, "the property wf_increment of g/a"),
        ({"wf_increment": 0.5, "wf_xunit_string": "deg"}, {}, {}, None, ""),  # over an angle
        ({"fs": 25.6, "fs_unit": "kHz"}, {}, {}, 25600, "the property fs of g/a"),
        ({}, {"name": "g"}, {"rpm": 1797.0}, None, ""),
    ],
)
def test_where_the_rate_is_from(tmp_path, own, group, root, rate, source):
    file = tmp_path / "a.tdms"
    write(file, {"g/a": (X, own)}, group, root)
    signal = open_signal(file, "g/a")
    assert (signal.sampling_rate, signal.rate_from) == (rate, source)


def test_a_spectrum_is_refused_also_where_it_is_asked_for(tmp_path):
    write(tmp_path / "a.tdms", {"g/a": (X, {"wf_increment": 0.5, "wf_xunit_string": "Hz"})})
    refused(tmp_path / "a.tdms", "g/a is a spectrum", channel="g/a")


@pytest.mark.parametrize(("name", "unit"), [("Time (ms)", ""), ("Time", "ms"), ("t_ms", "")])
def test_a_channel_of_times_has_its_own_unit(tmp_path, name, unit):
    times = np.arange(len(X)) / 4000 * 1000
    write(tmp_path / "a.tdms", {f"g/{name}": (times, {"unit_string": unit}), "g/a": (X, {})})
    assert open_signal(tmp_path / "a.tdms", "g/a").sampling_rate == 4000


@pytest.mark.parametrize("times", [np.arange(1000) % 500 / 1000, np.arange(1000) / 1000 + (np.arange(1000) > 499)])
def test_times_that_jump(tmp_path, times):
    write(tmp_path / "a.tdms", {"g/Time": (times, {}), "g/a": (X, {})})
    refused(tmp_path / "a.tdms", "g/Time jumps before sample 500", channel="g/a")


def test_rates_that_contradict_each_other(tmp_path):
    file = tmp_path / "a.tdms"
    write(file, {"g/a": (X, RATED)}, {"Fs": 12800.0})
    refused(file, "two sampling rates", "25600 Hz", "12800 Hz", channel="g/a")
    write(file, {"g/a": (X, RATED), "g/b": (Y, {"wf_increment": 1 / 51200})})
    refused(file, "two sampling rates", channel="g/a+g/b")
    assert open_signal(file, "g/b").sampling_rate == 51200


def test_every_cut_is_found_but_one_between_segments_which_the_index_finds(tmp_path):
    file = tmp_path / "a.tdms"
    write(file, {"g/a": (X[:40], RATED), "g/b": (Y[:40], {})}, segments=3)
    content = file.read_bytes()
    ends, place = set(), 0
    while place < len(content):
        place += 28 + struct.unpack_from("<Q", content, place + 12)[0]
        ends.add(place)
    for cut in sorted({*range(1, len(content), 23), *(end + off for end in ends for off in (-8, -1, 0, 1, 27, 28, 29))}):
        if cut >= len(content):
            continue
        file.write_bytes(content[:cut])
        if cut in ends:
            assert open_signal(file, "g/a").length in (40, 80)
        else:
            with pytest.raises(RecordingError):
                open_signal(file, "g/a")
    with TdmsWriter(str(file), index_file=True) as writer:
        for _ in range(3):
            writer.write_segment([ChannelObject("g", "a", X[:40])])
    content = file.read_bytes()
    assert open_signal(file).length == 120
    file.write_bytes(content[: content.rindex(b"TDSm")])
    refused(file, "is cut short: a.tdms_index beside it promises")
    (tmp_path / "a.tdms_index").write_bytes(b"TDSh")
    file.write_bytes(content)
    assert open_signal(file).length == 120


def test_an_index_of_another_file_is_not_believed(tmp_path):
    file = tmp_path / "a.tdms"
    with TdmsWriter(str(file), index_file=True) as writer:
        writer.write_segment([ChannelObject("g", "a", X[:40])])
    write(file, {"g/other": (Y, RATED)})
    np.testing.assert_array_equal(whole(file), PAIR[:, 1:])


def test_more_values_than_the_segments_hold_are_damage(tmp_path):
    """npTDMS would return what there is."""
    file = tmp_path / "a.tdms"
    write(file, {"g/a": (X, {})})
    content = file.read_bytes()
    file.write_bytes(content[:12] + struct.pack("<Q", struct.unpack_from("<Q", content, 12)[0] - 8) + content[20:-8])
    assert open_signal(file).length == 999
    file.write_bytes(content.replace(struct.pack("<Q", 1000), struct.pack("<Q", 2**60), 1))
    with pytest.raises(RecordingError):
        whole(file)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    file = tmp_path / "a.tdms"
    write(file, {"g/a": (X, {})})
    signal = open_signal(file)
    file.write_bytes(file.read_bytes()[:-80])
    with pytest.raises(RecordingError, match="has become shorter"):
        signal.read(0, 1000)
    file.unlink()
    with pytest.raises(RecordingError, match="damaged"):
        signal.read(0, 1000)


def test_numbers_that_float32_cannot_hold_are_offered_as_they_are(tmp_path):
    file = tmp_path / "a.tdms"
    write(file, {"g/a": (1e8 + X, {}), "g/b": (Y.astype(np.float32), {})})
    signal = open_signal(file, "g/a")
    assert signal.wide is not None
    np.testing.assert_array_equal(signal.wide(5, 20)[:, 0], 1e8 + X[5:20])
    assert open_signal(file, "g/b").wide is None


def test_a_folder_of_files_with_their_indices_is_read_with_its_rates(tmp_path):
    for label in ("faulty", "healthy"):
        (tmp_path / label).mkdir()
        with TdmsWriter(str(tmp_path / label / "a.tdms"), index_file=True) as writer:
            writer.write_segment([ChannelObject("g", "acc", X, RATED), ChannelObject("g", "rpm", np.full(1000, 1797.0))])
    with pytest.warns(RecordingWarning, match=r"faulty/a\.tdms_index, healthy/a\.tdms_index"):
        recordings = read_folder(tmp_path, channel="*/acc")
    assert [(r.label, r.sampling_rate, r.signal.shape) for r in recordings[:1]] == [("faulty", 25600, (1000, 1))]
