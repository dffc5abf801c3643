"""Spoken digits from the synthesiser, where its package is installed, and the sentence where it is not."""

import sys

import numpy as np
import pytest

from drsn_jax.core.errors import MissingExtra
from drsn_jax.data import synthesis
from drsn_jax.data.speech import voices_fold
from drsn_jax.data.synthesis import ACCENTS, TEST_VOICES, TRAIN_VOICES, VALIDATION_VOICES, synthesise_digits


def test_voices_of_the_sides_are_apart():
    sides = (TRAIN_VOICES, VALIDATION_VOICES, TEST_VOICES)
    assert len({*TRAIN_VOICES, *VALIDATION_VOICES, *TEST_VOICES}) == sum(map(len, sides))


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtra, match=r"speech without recordings needs espeakng-loader: pip install 'drsn-jax\[speech\]'"):
        synthesis._Synthesiser()


def test_digits_are_spoken_by_many_voices():
    pytest.importorskip("espeakng_loader")
    clips = synthesise_digits(2, voices=1)
    assert clips.windows.shape == (3 * 10 * 2, 8000, 1)
    assert clips.classes == tuple("0123456789")
    assert len(np.unique(clips.windows, axis=0)) == 60
    lengths = np.count_nonzero(clips.windows[..., 0], 1) / 8000
    assert ((lengths > 0.1) & (lengths < 1)).all()
    fold = voices_fold(clips, TEST_VOICES, VALIDATION_VOICES)
    assert [len(side.labels) for side in (fold.train, fold.validation, fold.test)] == [20, 20, 20]


def test_all_voices_and_accents_speak():
    pytest.importorskip("espeakng_loader")
    speaker = synthesis._synthesiser()
    for number, voice in enumerate((*TRAIN_VOICES, *VALIDATION_VOICES, *TEST_VOICES)):
        assert len(speaker.say("five", f"{ACCENTS[number % len(ACCENTS)]}+{voice}", 170, 50)) > 2000
