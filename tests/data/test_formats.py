"""Signals from files of every kind: the same by any part, and one clear line for everything that can be wrong."""

import io
import itertools
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.errors import MissingExtra
from drsn_jax.data.formats.channels import RecordingError
from drsn_jax.data.formats.open_signal import READERS, open_signal
from drsn_jax.data.recordings import Recording, fingerprint, read_file, read_folder, read_recordings
from drsn_jax.data.resampling import resample

RATE = 8000
LENGTH = 1000
PAIR = np.random.default_rng(0).uniform(-1, 1, (LENGTH, 2)).astype(np.float32)


# --- a valid file of every kind, with the same two channels a and b


def write_v7_3(file, **variables):
    with h5py.File(file, "w", userblock_size=512) as opened:
        for name, value in variables.items():
            opened[name] = value
            if isinstance(value, np.ndarray):
                opened[name].attrs["MATLAB_class"] = np.bytes_(
                    {"float64": "double", "float32": "single"}.get(str(value.dtype), str(value.dtype))
                )
    with open(file, "r+b") as opened:
        opened.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_chunked(file, **variables):
    write_v7_3(file)
    with h5py.File(file, "a") as opened:
        for name, value in variables.items():
            opened.create_dataset(name, data=value, chunks=(1, 64), compression="gzip")


def write_text(file, separator, header, quote=""):
    lines = [separator.join(f"{quote}{value!r}{quote}" for value in row) for row in PAIR.astype(np.float64).tolist()]
    file.write_text("\n".join([separator.join("ab")] * header + lines) + "\n", encoding="utf-8")


def a_and_b(values: Any = PAIR) -> dict[str, Any]:
    return {"a": values[:, :1], "b": values[:, 1:]}


def rows(values: Any = PAIR) -> dict[str, Any]:
    return {"a": values[:, :1].T, "b": values[:, 1:].T}


# how to write it, its suffix, its first channel and its second
KINDS = {
    "v5": (lambda f: scipy.io.savemat(f, a_and_b()), ".mat", "a", "b"),
    "v5 double": (lambda f: scipy.io.savemat(f, a_and_b(PAIR.astype(np.float64))), ".mat", "a", "b"),
    "v7": (lambda f: scipy.io.savemat(f, a_and_b(), do_compression=True), ".mat", "a", "b"),
    "v7.3": (lambda f: write_v7_3(f, **rows()), ".mat", "a", "b"),
    "v7.3 columns": (lambda f: write_v7_3(f, **a_and_b(PAIR.astype(np.float64))), ".mat", "a", "b"),
    "v7.3 chunks": (lambda f: write_chunked(f, **rows()), ".mat", "a", "b"),
    "npy": (lambda f: np.save(f, PAIR), ".npy", "1", "2"),
    "npy Fortran": (lambda f: np.save(f, np.asfortranarray(PAIR)), ".npy", "1", "2"),
    "npy big-endian": (lambda f: np.save(f, PAIR.astype(">f8")), ".npy", "1", "2"),
    "npz": (lambda f: np.savez(f, **a_and_b()), ".npz", "a", "b"),
    "npz packed": (lambda f: np.savez_compressed(f, **rows()), ".npz", "a", "b"),
    "csv": (lambda f: write_text(f, ",", True), ".csv", "a", "b"),
    "csv without header": (lambda f: write_text(f, ",", False), ".csv", "1", "2"),
    "csv quoted": (lambda f: write_text(f, ",", True, '"'), ".csv", "a", "b"),
    "semicolons": (lambda f: write_text(f, ";", True), ".csv", "a", "b"),
    "tabs": (lambda f: write_text(f, "\t", True), ".txt", "a", "b"),
    "blanks": (lambda f: write_text(f, " ", False), ".txt", "1", "2"),
    "many blanks": (lambda f: write_text(f, "   ", True), ".txt", "a", "b"),
    "wav": (lambda f: soundfile.write(f, PAIR, RATE, subtype="FLOAT"), ".wav", "1", "2"),
    "wav 16": (lambda f: soundfile.write(f, PAIR, RATE, subtype="PCM_16"), ".wav", "1", "2"),
    "wav 24": (lambda f: soundfile.write(f, PAIR, RATE, subtype="PCM_24", format="WAVEX"), ".wav", "1", "2"),
    "wav RF64": (lambda f: soundfile.write(f, PAIR, RATE, subtype="DOUBLE", format="RF64"), ".wav", "1", "2"),
    "wav big-endian": (lambda f: soundfile.write(f, PAIR, RATE, subtype="FLOAT", endian="BIG"), ".wav", "1", "2"),
    "flac": (lambda f: soundfile.write(f, PAIR, RATE, subtype="PCM_16"), ".flac", "1", "2"),
    "flac 24": (lambda f: soundfile.write(f, PAIR, RATE, subtype="PCM_24"), ".flac", "1", "2"),
    "parquet": (lambda f: pq.write_table(pa.table({"a": PAIR[:, 0], "b": PAIR[:, 1]}), f), ".parquet", "a", "b"),
    "parquet groups": (
        lambda f: pq.write_table(pa.table({"a": PAIR[:, 0], "b": PAIR[:, 1]}), f, row_group_size=300, compression="zstd"),
        ".parquet",
        "a",
        "b",
    ),
}
ROUNDED = {"wav 16": 2**-15, "wav 24": 2**-22, "flac": 2**-15, "flac 24": 2**-22}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    paths = {}
    for kind, (write, suffix, _, _) in KINDS.items():
        paths[kind] = folder / f"{kind}{suffix}"
        write(paths[kind])
    return paths


def whole(file, channel=""):
    signal = open_signal(file, channel)
    values = signal.read(0, signal.length)
    assert values.dtype == np.float32
    assert values.shape == (signal.length, signal.channels)
    return values


def refused(file, *parts, channel=""):
    """The message of the refusal on opening or reading, which names the file and all the parts in one line."""
    with pytest.raises(RecordingError) as caught:
        whole(file, channel)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in (file, *parts):
        assert str(part) in message
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_read_alone_together_and_turned_round(files, kind):
    _, suffix, a, b = KINDS[kind]
    near = {"rtol": 0, "atol": ROUNDED.get(kind, 0)}
    both = whole(files[kind], f"{a}+{b}")
    np.testing.assert_allclose(both, PAIR, **near)
    np.testing.assert_array_equal(whole(files[kind], a), both[:, :1])
    np.testing.assert_array_equal(whole(files[kind], f" {b} + {a} "), both[:, ::-1])
    assert open_signal(files[kind], a).sampling_rate == (RATE if suffix in (".wav", ".flac") else None)


@pytest.mark.parametrize("kind", KINDS)
def test_two_signals_and_none_named(files, kind):
    _, _, a, b = KINDS[kind]
    refused(files[kind], f"2 signals ({a}, {b}): name the channel")
    refused(files[kind], f"no signal 'c', choose one of {a}, {b}", channel="c")
    refused(files[kind], "no signal ''", channel=f"{a}+")
    refused(files[kind], f"'?' fits 2 signals ({a}, {b})", channel="?")
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
        refused(file, "fits 2 signals (X097_DE_time, X097_FE_time)", channel="*_time")
        refused(file, "2 signals (X097_DE_time, X097_FE_time): name")


def test_names_with_the_signs_of_patterns(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("a [g],a+b,*\n1.5,2,3\n4,5,6\n")
    np.testing.assert_array_equal(whole(file, "a+b"), [[2], [5]])
    np.testing.assert_array_equal(whole(file, "a [g]+*"), [[1.5, 3], [4, 6]])


def test_scalars_words_and_empty_arrays_beside_the_only_signal(tmp_path):
    signal = PAIR[:, :1]
    extras = {"rpm": np.array([[1797.0]]), "none": np.zeros((0, 0)), "matrix": np.zeros((3, 4))}
    scipy.io.savemat(tmp_path / "v5.mat", {"x": signal, "who": "me too", "on": np.array([True, False]), "s": {"q": 1}, **extras})
    np.savez(tmp_path / "z.npz", x=signal, who="me too", on=np.array([True, False]), objects=np.array([{}, 1], object), **extras)
    write_v7_3(tmp_path / "v73.mat", x=signal.T, rpm=extras["rpm"], matrix=extras["matrix"])
    with h5py.File(tmp_path / "v73.mat", "a") as opened:
        opened["who"] = np.array([[109], [101]], np.uint16)
        opened["who"].attrs["MATLAB_class"] = np.bytes_("char")
        opened["on"] = np.array([[1, 0]], np.uint8)
        opened["on"].attrs["MATLAB_class"] = np.bytes_("logical")
        opened["none"] = np.array([0, 5], np.uint64)  # its shape
        opened["none"].attrs.update({"MATLAB_class": np.bytes_("double"), "MATLAB_empty": np.uint8(1)})
        opened["s/q"] = signal
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
    refused(tmp_path / "z.npz", "objects is of type object", channel="objects")
    refused(tmp_path / "v5.mat", "s is of type struct", channel="s")


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


def test_whole_numbers_beyond_float32_are_rounded_once_and_a_constant_is_found(tmp_path):
    file = tmp_path / "a.npy"
    values = np.array([2**24 + 1, 2**53 + 1, -(2**62) - 12345, 2**63 - 1])
    np.save(file, values)
    np.testing.assert_array_equal(whole(file)[:, 0], values.astype(np.float32))
    np.save(file, 2**62 + np.arange(100))  # nanoseconds, say: all alike as float32
    with pytest.raises(RecordingError, match=r"a\.npy is constant .*as float32"):
        read_file(file, sampling_rate=100)


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


# --- damage


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_file_cut_short(files, tmp_path, kind, share):
    _, suffix, a, b = KINDS[kind]
    content = files[kind].read_bytes()
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content[: int(share * len(content))])
    if suffix in (".csv", ".txt"):
        # text promises nothing; a cut within a line is a ragged one
        file.write_bytes(content[: int(share * len(content))].rpartition(b"\n")[0] + b"\n0.5")
    for channel in (f"{a}+{b}", a):
        refused(file, channel=channel)
        # not only when the missing part is read
        with pytest.raises(RecordingError):
            open_signal(file, channel)


def test_a_long_flac_file_cut_short_is_refused_on_opening(tmp_path):
    """One of many frames, the first of which are whole."""
    file = tmp_path / "a.flac"
    soundfile.write(file, np.tile(PAIR, (50, 1)), RATE)
    assert open_signal(file, "1").length == 50 * LENGTH
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match="damaged"):
        open_signal(file, "1")


@pytest.mark.parametrize("suffix", READERS)
def test_empty_missing_and_foreign_files(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    refused(file, "does not exist")
    file.mkdir()
    refused(file, "does not exist")
    file.rmdir()
    for content, told in ((b"", "is empty"), (b"<html><p>404</p></html>\n" * 99, ""), (bytes(3000), ""), (b"\xff" * 3000, "")):
        file.write_bytes(content)
        refused(file, told)
    refused(tmp_path / ("a" * 300 + suffix), "cannot be read")


@pytest.mark.parametrize(("kind", "suffix"), list(itertools.product(KINDS, READERS)))
def test_a_wrong_extension(files, tmp_path, kind, suffix):
    _, true, a, b = KINDS[kind]
    if suffix == true or {suffix, true} == {".csv", ".txt"}:
        return
    file = tmp_path / f"a{suffix}"
    file.write_bytes(files[kind].read_bytes())
    refused(file, channel=f"{a}+{b}")


def test_an_unknown_extension_and_capitals(tmp_path, files):
    refused(tmp_path / "a.xlsx", "unknown kind", ".parquet")
    (tmp_path / "A.NPY").write_bytes(files["npy"].read_bytes())
    np.testing.assert_array_equal(whole(tmp_path / "A.NPY", "1+2"), PAIR)


def test_objects_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    np.save(tmp_path / "a.npy", np.array([Bomb(), 1], object))
    refused(tmp_path / "a.npy", "Python objects", "never loaded")
    np.savez(tmp_path / "a.npz", x=np.array([Bomb(), 1], object))
    refused(tmp_path / "a.npz", "no numeric signal")
    refused(tmp_path / "a.npz", "x is of type object", channel="x")


def npy_header(shape, kind="<f8", order=False):
    stream = io.BytesIO()
    np.lib.format.write_array_header_2_0(stream, {"descr": kind, "fortran_order": order, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2), (2**62, 4), (2**32, 2**32, 2**32), (10**30,), (101,)])
def test_numpy_headers_that_promise_more_than_there_is(tmp_path, shape):
    content = npy_header(shape) + bytes(800)
    (tmp_path / "a.npy").write_bytes(content)
    refused(tmp_path / "a.npy", "damaged" if len(shape) < 3 else "")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    refused(tmp_path / "a.npz", channel="x")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros((0,)), "empty"),
        (np.zeros((0, 3)), "empty"),
        (np.array(3.0), "shape ()"),
        (np.zeros((2, 3, 4)), "shape (2, 3, 4)"),
        (np.zeros((2, 300)), "transpose it"),
        (np.zeros(9, complex), "type complex128"),
        (np.zeros(9, bool), "type bool"),
        (np.array(["a", "b"]), "type <U1"),
        (np.array([b"a", b"b"]), "type |S1"),
        (np.zeros(9, [("a", "f8"), ("b", "f8")]), "type [('a', '<f8')"),
        (np.zeros(9, [("ä", "f8")]), ""),
        (np.zeros(9, "datetime64[s]"), "type datetime64[s]"),
        (np.zeros(9, np.longdouble), "type float128"),
    ],
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0:UserWarning")
def test_arrays_that_are_no_signal(tmp_path, values, told):
    np.save(tmp_path / "a.npy", values)
    refused(tmp_path / "a.npy", told)
    np.savez(tmp_path / "a.npz", x=values)
    refused(tmp_path / "a.npz", "no numeric signal")
    refused(tmp_path / "a.npz", "x ", channel="x")


def test_an_archive_whose_checksum_is_wrong(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, x=PAIR[:, 0])
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    refused(file, "CRC")
    # the checksum alone, in the list at the end of the archive
    np.savez_compressed(file, x=PAIR[:, 0])
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 16] ^= 1
    file.write_bytes(content)
    refused(file, "CRC")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", npy_header((100,)) + bytes(801))
    refused(file, "x is longer than its header promises")


def test_an_archive_that_unpacks_to_far_more(tmp_path):
    file = tmp_path / "a.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", npy_header((10**6,)) + bytes(8 * 10**6))
    refused(file, "x is compressed in an unusual way")


def element(kind, content, order="<"):
    return struct.pack(order + "II", kind, len(content)) + content.ljust(-(-len(content) // 8) * 8, b"\0")


def matlab(shape=(4, 1), code=6, kind=9, samples=bytes(32), name=b"x", promised=None, order="<", flags=0):
    """A file of version 5 with one variable, by hand."""
    data = struct.pack(order + "II", kind, len(samples) if promised is None else promised) + samples
    body = (
        element(6, struct.pack(order + "II", code | flags, 0), order)
        + element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
        + element(1, name, order)
        + data
    )
    start = b"by hand".ljust(124) + (b"\x00\x01IM" if order == "<" else b"\x01\x00MI")
    return start + struct.pack(order + "II", 14, len(body)) + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_matlab_of_either_byte_order(tmp_path, order):
    (tmp_path / "a.mat").write_bytes(matlab(samples=np.arange(4.0).astype(order + "f8").tobytes(), order=order))
    np.testing.assert_array_equal(whole(tmp_path / "a.mat")[:, 0], np.arange(4))
    # numbers of class double are often stored as smaller ones
    (tmp_path / "a.mat").write_bytes(matlab(samples=np.arange(4).astype(order + "i2").tobytes(), kind=3, order=order))
    np.testing.assert_array_equal(whole(tmp_path / "a.mat")[:, 0], np.arange(4))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (matlab(kind=77), "kind 77"),
        (matlab(kind=8), "kind 8"),
        (matlab(kind=0), "kind 0"),
        (matlab(kind=14), "kind 14"),
        (matlab(shape=(2**31 - 1, 2**31 - 1)), "promises"),
        (matlab(shape=(2**29 - 1, 1), promised=(2**29 - 1) * 8), "promises"),
        (matlab(shape=(-4, -1)), "shape (-4, -1)"),
        (matlab(shape=(5, 1)), "promises (5, 1) numbers"),
        (matlab(shape=(3, 1)), "promises (3, 1) numbers"),
        (matlab(shape=(4,)), "shape (4,)"),
        (matlab(code=99), "class 99"),
        (matlab(flags=0x800), "x is of type complex"),
        (matlab(flags=0x200), "x is of type logical"),
        (matlab() + matlab()[128:], "2 signals (x, x)"),
        (matlab() + b"\0\0\0", "damaged"),
        (matlab()[:128], "no numeric signal"),
        (bytes(124) + b"\x00\x01IM" + bytes(64), "damaged"),
        (struct.pack("<5i", 0, 1000, 1, 0, 2) + b"x\0" + bytes(8000), "not that of version 5"),  # version 4
    ],
)
def test_matlab_headers_that_are_wrong(tmp_path, content, told):
    (tmp_path / "a.mat").write_bytes(content)
    refused(tmp_path / "a.mat", told, channel="x" if "type" in told else "")


def test_a_damaged_variable_beside_the_signal_is_no_reason_to_crash(tmp_path):
    (tmp_path / "a.mat").write_bytes(matlab(samples=np.arange(4.0).tobytes()) + matlab(name=b"y", kind=77)[128:])
    refused(tmp_path / "a.mat", "y is damaged", channel="x")


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_7_3_that_promises_more_than_there_is(tmp_path, packed):
    file = tmp_path / "a.mat"
    write_v7_3(file)
    with h5py.File(file, "a") as opened:
        more = {"chunks": (1, 1000), "compression": "gzip"} if packed else {}
        values = opened.create_dataset("x", (1, 10**12), "f8", **more)
        if packed:
            values[0, :3000] = 1
    refused(file, "x is damaged: it promises")
    with h5py.File(file, "a") as opened:
        # HDF5 fills what is missing with zeros
        values = opened.create_dataset("y", (1, 5000), "f8", chunks=(1, 1000))
        values[0, :3000] = PAIR[0, 0]
    refused(file, "y is damaged: it promises 5 chunks and holds 3", channel="y")


def test_matlab_7_3_whose_samples_lie_in_another_file(tmp_path):
    file = tmp_path / "a.mat"
    write_v7_3(file)
    (tmp_path / "secret").write_bytes(bytes(800))
    write_v7_3(tmp_path / "other.mat", x=PAIR[:, :1])
    with h5py.File(file, "a") as opened:
        opened.create_dataset("raw", (100,), "f8", external=[(str(tmp_path / "secret"), 0, 800)])
        layout = h5py.VirtualLayout((1000,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.mat"), "x", (1000, 1))[:, 0]
        opened.create_virtual_dataset("virtual", layout)
        opened["complex"] = np.zeros(5, complex)
    refused(file, "raw lies in another file", channel="raw")
    refused(file, "virtual lies in another file", channel="virtual")
    refused(file, "complex is of type", "real numbers", channel="complex")


def riff(channels=1, rate=8000, promised=None, samples=bytes(range(200)), mark=b"RIFF"):
    align = channels * 2
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * align & 0xFFFFFFFF, align, 16)
    data = struct.pack("<4sI", b"data", len(samples) if promised is None else promised) + samples
    return struct.pack("<4sI4s", mark, 4 + len(layout) + len(data), b"WAVE") + layout + data


def test_wav_by_hand(tmp_path):
    (tmp_path / "a.wav").write_bytes(riff())
    assert whole(tmp_path / "a.wav").shape == (100, 1)
    # chunks of other kinds around the samples
    content = riff()
    (tmp_path / "a.wav").write_bytes(content[:12] + b"junk\x03\0\0\0abc\0" + content[12:] + b"LIST\x04\0\0\0abcd")
    assert whole(tmp_path / "a.wav").shape == (100, 1)


@pytest.mark.parametrize(
    "content",
    [
        riff(channels=0),
        riff(rate=0),
        riff(rate=2**32 - 1),
        riff(promised=202),
        riff(promised=2**32 - 1),
        riff(promised=2**32 - 1, mark=b"RF64"),
        riff(samples=b""),
        riff()[:44],
        riff()[:36],
        b"RIFF",
    ],
)
def test_wav_headers_that_are_wrong(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    refused(tmp_path / "a.wav")


def test_an_audio_file_that_shrinks_while_it_is_read(tmp_path, files):
    for suffix, kind in ((".wav", "wav"), (".flac", "flac")):
        file = tmp_path / f"a{suffix}"
        content = files[kind].read_bytes()
        file.write_bytes(content)
        signal = open_signal(file, "1")
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(RecordingError, match="damaged"):
            signal.read(LENGTH - 10, LENGTH)


def test_parquet_columns_that_are_no_signal(tmp_path):
    file = tmp_path / "a.parquet"
    table = {
        "x": PAIR[:3, 0],
        "word": ["a", "b", "c"],
        "yes": [True, False, True],
        "list": [[1.0], [2.0], [3.0]],
        "day": np.array(["2024-01-01"] * 3, "datetime64[D]"),
        "acc.x": PAIR[:3, 1],
        "gap": pa.array([1, None, 3]),
    }
    pq.write_table(pa.table(table), file)
    refused(file, "3 signals (x, acc.x, gap)")
    np.testing.assert_array_equal(whole(file, "acc.x+x"), PAIR[:3, ::-1])
    for name, kind in (("word", "string"), ("yes", "bool"), ("list", "list<"), ("day", "date32")):
        refused(file, f"{name} is of type {kind}", channel=name)
    with pytest.raises(RecordingError, match="sample 1 is nan"):
        read_file(file, "gap", 100)
    pq.write_table(pa.Table.from_arrays([pa.array([1.0, 2.0])] * 2, ["x", "x"]), file)
    refused(file, "2 signals (x, x)")
    refused(file, "'x' fits 2 signals", channel="x")
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), file)
    refused(file, "x is empty", channel="x")


def test_parquet_with_checksums(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": PAIR[:, 0]}), file, write_page_checksum=True, use_dictionary=False, compression="none")
    assert whole(file).shape == (LENGTH, 1)
    content = bytearray(file.read_bytes())
    content[content.index(PAIR[500, 0].tobytes())] ^= 1
    file.write_bytes(content)
    refused(file, "checksum")


def test_parquet_that_unpacks_to_far_more(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.zeros(20_000_000, np.float32)}), file)
    assert file.stat().st_size < 100_000
    refused(file, "damaged: it promises 160000000 bytes")


# --- text


def text(folder, content, suffix=".csv", encoding="utf-8"):
    file = folder / f"a{suffix}"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return file


@pytest.mark.parametrize(
    ("content", "channel", "values"),
    [
        ("1.5\n2\n-3e2\n", "", [1.5, 2, -300]),
        ("1.5\r\n2\r\n-3e2", "", [1.5, 2, -300]),
        ("1.5\r2\r-3e2\r", "", [1.5, 2, -300]),
        ("\n\n1.5\n\n2\n\n\n-3e2\n\n", "", [1.5, 2, -300]),
        ("acc\n1.5\n2\n-3e2\n", "acc", [1.5, 2, -300]),
        ("# made by hand\n# t, acc\n0,1.5\n1,2\n2,-3e2\n", "acc", [1.5, 2, -300]),
        ("t;acc\n0;1.5\n1;2\n2;-3e2\n", "acc", [1.5, 2, -300]),
        ("made by hand, with commas, in words\nt, acc\n0, 1.5\n1, 2\n2, -3e2\n", "acc", [1.5, 2, -300]),
        ('"t","acc"\n"0","1.5"\n"1","2"\n"2","-3e2"\n', "acc", [1.5, 2, -300]),
        ("  0   1.5  \n  1\t2\n  2 -3e2\n".replace("\t", " "), "2", [1.5, 2, -300]),
        ("\ufeffacc [m/s²]\n1.5\n2\n-3e2\n", "acc*", [1.5, 2, -300]),
        ("t,,acc\n0,9,1.5\n1,9,2\n2,9,-3e2\n", "2", [9, 9, 9]),
        ("t,acc\n0,15\n1,2\n2,-300\n", "acc", [15, 2, -300]),  # a header: no decimal commas
        ("0,-15\n1,2\n2,-300\n", "2", [-15, 2, -300]),  # no number has a sign within
    ],
)
def test_text_as_it_comes(tmp_path, content, channel, values):
    np.testing.assert_array_equal(whole(text(tmp_path, content), channel)[:, 0], np.float32(values))


@pytest.mark.parametrize(
    "content",
    [
        "1,5\n2,25\n",
        "acc\n1,5\n2,25\n",
        "1;2,5\n2;3,5\n",
        "t;acc\n1,0;2,5\n2,0;3,5\n",
        "1,0\t2,5\n2,0\t3,5\n",
        "1,0 2,5\n2,0 3,5\n",
        "t,acc\n0,1,2,5\n0,2,3,5\n",
        "0,1,2,5\n0,2,3,5\n",
        "1,2,5\n2,3,5\n",
        '"t","acc"\n"0,1","2,5"\n"0,2","3,5"\n',
        "0;0\n0;0\n1,5;2,5\n",
        "-1,5e3\n2,25e-1\n",
        "1\n2\n2,5\n",
        "1,5\n2\n2,5\n",
        "0,1250\n" * 20_000,  # the piece that is looked at ends behind a comma
    ],
)
@pytest.mark.parametrize("channel", ["", "1", "2", "acc"])
def test_decimal_commas_are_never_numbers(tmp_path, content, channel):
    """Above all with a channel that would be there if the commas parted columns."""
    message = refused(text(tmp_path, content), channel=channel)
    if channel in ("", "1") and not content.startswith(("1\n", "-1,5e3")):
        assert "decimal comma" in message or "no signal '1'" in message or "2 signals" in message


def test_two_words_are_no_header_of_columns_parted_by_commas(tmp_path):
    for channel in ("", "today"):
        refused(text(tmp_path, "Recorded today\n1,5\n2,25\n"), "decimal comma", channel=channel)


def test_decimal_commas_are_called_so(tmp_path):
    for content in ("1,5\n2,25\n", "acc\n1,5\n2,25\n", "t;acc\n1,0;2,5\n", "1;2,5\n", "1,0 2,5\n", '"0,1"\n', "0;0\n1,5;2,5\n"):
        refused(text(tmp_path, content), "decimal comma", channel="1" if content.startswith("0;0") else "")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1\n2\nx\n3\n", "'x'"),
        ("a,b\n1,2\n3,four\n", "'four'"),
        ("a,b\n1,2\n3,\n", "''"),
        ("a,b\n1,2\n3\n", "columns changed from 2 to 1"),
        ("a,b\n1,2\n3,4,5\n", "columns changed from 2 to 3"),
        ("a,b\n1,2\n# pause\n3,4\n", "columns changed from 2 to 1"),
        ("a,b\n1,2+3j\n", "'2+3j' is no number"),
        ("a,b\n1,True\n", "'True' is no number"),
        ("day,b\n2024-01-31,2\n2024-02-01,3\n", "'2024-02-01' is no number"),
        ("b,day\n1,2\n3,2024-01-31\n", "'2024-01-31'"),
        ("31.01.2024 10:00:00;2\n", "'31.01.2024 10:00:00' is no number"),
        ("a,a\n1,2\n", "one name"),
        ("a,b\n", "'a' is no number"),
        ("words and words\n" * 200, "'words' is no number"),
        ("0x10\n0x11\n", "'0x11' is no number"),
        ("1_000\n2_000\n", "'1_000'"),
        ("1" + ",1" * 40_000 + "\n" + "1" + ",1" * 40_000, "longer than 65536"),
        ("x" * 200_000, "longer than 65536"),
        ("1\n2\0\n3\n", "null bytes"),
        ("1\n" * 40_000 + "2\0\n3\n", ""),
        ("   \n\t\n\n", ""),
        ("1.5\n2" + "3" * 400 + "\n", "not finite"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_text_that_is_wrong(tmp_path, content, told, suffix):
    file = text(tmp_path, content, suffix)
    channel = "2" if content.startswith("0,-") else "b" if "b" in content.partition("\n")[0].split(",") else ""
    with pytest.raises(RecordingError, match=r"a\.(csv|txt)") as caught:
        read_file(file, channel, 100)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    assert told in message or told == "not finite"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_text_in_another_encoding(tmp_path, encoding):
    refused(text(tmp_path, "Größe,b\n1.5,2\n3,4\n", encoding=encoding), channel="b")
    if encoding == "utf-16":
        refused(text(tmp_path, "a,b\n1.5,2\n", encoding=encoding), "UTF-16", "UTF-8")


def test_long_text_is_read_whole(tmp_path):
    """Beyond the piece from which the layout is told, whose last line is cut."""
    values = np.random.default_rng(1).normal(size=(20_000, 3))
    for count in (3, 1):
        file = text(tmp_path, "\n".join(",".join(map(repr, row)) for row in values[:, :count].tolist()))
        np.testing.assert_array_equal(whole(file, "+".join("123"[:count])), values[:, :count].astype(np.float32))
    lines = "1234567\n" * (1 << 13)  # exactly as long as that piece
    assert whole(text(tmp_path, lines)).shape == (1 << 13, 1)


# --- a library that is not there


@pytest.mark.parametrize(
    ("kind", "name"),
    [("v7.3", "h5py"), ("wav", "soundfile"), ("flac", "soundfile"), ("parquet", "pyarrow.parquet"), ("v5", "scipy.io")],
)
def test_without_its_library_the_extra_is_named(files, monkeypatch, kind, name):
    monkeypatch.setitem(sys.modules, name, None)
    extra = "parquet" if kind == "parquet" else "experiments"
    with pytest.raises(MissingExtra, match=rf"needs {name.partition('.')[0]}: pip install 'drsn-jax\[{extra}\]'"):
        open_signal(files[kind], KINDS[kind][2])


# --- tables and folders


def collection(folder, deep):
    """Files of many kinds in folders, and the lines of a table of them."""
    rng = np.random.default_rng(3)
    lines = []
    for label, condition, name in itertools.product(("inner", "outer", "Z"), ("1 hp", "2 hp"), ("b.npy", "a.csv", "c.mat")):
        place = Path(label, condition, name) if deep else Path(label, f"{condition}{name}")
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        values = rng.normal(size=50)
        if name == "b.npy":
            np.save(folder / place, values)
        elif name == "a.csv":
            (folder / place).write_text("\n".join(map(repr, values.tolist())))
        else:
            scipy.io.savemat(folder / place, {"x": values})
        lines.append((place.as_posix(), label, condition if deep else ""))
    return [f"{path},{label},100.0,{condition}" for path, label, condition in sorted(lines, key=lambda line: line[0].split("/"))]


@pytest.mark.parametrize("deep", [False, True])
def test_folders_and_a_table_of_the_same_files_are_the_same(tmp_path, deep):
    lines = collection(tmp_path / "data", deep)
    (tmp_path / "data" / ".hidden").mkdir()
    (tmp_path / "data" / ".hidden" / "a.npy").write_bytes(b"")
    (tmp_path / "data" / "Z" / ".DS_Store").write_bytes(b"")
    table = tmp_path / "recordings.csv"
    table.write_text("\n".join(["path,label,sampling_rate,condition", *lines]))
    listed, found = read_recordings(table, tmp_path / "data"), read_folder(tmp_path / "data", sampling_rate=100)
    assert len(listed) == 18
    assert [r.name for r in listed] == [r.name for r in found]
    assert [(r.label, r.condition, r.group, r.sampling_rate) for r in listed] == [
        (r.label, r.condition, r.group, r.sampling_rate) for r in found
    ]
    assert fingerprint(listed) == fingerprint(found)


def refused_folder(folder, *parts, **options):
    with pytest.raises(RecordingError) as caught:
        read_folder(folder, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in (folder, *parts):
        assert str(part) in message


def test_folders_that_are_wrong(tmp_path):
    refused_folder(tmp_path / "none", "there is no folder")
    refused_folder(tmp_path, "holds no recordings", ".mat")
    (tmp_path / "a" / "b").mkdir(parents=True)
    refused_folder(tmp_path, "holds no recordings")
    np.save(tmp_path / "a" / "x.npy", PAIR[:, 0])
    refused_folder(tmp_path, "a/x.npy", "no sampling rate")
    for rate in (0.0, -1.0, np.nan, np.inf):
        refused_folder(tmp_path, "a/x.npy", "not a positive number", sampling_rate=rate)
    refused_folder(tmp_path, "a/x.npy", "no signal 'DE'", sampling_rate=1, channel="DE")
    (tmp_path / "a" / "notes.md").write_text("words")
    refused_folder(tmp_path, "notes.md is of an unknown kind", sampling_rate=1)
    (tmp_path / "a" / "notes.md").unlink()
    (tmp_path / "a" / "b" / "c").mkdir()
    refused_folder(tmp_path, "a/b/c has no class: expected", sampling_rate=1)
    (tmp_path / "a" / "b" / "c").rmdir()
    (tmp_path / "recordings.csv").write_text("path,label\n")
    refused_folder(tmp_path, "recordings.csv has no class", "a table is named itself", sampling_rate=1)


def refused_line(table, *parts, **options):
    with pytest.raises(RecordingError) as caught:
        read_recordings(table, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in (table, "line 2", *parts):
        assert str(part) in message


def test_paths_out_of_the_folder(tmp_path):
    inside = tmp_path / "inside"
    (inside / "class").mkdir(parents=True)
    np.save(tmp_path / "x.npy", PAIR[:, 0])
    (inside / "class" / "link.npy").symlink_to(tmp_path / "x.npy")
    (inside / "far").symlink_to(tmp_path)
    table = inside / "recordings.csv"
    for path in ("../x.npy", str(tmp_path / "x.npy"), "class/link.npy", "class/../../x.npy", "far/x.npy"):
        table.write_text(f"path,label,sampling_rate\n{path},a,100\n")
        refused_line(table, path, f"is not within {inside}", "allow paths outside")
        (recording,) = read_recordings(table, outside=True)
        np.testing.assert_array_equal(recording.signal, PAIR[:, :1])
    table.unlink()
    (inside / "far").unlink()
    refused_folder(inside, "class/link.npy is not within", sampling_rate=1)
    assert len(read_folder(inside, sampling_rate=1, outside=True)) == 1
    # within it, a link is a second name
    np.save(inside / "class" / "true.npy", PAIR[:, 1])
    (inside / "class" / "link.npy").unlink()
    (inside / "class" / "other.npy").symlink_to(inside / "class" / "true.npy")
    refused_folder(inside, "true.npy is in class/other.npy already", sampling_rate=1)
    (inside / "class" / "other.npy").unlink()
    (inside / "class" / "lost.npy").symlink_to(inside / "gone.npy")
    refused_folder(inside, "lost.npy does not exist", sampling_rate=1)
    (inside / "class" / "lost.npy").unlink()
    (inside / "class" / "round.npy").symlink_to(inside / "class" / "round.npy")
    refused_folder(inside, "round.npy", sampling_rate=1)


@pytest.mark.parametrize("path", ["a\0.npy", "a" * 300 + ".npy", '"a\nb.npy"', ".", "a.npy/b.npy"])
def test_paths_that_are_none(tmp_path, path):
    np.save(tmp_path / "a.npy", PAIR[:, 0])
    table = tmp_path / "recordings.csv"
    table.write_text(f"path,label,sampling_rate\n{path},a,100\n")
    with pytest.raises(RecordingError, match=r"line [23]: ") as caught:
        read_recordings(table)
    assert len(str(caught.value).splitlines()) == 1


def test_a_rate_that_contradicts_the_file(tmp_path, files):
    (tmp_path / "a.wav").write_bytes(files["wav"].read_bytes())
    table = tmp_path / "recordings.csv"
    table.write_text("path,label,sampling_rate,channel\na.wav,a,100,1\n")
    refused_line(table, "a.wav says that it is sampled at 8000 Hz, not at 100 Hz")
    table.write_text("path,label,channel,more\na.wav,a,2+1,words\n")
    (recording,) = read_recordings(table)
    assert recording.sampling_rate == 8000
    np.testing.assert_array_equal(recording.signal, PAIR[:, ::-1])


# --- resampling


def tone(frequency, rate, length, offset=0.0):
    return (offset + np.sin(2 * np.pi * frequency * np.arange(length) / rate)).astype(np.float32)


def amplitudes(signal):
    """The amplitude at each whole number of Hz, of the middle second of three."""
    third = len(signal) // 3
    return 2 * np.abs(np.fft.rfft(signal[third : 2 * third])) / third


@pytest.mark.parametrize(("old", "new"), [(12000, 8000), (8000, 12000), (48000, 12000), (44100, 48000), (12000, 12800)])
def test_resampling_keeps_frequency_and_amplitude(old, new):
    frequencies = (50, 1000, int(0.35 * min(old, new)))
    signal = np.stack([tone(f, old, 3 * old) for f in frequencies], 1)
    (changed,) = resample([Recording(signal, "a", old, "c", "g", "n")], new)
    assert changed.sampling_rate == new
    assert (changed.label, changed.condition, changed.group, changed.name) == ("a", "c", "g", "n")
    assert changed.signal.shape == (3 * new, 3)
    assert changed.signal.dtype == np.float32
    for column, frequency in zip(changed.signal.T, frequencies, strict=True):
        found = amplitudes(column)
        assert np.argmax(found) == frequency
        assert found[frequency] == pytest.approx(1, abs=0.01)
        found[frequency] = 0
        assert found.max() < 0.005
        np.testing.assert_allclose(column[new : 2 * new], tone(frequency, new, 3 * new)[new : 2 * new], atol=0.01)


@pytest.mark.parametrize("share", [0.65, 0.8, 1.0, 1.4])
def test_nothing_aliases(share):
    """Tones above what the new rate can show are gone."""
    signal = tone(int(share * 8000), 48000, 3 * 48000)[:, None]
    (changed,) = resample([Recording(signal, "a", 48000)], 8000)
    assert amplitudes(changed.signal[:, 0]).max() < 0.01


def test_an_offset_does_not_ring_at_the_ends():
    signal = tone(50, 12000, 12000, offset=100.0)[:, None]
    (changed,) = resample([Recording(signal, "a", 12000)], 8000)
    np.testing.assert_allclose(changed.signal[:, 0], tone(50, 8000, 8000, offset=100.0), atol=0.2)


def test_rates_that_do_not_go_together():
    recordings = [Recording(PAIR, "a", 8000.0, name="x"), Recording(PAIR, "a", 8000.0 * np.pi, name="y")]
    with pytest.raises(RecordingError, match=r"y at .* cannot be resampled to 8000 Hz"):
        resample(recordings, 8000)
    for rate in (0, -1, np.nan, np.inf):
        with pytest.raises(RecordingError, match="positive number of Hz"):
            resample(recordings, rate)
    (same,) = resample(recordings[:1], 8000)
    np.testing.assert_array_equal(same.signal, PAIR)


# --- memory

MEASURE = """
import sys
from pathlib import Path
import numpy, scipy.io, h5py, soundfile, pyarrow.parquet
from drsn_jax.data.formats import open_signal
# not ru_maxrss, which begins with the memory of the process that started this one
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before = peak()
signal = open_signal(Path(sys.argv[1]), sys.argv[2])
assert signal.length >= 100_000_000, signal.length
for start in (0, signal.length // 2, signal.length - 2048):
    assert signal.read(start, start + 2048).shape == (2048, 1)
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["npy", "wav", "v7.3", "wav of two channels"])
def test_a_large_file_is_read_in_parts_without_its_whole(tmp_path, kind):
    size = 100_000_000  # samples of 4 bytes, none of them on the disk
    channels = 2 if "two" in kind else 1
    file = tmp_path / f"a.{'mat' if kind == 'v7.3' else kind[:3]}"
    if kind == "npy":
        file.write_bytes(npy_header((size,), "<f4"))
    elif kind == "v7.3":
        write_v7_3(file)
        with h5py.File(file, "a") as opened:
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            h5py.h5d.create(opened.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((1, size)), layout)
    else:
        soundfile.write(file, np.zeros((0, channels)), RATE, subtype="FLOAT")
        content = bytearray(file.read_bytes())
        place = content.index(b"data") + 4
        content[place : place + 4] = struct.pack("<I", 4 * size * channels)
        file.write_bytes(content[: place + 4])
    with open(file, "r+b") as opened:
        opened.truncate(max(file.stat().st_size, 0) + (0 if kind == "v7.3" else 4 * size * channels))
    asked = [sys.executable, "-P", "-c", MEASURE, str(file), "1" if "wav" in kind else ""]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 50
