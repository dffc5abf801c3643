"""Recordings of signals from the user's own files, named by a table or by the folders they lie in.

The table is a CSV file (UTF-8, commas) with these columns; others are ignored:

- ``path`` and ``label`` are needed;
- ``sampling_rate``, in Hz, where a file holds none;
- ``channel``, where a file holds several signals (see ``formats.channels``);
- ``condition``, if wanted: speed, load, …;
- ``group``, if wanted: the physical part;
- ``speed_rpm``, if wanted: the speed of the shaft in revolutions a minute, a number or the channel of the file that holds it;
- ``bearing``, if wanted: the bearing on the shaft, by name or geometry (see ``functional.named_bearing``);
- ``teeth``, if wanted: those of the gear on the shaft, or of a planetary stage (see ``functional.named_gear``).

Without a table there is a folder for each class, ``class/file`` or ``class/condition/file``.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from drsn_jax.core.storage import Spool, in_file, limit
from drsn_jax.core.text import visible
from drsn_jax.data.duplicates import refuse_duplicates, refuse_equal_windows
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import READERS
from drsn_jax.data.given_windows import read_given
from drsn_jax.data.name_pattern import rows_by_pattern
from drsn_jax.data.recording import Recording as Recording
from drsn_jax.data.recording import class_names as class_names
from drsn_jax.data.recording import fingerprint as fingerprint
from drsn_jax.data.recording import title as title
from drsn_jax.data.recording_files import StrPath as StrPath
from drsn_jax.data.recording_files import agreed_rate as agreed_rate
from drsn_jax.data.recording_files import check_samples as check_samples
from drsn_jax.data.recording_files import read_file as read_file
from drsn_jax.data.recording_files import read_signal
from drsn_jax.data.recordings_table import COLUMNS, positive, rows_of_folder, rows_of_table
from drsn_jax.data.shaft import read_bearing, read_gear, read_speed

MAPS = 64  # files that are mapped in their place at most, because each map keeps a file open


def read_recordings(
    table: StrPath,
    folder: StrPath | None = None,
    *,
    windows: bool = False,
    overrule_rate: bool = False,
    outside: bool = False,
    most: Callable[[float], int] | None = None,
) -> list[Recording]:
    """Read the recordings that a table names, in its order.

    Args:
      table: the CSV file described above.
      folder: where the paths in the table start; by default the table's own folder.
      windows: whether the files hold windows already cut, see ``given_windows``.
      overrule_rate: whether the sampling rate that is given holds where a file holds another, as where its ``fs`` is the speed of
        a shaft.
      outside: whether paths, or links, may lead out of that folder.
      most: how many samples from the beginning of each signal are read at most, by its sampling rate; None reads all. Windows
        already cut are always read whole.

    Raises:
      RecordingError: for a table or a file that is missing, broken, or holds no usable signal (empty, NaN or
        infinite samples, constant), with the table, its line and the file.
      ImportError: without the library for a file's format, which is in the extra ``experiments``.
    """
    table = Path(table)
    start = table.parent if folder is None else Path(folder)
    rows = rows_of_table(table)
    recordings = _read(rows, start, "the table", most, outside=outside, windows=windows, overrule=overrule_rate)
    if not recordings:
        raise RecordingError(f"{table} names no recordings: add a line for each under the header")
    return recordings


def read_folder(
    folder: StrPath,
    *,
    sampling_rate: float | None = None,
    channel: str = "",
    pattern: str = "",
    windows: bool = False,
    overrule_rate: bool = False,
    outside: bool = False,
    most: Callable[[float], int] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Recording]:
    """Read the recordings in a folder for each class, ``class/file`` or ``class/condition/file``, in the order of their paths.

    Args:
      folder: holds the folders of the classes; hidden files are passed over.
      sampling_rate: in Hz, for files that hold none.
      channel: the signal in every file, see ``formats.channels``; a pattern where the name differs from file to file.
      pattern: how the paths of the files name class and condition, such as ``{label}_{condition}.mat``, instead of folders for
        them; see ``name_pattern.compile_pattern``.
      windows: whether the files hold windows already cut, see ``given_windows``.
      overrule_rate: whether the sampling rate that is given holds where a file holds another, as where its ``fs`` is the speed of
        a shaft.
      outside: whether links may lead out of the folder.
      most: as for ``read_recordings``.
      say: called with a line for the user about files that are passed over.

    Raises as ``read_recordings``.
    """
    folder = Path(folder)
    if pattern:
        rows = rows_by_pattern(folder, pattern, sampling_rate, channel, say)
    else:
        rows = rows_of_folder(folder, sampling_rate, channel)
    how: dict[str, Any] = {"outside": outside, "windows": windows, "overrule": overrule_rate}
    recordings = _read(rows, folder, "the rate that was given", most, **how)
    if not recordings:
        raise RecordingError(f"{folder} holds no recordings: expected a folder for each class with files ({', '.join(READERS)})")
    return recordings


def _read(
    rows: Iterable[tuple[str, dict[str, str]]],
    folder: Path,
    rate_from: str,
    most: Callable[[float], int] | None,
    *,
    outside: bool,
    windows: bool,
    overrule: bool,
) -> list[Recording]:
    """Read the recordings of rows with the columns of a table, each with the name of its place for messages.

    ``rate_from`` says where the rate of a file that holds none comes from; ``most`` as for ``read_recordings``.
    """
    from drsn_jax.data.formats.parquet import columns_kept, waveforms

    entries: list[tuple[Any, ...]] = []
    places: dict[Path, str] = {}
    held, maps = 0, 0  # bytes in memory, files that are mapped
    with Spool() as spool:
        for where, row in rows:
            file, rate = _checked(where, row, folder, outside)
            # one measurement, also by another channel, could end up on both sides of a split
            first = places.setdefault(file.resolve(), where)
            if first != where:
                raise RecordingError(
                    f"{where}: {file} is in {first.rpartition(', ')[2]} already, keep one line for each file (join its channels "
                    "by +)"
                )
            asked = row.get("channel", "")
            try:
                with columns_kept():
                    shaft = (
                        read_speed(file, row.get("speed_rpm", "")),
                        read_bearing(row.get("bearing", "")),
                        read_gear(row.get("teeth", "")),
                    )
                    parts = [] if windows else waveforms(file, asked)
                    for part in parts or [asked]:
                        if windows:
                            found, unit = read_given(file, part, rate, overrule=overrule)
                        else:
                            room = {"memory": limit() - held, "maps": MAPS - maps}
                            found, unit = read_signal(file, part, rate, spool, overrule=overrule, most=most, **room), 1
                        if found.signal is not None:
                            maps += in_file(found.signal)
                            held += 0 if in_file(found.signal) else found.signal.nbytes
                        label, condition, group, path = (
                            visible(row.get(name, "")) for name in ("label", "condition", "group", "path")
                        )
                        facts = (label, found.sampling_rate, condition, group, path)
                        origin = found.channel or part, found.rate_from or rate_from, found.rate_within
                        entries.append((found.signal, *facts, *origin, asked, unit, *shaft))
            except RecordingError as error:
                raise RecordingError(_in_place(where, file, str(error))) from error
        spooled = iter(spool.arrays())
    return [Recording(next(spooled) if signal is None else signal, *facts) for signal, *facts in entries]


def _in_place(where: str, file: Path, message: str) -> str:
    """Return a message about a file behind the place where it is named, with its path once."""
    # the place in a folder ends with the path of the file, which begins most messages
    twice = where.endswith((f", {file.name}", f"/{file.name}")) and message.startswith(str(file))
    return message if twice else f"{where}: {message}"


def _checked(where: str, row: dict[str, str], folder: Path, outside: bool) -> tuple[Path, float | None]:
    """Return the file of a row and the rate that it gives; raise RecordingError for cells that cannot be used."""
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
        within = file.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # null bytes, links in a circle
        raise RecordingError(f"{where}: {row['path']!r} is no path: {error}") from error
    if not outside and not within:
        raise RecordingError(f"{where}: {row['path']} is not within {folder}: move the file there, or allow paths outside")
    return file, rate


def check_recordings(recordings: Sequence[Recording], window_length: int) -> None:
    """Check that windows of ``window_length`` samples of these recordings would make a fair data set.

    Raises:
      RecordingError: for sampling rates that differ by more than ``rates.SAME``, mixed numbers of channels, fewer than two
        classes, a recording shorter than a window, and two recordings of the same samples.
    """
    classes = sorted({r.label for r in recordings})
    if len(classes) < 2:
        raise RecordingError(f"found {len(classes)} classes {classes} in {len(recordings)} recordings, expected two or more")
    rate, channels = recordings[0].sampling_rate, recordings[0].signal.shape[1]
    for i, r in enumerate(recordings):
        if not math.isclose(r.sampling_rate, rate, rel_tol=max(r.rate_within, recordings[0].rate_within)):
            raise RecordingError(
                f"{title(recordings, 0)} is sampled at {rate:.9g} Hz and {title(recordings, i)} at "
                f"{r.sampling_rate:.9g} Hz: with mixed rates a class gives itself away by its rate, "
                f"so use recordings of one rate or ask for resampling (--resample {min(rate, r.sampling_rate):.9g})"
            )
        if r.signal.shape[1] != channels:
            raise RecordingError(
                f"{title(recordings, 0)} has {channels} channels and {title(recordings, i)} has "
                f"{r.signal.shape[1]}, expected the same number everywhere: name the signals by --channel, or in a table's "
                "column channel"
            )
        if len(r.signal) < channels:
            raise RecordingError(
                f"{title(recordings, i)} has the shape {r.signal.shape}, more channels than samples, expected "
                "(length, channels): transpose it"
            )
        if len(r.signal) < window_length:
            raise RecordingError(
                f"{title(recordings, i)} has {len(r.signal)} samples, less than a window of {window_length}: "
                "choose shorter windows (--window-length) or leave it out"
            )
    titles = [title(recordings, i) for i in range(len(recordings))]
    signals, labels = [r.signal for r in recordings], [r.label for r in recordings]
    refuse_duplicates(signals, titles, labels)
    refuse_equal_windows(signals, [r.unit for r in recordings], titles, labels)
