"""The layout of a text file: separator, decimal sign, header and columns, from its first lines.

The lines at the end of the piece that is looked at show the separator, the number of columns and which of them hold numbers. The
samples begin with the first line that fits. All lines above it are the header.
"""

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import steady_step
from drsn_jax.data.formats.text_cells import DECIMAL_COMMA, SEPARATORS, comment, is_date, is_gap, is_number, split
from drsn_jax.data.formats.text_doubts import check_first_line, numbers_are_header
from drsn_jax.data.formats.text_names import column_names, numbers_as_names

TEXT_SAMPLE = 1 << 16  # bytes that are read to find the layout of a text file
TAIL = 40  # lines that show the columns at most


@dataclass(frozen=True)
class Column:
    """A column of a text file.

    Fields:
      name: from the header, or its number from 1; empty for row numbers without a name.
      unit: from the header, in capitals and small letters as there: ``"m/s²"``; empty without one.
      named: whether the header names it.
      kind: ``"number"``, ``"date"`` (with a time of day), ``"text"`` or ``"empty"``.
      bad: the line from 1 and the cell of the first text among its numbers, as far as the lines were looked at.
    """

    name: str
    unit: str
    named: bool
    kind: str
    bad: tuple[int, str] | None = None


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out.

    Fields:
      columns: all of them; the last is empty where each line ends in a separator.
      separator: between cells; None for blanks.
      decimal: the decimal sign, a point or a comma.
      encoding: of the file.
      header: the lines above the first sample.
      rows: the cells of the samples that were looked at.
      lines: the number of the line from 1 of each of ``rows``.
      whole: whether ``rows`` are all samples of the file.
      counted: whether the header counts the columns from 0, so that they have no names.
    """

    columns: tuple[Column, ...]
    separator: str | None
    decimal: str
    encoding: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    whole: bool
    counted: bool = False


def open_bytes(file: Path) -> IO[bytes]:
    """Open a file for reading, unpacked where it is compressed by gzip."""
    with open(file, "rb") as opened:
        packed = opened.read(2) == b"\x1f\x8b"
    return gzip.open(file, "rb") if packed else open(file, "rb")  # pyright: ignore[reportReturnType]


def text_layout(file: Path) -> Layout:
    """Find the layout of a text file.

    Raises RecordingError where no line holds numbers, the columns change, commas could be decimal ones, and for what is no text.
    """
    text, encoding, whole = _sample(file)
    lines = text.split("\n")
    where = str(file)
    used = [i for i, line in enumerate(lines) if line.strip()]
    rest = [i for i in used if comment(lines[i]) is None] or used
    tail = [lines[i] for i in rest[-min(TAIL, (len(rest) + 1) // 2) :]]
    separator, decimal, kinds = _columns(tail, where)
    if "number" not in kinds:
        raise RecordingError(_no_numbers(where, lines, used))
    cells = {i: split(lines[i], separator) for i in used}
    start = _start(lines, cells, kinds, decimal, where)
    body = [i for i in used if i >= start]
    bad: dict[int, tuple[int, str]] = {}
    for i in body:
        if len(cells[i]) != len(kinds) or comment(lines[i]) is not None:
            raise RecordingError(f"{where}, line {i + 1}: {changed_columns(lines[i], len(cells[i]), len(kinds))}")
        for column, cell in enumerate(cells[i]):
            if kinds[column] == "number" and column not in bad and not is_number(cell, decimal):
                bad[column] = i + 1, cell
    header = [lines[i] for i in used if i < start]
    names = column_names(header, separator, kinds, [cells[i] for i in body])
    counted = _check_first(cells, body, kinds, decimal, any(name for name, _, _ in names), where)
    start, body = body[counted], body[counted:]
    columns = tuple(
        Column(name or ("" if index else str(i + 1)), unit, bool(name), kinds[i], bad.get(i))
        for i, (name, unit, index) in enumerate(names)
    )
    rows = [cells[i] for i in body]
    if separator == "," and not counted and not any(column.named for column in columns):
        _check_commas(where, rows)
    if len(kinds) == 1 and decimal == ",":
        raise RecordingError(
            f"{where}: {rows[-1][0][:100]!r} has a decimal comma, or commas part columns: write decimal points, or a header "
            "with the name of every column"
        )
    return Layout(
        columns, separator, decimal, encoding, tuple(lines[:start]), rows, [i + 1 for i in body], whole, counted=bool(counted)
    )


def _check_first(
    cells: dict[int, list[str]], body: Sequence[int], kinds: Sequence[str], decimal: str, named: bool, where: str
) -> int:
    """Return 1 where the first line of numbers is a header that counts the columns, and 0 where it is a sample.

    Raises RecordingError where it may be another thing.
    """
    rows = [cells[i] for i in body]
    numeric = [i for i, kind in enumerate(kinds) if kind == "number"]
    line = f"{where}, line {body[0] + 1}"
    if not named and numbers_are_header(rows, numeric, decimal, line):
        return 1
    sure = [[float(row[i].replace(decimal, ".")) for row in rows[1:] if is_number(row[i], decimal)] for i in numeric]
    check_first_line(
        rows, [i for i, column in zip(numeric, sure, strict=True) if steady_step(np.array(column)) is None], decimal, line
    )
    return 0


def _sample(file: Path) -> tuple[str, str, bool]:
    """Read the first lines of a file, and return them with their encoding and whether they are the whole file."""
    with open_bytes(file) as opened:
        data = opened.read(TEXT_SAMPLE + 1)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise RecordingError(f"{file} is in UTF-16: save it in UTF-8")
    whole = len(data) <= TEXT_SAMPLE
    if not whole:
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, TEXT_SAMPLE))
        if end < 0:
            raise RecordingError(f"{file}: its first line is longer than {TEXT_SAMPLE} characters, expected one for each sample")
        data = data[: end + 1]  # the last line may be cut
    if b"\0" in data:
        raise RecordingError(f"{file} holds null bytes, which are no text: save it as text in UTF-8")
    odd = data.translate(None, bytes(set(range(256)) - set(range(32)) | set(b"\t\n\v\f\r\x1a")))
    if odd:
        raise RecordingError(f"{file} holds control characters, which are no text: save it as text in UTF-8")
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return data.decode("utf-8-sig"), "utf-8-sig", whole
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "latin-1", whole  # as Windows writes m/s²


def _columns(tail: Sequence[str], where: str) -> tuple[str | None, str, list[str]]:
    """Return the separator, the decimal sign and the kind of each column of the lines."""
    first: tuple[str | None, str, list[str]] | None = None
    for separator in (*(mark for mark in SEPARATORS if 2 * sum(mark in line for line in tail) >= len(tail)), None):
        rows = [split(line, separator) for line in tail]
        count = Counter(map(len, rows)).most_common(1)[0][0]
        columns = list(zip(*(row for row in rows if len(row) == count), strict=True))
        decimal = _decimal(columns, separator, where)
        kinds = [_kind(column, decimal) for column in columns]
        if separator == "," and _blanks_fit(tail, kinds):
            continue
        if "number" in kinds:
            return separator, decimal, kinds
        first = first or (separator, decimal, kinds)
    return first or (None, ".", [])


def _blanks_fit(tail: Sequence[str], kinds: Sequence[str]) -> bool:
    """Return whether lines with commas are rather numbers with decimal commas between blanks: ``1,5 2,5``."""
    cells = [cell for line in tail for cell in line.split()]
    pairs = all(len(line.split()) > 1 for line in tail)
    return pairs and "text" in kinds and all(is_number(cell, ",") for cell in cells)


def _decimal(columns: Sequence[Sequence[str]], separator: str | None, where: str) -> str:
    """Return the decimal sign of the numbers in columns that ``separator`` parts."""
    if separator == ",":
        return "."
    commas = next((c for column in columns for c in column if DECIMAL_COMMA.fullmatch(c)), None)
    points = next((c for column in columns for c in column if "." in c and is_number(c)), None)
    if commas and points:
        raise RecordingError(
            f"{where}: {commas[:40]!r} has a decimal comma and {points[:40]!r} a decimal point: write decimal points everywhere, "
            "and no signs between thousands"
        )
    return "," if commas else "."


def _kind(column: Sequence[str], decimal: str) -> str:
    """Return the kind of a column, see ``Column``."""
    if not any(column):
        return "empty"
    if all(is_date(cell) for cell in column):
        return "date"
    return "number" if 2 * sum(is_number(cell, decimal) for cell in column) >= len(column) else "text"


def _start(lines: Sequence[str], cells: dict[int, list[str]], kinds: Sequence[str], decimal: str, where: str) -> int:
    """Return the index of the line of the first sample.

    Raises RecordingError where a line above it could be a sample with a fault.
    """
    numeric = [i for i, kind in enumerate(kinds) if kind == "number"]
    names = doubtful = start = None
    for i, row in cells.items():
        if comment(lines[i]) is not None:
            continue
        numbers = [is_number(cell, decimal) for cell in row]
        if len(row) != len(kinds):
            # one number alone above the columns is a count or a rate
            if numbers and (all(numbers) or all(numbers[: len(kinds)])) and (len(row) > 1 or names is not None):
                doubtful = i
            continue
        found = [numbers[column] for column in numeric]
        gaps = [is_gap(row[column]) for column in numeric]
        if all(found) or (any(found) and all(a or b for a, b in zip(found, gaps, strict=True)) and not _counted(row)):
            if start is None:
                start = i
        elif start is None and any(found):
            key = names is None and ((row[0][:1].isalpha() and len(row[0]) > 1) or numbers_as_names(row))
            doubtful = doubtful if key else i
        elif not any(found) and any(row[column] for column in numeric) and (start is None or _restarts(i, start, names, kinds)):
            names, doubtful, start = i, None, None  # what is above the names is no sample
    if doubtful is not None and (start is None or doubtful < start):
        row = cells[doubtful]
        if len(row) != len(kinds):
            raise RecordingError(f"{where}, line {doubtful + 1}: {changed_columns(lines[doubtful], len(row), len(kinds))}")
        odd = next(row[column] for column in numeric if not is_number(row[column], decimal))
        raise RecordingError(f"{where}, line {doubtful + 1}: {odd[:100]!r} is no number: expected one in each column")
    if start is None:
        raise RecordingError(_no_numbers(where, lines, list(cells)))
    return start


def _counted(row: Sequence[str]) -> bool:
    """Return whether a line is pandas' header of row numbers and numbered columns: ``,0,1``."""
    return len(row) > 1 and not row[0] and list(row[1:]) == [str(i) for i in range(len(row) - 1)]


def _restarts(i: int, start: int, names: int | None, kinds: Sequence[str]) -> bool:
    """Return whether line ``i`` holds the names of columns, below lines such as ``Model,5`` that look like samples with text."""
    return names is None and "text" in kinds and i - start < 30


def changed_columns(line: str, found: int, expected: int) -> str:
    """Return what is wrong with a line among the samples that has another number of columns."""
    mark = comment(line)
    if mark is not None:
        return f"the samples are interrupted by the comment {mark[:60]!r}: cut the file there"
    comma = ", perhaps by a decimal comma" if any(map(DECIMAL_COMMA.fullmatch, line.split())) else ""
    return (
        f"the number of columns changed from {expected} to {found} ({line.strip()[:60]!r}){comma}: "
        f"expected numbers with a decimal point in {expected} columns"
    )


def _no_numbers(where: str, lines: Sequence[str], used: Sequence[int]) -> str:
    """Return the message for lines without numbers, which names the last of the first lines that was looked at."""
    odd = "it holds blanks"
    for i in used[:100]:
        separator = next((mark for mark in SEPARATORS if mark in lines[i]), None)
        cells = split(comment(lines[i]) or lines[i], separator)
        comma = next((cell for cell in (*cells, *lines[i].split()) if DECIMAL_COMMA.fullmatch(cell.strip('"'))), None)
        bad = next((cell for cell in cells if not is_number(cell)), "")
        odd = f"line {i + 1}: " + (f"{comma[:100]!r} has a decimal comma" if comma else f"{bad[:100]!r} is no number")
    return (
        f"{where}: none of its first lines holds numbers ({odd}): expected numbers with a decimal point in columns under a header"
    )


def _check_commas(where: str, rows: Sequence[list[str]]) -> None:
    """Raise RecordingError for rows without a header whose commas may separate columns or be decimal commas."""
    if any("." in cell for row in rows for cell in row):
        return
    for left in range(len(rows[0]) - 1):
        pairs = [row[left : left + 2] for row in rows]
        if all(DECIMAL_COMMA.fullmatch(",".join(pair)) for pair in pairs):
            raise RecordingError(
                f"{where}: {','.join(pairs[0])!r} may be two columns or one number with a decimal comma: write decimal points, "
                "or a header with the name of every column"
            )
