"""Read the signal of one file whole, and check it: its sampling rate, its samples, an offset that float32 could not hold."""

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drsn_jax.core.arrays import coarse
from drsn_jax.core.storage import Spool, blocks
from drsn_jax.data.formats import rates
from drsn_jax.data.formats.common import RecordingError, RecordingWarning, Signal, in_memory
from drsn_jax.data.formats.open_signal import open_signal

OVERFLOWS = (9.9e37, 9.91e37)  # what instruments write for an overflow and for no number (SCPI 1999, 7.2.1.4 and 7.2.1.5)
SLOW = 100.0  # Hz: a lower rate may be one in kHz whose unit the file does not write
StrPath = str | os.PathLike[str]


class FileSignal(NamedTuple):
    """The signal of a file.

    Fields:
      signal: ``(length, channels)``, float32; None where it went into a spool.
      sampling_rate: in Hz.
      channel: what was taken, as ``formats.common.Signal`` names it.
      rate_from: where in the file the rate was found; empty where the user gave it.
      rate_within: how sure the rate is, relative to it.
    """

    signal: np.ndarray | None
    sampling_rate: float
    channel: str
    rate_from: str
    rate_within: float = rates.SAME


def read_file(
    file: StrPath, channel: str = "", sampling_rate: float | None = None, *, memory: float = math.inf
) -> tuple[np.ndarray, float]:
    """Read the signal of one file, ``(length, channels)`` float32, and its sampling rate in Hz.

    The values are as stored. Where they lie so far from zero that float32 could not tell them apart, as 20 counts of noise on
    2**30 counts, the first sample is subtracted from all of them before they are rounded.

    Args:
      file: of one of the formats in ``open_signal.READERS``.
      channel: which signal of the file, see ``formats.channels``.
      sampling_rate: in Hz, for a file that holds none; a file that holds another rate is refused.
      memory: bytes that the signal may take. A larger signal is a memory map, of the file itself or of a temporary file.

    Raises as ``recordings.read_recordings``.
    """
    with Spool() as spool:
        found = read_signal(Path(file), channel, sampling_rate, spool, memory=memory)
        return spool.arrays()[0] if found.signal is None else found.signal, found.sampling_rate


def read_signal(
    file: Path,
    channel: str,
    sampling_rate: float | None,
    spool: Spool,
    *,
    memory: float = math.inf,
    maps: int = 1,
    overrule: bool = False,
    most: Callable[[float], int] | None = None,
) -> FileSignal:
    """Read the signal of one file as ``read_file``; ``overrule`` as for ``agreed_rate``.

    ``most(sampling_rate)`` is how many samples from its beginning are read at most; None reads all of them.

    A rate of the file below ``SLOW`` brings a RecordingWarning. A signal that takes more than ``memory`` bytes becomes a map of
    the file where its format allows that and ``maps`` is above 0, else the next array of ``spool``.
    """
    opened = open_signal(file, channel)
    rate = agreed_rate(
        str(file), opened.sampling_rate, sampling_rate, opened.rate_from, within=opened.rate_within, overrule=overrule
    )
    if sampling_rate is None and rate < SLOW:
        warnings.warn(
            f"{file} is sampled at {rate:.9g} Hz by {opened.rate_from}, which is slow for a vibration: if that number is in kHz, "
            "give the rate in Hz and let it overrule the file (--overrule-rate)",
            RecordingWarning,
            stacklevel=3,
        )
    if most is not None:
        length = min(opened.length, most(rate))
        opened = replace(opened, length=length, mapped=None if opened.mapped is None else opened.mapped[:length])
    row = 4 * opened.channels
    spooled = False
    if opened.length * row <= memory:
        signal = read_precisely(opened, 0, opened.length)
    elif opened.mapped is not None and maps > 0:
        signal = opened.mapped
    else:
        spooled, shape, stretches = True, (opened.length, opened.channels), blocks(opened.length, row)
        spool.add((opened.read(start, stop) for start, stop in stretches), shape, np.float32)
        signal = spool.last()
        if opened.wide is not None and (far := coarse(signal.min(0), signal.max(0))).any():
            wide, origin = opened.wide, opened.wide(0, 1)
            spool.drop_last()
            parts = (subtract(opened.read(start, stop), wide(start, stop), origin, far) for start, stop in stretches)
            spool.add(parts, shape, np.float32)
            signal = spool.last()
    check_samples(signal, str(file))
    stored = (opened.rate_from or "the file") if rate == opened.sampling_rate else ""
    within = max(rates.SAME, opened.rate_within) if rate == opened.sampling_rate else rates.SAME
    return FileSignal(None if spooled else signal, rate, opened.channel, stored, within)


def read_precisely(opened: Signal, start: int, stop: int) -> np.ndarray:
    """Read the samples ``[start, stop)`` as float32, ``(stop - start, channels)``.

    From a channel whose samples float32 could not tell apart its first one here is subtracted before they are rounded.
    """
    values = opened.read(start, stop)
    if opened.wide is None or start == stop or not (far := coarse(values.min(0), values.max(0))).any():
        return values
    wide = opened.wide(start, stop)
    far &= wide.min(0) < wide.max(0)  # a channel that is constant keeps its value
    return subtract(values, wide, wide[:1], far)


def as_precise(values: np.ndarray) -> np.ndarray:
    """Return an array ``(length, channels)`` that is in memory as float32, without an offset as ``read_precisely``."""
    return read_precisely(in_memory(values), 0, len(values))


def subtract(values: np.ndarray, wide: np.ndarray, origin: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Return ``values`` ``(n, channels)``, in the channels ``far`` replaced by the difference of the stored values ``wide`` and
    ``origin`` ``(1, channels)``, as float32."""
    kind = np.int64 if wide.dtype.kind in "iu" else np.float64  # int64 holds the difference also of large unsigned numbers
    return np.where(far, wide.astype(kind) - origin.astype(kind), values).astype(np.float32)


def agreed_rate(
    where: str,
    stored: float | None,
    given: float | None,
    rate_from: str = "",
    *,
    within: float = rates.SAME,
    overrule: bool = False,
) -> float:
    """Return the sampling rate of a file in Hz, which the file holds or the user gives; where both do, that of the user.

    Args:
      where: the file, for messages.
      stored, given: in Hz; None where the file holds none, or the user gives none.
      rate_from: where in the file the rate was found.
      within: how far the two may differ, relative to them.
      overrule: whether the user's rate holds although the file holds another, as where its ``fs`` is the speed of a shaft.

    Raises RecordingError without any rate, for one that is not a positive number, and unless ``overrule`` where the two differ
    by more than ``within``.
    """
    rate = given if given is not None else stored
    if rate is None:
        raise RecordingError(
            f"{where} holds no sampling rate: give it in Hz, by --sampling-rate or in the column sampling_rate of a table"
        )
    if not 0 < rate < math.inf:
        raise RecordingError(f"the sampling rate of {where} is a positive number of Hz, got {rate}")
    far = stored is not None and given is not None and not math.isclose(stored, given, rel_tol=max(within, rates.SAME))
    if far and not overrule:
        found = f" (by {rate_from})" if rate_from else ""
        raise RecordingError(
            f"{where} says that it is sampled at {stored:.9g} Hz, not at {given:.9g} Hz{found}: correct or omit the rate, or "
            "let it overrule the file (--overrule-rate)"
        )
    return rate


def check_samples(signal: np.ndarray, where: str) -> np.ndarray:
    """Return the signal, ``(length, channels)`` float32, if it can be used.

    Raises RecordingError for samples that are not finite or the mark of an overflow, and for a channel that is constant.
    """
    count = signal.shape[1]
    titles = [where if count == 1 else f"{where}, channel {number} of {count}" for number in range(1, count + 1)]
    bad, first = np.zeros(count, int), np.full(count, len(signal))
    for start, stop in blocks(len(signal), 4 * count):
        finite = np.isfinite(signal[start:stop])
        if not finite.all():
            first = np.where((bad == 0) & ~finite.all(0), start + np.argmin(finite, 0), first)
            bad += np.sum(~finite, 0)
    for channel in np.flatnonzero(bad):
        raise RecordingError(
            f"{titles[channel]}: sample {first[channel]} is {signal[first[channel], channel]}, not a finite float32 number "
            f"({bad[channel]} such in all): cut the recording or leave it out"
        )
    for channel in np.flatnonzero(np.maximum(signal.max(0), -signal.min(0)) > 0.99 * min(OVERFLOWS)):
        marked = np.isclose(np.abs(signal[:, channel, None]), OVERFLOWS, rtol=1e-5).any(1)
        if marked.any():
            row = int(np.argmax(marked))
            raise RecordingError(
                f"{titles[channel]}: sample {row} is {signal[row, channel]:.4g}, by which instruments mark an overflow: cut "
                "the recording or leave it out"
            )
    for channel in np.flatnonzero(signal.min(0) == signal.max(0)):
        raise RecordingError(
            f"{titles[channel]} is constant ({signal[0, channel]:g} everywhere, as float32): a dead channel, leave it out"
        )
    return signal
