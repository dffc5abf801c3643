"""Clips of spoken words: how they are cut, splits that do not leak, banks of voices and noise, and files that are refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drsn_jax.data.clips import fitted
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.speech import (
    bank_of_voices,
    make_clips,
    official_fold,
    read_clips,
    read_noise,
    speaker_folds,
    voices_fold,
)

RATE = 8000


def tone(seconds=0.3, hertz=440.0, rate=RATE):
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate) + 0.01


def write(folder: Path, **signals):
    folder.mkdir(exist_ok=True)
    for name, signal in signals.items():
        soundfile.write(folder / f"{name[1:]}.wav", signal, RATE, subtype="FLOAT")
    return folder


def small_set(words=2, speakers=3, count=12):
    keys = [(w, s, n) for w in range(words) for s in range(speakers) for n in range(count)]
    return make_clips(
        [tone(0.1, 100 + 10 * i) for i, _ in enumerate(keys)],
        [str(w) for w, _, _ in keys],
        [f"s{s}" for _, s, _ in keys],
        [n for _, _, n in keys],
        [f"{w}_s{s}_{n}.wav" for w, s, n in keys],
        RATE,
        0.2,
    )


def test_a_folder_becomes_windows_of_one_length(tmp_path):
    folder = write(tmp_path / "clips", _1_ann_0=tone(0.3), _0_bob_7=tone(1.5))
    (folder / "readme.txt").touch()
    (folder / ".hidden.wav").touch()
    clips = read_clips(folder, seconds=0.5)
    assert clips.windows.shape == (2, 4000, 1)
    assert clips.windows.dtype == np.float32
    assert (clips.classes, clips.speakers, clips.numbers.tolist()) == (("0", "1"), ("bob", "ann"), [7, 0])
    assert (clips.labels.tolist(), clips.sampling_rate) == ([0, 1], 8000.0)
    short = clips.windows[1, :, 0]
    # in the middle, without its mean, and zeros around
    assert not short[:799].any()
    assert not short[3201:].any()
    np.testing.assert_allclose(short[800:3200], tone(0.3) - tone(0.3).mean(), atol=1e-6)
    assert clips.fingerprint != read_clips(folder, seconds=0.4).fingerprint


def test_of_a_long_clip_the_loudest_stretch_is_kept():
    signal = np.concatenate([0.01 * tone(0.5), tone(0.2), np.zeros(1000)])
    kept = fitted(signal[:, None], 1600)[:, 0]
    np.testing.assert_allclose(kept, signal[4000:5600] - signal[4000:5600].mean(), atol=1e-6)
    assert abs(kept.mean()) < 1e-6


def test_the_official_split_shares_no_clip():
    clips = small_set()
    fold = official_fold(clips)
    sides = [fold.train, fold.validation, fold.test]
    assert [set(clips.numbers[side.recordings]) for side in sides] == [{10, 11}, set(range(5, 10)), set(range(5))]
    assert sum(len(side.labels) for side in sides) == len(clips.labels)
    np.testing.assert_array_equal(fold.test.windows, clips.windows[fold.test.recordings])
    np.testing.assert_array_equal(fold.test.labels, clips.labels[fold.test.recordings])


def test_a_speaker_who_tests_is_nowhere_else():
    clips = small_set()
    folds = list(speaker_folds(clips))
    assert [fold.name for fold in folds] == ["s0", "s1", "s2"]
    speakers = np.asarray(clips.speakers)
    for fold in folds:
        assert set(speakers[fold.test.recordings]) == {fold.name}
        assert fold.name not in {*speakers[fold.train.recordings], *speakers[fold.validation.recordings]}
        assert not {*fold.train.recordings} & {*fold.validation.recordings}
        # the voices behind the voice are those of the training alone
        bank = bank_of_voices(fold.train, 10)
        assert bank.shape == (10, 1600, 1)
        own = {row.tobytes() for row in fold.train.windows}
        assert all(row.tobytes() in own for row in bank)
    assert len(bank_of_voices(folds[0].test, 1000)) == len(folds[0].test.labels)
    assert voices_fold(clips, ["s2"], ["s1"]).train.windows.shape[0] == 24


def test_splits_without_clips_for_a_side():
    with pytest.raises(RecordingError, match="no clips are left to train with"):
        official_fold(small_set(count=10))
    with pytest.raises(RecordingError, match="no clips are left to validate with"):
        official_fold(small_set(count=5))
    with pytest.raises(RecordingError, match="all clips are of the speaker s0"):
        list(speaker_folds(small_set(speakers=1)))


def test_other_rates_are_refused_or_resampled(tmp_path):
    folder = write(tmp_path / "clips", _0_a_0=tone(0.2), _1_a_0=tone(0.2))
    soundfile.write(folder / "2_a_0.wav", tone(0.2, rate=16_000), 16_000, subtype="FLOAT")
    with pytest.raises(RecordingError, match=r"2_a_0.wav is sampled at 16000 Hz and 0_a_0.wav at 8000 Hz: choose one .resample."):
        read_clips(folder)
    clips = read_clips(folder, resample=8000.0, seconds=0.2)
    assert clips.windows.shape == (3, 1600, 1)
    np.testing.assert_allclose(clips.windows[2, 100:1500], clips.windows[0, 100:1500], atol=0.01)


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ({"_0_a_0": np.ones((800, 2)) * tone(0.1)[:, None]}, "has 2 channels, expected one: mix them"),
        ({"_0_a_0": np.zeros(800)}, "0_a_0.wav is silent: take it out"),
        ({"_0_a_0": np.zeros(0)}, "0_a_0.wav holds no samples: take it out"),
        ({"_0_a_0": np.full(800, np.nan)}, "not finite: take it out"),
        ({"_seven": tone()}, "seven.wav is not named {word}_{speaker}_{index}.wav, as 7_jackson_32.wav"),
        ({"_0_a_0": tone(), "_0_a_1": tone()}, "all clips say '0': there is nothing to tell apart"),
        ({}, "holds no .wav files: expected clips named {word}_{speaker}_{index}.wav"),
    ],
)
def test_files_that_are_refused(tmp_path, signals, said):
    folder = write(tmp_path / "clips", **signals)
    with pytest.raises(RecordingError, match=re.escape(said)):
        read_clips(folder)


def test_a_file_that_is_no_sound_and_a_folder_that_is_none(tmp_path):
    folder = write(tmp_path / "clips")
    (folder / "0_a_0.wav").write_bytes(b"no sound")
    with pytest.raises(RecordingError, match=r"0_a_0\.wav"):
        read_clips(folder)
    with pytest.raises(RecordingError, match="there is no folder"):
        read_clips(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match="a clip lasts from"):
        read_clips(write(tmp_path / "two", _0_a_0=tone(), _1_a_0=tone()), seconds=0.0)


def test_recorded_noise_is_one_sound_at_the_rate_of_the_clips(tmp_path):
    folder = write(tmp_path / "noise", _street=tone(0.5), _square=0.1 * tone(0.2))
    soundfile.write(folder / "wide.wav", tone(0.5, rate=16_000), 16_000)
    told = []
    noise = read_noise(folder, 8000.0, 8000, told.append)
    assert noise.shape == (1, 9600, 1)
    assert len(told) == 1
    assert "wide.wav is resampled from 16000 to 8000 Hz" in told[0]
    np.testing.assert_allclose(np.mean(np.square(noise[0, :1600])), 1, rtol=0.01)
    with pytest.raises(RecordingError, match="have 9600 samples together, a clip has 10000"):
        read_noise(folder, 8000.0, 10_000)
    with pytest.raises(RecordingError, match=r"holds no \.wav files of noise"):
        read_noise(tmp_path, 8000.0, 100)


@pytest.mark.slow
def test_spoken_digits_of_six_speakers(data_folder):
    clips = read_clips(data_folder / "fsdd" / "recordings")
    assert (clips.windows.shape, len(set(clips.speakers)), clips.classes) == ((3000, 8000, 1), 6, tuple("0123456789"))
    fold = official_fold(clips)
    assert [len(side.labels) for side in (fold.train, fold.validation, fold.test)] == [2400, 300, 300]
