"""Files with signals of every kind for the tests of formats, and how to ask what is in them."""

import io
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import soundfile

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal

RATE = 8000
LENGTH = 1000
PAIR = np.random.default_rng(0).uniform(-1, 1, (LENGTH, 2)).astype(np.float32)


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


def write_text(file, separator, header, quote="", decimal="."):
    cells = [[f"{quote}{value!r}{quote}".replace(".", decimal) for value in row] for row in PAIR.astype(np.float64).tolist()]
    lines = [separator.join(row) for row in cells]
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
    "decimal commas": (lambda f: write_text(f, ";", True, decimal=","), ".csv", "a", "b"),
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


def npy_header(shape, kind="<f8", order=False):
    stream = io.BytesIO()
    np.lib.format.write_array_header_2_0(stream, {"descr": kind, "fortran_order": order, "shape": shape})
    return stream.getvalue()


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
