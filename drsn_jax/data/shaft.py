"""The shaft: how fast it turns in a recording, its bearing and its gear, and how many revolutions a window holds.

Frequencies of faults are multiples of the speed, so who knows it can compare machines that turn at different ones.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import blocks
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recording import Recording
from drsn_jax.functional.bearings import named_bearing
from drsn_jax.functional.gears import GearOrders, named_gear
from drsn_jax.functional.orders import BearingOrders

Part = TypeVar("Part")
SPEED = re.compile(r"(\d[\d,]*\.?\d*)[ _]*(?:rpm|r/min|rev/min|1/min|min-1|min\^-1|U/min)(?![a-z])", re.IGNORECASE)
RANGE = re.compile(r"(\d|rpm)\s*(-|–|—|…|\.\.+|to|bis|until|/)\s*$|\bramp", re.IGNORECASE)  # in front of a number
THOUSANDS = re.compile(r"\d\.\d{3}")
STEADY = 0.02  # a speed that nine tenths of the time is within this share of its mean counts as constant
LOOKED_AT = 2**20  # values of a speed whose spread is looked at, evenly over the recording
FEW_TURNS = 2  # a window with fewer revolutions of the shaft may miss what happens once in each


def read_speed(file: Path, cell: str) -> float | None:
    """Return the speed of the shaft in a recording, in revolutions a second, as a table's cell tells it; None for an empty cell.

    Args:
      file: the recording.
      cell: a positive number of revolutions a minute, or the channel of the same file that holds them, a single number or
        samples at any rate, of which the mean is taken.

    Raises RecordingError for a number that is not positive, a channel that is not there, and one whose samples are not all finite
    and positive, or are further than ``STEADY`` from their mean more than a tenth of the time.
    """
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        return _mean_speed(file, cell) / 60
    if not 0 < number < math.inf:
        raise RecordingError(f"the speed_rpm {cell!r} is not a positive number of revolutions a minute")
    return number / 60


def _mean_speed(file: Path, channel: str) -> float:
    """Return the mean of a channel that holds a constant speed; errors as ``read_speed``."""
    signal = open_signal(file, channel)
    if signal.channels > 1:
        raise RecordingError(f"{file}: the speed {channel!r} means {signal.channels} channels ({signal.channel}), name one")
    total, kept, step = 0.0, [], -(-signal.length // LOOKED_AT)
    for start, stop in blocks(signal.length, 4):
        values = signal.read(start, stop)[:, 0].astype(np.float64)
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            first = int(np.argmax(bad))
            raise RecordingError(
                f"{file}: sample {start + first} of its speed {channel} is {values[first]:g}, expected positive numbers of "
                "revolutions a minute: cut the recording where the speed has a gap, or give its mean as a number"
            )
        total += float(values.sum())
        kept.append(values[-start % step :: step])
    mean = total / signal.length
    low, high = np.quantile(np.concatenate(kept), (0.05, 0.95))
    if not (1 - STEADY) * mean <= low <= high <= (1 + STEADY) * mean:
        raise RecordingError(
            f"{file}: its speed {channel} is not constant, {low:.4g} to {high:.4g} rpm around a mean of {mean:.4g}: cut it where "
            "the speed is steady, or bring it to equal angles of the shaft by functional.resample_to_angle in Python"
        )
    return mean


def read_bearing(cell: str) -> BearingOrders | None:
    """Return the orders of the bearing that a table's cell names, see ``named_bearing``; None for an empty cell. Raises
    RecordingError as that one."""
    return _read(cell, named_bearing)


def read_gear(cell: str) -> GearOrders | None:
    """Return the orders of the gear whose teeth a table's cell tells, see ``named_gear``; None for an empty cell. Raises
    RecordingError as that one."""
    return _read(cell, named_gear)


def _read(cell: str, named: Callable[[str], Part]) -> Part | None:
    """Return the part that a cell names; None for an empty one. What is wrong with it is a fault of the recordings' table."""
    try:
        return named(cell) if cell else None
    except UserError as error:
        raise RecordingError(str(error)) from error


def named_speed(condition: str) -> float | None:
    """Return the speed in revolutions a minute that a condition names beyond doubt; None for none, for several, for a range or a
    ramp (``"900-1500 rpm"``, ``"0 to 3000 rpm"``) and for a number that may be written with a point for thousands."""
    found = list(SPEED.finditer(condition))
    if len(found) != 1 or RANGE.search(condition[: found[0].start()]) or THOUSANDS.fullmatch(found[0][1]):
        return None
    return float(found[0][1].replace(",", "")) or None


def with_speeds(recordings: Sequence[Recording], speed_rpm: float | None = None) -> list[Recording]:
    """Return the recordings with a speed: their own, else that which their condition names (``"1500 rpm"``), else ``speed_rpm``
    revolutions a minute; those of which none is known stay without."""

    def told(recording: Recording) -> float | None:
        named = named_speed(recording.condition)
        rpm = speed_rpm if named is None else named
        return None if rpm is None else rpm / 60

    return [r if r.speed is not None else replace(r, speed=told(r)) for r in recordings]


def shaft_facts(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Return what is known of the shaft in all recordings, as facts by name for the description of a model.

    They are ``speed_rpm``, the lowest and the highest speed, and ``bearing``, its orders by name, where all have the same.
    """
    facts: dict[str, Any] = {}
    rpm = [60 * r.speed for r in recordings if r.speed is not None]
    if len(rpm) == len(recordings):
        facts["speed_rpm"] = [min(rpm), max(rpm)]
    first = recordings[0].bearing
    if first is not None and all(r.bearing is not None and np.allclose(r.bearing, first, 1e-3) for r in recordings):
        facts["bearing"] = first._asdict()
    return facts


def window_facts(length: int, recordings: Sequence[Recording]) -> list[str]:
    """Return lines that say how long a window of ``length`` samples is: in seconds, and in revolutions where speeds are known;
    with a warning where it holds few revolutions."""
    rate, per_revolution = recordings[0].sampling_rate, recordings[0].per_revolution
    if per_revolution:
        turns = length / rate
        line = f"windows of {length:,} samples: {turns:.3g} revolutions of the shaft, {rate:g} samples in each"
        return [line] if turns >= 1 else [line, _short(f"--revolutions {FEW_TURNS} or more hold them")]
    seconds = length / rate
    line = (
        f"windows of {length:,} samples: {seconds:.3f} s"
        if seconds >= 0.001
        else f"windows of {length:,} samples: {seconds:.3g} s"
    )
    found = sorted({60 * r.speed for r in recordings if r.speed is not None})
    if not found:
        return [line]
    turns = [seconds * speed / 60 for speed in found]
    several = f"{turns[0]:.2g} to {turns[-1]:.2g} revolutions at {found[0]:.5g} to {found[-1]:.5g} rpm"
    line += f", {several}" if len(found) > 1 else f", {turns[0]:.2g} revolutions at {found[0]:.5g} rpm"
    if turns[0] >= FEW_TURNS:
        return [line]
    wanted = 2 ** math.ceil(math.log2(FEW_TURNS * 60 / found[0] * rate))
    if turns[0] < 1:
        return [line, _short(f"--window-length {wanted} or --revolutions 5 holds more")]
    return [
        line,
        f"warning: a window holds less than {FEW_TURNS} revolutions, so that a fault may not be in it: --window-length {wanted} "
        "holds more",
    ]


def _short(advice: str) -> str:
    """Return the warning of a window of less than one revolution."""
    return f"warning: a window holds less than one revolution, so that frequencies of faults cannot be told apart in it: {advice}"
