"""Resample recordings to one sampling rate."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from drsn_jax.core.storage import blocks, in_file, store
from drsn_jax.data.formats.common import RecordingError, library
from drsn_jax.data.recordings import Recording, title

TAPS = 10  # of scipy's filter, on either side, in samples of the lower of the two rates


def resample(recordings: Sequence[Recording], sampling_rate: float) -> list[Recording]:
    """Return the recordings at one sampling rate in Hz.

    Recordings of another rate pass a polyphase filter. It keeps the frequencies that both rates can show and removes the others.
    Needs scipy.

    Raises RecordingError for a rate that is not positive, or that is no ratio of small whole numbers to the rate of a recording.

    Source: ``scipy.signal.resample_poly``.
    """
    if not 0 < sampling_rate < math.inf:
        raise RecordingError(f"the sampling rate to resample to is a positive number of Hz, got {sampling_rate}")
    changed = []
    for i, r in enumerate(recordings):
        ratio = Fraction(sampling_rate / r.sampling_rate).limit_denominator(1000)
        if ratio == 0 or not math.isclose(float(ratio), sampling_rate / r.sampling_rate, rel_tol=1e-9):
            raise RecordingError(
                f"{title(recordings, i)} at {r.sampling_rate:g} Hz cannot be resampled to {sampling_rate:g} Hz: choose a rate "
                "with a ratio of small whole numbers to it"
            )
        if ratio != 1:
            shape = (-(-len(r.signal) * ratio.numerator // ratio.denominator), r.signal.shape[1])
            r = replace(r, signal=store(_stretches(r.signal, ratio), shape, np.float32, to_file=in_file(r.signal)))
        changed.append(replace(r, sampling_rate=sampling_rate))
    return changed


def _stretches(signal: np.ndarray, ratio: Fraction) -> Iterator[np.ndarray]:
    """Yield the resampled signal in stretches, each filtered together with the samples that its filter reaches on either side."""
    up, down = ratio.numerator, ratio.denominator
    resample_poly = library("scipy.signal").resample_poly
    # filtered without the mean, because the ends of a signal with an offset would ring
    mean = signal.mean(0, dtype=np.float64)
    margin = down * (math.ceil(TAPS * max(up, down) / up / down) + 1)
    for first, last in blocks(-(-len(signal) // down), 8 * signal.shape[1] * max(up, down)):  # in periods of both rates
        start, stop = first * down, min(last * down, len(signal))
        before, after = max(0, start - margin), min(len(signal), stop + margin)
        resampled = resample_poly(signal[before:after] - mean, up, down)
        count = -(-(stop - start) * up // down)
        yield (resampled[(start - before) * up // down :][:count] + mean).astype(np.float32)
