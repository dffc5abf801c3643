"""The noise of a road behind a voice, as a pure function of a random key and a window: horns, traffic, other voices.

A window is ``(length, channels)``, and most clips of speech are shorter than their window and padded with zeros. The power of the
speech is therefore its mean square over its own samples, from the first to the last one that is not zero, and the power of the
noise is taken over the same stretch: what an SNR of 0 dB means does not depend on how long the padding is. The noise itself fills
the whole window.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float, as_window, in_one_program, whole_below, wide_dtype
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import NO_NOISE, AtLevel, checked_snr, noise_scale, repeatable

ROADSIDE_KINDS = ("horn", "traffic", "babble", "roadside", "recorded")
NEEDS_SOUNDS = {"babble": "voices", "roadside": "voices", "recorded": "recordings of noise"}
TALKERS = (3, 6)  # other voices at once, at least and at most
PARTIALS = 12  # of a tone of a horn and of an engine
# EN 1793-3: the level of traffic noise in third-octave bands from 100 Hz to 5 kHz, here without the A-weighting, in dB
THIRD_OCTAVES = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000)
_WEIGHTED = (-20, -20, -18, -16, -15, -14, -13, -12, -11, -9, -8, -9, -10, -11, -13, -15, -16, -18)
_A = (-19.1, -16.1, -13.4, -10.9, -8.6, -6.6, -4.8, -3.2, -1.9, -0.8, 0, 0.6, 1.0, 1.2, 1.3, 1.2, 1.0, 0.5)
TRAFFIC_DB = tuple(weighted - a for weighted, a in zip(_WEIGHTED, _A, strict=True))
HORN_NUMBERS, TRAFFIC_NUMBERS, TALK_NUMBERS = 5 + 4 * PARTIALS, 12 + 2 * PARTIALS, 4 * TALKERS[1]  # drawn for each
RAMP_SECONDS = 0.01  # in which a horn begins and ends


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True, eq=False)
class Roadside(AtLevel):
    """Noise of the roadside, at one SNR over the speech or at an SNR that is drawn anew for every window.

    Calling it adds the noise to a window, so a training step takes it as it takes a ``functional.noise.Noise``::

        >>> import jax
        >>> horn = Roadside("horn", 0.0, sampling_rate=8000.0)
        >>> horn(jax.random.key(0), jax.numpy.ones((8000, 1))).shape  # a key and a window (length, channels)
        (8000, 1)
        >>> print(horn, Roadside("traffic", (-5, 10)), Roadside(), sep=", ")
        horn 0 dB, traffic -5..10 dB, no noise

    It is a pytree: the SNR and the bank of sounds are data, the kind and the sampling rate are static. Two are equal if their
    fields are, where the bank must be the same array and not only one with the same values. The absence of noise is one value,
    however it is written.

    Fields:
      kind: ``"horn"``: two tones with their partials, which begin and end at random times, one of them during the speech.
        ``"traffic"``: the broad noise of tyres and the hum of an engine, slowly modulated, and up to two cars that pass.
        ``"babble"``: three to six clips of ``sounds`` at once, each shifted at random.
        ``"roadside"``: these three together in random shares; the traffic is always heard, a horn or voices in half of all
        windows, and voices are at most half as strong as the others.
        ``"recorded"``: a random stretch of ``sounds``. ``"none"`` adds nothing.
      snr_db: the signal-to-noise ratio over the speech in dB, from -100 to 100, or ``inf`` for no noise; a pair ``(low, high)``
        is a range, from which the SNR of each window is drawn uniformly.
      sampling_rate: of the windows, in Hz.
      sounds: ``(n, length, channels)``. For babble and roadside, clips of voices, padded with zeros where they are shorter. For
        recorded noise, recordings that are at least as long as a window.

    Raises ValueError for an unknown kind, an SNR outside these limits, a sampling rate that is not positive, and sounds that are
    missing, silent, not finite, or no such array.
    """

    kind: str = NO_NOISE
    snr_db: Any = math.inf
    sampling_rate: float = 8000.0
    sounds: Any = None

    def __post_init__(self) -> None:
        kind, sounds = self.kind, self.sounds
        if kind not in (*ROADSIDE_KINDS, NO_NOISE):
            raise UserError(f"unknown kind of roadside noise {kind!r}: choose one of {', '.join(ROADSIDE_KINDS)}")
        if not 0 < self.sampling_rate < math.inf:
            raise UserError(f"the sampling rate is a positive number of Hz, got {self.sampling_rate}")
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((self.snr_db, sounds))):
            return  # inside a compiled function there are no numbers to check
        snr_db = checked_snr(self.snr_db)
        kind = NO_NOISE if snr_db == math.inf else kind
        if kind == NO_NOISE and snr_db != math.inf:
            raise UserError(f"the kind {NO_NOISE!r} has no SNR, got {snr_db} dB: name one of {', '.join(ROADSIDE_KINDS)}")
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "snr_db", snr_db)
        object.__setattr__(self, "sounds", _checked_sounds(kind, sounds) if kind in NEEDS_SOUNDS else None)

    def at(self, snr_db: Any) -> "Roadside":
        """Return the same noise at another SNR in dB, a number or a range; the bank of sounds is shared."""
        snr_db = checked_snr(snr_db)
        return Roadside() if snr_db == math.inf else self.tree_unflatten((self.kind, self.sampling_rate), (snr_db, self.sounds))

    def __call__(self, key: jax.Array, window: ArrayLike) -> jax.Array:
        """Add the noise to one window ``(length, channels)``; several windows: ``jax.vmap`` over keys and windows.

        The SNR is exact in float32. A silent window comes back unchanged, and so does one whose speech lies over a silent stretch
        of recorded noise. Raises ValueError for a window of another number of axes, and for sounds that do not fit the window.
        """
        window = as_window(window)
        if window.ndim != 2:
            raise ValueError(f"roadside noise is for waveforms (length, channels), got the shape {window.shape}")
        if self.is_none:
            return window
        span = self.snr_db[1] - self.snr_db[0] if isinstance(self.snr_db, tuple) else 0.0
        return self._noisy(key, window, span)

    @in_one_program()
    def _noisy(self, key: jax.Array, window: jax.Array, span: ArrayLike) -> jax.Array:
        """Add the noise; ``span`` is the width of the range of SNRs, taken before its ends are rounded to float32."""
        length, channels = window.shape
        # all numbers are made in one draw, because each call of a generator takes seconds to compile
        sizes = (2, 3, HORN_NUMBERS, TALK_NUMBERS, TRAFFIC_NUMBERS + length // 2 + 1)
        drawn = jax.random.uniform(repeatable(key), (sum(sizes),), jnp.float32)
        own, *parts = jnp.split(drawn, np.cumsum(sizes)[:-1])
        snr_db = self.snr_db
        if isinstance(snr_db, tuple):
            snr_db = snr_db[0] + span * own[0]
        signal = window.astype(wide_dtype(window.dtype))
        speech = speech_stretch(signal)
        inside = _somewhere(own[1], speech)
        noise = self._noise(parts, length, channels, inside).astype(signal.dtype)
        # both are zero outside of the speech, so that the quotient of their powers is that over the speech
        heard = jnp.where(speech[:, None], noise, 0)
        scale = jnp.where(jnp.any(heard != 0), noise_scale(signal, heard, snr_db), 0)
        return (signal + scale * noise).astype(window.dtype)

    def _noise(self, drawn: list[jax.Array], length: int, channels: int, inside: jax.Array) -> jax.Array:
        """Make noise ``(length, channels)`` of no particular scale, which is not silent at the sample ``inside``.

        ``drawn`` are uniform numbers in [0, 1): for the mixture, the horn, the voices and the traffic.
        """
        mixture, of_horn, of_voices, of_traffic = drawn
        if self.kind == "horn":
            return jnp.broadcast_to(horn(of_horn, length, self.sampling_rate, inside)[:, None], (length, channels))
        if self.kind == "traffic":
            return jnp.broadcast_to(traffic(of_traffic, length, self.sampling_rate)[:, None], (length, channels))
        _check_fits(self.kind, np.shape(self.sounds), length, channels)
        if self.kind == "recorded":
            return _stretch_of(mixture, self.sounds, length)
        voices = babble(of_voices, self.sounds, length, inside)
        if self.kind == "babble":
            return voices
        # of horn, traffic and voices; those of horn and voices are 0 in half of all windows
        low, high = jnp.asarray([-1, 0.5, -0.5], jnp.float32), jnp.asarray([1, 1, 0.5], jnp.float32)
        shares = jnp.maximum(low + (high - low) * mixture, 0)
        road = shares[0] * _of_unit_power(horn(of_horn, length, self.sampling_rate, inside))
        road += shares[1] * _of_unit_power(traffic(of_traffic, length, self.sampling_rate))
        return road[:, None] + shares[2] * _of_unit_power(voices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Roadside) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.kind, self.snr_db, self.is_none or self.sampling_rate, id(self.sounds)

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[str, float]]:
        """Return the SNR and the sounds, which are data, and the kind and the sampling rate, which are static."""
        return (self.snr_db, self.sounds), (self.kind, self.sampling_rate)

    @classmethod
    def tree_unflatten(cls, static: tuple[str, float], children: tuple[Any, Any]) -> "Roadside":
        """Rebuild it without checks, because JAX may put placeholders in the place of the numbers."""
        noise = object.__new__(cls)
        for field, value in zip(dataclasses.fields(cls), (static[0], children[0], static[1], children[1]), strict=True):
            object.__setattr__(noise, field.name, value)
        return noise


def speech_stretch(window: jax.Array) -> jax.Array:
    """Return which samples of a window ``(length, channels)`` lie from the first to the last that is not zero, ``(length,)``."""
    sounding, place = jnp.any(window != 0, -1), jnp.arange(window.shape[0])
    first, last = jnp.min(jnp.where(sounding, place, window.shape[0])), jnp.max(jnp.where(sounding, place, -1))
    return (first <= place) & (place <= last)


def horn(drawn: jax.Array, length: int, rate: float, inside: ArrayLike) -> jax.Array:
    """Return the two tones of a car's horn ``(length,)``, which begin and end; they sound at the sample ``inside``.

    The lower tone lies between 300 and 450 Hz, the other about a third above it; their partials fall off with their number.
    ``drawn`` are ``HORN_NUMBERS`` uniform numbers in [0, 1).
    """
    low = 300 + 150 * drawn[0]
    tones = jnp.stack([low, low * (1.18 + 0.12 * drawn[1])])
    strength, phase = drawn[5:].reshape(2, 2, PARTIALS)
    tones = partials(tones, (0.5 + strength) / jnp.arange(1, PARTIALS + 1) ** 0.7, phase, length, rate)
    # on for 0.15 to 0.6 s, off for 0.1 to 0.5 s, again and again
    on, off = 0.15 + 0.45 * drawn[2], 0.1 + 0.4 * drawn[3]
    begun = on * (0.1 + 0.8 * drawn[4])  # so long the horn sounds before the sample ``inside``
    since = jnp.mod((jnp.arange(length) - inside) / rate + begun, on + off)
    return tones * jnp.clip(jnp.minimum(since, on - since) / RAMP_SECONDS, 0, 1)


def traffic(drawn: jax.Array, length: int, rate: float) -> jax.Array:
    """Return the noise of tyres and an engine ``(length,)``, slowly modulated, with up to two cars that pass.

    The noise of tyres has the spectrum of road traffic by EN 1793-3 without its A-weighting, tilted at random by up to 3 dB a
    decade. ``drawn`` are ``TRAFFIC_NUMBERS`` uniform numbers in [0, 1), and one more for each of ``1 + length // 2`` frequencies.
    """
    bins = length // 2 + 1
    frequency = np.maximum(np.arange(bins) * (rate / length), 1.0)
    power = np.interp(np.log10(frequency), np.log10(THIRD_OCTAVES), TRAFFIC_DB) - 10 * np.log10(np.maximum(frequency, 100.0))
    # nothing is heard of what is far below 50 Hz
    gain = (10 ** (power / 20) * frequency**2 / (frequency**2 + 50**2)).astype(np.float32)
    gain = gain * (frequency.astype(np.float32) / 1000) ** (0.15 * (2 * drawn[0] - 1))
    angle = 2 * jnp.pi * drawn[TRAFFIC_NUMBERS:]
    tyres = _of_unit_power(jnp.fft.irfft(gain * jax.lax.complex(jnp.cos(angle), jnp.sin(angle)), length))
    strength, phase = drawn[12:TRAFFIC_NUMBERS].reshape(2, 1, PARTIALS)
    engine = partials(25 + 55 * drawn[1:2], (0.3 + strength) / jnp.arange(1, PARTIALS + 1), phase, length, rate)
    seconds = jnp.arange(length, dtype=jnp.float32) / rate
    slow = 1 + 0.3 * jnp.sin(2 * jnp.pi * ((0.3 + 1.7 * drawn[2]) * seconds + drawn[3]))
    loudness, place, width = drawn[4:10].reshape(3, 2, 1)
    cars = jnp.maximum(8 * loudness - 4, 0) / (1 + ((seconds - place * length / rate) / (0.1 + 0.5 * width)) ** 2)
    return (tyres + drawn[10] * _of_unit_power(engine)) * slow * (1 + jnp.sum(cars, 0))


def babble(drawn: jax.Array, voices: jax.Array, length: int, inside: ArrayLike) -> jax.Array:
    """Return several voices at once, ``(length, channels)``, of clips ``(n, any length, channels)`` from ``as_voices``.

    Each clip is shifted at random and goes round. The loudest sample of the first one falls on ``inside``, so that the babble is
    not silent there. ``drawn`` are ``TALK_NUMBERS`` uniform numbers in [0, 1).
    """
    low, high = TALKERS
    drawn, size = drawn.reshape(4, high), voices.shape[1]
    number = low + whole_below(drawn[0, 0], high - low + 1)
    places = jnp.mod(jnp.arange(length) - whole_below(drawn[2], size).at[0].set(inside)[:, None], size)
    # from 0 to 10 dB below the loudest voice
    gain = 10 ** (-0.5 * drawn[3]) * (jnp.arange(high) < number)
    return jnp.einsum("v,vtc->tc", gain.astype(voices.dtype), voices[whole_below(drawn[1], len(voices))[:, None], places])


def as_voices(clips: ArrayLike) -> jax.Array:
    """Return clips ``(n, length, channels)`` as ``babble`` mixes them: of unit power, and turned so that each begins with its
    loudest sample."""
    array = np.asarray(clips, np.float32)
    loudest = np.abs(array).max(2).argmax(1)
    turned = np.stack([np.roll(clip, -place, 0) for clip, place in zip(array, loudest, strict=True)])
    return jnp.asarray(turned / np.sqrt(np.mean(np.square(turned), (1, 2), keepdims=True)))


def partials(tones: jax.Array, strength: jax.Array, phase: jax.Array, length: int, rate: float) -> jax.Array:
    """Return tones with their partials, ``(length,)``, added up in the frequency domain.

    ``tones`` are frequencies in Hz ``(n,)``, which are rounded to whole periods in the window; ``strength`` and ``phase`` (in
    turns) of the partials are ``(n, partials)``. Partials above half of the sampling rate are left out.
    """
    lowest = jnp.maximum(jnp.round(tones * (length / rate)), 1)[:, None]
    number = (lowest * jnp.arange(1, strength.shape[1] + 1)).ravel()
    angle = 2 * jnp.pi * phase.ravel()
    hit = number[:, None] == jnp.arange(length // 2 + 1)
    real, imaginary = ((strength.ravel() * part) @ hit.astype(jnp.float32) for part in (jnp.cos(angle), jnp.sin(angle)))
    return jnp.fft.irfft(jax.lax.complex(real, imaginary), length)


def _stretch_of(drawn: jax.Array, recordings: jax.Array, length: int) -> jax.Array:
    """Return a random stretch of ``length`` samples of a random recording of ``(n, at least length, channels)``."""
    place = (whole_below(drawn[0], len(recordings)), whole_below(drawn[1], recordings.shape[1] - length + 1), jnp.asarray(0))
    return jax.lax.dynamic_slice(recordings, place, (1, length, recordings.shape[2]))[0]


def _somewhere(drawn: jax.Array, speech: jax.Array) -> jax.Array:
    """Return the number of a random sample among those where ``speech`` ``(length,)`` is true; 0 where it nowhere is."""
    first, count = jnp.argmax(speech), jnp.sum(speech)
    return first + whole_below(drawn, jnp.maximum(count, 1))


def _of_unit_power(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.sqrt(jnp.mean(jnp.square(x))), 1e-30)


def _checked_sounds(kind: str, sounds: Any) -> jax.Array:
    if np.ndim(sounds) != 3 or np.size(sounds) == 0:
        raise UserError(
            f"{kind} noise needs {NEEDS_SOUNDS[kind]}, an array (n, length, channels), got "
            + ("none" if sounds is None else f"the shape {np.shape(sounds)}")
        )
    array = as_float(sounds)
    if not np.isfinite(array).all() or not np.any(np.asarray(array), (1, 2)).all():
        raise UserError(f"one of the {NEEDS_SOUNDS[kind]} is silent or holds NaN or infinity: leave it out")
    # on the device once, and not once for each call of a compiled function
    return array if kind == "recorded" else as_voices(array)


def _check_fits(kind: str, shape: tuple[int, ...], length: int, channels: int) -> None:
    """Raise ValueError for a bank of sounds with other channels than a window, or with recordings shorter than it."""
    if shape[2] != channels:
        raise UserError(f"the window has {channels} channels and the {NEEDS_SOUNDS[kind]} have {shape[2]}: choose one of each")
    if kind == "recorded" and shape[1] < length:
        raise UserError(f"a recording of noise has {shape[1]} samples, and a window {length}: record for longer")
