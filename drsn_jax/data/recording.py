"""A recording: a signal and what is known about it."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drsn_jax.core.arrays import rounded
from drsn_jax.core.storage import blocks, in_file
from drsn_jax.data.formats import rates
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.functional.gears import GearOrders
from drsn_jax.functional.orders import BearingOrders


@dataclass(frozen=True, eq=False)
class Recording:
    """An uninterrupted signal and what is known about it.

    Fields:
      signal: ``(length, channels)``, float32. Numbers of another type in memory are converted, without an offset that float32
        could not hold.
      label: the class.
      sampling_rate: in Hz; of a recording ``per_revolution`` the samples in a revolution of the shaft.
      condition: under which it was recorded (speed, load, …).
      group: the physical part, so that one part can be kept on one side of a split.
      name: for messages and results, usually the path of the file.
      channel: which signal of the file it is, as ``formats.channels`` names it; empty where the file holds one without a name.
      rate_from: where the sampling rate is from: ``"its variable fs"``, ``"the table"``.
      rate_within: how sure the sampling rate is, relative to it; a time axis that was rounded leaves more open than a number.
      asked: the channel as the user asked for it, perhaps a pattern; empty where the only signal was taken unasked.
      unit: so many samples belong together, and a split cuts between them only: the length of windows that were cut before.
      speed: of the shaft, in revolutions a second, constant over the recording; None where it is not known.
      bearing: the orders of the bearing on that shaft; None where they are not known.
      gear: the orders of the gear on that shaft; None where they are not known.
      per_revolution: whether its samples lie at equal angles of the shaft, see ``resampling.resample_to_revolutions``.

    Raises RecordingError for a signal of another shape, and for a sampling rate or speed that is not a positive number.
    """

    signal: np.ndarray
    label: str
    sampling_rate: float
    condition: str = ""
    group: str = ""
    name: str = ""
    channel: str = ""
    rate_from: str = ""
    rate_within: float = rates.SAME
    asked: str = ""
    unit: int = 1
    speed: float | None = None
    bearing: BearingOrders | None = None
    gear: GearOrders | None = None
    per_revolution: bool = False

    def __post_init__(self) -> None:
        if self.signal.ndim != 2:
            raise RecordingError(
                f"the signal of {self.name or 'a recording'} has the shape {self.signal.shape}, "
                "expected (length, channels): give one channel as signal[:, None]"
            )
        rate = self.sampling_rate
        if not _positive(rate):
            raise RecordingError(f"the sampling rate of {self.name or 'a recording'} is a positive number of Hz, got {rate}")
        if self.speed is not None and not _positive(self.speed):
            raise RecordingError(
                f"the speed of {self.name or 'a recording'} is a positive number of revolutions a second, got {self.speed}"
            )
        if self.signal.dtype != np.float32 and not in_file(self.signal):
            object.__setattr__(self, "signal", rounded(self.signal[None])[0])


def _positive(number: object) -> bool:
    return isinstance(number, int | float | np.integer | np.floating) and bool(0 < number < math.inf)


def fingerprint(recordings: Sequence[Recording]) -> str:
    """Return the SHA-256 of all of the recordings that decides a result, in hexadecimal digits.

    Their speeds, bearings and gears decide none by themselves: a signal at equal angles of the shaft is another signal.
    """
    digest = hashlib.sha256()
    for r in recordings:
        digest.update(repr((r.signal.shape, r.label, r.sampling_rate, r.condition, r.group, r.name)).encode())
        for start, stop in blocks(len(r.signal), 4 * r.signal.shape[1]):
            digest.update(np.ascontiguousarray(r.signal[start:stop]).data)
    return digest.hexdigest()


def title(recordings: Sequence[Recording], index: int) -> str:
    """Return the title of a recording for messages: its name or, where it has none, its place among the others."""
    return recordings[index].name or f"recording {index}"


def class_names(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Return the labels in the order of their first appearance."""
    return tuple(dict.fromkeys(r.label for r in recordings))
