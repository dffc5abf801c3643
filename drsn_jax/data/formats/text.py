"""Numbers in columns of text: commas, tabs, semicolons or blanks between them, with or without a header."""

import csv
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.channels import pick
from drsn_jax.data.formats.common import RecordingError, Signal, damage, in_memory

TEXT_SAMPLE = 1 << 16  # characters that are read to find the layout of a text file
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def read_text(file: Path, channel: str) -> Signal:
    """Read the columns of a text file that ``channel`` means. Raises RecordingError for a line that does not fit."""
    with damage(file, "UTF-8 text"):
        names, separator, skip = text_layout(file)
        indices = [names.index(name) for name in pick(names, channel, str(file))]
        try:
            # all columns are read, so that a line with more or fewer columns is refused
            values = np.loadtxt(
                file, delimiter=separator, skiprows=skip, ndmin=2, comments=None, quotechar='"', encoding="utf-8-sig"
            )
        except ValueError as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            reason = str(error).split(";")[0].strip(".")
            comma = ", these are decimal commas" if re.search(rf"'\s*{DECIMAL_COMMA.pattern}\s*'", reason) else ""
            raise RecordingError(
                f"{file}: {reason[:200]}{comma}: expected numbers with a decimal point in {len(names)} columns"
            ) from error
        if values.shape[1] != len(names):
            raise RecordingError(f"{file} holds {values.shape[1]} columns, expected {len(names)} ({', '.join(names[:20])})")
    return in_memory(values[:, indices])


def text_layout(file: Path) -> tuple[list[str], str | None, int]:
    """Find the layout of a text file.

    Returns:
      The names of the columns (numbers from 1 without a header), the separator (None for blanks), and the number of lines
      before the first sample.

    Raises RecordingError where no line holds numbers, two columns have one name, or commas could be decimal ones.
    """
    with open(file, "rb") as opened:
        if opened.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise RecordingError(f"{file} is in UTF-16: save it in UTF-8")
    with open(file, encoding="utf-8-sig", newline=None) as opened:
        sample = opened.read(TEXT_SAMPLE)
        lines = sample.split("\n")
        if opened.read(1) and len(lines) == 1:
            raise RecordingError(f"{file}: its first line is longer than {TEXT_SAMPLE} characters, expected one for each sample")
        if len(sample) == TEXT_SAMPLE:
            lines.pop()  # the last line may be cut
    if "\0" in sample:
        raise RecordingError(f"{file} holds null bytes, which are no text: save it as text in UTF-8")
    header: tuple[str | None, list[str]] = None, []
    odd = before = ""
    for number, line in enumerate(lines[:100]):
        separator = next((mark for mark in (";", "\t", ",") if mark in line), None)
        cells = _cells(line, separator)
        if cells and all(map(_is_number, cells)):
            names = header[1] if header[0] == separator and len(header[1]) == len(cells) else []
            if not names and len(cells) == 1 and header[1]:
                names = [before]  # the name of a single column may have blanks in it
            if len(set(names)) < len(names):
                raise RecordingError(f"{file}, line {number}: two columns have one name ({', '.join(names[:20])}), rename one")
            if not names and separator == ",":
                _check_commas(file, [_cells(line, ",") for line in lines[number:] if line.strip()])
            return names or [str(i + 1) for i in range(len(cells))], separator, number
        if cells:
            before = line.strip("#% ")
            header = separator, [cell or str(i + 1) for i, cell in enumerate(cells)]
            bad = next(cell for cell in cells if not _is_number(cell))
            decimal = next(filter(DECIMAL_COMMA.fullmatch, itertools.chain(cells, line.split())), None)
            odd = f"{decimal!r} has a decimal comma" if decimal else f"{bad[:100]!r} is no number"
            odd = f"line {number + 1}: {odd}"
    raise RecordingError(
        f"{file}: none of its first lines holds numbers alone ({odd}): expected numbers with a decimal point in columns under a "
        "header, without columns of text or dates"
    )


def _cells(line: str, separator: str | None) -> list[str]:
    """Split a line into cells without the blanks around them."""
    line = line.lstrip("#% ")  # a header may be a comment
    cells = next(csv.reader([line], delimiter=separator), []) if separator else line.split()
    return [cell.strip() for cell in cells]


def _check_commas(file: Path, rows: Sequence[list[str]]) -> None:
    """Raise RecordingError for rows without a header whose commas may separate columns or be decimal commas."""
    if any("." in cell for row in rows for cell in row):
        return
    for left in range(len(rows[0]) - 1):
        pairs = [row[left : left + 2] for row in rows]
        if all(len(pair) < 2 or DECIMAL_COMMA.fullmatch(",".join(pair)) for pair in pairs):
            raise RecordingError(
                f"{file}: {','.join(pairs[0])!r} may be two columns or one number with a decimal comma: write decimal points, "
                "or a header with the name of every column"
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
