"""Structs, cells, tables and texts of MATLAB and Octave: fields by dotted paths, and what cannot be read by its class."""

import struct

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from signal_files import refused, whole, write_v7_3
from test_formats_matlab import element

from drsn_jax.data.formats.open_signal import open_signal

RNG = np.random.default_rng(0)
N = 400
X, Y = RNG.standard_normal((2, N))
MFPT = {"bearing": {"gs": X[:, None], "sr": 97656.0, "load": 270.0, "rate": 25.0}}


def paderborn(name="N15_M07_F10_K001_1"):
    """A measurement as the set of Paderborn stores it."""
    channels = [("force", Y[None, :40]), ("vibration_1", X[None]), ("speed", np.full((1, 20), 1500.0))]
    of_y = np.zeros((1, 3), [("Name", "O"), ("Type", "O"), ("Data", "O"), ("Unit", "O")])
    for k, (title, data) in enumerate(channels):
        of_y[0, k] = (title, 3, data, "m/s")
    return {name: {"Info": {"System": "hand"}, "Y": of_y, "Description": "none"}}


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def savemat(request, tmp_path):
    def save(variables):
        scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=request.param)
        return tmp_path / "a.mat"

    return save


def test_a_struct_with_a_signal_and_its_rate(savemat):
    file = savemat(MFPT)
    for channel in ("", "bearing.gs", "gs", "*.gs", "bear*"):
        np.testing.assert_array_equal(whole(file, channel)[:, 0], X.astype(np.float32))
        signal = open_signal(file, channel)
        assert (signal.channel, signal.sampling_rate, signal.rate_from) == ("bearing.gs", 97656, "its bearing.sr")
    refused(file, "no signal 'bearing', choose one of bearing.gs", channel="bearing")
    file = savemat({**MFPT, "x": Y})
    refused(file, "2 signals (bearing.gs [400 x 1], x [1 x 400])")
    assert open_signal(file, "x").sampling_rate is None  # the rate is of another struct
    refused(savemat({**MFPT, "fs": 12000.0}), "97656 Hz by its bearing.sr and 12000 Hz by its fs")


def test_an_array_of_structs_whose_elements_have_names(savemat):
    file = savemat(paderborn())
    refused(file, "3 signals (N15_M07_F10_K001_1.Y.force", "N15_M07_F10_K001_1.Y.vibration_1 [1 x 400]")
    for channel in ("*.Y.vibration_1", "vibration_1", "N15_M07_F10_K001_1.Y(2).Data", "*.Y(2).Data"):
        np.testing.assert_array_equal(whole(file, channel)[:, 0], X.astype(np.float32))
        assert open_signal(file, channel).channel == "N15_M07_F10_K001_1.Y.vibration_1"


def test_arrays_of_structs_and_cells_by_number(savemat):
    runs = np.zeros((1, 2), [("x", "O"), ("fs", "O")])
    runs[0, 0], runs[0, 1] = (X, 8000.0), (Y, 16000.0)
    cell = np.empty((1, 1), object)
    cell[0, 0] = Y
    file = savemat({"run": runs, "c": np.array([X, "text", Y], object), "deep": {"er": {"c": cell}}})
    for channel, values in (("run(1).x", X), ("run(2).x", Y), ("c{1}", X), ("c{3}", Y), ("deep.er.c{1}", Y)):
        np.testing.assert_array_equal(whole(file, channel)[:, 0], values.astype(np.float32))
    assert [open_signal(file, f"run({k}).x").sampling_rate for k in (1, 2)] == [8000, 16000]
    refused(file, "5 signals", "c{3} [1 x 400]")


def opaque(name, kind):
    """A variable of a class that MATLAB keeps for itself, by hand."""
    body = element(6, struct.pack("<II", 17, 0)) + element(1, name) + element(1, b"MCOS") + element(1, kind)
    body += element(
        14, element(6, struct.pack("<II", 13, 0)) + element(5, struct.pack("<2i", 2, 1)) + element(1, b"") + element(6, bytes(8))
    )
    return struct.pack("<II", 14, len(body)) + body


def test_tables_strings_and_other_classes_are_named(tmp_path):
    file = tmp_path / "a.mat"
    scipy.io.savemat(file, {"x": X})
    plain = file.read_bytes()
    for kind, told in (("table", "T cannot be read: save its columns as arrays"), ("timetable", ""), ("duration", "")):
        file.write_bytes(plain + opaque(b"T", kind.encode()))
        refused(file, f"2 signals (x [1 x 400], T [{kind}])", told)
        refused(file, f"T is of type {kind}", channel="T")
        np.testing.assert_array_equal(whole(file, "x")[:, 0], X.astype(np.float32))
    file.write_bytes(plain + opaque(b"T", b"string"))
    assert open_signal(file).channel == "x"  # a text holds no signal
    file.write_bytes(plain[:128] + opaque(b"T", b"table"))
    refused(file, "T is of type table", "save its columns as arrays")
    scipy.io.savemat(file, {"x": X, "c": X * 1j, "s": scipy.sparse.csc_matrix(np.eye(4)), "on": X > 0})
    refused(file, "3 signals (x [1 x 400], c [complex], s [sparse])")


def write_structs_7_3(file):
    """MFPT's and Paderborn's structs, a cell and a table, as MATLAB 7.3 stores them."""
    write_v7_3(file)
    with h5py.File(file, "a") as opened:

        def put(path, value, kind):
            opened[path] = value
            opened[path].attrs["MATLAB_class"] = np.bytes_(kind)
            return opened[path].ref

        def text(path, words):
            return put(path, np.array([[ord(letter)] for letter in words], np.uint16), "char")

        def group(path):
            opened.create_group(path).attrs["MATLAB_class"] = np.bytes_("struct")

        def references(path, found):
            opened.create_dataset(path, data=np.array(found, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)

        group("bearing")
        put("bearing/gs", X[None], "double")
        put("bearing/sr", np.array([[97656.0]]), "double")
        group("K001")
        group("K001/Y")
        references("K001/Y/Name", [text("#refs#/a", "force"), text("#refs#/b", "vibration_1")])
        references("K001/Y/Data", [put("#refs#/c", Y[None, :40], "double"), put("#refs#/d", Y[None], "double")])
        references("c", [put("#refs#/e", X[None], "double"), put("#refs#/f", Y[None], "double")])
        opened["c"].attrs["MATLAB_class"] = np.bytes_("cell")
        put("T", np.zeros((1, 6), np.uint32), "table")
        put("words", np.zeros((1, 6), np.uint32), "string")


def test_structs_cells_and_tables_of_version_7_3(tmp_path):
    file = tmp_path / "a.mat"
    write_structs_7_3(file)
    refused(file, "6 signals (", "K001.Y.vibration_1 [400 x 1]", "T [table]", "bearing.gs", "c{1} [400 x 1]", "T cannot be read")
    for channel, values in (
        ("bearing.gs", X),
        ("*.Y.vibration_1", Y),
        ("K001.Y(2).Data", Y),
        ("c{1}", X),
        ("c{2} + gs", np.stack([Y, X], 1)),
    ):
        np.testing.assert_array_equal(whole(file, channel), values.astype(np.float32).reshape(N, -1))
    assert open_signal(file, "gs").sampling_rate == 97656
    refused(file, "T is of type table", channel="T")
    refused(file, "words is of type string", channel="words")


LEAVES = st.tuples(st.integers(1, 5), st.sampled_from(["f8", "f4", "i2", "u1", "i8"]), st.booleans())
FIELDS = st.dictionaries(st.sampled_from(["a", "b", "gs", "Data", "x1"]), LEAVES, min_size=1, max_size=3)
TREES = st.dictionaries(
    st.sampled_from(["s", "bearing", "X097"]), FIELDS | LEAVES | st.lists(LEAVES, min_size=1, max_size=3), min_size=1
)


@given(tree=TREES, packed=st.booleans(), big=st.booleans())
def test_any_nesting_is_read_as_it_was_written(tmp_path_factory, tree, packed, big):
    rng = np.random.default_rng(0)
    truth = {}

    def array(path, leaf):
        length, kind, column = leaf
        values = rng.integers(0, 100, length + 1).astype(kind)
        truth[path] = values
        return values[:, None] if column else values[None]

    written = {}
    for name, held in tree.items():
        if isinstance(held, dict):
            written[name] = {field: array(f"{name}.{field}", leaf) for field, leaf in held.items()}
        elif isinstance(held, list):
            cell = np.empty(len(held), object)
            for k, leaf in enumerate(held):
                cell[k] = array(f"{name}{{{k + 1}}}", leaf)
            written[name] = cell
        else:
            written[name] = array(name, held)
    file = tmp_path_factory.getbasetemp() / "nested.mat"
    file.unlink(missing_ok=True)
    scipy.io.savemat(file, written, do_compression=packed, long_field_names=big)
    for path, values in truth.items():
        np.testing.assert_array_equal(whole(file, path)[:, 0], values.astype(np.float32))


def test_structs_that_promise_more_than_there_is(tmp_path):
    file = tmp_path / "a.mat"
    scipy.io.savemat(file, MFPT)
    content = file.read_bytes()
    head = content.index(struct.pack("<2i", 1, 1))
    file.write_bytes(content[:head] + struct.pack("<2i", 1 << 30, 1 << 30) + content[head + 8 :])
    refused(file, "elements of a struct in")
