"""Signals from files of every kind: the same by any part, and one clear line where a signal is not usable."""

import sys

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from signal_files import KINDS, LENGTH, PAIR, RATE, ROUNDED, refused, whole, write_v7_3

from drsn_jax.core.errors import MissingExtra
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recordings import read_file

RATED = (".wav", ".w64", ".flac", ".uff", ".unv", ".mf4")  # files that hold their rate


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_read_alone_together_and_turned_round(files, kind):
    _, suffix, a, b = KINDS[kind]
    near = {"rtol": 0, "atol": ROUNDED.get(kind, 0)}
    both = whole(files[kind], f"{a}+{b}")
    np.testing.assert_allclose(both, PAIR, **near)
    np.testing.assert_array_equal(whole(files[kind], a), both[:, :1])
    np.testing.assert_array_equal(whole(files[kind], f" {b} + {a} "), both[:, ::-1])
    assert open_signal(files[kind], a).sampling_rate == (RATE if suffix in RATED else None)


@pytest.mark.parametrize("kind", KINDS)
def test_two_signals_and_none_named(files, kind):
    _, _, a, b = KINDS[kind]
    refused(files[kind], "2 signals (", a, b, "name the channel, by channel=NAME")
    refused(files[kind], f"no signal 'c', choose one of {a}, {b}", channel="c")
    refused(files[kind], "no signal ''", channel=f"{a}+")
    assert open_signal(files[kind], f"{a[:-1]}?").channel == f"{a} + {b}"  # a pattern means all that it fits
    refused(files[kind], "the same signal twice", channel=f"{a}+{a}")


@pytest.fixture(scope="module")
def opened(files):
    """Each signal and its whole, read once."""
    signals = {kind: open_signal(files[kind], f"{a}+{b}") for kind, (_, _, a, b) in KINDS.items()}
    found = {kind: (signal, signal.read(0, signal.length)) for kind, signal in signals.items()}
    return found.__getitem__  # which is short where a failing test is shown


@pytest.mark.parametrize("kind", KINDS)
@given(bounds=st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(sorted))
def test_any_part_is_a_slice_of_the_whole(opened, kind, bounds):
    signal, values = opened(kind)
    part = signal.read(*bounds)
    assert part.dtype == np.float32
    assert part.flags.c_contiguous
    np.testing.assert_array_equal(part, values[slice(*bounds)])


@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_are_not_there_and_arrays_of_the_callers_own(opened, files, kind):
    signal, values = opened(kind)
    for start, stop in ((-1, 5), (5, 3), (0, LENGTH + 1), (LENGTH + 1, LENGTH + 1)):
        with pytest.raises(RecordingError, match="holds the samples") as caught:
            signal.read(start, stop)
        assert str(files[kind]) in str(caught.value)
    signal.read(0, LENGTH)[:] = 7
    np.testing.assert_array_equal(signal.read(0, LENGTH), values)


def test_a_pattern_for_the_channel(tmp_path):
    for write, suffix in ((scipy.io.savemat, "5"), (lambda f, v: write_v7_3(f, **v), "73")):
        file = tmp_path / f"{suffix}.mat"
        write(file, {"X097_DE_time": PAIR[:, :1], "X097_FE_time": PAIR[:, 1:], "X097RPM": np.array([[1797.0]])})
        np.testing.assert_array_equal(whole(file, "*_DE_time"), PAIR[:, :1])
        np.testing.assert_array_equal(whole(file, "*_FE_time+*_DE_time"), PAIR[:, ::-1])
        np.testing.assert_array_equal(whole(file, "*_time"), PAIR)
        refused(file, "2 signals (X097_DE_time [1", "X097_FE_time [1", "name the channel")


def test_names_with_the_signs_of_patterns(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("a [g],a+b,*\n1.5,2,3\n4,5,6\n")
    np.testing.assert_array_equal(whole(file, "a+b"), [[2], [5]])
    np.testing.assert_array_equal(whole(file, "a [g]+*"), [[1.5, 3], [4, 6]])


def test_scalars_words_and_empty_arrays_beside_the_only_signal(tmp_path):
    signal = PAIR[:, :1]
    extras = {"rpm": np.array([[1797.0]]), "none": np.zeros((0, 0)), "matrix": np.zeros((3, 4))}
    scipy.io.savemat(tmp_path / "v5.mat", {"x": signal, "who": "me too", "on": np.array([True, False]), "s": {"q": 1}, **extras})
    np.savez(tmp_path / "z.npz", x=signal, who="me too", on=np.array([True, False]), **extras)
    write_v7_3(tmp_path / "v73.mat", x=signal.T, rpm=extras["rpm"], matrix=extras["matrix"])
    with h5py.File(tmp_path / "v73.mat", "a") as opened:
        opened["who"] = np.array([[109], [101]], np.uint16)
        opened["who"].attrs["MATLAB_class"] = np.bytes_("char")
        opened["on"] = np.array([[1, 0]], np.uint8)
        opened["on"].attrs["MATLAB_class"] = np.bytes_("logical")
        opened["none"] = np.array([0, 5], np.uint64)  # its shape
        opened["none"].attrs.update({"MATLAB_class": np.bytes_("double"), "MATLAB_empty": np.uint8(1)})
        opened["s/q"] = 1.0
        opened["nothing"] = h5py.Empty("f8")
        opened["#refs#/a"] = signal
        opened["soft"] = h5py.SoftLink("/nowhere")
        opened["outside"] = h5py.ExternalLink("other.mat", "x")
    for name in ("v5.mat", "v73.mat", "z.npz"):
        np.testing.assert_array_equal(whole(tmp_path / name), signal)
        refused(tmp_path / name, "who is of type", "expected an array of real numbers", channel="who")
        refused(tmp_path / name, "on is of type", "expected an array of real numbers", channel="on")
        refused(tmp_path / name, "none is empty", channel="none")
        refused(tmp_path / name, "matrix has the shape", "expected one signal", channel="matrix")
        refused(tmp_path / name, "the channels differ in length (x: 1000, rpm: 1)", channel="x+rpm")
    np.savez(tmp_path / "objects.npz", x=signal, objects=np.array([{}, 1], object))
    refused(tmp_path / "objects.npz", "objects is of type object", channel="objects")
    refused(tmp_path / "objects.npz", "objects cannot be read")  # and may hold the signals
    refused(tmp_path / "v5.mat", "no signal 's', choose one of s.q", channel="s")


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4", ">i8"])
def test_every_numeric_type(tmp_path, dtype):
    values = np.array([0, 1, 100, 7], dtype)
    plain = values.astype(values.dtype.newbyteorder("="))
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", x=values)
    scipy.io.savemat(tmp_path / "v5.mat", {"x": values})
    write_v7_3(tmp_path / "v73.mat", x=values[:, None])
    pq.write_table(pa.table({"x": plain}), tmp_path / "a.parquet")
    for name in ("a.npy", "a.npz", "v5.mat", "a.parquet"):
        np.testing.assert_array_equal(whole(tmp_path / name), [[0], [1], [100], [7]])
    with h5py.File(tmp_path / "v73.mat", "a") as opened:
        opened["x"].attrs["MATLAB_class"] = np.bytes_(plain.dtype.name.replace("float64", "double").replace("float32", "single"))
    np.testing.assert_array_equal(whole(tmp_path / "v73.mat"), [[0], [1], [100], [7]])


def test_whole_numbers_beyond_float32_are_rounded_once_and_their_offset_is_subtracted(tmp_path):
    file = tmp_path / "a.npy"
    values = np.array([2**24 + 1, 2**53 + 1, -(2**62) - 12345, 2**63 - 1])
    np.save(file, values)
    np.testing.assert_array_equal(whole(file)[:, 0], values.astype(np.float32))
    counts = np.random.default_rng(0).integers(0, 1000, 100)
    np.save(file, 2**62 + counts)  # all alike as float32, so their offset is subtracted first
    np.testing.assert_array_equal(read_file(file, "", RATE)[0][:, 0], counts - counts[0])
    np.save(file, np.full(100, 2**62))
    with pytest.raises(RecordingError, match=r"a\.npy is constant .*as float32"):
        read_file(file, "1", sampling_rate=RATE)


@pytest.mark.parametrize("kind", ["npy", "npz", "v5", "v7.3", "parquet", "csv"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_not_finite(tmp_path, kind, value):
    file = tmp_path / f"a{KINDS[kind][1]}"
    values = PAIR[:, 0].astype(np.float64)
    values[[17, 40]] = value
    write = {
        "npy": lambda: np.save(file, values),
        "npz": lambda: np.savez(file, x=values),
        "v5": lambda: scipy.io.savemat(file, {"x": values}),
        "v7.3": lambda: write_v7_3(file, x=values[None]),
        "parquet": lambda: pq.write_table(pa.table({"x": values}), file),
        "csv": lambda: file.write_text("\n".join(map(str, values.tolist()))),
    }
    write[kind]()
    with pytest.raises(RecordingError, match=r"sample 17 is -?(nan|inf), not a finite float32 number \(2 such"):
        read_file(file, sampling_rate=100)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("v7.3", "h5py"), ("wav", "soundfile"), ("flac", "soundfile"), ("parquet", "pyarrow.parquet")),
        *(("tdms", "nptdms"), ("uff", "pyuff"), ("mf4", "asammdf")),
    ],
)
def test_without_its_library_the_extra_is_named(files, monkeypatch, kind, name):
    monkeypatch.setitem(sys.modules, name, None)
    extra = {"parquet": "parquet", "mf4": "formats"}.get(kind, "experiments")
    package = "npTDMS" if kind == "tdms" else name.partition(".")[0]
    with pytest.raises(MissingExtra, match=rf"needs {package}: pip install 'drsn-jax\[{extra}\]'"):
        open_signal(files[kind], KINDS[kind][2])
