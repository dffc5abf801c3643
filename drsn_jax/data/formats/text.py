"""Numbers in columns of text: commas, tabs, semicolons or blanks between them, with or without a header, also within ``.gz``."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from drsn_jax.data.formats.common import RecordingError, Signal, damage, in_memory
from drsn_jax.data.formats.rates import agreed
from drsn_jax.data.formats.text_body import changed_columns
from drsn_jax.data.formats.text_cells import is_number, oddity, plain, split
from drsn_jax.data.formats.text_columns import chosen, found_rates, names_of, needed, refuse_many, unasked
from drsn_jax.data.formats.text_doubts import check_late_thousands, check_promised, check_thousands
from drsn_jax.data.formats.text_layout import SEGMENTS, Layout, open_bytes, text_layout
from drsn_jax.data.formats.text_tables import check_one_recording, check_spectrum, which_columns

FEW = 3  # labels of a file at most
END = 20  # lines at the end of a file that may be no samples


def read_text(file: Path, channel: str) -> Signal:
    """Read the columns of a text file that ``channel`` means, and the sampling rate that its header, time column or dates tell.

    Raises RecordingError for a line that does not fit, for what may be no samples, and for two rates that differ.
    """
    with damage(file, "text"):
        layout = text_layout(file)
        where = str(file)
        if channel:
            picked = chosen(layout, channel, where)
        else:
            refuse_many(layout, where)
            picked = None
        check_spectrum(layout, where)
        read = _values(file, layout, needed(layout, picked), which_columns(layout))
        values = {index: column for index, column in read.items() if column.dtype.kind == "f"}
        if picked is None:
            picked = unasked(layout, values, where)
        check_one_recording(layout, picked, read, where)
        for index in picked:
            cells = [row[index] for row in layout.rows]
            check_thousands(cells, layout.decimal, f"{where}, column {layout.columns[index].name}")
            check_late_thousands(cells, values[index], layout.decimal, f"{where}, column {layout.columns[index].name}")
        rate, source = agreed(found_rates(file, layout, values, picked), where)
        alone = len(layout.columns) == 1 and not layout.columns[0].named
        taken = "" if alone else " + ".join(names_of(layout, where)[index] for index in picked)
        taken_values = [values[index] for index in picked]
        # a copy of some columns, so that the others do not stay in memory
        table = np.stack(taken_values, 1) if len(layout.columns) > 1 else taken_values[0][:, None]
        check_promised(layout.header, layout.rows[0][0] if len(layout.columns) == 1 else "", len(table), where)
        signal = in_memory(table)
    return replace(signal, sampling_rate=rate, channel=taken, rate_from=source)


def _values(file: Path, layout: Layout, needed: Sequence[int], texts: Sequence[int]) -> dict[int, np.ndarray]:
    """Read columns by their indices, those of ``needed`` as float64 and the others of ``texts`` as text.

    All cells are counted, so that a line with more or fewer columns is refused.
    """
    count = len(layout.columns)
    for index in needed:
        bad = layout.columns[index].bad
        if bad is not None:
            raise RecordingError(_odd_cell(f"{file}, line {bad[0]}", bad[1], layout))
    whole = len(needed) == count
    # a column that is not needed is passed over as text: the first letters of each cell are kept
    kind = (
        np.float64
        if whole
        else [(str(i), "f8" if i in needed else "U20" if i in texts else "U1" if i else "U3") for i in range(count)]
    )
    options: dict[str, Any] = {"dtype": np.dtype(kind), "delimiter": layout.separator, "comments": None, "quotechar": '"'}
    options |= {"skiprows": layout.lines[0] - 1, "ndmin": 2 if whole else 1}
    try:
        try:
            table = _load(file, layout, layout.encoding, options)
        except UnicodeDecodeError:  # only behind the first lines are letters of another encoding
            table = _load(file, layout, "latin-1", options)
    except ValueError as error:
        raise RecordingError(_odd_line(file, layout, needed, str(error))) from error
    if 0 not in needed:
        _check_beginnings(table["0"].astype("U3"), layout, str(file))
    last = layout.columns[-1]
    if last.kind == "empty" and not last.named and (more := np.flatnonzero(table[str(count - 1)] != "")).size:
        raise RecordingError(
            f"{file}: the line of sample {more[0]} has more than the {count - 1} columns of the others: correct it"
        )
    return {i: table[:, i] if whole else table[str(i)] for i in {*needed, *texts}}


def _check_beginnings(cells: np.ndarray, layout: Layout, where: str) -> None:
    """Raise RecordingError where a line begins with a word unlike the others, as at the end of a file that tells the mean of its
    columns. ``cells`` are the first three letters of each line."""
    known = {row[0][:3] for row in layout.rows[: max(1, len(cells) - END)]}
    if layout.columns[0].kind == "text":
        # a label stays the same for long; other texts may be anything
        places = range(max(1, len(cells) - END), len(cells)) if len(known) <= FEW else range(0)
    else:
        first = np.ascontiguousarray(cells).view(np.uint32).reshape(len(cells), -1)[:, 0] | 32  # small letters
        places = np.flatnonzero((first >= ord("a")) & (first <= ord("z")))
        known = {cell for cell in known if not cell.isalpha()} if layout.columns[0].kind != "empty" else known
    for place in places:
        word = str(cells[place])
        if word not in known and word.lower() not in ("nan", "inf", "n/a", "na", "nul", "non", "nil"):
            raise RecordingError(f"{where}: the line behind sample {place} begins with other text ({word}…): cut the file there")


def _load(file: Path, layout: Layout, encoding: str, options: dict[str, Any]) -> np.ndarray[Any, Any]:
    with _source(file, layout, encoding) as source:
        return np.loadtxt(source, encoding=encoding, **options)


@contextlib.contextmanager
def _source(file: Path, layout: Layout, encoding: str) -> Iterator[Any]:
    """Yield what numpy.loadtxt reads: a path, which is fastest, or lines with decimal points."""
    with open_bytes(file) as opened:
        as_it_is = type(opened).__name__ == "BufferedReader" and file.suffix.lower() not in (".gz", ".bz2", ".xz", ".lzma")
        if as_it_is and layout.decimal == "." and not layout.odd:
            yield str(file)
        else:
            yield _lines(opened, layout, encoding)


def _lines(opened: IO[bytes], layout: Layout, encoding: str) -> Iterator[str]:
    """Yield the lines of a file with decimal points."""
    with io.TextIOWrapper(opened, encoding=encoding) as text:
        for line in map(plain, text) if layout.odd else text:
            if layout.decimal == ",":
                # a point would be one between thousands, which must not become a decimal one
                line = line.replace(".", "\N{MIDDLE DOT}").replace(",", ".")
            yield line


def _odd_line(file: Path, layout: Layout, needed: Sequence[int], reason: str) -> str:
    """Return the message for the first line that does not fit; ``reason`` is what numpy.loadtxt said."""
    count = len(layout.columns)
    with open_bytes(file) as opened:
        for number, raw in _numbered(opened, layout):
            if number < layout.lines[0] or not raw.strip("\r\n"):
                continue
            cells = split(raw.strip("\r\n"), layout.separator)
            where = f"{file}, line {number}"
            if len(cells) != count:
                return f"{where}: {changed_columns(raw, len(cells), count)}"
            for index in needed:
                if not is_number(cells[index], layout.decimal):
                    return _odd_cell(where, cells[index], layout)
    return f"{file}: {reason.split(';')[0].strip('.')[:200]}: expected numbers in {count} columns"


def _numbered(opened: IO[bytes], layout: Layout) -> Iterator[tuple[int, str]]:
    with io.TextIOWrapper(opened, encoding=layout.encoding, errors="replace") as text:
        yield from enumerate(map(plain, text), 1)


def _odd_cell(where: str, cell: str, layout: Layout) -> str:
    """Return the message for a cell that is no number."""
    if cell == "Channels" and layout.header and layout.header[0].startswith("LabVIEW Measurement"):
        return f"{where}: {SEGMENTS}"
    mark = "point" if layout.decimal == "." else "comma"
    odd = oddity(cell, layout.decimal)
    return f"{where}: {cell[:100]!r} is no number{odd}: expected numbers with a decimal {mark} in {len(layout.columns)} columns"
