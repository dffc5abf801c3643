"""What is easily read wrong without a word: units beside numbers, spectra, several recordings in a table, marks of gaps."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from signal_files import PAIR, refused, write_hdf5_of

from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recording_files import read_file

X = PAIR[:400, 0]


def text(folder, header, *columns, separator=","):
    """Write columns of text below a header."""
    lines = [separator.join(map(str, row)) for row in zip(*columns, strict=True)]
    (folder / "a.csv").write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return folder / "a.csv"


@pytest.mark.parametrize(
    ("header", "rate"),
    [
        ("Sampling frequency,25.6,kHz\n", 25600),
        ("Sample Interval,0.5,[ms]\n", 2000),
        ("Sampling frequency: 25.6\nUnit: kHz\n", 25600),
        ("Increment,0.5\nX axis unit,ms\n", 2000),
        ("Delta_X: 0.5\nX_Unit: ms\n", 2000),
        ("Sample rate: 12 800 Hz\n", 12800),
        ("Sample rate: 12'800 Hz\n", 12800),
        ("Sample rate: 12 800 5 Hz\n", None),
        ("Sampling rate,1000,Range,10,V\n", 1000),
    ],
)
def test_the_unit_of_a_rate_beside_or_below_it(tmp_path, header, rate):
    assert open_signal(text(tmp_path, header + "a,b\n", X, X), "a").sampling_rate == rate


def test_a_point_beside_decimal_commas_may_part_thousands(tmp_path):
    cells = [str(value).replace(".", ",") for value in X]
    assert open_signal(text(tmp_path, "Sample rate;12.800 Hz\na;b\n", cells, cells, separator=";"), "a").sampling_rate is None
    assert open_signal(text(tmp_path, "Rate;12.800 kHz\na;b\n", cells, cells, separator=";"), "a").sampling_rate == 12800


@pytest.mark.parametrize("header", ["Frequency (Hz),a", "f [Hz],a", "Frequenz,a", "Order,a", "X_Dimension,Frequency\nx,a"])
def test_a_spectrum_in_text_is_refused(tmp_path, header):
    refused(text(tmp_path, header + "\n", np.arange(400) * 0.5, X), "spectrum", channel="a")


def test_a_spectrum_beside_its_axis_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"a": X, "freq": np.arange(400) * 0.5})
    refused(tmp_path / "a.mat", "spectrum over freq", channel="a")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("sensor", ["S0", "S1"] * 200),
        ("id", [1, 2] * 200),
        ("label", ["healthy"] * 300 + ["worn"] * 100),
        ("fault_type", [0] * 300 + [3] * 100),
        ("comment", ["left", "right"] * 200),
    ],
)
def test_several_recordings_in_one_table_of_text(tmp_path, name, cells):
    times = np.arange(400) // 2 / 1000
    refused(text(tmp_path, f"time,{name},a\n", times, cells, X), "several recordings", f"column {name}", channel="a")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("label", ["worn"] * 400),
        ("counter", [0, 1] * 200),
        ("id", [*range(400)]),
        ("position", [*np.arange(400) // 40]),
        ("order", [*range(400)]),
        ("Hz", 50 + X / 100),
    ],
)
def test_columns_that_tell_of_one_recording(tmp_path, name, cells):
    np.testing.assert_allclose(read_file(text(tmp_path, f"a,{name}\n", X, cells), "a", 1000)[0][:, 0], X)


def test_several_recordings_in_arrays(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"a": X, "label": np.repeat([0.0, 1.0], 200)})
    refused(tmp_path / "a.mat", "several recordings", "label says 0, 1", channel="a")


def test_the_unit_of_an_attribute_in_another_one(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["a"] = X
        opened["a"].attrs.update({"sampling_rate": 25.6, "sampling_rate_unit": "kHz"})
    assert open_signal(tmp_path / "a.h5").sampling_rate == 25600


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
def test_marks_of_gaps_in_netcdf(tmp_path, name):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["a"] = np.where(np.arange(400) == 5, -9999.0, X)
        opened["a"].attrs.update({name: -9999.0})
    with pytest.raises(RecordingError, match="sample 5 is nan"):
        read_file(tmp_path / "a.h5", "", 1000)


@pytest.mark.parametrize("mark", [9.9e37, -9.9e37, 9.91e37])
def test_marks_of_overflows(tmp_path, mark):
    with pytest.raises(RecordingError, match=r"sample 5 is .*overflow"):
        read_file(text(tmp_path, "a\n", np.where(np.arange(400) == 5, mark, X)), "", 1000)


def test_a_rate_that_is_slow_is_told(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"a": X, "fs": 51.2})
    with pytest.warns(RecordingWarning, match=r"51\.2 Hz by its variable fs|51\.2 Hz by its fs"):
        assert read_file(tmp_path / "a.mat")[1] == 51.2
    assert read_file(tmp_path / "a.mat", "", 51.2)[1] == 51.2  # who says the rate is not told


def save(file, **arrays):
    """Write arrays into a file by its suffix."""
    if file.suffix == ".mat":
        scipy.io.savemat(file, arrays)
    elif file.suffix == ".npz":
        np.savez(file, **arrays)
    elif file.suffix == ".npy":
        table = np.empty(len(X), [(name, array.dtype) for name, array in arrays.items()])
        for name, array in arrays.items():
            table[name] = array
        np.save(file, table)
    elif file.suffix == ".parquet":
        pq.write_table(pa.table(arrays), file)
    else:
        write_hdf5_of(file, **arrays)
    return file


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
@pytest.mark.parametrize(("name", "number", "unit", "rate"), [("fs", 25.6, "kHz", 25600), ("dt", 0.5, "ms", 2000)])
def test_the_unit_of_a_number_in_an_array_beside_it(tmp_path, suffix, name, number, unit, rate):
    assert open_signal(save(tmp_path / f"a{suffix}", a=X, **{name: number, f"{name}_unit": unit})).sampling_rate == rate


@pytest.mark.parametrize("attribute", ["unit", "units", "Units"])
def test_the_unit_of_a_data_set_of_hdf5(tmp_path, attribute):
    with h5py.File(save(tmp_path / "a.h5", a=X, time=np.arange(400) / 4, fs=4.0), "a") as opened:
        opened["time"].attrs[attribute] = "ms"
        opened["fs"].attrs[attribute] = "kS/s"
    assert open_signal(tmp_path / "a.h5", "a").sampling_rate == 4000


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("cells", [["left", "right"] * 200, ["healthy"] * 200 + ["worn"] * 200])
def test_several_recordings_by_a_column_of_text(tmp_path, suffix, cells):
    refused(save(tmp_path / f"a{suffix}", a=X, label=np.array(cells)), "several recordings", channel="a")
    assert open_signal(save(tmp_path / f"a{suffix}", a=X, label=np.array(["worn"] * 400)), "a").length == 400


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy", ".parquet", ".h5"])
def test_a_time_that_begins_anew(tmp_path, suffix):
    refused(save(tmp_path / f"a{suffix}", a=X, time=np.arange(400) % 200 / 1000), "time jumps before sample 200", channel="a")


def test_dates_in_a_table_of_numpy(tmp_path):
    times = np.datetime64("2024-01-01", "us") + np.arange(400) * np.timedelta64(1000, "us")
    assert open_signal(save(tmp_path / "a.npy", a=X, time=times), "a").sampling_rate == 1000


def test_structs_of_test_lab(tmp_path):
    def struct(step, unit):
        axis = {"start_value": 0.0, "increment": step, "quantity": {"label": unit}}
        return {"Signal_0": {"x_values": axis, "y_values": {"values": X[:, None]}}}

    assert open_signal(save(tmp_path / "a.mat", **struct(1 / 2048, "s"))).sampling_rate == 2048
    refused(save(tmp_path / "a.mat", **struct(1.25, "Hz")), "spectrum")


@pytest.mark.parametrize("channel", ["*", "*s*"])
def test_a_pattern_means_signals_and_no_time_axis(tmp_path, channel):
    """Named itself, an axis is what was asked for."""
    columns = {"seconds": np.arange(300) / 1000, "case": PAIR[:300, 0], "base": PAIR[:300, 1]}
    text(tmp_path, "seconds,case,base\n", *columns.values())
    np.savez(tmp_path / "a.npz", **columns)
    scipy.io.savemat(tmp_path / "a.mat", columns)
    for name in ("a.csv", "a.npz", "a.mat"):
        np.testing.assert_allclose(read_file(tmp_path / name, channel, 1000)[0], PAIR[:300], rtol=1e-5)
        assert read_file(tmp_path / name, "seconds + case", 1000)[0].shape == (300, 2)
