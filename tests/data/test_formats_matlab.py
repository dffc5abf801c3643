"""MATLAB files whose headers are wrong, promise too much, or point into other files."""

import struct

import h5py
import numpy as np
import pytest
from signal_files import PAIR, refused, whole, write_v7_3

from drsn_jax.data.formats.open_signal import open_signal


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
    np.testing.assert_array_equal(whole(tmp_path / "a.mat", "x")[:, 0], np.arange(4))
    # numbers of class double are often stored as smaller ones
    (tmp_path / "a.mat").write_bytes(matlab(samples=np.arange(4).astype(order + "i2").tobytes(), kind=3, order=order))
    np.testing.assert_array_equal(whole(tmp_path / "a.mat", "x")[:, 0], np.arange(4))


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
        (matlab() + matlab()[128:], "nothing that looks like a signal (x [4 x 1, constant], x [4 x 1, constant])"),
        (matlab() + b"\0\0\0", "damaged"),
        (matlab()[:128], "no numeric signal"),
        (bytes(124) + b"\x00\x01IM" + bytes(64), "damaged"),
        (struct.pack("<5i", 0, 1001, 1, 0, 2) + b"x\0" + bytes(8000), "promises 8030 bytes"),  # version 4
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


def letters(words, turned):
    """Names as the rows, or columns, of a matrix of characters."""
    longest = max(map(len, words))
    rows = np.array([[ord(letter) for letter in word.ljust(longest)] for word in words], np.uint8)
    return rows.T if turned else rows


def write_simulation(file, turned):
    """The result of a simulation of two variables and a parameter, as OpenModelica writes it."""
    time = np.arange(400) / 2000
    values = np.stack([time, PAIR[:400, 0], PAIR[:400, 1]])
    constants = np.array([[0.0, 0.2], [9.81, 9.81]])
    info = np.array([[0, 2, 2, 2, 1], [1, 2, 3, -2, 2], [0, 0, 0, 0, 0], [-1, -1, -1, -1, -1]], np.int32)
    kind = "binTrans" if turned else "binNormal"
    with open(file, "wb") as opened:
        for name, matrix, code in (
            ("Aclass", letters(["Atrajectory", "1.1", "", kind], False), 51),
            ("name", letters(["time", "body.a", "body.v", "minus", "g"], turned), 51),
            ("dataInfo", info if turned else info.T, 20),
            ("data_1", constants if turned else constants.T, 0),
            ("data_2", values if turned else values.T, 0),
        ):
            opened.write(struct.pack("<5i", code, *matrix.shape, 0, len(name) + 1) + name.encode() + b"\0")
            opened.write(np.asarray(matrix).tobytes(order="F"))


@pytest.mark.parametrize("turned", [True, False])
def test_the_result_of_a_simulation(tmp_path, turned):
    file = tmp_path / "a.mat"
    write_simulation(file, turned)
    refused(file, "4 signals (time [400 x 1, a time axis], body.a [400 x 1], body.v [400 x 1], minus [400 x 1])")
    for channel, values in (("body.a", PAIR[:400, 0]), ("body.v", PAIR[:400, 1]), ("minus", -PAIR[:400, 0])):
        np.testing.assert_array_equal(whole(file, channel)[:, 0], values)
        assert open_signal(file, channel).sampling_rate == 2000
    content = file.read_bytes()
    file.write_bytes(content[:-900])
    refused(file, "data_2 promises")


def test_files_of_other_programs_are_named(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"Octave-1-L\0" + bytes(600))
    refused(tmp_path / "a.mat", "Octave's own binary format", "save -v7")
    (tmp_path / "a.mat").write_text("  1.5e+00  2.5e+00\n" * 50)
    refused(tmp_path / "a.mat", "is text, as save -ascii writes it", ".txt")
