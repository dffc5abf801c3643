"""The tables and records of a run folder, read and checked: whoever has edited them is told the file, the line and the cell.

A table is a CSV file, a record a line of ``metrics.jsonl``. What a spreadsheet changes without changing a number is understood:
semicolons or tabs between the cells, a byte order mark, another order of the columns, blank lines, ``0`` for ``0.0``. Whatever
could be read in two ways is refused with a UserError, before anything is written.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from drsn_jax.core.errors import UserError
from drsn_jax.core.text import from_cell
from drsn_jax.studies.cells import Kind

DELIMITERS = ",;\t"
BLANK = " \t\r"
REMEDY = "correct that, or put back a copy of the file"


class Row(dict[str, str]):
    """A row of a table, as text by column; ``place`` is its file and line for messages."""

    place: str = ""


class Table(NamedTuple):
    """What a table or the records of a run hold.

    Fields:
      columns: the kind of every column.
      key: columns that no two rows share; empty where rows may repeat.
      optional: columns that may be missing, or null in a record.
    """

    columns: Mapping[str, Kind]
    key: Sequence[str] = ()
    optional: Sequence[str] = ()


def read_rows(
    file: str | os.PathLike[str], table: Table | None = None, needed: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """Return the rows of a CSV file, as text by column; no rows if the file is missing.

    Args:
      file: the table.
      table: what it holds. Without it any columns are taken, as text.
      needed: the columns that must be there; by default all of ``table`` but the optional ones.

    Raises UserError with the file and the line for a file that is no such table.
    """
    file = Path(file)
    if not file.exists():
        return []
    text = _text(file)
    if not text.strip():
        raise UserError(f"{file} is empty, expected a line with the names of the columns: {REMEDY}")
    if not text.endswith(("\n", "\r")):  # the last number may have lost digits
        line = text.count("\n") + 1
        raise UserError(
            f"{file}, line {line}: the line does not end, the file may be cut: end it, or put back a copy of the file"
        )
    kinds = {} if table is None else table.columns
    if needed is None:
        needed = [] if table is None else [name for name in kinds if name not in table.optional]
    header, lines = _header(file, text, needed)
    rows: list[Row] = []
    for place, cells in lines:
        if len(cells) != len(header):
            raise UserError(f"{place}: {len(cells)} cells under {len(header)} columns: {REMEDY}")
        row = Row((name, _cell(place, name, kinds[name], cell) if name in kinds else cell)
                  for name, cell in zip(header, map(from_cell, cells), strict=True))  # fmt: skip
        row.place = place
        rows.append(row)
    if table is not None and table.key and set(table.key) <= set(header):
        _refuse_repetition(rows, table.key)
    return list[dict[str, str]](rows)


def read_metrics(folder: str | os.PathLike[str], table: Table | None = None) -> list[dict[str, Any]]:
    """Return the records of ``metrics.jsonl``, without a last one that an interruption cut off.

    ``table`` says what a record holds. Raises UserError with the file and the line for a line that is no such record.
    """
    file = Path(folder) / "metrics.jsonl"
    if not file.exists():
        return []
    lines = _text(file).split("\n")
    if not is_record(lines[-1]):
        del lines[-1]
    records = []
    for number, line in enumerate(lines, 1):
        if line.strip(BLANK):
            place = f"{file}, line {number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{place} is damaged ({error.msg}): take out the line, or put back a copy of the file") from error
            if not isinstance(record, dict):
                raise UserError(f"{place} holds no record, expected {{…}}: take out the line, or put back a copy of the file")
            if table is not None:
                _check_record(place, record, table)
            records.append(record)
    return records


def is_record(line: str | bytes) -> bool:
    """Return whether a line of ``metrics.jsonl`` is whole: a part of a record is no JSON."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def unique(rows: Sequence[Mapping[str, str]], column: str) -> list[str]:
    """Return the different values of a column in the order of their first appearance."""
    return list(dict.fromkeys(row[column] for row in rows))


def place_of(row: Mapping[str, str]) -> str:
    """Return the file and the line of a row that ``read_rows`` has read, for messages."""
    return row.place if isinstance(row, Row) else "a row"


def _text(file: Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark; raise UserError for another encoding."""
    data = file.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{file}, line 1: it is text in UTF-16, expected UTF-8: save it as UTF-8, or put back a copy of the file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{file}, line {line}: it is no text in UTF-8 (byte 0x{data[error.start]:02x}): save it as UTF-8, or put back a copy "
            "of the file"
        ) from error
    if "\0" in text:
        raise UserError(f"{file}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: it holds a null byte: {REMEDY}")
    return text


def _header(file: Path, text: str, needed: Sequence[str]) -> tuple[list[str], Iterator[tuple[str, list[str]]]]:
    """Return the names of the columns and the other lines, each with its place and without blank ones."""
    missing = list(needed)
    header: list[str] = []
    lines = iter(())
    for delimiter in DELIMITERS:
        found = _lines(file, text, delimiter)
        _, names = next(found, ("", []))
        names = [name.strip() for name in names]
        without = [name for name in needed if name not in names]
        if not header or len(without) < len(missing):
            header, lines, missing = names, found, without
        if not missing:
            break
    if missing:
        raise UserError(
            f"{file}, line 1: expected the names of the columns, there is no {', '.join(missing)} among "
            f"{', '.join(header)[:200]}: {REMEDY}"
        )
    if len(set(header)) < len(header):
        raise UserError(f"{file}, line 1: two columns have one name among {', '.join(header)[:200]}: {REMEDY}")
    return header, lines


def _lines(file: Path, text: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the cells of every line that is not blank, with the place where it begins; empty columns at its end are left out."""
    reader, before, width = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 0, None
    try:
        for cells in reader:
            place, before = f"{file}, line {before + 1}", reader.line_num
            if not any(cell.strip() for cell in cells) and (len(cells) != 1 or width != 1):
                continue
            if width is None:
                while not cells[-1].strip():
                    cells.pop()
                width = len(cells)
            while len(cells) > width and not cells[-1].strip():
                cells.pop()
            yield place, cells
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: it is no line of a table ({error}): {REMEDY}") from error


def _cell(place: str, name: str, kind: Kind, cell: str) -> str:
    try:
        return kind.read(cell)
    except ValueError as error:
        found = repr(cell[:50]) if cell.strip() else "empty"
        raise UserError(f"{place}: {name} is {found}, expected {kind.expected}: {REMEDY}") from error


def _refuse_repetition(rows: Sequence[Row], key: Sequence[str]) -> None:
    first: dict[tuple[str, ...], str] = {}
    for row in rows:
        other = first.setdefault(tuple(row[name] for name in key), row.place)
        if other != row.place:
            where = other.rpartition(", ")[2]
            raise UserError(f"{row.place}: it has the same {', '.join(key)} as {where}: take out one of the two")


def _check_record(place: str, record: Mapping[str, Any], table: Table) -> None:
    """Raise UserError for a record that lacks a field, or whose field holds something else."""
    for name, kind in table.columns.items():
        value = record.get(name)
        if value is None and name in table.optional:
            continue
        if name not in record:
            raise UserError(f"{place}: the record has no {name}: take out the line, or put back a copy of the file")
        if not kind.in_record(value):
            raise UserError(f"{place}: {name} is {json.dumps(value)[:50]}, expected {kind.expected}: {REMEDY}")
        _cell(place, name, kind, str(value))
