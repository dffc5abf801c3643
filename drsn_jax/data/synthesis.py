"""Spoken digits from a speech synthesiser, for a run without recordings: many voices at several speeds and pitches.

The synthesiser is eSpeak NG, whose library and voices come in the package ``espeakng-loader`` (extra ``speech``; under the GPL-3,
which is why nothing else depends on it).
"""

import ctypes
import functools
from typing import Any

import numpy as np

from drsn_jax.core.errors import optional
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recording import Recording
from drsn_jax.data.resampling import resample
from drsn_jax.data.speech import Clips, make_clips

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")
# each a timbre of its own; those that test or validate speak in no accent on another side
TRAIN_VOICES = ("m1", "m2", "m3", "m4", "m6", "f1", "f2", "f4", "f5", "Andy", "Annie", "Mike", "steph", "linda", "ed", "john")
VALIDATION_VOICES = ("m5", "edward", "grandma")
TEST_VOICES = ("m7", "f3", "belinda", "robert", "Michael", "travis")
SLOWEST, FASTEST = 120, 220  # words a minute
LOWEST, HIGHEST = 20, 80  # pitch, on the synthesiser's scale from 0 to 99

# numbers of the interface of espeak-ng/speak_lib.h
_SYNCHRONOUS, _DONT_EXIT, _UTF8, _RATE, _PITCH = 2, 0x8000, 1, 1, 3


def synthesise_digits(
    repetitions: int = 6, *, sampling_rate: float = 8000.0, seconds: float = 1.0, seed: int = 0, voices: int | None = None
) -> Clips:
    """Return spoken digits, ``repetitions`` of each by each voice, every one with an accent, speed and pitch of its own.

    Speakers are the names of the voices, of which ``TEST_VOICES`` and ``VALIDATION_VOICES`` are for these sides of a split.
    ``voices`` keeps only so many for each side. Equal arguments give equal clips in a new process; the synthesiser's source of
    noise goes on from call to call.

    Raises MissingExtra, which names the extra, without the synthesiser.
    """
    speaker, rng = _synthesiser(), np.random.default_rng(seed)
    signals, words, speakers, numbers = [], [], [], []
    rate = speaker.sampling_rate
    for voice in (*TRAIN_VOICES[:voices], *VALIDATION_VOICES[:voices], *TEST_VOICES[:voices]):
        for digit, word in enumerate(WORDS):
            for number in range(repetitions):
                accent = ACCENTS[rng.integers(len(ACCENTS))]
                speed, pitch = rng.integers(SLOWEST, FASTEST + 1), rng.integers(LOWEST, HIGHEST + 1)
                spoken = np.trim_zeros(speaker.say(word, f"{accent}+{voice}", int(speed), int(pitch)))
                signals.append(resample([Recording(spoken[:, None], word, rate)], sampling_rate)[0].signal[:, 0])
                words.append(str(digit))
                speakers.append(voice)
                numbers.append(number)
    names = [f"{word}_{voice}_{number}" for word, voice, number in zip(words, speakers, numbers, strict=True)]
    return make_clips(signals, words, speakers, numbers, names, sampling_rate, seconds)


class _Synthesiser:
    """The synthesiser in this process. Its library has one state, so there is one of it (``_synthesiser``)."""

    def __init__(self) -> None:
        package: Any = optional("espeakng_loader", "speech without recordings")
        try:
            self._library = ctypes.CDLL(package.get_library_path())
        except OSError as error:
            raise RecordingError(f"the speech synthesiser cannot be loaded ({error}): give --recordings FOLDER") from error
        self.sampling_rate = float(self._library.espeak_Initialize(_SYNCHRONOUS, 0, package.get_data_path().encode(), _DONT_EXIT))
        if self.sampling_rate <= 0:
            raise RecordingError(
                "the speech synthesiser does not start: install espeakng-loader anew, or give --recordings FOLDER"
            )
        self._parts: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        # kept, because the library calls it as long as it speaks
        self._callback = kind(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, _: Any) -> int:
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """Return a spoken text as samples ``(length,)`` from -1 to 1; RecordingError where the voice is unknown or mute."""
        self._parts.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RecordingError(f"the speech synthesiser has no voice {voice}: install espeakng-loader anew")
        self._library.espeak_SetParameter(_RATE, speed, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        spoken = text.encode()
        self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._parts or not np.any(samples := np.concatenate(self._parts)):
            raise RecordingError(f"the speech synthesiser says nothing for {text!r}: install espeakng-loader anew")
        return (samples / 32768).astype(np.float32)


@functools.cache
def _synthesiser() -> _Synthesiser:
    return _Synthesiser()
