"""The envelope of a vibration and its spectrum: how strong the signal is at each time, and how regularly that comes and goes.

A fault of a bearing rings the machine at a high frequency, once for every rolling element that passes it. The envelope of the
band that rings shows these passages, and its spectrum has lines at their rate and at multiples of it.

A window is ``(length, channels)``; map over several windows with ``jax.vmap``. All functions are pure and can be compiled and
differentiated. Frequencies are in Hz if the sampling rate is.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program, wide_dtype
from drsn_jax.core.errors import UserError

FRAMES = (8, 16, 32, 64, 128, 256)  # lengths of the frames among which ``ringing_band`` chooses


def analytic_signal(window: ArrayLike, band: Any = None, sampling_rate: ArrayLike = 1.0) -> jax.Array:
    """Return the analytic signal ``(length, channels)``, complex: the window without its negative frequencies, doubled.

    Its real part is the window, and its magnitude the envelope. With ``band``, a pair of frequencies ``(low, high)``, only what
    lies in ``low <= f < high`` is left.

    Raises ValueError for a window that is not ``(length, channels)``.
    """
    return _analytic_signal(_signal(window), _pair(band), sampling_rate)


@in_one_program()
def _analytic_signal(window: jax.Array, band: Any, sampling_rate: ArrayLike) -> jax.Array:
    length = len(window)
    frequency = jnp.fft.rfftfreq(length).astype(window.dtype)
    # what lies between zero and half the sampling rate stands for two frequencies, of which one is left out
    weight = jnp.where((frequency == 0) | (frequency == 0.5), 1.0, 2.0).astype(window.dtype)
    if band is not None:
        low, high = (jnp.asarray(edge, window.dtype) / jnp.asarray(sampling_rate, window.dtype) for edge in band)
        weight = jnp.where((frequency >= low) & (frequency < high), weight, 0)
    spectrum = jnp.fft.rfft(window, axis=0) * weight[:, None]
    return jnp.fft.ifft(spectrum, n=length, axis=0)


def envelope(window: ArrayLike, band: Any = None, sampling_rate: ArrayLike = 1.0) -> jax.Array:
    """Return the envelope ``(length, channels)`` of a window, or of a band of it; arguments and errors as ``analytic_signal``.

    Example::

        >>> import jax.numpy as jnp
        >>> time = jnp.arange(1000) / 1000.0
        >>> ringing = (1 + 0.5 * jnp.cos(2 * jnp.pi * 20 * time)) * jnp.cos(2 * jnp.pi * 300 * time)
        >>> spectrum = squared_envelope_spectrum(ringing[:, None], sampling_rate=1000.0)
        >>> int(jnp.argmax(spectrum[:, 0]))  # the line of 20 Hz: a bin is 1 Hz wide here
        20
    """
    return _envelope(_signal(window), _pair(band), sampling_rate)


@in_one_program()
def _envelope(window: jax.Array, band: Any, sampling_rate: ArrayLike) -> jax.Array:
    return jnp.sqrt(_squared_envelope(window, band, sampling_rate))


def squared_envelope(window: ArrayLike, band: Any = None, sampling_rate: ArrayLike = 1.0) -> jax.Array:
    """Return the square of the envelope ``(length, channels)``; arguments and errors as ``analytic_signal``."""
    return _squared_envelope(_signal(window), _pair(band), sampling_rate)


@in_one_program()
def _squared_envelope(window: jax.Array, band: Any, sampling_rate: ArrayLike) -> jax.Array:
    signal = _analytic_signal(window, band, sampling_rate)
    return jnp.square(signal.real) + jnp.square(signal.imag)


def squared_envelope_spectrum(window: ArrayLike, band: Any = None, sampling_rate: ArrayLike = 1.0) -> jax.Array:
    """Return the amplitudes of the lines in the squared envelope, ``(length // 2 + 1, channels)``, in the squared unit of the
    window.

    Bin ``k`` is the frequency ``k · sampling_rate / length``. The mean of the squared envelope is removed, which empties bin 0.
    Arguments and errors as ``analytic_signal``.

    Source: Randall, Antoni and Chobsaard, Mech. Syst. Signal Process. 15(5), 2001.
    """
    return _spectrum_of_squares(_signal(window), _pair(band), sampling_rate)


@in_one_program()
def _spectrum_of_squares(window: jax.Array, band: Any, sampling_rate: ArrayLike) -> jax.Array:
    squares = _squared_envelope(window, band, sampling_rate)
    squares = squares - jnp.mean(squares, 0)
    return 2 * jnp.abs(jnp.fft.rfft(squares, axis=0)) / len(squares)


def prewhiten(window: ArrayLike) -> jax.Array:
    """Return a window ``(length, channels)`` whose spectrum has one magnitude at all frequencies, and the phases that it had. Its
    root mean square is 1.

    Strong tones of shafts and gears, and resonances, then weigh no more than any other frequency, and what repeats as short
    strokes stands out in the envelope. Frequencies without any power stay empty.

    Raises ValueError for a window that is not ``(length, channels)``.

    Source: Borghesani et al., Mech. Syst. Signal Process. 36(2), 2013 (cepstrum pre-whitening).
    """
    return _prewhiten(_signal(window))


@in_one_program()
def _prewhiten(window: jax.Array) -> jax.Array:
    spectrum = jnp.fft.rfft(window, axis=0)
    magnitude = jnp.abs(spectrum)
    # a threshold: rounding leaves numbers where there is no power
    empty = magnitude <= jnp.max(magnitude, 0) * 4 * jnp.finfo(window.dtype).eps
    whitened = jnp.where(empty, 0, spectrum / jnp.where(empty, 1, magnitude))
    return jnp.fft.irfft(whitened, n=len(window), axis=0) * math.sqrt(len(window))


def spectral_kurtosis(window: ArrayLike, frame: int) -> jax.Array:
    """Return how impulsive each frequency is, ``(frame // 2 + 1, channels)``: 0 for stationary Gaussian noise, -1 for a steady
    tone, large for short bursts.

    With the spectra X of Hann frames of ``frame`` samples, each a quarter of a frame after the last::

        K(f) = mean |X(f)|⁴ / (mean |X(f)|²)² - 2

    Bins without any power have 0, and so have the first and the last, whose spectrum is real and follows another rule.

    Raises ValueError for a window that is not ``(length, channels)`` or shorter than a frame, and for a frame below 4.

    Source: Antoni, Mech. Syst. Signal Process. 20(2), 2006.
    """
    window = _signal(window)
    if frame < 4 or frame > len(window):
        raise UserError(f"a frame has from 4 to {len(window)} samples, the length of the window, got {frame}")
    return _spectral_kurtosis(window, frame)


@in_one_program("frame")
def _spectral_kurtosis(window: jax.Array, frame: int) -> jax.Array:
    hop = frame // 4
    starts = jnp.arange(0, len(window) - frame + 1, hop)
    frames = window[starts[:, None] + jnp.arange(frame)]  # (frames, frame, channels)
    hann = (0.5 - 0.5 * jnp.cos(2 * jnp.pi * jnp.arange(frame) / frame)).astype(window.dtype)
    power = jnp.square(jnp.abs(jnp.fft.rfft(frames * hann[:, None], axis=1)))
    # relative to the strongest, so that squares of powers neither overflow nor vanish
    strongest = jnp.max(power)
    power = power / jnp.where(strongest == 0, 1, strongest)
    mean = jnp.mean(power, 0)
    silent = mean == 0
    kurtosis = jnp.mean(jnp.square(power), 0) / jnp.square(jnp.where(silent, 1, mean)) - 2
    inner = (jnp.arange(len(kurtosis)) % (frame // 2) != 0)[:, None]
    return jnp.where(silent | ~inner, 0, kurtosis)


def ringing_band(
    window: ArrayLike, sampling_rate: ArrayLike = 1.0, frames: Sequence[int] = FRAMES
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the band ``(low, high)`` in which the window is most impulsive, and its spectral kurtosis, all ``(channels,)``.

    A frame of N samples sees bands that are ``sampling_rate / N`` wide, with one at every bin. Of all lengths in ``frames`` that
    fit into the window at least four times, and all bins, the one with the highest spectral kurtosis is chosen: the kurtogram.

    Raises ValueError as ``spectral_kurtosis``, and where no frame fits.

    Source: Antoni and Randall, Mech. Syst. Signal Process. 20(2), 2006.
    """
    window = _signal(window)
    fitting = [frame for frame in frames if 4 * frame <= len(window)]
    if not fitting:
        raise UserError(f"a window of {len(window)} samples is too short for frames of {min(frames)}: it has to hold four")
    return _ringing_band(window, sampling_rate, tuple(fitting))


@in_one_program("frames")
def _ringing_band(window: jax.Array, sampling_rate: ArrayLike, frames: tuple[int, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    rate = jnp.asarray(sampling_rate, window.dtype)
    found = []
    for frame in frames:
        kurtosis = spectral_kurtosis(window, frame)
        best = jnp.argmax(kurtosis, 0)
        centre, half = best * rate / frame, rate / (2 * frame)
        found.append((centre - half, centre + half, jnp.max(kurtosis, 0)))
    low, high, kurtosis = (jnp.stack(values) for values in zip(*found, strict=True))
    chosen = jnp.argmax(kurtosis, 0)[None]
    low, high, kurtosis = (jnp.take_along_axis(values, chosen, 0)[0] for values in (low, high, kurtosis))
    return low, high, kurtosis


def _pair(band: Any) -> Any:
    return None if band is None else tuple(band)


def _signal(window: ArrayLike) -> jax.Array:
    """Return a window ``(length, channels)`` in at least float32."""
    window = as_window(window)
    if window.ndim != 2:
        raise UserError(f"an envelope is that of a signal (length, channels), got the shape {window.shape}")
    return window.astype(wide_dtype(window.dtype))
