"""What a user means who names a model and files, and the diagnosis of such a file.

A run may be named in place of its model, a folder in place of its files, and in either order.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.data.formats import rates
from drsn_jax.data.formats.common import Signal, in_memory
from drsn_jax.data.formats.content import holds_no_signal
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recording_files import agreed_rate, read_precisely
from drsn_jax.diagnosis.bundle import Bundle, brought
from drsn_jax.diagnosis.description import DESCRIPTION
from drsn_jax.diagnosis.diagnosis import Diagnosis, check_clip, clip_window, diagnose_parts, is_of_clips
from drsn_jax.functional.gears import GearOrders
from drsn_jax.functional.orders import BearingOrders


def model_in(path: Path) -> Path | None:
    """Return the folder of the model that a path means: the folder itself, the ``model`` of a run, or that of a file in it."""
    if path.name == DESCRIPTION and path.is_file():
        return path.parent
    return next((folder for folder in (path, path / "model") if (folder / DESCRIPTION).is_file()), None)


def understood(model: Path, files: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder of the model and the files that are meant.

    The model may be named by its run, and may stand behind a file. A folder means all files in it and below it, in the order of
    their paths, but for hidden ones and those whose names say that they hold no signal. Raises UserError for a folder without
    files. A model that is not there is returned as it was named.
    """
    named = [str(model), *files]
    found = model_in(model)
    if found is None:
        others = [number for number, file in enumerate(files, 1) if file != "-" and model_in(Path(file)) is not None]
        if len(others) == 1:
            found = model_in(Path(named.pop(others[0])))
            named = [named[0], *named]
    return found or model, [each for file in named[1:] for each in _files(file)]


def _files(named: str) -> Iterator[str]:
    """Yield a file, or the files of a folder."""
    folder = Path(named)
    if named == "-" or not folder.is_dir():
        yield named
        return
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and not holds_no_signal(path)]
    inside = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not inside:
        raise UserError(f"the folder {folder} holds no recordings: name files, or a folder of files")
    yield from map(str, inside)


class TrainedSource(NamedTuple):
    """What was taken for a training: the name of a channel, and the names of the recordings that it was taken from."""

    channel: str
    files: tuple[str, ...]


def trained_sources(model: Bundle) -> list[TrainedSource]:
    """Return what a model was trained on, as far as its facts about the training tell; nothing of them is relied on."""
    entries = model.training.get("recordings")
    found = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, Sequence) else []
    return [
        TrainedSource(entry["channel"], tuple(file for file in entry["files"] if isinstance(file, str)))
        for entry in found
        if isinstance(entry.get("channel"), str) and isinstance(entry.get("files"), Sequence)
    ]


def trained_bearing(model: Bundle) -> BearingOrders | None:
    """Return the bearing of the recordings that a model was trained on; None where its facts do not tell one."""
    orders = _orders(model.training.get("bearing"), BearingOrders._fields)
    return BearingOrders(**orders) if orders else None


def trained_gear(model: Bundle) -> GearOrders | None:
    """Return the gear of the recordings that a model was trained on; None where its facts do not tell one."""
    orders = _orders(model.training.get("gear"), GearOrders._fields)
    return GearOrders(**orders) if orders and orders["mesh"] > 2 * orders["tooth"] else None


def _orders(told: object, names: Sequence[str]) -> dict[str, float] | None:
    """Return orders that the facts of a model tell by these names; None unless they are all there and positive numbers."""
    if not isinstance(told, Mapping) or set(told) != set(names):
        return None
    known = all(isinstance(order, int | float) and 0 < order < math.inf for order in told.values())
    return dict(told) if known else None


def trained_sidebands(model: Bundle, gear: GearOrders) -> tuple[float, ...]:
    """Return how strong the sidebands of a gear are in healthy recordings of the training of a model, in dB; none where its facts
    do not tell, or tell of another gear."""
    known, told = trained_gear(model), model.training.get("healthy_sidebands_db")
    if known is None or not np.allclose(known, gear, 1e-6) or not isinstance(told, Sequence) or isinstance(told, str):
        return ()
    return tuple(float(value) for value in told if isinstance(value, int | float) and math.isfinite(value))


class Asked(NamedTuple):
    """The diagnosis of a file.

    Fields:
      found: the diagnosis.
      signal: the signal that was taken of the file, with its sampling rate, to be read as the network was given it.
      length: the samples of the file, which the signal of a clip is filled up from.
      times_real_time: how many times faster than real time the diagnosis was made.
      recorded: the signal of the file as it was recorded, for physics: brought to equal angles of the shaft, or filled up as a
        clip, it may have lost the lines and resonances of the machine.
    """

    found: Diagnosis
    signal: Signal
    length: int
    times_real_time: float
    recorded: Signal


def ask(
    model: Bundle,
    file: Path,
    *,
    channel: str | None = None,
    sampling_rate: float | None = None,
    overrule_rate: bool = False,
    speed: float | None = None,
) -> Asked:
    """Diagnose a file.

    Args:
      model: the model that is asked.
      file: a recording in any format of ``data.formats``.
      channel: which signal of it; by default the one that the model was trained on, or the only one.
      sampling_rate: in Hz, for a file that does not hold it; by default that of the training data, with a warning.
      overrule_rate: whether that rate holds where the file says another one.
      speed: of the shaft in revolutions a second, for a model whose windows are revolutions of it.

    Such a model is given the file at equal angles of the shaft; ``Asked.signal`` is that, with its samples a second.

    Raises UserError and OSError for a file that cannot be read, and as ``diagnosis.diagnose``.
    """
    signal = open_asked(model, channel, file)
    # of a model in revolutions no rate can be assumed: it has none in Hz
    assumed = signal.sampling_rate is None and sampling_rate is None and not model.per_revolution
    rate = model.sampling_rate
    if not assumed:
        told = (signal.sampling_rate, sampling_rate, signal.rate_from)
        rate = agreed_rate(str(file), *told, within=signal.rate_within, overrule=overrule_rate)
    read, length = functools.partial(read_precisely, signal), signal.length
    recorded = dataclasses.replace(signal, sampling_rate=rate, read=read)
    if is_of_clips(model) and signal.channels == model.channels:
        check_clip(model, signal.length, rate)
        window = clip_window(model, read(0, signal.length), rate)
        read, signal = lambda start, stop: window[start:stop], dataclasses.replace(signal, length=len(window))
    start = time.perf_counter()
    own, warnings = rate, []
    if model.per_revolution:
        signal, warnings = _turned(model, signal, rate, speed)
        read, length, own = signal.read, signal.length, model.sampling_rate
        rate = signal.sampling_rate or rate
    found = diagnose_parts(model, signal.length, signal.channels, own, read)
    times_real_time = signal.length / rate / (time.perf_counter() - start)
    if assumed:
        warnings.append(
            f"it holds no sampling rate: {rate:.9g} Hz, that of the training data, is assumed, --sampling-rate says otherwise"
        )
    found = dataclasses.replace(found, warnings=(*warnings, *found.warnings))
    return Asked(found, dataclasses.replace(signal, sampling_rate=rate, read=read), length, times_real_time, recorded)


def _turned(model: Bundle, signal: Signal, rate: float, speed: float | None) -> tuple[Signal, list[str]]:
    """Return the signal of a file at equal angles of the shaft, in memory and with its samples a second, and what is to be warned
    of."""
    values, samples = brought(model, read_precisely(signal, 0, signal.length), rate, speed)
    assert speed is not None
    warnings = []
    if rate / speed < samples and not rates.same(rate / speed, samples):
        warnings.append(
            f"it has {rate / speed:.4g} samples in a revolution, fewer than the {samples:g} of the training: its highest orders "
            "are empty, which the network may take for something else"
        )
    origin = f"{signal.rate_from or 'the rate that was given'}, resampled from {rate:.9g} Hz by the speed"
    facts = {"channel": signal.channel, "rate_from": origin}
    return dataclasses.replace(in_memory(values, samples * speed), **facts), warnings


def open_asked(model: Bundle, channel: str | None, file: Path) -> Signal:
    """Return the signal of a file that was asked for, or the one of the training, whose files may have had different names for
    it."""
    names = dict.fromkeys(source.channel for source in trained_sources(model) if source.channel)
    if channel is not None or model.channel or not names:
        return open_signal(file, model.channel if channel is None else channel)
    fitting = []
    for name in names:
        with contextlib.suppress(UserError):
            fitting.append(open_signal(file, name))
    # the names of one file are usually not those of another; where several fit, or none, the file itself says what it holds
    return fitting[0] if len(fitting) == 1 else open_signal(file, "")
