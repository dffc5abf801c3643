"""Arrays that lie in files give what those in memory give."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from drsn_jax.core import storage
from drsn_jax.core.storage import blocks, in_file, in_parts, store
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import Recording, fingerprint, read_file, read_folder
from drsn_jax.data.resampling import resample
from drsn_jax.data.windows import few_windows, make_folds
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.baseline import spectrum_features
from drsn_jax.studies.trial_data import standardised, with_noise
from drsn_jax.training.batches import Batches

RATE = 1000.0
ROUNDING = 5e-6  # programs compiled for another number of windows sum in another order


@pytest.fixture
def everything_in_files(monkeypatch):
    """No array is small enough for memory, and blocks are small enough for several."""
    monkeypatch.setattr(storage, "BLOCK", 3000)
    storage.limit.cache_clear()
    monkeypatch.setattr(storage, "SHARE", 0)
    yield
    storage.limit.cache_clear()


def folder_of(tmp_path: Path) -> Path:
    """Two classes, two channels, a file of each way of reading: mapped, in parts, whole."""
    rng = np.random.default_rng(0)
    for name in ("healthy", "worn"):
        folder = tmp_path / "classes" / name
        folder.mkdir(parents=True)
        np.save(folder / "mapped.npy", rng.normal(3, 1, (2001, 2)).astype(np.float32))
        np.save(folder / "parts.npy", rng.normal(3, 1, (2000, 2)))
        np.savetxt(folder / "text.csv", rng.normal(3, 1, (1999, 2)), delimiter=",")
    return tmp_path / "classes"


def sides(folder: Path, rate: float):
    found = resample(read_folder(folder, sampling_rate=RATE, channel="1+2"), rate)
    fold = make_folds(found, "time", window_length=64, train_stride=32, folds=3, validation=0.2)[0]()
    return found, fold, with_noise(fold, seed=1, noise=Noise("pink", -3.0), train_noise=Noise("pink", (-5, 5)))


@pytest.mark.parametrize("rate", [RATE, 1500.0])
def test_a_run_in_files_is_that_in_memory(tmp_path, request, rate):
    folder = folder_of(tmp_path)
    recordings, fold, data = sides(folder, rate)
    assert not any(in_file(r.signal) for r in recordings)
    request.getfixturevalue("everything_in_files")
    far_recordings, far_fold, far = sides(folder, rate)
    assert all(in_file(r.signal) for r in far_recordings)
    assert fingerprint(far_recordings) == fingerprint(recordings)
    for near, apart in ((fold, far_fold), (data, far)):
        for name in ("train", "test", "validation"):
            near_side, far_side = getattr(near, name), getattr(apart, name)
            assert in_file(far_side.windows), name
            np.testing.assert_allclose(far_side.windows, near_side.windows, atol=ROUNDING)
            np.testing.assert_array_equal(far_side.labels, near_side.labels)
    assert in_file(far.train_noisy)
    np.testing.assert_allclose(far.train_noisy, data.train_noisy, atol=ROUNDING)
    np.testing.assert_allclose(standardised(far.test.windows), standardised(data.test.windows), atol=ROUNDING)
    features, far_features = (spectrum_features(trial.test.windows) for trial in (data, far))
    np.testing.assert_allclose(far_features, features, atol=1e-3)
    few = few_windows(far_fold, 3, seed=0)
    assert not in_file(few.train.windows), "few windows need no file"
    np.testing.assert_allclose(few.train.windows, few_windows(fold, 3, seed=0).train.windows, atol=ROUNDING)
    near, apart = (next(Batches(trial.train.windows, trial.train.labels, 8).epoch(0)) for trial in (data, far))
    np.testing.assert_allclose(near["windows"], apart["windows"], atol=ROUNDING)


def test_memory_is_used_as_long_as_there_is_some(tmp_path, monkeypatch):
    """The first recordings fit, the last does not."""
    for name in "abc":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", np.random.default_rng(0).normal(size=1000))
    monkeypatch.setattr("drsn_jax.data.recordings.limit", lambda: 8500)
    found = read_folder(tmp_path, sampling_rate=RATE)
    assert [in_file(r.signal) for r in found] == [False, False, True]
    np.testing.assert_array_equal(found[2].signal, found[0].signal)


def test_the_file_itself_is_mapped_where_it_can_be(tmp_path):
    values = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    for channel, columns in (("2", [1]), ("2+3", [1, 2]), ("3+1", [2, 0]), ("1+3", [0, 2])):
        signal, _ = read_file(tmp_path / "x.npy", channel, RATE, memory=0)
        assert in_file(signal)
        assert (str(signal.filename) == str(tmp_path / "x.npy")) == (columns in ([1], [1, 2]))  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_array_equal(signal, values[:, columns])
        with pytest.raises(ValueError, match="read-only"):
            signal[0] = 0


@pytest.mark.parametrize(("place", "value"), [(0, np.nan), (999, np.inf), (500, -np.inf)])
def test_bad_samples_of_a_large_file_are_told(tmp_path, everything_in_files, place, value):
    values = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    values[place, 1] = value
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(RecordingError, match=rf"channel 2 of 2: sample {place} is {value}, .*\(1 such in all\)"):
        read_file(tmp_path / "x.npy", "1+2", RATE, memory=0)


@pytest.mark.parametrize("ratio", [(1, 4), (4, 1), (15, 16), (147, 160), (3, 2)])
def test_resampling_in_stretches_is_resampling(monkeypatch, ratio):
    """scipy's own, of the whole signal, for any length and wherever the stretches end."""
    from scipy.signal import resample_poly

    monkeypatch.setattr(storage, "BLOCK", 3000)
    for length in (1, 7, 1000, 4001):
        signal = np.random.default_rng(length).normal(5, 1, (length, 2)).astype(np.float32)
        (found,) = resample([Recording(signal, "a", 16000.0 * ratio[1])], 16000.0 * ratio[0])
        expected = resample_poly(signal.astype(np.float64), *ratio, padtype="mean")
        assert found.signal.shape == expected.shape
        np.testing.assert_allclose(found.signal, expected, atol=2e-6)


def test_blocks_cover_all_rows_once():
    assert blocks(0, 8) == []
    assert blocks(3, 10**12) == [(0, 1), (1, 2), (2, 3)]
    assert blocks(3, 0) == [(0, 3)]


@pytest.mark.parametrize("to_file", [False, True])
def test_parts_must_make_up_the_shape(to_file):
    parts = [np.ones((2, 3)), np.zeros((1, 3))]
    np.testing.assert_array_equal(store(parts, (3, 3), np.float32, to_file=to_file), np.concatenate(parts))
    with pytest.raises(ValueError, match=r"3 rows in all, expected 4|mmap length"):
        store(parts, (4, 3), np.float32, to_file=to_file)


def test_a_result_that_is_small_needs_no_file():
    large = store([np.ones((5, 2))], (5, 2), np.float32, to_file=True)
    assert not in_file(in_parts(lambda part: part.sum(1), large))
    np.testing.assert_array_equal(in_parts(lambda a, b: a * b, large, np.arange(5.0)[:, None]), np.arange(5.0)[:, None] * large)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
def test_files_are_gone_with_their_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = store([np.ones(5)], (5,), np.float64, to_file=True)
    assert array.sum() == 5
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    maps = lambda: Path("/proc/self/maps").read_text().count(str(tmp_path))  # noqa: E731
    assert maps() == 1
    del array
    gc.collect()
    assert maps() == 0


def test_a_full_disk_is_told(monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(OSError, match=r"has no room for the 0\.0 GB .*No space left on device.*TMPDIR"):
        store([np.ones(5)], (5,), np.float64, to_file=True)
