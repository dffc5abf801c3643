"""Windows that were cut before: taken as they are, with the labels beside them, and never cut again across their ends."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.labelled_windows import read_windows_file
from drsn_jax.data.recordings import check_recordings, read_folder, read_recordings
from drsn_jax.data.windows import make_folds

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 64)).astype(np.float32)
Y = np.arange(60) % 3


def write(file, **arrays):
    if file.suffix == ".npz":
        np.savez(file, **arrays)
    elif file.suffix == ".mat":
        scipy.io.savemat(file, arrays)
    elif file.suffix == ".parquet":
        columns = {name: np.repeat(array, 60) if array.ndim == 0 else list(array) for name, array in arrays.items()}
        pq.write_table(pa.table(columns), file)
    else:
        with h5py.File(file, "w") as opened:
            for name, array in arrays.items():
                opened[name] = array


@pytest.mark.parametrize("suffix", ["npz", "mat", "h5", "parquet"])
def test_windows_and_their_labels(tmp_path, suffix):
    file = tmp_path / f"set.{suffix}"
    write(file, X=X, y=Y, fs=np.array(12800.0))
    found = read_windows_file(file, "y")
    assert [(r.label, r.unit, r.sampling_rate, r.rate_from, r.channel) for r in found] == [
        (str(label), 64, 12800.0, "its fs", "X") for label in range(3)
    ]
    for label, recording in enumerate(found):
        np.testing.assert_array_equal(recording.signal.reshape(-1, 64), X[label == Y])


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["healthy", "worn", "broken"])[Y], ["healthy", "worn", "broken"]),
        (Y / 1, ["0", "1", "2"]),
        (Y[:, None] - 1, ["-1", "0", "1"]),
        (np.array([b"a", b"b", b"c"])[Y], ["a", "b", "c"]),
    ],
)
def test_labels_are_the_names_of_classes(tmp_path, labels, names):
    np.savez(tmp_path / "set.npz", X=X, y=labels)
    assert [r.label for r in read_windows_file(tmp_path / "set.npz", "y", sampling_rate=100.0)] == names


@pytest.mark.parametrize("split", ["time", "random-windows"])
def test_every_window_is_one_that_was_given(tmp_path, split):
    """However many there are: a split by time cuts between them."""
    given = {}
    for label, count in (("a", 17), ("b", 23)):
        (tmp_path / label).mkdir()
        given[label] = RNG.normal(size=(count, 64, 2)).astype(np.float32)
        np.save(tmp_path / label / "windows.npy", given[label])
    found = read_folder(tmp_path, sampling_rate=100.0, windows=True)
    assert {r.unit for r in found} == {64}
    known = {(window - window.mean(0)).round(3).tobytes() for part in given.values() for window in part}
    for cut in make_folds(found, split, window_length=64, train_stride=64, folds=3, validation=0.2):
        fold = cut()
        for side in (fold.train, fold.test, fold.validation):
            assert len(side.windows)
            assert {window.round(3).tobytes() for window in side.windows} <= known


def test_a_table_of_files_of_windows(tmp_path):
    np.savetxt(tmp_path / "a.csv", X[:20], delimiter=",")
    np.savez(tmp_path / "b.npz", X=X[20:], other=Y)
    (tmp_path / "t.csv").write_text("path,label,sampling_rate,channel\na.csv,a,100,\nb.npz,b,100,X\n")
    one, other = read_recordings(tmp_path / "t.csv", windows=True)
    np.testing.assert_allclose(one.signal.reshape(-1, 64), X[:20])
    np.testing.assert_allclose(other.signal.reshape(-1, 64), X[20:])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X.T, "y": Y}, r"X has the shape \(64, 60\) and y as many values as it has columns.*transpose it"),
        ({"X": X.reshape(60, 32, 2).swapaxes(1, 2), "y": Y}, r"shape \(60, 2, 32\), more channels than samples.*moveaxis"),
        ({"X": RNG.normal(size=(60, 8, 16)), "y": Y}, r"shape \(60, 8, 16\), more channels than samples.*moveaxis"),
        ({"X": X, "Z": X, "y": Y}, r"several arrays that may be windows.*name one by channel"),
        ({"X": X[:, 0], "y": Y}, r"no array of windows, .n, length. or .n, length, channels."),
        ({"X": X, "y": Y[:50]}, r"y has the shape .*expected a label for each of the 60 windows in X"),
        ({"X": X, "z": Y}, "no signal 'y', choose one of z"),
        ({"X": np.where(X > 2.5, np.nan, X), "y": Y}, "not a finite float32 number"),
        ({"X": X, "y": Y, "fs": 200.0}, "says that it is sampled at 200 Hz, not at 100 Hz .by its fs.: correct"),
        ({"X": X, "y": np.where(Y == 1, np.nan, Y)}, "names no class"),
    ],
)
def test_what_is_no_array_of_windows(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_windows_file(tmp_path / "set.npz", "y", sampling_rate=100.0)


@pytest.mark.parametrize(
    ("name", "message"), [("x.wav", "windows already cut are read from .npy"), ("x.npz", "damaged"), ("y.npy", "does not exist")]
)
def test_files_without_windows(tmp_path, name, message):
    if name != "y.npy":
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(RecordingError, match=message):
        read_windows_file(tmp_path / name, "y", sampling_rate=100.0)


def test_an_object_is_never_loaded(tmp_path):
    np.savez(tmp_path / "set.npz", X=X, y=np.array([{}] * 60, object))
    with pytest.raises(RecordingError, match=r"damaged or no \.npz file.*allow_pickle=False"):
        read_windows_file(tmp_path / "set.npz", "y", sampling_rate=100.0)


@pytest.mark.parametrize(
    ("label", "message"), [(0, "hold the same samples: leave"), (1, "hold the same samples, with two labels, '0' and '1'")]
)
def test_a_window_twice(tmp_path, label, message):
    labels = np.append(Y, label)
    np.savez(tmp_path / "set.npz", X=np.append(X, X[3:4], axis=0), y=labels)
    found = read_windows_file(tmp_path / "set.npz", "y", sampling_rate=100.0)
    with pytest.raises(RecordingError, match=f"window 1 of .*, 0 and window 20 of .*, {label} {message}"):
        check_recordings(found, 64)


def test_rows_of_different_lengths(tmp_path):
    pq.write_table(pa.table({"wave": [[1.0] * 64, [2.0] * 60], "rpm": [1.0, 2.0], "label": ["a", "b"]}), tmp_path / "x.parquet")
    with pytest.raises(RecordingError, match="the rows of wave have 60 to 64 samples, expected windows of one length"):
        read_windows_file(tmp_path / "x.parquet", "label", sampling_rate=100.0)


def test_a_rate_that_changes_from_row_to_row(tmp_path):
    write(tmp_path / "x.npz", X=X, y=Y, fs=np.arange(60) + 1000.0)
    with pytest.raises(RecordingError, match=r"fs differs from window to window .1000 to 1059.: with mixed rates"):
        read_windows_file(tmp_path / "x.npz", "y", sampling_rate=1000.0)
    assert len(read_windows_file(tmp_path / "x.npz", "y", sampling_rate=1000.0, overrule_rate=True)) == 3


@pytest.mark.parametrize("name", ["y", "label"])
def test_labels_beside_windows_in_a_folder_of_one_class(tmp_path, name):
    """The folder is one class, and the file tells several."""
    (tmp_path / "worn").mkdir()
    write(tmp_path / "worn" / "a.npz", X=X, **{name: Y})
    with pytest.raises(RecordingError, match=f"{name} tells 3 classes of its windows .*labels={name}"):
        read_folder(tmp_path, windows=True, sampling_rate=1000)
    write(tmp_path / "worn" / "a.npz", X=X, **{name: 0 * Y})
    assert len(read_folder(tmp_path, windows=True, sampling_rate=1000)) == 1
