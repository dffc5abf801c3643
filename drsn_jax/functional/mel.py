"""The log-mel front end: from a waveform to a picture of its loudness over time and pitch.

It is a pure function of a window ``(length, channels)``, which can be compiled, mapped and differentiated. Several windows:
``jax.vmap``.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program, wide_dtype
from drsn_jax.core.errors import UserError

# limits, so that a description from a file cannot ask for any amount of memory: samples of a frame, bands, frames at one sample
LONGEST, MOST, DENSEST = 2**14, 512, 32
SILENCE = 1e-30  # a lower power, relative to the square of the peak, counts as this: its logarithm and the gradient stay finite


@dataclasses.dataclass(frozen=True)
class LogMel:
    """The logarithm of the power in mel bands, as a function ``(length, channels) -> (frames, mels, channels)``::

        frame t = Hann window · samples t·hop - frame/2 … t·hop + frame/2      (zeros outside of the window)
        power   = |rfft(frame t)|²
        y       = ln max(filters · power, loudest · 10^(-range_db / 10))

    There are ``1 + length // hop`` frames. ``loudest`` is the highest power of all frames, bands and channels of the window, so
    that a gain changes ``y`` by a constant alone. In a silent window ``y`` is constant.

    Fields:
      sampling_rate: of the waveform, in Hz.
      frame: samples of a frame, an even number up to 16,384; the frequencies of a frame are ``sampling_rate / frame`` Hz apart.
      hop: samples from one frame to the next, from ``frame / 32`` to ``frame``.
      mels: number of bands, up to 512.
      low, high: the lowest and the highest frequency in Hz; 0 for ``high`` means half of the sampling rate.
      range_db: what is quieter than the loudest power by more than this, in dB, is set to that floor.

    Raises ValueError for fields out of range, and for bands so narrow that no frequency of a frame lies in one of them.

    Source: ``librosa.feature.melspectrogram`` with its defaults (centred frames, zeros at the ends, a periodic Hann window, the
    mel scale and the norm of Slaney's Auditory Toolbox), and ``librosa.power_to_db`` for the floor.

    Example:
        >>> import numpy as np
        >>> LogMel()(np.zeros((8000, 1))).shape  # one second at 8 kHz
        (126, 40, 1)
    """

    sampling_rate: float = 8000.0
    frame: int = 256
    hop: int = 64
    mels: int = 40
    low: float = 0.0
    high: float = 0.0
    range_db: float = 80.0

    def __post_init__(self) -> None:
        whole = all(isinstance(value, int) for value in (self.frame, self.hop, self.mels))
        if not whole or not 2 <= self.frame <= LONGEST or self.frame % 2 or not self.frame / DENSEST <= self.hop <= self.frame:
            raise UserError(
                f"a frame has an even number of samples up to {LONGEST}, and a hop from 1/{DENSEST} of it to the whole, got "
                f"{self.frame} and {self.hop}"
            )
        if not 1 <= self.mels <= MOST:
            raise UserError(f"the number of mel bands is from 1 to {MOST}, got {self.mels}")
        if not 0 < self.sampling_rate < math.inf or not 0 < self.range_db < math.inf:
            raise UserError(f"sampling_rate and range_db are positive numbers, got {self.sampling_rate} and {self.range_db}")
        if not 0 <= self.low < self.highest <= self.sampling_rate / 2:
            raise UserError(
                f"mel bands lie between 0 Hz and half of the sampling rate, {self.sampling_rate / 2:g} Hz, got {self.low:g} to "
                f"{self.highest:g} Hz"
            )
        if empty := int(np.sum(self.filters().max(1) == 0)):
            raise UserError(f"{empty} of {self.mels} mel bands hold no frequency of a frame: take fewer, or longer frames")

    @property
    def highest(self) -> float:
        """The highest frequency in Hz."""
        return self.high or self.sampling_rate / 2

    def filters(self) -> np.ndarray:
        """Return the filters ``(mels, 1 + frame // 2)`` that add up the power of each band."""
        return mel_filters(self.sampling_rate, self.frame, self.mels, self.low, self.highest)

    def positions(self, length: int) -> tuple[int, int]:
        """Return the numbers of frames and bands of a window of ``length`` samples."""
        return 1 + length // self.hop, self.mels

    def __call__(self, window: ArrayLike) -> jax.Array:
        """Return the log-mel spectrogram ``(frames, mels, channels)`` of a window ``(length, channels)``, in its dtype.

        Raises ValueError for a window without samples or of another number of axes.
        """
        window = as_window(window)
        if window.ndim != 2:
            raise ValueError(f"a log-mel front end takes a waveform (length, channels), got the shape {window.shape}")
        return self._log_power(window)

    @in_one_program("self")
    def _log_power(self, window: jax.Array) -> jax.Array:
        wide = window.astype(wide_dtype(window.dtype))
        # divided by the peak first, so that the squares neither overflow nor vanish; it is a constant to the gradient
        peak = jax.lax.stop_gradient(jnp.max(jnp.abs(wide)))
        peak = jnp.where(peak == 0, 1, peak)
        power = self.power(wide / peak)
        floor = jnp.maximum(jnp.max(power) * 10 ** (-self.range_db / 10), SILENCE)
        return (jnp.log(jnp.maximum(power, floor)) + 2 * jnp.log(peak)).astype(window.dtype)

    def power(self, window: jax.Array) -> jax.Array:
        """Return the power in mel bands ``(frames, mels, channels)`` of a window ``(length, channels)`` of floats."""
        half = self.frame // 2
        padded = jnp.pad(window.T, ((0, 0), (half, half)))
        starts = jnp.arange(self.positions(window.shape[0])[0]) * self.hop
        frames = padded[:, starts[:, None] + jnp.arange(self.frame)]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.frame) / self.frame)
        spectrum = jnp.fft.rfft(frames * hann.astype(window.dtype))
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        return jnp.einsum("mf,ctf->tmc", self.filters().astype(window.dtype), power, precision="highest")


@functools.lru_cache(maxsize=16)
def mel_filters(sampling_rate: float, frame: int, mels: int, low: float, high: float) -> np.ndarray:
    """Return triangular filters ``(mels, 1 + frame // 2)`` between ``low`` and ``high`` Hz, each of the area 1 over Hz.

    Source: Slaney, Auditory Toolbox, Interval Research 1998; ``librosa.filters.mel``.
    """
    edges = mel_to_hertz(np.linspace(hertz_to_mel(low), hertz_to_mel(high), mels + 2))[:, None]
    frequencies = np.fft.rfftfreq(frame, 1 / sampling_rate)
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    filters.flags.writeable = False
    return filters


def hertz_to_mel(frequency: ArrayLike) -> np.ndarray:
    """Return frequencies in Hz on Slaney's mel scale, which is linear up to 1,000 Hz and logarithmic above."""
    hertz = np.asarray(frequency, np.float64)
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + np.log(np.maximum(hertz, 1000) / 1000) * 27 / np.log(6.4))


def mel_to_hertz(mel: ArrayLike) -> np.ndarray:
    """Return numbers on Slaney's mel scale as frequencies in Hz, the inverse of ``hertz_to_mel``."""
    mel = np.asarray(mel, np.float64)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27))
