"""Recordings of signals from the user's own files, named by a table or by the folders they lie in.

The table is a CSV file (UTF-8, commas) with these columns; others are ignored:

- ``path`` and ``label`` are needed;
- ``sampling_rate``, in Hz, where a file holds none;
- ``channel``, where a file holds several signals (see ``formats.channels``);
- ``condition``, if wanted: speed, load, …;
- ``group``, if wanted: the physical part.

Without a table there is a folder for each class, ``class/file`` or ``class/condition/file``.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drsn_jax.core.storage import blocks, in_file, limit, store
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import READERS, open_signal
from drsn_jax.data.recordings_table import COLUMNS, positive, rows_of_folder, rows_of_table

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Recording:
    """An uninterrupted signal and what is known about it.

    Fields:
      signal: ``(length, channels)``, float32.
      label: the class.
      sampling_rate: in Hz.
      condition: under which it was recorded (speed, load, …).
      group: the physical part, so that one part can be kept on one side of a split.
      name: for messages and results, usually the path of the file.
    """

    signal: np.ndarray
    label: str
    sampling_rate: float
    condition: str = ""
    group: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.signal.ndim != 2:
            raise RecordingError(
                f"the signal of {self.name or 'a recording'} has the shape {self.signal.shape}, "
                "expected (length, channels): give one channel as signal[:, None]"
            )


def read_recordings(table: StrPath, folder: StrPath | None = None, *, outside: bool = False) -> list[Recording]:
    """Read the recordings that a table names, in its order.

    Args:
      table: the CSV file described above.
      folder: where the paths in the table start; by default the table's own folder.
      outside: whether paths, or links, may lead out of that folder.

    Raises:
      RecordingError: for a table or a file that is missing, broken, or holds no usable signal (empty, NaN or
        infinite samples, constant), with the table, its line and the file.
      ImportError: without the library for a file's format, which is in the extra ``experiments``.
    """
    table = Path(table)
    recordings = _read(rows_of_table(table), table.parent if folder is None else Path(folder), outside)
    if not recordings:
        raise RecordingError(f"{table} names no recordings: add a line for each under the header")
    return recordings


def read_folder(
    folder: StrPath, *, sampling_rate: float | None = None, channel: str = "", outside: bool = False
) -> list[Recording]:
    """Read the recordings in a folder for each class, ``class/file`` or ``class/condition/file``, in the order of their paths.

    Args:
      folder: holds the folders of the classes; hidden files are passed over.
      sampling_rate: in Hz, for files that hold none.
      channel: the signal in every file, see ``formats.channels``; a pattern where the name differs from file to file.
      outside: whether links may lead out of the folder.

    Raises as ``read_recordings``.
    """
    folder = Path(folder)
    rows = rows_of_folder(folder, sampling_rate, channel)
    recordings = _read(rows, folder, outside)
    if not recordings:
        raise RecordingError(f"{folder} holds no recordings: expected a folder for each class with files ({', '.join(READERS)})")
    return recordings


def _read(rows: Iterable[tuple[str, dict[str, str]]], folder: Path, outside: bool) -> list[Recording]:
    """Read the recordings of rows with the columns of a table, each with the name of its place for messages."""
    recordings: list[Recording] = []
    places: dict[Path, str] = {}
    held = 0  # bytes in memory
    for where, row in rows:
        for column in COLUMNS:
            if not row[column]:
                raise RecordingError(f"{where}: the {column} is blank, fill it in")
        rate = None
        if row.get("sampling_rate") and (rate := positive(row["sampling_rate"])) is None:
            raise RecordingError(
                f"{where}: the sampling_rate {row['sampling_rate']!r} of {row['path']} is not a positive number, give it in Hz"
            )
        file = folder / row["path"]
        try:
            target = file.resolve()
            within = target.is_relative_to(folder.resolve())
        except (OSError, ValueError, RuntimeError) as error:  # null bytes, links in a circle
            raise RecordingError(f"{where}: {row['path']!r} is no path: {error}") from error
        if not outside and not within:
            raise RecordingError(f"{where}: {row['path']} is not within {folder}: move the file there, or allow paths outside")
        # one measurement, also by another channel, could end up on both sides of a split
        first = places.setdefault(target, where)
        if first != where:
            raise RecordingError(
                f"{where}: {file} is in {first.rpartition(', ')[2]} already, keep one line for each file (join its channels by +)"
            )
        try:
            signal, rate = read_file(file, row.get("channel", ""), rate, memory=limit() - held)
        except RecordingError as error:
            raise RecordingError(f"{where}: {error}") from error
        held += 0 if in_file(signal) else signal.nbytes
        recordings.append(Recording(signal, row["label"], rate, row.get("condition", ""), row.get("group", ""), row["path"]))
    return recordings


def read_file(
    file: StrPath, channel: str = "", sampling_rate: float | None = None, *, memory: float = math.inf
) -> tuple[np.ndarray, float]:
    """Read the signal of one file, ``(length, channels)`` float32, and its sampling rate in Hz.

    Args:
      file: of one of the formats in ``open_signal.READERS``.
      channel: which signal of the file, see ``formats.channels``.
      sampling_rate: in Hz, for a file that holds none; a file that holds another rate is refused.
      memory: bytes that the signal may take. A larger signal is a memory map, of the file itself or of a temporary file.

    Raises as ``read_recordings``.
    """
    opened = open_signal(Path(file), channel)
    rate = agreed_rate(str(file), opened.sampling_rate, sampling_rate)
    row = 4 * opened.channels
    if opened.length * row <= memory:
        signal = opened.read(0, opened.length)
    elif opened.mapped is not None:
        signal = opened.mapped
    else:
        parts = (opened.read(start, stop) for start, stop in blocks(opened.length, row))
        signal = store(parts, (opened.length, opened.channels), np.float32, to_file=True)
    return check_samples(signal, str(file)), rate


def agreed_rate(where: str, stored: float | None, given: float | None) -> float:
    """Return the sampling rate of a file in Hz, which the file holds or the user gives.

    Raises RecordingError without any rate, or where the two differ.
    """
    rate = stored if stored is not None else given
    if rate is None:
        raise RecordingError(f"{where} holds no sampling rate: give it in Hz")
    if stored is not None and given is not None and stored != given:
        raise RecordingError(f"{where} says that it is sampled at {stored:g} Hz, not at {given:g} Hz: correct or omit the rate")
    return rate


def check_samples(signal: np.ndarray, where: str) -> np.ndarray:
    """Return the signal, ``(length, channels)`` float32, if it can be used.

    Raises RecordingError for samples that are not finite and for a channel that is constant.
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
    for channel in np.flatnonzero(signal.min(0) == signal.max(0)):
        raise RecordingError(
            f"{titles[channel]} is constant ({signal[0, channel]:g} everywhere, as float32): a dead channel, leave it out"
        )
    return signal


def check_recordings(recordings: Sequence[Recording], window_length: int) -> None:
    """Check that windows of ``window_length`` samples of these recordings would make a fair data set.

    Raises:
      RecordingError: for mixed sampling rates or numbers of channels, fewer than two classes, or a recording
        shorter than a window.
    """
    classes = sorted({r.label for r in recordings})
    if len(classes) < 2:
        raise RecordingError(f"found {len(classes)} classes {classes} in {len(recordings)} recordings, expected two or more")
    rate, channels = recordings[0].sampling_rate, recordings[0].signal.shape[1]
    for i, r in enumerate(recordings):
        if r.sampling_rate != rate:
            raise RecordingError(
                f"{title(recordings, 0)} is sampled at {rate:g} Hz and {title(recordings, i)} at "
                f"{r.sampling_rate:g} Hz: with mixed rates a class gives itself away by its rate, "
                "so use recordings of one rate or ask for resampling"
            )
        if r.signal.shape[1] != channels:
            raise RecordingError(
                f"{title(recordings, 0)} has {channels} channels and {title(recordings, i)} has "
                f"{r.signal.shape[1]}, expected the same number everywhere"
            )
        if len(r.signal) < window_length:
            raise RecordingError(
                f"{title(recordings, i)} has {len(r.signal)} samples, less than a window of {window_length}: "
                "choose shorter windows or leave it out"
            )


def fingerprint(recordings: Sequence[Recording]) -> str:
    """Return the SHA-256 of all that the recordings hold, in hexadecimal digits."""
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
