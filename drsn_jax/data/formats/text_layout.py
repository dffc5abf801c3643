"""The layout of a text file: separator, decimal sign, header and columns, from its first lines.

The lines at the end of the piece that is looked at show the separator, the number of columns and which of them hold numbers. The
samples begin with the first line that fits. All lines above it are the header.
"""

import codecs
import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import steady_step
from drsn_jax.data.formats.text_body import NUMBERS_WITHIN, body_columns, changed_columns, first_sample, no_numbers
from drsn_jax.data.formats.text_cells import DECIMAL_COMMA, comment, is_number, plain
from drsn_jax.data.formats.text_doubts import check_first_cells, check_first_line, numbers_are_header
from drsn_jax.data.formats.text_names import column_names

TEXT_SAMPLE = 1 << 16  # bytes that are read to find the layout of a text file
SEGMENTS = "it holds several segments of LabVIEW, which are recordings below each other: save each in a file of its own"
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
      rows: the cells of the first samples.
      lines: the number of the line from 1 of each of ``rows``.
      later: the lines behind ``rows`` that were read to find the layout.
      whole: whether ``rows`` and ``later`` are all samples of the file.
      odd: whether numbers have to be written anew for NumPy, see ``text_cells.plain``.
      counted: whether the header counts the columns from 0, so that they have no names.
    """

    columns: tuple[Column, ...]
    separator: str | None
    decimal: str
    encoding: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    later: list[str]
    whole: bool
    odd: bool = False
    counted: bool = False


def open_bytes(file: Path) -> IO[bytes]:
    """Open a file for reading, unpacked where it is compressed by gzip, in UTF-8 where it is in UTF-16 with its mark."""
    with open(file, "rb") as opened:
        packed = opened.read(2) == b"\x1f\x8b"
    way: Callable[..., Any] = gzip.open if packed else open
    with way(file, "rb") as opened:
        if opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            opened.seek(0)
            return io.BytesIO(opened.read().decode("utf-16").encode())
    return way(file, "rb")


def text_layout(file: Path) -> Layout:
    """Find the layout of a text file.

    Raises RecordingError where no line holds numbers, the columns change, commas could be decimal ones, and for what is no text.
    """
    written, encoding, whole = _sample(file)
    text = plain(written)
    lines = text.split("\n")
    where = str(file)
    above = _header_of_labview(lines, where)
    used = [i for i, line in enumerate(lines) if line.strip()]
    rest = [i for i in used if comment(lines[i]) is None and i >= above] or used
    tail = [lines[i] for i in rest[-min(TAIL, (len(rest) + 1) // 2) :]]
    separator, decimal, kinds = body_columns(tail, where)
    if "number" not in kinds:
        raise RecordingError(no_numbers(where, lines, used))
    start, cells = first_sample(lines, [i for i in used if i >= above], separator, kinds, decimal, where)
    body = [i for i in cells if i >= start]
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
    if not counted and not any(column.named for column in columns):
        _check_separator(where, separator, kinds, rows)
    if len(kinds) == 1 and decimal == ",":
        raise RecordingError(
            f"{where}: {rows[-1][0][:100]!r} has a decimal comma, or commas part columns: write decimal points, or a header "
            "with the name of every column"
        )
    later = [lines[i] for i in used if i > body[-1]]
    header, numbers = tuple(lines[:start]), [i + 1 for i in body]
    return Layout(columns, separator, decimal, encoding, header, rows, numbers, later, whole, text != written, bool(counted))


def _header_of_labview(lines: Sequence[str], where: str) -> int:
    """Return the number of lines in the headers of a measurement file of LabVIEW; 0 for another file.

    It has a header of the file and one of each segment. Raises RecordingError where there are several segments.
    """
    ends = [i for i, line in enumerate(lines) if line.startswith("***End_of_Header***")]
    if not ends or not lines[0].startswith("LabVIEW Measurement"):
        return 0
    if len(ends) > 2:
        raise RecordingError(f"{where}, line {ends[1] + 2}: {SEGMENTS}")
    return ends[-1] + 1


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
    check_first_cells(rows, kinds, decimal, line)
    sure = [[float(row[i].replace(decimal, ".")) for row in rows[1:] if is_number(row[i], decimal)] for i in numeric]
    check_first_line(
        rows, [i for i, column in zip(numeric, sure, strict=True) if steady_step(np.array(column)) is None], decimal, line
    )
    return 0


def _sample(file: Path) -> tuple[str, str, bool]:
    """Read the first lines of a file, and return them with their encoding and whether they are the whole file."""
    with open_bytes(file) as opened:
        data = opened.read(TEXT_SAMPLE + 1)
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
        marked = data.startswith(codecs.BOM_UTF8)
        return data.decode("utf-8-sig"), "utf-8-sig" if marked else "utf-8", whole
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "latin-1", whole  # as Windows writes m/s²


def _check_separator(where: str, separator: str | None, kinds: Sequence[str], rows: Sequence[list[str]]) -> None:
    """Raise RecordingError for rows without a header whose commas may separate columns or be decimal commas, and where texts hold
    numbers that another sign separates."""
    numeric = [i for i, kind in enumerate(kinds) if kind == "number"]
    for i, kind in enumerate(kinds):
        mixed = next((row[i] for row in rows if kind == "text" and NUMBERS_WITHIN.search(row[i])), None)
        if mixed:
            raise RecordingError(
                f"{where}: {mixed[:60]!r} holds several numbers: separate the columns by one sign, write decimal points and no "
                "signs between thousands, or write a header with the name of every column"
            )
    points = sum(any("." in row[i] for i in numeric) for row in rows)  # a few may stand between thousands
    if separator != "," or 2 * points > len(rows):
        return
    for left in range(len(rows[0]) - 1):
        # blanks may separate columns then: worn 0,5
        pairs = [(row[left].split()[-1:], row[left + 1].split()[:1]) for row in rows]
        if sum(bool(DECIMAL_COMMA.fullmatch(",".join([*before, *after]))) for before, after in pairs) > 0.9 * len(rows) - points:
            raise RecordingError(
                f"{where}: {','.join(rows[0][left : left + 2])!r} may be two columns or one number with a decimal comma: write "
                "decimal points, or a header with the name of every column"
            )
