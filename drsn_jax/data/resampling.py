"""Resample recordings to one sampling rate, or to equal angles of a shaft that turns at a constant speed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from drsn_jax.core.storage import blocks, in_file, store
from drsn_jax.data.formats import rates
from drsn_jax.data.formats.common import RecordingError, library
from drsn_jax.data.recordings import Recording, title

TAPS = 10  # of scipy's filter, on either side, in samples of the lower of the two rates
LARGEST = 20_000  # in the ratio of two rates; the filter has 20 coefficients for each unit of it
SPEED_WITHIN = 1e-4  # relative: no speed of a shaft is constant to less, and its ratio to a rate is seldom one of whole numbers
LOST = 0.1  # of the power of a recording: where resampling takes more away, it is told
EXACT = 1e-9  # relative: a ratio that is nearer to the quotient of two rates is that quotient


def resample(recordings: Sequence[Recording], sampling_rate: float) -> list[Recording]:
    """Return the recordings at one sampling rate in Hz.

    Recordings of another rate pass a polyphase filter. It keeps the frequencies that both rates can show and removes the others.
    A rate that differs by less than ``rates.SAME`` is not another rate, and the recording stays as it is. Needs scipy.

    Raises RecordingError for a rate that is not positive, and where the quotient of two rates is no ratio of whole numbers up to
    ``LARGEST``.

    Source: ``scipy.signal.resample_poly``.
    """
    if not 0 < sampling_rate < math.inf:
        raise RecordingError(f"the sampling rate to resample to is a positive number of Hz, got {sampling_rate}")
    return [_at_rate(recordings, i, sampling_rate, f"to {sampling_rate:.9g} Hz") for i in range(len(recordings))]


def resample_to_revolutions(recordings: Sequence[Recording], samples_per_revolution: int) -> list[Recording]:
    """Return the recordings at equal angles of the shaft, where a fault has the same orders at every speed.

    ``sampling_rate`` of what is returned is the number of samples in a revolution, and ``per_revolution`` is true. Each passes
    the filter of ``resample``, so that no frequency folds back. Where a recording has fewer samples in a revolution, its highest
    orders stay empty, see ``empty_orders``. What resonates at a fixed frequency moves with the speed. Needs scipy.

    Raises RecordingError for fewer than two samples in a revolution, a recording without a speed or already at equal angles, and
    windows that were cut before.
    """
    if samples_per_revolution < 2 or samples_per_revolution != int(samples_per_revolution):
        raise RecordingError(f"a revolution has a whole number of samples from 2, got {samples_per_revolution}")
    changed = []
    for i, r in enumerate(recordings):
        if r.speed is None:
            raise RecordingError(
                f"the speed of {title(recordings, i)} is not known, and windows in revolutions need it: give it in the column "
                "speed_rpm of a table, in its condition (1500 rpm), or for all recordings by --speed-rpm"
            )
        if r.per_revolution or r.unit > 1:
            held = "is at equal angles of the shaft already" if r.per_revolution else "holds windows already cut"
            raise RecordingError(f"{title(recordings, i)} {held}: it cannot be brought to revolutions")
        rate = samples_per_revolution * r.speed
        aim = f"to {samples_per_revolution} samples in a revolution at {60 * r.speed:.9g} rpm"
        turned = _at_rate(recordings, i, rate, aim, within=SPEED_WITHIN)
        # one text for all speeds, which the recordings tell themselves
        origin = ", ".join(filter(None, (r.rate_from, f"resampled from {r.sampling_rate:.9g} Hz by the speed")))
        changed.append(
            replace(turned, sampling_rate=samples_per_revolution, rate_from=origin, rate_within=rates.SAME, per_revolution=True)
        )
    return changed


def in_revolutions(signal: np.ndarray, sampling_rate: float, speed: float, samples_per_revolution: int) -> np.ndarray:
    """Return a signal ``(length,)`` or ``(length, channels)`` at equal angles of a shaft, ``(length, channels)`` float32.

    ``speed`` is constant, in revolutions a second. Raises as ``resample_to_revolutions``, and for samples that are not finite."""
    signal = np.asarray(signal)
    recording = Recording(signal[:, None] if signal.ndim == 1 else signal, "", sampling_rate, name="the signal", speed=speed)
    finite = np.isfinite(recording.signal).all(1)
    if not finite.all():  # the filter would spread them over their neighbours
        raise RecordingError(f"sample {int(np.argmin(finite))} is not a finite number: cut the recording")
    return resample_to_revolutions([recording], samples_per_revolution)[0].signal


def empty_orders(recordings: Sequence[Recording], samples_per_revolution: int) -> list[str]:
    """Return a sentence if some recordings, in Hz, have fewer samples in a revolution than they are to be resampled to."""
    held = {i: r.sampling_rate / r.speed for i, r in enumerate(recordings) if r.speed is not None}
    few = {i: samples for i, samples in held.items() if samples < samples_per_revolution * (1 - rates.SAME)}
    if not few:
        return []
    least = min(few, key=few.__getitem__)
    several = f" (so have {len(few)} of {len(recordings)} recordings)" if len(few) > 1 else ""
    return [
        f"{title(recordings, least)} has {few[least]:.4g} samples in a revolution{several}, so that of {samples_per_revolution} "
        f"the orders above {few[least] / 2:.4g} are empty, by which a class with a speed or rate of its own gives itself away: "
        f"--samples-per-revolution {math.floor(few[least] * (1 + rates.SAME))} leaves none empty"
    ]


def lost_power(before: Sequence[Recording], after: Sequence[Recording]) -> list[str]:
    """Return a sentence if resampling has taken more than a tenth of the power of some recordings, and with it what rings there.

    ``after`` are the recordings ``before`` at another rate, or at equal angles of a shaft. Power is that of the vibration around
    its mean, of the channel that loses most: another may be in another unit. A signal is compared with itself, so that the two
    may differ in length by no more than the filter's end.
    """
    lost = [_lost(old.signal, new.signal) for old, new in zip(before, after, strict=True)]
    many = {i: share for i, share in enumerate(lost) if share > LOST}
    if not many:
        return []
    most = max(many, key=many.__getitem__)
    new = after[most]
    highest = new.sampling_rate / 2 * (new.speed if new.per_revolution and new.speed is not None else 1)
    several = f" (and more than a tenth of that of {len(many)} of {len(before)} recordings)" if len(many) > 1 else ""
    option = "--samples-per-revolution" if new.per_revolution else "--resample"
    return [
        f"resampling takes {100 * many[most]:.0f} % of the power of {title(before, most)} away{several}, which lies above "
        f"{highest:.4g} Hz: what rings there is not seen; a training with a higher {option} keeps more of it"
    ]


def _lost(before: np.ndarray, after: np.ndarray) -> float:
    """Return the largest share of a channel's power that ``after`` lacks; 0 for channels in which nothing moves."""
    power, kept = _power(before), _power(after)
    return max((1 - part / whole for whole, part in zip(power, kept, strict=True) if whole > 0), default=0.0)


def _power(signal: np.ndarray) -> np.ndarray:
    """Return the variance of each channel of a signal ``(length, channels)``; 0 of an empty one."""
    if not len(signal):
        return np.zeros(signal.shape[1])
    mean = signal.mean(0, dtype=np.float64)
    parts = (signal[start:stop] - mean for start, stop in blocks(len(signal), 8 * signal.shape[1]))
    return np.sum([np.square(part).sum(0) for part in parts], 0) / len(signal)


def _at_rate(recordings: Sequence[Recording], i: int, sampling_rate: float, aim: str, *, within: float = rates.SAME) -> Recording:
    """Return a recording at another rate in Hz, up to ``within`` of it; ``aim`` says which in the message where that is not
    possible."""
    r = recordings[i]
    ratio = _ratio(sampling_rate, r.sampling_rate, within)
    if ratio is None:
        raise RecordingError(
            f"{title(recordings, i)} at {r.sampling_rate:.9g} Hz cannot be resampled {aim}: choose a rate with a ratio of whole "
            f"numbers up to {LARGEST} to it"
        )
    if ratio != 1:
        shape = (-(-len(r.signal) * ratio.numerator // ratio.denominator), r.signal.shape[1])
        signal = store(_stretches(r.signal, ratio), shape, np.float32, to_file=in_file(r.signal))
        origin = f"resampled from {r.sampling_rate:.9g} Hz"
        r = replace(r, signal=signal, rate_from=f"{r.rate_from}, {origin}" if r.rate_from else origin)
    return replace(r, sampling_rate=sampling_rate)


def _ratio(new: float, old: float, within: float = rates.SAME) -> Fraction | None:
    """Return the quotient of two rates as a ratio of whole numbers; None where these would be larger than ``LARGEST``.

    An exact ratio is preferred: 12,800 to 97,656 Hz is 1600/12207. Where there is none, as for a rate that was measured, a ratio
    of small numbers ``within`` it is returned: 8,000 to 12,000.0048 Hz is 2/3.
    """
    if rates.same(new, old):
        return Fraction(1)
    quotient = new / old
    ratio = Fraction(quotient).limit_denominator(LARGEST)
    if not math.isclose(ratio, quotient, rel_tol=EXACT):
        limits = (10**digits for digits in range(5))
        candidates = (Fraction(quotient).limit_denominator(min(limit, LARGEST)) for limit in limits)
        ratio = next((ratio for ratio in candidates if math.isclose(ratio, quotient, rel_tol=within)), ratio)
    fits = 0 < ratio.numerator <= LARGEST and math.isclose(ratio, quotient, rel_tol=within)
    return ratio if fits else None


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
