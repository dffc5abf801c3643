"""Roadside noise: its SNR over the speech is exact, it is drawn anew by each key, and what does not fit is refused."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drsn_jax.core.errors import UserError
from drsn_jax.functional.roadside import HORN_NUMBERS, ROADSIDE_KINDS, Roadside, horn, speech_stretch

LENGTH, RATE = 1600, 8000.0
RNG = np.random.default_rng(0)
SOUNDS = np.zeros((4, LENGTH, 1), np.float32)
SOUNDS[:, 500:900] = RNG.normal(size=(4, 400, 1))
BANK = {"recorded": RNG.normal(size=(2, 2 * LENGTH, 1)).astype(np.float32)}
SPEECH = np.zeros((LENGTH, 1), np.float32)
SPEECH[700:1000] = 0.1 * RNG.normal(size=(300, 1))


@functools.cache
def noise(kind, snr_db=0.0):
    return Roadside(kind, snr_db, RATE, BANK.get(kind, SOUNDS))


@jax.jit
def many(noise, keys, window):
    return jax.vmap(noise, (0, None))(keys, window)


KEYS = jax.random.split(jax.random.key(0), 24)


def decibels(window, noisy):
    """The SNR of each noisy window, over the samples of the speech."""
    stretch = slice(700, 1000)
    added = np.asarray(noisy, np.float64) - window
    return 10 * np.log10(np.mean(window[stretch] ** 2) / np.mean(added[:, stretch] ** 2, (1, 2)))


@pytest.mark.parametrize("kind", ROADSIDE_KINDS)
def test_the_snr_over_the_speech_is_exact(kind):
    for level in (0.0, -10.0):
        noisy = many(noise(kind).at(level), KEYS, SPEECH)
        np.testing.assert_allclose(decibels(SPEECH, noisy), level, atol=1e-3)
        assert np.isfinite(noisy).all()
    drawn = decibels(SPEECH, many(noise(kind).at((-5.0, 10.0)), KEYS, SPEECH))
    assert -5 <= drawn.min() < 0 < 5 < drawn.max() <= 10
    # every key draws another noise, and the noise fills the padding of most windows
    assert len({row.tobytes() for row in np.asarray(noisy)}) == len(KEYS)
    assert np.mean(np.abs(np.asarray(noisy)[:, 1200:]).max((1, 2)) > 0) > 0.5


@pytest.mark.parametrize("kind", ["roadside"])
def test_one_by_one_equals_mapped(kind):
    single = jax.jit(lambda noise, key, window: noise(key, window))
    for number in (0, 7):
        one = single(noise(kind), KEYS[number], SPEECH)
        np.testing.assert_allclose(one, many(noise(kind), KEYS, SPEECH)[number], atol=1e-5)


def test_silence_and_no_noise_leave_a_window_as_it_is():
    assert not np.any(many(noise("traffic"), KEYS, np.zeros_like(SPEECH)))
    quiet = Roadside("recorded", 0.0, RATE, np.concatenate([np.ones((1, 1, 1)), np.zeros((1, LENGTH, 1))], 1))
    noisy = np.asarray(many(quiet, KEYS, SPEECH))
    assert np.isfinite(noisy).all()
    np.testing.assert_array_equal(noisy[:, 1:], np.broadcast_to(SPEECH[1:], noisy[:, 1:].shape))
    np.testing.assert_array_equal(Roadside()(KEYS[0], SPEECH), SPEECH)


def test_a_horn_sounds_at_the_sample_asked_for_and_is_silent_at_others():
    tones = np.asarray(jax.jit(jax.vmap(lambda key: horn(jax.random.uniform(key, (HORN_NUMBERS,)), 8000, RATE, 4000)))(KEYS))
    assert (np.abs(tones[:, 3980:4020]).max(1) > 0).all()
    assert (np.mean(tones == 0, 1) > 0.1).mean() > 0.5
    spectrum = np.abs(np.fft.rfft(tones))  # bins of 1 Hz
    low = spectrum[:, :280].max(1)
    assert (low < 0.6 * spectrum[:, 280:].max(1)).all()


def test_the_speech_lies_between_its_ends():
    sounding = jax.jit(speech_stretch)
    np.testing.assert_array_equal(sounding(np.array([[0], [0], [1], [0], [2], [0]])), [False, False, True, True, True, False])
    assert not np.any(sounding(np.zeros((3, 1), np.float32)))


def test_its_name_equality_and_absence():
    one = noise("babble")
    assert (str(one), one.level, one.is_none, one.is_range) == ("babble 0 dB", "0", False, False)
    assert str(one.at((-5, 10))) == "babble -5..10 dB"
    assert one.at(0) == one
    assert hash(one.at(0)) == hash(one)
    assert one.at(1) != one
    assert one.at(math.inf) == Roadside() == Roadside("horn", math.inf, 16_000.0)
    assert jax.tree.structure(one) == jax.tree.structure(one.at(-3))


def test_dtype_stays():
    noisy = many(noise("horn"), KEYS[:2], jnp.asarray(SPEECH, jnp.bfloat16))
    assert noisy.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "rain"}, "unknown kind of roadside noise 'rain': choose one of horn"),
        ({"kind": "horn", "snr_db": 101}, "from -100 to 100 dB"),
        ({"kind": "horn", "snr_db": (5, 5)}, "low < high"),
        ({"kind": "none", "snr_db": 0}, "has no SNR"),
        ({"kind": "horn", "snr_db": 0, "sampling_rate": 0.0}, "positive number of Hz"),
        ({"kind": "babble", "snr_db": 0}, "babble noise needs voices, an array (n, length, channels), got none"),
        ({"kind": "recorded", "snr_db": 0, "sounds": SPEECH}, "needs recordings of noise, an array (n, length, channels), got"),
        ({"kind": "babble", "snr_db": 0, "sounds": np.zeros((2, 5, 1))}, "silent or holds NaN"),
    ],
)
def test_what_is_refused(fields, said):
    with pytest.raises(UserError, match=re.escape(said)):
        Roadside(**fields)


def test_windows_that_do_not_fit():
    with pytest.raises(ValueError, match="waveforms"):
        noise("horn")(KEYS[0], np.ones((4, 4, 1)))
    with pytest.raises(UserError, match="has 2 channels and the voices have 1"):
        noise("babble")(KEYS[0], np.ones((LENGTH, 2)))
    with pytest.raises(UserError, match="a recording of noise has 3200 samples, and a window 4000"):
        noise("recorded")(KEYS[0], np.ones((4000, 1)))
