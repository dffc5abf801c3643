"""Recordings of signals from the user's own files, named by a table that anybody can write in a spreadsheet.

The table is a CSV file (UTF-8, commas) with the columns ``path``, ``label``, ``sampling_rate`` (Hz),
``channel`` (the variable inside the file) and, if wanted, ``condition`` (speed, load, …) and ``group`` (the
physical part); others are ignored.
"""

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

StrPath = str | os.PathLike[str]
COLUMNS = ("path", "label", "sampling_rate", "channel")


class RecordingError(ValueError):
    """Something is wrong with the user's files: what was found, where, and what to do."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One uninterrupted signal and what is known about it.

    Fields:
      signal: ``(length, channels)``, float32.
      label: the class.
      sampling_rate: in Hz.
      condition: what it was recorded under (speed, load, …).
      group: the physical part, so that one part can be kept on one side of a split.
      name: for messages and results, usually the file's.
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


def read_recordings(table: StrPath, folder: StrPath | None = None) -> list[Recording]:
    """The recordings that a table names, in its order, each with one channel.

    Args:
      table: the CSV file described above; MATLAB files up to version 7 (``.mat``) are understood.
      folder: where the paths in the table start; by default the table's own folder.

    Raises:
      RecordingError: for a table or a file that is missing, broken, or holds no usable signal (empty, NaN or
        infinite samples, constant), with the table, its line and the file.
      ImportError: without scipy, which is in the extra ``experiments``.
    """
    table = Path(table)
    folder = table.parent if folder is None else Path(folder)
    recordings: list[Recording] = []
    lines: dict[Path, int] = {}
    for line, row in _read_table(table):
        where = f"{table}, line {line}"
        for column in ("path", "label", "channel"):
            if not row[column]:
                raise RecordingError(f"{where}: the {column} is blank, fill it in")
        rate = _positive(row["sampling_rate"])
        if rate is None:
            raise RecordingError(
                f"{where}: the sampling_rate {row['sampling_rate']!r} of {row['path']} is not a positive number, give it in Hz"
            )
        file = folder / row["path"]
        # one measurement, also by another channel, could end up on both sides of a split
        first = lines.setdefault(file.resolve(), line)
        if first != line:
            raise RecordingError(f"{where}: {file} is in line {first} already, keep one channel of each file")
        signal = _read_mat(file, row["channel"], where)
        recordings.append(Recording(signal, row["label"], rate, row.get("condition", ""), row.get("group", ""), row["path"]))
    if not recordings:
        raise RecordingError(f"{table} names no recordings: add a line for each under the header")
    return recordings


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
                "so use recordings of one rate or resample them"
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
    """The SHA-256 of all that the recordings hold, in hexadecimal digits."""
    digest = hashlib.sha256()
    for r in recordings:
        digest.update(repr((r.signal.shape, r.label, r.sampling_rate, r.condition, r.group, r.name)).encode())
        digest.update(np.ascontiguousarray(r.signal).tobytes())
    return digest.hexdigest()


def title(recordings: Sequence[Recording], index: int) -> str:
    """What messages call a recording: its name, or its place among the others where it has none."""
    return recordings[index].name or f"recording {index}"


def _read_table(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows, blanks around every cell removed."""
    try:
        # spreadsheets put a byte order mark in front
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecordingError(f"there is no table {table}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{table} cannot be read as a CSV file in UTF-8: {error}") from error
    if not text.strip():
        raise RecordingError(f"{table} is empty, expected a header with the columns {', '.join(COLUMNS)}")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader)]
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise RecordingError(
                f"{table}, line 1: there is no column {', '.join(missing)} among {header}, name it there (separated by commas)"
            )
        for cells in reader:
            if any(cell.strip() for cell in cells):
                cells += [""] * (len(header) - len(cells))
                yield reader.line_num, {c: cell.strip() for c, cell in zip(header, cells, strict=False)}
    except csv.Error as error:
        raise RecordingError(f"{table}, line {reader.line_num}: no line of a CSV file, {error}") from error


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _read_mat(file: Path, channel: str, where: str) -> np.ndarray:
    """One variable of a MATLAB file as ``(length, 1)`` float32."""
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError("reading .mat files needs scipy: pip install 'drsn-jax[experiments]'") from error
    where = f"{where}: {file}"
    if file.suffix.lower() != ".mat":
        raise RecordingError(f"{where} is not a .mat file, the only kind that can be read so far")
    if not file.is_file():
        raise RecordingError(f"{where} does not exist: correct the path, or the folder where the paths start")
    try:
        content = scipy.io.loadmat(file, variable_names=[channel])
        present = [] if channel in content else [name for name, _, _ in scipy.io.whosmat(file)]
    except NotImplementedError as error:
        raise RecordingError(f"{where} is of MATLAB version 7.3 (HDF5), which is not supported yet: save it with -v7") from error
    except Exception as error:  # a broken file can raise nearly anything in scipy
        raise RecordingError(f"{where} is damaged or no MATLAB file, get it again: {error}") from error
    if channel not in content:
        raise RecordingError(f"{where} holds no variable {channel!r}, choose one of {', '.join(present) or '(none)'}")
    return _as_signal(content[channel], f"{where}: {channel}")


def _as_signal(values: Any, where: str) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        kind = getattr(values, "dtype", type(values).__name__)
        raise RecordingError(f"{where} is of type {kind}, expected an array of real numbers")
    if values.size == 0:
        raise RecordingError(f"{where} is empty, expected samples")
    if values.size != max(values.shape):
        raise RecordingError(f"{where} has the shape {values.shape}, expected one signal, (n, 1) or (1, n)")
    values = values.ravel()
    with np.errstate(over="ignore"):
        signal = values.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(signal))
    if broken.size:
        raise RecordingError(
            f"{where}: sample {broken[0]} is {values[broken[0]]}, not a finite float32 number "
            f"({broken.size} such in all): cut the recording or leave it out"
        )
    if signal.min() == signal.max():
        raise RecordingError(f"{where} is constant ({signal[0]:g} everywhere): a dead channel, leave it out")
    return signal[:, None]
