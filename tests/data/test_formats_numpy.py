"""NumPy arrays and archives: hostile headers, types that are no signal, checksums."""

import zipfile

import numpy as np
import pytest
from signal_files import PAIR, npy_header, refused, whole

from drsn_jax.data.formats.open_signal import open_signal


def test_objects_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    np.save(tmp_path / "a.npy", np.array([Bomb(), 1], object))
    refused(tmp_path / "a.npy", "Python objects", "never loaded")
    np.savez(tmp_path / "a.npz", x=np.array([Bomb(), 1], object))
    refused(tmp_path / "a.npz", "no numeric signal")
    refused(tmp_path / "a.npz", "x is of type object", channel="x")


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
        (np.zeros((9, 2), [("a", "f8"), ("b", "f8")]), "type [('a', '<f8')"),
        (np.zeros((9, 1), [("ä", "f8")]), ""),
        (np.zeros(9, "datetime64[s]"), "type datetime64[s]"),
        (np.zeros(9, np.longdouble), "type float128"),
    ],
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0:UserWarning")
def test_arrays_that_are_no_signal(tmp_path, values, told):
    np.save(tmp_path / "a.npy", values)
    refused(tmp_path / "a.npy", told)
    np.savez(tmp_path / "a.npz", x=values)
    windows = values.ndim > 1 and values.size and values.dtype.kind == "f"
    refused(tmp_path / "a.npz", ("no single signal" if values.ndim == 3 else "constant") if windows else "no numeric signal")
    refused(tmp_path / "a.npz", "x ", channel="x")


def test_tables_of_named_columns(tmp_path):
    table = np.zeros(len(PAIR), [("t", "f8"), ("acc", "f4"), ("when", "M8[us]"), ("note", "U3")])
    table["t"], table["acc"] = np.arange(len(PAIR)) / 8000, PAIR[:, 0]
    np.save(tmp_path / "a.npy", table)
    np.savez(tmp_path / "a.npz", log=table)
    for suffix, name in ((".npy", "acc"), (".npz", "log.acc")):
        file = tmp_path / f"a{suffix}"
        np.testing.assert_array_equal(whole(file), PAIR[:, :1])
        signal = open_signal(file)
        assert (signal.channel, signal.sampling_rate) == (name, 8000)


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
