"""MDF files: names of channels, rates of evenly spaced times, and what is refused."""

from typing import Any

import numpy as np
import pytest
from asammdf import MDF, Signal
from hypothesis import given
from hypothesis import strategies as st
from signal_files import PAIR, refused, whole, write_mdf

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal

X, Y = PAIR[:, 0].astype(np.float64), PAIR[:, 1].astype(np.float64)
TIMES = np.arange(1000) / 25600


@given(
    st.sampled_from([("4.00", 0), ("4.10", 0), ("4.10", 2), ("4.20", 1)]),
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "f4", "f8"]),
    st.integers(3, 200),
    st.sampled_from([100, 12000, 12800, 25600, 48000, 51200, 97656]),
    st.booleans(),
)
def test_files_of_the_library_itself_are_read_right(tmp_path_factory, version, kind, count, rate, alone):
    file = tmp_path_factory.getbasetemp() / "a.mf4"
    values = np.random.default_rng(count).integers(0, 100, count).astype(kind)
    times = 5 + np.arange(count) / rate
    groups = [[Signal(values, times, name="acc")]]
    if not alone:
        groups.append([Signal(np.arange(3.0) ** 2, np.arange(3.0), name="rpm")])
    write_mdf(file, groups, *version)
    signal = open_signal(file, "" if alone else "acc")
    assert (signal.length, signal.sampling_rate, signal.channel) == (count, rate, "acc")
    assert signal.rate_from == "the times of its samples"
    np.testing.assert_array_equal(signal.read(0, count)[:, 0], values)
    if not alone:
        refused(file, "2 signals", "acc", "rpm")


def test_one_name_in_two_groups(tmp_path):
    file = tmp_path / "a.mf4"
    write_mdf(file, [[Signal(X, TIMES, name="acc")], [Signal(Y, TIMES, name="acc"), Signal(-Y, TIMES, name="other")]])
    np.testing.assert_array_equal(whole(file, "2/acc"), PAIR[:, 1:])
    np.testing.assert_array_equal(whole(file, "2/acc + 1/acc"), PAIR[:, ::-1])
    np.testing.assert_array_equal(whole(file, "oth*"), -PAIR[:, 1:])
    refused(file, "'acc'", "1/acc, 2/acc", channel="acc")


def test_scaled_numbers_are_scaled_and_words_are_no_signal(tmp_path):
    file = tmp_path / "a.mf4"
    linear: Any = {"a": 0.5, "b": -3.0}
    words: Any = {"val_0": 0, "text_0": b"off", "val_1": 1, "text_1": b"on", "default": b"?"}
    raw = np.arange(1000, dtype="i2") % 7
    group = [
        Signal(raw, TIMES, name="acc", conversion=linear),
        Signal(raw % 2, TIMES, name="state", conversion=words),
    ]
    write_mdf(file, [group])
    np.testing.assert_array_equal(whole(file)[:, 0], 0.5 * raw - 3)
    refused(file, "state is of type text or bytes", channel="state")


@pytest.mark.parametrize(
    "times",
    [np.delete(np.append(TIMES, TIMES[-1] + 1 / 25600), 500), TIMES**2, np.sort(np.random.default_rng(0).uniform(0, 1, 1000))],
    ids=["one missing", "faster and slower", "at random"],
)
def test_times_that_are_not_even_are_refused(tmp_path, times):
    write_mdf(tmp_path / "a.mf4", [[Signal(X, times, name="acc")]])
    refused(tmp_path / "a.mf4", "acc is not evenly sampled")


def test_channels_at_different_times_are_not_joined(tmp_path):
    file = tmp_path / "a.mf4"
    write_mdf(file, [[Signal(X, TIMES, name="a")], [Signal(Y, TIMES + 0.001, name="b")], [Signal(Y, 2 * TIMES, name="c")]])
    for other in "bc":
        refused(file, f"a and {other} are not sampled at the same times", channel=f"a+{other}")
        assert open_signal(file, other).length == 1000


def test_samples_that_are_marked_as_invalid_are_not_left_out_silently(tmp_path):
    bad = np.zeros(1000, bool)
    bad[[3, 500]] = True
    write_mdf(tmp_path / "a.mf4", [[Signal(X, TIMES, name="acc", invalidation_bits=bad)]])
    refused(tmp_path / "a.mf4", "samples of acc are marked as invalid")


def test_a_file_that_was_not_closed(tmp_path):
    file = tmp_path / "a.mf4"
    write_mdf(file, [[Signal(X, TIMES, name="acc")]])
    content = bytearray(file.read_bytes())
    content[:8] = b"UnFinMF "
    file.write_bytes(content)
    refused(file, "was not closed by its recorder")
    assert file.read_bytes() == content


@pytest.mark.parametrize("version", ["4.00", "4.10"])
def test_every_cut_is_found_but_that_of_the_filling_at_the_end(tmp_path, version):
    file = tmp_path / "a.mf4"
    write_mdf(file, [[Signal(X[:50], TIMES[:50], name="acc")]], version)
    content = file.read_bytes()
    for cut in [*range(1, len(content) - 8, 37), len(content) - 8]:
        file.write_bytes(content[:cut])
        with pytest.raises(RecordingError):
            open_signal(file)


def test_version_3_is_refused_with_the_way_out(tmp_path):
    file = tmp_path / "a.mdf"
    write_mdf(file, [[Signal(X, TIMES, name="acc")]], "3.30")
    refused(file, "is MDF of version 3.30: save it as version 4")


def test_a_chain_of_blocks_that_comes_back_to_itself(tmp_path):
    """asammdf would follow it without end."""
    file = tmp_path / "a.mf4"
    write_mdf(file, [[Signal(X, TIMES, name="acc")]])
    content = bytearray(file.read_bytes())
    for kind in (b"##DG", b"##CG", b"##CN", b"##FH"):
        place = content.index(kind)
        file.write_bytes(content[: place + 24] + place.to_bytes(8, "little") + content[place + 32 :])
        refused(file, f"the block at byte {place} follows itself")


def test_nothing_is_said_on_the_terminal_about_a_damaged_file(tmp_path, capfd):
    file = tmp_path / "a.mf4"
    MDF().save(file).write_bytes(b"MDF     4.10" + bytes(200))
    refused(file)
    assert capfd.readouterr() == ("", "")
