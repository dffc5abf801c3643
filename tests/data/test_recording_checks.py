"""Recordings that would mislead in silence: rates, copies, swapped axes, small signals on large offsets, more files than fit."""

import dataclasses
import os
import re

import numpy as np
import pytest
import scipy.io
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core import storage
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recording_files import agreed_rate, read_file, read_precisely
from drsn_jax.data.recordings import Recording, check_recordings, read_folder

NOISE = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)


def pair(first, second, labels="ab", rates=(100.0, 100.0)):
    return [
        Recording(signal, label, rate, name=f"{number}.npy")
        for number, (signal, label, rate) in enumerate(zip((first, second), labels, rates, strict=True))
    ]


# --- rates


@pytest.mark.parametrize(("low", "high"), [(12000.0, 12000.0048), (25600.0, 25600.02), (97656.25, 97656.2), (51200.0, 51199.869)])
def test_rates_that_differ_by_their_digits_are_one(low, high):
    check_recordings(pair(NOISE[:, :1], NOISE[:, 1:], rates=(low, high)), 256)
    assert agreed_rate("x.wav", low, high) == high, "that of the user"


@pytest.mark.parametrize(("low", "high"), [(25600.0, 25601.0), (97656.25, 97658.0), (1048576.0, 1048600.0)])
def test_rates_that_differ_are_refused_in_digits_that_differ(low, high):
    for call in (
        lambda: check_recordings(pair(NOISE[:, :1], NOISE[:, 1:], rates=(low, high)), 256),
        lambda: agreed_rate("x.wav", low, high, "its header"),
    ):
        with pytest.raises(RecordingError) as caught:
            call()
        assert {float(told) for told in re.findall(r"([0-9.]+) Hz", str(caught.value))} == {low, high}
    assert "(by its header)" in str(caught.value)


def test_a_rate_from_rounded_times_is_only_as_sure_as_its_digits():
    recordings = pair(NOISE[:, :1], NOISE[:, 1:], rates=(12000.0, 12003.0))
    with pytest.raises(RecordingError, match="mixed rates"):
        check_recordings(recordings, 256)
    check_recordings([recordings[0], dataclasses.replace(recordings[1], rate_within=1e-3)], 256)
    assert agreed_rate("x.csv", 12003.0, 12000.0, "its times", within=1e-3) == 12000.0


# --- copies


@pytest.mark.parametrize("labels", ["ab", "aab"])
def test_the_same_samples_under_two_names(labels):
    recordings = [
        Recording(signal, label, 100.0, name=f"{number}.npy")
        for number, (signal, label) in enumerate(zip((NOISE[:, :1], NOISE[:, :1].copy(), NOISE[:, 1:]), "aab", strict=True))
    ]
    message = r"0\.npy and 1\.npy hold the same samples, so that one measurement could be on both sides.*leave one out"
    if labels == "ab":
        recordings[1] = Recording(NOISE[:, :1].copy(), "b", 100.0, name="1.npy")
        message = r"0\.npy and 1\.npy hold the same samples and have two labels, 'a' and 'b'"
    with pytest.raises(RecordingError, match=message):
        check_recordings(recordings, 256)


@given(zeros=st.integers(0, 900), length=st.integers(1000, 2999), column=st.integers(0, 1))
def test_a_copy_that_was_cut(zeros, length, column):
    """Also behind a silent beginning, which many recordings share; one other sample makes another recording."""
    signal = np.append(np.zeros((zeros, 1), np.float32), NOISE[:, [column]], axis=0)
    with pytest.raises(RecordingError, match=r"1\.npy and 0\.npy begin with the same samples, all that the first of them has"):
        check_recordings(pair(signal, signal[:length]), 256)
    other = signal[:length].copy()
    other[-1] += 1
    check_recordings(pair(signal, other), 256)
    check_recordings(pair(NOISE[:, [column]], NOISE[1:length, [column]]), 256)


def test_copies_of_files(tmp_path):
    """In two folders, and in two formats."""
    for label in "ab":
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "1.npy", np.random.default_rng(ord(label)).normal(size=3000).astype(np.float32))
    check_recordings(read_folder(tmp_path, sampling_rate=100), 256)
    scipy.io.savemat(tmp_path / "b" / "2.mat", {"x": np.load(tmp_path / "a" / "1.npy")})
    with pytest.raises(RecordingError, match=r"a/1\.npy and b/2\.mat hold the same samples and have two labels"):
        check_recordings(read_folder(tmp_path, sampling_rate=100), 256)


def test_swapped_axes():
    with pytest.raises(RecordingError, match=r"0\.npy has the shape \(2, 3000\), more channels than samples.*transpose it"):
        check_recordings(pair(NOISE.T, NOISE[::-1].T), 256)


# --- offsets that float32 cannot hold beside the signal

OFFSETS = [(1e8, 1.0), (1e5, 0.01), (-3e6, 1e-3), (2.0**40, 1.0)]


def close(found, expected):
    """Whether two signals are equal but for a constant."""
    return np.allclose(found - found.mean(0, dtype=np.float64), expected - expected.mean(0), atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize(("offset", "size"), OFFSETS)
@pytest.mark.parametrize("suffix", ["npy", "mat", "csv"])
def test_a_small_signal_on_a_large_offset(tmp_path, monkeypatch, suffix, offset, size, spooled):
    values = offset + size * NOISE[:, 0].astype(np.float64)
    file = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(file, values)
    elif suffix == "mat":
        scipy.io.savemat(file, {"x": values})
    else:
        np.savetxt(file, values, "%.17g")
    monkeypatch.setattr(storage, "BLOCK", 4000)
    signal, _ = read_file(file, "", 100.0, memory=0 if spooled else np.inf)
    assert close(signal[:, 0], values)
    opened = open_signal(file)
    assert close(read_precisely(opened, 500, 900)[:, 0], values[500:900])


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.uint64])
def test_counts_of_a_converter(tmp_path, kind):
    counts = 2**30 + np.round(20 * NOISE).astype(np.int64)
    counts[:, 1] -= 2**30 - 500  # beside it a channel whose counts float32 holds
    np.save(tmp_path / "x.npy", counts.astype(kind))
    signal, _ = read_file(tmp_path / "x.npy", "1 + 2", 100.0)
    np.testing.assert_array_equal(signal[:, 0], counts[:, 0] - counts[0, 0])
    np.testing.assert_array_equal(signal[:, 1], counts[:, 1])


def test_a_recording_made_from_python():
    values = 1e8 + NOISE.astype(np.float64)
    recording = Recording(values, "a", 100.0)
    assert recording.signal.dtype == np.float32
    assert close(recording.signal, values)
    assert Recording(NOISE, "a", 100.0).signal is NOISE


def test_values_that_float32_holds_stay_as_they_are(tmp_path):
    values = 5 + NOISE.astype(np.float64)
    np.save(tmp_path / "x.npy", values)
    signal, _ = read_file(tmp_path / "x.npy", "1+2", 100.0)
    np.testing.assert_array_equal(signal, values.astype(np.float32))
    np.save(tmp_path / "x.npy", np.full(100, 1e8))
    with pytest.raises(RecordingError, match=r"is constant \(1e\+08 everywhere"):
        read_file(tmp_path / "x.npy", "", 100.0)


# --- more files than a process may open


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_more_files_than_a_process_may_open(tmp_path, monkeypatch, kind):
    """What memory cannot hold goes into one file, also where each file could be mapped in its place."""
    monkeypatch.setattr("drsn_jax.data.recordings.limit", lambda: 0)
    monkeypatch.setattr("drsn_jax.data.recordings.MAPS", 4)
    signals = {}
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(20):
            values = np.random.default_rng((ord(label), number)).normal(size=100 + number).astype(kind)
            signals[f"{label}/{number}.npy"] = values
            np.save(tmp_path / label / f"{number}.npy", values)
    before = len(os.listdir("/proc/self/fd"))
    found = read_folder(tmp_path, sampling_rate=100)
    assert len(os.listdir("/proc/self/fd")) - before <= 5
    assert all(storage.in_file(r.signal) for r in found)
    for recording in found:
        np.testing.assert_array_equal(recording.signal[:, 0], signals[recording.name].astype(np.float32))


def test_an_error_of_the_system_is_no_damage(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", 0.1 * NOISE[:, 0], 100)

    def full(*arguments, **options):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(soundfile, "SoundFile", full)
    with pytest.raises(RecordingError, match=r"x\.wav cannot be read: Too many open files"):
        read_file(tmp_path / "x.wav", "", 100.0)


@pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf, None])
def test_a_sampling_rate_is_a_positive_number(tmp_path, rate):
    with pytest.raises(RecordingError, match="the sampling rate of a recording is a positive number of Hz, got"):
        Recording(np.zeros((4, 1), np.float32), "good", rate)
    np.save(tmp_path / "signal.npy", np.random.default_rng(0).normal(size=64))
    if rate is not None:
        with pytest.raises(RecordingError, match=r"the sampling rate of .*signal.npy is a positive number of Hz, got"):
            read_file(tmp_path / "signal.npy", sampling_rate=rate)
