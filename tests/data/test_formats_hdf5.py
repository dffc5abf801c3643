"""HDF5 files of any program and of Octave: paths, attributes, scales, and files that are made to lead astray."""

import h5py
import numpy as np
import pytest
from signal_files import refused, whole

from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recordings import read_file

RNG = np.random.default_rng(0)
N = 500
X = RNG.standard_normal(N)
COUNTS = RNG.integers(-2000, 2000, N).astype(np.int16)


@pytest.fixture(params=[".h5", ".hdf5", ".mat"])
def file(request, tmp_path):
    return tmp_path / f"a{request.param}"


def test_data_sets_by_their_paths(file):
    with h5py.File(file, "w") as opened:
        opened["run1/acc"], opened["run1/t"], opened["run2/acc"] = X, np.arange(N) / 51200, -X
    sign = "." if file.suffix == ".mat" else "/"
    refused(file, f"3 signals (run1{sign}acc [500], run1{sign}t [500, a time axis], run2{sign}acc [500])")
    for channel in (f"run1{sign}acc", f"*1{sign}acc"):
        np.testing.assert_array_equal(whole(file, channel)[:, 0], X.astype(np.float32))
    signal = open_signal(file, f"run1{sign}acc")
    assert (signal.sampling_rate, signal.rate_from) == (51200, f"the steps of its run1{sign}t, read as seconds")
    assert open_signal(file, f"run2{sign}acc").sampling_rate is None
    refused(file, "'acc' fits 2 signals", channel="acc")


@pytest.mark.parametrize("level", ["/", "run", "run/acc"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("fs", 25600), ("sampling_rate", "25.6 kHz"), ("dt", np.array([1 / 25600])), ("SampleRate", np.bytes_("25600"))],
)
def test_the_rate_in_an_attribute(tmp_path, level, name, value):
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as opened:
        opened["run/acc"] = X
        opened[level].attrs.update({name: value, "operator": "me", "date": "2024-02-03"})
    signal = open_signal(file)
    assert signal.sampling_rate == pytest.approx(25600)
    assert signal.rate_from == f"the attribute {name} of {'the file' if level == '/' else level}"
    with h5py.File(file, "a") as opened:
        opened["run/fs"] = 12000.0
    refused(file, "25600 Hz by the attribute", "12000 Hz by its run/fs")


def test_scaled_numbers(file):
    with h5py.File(file, "w") as opened:
        opened["x"] = COUNTS
        opened["x"].attrs.update({"scale_factor": 0.001, "add_offset": np.array([2.5])})
    np.testing.assert_allclose(whole(file)[:, 0], 2.5 + 0.001 * COUNTS, rtol=1e-6)
    with h5py.File(file, "a") as opened:
        opened["x"].attrs["_FillValue"] = COUNTS[7]
    with pytest.raises(ValueError, match="sample 7 is nan"):
        read_file(file, "", 100)
    with h5py.File(file, "a") as opened:
        opened["x"].attrs["scale_factor"] = "a thousandth"
    refused(file, "its attribute scale_factor is no number")


def test_the_unit_of_a_time_in_an_attribute(file):
    with h5py.File(file, "w") as opened:
        opened["x"], opened["time"] = X, np.arange(N)
        opened["time"].attrs["units"] = "ms since 2024-02-03 04:05:06"
    assert open_signal(file).sampling_rate == 1000
    with h5py.File(file, "a") as opened:
        opened["time"].attrs["units"] = "revolutions"
    assert open_signal(file).sampling_rate is None


def test_tables_of_named_columns(tmp_path):
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as opened:
        table = np.zeros(N, [("time", "f8"), ("acc", "f4"), ("note", "S3")])
        table["time"], table["acc"] = np.arange(N) / 8000, X
        opened["log"] = table
    signal = open_signal(file)
    assert (signal.channel, signal.sampling_rate) == ("log.acc", 8000)
    np.testing.assert_array_equal(whole(file)[:, 0], X.astype(np.float32))
    refused(file, "log.note is of type |S3", channel="log.note")


def test_parts_of_matrices_either_way_round(tmp_path):
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as opened:
        opened.create_dataset("x", data=np.stack([X, -X, 2 * X], 1), chunks=(64, 2), compression="gzip")
    signal = open_signal(file, "3+1")
    np.testing.assert_array_equal(signal.read(100, 200), np.stack([2 * X, X], 1)[100:200].astype(np.float32))


def test_groups_in_a_circle_and_lists_without_end(tmp_path):
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as opened:
        opened["x"] = X
        opened.create_group("a/b")
        opened["a/b/up"] = opened["a"]
    assert open_signal(file).channel == "x"
    file = tmp_path / "a.mat"
    with h5py.File(file, "w") as opened:
        opened["x"] = X
        cell = opened.create_dataset("c", (1, 2), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        cell[:] = cell.ref
    refused(file, "c", "20000")


def octave(opened, name, kind, value):
    group = opened.create_group(name)
    group.attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)
    group["type"] = np.bytes_(kind)
    if isinstance(value, dict):
        inner = group.create_group("value")
        for field, (field_kind, held) in value.items():
            octave(inner, field, field_kind, held)
    else:
        group["value"] = value


def test_octave_hdf5(file):
    span = np.array((0.0, (N - 1) / 8000, 1 / 8000), [("base", "f8"), ("limit", "f8"), ("increment", "f8")])
    with h5py.File(file, "w") as opened:
        octave(opened, "x", "matrix", X[None])
        octave(opened, "t", "range", span)
        octave(opened, "who", "string", np.array([[b"m"], [b"e"]]))
        octave(opened, "on", "bool", np.float64(1))
        octave(opened, "none", "matrix", np.array([0, 5], np.int32))
        opened["none"].attrs["OCTAVE_EMPTY_MATRIX"] = np.uint8(1)
    signal = open_signal(file)
    assert (signal.channel, signal.sampling_rate, signal.rate_from) == ("x", 8000, "the steps of its t, read as seconds")
    np.testing.assert_array_equal(whole(file)[:, 0], X.astype(np.float32))
    with h5py.File(file, "a") as opened:
        octave(
            opened,
            "s",
            "scalar struct",
            {"gs": ("float matrix", -X[None]), "sr": ("scalar", 8000.0), "two": ("matrix", np.stack([X, X]))},
        )
        octave(opened, "c", "cell", {"_0": ("matrix", X[None]), "_1": ("string", np.array([[b"m"]]))})
    refused(file, "s.gs [500 x 1]", "c{1} [500 x 1]", "s.two.1 [500]")
    np.testing.assert_array_equal(whole(file, "s.gs")[:, 0], -X.astype(np.float32))
