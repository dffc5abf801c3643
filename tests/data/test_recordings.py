"""Recordings from tables and folders: what is read, and one clear sentence for everything that can be wrong."""

import csv
import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.data import recording_files
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import Recording, check_recordings, fingerprint, read_folder, read_recordings
from drsn_jax.data.shaft import read_speed

HEADER = "path,label,sampling_rate,condition,channel,group"
NOISE = (np.random.default_rng((7, number)) for number in itertools.count())
SIGNAL = np.random.default_rng(0).normal(size=300)


def write_mat(folder, name="a.mat", **variables):
    scipy.io.savemat(folder / name, variables or {"DE": SIGNAL[:, None]})


def write_table(folder, *lines, header=HEADER):
    table = folder / "recordings.csv"
    table.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return table


def refused(table, *parts, folder=None):
    """The message of the refusal, which names all the parts in one line."""
    with pytest.raises(RecordingError) as caught:
        read_recordings(table, folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in (table, *parts):
        assert str(part) in message
    return message


def recording(length=100, label="a", rate=100.0, channels=1, name=""):
    """A recording of noise of its own: two of the same samples are refused."""
    return Recording(next(NOISE).normal(size=(length, channels)).astype(np.float32), label, rate, name=name)


# --- what is read


def test_reads_signal_and_facts_in_the_order_of_the_table(tmp_path):
    write_mat(tmp_path, "a.mat", DE=SIGNAL[:, None], FE=np.zeros((3, 1)))
    write_mat(tmp_path, "b.mat", FE=-SIGNAL[None, :7])
    table = write_table(tmp_path, "b.mat,fault,12.5e3,2 hp,FE,part 7", "a.mat,healthy,48000,,DE,")
    fault, healthy = read_recordings(table)
    assert (fault.label, fault.sampling_rate, fault.condition, fault.group) == (
        "fault",
        12500.0,
        "2 hp",
        "part 7",
    )
    assert fault.name == "b.mat"
    assert (healthy.label, healthy.condition, healthy.group) == ("healthy", "", "")
    np.testing.assert_array_equal(fault.signal, -SIGNAL[:7, None].astype(np.float32))
    np.testing.assert_array_equal(healthy.signal, SIGNAL[:, None].astype(np.float32))
    assert fault.signal.dtype == healthy.signal.dtype == np.float32


def test_optional_columns_order_blanks_and_further_columns(tmp_path):
    write_mat(tmp_path)
    table = write_table(
        tmp_path,
        "",
        '100, fault , DE ,"words, and more", a.mat',
        " , ,",
        header="sampling_rate, label, channel, note, path",
    )
    (r,) = read_recordings(table)
    assert (r.name, r.label, r.sampling_rate, r.condition, r.group) == ("a.mat", "fault", 100.0, "", "")


def test_byte_order_mark_windows_lines_and_foreign_letters(tmp_path):
    write_mat(tmp_path)
    table = tmp_path / "recordings.csv"
    table.write_bytes(("\ufeff" + HEADER + "\r\na.mat,Außenring,100,20 °C,DE,\r\n").encode())
    (r,) = read_recordings(table)
    assert (r.label, r.condition) == ("Außenring", "20 °C")


def test_paths_start_at_the_folder(tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    write_mat(tmp_path / "far" / "deep")
    table = write_table(tmp_path, "deep/a.mat,fault,100,,DE,")
    assert len(read_recordings(str(table), str(tmp_path / "far"))) == 1
    refused(table, tmp_path / "deep" / "a.mat", "line 2", "does not exist")


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_numeric_types_become_float32(tmp_path, dtype):
    values = np.array([[0], [3], [200]], dtype)
    write_mat(tmp_path, DE=values)
    (r,) = read_recordings(write_table(tmp_path, "a.mat,fault,100,,DE,"))
    assert r.signal.dtype == np.float32
    np.testing.assert_array_equal(r.signal, values.astype(np.float32))


def test_a_compressed_file_is_read(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"DE": SIGNAL}, do_compression=True)
    (r,) = read_recordings(write_table(tmp_path, "a.mat,fault,100,,DE,"))
    assert r.signal.shape == (300, 1)


# --- the table is wrong


def test_missing_table(tmp_path):
    refused(tmp_path / "none.csv", "there is no folder or table")


def test_a_folder_instead_of_a_table(tmp_path):
    refused(tmp_path, "cannot be read")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_table(tmp_path, content):
    table = tmp_path / "recordings.csv"
    table.write_bytes(content)
    refused(table, "is empty", "columns path, label")


def test_table_with_a_header_only(tmp_path):
    refused(write_table(tmp_path), "names no recordings")
    refused(write_table(tmp_path, "", ",,,,,"), "names no recordings")


def test_missing_columns(tmp_path):
    table = write_table(tmp_path, "a.mat,1", header="path,rate")
    refused(table, "line 1", "no column label", "['path', 'rate']")
    refused(write_table(tmp_path, "1", header="rate"), "line 1", "no column path, label", "['rate']")


def test_two_columns_of_one_name(tmp_path):
    write_mat(tmp_path)
    table = write_table(tmp_path, "a.mat,fault,healthy,100", header="path,label,label,sampling_rate")
    refused(table, "line 1", "two columns", "one name")
    # what is ignored may have no name
    table = write_table(tmp_path, "a.mat,fault,100,,", header="path,label,sampling_rate,,")
    assert len(read_recordings(table)) == 1


def test_more_cells_than_columns(tmp_path):
    # a comma in a label, not quoted
    write_mat(tmp_path)
    table = write_table(tmp_path, "a.mat,fault, inner,100", header="path,label,sampling_rate")
    refused(table, "line 2", "4 cells under 3 columns")


def test_semicolons_instead_of_commas(tmp_path):
    table = write_table(tmp_path, "a.mat;fault;100;DE", header="path;label;sampling_rate;channel")
    refused(table, "separated by commas", "path;label")


def test_another_encoding(tmp_path):
    table = tmp_path / "recordings.csv"
    table.write_bytes((HEADER + "\na.mat,Außenring,100,,DE,\n").encode("latin-1"))
    refused(table, "UTF-8")


def test_an_open_quote(tmp_path):
    refused(write_table(tmp_path, 'a.mat,"fault,100,,DE,'), "line 2", "no line of a CSV file")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (",fault,100,,DE,", "path"),
        ("a.mat,  ,100,,DE,", "label"),
        ("a.mat", "label"),
    ],
)
def test_a_blank_cell(tmp_path, line, column):
    write_mat(tmp_path)
    refused(write_table(tmp_path, "a.mat,fault,100,,DE,", line), "line 3", f"the {column} is blank")


@pytest.mark.parametrize("rate", ["fast", "0", "-12000", "nan", "inf", "12 kHz"])
def test_a_sampling_rate_that_is_no_positive_number(tmp_path, rate):
    write_mat(tmp_path)
    refused(
        write_table(tmp_path, f"a.mat,fault,{rate},,DE,"),
        "line 2",
        "a.mat",
        f"sampling_rate {rate!r}",
        "positive number",
    )


def test_no_sampling_rate(tmp_path):
    write_mat(tmp_path)
    refused(write_table(tmp_path, "a.mat,fault,,,DE,"), "line 2", "a.mat holds no sampling rate: give it in Hz")


def test_the_same_signal_twice(tmp_path):
    write_mat(tmp_path)
    (tmp_path / "sub").mkdir()
    # the other channel of a measurement is the same measurement
    for again in ("a.mat,healthy,100,,DE,", "a.mat,healthy,100,,FE,", "sub/../a.mat,healthy,100,,DE,"):
        refused(write_table(tmp_path, "a.mat,fault,100,,DE,", again), "line 3", "a.mat", "in line 2 already")


def test_the_fingerprint_tells_any_difference_in_the_data():
    signal = np.arange(8, dtype=np.float32)[:, None]
    same = [Recording(signal, "fault", 100.0, "1 hp", "part", "a.mat")]
    other = [
        Recording(signal + 1, "fault", 100.0, "1 hp", "part", "a.mat"),
        Recording(signal[:7], "fault", 100.0, "1 hp", "part", "a.mat"),
        Recording(signal, "healthy", 100.0, "1 hp", "part", "a.mat"),
        Recording(signal, "fault", 100.0, "2 hp", "part", "a.mat"),
        Recording(signal, "fault", 100.0, "1 hp", "", "a.mat"),
    ]
    assert fingerprint(same) == fingerprint([Recording(signal.copy(), "fault", 100.0, "1 hp", "part", "a.mat")])
    assert len({fingerprint(same), *(fingerprint([one]) for one in other)}) == 6


# --- the file is wrong


def refused_file(folder, *parts, path="a.mat"):
    return refused(write_table(folder, f"{path},fault,100,,DE,"), "line 2", folder / path, *parts)


def test_missing_file(tmp_path):
    refused_file(tmp_path, "does not exist")


def test_a_folder_instead_of_a_file(tmp_path):
    (tmp_path / "a.mat").mkdir()
    refused_file(tmp_path, "does not exist")


def test_another_kind_of_file(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"ID3\x04" + bytes(20))
    refused_file(tmp_path, "unknown kind", ".mat, .npy", path="a.mp3")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"")
    refused_file(tmp_path, "is empty")


def test_a_file_that_is_not_matlab(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"<html>404 not found</html>" * 50)
    refused_file(tmp_path, "a web page, perhaps the error of a download")


def test_a_file_of_zeros(tmp_path):
    # an interrupted download; some versions of scipy take it for an old file without variables
    (tmp_path / "a.mat").write_bytes(bytes(2000))
    refused_file(tmp_path)


@pytest.fixture(scope="module")
def mat_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mat")
    write_mat(folder, "whole.mat", DE=SIGNAL[:, None])
    scipy.io.savemat(folder / "small.mat", {"DE": SIGNAL[:, None]}, do_compression=True)
    return folder


@pytest.mark.parametrize("name", ["whole.mat", "small.mat"])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_never_taken_for_whole(mat_folder, name, share):
    content = (mat_folder / name).read_bytes()
    (mat_folder / "a.mat").write_bytes(content[: int(share * len(content))])
    refused_file(mat_folder)


# byte 176 is the type of the samples themselves, a wrong one of which crashes scipy up to 1.17
@pytest.mark.parametrize("place", [125, 126, 128, 144, 152, 176])
def test_a_damaged_header(mat_folder, place):
    content = bytearray((mat_folder / "whole.mat").read_bytes())
    content[place] = 77
    (mat_folder / "a.mat").write_bytes(content)
    refused_file(mat_folder, "damaged")


def test_a_damaged_matlab_7_3(tmp_path):
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "a.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")
    refused_file(tmp_path, "damaged or no MATLAB file")


def test_unknown_variable(tmp_path):
    write_mat(tmp_path, X097_DE_time=SIGNAL, X097RPM=1797)
    refused_file(tmp_path, "no signal 'DE'", "choose one of X097_DE_time")


@pytest.mark.parametrize(
    "value",
    ["text", SIGNAL + 1j],
    ids=["text", "complex"],
)
def test_a_variable_that_is_not_numeric(tmp_path, value):
    write_mat(tmp_path, DE=value)
    refused_file(tmp_path, "DE is of type", "expected an array of real numbers")


@pytest.mark.parametrize(("value", "inside"), [({"a": 1, "b": 2}, "DE.a, DE.b"), (np.array([["a", 1]], object), "DE{1}, DE{2}")])
def test_a_struct_and_a_cell_offer_what_they_hold(tmp_path, value, inside):
    write_mat(tmp_path, DE=value, other=SIGNAL)
    refused_file(tmp_path, f"no signal 'DE', choose one of {inside}")


@pytest.mark.parametrize("shape", [(150, 2), (2, 150), (3, 10, 10)])
def test_a_variable_that_is_not_one_signal(tmp_path, shape):
    write_mat(tmp_path, DE=SIGNAL.reshape(shape))
    refused_file(tmp_path, f"DE has the shape {shape}", "expected one signal")


@pytest.mark.parametrize("shape", [(0, 0), (0, 1), (1, 0)])
def test_an_empty_variable(tmp_path, shape):
    write_mat(tmp_path, DE=np.zeros(shape))
    refused_file(tmp_path, "DE is empty")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_not_finite_in_float32(tmp_path, value):
    values = SIGNAL.copy()
    values[[17, 40]] = value
    write_mat(tmp_path, DE=values)
    found = np.sign(value) * np.inf if abs(value) == 1e300 else value
    refused_file(tmp_path, f"sample 17 is {found}", "(2 such in all)")


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_constant_signal(tmp_path, value):
    write_mat(tmp_path, DE=np.full(300, value))
    refused_file(tmp_path, f"is constant ({value:g} everywhere, as float32)")


def test_files_of_matlab_5_need_no_library(tmp_path, monkeypatch):
    write_mat(tmp_path)
    table = write_table(tmp_path, "a.mat,fault,100,,DE,")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    np.testing.assert_array_equal(read_recordings(table)[0].signal[:, 0], SIGNAL.astype(np.float32))


# --- the recordings do not go together


def test_a_signal_needs_its_channel_axis():
    with pytest.raises(RecordingError, match=r"signal of x\.mat has the shape \(5,\).*signal\[:, None\]"):
        Recording(np.zeros(5, np.float32), "a", 1.0, name="x.mat")


def test_recordings_that_go_together_pass():
    check_recordings([recording(label="a"), recording(label="b"), recording(length=50, label="a")], 50)


def test_mixed_sampling_rates_name_two_files():
    recordings = [
        recording(name="105.mat", rate=12000.0),
        recording(name="118.mat", rate=12000.0),
        recording(name="97.mat", label="b", rate=48000.0),
    ]
    with pytest.raises(
        RecordingError,
        match=r"105\.mat is sampled at 12000 Hz and 97\.mat at 48000 Hz.*gives itself away by its rate",
    ):
        check_recordings(recordings, 10)


@pytest.mark.parametrize(("recordings", "found"), [([], r"0 classes"), ([recording()] * 3, r"1 classes \['a'\] in 3")])
def test_fewer_than_two_classes(recordings, found):
    with pytest.raises(RecordingError, match=f"found {found}.*expected two or more"):
        check_recordings(recordings, 10)


def test_a_recording_shorter_than_a_window():
    recordings = [recording(), recording(label="b", length=63, name="short.mat")]
    check_recordings(recordings, 63)
    with pytest.raises(RecordingError, match=r"short\.mat has 63 samples, less than a window of 64"):
        check_recordings(recordings, 64)


def test_mixed_numbers_of_channels_name_recordings_without_names_by_place():
    with pytest.raises(RecordingError, match=r"recording 0 has 1 channels and recording 1 has 2"):
        check_recordings([recording(), recording(label="b", channels=2)], 10)


# --- real recordings


TABLES = Path(__file__).parents[2] / "experiments" / "recordings"


@pytest.fixture(scope="module")
def cwru_12k(data_folder):
    return read_recordings(TABLES / "cwru_drive_end_12k.csv", data_folder / "cwru" / "drive_end_12k")


@pytest.fixture(scope="module")
def cwru_48k(data_folder):
    return read_recordings(TABLES / "cwru_drive_end_48k_0hp.csv", data_folder / "cwru" / "drive_end_48k_0hp")


def test_cwru_12k_is_whole(cwru_12k):
    assert len(cwru_12k) == 36
    assert len({(r.label, r.condition) for r in cwru_12k}) == 36
    assert {r.condition for r in cwru_12k} == {"0 hp", "1 hp", "2 hp", "3 hp"}
    assert len({r.label for r in cwru_12k}) == 9
    assert {len(r.signal) for r in cwru_12k} <= set(range(121_000, 123_000))
    assert cwru_12k[0].name == "105.mat"
    assert len(cwru_12k[0].signal) == 121_265
    check_recordings(cwru_12k, 2048)


def test_cwru_48k_holds_the_short_recording_under_its_odd_name(cwru_48k, data_folder, tmp_path):
    assert len(cwru_48k) == len({r.label for r in cwru_48k}) == 10
    lengths = {r.name: len(r.signal) for r in cwru_48k}
    assert lengths.pop("174.mat") == 63_788
    assert min(lengths.values()) > 240_000
    check_recordings(cwru_48k, 2048)
    table = write_table(tmp_path, "174.mat,IR014,48000,0 hp,X174_DE_time,IR014")
    refused(table, "174.mat", "X173_DE_time", folder=data_folder / "cwru" / "drive_end_48k_0hp")


def test_cwru_normal_does_not_mix_with_12k(cwru_12k, cwru_48k):
    normal = next(r for r in cwru_48k if r.label == "normal")
    with pytest.raises(RecordingError, match=r"105\.mat is sampled at 12000 Hz and 97\.mat at 48000 Hz"):
        check_recordings([*cwru_12k, normal], 2048)


@pytest.mark.parametrize("name", ["drive_end_12k", "drive_end_48k_0hp"])
def test_cwru_tables_say_what_the_data_says(data_folder, name):
    with (data_folder / "cwru" / name / "recordings.csv").open() as file:
        theirs = list(csv.DictReader(file))
    with (TABLES / f"cwru_{name}.csv").open() as file:
        ours = list(csv.DictReader(file))
    added = {"group", "speed_rpm", "bearing"}
    assert [{k: v for k, v in row.items() if k not in added} for row in ours] == theirs
    # each file holds the speed that was measured, as a number of its own
    for row in ours:
        number = row["channel"].partition("_")[0]
        assert read_speed(data_folder / "cwru" / name / row["path"], f"{number}RPM") == pytest.approx(int(row["speed_rpm"]) / 60)
    assert {row["bearing"] for row in ours} == {"6205"}
    # one bearing a fault
    assert len({row["group"] for row in ours}) == len({row["label"] for row in ours})


def test_a_message_about_a_file_of_a_folder_names_its_path_once(tmp_path):
    (tmp_path / "worn").mkdir()
    np.savez(tmp_path / "worn" / "x.npz", a1=np.arange(9.0), a2=np.arange(9.0) ** 2)
    with pytest.raises(RecordingError) as error:
        read_folder(tmp_path, sampling_rate=100.0)
    assert str(error.value).startswith(f"{tmp_path / 'worn' / 'x.npz'} holds ")
    assert str(error.value).count("x.npz") == 1


def test_the_beginning_of_a_signal_is_read_alone(tmp_path, monkeypatch):
    """What lies behind it is never asked for, whatever the format allows; the rate says how much."""
    (tmp_path / "worn").mkdir()
    np.save(tmp_path / "worn" / "a.npy", np.random.default_rng(0).normal(size=5000))
    asked, usual = [], recording_files.open_signal

    def spy(file, channel):
        opened = usual(file, channel)
        read = lambda start, stop: asked.append(stop) or opened.read(start, stop)  # noqa: E731
        return dataclasses.replace(opened, read=read, mapped=None)

    monkeypatch.setattr(recording_files, "open_signal", spy)
    (found,) = read_folder(tmp_path, sampling_rate=100.0, most=lambda rate: int(3 * rate))
    assert found.signal.shape == (300, 1)
    assert max(asked) == 300
    np.testing.assert_array_equal(found.signal[:, 0], np.load(tmp_path / "worn" / "a.npy")[:300].astype(np.float32))
