"""Files with signals of every kind for the tests of formats, and how to ask what is in them."""

import io
import warnings
from typing import Any

import asammdf
import h5py
import nptdms
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyuff
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


def write_hdf5(file, **options):
    with h5py.File(file, "w") as opened:
        if options:
            opened.create_dataset("x", data=PAIR, compression="gzip", **options)
        else:
            opened["run/a"], opened["run/b"] = PAIR.T


def write_hdf5_of(file, **arrays):
    with h5py.File(file, "w") as opened:
        for name, value in arrays.items():
            opened[name] = value


def write_octave(file):
    """Octave's own text."""
    text = "# Created by Octave 8.4.0, Tue Mar 12 10:00:00 2024 UTC <me@here>\n"
    for name, values in a_and_b(PAIR.astype(np.float64)).items():
        rows = "".join(f" {value!r}\n" for value in values.ravel().tolist())
        text += f"# name: {name}\n# type: matrix\n# rows: {len(values)}\n# columns: 1\n{rows}\n\n"
    file.write_text(text)


def write_text(file, separator, header, quote="", decimal="."):
    cells = [[f"{quote}{value!r}{quote}".replace(".", decimal) for value in row] for row in PAIR.astype(np.float64).tolist()]
    lines = [separator.join(row) for row in cells]
    file.write_text("\n".join([separator.join("ab")] * header + lines) + "\n", encoding="utf-8")


def write_tdms(file, kind="f4", segments=1):
    with nptdms.TdmsWriter(file) as writer:
        for part in np.split(PAIR.astype(kind), segments):
            writer.write_segment([nptdms.ChannelObject("g", name, part[:, k]) for k, name in enumerate("ab")])


def data_set(values, rate, node=1, single=False, **fields):
    """A data set 58 of a universal file; ``single`` writes numbers with six digits."""
    told = {"func_type": 1, "rsp_node": node, "rsp_dir": 3, "ref_node": 0, "ref_dir": 0, "abscissa_spacing": 1}
    kinds = {"abscissa_spec_data_type": 17, "ordinate_spec_data_type": 12, "orddenom_spec_data_type": 0}
    axis = {"x": np.arange(len(values)) / rate, "type": 58, "binary": 0}
    return {**told, **kinds, **axis, "data": values, "force_double": not single, **fields}


def write_universal(file, sets):
    file.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pyuff leaves it to Python to close a binary file
        _append_sets(file, sets)


def _append_sets(file, sets):
    for content in sets:
        pyuff.UFF(str(file)).write_sets(content, "add", force_double=content["force_double"])


def write_mdf(file, groups, version: Any = "4.10", compression: Any = 0):
    with asammdf.MDF(version=version) as made:
        for group in groups:
            made.append(group)
        # asammdf changes a suffix that is not the usual one of the version
        saved = made.save(file.with_suffix(".mdf" if version[0] == "3" else ".mf4"), overwrite=True, compression=compression)
    saved.rename(file)


def mdf_pair(file, version: Any = "4.10", compression: Any = 0):
    times = np.arange(LENGTH) / RATE
    write_mdf(file, [[asammdf.Signal(PAIR[:, k], times, name="ab"[k]) for k in range(2)]], version, compression)


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
    "v4": (lambda f: scipy.io.savemat(f, a_and_b(), format="4"), ".mat", "a", "b"),
    "v7.3 matrix": (lambda f: write_v7_3(f, x=PAIR.T), ".mat", "x.1", "x.2"),
    "v7 struct": (lambda f: scipy.io.savemat(f, {"s": a_and_b()}, do_compression=True), ".mat", "s.a", "s.b"),
    "octave": (lambda f: write_octave(f), ".mat", "a", "b"),
    "hdf5": (lambda f: write_hdf5(f), ".h5", "run/a", "run/b"),
    "hdf5 matrix": (lambda f: write_hdf5(f, chunks=(100, 2), shuffle=True), ".hdf5", "x.1", "x.2"),
    "npy": (lambda f: np.save(f, PAIR), ".npy", "1", "2"),
    "npy Fortran": (lambda f: np.save(f, np.asfortranarray(PAIR)), ".npy", "1", "2"),
    "npy big-endian": (lambda f: np.save(f, PAIR.astype(">f8")), ".npy", "1", "2"),
    "npz": (lambda f: np.savez(f, **a_and_b()), ".npz", "a", "b"),
    "npz matrix": (lambda f: np.savez(f, x=PAIR), ".npz", "x.1", "x.2"),
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
    "w64": (lambda f: soundfile.write(f, PAIR, RATE, subtype="FLOAT", format="W64"), ".w64", "1", "2"),
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
KINDS |= {
    "tdms": (lambda f: write_tdms(f), ".tdms", "g/a", "g/b"),
    "uff": (lambda f: write_universal(f, [data_set(PAIR[:, k], RATE, id1="ab"[k]) for k in range(2)]), ".uff", "a", "b"),
    "uff binary": (lambda f: write_universal(f, [data_set(PAIR[:, k], RATE, binary=1) for k in range(2)]), ".unv", "1", "2"),
    "mf4": (lambda f: mdf_pair(f), ".mf4", "a", "b"),
    "mf4 packed": (lambda f: mdf_pair(f, "4.20", 2), ".mf4", "a", "b"),
    "tdms segments": (lambda f: write_tdms(f, "f8", 4), ".tdms", "g/a", "g/b"),
}
ROUNDED = {"wav 16": 2**-15, "wav 24": 2**-22, "flac": 2**-15, "uff": 1e-7, "flac 24": 2**-22}


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
