"""The columns of the samples in a text file, and where the samples begin."""

import re
from collections import Counter
from collections.abc import Sequence

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.text_cells import DECIMAL_COMMA, RATE, SEPARATORS, comment, is_date, is_gap, is_number, split
from drsn_jax.data.formats.text_names import numbers_as_names

NUMBERS_WITHIN = re.compile(r"\d[;\t,| ]+[-+.]?\d|[;\t|]")
ROWS = 256  # samples that are looked at; the reading finds what is wrong with later ones


def body_columns(tail: Sequence[str], where: str) -> tuple[str | None, str, list[str]]:
    """Return the separator, the decimal sign and the kind of each column of the lines.

    The separator that leaves the greatest share of cells with numbers and dates is taken: in ``0,5 1,5`` that is the blank.
    """
    found: tuple[str | None, str, list[str]] = None, ".", []
    best = 0.0
    for separator in (*(mark for mark in SEPARATORS if 2 * sum(mark in line for line in tail) >= len(tail)), None):
        rows = [split(line, separator) for line in tail]
        count = Counter(map(len, rows)).most_common(1)[0][0]
        columns = list(zip(*(row for row in rows if len(row) == count), strict=True))
        decimal = _decimal(columns, separator)
        kinds = [_kind(column, decimal or ".") for column in columns]
        share = sum(kind != "text" for kind in kinds) / len(kinds) if "number" in kinds else 0.0
        texts = [cell for kind, column in zip(kinds, columns, strict=True) if kind == "text" for cell in column]
        if any(NUMBERS_WITHIN.search(cell) for cell in texts):
            share /= 2  # a text with another separator between numbers
        if share > best or not found[2]:
            best, found = share, (separator, decimal, kinds)
    if not found[1]:
        raise RecordingError(
            f"{where} has decimal commas and decimal points: write decimal points everywhere, and no signs between thousands"
        )
    return found


def _decimal(columns: Sequence[Sequence[str]], separator: str | None) -> str:
    """Return the decimal sign of the numbers in columns that ``separator`` parts; an empty text where there are two."""
    if separator == ",":
        return "."
    commas = any(DECIMAL_COMMA.fullmatch(cell) for column in columns for cell in column)
    points = any("." in cell and is_number(cell) for column in columns for cell in column)
    return "" if commas and points else "," if commas else "."


def _kind(column: Sequence[str], decimal: str) -> str:
    """Return the kind of a column, see ``Column``."""
    if 10 * sum(map(bool, column)) < len(column):
        return "empty"
    if all(is_date(cell) for cell in column):
        return "date"
    return "number" if 2 * sum(is_number(cell, decimal) for cell in column) >= len(column) else "text"


def first_sample(
    lines: Sequence[str], used: Sequence[int], separator: str | None, kinds: Sequence[str], decimal: str, where: str
) -> tuple[int, dict[int, list[str]]]:
    """Find the first sample.

    Args:
      lines: the first lines of the file.
      used: the indices of those that are not blank.
      separator: between cells; None for blanks.
      kinds: of the columns, as ``body_columns`` returns them.
      decimal: the decimal sign.
      where: the file, for messages.

    Returns:
      The index of its line, and the cells of all lines up to it and of ``ROWS`` behind it by their index.

    Raises RecordingError where a line above it could be a sample with a fault.
    """
    numeric = [i for i, kind in enumerate(kinds) if kind == "number"]
    names = doubtful = start = None
    cells: dict[int, list[str]] = {}
    for i in used:
        row = cells[i] = split(lines[i], separator)
        if comment(lines[i]) is not None:
            continue
        numbers = [is_number(cell, decimal) for cell in row]
        if len(row) != len(kinds):
            # one number alone above the columns is a count or a rate
            prose = separator is None and sum(cell.strip("().,:").isalpha() for cell in row) > 1
            more = len(row) > 1 and not prose and not RATE.fullmatch(lines[i].strip())
            if start is None and numbers and all(numbers[: len(kinds)]) and (more or names is not None):
                doubtful = i
            continue
        found = [numbers[column] for column in numeric]
        gaps = [is_gap(row[column]) for column in numeric]
        words = names is not None and all(gaps) and any(row[column] not in ("", "-", "--") for column in numeric)
        if all(found) or words or (any(found) and all(a or b for a, b in zip(found, gaps, strict=True)) and not _counted(row)):
            if start is None:
                start = i
        elif start is None and any(found):
            key = names is None and ((row[0][:1].isalpha() and len(row[0]) > 1) or numbers_as_names(row))
            doubtful = doubtful if key else i
        elif not any(found) and any(row[column] for column in numeric) and (start is None or _restarts(i, start, names, kinds)):
            names, doubtful, start = i, None, None  # what is above the names is no sample
        if start is not None and i - start > ROWS:
            break
    if doubtful is not None and (start is None or doubtful < start):
        row = cells[doubtful]
        if len(row) != len(kinds):
            raise RecordingError(f"{where}, line {doubtful + 1}: {changed_columns(lines[doubtful], len(row), len(kinds))}")
        odd = next(row[column] for column in numeric if not is_number(row[column], decimal))
        raise RecordingError(f"{where}, line {doubtful + 1}: {odd[:100]!r} is no number: expected one in each column")
    if start is None:
        raise RecordingError(no_numbers(where, lines, list(cells)))
    texts = [i for i, kind in enumerate(kinds) if kind == "text"]
    above = {row[i] for line, row in cells.items() if line < (names or 0) and len(row) == len(kinds) for i in texts}
    if names is not None and any(row[i] in above for line, row in cells.items() if line > start for i in texts if len(row) > i):
        raise RecordingError(f"{where}, line {names + 1}: {changed_columns(lines[names], 0, len(kinds))}")
    return start, cells


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
    if found and len(line.split()[0]) > 1 and line.split()[0].isalpha():
        return f"text follows the samples ({line.strip()[:60]!r}): keep one measurement in a file, cut it there"
    comma = ", perhaps by a decimal comma" if any(map(DECIMAL_COMMA.fullmatch, line.split())) else ""
    return (
        f"the number of columns changed from {expected} to {found} ({line.strip()[:60]!r}){comma}: "
        f"expected numbers with a decimal point in {expected} columns"
    )


def no_numbers(where: str, lines: Sequence[str], used: Sequence[int]) -> str:
    """Return the message for lines without numbers. It names the first line with a decimal comma or, without one, the first line
    below the header."""
    odd = ""
    for i in [*used[1:100], *used[:1]]:
        separator = next((mark for mark in SEPARATORS if mark in lines[i]), None)
        cells = split(comment(lines[i]) or lines[i], separator)
        comma = next((cell for cell in (*cells, *lines[i].split()) if DECIMAL_COMMA.fullmatch(cell.strip('"'))), None)
        if comma:
            odd = f"line {i + 1}: {comma[:100]!r} has a decimal comma"
            break
        bad = next((cell for cell in cells if not is_number(cell)), None)
        odd = odd or ("" if bad is None else f"line {i + 1}: {bad[:100]!r} is no number")
    odd = odd or "it holds blanks"
    return (
        f"{where}: none of its first lines holds numbers ({odd}): expected numbers with a decimal point in columns under a header"
    )
