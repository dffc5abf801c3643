"""The format of a file by its content where its name says nothing, and files that lie beside recordings."""

import gzip
import struct
import warnings

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from signal_files import KINDS, PAIR, refused, whole

from drsn_jax.data.formats import open_signal
from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.data.formats.content import SIGNATURES, holds_no_signal, suffix_by_content
from drsn_jax.data.formats.open_signal import READERS
from drsn_jax.data.recordings import read_folder

TEXT = "\n".join(f"{x:.6f}" for x in PAIR[:50, 0].tolist()) + "\n"


@pytest.mark.parametrize("kind", KINDS)
def test_any_format_is_known_by_its_content(files, tmp_path, kind):
    _, suffix, a, b = KINDS[kind]
    for name in ("2003.10.22.12.06.24", "recording", "a.dat"):
        file = tmp_path / name
        file.write_bytes(files[kind].read_bytes())
        np.testing.assert_array_equal(whole(file, f"{a}+{b}"), whole(files[kind], f"{a}+{b}"))
    found = suffix_by_content(files[kind].read_bytes()[:4096])
    assert READERS[found] is READERS[suffix] or found == ".h5"


@pytest.mark.parametrize("name", ["2004.02.12.10.32.39", "a.asc", "a.dat", "a.tsv", "a.prn", "run_01", "a.CSV", "a.vib"])
def test_text_is_read_whatever_its_name(tmp_path, name):
    file = tmp_path / name
    file.write_text(TEXT)
    np.testing.assert_allclose(whole(file)[:, 0], PAIR[:50, 0], atol=1e-6)


def test_bytes_without_a_format_are_of_an_unknown_kind(tmp_path):
    samples = PAIR[:, 0].tobytes()
    office = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 19, 0) + b"[Content_Types].xml" + bytes(100)
    for content in (samples, b"\x00" * 50, office, b"\xd0\xcf\x11\xe0" + bytes(100)):
        for name in ("a.xlsx", "a.dat", "a"):
            (tmp_path / name).write_bytes(content)
            refused(tmp_path / name, "unknown kind", ".parquet")


def test_only_text_is_unpacked(tmp_path, files):
    for kind in ("npy", "wav", "v5"):
        file = tmp_path / "a.gz"
        file.write_bytes(gzip.compress(files[kind].read_bytes()))
        refused(file, "is compressed: unpack it")
    file.write_bytes(gzip.compress(TEXT.encode())[:20])
    refused(file, "damaged")


def test_packed_text_is_given_to_the_reader_of_text(tmp_path):
    packed = gzip.compress(TEXT.encode())
    for name in ("a.csv.gz", "2004.02.12.10.32.39", "a.dat"):
        (tmp_path / name).write_bytes(packed)
        assert open_signal._suffix(tmp_path / name, packed) == ".txt"


def test_a_name_of_a_known_format_with_the_content_of_another_names_both(tmp_path, files):
    file = tmp_path / "a.npy"
    file.write_bytes(files["wav"].read_bytes())
    refused(file, "holds .wav data, not what its name says")


@pytest.mark.parametrize("order", "<>")
def test_matlab_4_and_octave_are_known_by_their_first_bytes(tmp_path, order):
    header = struct.pack(f"{order}5i", 0 if order == "<" else 1000, 100, 1, 0, 5)
    assert suffix_by_content(header + b"accX\0" + bytes(800)) == ".mat"
    for wrong in (header + b"acc X" + bytes(800), header + b"1acc\0" + bytes(800), bytes(800), header):
        assert suffix_by_content(wrong) == ""
    assert suffix_by_content(b"# Created by Octave 8.4.0\n# name: acc\n# type: matrix\n# rows: 3\n") == ".mat"
    assert suffix_by_content(b"# name of the signal: acc\n1\n2\n") == ".txt"
    scipy.io.savemat(tmp_path / "a", {"acc": PAIR[:, :1].astype(np.float64)}, format="4", appendmat=False)
    assert suffix_by_content((tmp_path / "a").read_bytes()[:4096]) == ".mat"


@given(st.binary(max_size=600) | st.sampled_from(sorted(SIGNATURES)).flatmap(lambda s: st.binary(max_size=40).map(s.__add__)))
def test_any_bytes_have_one_format_or_none(content):
    assert suffix_by_content(content) in {"", ".uff", ".mat", ".npz", ".txt", ".wav", *SIGNATURES.values()}


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        *(
            (name, True)
            for name in ("Thumbs.db", "desktop.ini", "a.tdms_index", "report.PDF", "~$book.xlsx", "README", "readme.txt")
        ),
        *((name, True) for name in ("LICENSE", "photo.jpeg", "licence.md", "plot.m")),
        *((name, False) for name in ("a.csv", "2004.02.12.10.32.39", "book.xlsx", "run", "readme_data.csv", "a.zip", "x.log")),
    ],
)
def test_names_of_files_beside_recordings(tmp_path, name, beside):
    assert holds_no_signal(tmp_path / name) == beside


def make_folder(tmp_path, stray):
    for label in ("faulty", "healthy"):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "a.npy", PAIR[:, 0])
    for name, content in stray.items():
        (tmp_path / name).write_bytes(content)


def test_stray_files_of_a_folder_are_passed_over_with_one_line(tmp_path):
    make_folder(
        tmp_path,
        {"faulty/Thumbs.db": b"\xd0\xcf", "healthy/a.tdms_index": b"TDSh", "healthy/notes.pdf": b"%PDF", "README.md": b"x"},
    )
    with pytest.warns(RecordingWarning) as told:
        recordings = read_folder(tmp_path, sampling_rate=100)
    assert [r.name for r in recordings] == ["faulty/a.npy", "healthy/a.npy"]
    (line,) = told
    assert "passed over what holds no signal by its name (3 in all: " in str(line.message)
    assert "faulty/Thumbs.db, healthy/a.tdms_index, healthy/notes.pdf" in str(line.message)


def test_a_class_of_stray_files_alone_and_files_that_may_hold_samples_are_refused(tmp_path):
    make_folder(tmp_path, {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.pdf").write_bytes(b"%PDF")
    with pytest.raises(RecordingError, match="other holds no recordings"):
        read_folder(tmp_path, sampling_rate=100)
    (tmp_path / "other" / "report.pdf").rename(tmp_path / "healthy" / "book.xlsx")
    (tmp_path / "other").rmdir()
    with warnings.catch_warnings(), pytest.raises(RecordingError, match=r"book\.xlsx"):
        read_folder(tmp_path, sampling_rate=100)


@pytest.mark.parametrize("name", ["a.csv", "a.mat", "a"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html>404 1 2 3</html>", "web page"),
        (b"PK\x03\x04\x14\x00" + bytes(20) + b"\x13\x00\x00\x00[Content_Types].xml" + bytes(50), "Excel"),
        (b"\x80\x04\x95" + bytes(50), "pickle"),
        (b"FORM" + bytes(4) + b"AIFFCOMM" + bytes(50), "ffmpeg"),
    ],
)
def test_the_way_out_of_kinds_that_are_not_read(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, told)


@pytest.mark.parametrize("first", ["FORM", "ID3", "BZh", "{fs: 1000}"])
def test_text_may_begin_with_any_letters(tmp_path, first):
    (tmp_path / "a.csv").write_text(f"{first}\n" + "".join(f"{value:.6f}\n" for value in PAIR[:50, 0]))
    np.testing.assert_allclose(whole(tmp_path / "a.csv")[:, 0], PAIR[:50, 0], atol=1e-6)
