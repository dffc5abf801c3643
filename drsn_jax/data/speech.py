"""Clips of spoken words from a folder of WAV files, cut to one length, and splits of them that do not leak.

Files are named ``{word}_{speaker}_{index}.wav``, as those of the Free Spoken Digit Dataset
(https://github.com/Jakobovski/free-spoken-digit-dataset): ``7_jackson_32.wav`` is the digit 7.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from drsn_jax.data import resampling
from drsn_jax.data.clips import fitted
from drsn_jax.data.formats import rates
from drsn_jax.data.formats.audio import read_audio
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recording import Recording
from drsn_jax.data.windows import Fold, Side

NAME = re.compile(r"([^_]+)_([^_]+)_([0-9]+)\.wav")
OFFICIAL_TEST = range(5)  # the numbers of the clips that test, of each speaker and digit
VALIDATION = range(5, 10)  # of the other clips, those that are held out of the training
SHORTEST_SECONDS = 0.02  # of a window
SIDES = ("train", "validation", "test")
MOST_VOICES = 200  # clips that a bank of voices holds


@dataclasses.dataclass(frozen=True, eq=False)
class Clips:
    """Spoken words as windows of one length.

    Fields:
      windows: ``(n, length, 1)``, float32, without their mean, zeros around a shorter clip.
      labels: ``(n,)``, int32, indices into ``classes``.
      classes: the words.
      speakers, names: who speaks in each clip, and its file.
      numbers: ``(n,)``, which of the clips of one speaker and word it is.
      sampling_rate: in Hz.
    """

    windows: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    speakers: tuple[str, ...]
    names: tuple[str, ...]
    numbers: np.ndarray
    sampling_rate: float

    def side(self, which: np.ndarray) -> Side:
        """Return the clips where ``which`` ``(n,)`` is true as a side of a split; every clip is a recording of its own."""
        chosen = np.flatnonzero(which)
        return Side(self.windows[chosen], self.labels[chosen], chosen.astype(np.int32))

    def some(self, count: int) -> "Clips":
        """Return about ``count`` of the clips: of each speaker and word those with the first numbers, and some that train."""
        groups = len(set(zip(self.speakers, self.labels.tolist(), strict=True)))
        each = max(1, count // groups // 3)
        numbers = [*OFFICIAL_TEST[:each], *VALIDATION[:each], *range(VALIDATION.stop, VALIDATION.stop + each)]
        kept = np.flatnonzero(np.isin(self.numbers, numbers))
        if len(kept) == 0:
            return self
        return dataclasses.replace(
            self,
            windows=self.windows[kept],
            labels=self.labels[kept],
            speakers=tuple(self.speakers[i] for i in kept),
            names=tuple(self.names[i] for i in kept),
            numbers=self.numbers[kept],
        )

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all clips, in hexadecimal digits."""
        digest = hashlib.sha256(repr((self.windows.shape, self.names, self.sampling_rate)).encode())
        digest.update(np.ascontiguousarray(self.windows).data)
        return digest.hexdigest()


def read_clips(folder: Path, *, seconds: float = 1.0, resample: float | None = None) -> Clips:
    """Read the clips of a folder.

    A clip that is shorter than the window lies in the middle of it, with zeros around; of a longer one the loudest stretch of the
    length of a window is kept. The mean of a clip is removed before.

    Args:
      folder: holds files ``{word}_{speaker}_{index}.wav`` of one channel; other files and hidden ones are passed over.
      seconds: the length of a window.
      resample: a sampling rate in Hz; clips of another rate are resampled to it. None takes the rate of the files, which is then
        one.

    Raises RecordingError for a folder without such files, a WAV file with another name, and for a file that has several channels,
    no samples, silence, or another rate than the others where ``resample`` is not given.
    """
    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".wav" and not file.name.startswith("."))
    if not files:
        raise RecordingError(f"{folder} holds no .wav files: expected clips named {{word}}_{{speaker}}_{{index}}.wav")
    facts, signals, first = [], [], resample
    for file in files:
        fitting = NAME.fullmatch(file.name)
        if fitting is None:
            raise RecordingError(
                f"{file} is not named {{word}}_{{speaker}}_{{index}}.wav, as 7_jackson_32.wav: rename it, or take it out"
            )
        signal, rate = read_mono(file)
        first = rate if first is None else first
        if not rates.same(rate, first):
            if resample is None:
                raise RecordingError(
                    f"{file} is sampled at {rate:.9g} Hz and {files[0].name} at {first:.9g} Hz: choose one (--resample)"
                )
            signal = resampling.resample([Recording(signal, fitting[1], rate, name=str(file))], resample)[0].signal
        facts.append(fitting.groups())
        signals.append(signal[:, 0])
    assert first is not None
    words, speakers, numbers = zip(*facts, strict=True)
    return make_clips(signals, words, speakers, [int(n) for n in numbers], [f.name for f in files], first, seconds)


def read_mono(file: Path) -> tuple[np.ndarray, float]:
    """Read a sound of one channel, ``(length, 1)`` float32, and its sampling rate in Hz.

    Raises RecordingError for a file with several channels, without samples, or that is silent.
    """
    opened = read_audio(file, "*")
    if opened.channels > 1:
        raise RecordingError(
            f"{file} has {opened.channels} channels, expected one: mix them, for example by ffmpeg -i {file.name} -ac 1"
        )
    signal = opened.read(0, opened.length)
    if len(signal) == 0:
        raise RecordingError(f"{file} holds no samples: take it out")
    if not np.isfinite(signal).all():
        raise RecordingError(f"{file} holds samples that are not finite: take it out")
    if np.ptp(signal) == 0:
        raise RecordingError(f"{file} is silent: take it out")
    assert opened.sampling_rate is not None
    return signal, opened.sampling_rate


def make_clips(
    signals: Sequence[np.ndarray],
    words: Sequence[str],
    speakers: Sequence[str],
    numbers: Sequence[int],
    names: Sequence[str],
    sampling_rate: float,
    seconds: float = 1.0,
) -> Clips:
    """Make clips of signals ``(any length,)`` at one sampling rate in Hz; the other lists say what each of them is.

    Raises RecordingError for a window that is too short, and for fewer than two words.
    """
    length = round(seconds * sampling_rate)
    if not SHORTEST_SECONDS <= seconds < 3600 or length < 2:
        raise RecordingError(f"a clip lasts from {SHORTEST_SECONDS} seconds to an hour, got {seconds:g}")
    classes = tuple(sorted(set(words)))
    if len(classes) < 2:
        raise RecordingError(f"all clips say {''.join(classes)!r}: there is nothing to tell apart")
    places = {word: place for place, word in enumerate(classes)}
    return Clips(
        np.stack([fitted(signal[:, None], length) for signal in signals]),
        np.asarray([places[word] for word in words], np.int32),
        classes,
        tuple(speakers),
        tuple(names),
        np.asarray(numbers),
        float(sampling_rate),
    )


def official_fold(clips: Clips) -> Fold:
    """Split clips by their numbers: 0 to 4 of each speaker and word test, 5 to 9 validate, the others train.

    All speakers are on all sides: it tells how good the network is for speakers that it knows. Raises RecordingError as ``fold``.
    """
    test, validation = np.isin(clips.numbers, OFFICIAL_TEST), np.isin(clips.numbers, VALIDATION)
    return fold("official", clips, test, validation)


def speaker_folds(clips: Clips) -> Iterator[Fold]:
    """Yield a split for each speaker, whose clips test; of the others, numbers 5 to 9 validate and the rest trains.

    Raises RecordingError as ``fold``, and with a single speaker.
    """
    speakers = np.asarray(clips.speakers)
    if len(set(clips.speakers)) < 2:
        raise RecordingError(
            f"all clips are of the speaker {clips.speakers[0]}: a split by speaker needs two, take --split official"
        )
    for speaker in sorted(set(clips.speakers)):
        test = speakers == speaker
        yield fold(speaker, clips, test, ~test & np.isin(clips.numbers, VALIDATION))


def voices_fold(clips: Clips, test: Collection[str], validation: Collection[str]) -> Fold:
    """Split clips by voices: those of ``test`` test, those of ``validation`` validate, and all others train."""
    speakers = np.asarray(clips.speakers)
    return fold("voices", clips, np.isin(speakers, list(test)), np.isin(speakers, list(validation)))


def speech_folds(clips: Clips, split: str, test: Collection[str] = (), validation: Collection[str] = ()) -> list[Fold]:
    """Return the splits of a name: ``"official"``, ``"speaker"``, or ``"voices"`` with those that test and validate."""
    if split == "voices":
        return [voices_fold(clips, test, validation)]
    return list(speaker_folds(clips)) if split == "speaker" else [official_fold(clips)]


def by_takes(clips: Clips, folds: Sequence[Fold]) -> tuple[list[Fold], list[str]]:
    """Return folds whose ``recordings`` are takes, and the names of the takes.

    A take is what one speaker said with one number, a clip of each word: ``jackson 3``. Tables of results count by takes and
    resample them, where single clips would make them long.
    """
    keys = [f"{speaker} {number}" for speaker, number in zip(clips.speakers, clips.numbers, strict=True)]
    names = sorted(set(keys))
    places = {name: place for place, name in enumerate(names)}
    take = np.asarray([places[key] for key in keys], np.int32)
    replaced = [
        item._replace(**{side: getattr(item, side)._replace(recordings=take[getattr(item, side).recordings]) for side in SIDES})
        for item in folds
    ]
    return replaced, names


def fold(name: str, clips: Clips, test: np.ndarray, validation: np.ndarray) -> Fold:
    """Make a fold of clips; ``test`` and ``validation`` ``(n,)`` say which lie on these sides, all others train.

    Raises RecordingError where a side is empty, and for a word without a clip to train on.
    """
    train = ~(test | validation)
    for side, which in {"test": test, "validate": validation, "train": train}.items():
        if not which.any():
            raise RecordingError(
                f"no clips are left to {side} with: numbers 0 to 4 test, 5 to 9 validate, and others are needed to train"
            )
    if missing := sorted(set(range(len(clips.classes))) - set(clips.labels[train].tolist())):
        raise RecordingError(
            f"no clip of {clips.classes[missing[0]]!r} is left to train on: record more of it, or split otherwise"
        )
    return Fold(name, clips.side(train), clips.side(test), clips.side(validation))


def bank_of_voices(side: Side, count: int = MOST_VOICES) -> np.ndarray:
    """Return at most ``count`` clips of one side of a split, evenly chosen, as the voices behind a voice: ``(n, length, 1)``."""
    return side.windows[np.unique(np.linspace(0, len(side.windows) - 1, count).astype(int))]


def read_noise(folder: Path, sampling_rate: float, length: int, say: Callable[[str], None] = lambda text: None) -> np.ndarray:
    """Read recordings of noise, the ``.wav`` files of a folder, one after another as a single sound ``(1, samples, 1)``.

    Recordings of another rate are resampled to ``sampling_rate`` in Hz, and ``say`` is told. Each is brought to the same power.
    Raises RecordingError for a folder without such files or with one that ``read_mono`` refuses, and for recordings that are
    together shorter than ``length`` samples.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".wav") if folder.is_dir() else []
    if not files:
        raise RecordingError(f"{folder} holds no .wav files of noise")
    parts = []
    for file in files:
        signal, rate = read_mono(file)
        if not rates.same(rate, sampling_rate):
            say(f"{file} is resampled from {rate:.9g} to {sampling_rate:.9g} Hz")
            signal = resampling.resample([Recording(signal, "noise", rate, name=str(file))], sampling_rate)[0].signal
        signal = signal - signal.mean(dtype=np.float64)
        parts.append(signal / np.sqrt(np.mean(np.square(signal))))
    noise = np.concatenate(parts).astype(np.float32)
    if len(noise) < length:
        raise RecordingError(
            f"the recordings in {folder} have {len(noise)} samples together, a clip has {length}: record for longer"
        )
    return noise[None]
