"""Files of every kind that are cut short, empty, missing or of another kind than their suffix says."""

import itertools

import numpy as np
import pytest
from signal_files import KINDS, PAIR, refused, whole

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import READERS, open_signal


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short(files, tmp_path, kind):
    _, suffix, a, b = KINDS[kind]
    content = files[kind].read_bytes()
    file = tmp_path / f"a{suffix}"
    for share in (0.02, 0.3, 0.6, 0.95):
        rest = content[: int(share * len(content))]
        if suffix in (".csv", ".txt"):
            # text promises nothing; a cut within a line is a ragged one
            rest = rest.rpartition(b"\n")[0] + b"\n0.5"
        file.write_bytes(rest)
        for channel in (f"{a}+{b}", a):
            refused(file, channel=channel)
            # not only when the missing part is read
            with pytest.raises(RecordingError):
                open_signal(file, channel)


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


# of two suffixes with one reader neither is wrong
WRONG_SUFFIXES = [(true, wrong) for true, wrong in itertools.product(READERS, READERS) if READERS[true] is not READERS[wrong]]
# universal files are text too, and are read under its suffixes
TEXT = {(true, wrong) for true in (".uff", ".unv") for wrong in (".csv", ".txt")}
WRONG_SUFFIXES = [pair for pair in WRONG_SUFFIXES if pair not in TEXT]


def test_suffixes_with_one_reader():
    alike = [{one, other} for one, other in itertools.combinations(READERS, 2) if READERS[one] is READERS[other]]
    audio = [{".wav", ".w64"}, {".wav", ".flac"}, {".w64", ".flac"}]
    assert alike == [{".csv", ".txt"}, *audio, {".h5", ".hdf5"}, {".uff", ".unv"}]


@pytest.mark.parametrize(("true", "wrong"), [*WRONG_SUFFIXES, *itertools.permutations((".wav", ".w64", ".flac"), 2)])
def test_a_wrong_extension(files, tmp_path, true, wrong):
    file = tmp_path / f"a{wrong}"
    for kind, (_, suffix, a, b) in KINDS.items():
        # the files of MATLAB 7.3 are HDF5 files
        if suffix == true and not (kind.startswith(("v7.3", "hdf5")) and wrong in (".mat", ".h5", ".hdf5")):
            file.write_bytes(files[kind].read_bytes())
            refused(file, channel=f"{a}+{b}")


def test_an_unknown_extension_and_capitals(tmp_path, files):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04" + bytes(99))
    refused(tmp_path / "a.xlsx", "unknown kind", ".parquet")
    (tmp_path / "A.NPY").write_bytes(files["npy"].read_bytes())
    np.testing.assert_array_equal(whole(tmp_path / "A.NPY", "1+2"), PAIR)
