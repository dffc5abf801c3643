"""Read the rows of ``recordings.csv``, or make the same rows from folders.

A row is a dictionary of the cells of one file by the names of the columns. The docstring of ``recordings`` lists the columns.
A new column is read in ``recordings._read``, where the rows become recordings.
"""

import csv
import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.data.formats.content import holds_no_signal

COLUMNS = ("path", "label")  # that every table has
OWN = ("environment.json", "model.json", "model/model.json")  # a folder with one of these is a run or a model, and no recordings


def rows_of_table(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a table, each with the name of its place for messages; blanks around cells are removed.

    Raises RecordingError for a table that is missing or no CSV file, and for a line that does not fit its header.
    """
    try:
        # spreadsheets put a byte order mark in front
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecordingError(f"there is no folder or table {table}") from None
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
        if len(set(filter(None, header))) < len([*filter(None, header)]):
            raise RecordingError(f"{table}, line 1: two columns of {header} have one name, rename one")
        for cells in reader:
            where = f"{table}, line {reader.line_num}"
            if any(cell.strip() for cell in cells[len(header) :]):
                raise RecordingError(
                    f"{where}: there are {len(cells)} cells under {len(header)} columns, quote a cell with a comma"
                )
            if any(cell.strip() for cell in cells):
                cells += [""] * (len(header) - len(cells))
                yield where, {c: cell.strip() for c, cell in zip(header, cells, strict=False)}
    except csv.Error as error:
        raise RecordingError(f"{table}, line {reader.line_num}: no line of a CSV file, {error}") from error


def rows_of_folder(folder: Path, sampling_rate: float | None, channel: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a row for each file ``class/file`` or ``class/condition/file`` of a folder, as ``rows_of_table`` does.

    The rows are in the order of the paths. Files whose names say that they hold no signal (``Thumbs.db``, ``report.pdf``) are
    passed over with one RecordingWarning. Raises RecordingError for files and folders in other places, and for a class that has
    no other files.
    """
    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}")
    rate = "" if sampling_rate is None else repr(float(sampling_rate))
    runs: list[str] = []
    found = list(_walk(folder, runs))
    if runs:
        listed = ", ".join(runs[:5]) + (", …" if len(runs) > 5 else "")
        message = f"{folder}: passed over the folders of runs and of models in it ({len(runs)} in all: {listed})"
        warnings.warn(message, RecordingWarning, stacklevel=2)
    beside = ["/".join(parts) for parts in found if holds_no_signal(Path(parts[-1]))]
    found = [parts for parts in found if not holds_no_signal(Path(parts[-1]))]
    classes = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    for label in sorted(classes - {parts[0] for parts in found} - {run.partition("/")[0] for run in runs}):
        raise RecordingError(f"{folder / label} holds no recordings: take the folder away, or put the files of its class there")
    if beside:
        listed = ", ".join(beside[:5]) + (", …" if len(beside) > 5 else "")
        message = f"{folder}: passed over what holds no signal by its name ({len(beside)} in all: {listed})"
        warnings.warn(message, RecordingWarning, stacklevel=2)
    for parts in found:
        condition = parts[1] if len(parts) == 3 else ""
        path = "/".join(parts)
        row = {"path": path, "label": parts[0], "sampling_rate": rate, "channel": channel, "condition": condition}
        yield f"{folder}, {path}", row


def _walk(folder: Path, runs: list[str], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every file of a folder as the names along it, such as ``("class", "condition", "file")``.

    The folders of runs and of models, which this program writes, are passed over; their paths are added to ``runs``.
    """
    for entry in sorted(folder.iterdir()):
        parts = (*above, entry.name)
        if entry.name.startswith("."):
            continue
        if len(parts) == 1 and entry.is_file() and holds_no_signal(entry):  # a readme beside the folders of the classes
            continue
        if any((entry / name).is_file() for name in OWN):
            runs.append("/".join(parts))
        elif entry.is_dir() and len(parts) < 3:
            yield from _walk(entry, runs, parts)
        elif entry.is_dir() or len(parts) == 1:
            kind, top = "folder" if entry.is_dir() else "file", Path(*entry.parts[: len(entry.parts) - len(parts)])
            raise RecordingError(
                f"the {kind} {entry} has no class: expected {top}/class/file or {top}/class/condition/file "
                "(a table is named itself)"
            )
        else:
            yield parts


def positive(text: str) -> float | None:
    """Return the number that a cell holds, or None where it is not a positive one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None
