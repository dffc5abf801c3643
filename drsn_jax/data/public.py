"""Public sets of bearings and gearboxes, read from what the package ``bearing-datasets`` has built (extra ``datasets``).

The package downloads a set from its authors, checks it, and writes a table with a row for each signal (a channel of a recording)
beside the samples; ``bearing-datasets list`` names the sets, ``bearing-datasets info NAME`` their columns, licence and citation.
"""

import contextlib
import difflib
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import optional
from drsn_jax.data.formats.channels import pick
from drsn_jax.data.formats.common import RecordingError, as_float32
from drsn_jax.data.public_table import Row, bearing_orders_of, cell_text, check_column, keep_rows, shaft_speed
from drsn_jax.data.recordings import Recording, StrPath, check_samples

# the columns that make up the class, as far as a set has them; the last is left out where it tells no two classes apart
LABELS = {"cwru": ("fault_type", "fault_severity", "or_position", "fault_location")}
OTHER_LABELS = ("fault_type", "fault_detail")
CONDITIONS = ("operating_condition", "load", "speed_rpm")
GROUPS = ("bearing_id", "run_id")
NEEDED = ("signal_id", "recording_id", "channel", "fs", "n_samples")
STORAGE = ("dataset", "signal_file", "signal_row_group", "signal_row")


def read_public(
    name: str,
    *,
    labels: Sequence[str] = (),
    channel: str = "",
    where: Sequence[str] = (),
    conditions: Sequence[str] = (),
    root: StrPath | None = None,
    download: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[Recording]:
    """Read the recordings of a public set that is built, in the order of its table.

    Their groups are the physical bearings where the set knows them, else its runs to failure, else empty. They have the speed of
    the shaft and the orders of the bearing of their first channel where the set tells them. Only the signals that
    are asked for are read, one after another. Samples are as stored, in the unit of the set.

    Args:
      name: of the set, such as ``cwru``.
      labels: the columns that make up the class, joined by blanks without the values ``none``; by default the type of fault and,
        where it tells more, what the set says of it in words; for CWRU type, size, position on the outer race and, where it
        tells more, which bearing.
      channel: of every recording, a name, a pattern, or several joined by +, see ``formats.channels``.
      where: the rows of the table to read, see ``public_table.keep_rows``: ``COLUMN=VALUE`` keeps rows and ``COLUMN!=VALUE``
        leaves them out; ``sampling_rate`` is in Hz.
      conditions: the columns that make up the condition; by default the first that varies of the set's own, load, and speed (rpm)
        if it was set and not measured.
      root: the folder of built sets; by default the one that was chosen for the package.
      download: whether the package is to download and build a set that is not there.
      say: called with a line for the user when a download begins.

    Raises:
      RecordingError: for a set, column, value or channel that does not exist, for a set that cannot be downloaded or read, for
        recordings that hold no usable signal, or whose channels are of different rates, lengths, classes or units.
      ImportError: without the extra.
    """
    package = _package()
    folder = _root(package, root)
    _build(package, name, folder, download, say)
    with _readable(name, folder):
        data = package.open(name, folder)
        table: list[Row] = data.metadata().to_dict("records")
        columns = [column for column in table[0] if column not in STORAGE]
        of = data.manifest.get("selection", {}).get("of", name)  # a part of a set may have a name of its own
        if missing := {*NEEDED, *STORAGE} - set(table[0]):
            raise ValueError(f"its table has no column {', '.join(sorted(missing))}")
    for column in (*labels, *conditions):
        check_column(column, columns, name)
    by_recording: dict[str, list[Row]] = {}
    for row in keep_rows(table, where, columns, name):
        by_recording.setdefault(str(row["recording_id"]), []).append(row)
    rows_read: dict[str, list[Row]] = {}
    for recording, rows in by_recording.items():
        names = pick([str(row["channel"]) for row in rows], channel, f"{name}, recording {recording}")
        rows_read[recording] = [next(row for row in rows if row["channel"] == channel_name) for channel_name in names]
    _check_units(name, rows_read)
    heads = [rows[0] for rows in rows_read.values()]
    labels = labels or _telling([c for c in LABELS.get(of, OTHER_LABELS) if c in columns], heads)
    conditions = conditions or next(([c] for c in CONDITIONS if c in columns and _varies(c, heads, labels)), [])
    groups = next((c for c in GROUPS if c in columns), None)
    signals = _read(data, name, folder, rows_read)
    return [
        Recording(
            check_samples(signals[recording], f"{name}, recording {recording}"),
            _one(name, recording, "class", [_join(row, labels) or "none" for row in rows]),
            float(_one(name, recording, "sampling rate", [cell_text(row["fs"]) for row in rows])),
            _one(name, recording, "condition", [_join(row, conditions) for row in rows]),
            "" if groups is None else _group([cell_text(row[groups]) for row in rows]),
            recording,
            " + ".join(str(row["channel"]) for row in rows),
            "the set's table",
            speed=shaft_speed(rows[0]),
            bearing=bearing_orders_of(rows[0]),
        )
        for recording, rows in rows_read.items()
    ]


def _package() -> Any:
    """Import the package ``bearing_datasets``. Raises MissingExtra, which names the extra that installs it."""
    return optional("bearing_datasets", "reading a public set")


def _root(package: Any, root: StrPath | None) -> Path:
    """Return the folder of built sets: the one that is given, or the one that was chosen for the package."""
    folder = package.get_root()[0] if root is None else root
    if folder is None:
        raise RecordingError("no folder for public sets is chosen: run bearing-datasets root FOLDER once")
    return Path(folder).expanduser().resolve()


def _build(package: Any, name: str, root: Path, download: bool, say: Callable[[str], None]) -> None:
    """Make sure that the set is built, and download it where that is allowed."""
    built = [manifest.parent.name for manifest in root.glob("*/manifest.json")]
    if name in built:
        return
    # only names: the package would run a program in a folder of that name
    known = package.list_datasets()
    if name not in known:
        close = difflib.get_close_matches(name, dict.fromkeys([*known, *built]))
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise RecordingError(f"there is no public set {name!r}: {hint}bearing-datasets list shows all {len(known)}")
    if not download:
        raise RecordingError(
            f"the public set {name} is not in {root} yet: look at its size and licence by bearing-datasets info {name}, then "
            f"run {_command(name, root)}, or allow the download (--download)"
        )
    say(f"{name} is not in {root} yet and is downloaded from its authors: bearing-datasets info {name} tells size and licence")
    try:
        package.build(name, root)
    except Exception as error:  # of the network, the disk, or what was downloaded
        raise RecordingError(
            f"the public set {name} could not be downloaded and built: run {_command(name, root)} where there is a network "
            f"({_one_line(error)})"
        ) from error


@contextlib.contextmanager
def _readable(name: str, root: Path) -> Iterator[None]:
    """Turn whatever is raised over a damaged set into a RecordingError of one sentence."""
    try:
        yield
    except (RecordingError, MemoryError):
        raise
    except Exception as error:
        raise RecordingError(
            f"the public set {name} in {root} is damaged, build it anew by {_command(name, root)} --force: {_one_line(error)}"
        ) from error


def _command(name: str, root: Path) -> str:
    return f"bearing-datasets --root {shlex.quote(os.fspath(root))} build {name}"


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:400]


def _join(row: Row, columns: Sequence[str]) -> str:
    """Join the cells of several columns to a name."""
    parts = [cell_text(row[c]) + (f" {row['load_unit']}" if c == "load" and "load_unit" in row else "") for c in columns]
    return " ".join(part for part in parts if part != "none")


def _telling(columns: list[str], rows: Sequence[Row]) -> list[str]:
    """Return the columns, without the last one if it tells no two names apart."""
    shorter, longer = ({_join(row, some) for row in rows} for some in (columns[:-1], columns))
    return columns[:-1] if len(shorter) == len(longer) else columns


def _varies(column: str, rows: Sequence[Row], labels: Sequence[str]) -> bool:
    """Return whether a column may serve as the condition.

    Some sets measure the speed of each recording. A speed serves only where it was set, so that every class has every value.
    """
    values, classes = {row[column] for row in rows}, {_join(row, labels) for row in rows}
    every = {(row[column], _join(row, labels)) for row in rows}
    return len(values) > 1 and (column != "speed_rpm" or len(every) == len(values) * len(classes))


def _one(name: str, recording: str, what: str, values: Sequence[str]) -> str:
    """Return the value that all channels of a recording share. Raises RecordingError where they differ."""
    if len(set(values)) > 1:
        raise RecordingError(f"{name}, recording {recording}: the channels differ in {what} ({', '.join(values)}), choose one")
    return values[0]


def _group(parts: Sequence[str]) -> str:
    """Return the physical parts of the channels of a recording, or "" unless all are known."""
    return "" if {"none", "unknown"} & set(parts) else "+".join(dict.fromkeys(parts))


def _check_units(name: str, rows_read: dict[str, list[Row]]) -> None:
    """Raise RecordingError for recordings of different quantities or units, by which a class could give itself away."""
    first: dict[tuple[str, ...], str] = {}
    for recording, rows in rows_read.items():
        first.setdefault(tuple(f"{row.get('quantity', '')} in {row.get('unit', '')}" for row in rows), recording)
    if len(first) > 1:
        (units, one), (others, other) = list(first.items())[:2]
        raise RecordingError(
            f"{name}: recording {one} is {' + '.join(units)} and {other} is {' + '.join(others)}: keep one kind, by "
            "channel or where quantity=… and unit=…"
        )


def _read(data: Any, name: str, root: Path, rows_read: dict[str, list[Row]]) -> dict[str, np.ndarray]:
    """Read the signals of the recordings, ``(length, channels)`` float32 each."""
    signals = {}
    for recording, rows in rows_read.items():
        length = int(_one(name, recording, "length", [cell_text(row["n_samples"]) for row in rows]))
        if not length:
            raise RecordingError(f"{name}, recording {recording} is empty: leave it out by where recording_id!={recording}")
        signals[recording] = np.empty((length, len(rows)), np.float32)
    places = [(row, recording, i) for recording, rows in rows_read.items() for i, row in enumerate(rows)]
    # in the order of storage, because signals are stored in blocks that are unpacked whole
    for row, recording, i in sorted(places, key=lambda place: [place[0][c] for c in STORAGE[1:]]):
        with _readable(name, root):
            signals[recording][:, i] = as_float32(data.signal(row["signal_id"]))
    return signals
