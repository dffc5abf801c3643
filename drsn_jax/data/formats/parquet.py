"""Parquet files, whose columns are read whole by pyarrow."""

import contextlib
import contextvars
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.data.formats.arrays import Held, of_array, signal_of
from drsn_jax.data.formats.common import RecordingError, Signal, check_room, damage, is_numeric, library
from drsn_jax.data.formats.looks import MOST, several, tells_which
from drsn_jax.data.formats.rates import SECONDS, Rate, may_mention, mentioned, with_units

NUMBERS = ("float", "double", "halffloat", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
MOST_ROWS = 500  # waveforms of several lengths in a file
NO_SIGNALS = (
    *("string", "large_string", "string_view", "dictionary", "bool", "null"),
    *("date32", "date64", "time32", "time64", "timestamp", "duration"),
)


# the waveforms of columns of lists, by file and name, inside ``columns_kept``
_kept: contextvars.ContextVar[dict[tuple[Path, str], list[np.ndarray]] | None] = contextvars.ContextVar("kept", default=None)


@contextlib.contextmanager
def columns_kept() -> Iterator[None]:
    """Read every column of waveforms once inside the block, in which the waveforms of a file are read one after another."""
    before = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(before)


def read_parquet(file: Path, channel: str) -> Signal:
    """Read the columns that ``channel`` means. Raises RecordingError for a damaged file or a column that is no signal."""
    parquet = library("pyarrow.parquet")
    with damage(file, "Parquet"), parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        schema = opened.schema_arrow
        held = [column for field in schema for column in _columns(file, opened, field)]
        return signal_of(held, channel, str(file), _hints(schema.metadata, "the file"))


def waveforms(file: Path, channel: str) -> list[str]:
    """Return the channels ``a{1}``, ``a{2}``, … of a column of waveforms of several lengths, each of which is a recording.

    The list is empty for a file of another kind, for a ``channel`` that means something else, and without a ``channel`` where
    another column may be meant. Raises RecordingError where another column tells that the rows are of several classes or sensors.
    """
    if file.suffix.lower() != ".parquet" or not file.is_file():
        return []
    parquet = library("pyarrow.parquet")
    with damage(file, "Parquet"), parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        rows, schema = opened.metadata.num_rows, opened.schema_arrow
        found = {field.name: _lists(file, rows, field) for field in schema if channel in ("", field.name)}
        found = {name: lists for name, lists in found.items() if lists}
        others = [field.name for field in schema if str(field.type) in NUMBERS and not _beside_rows(field.name)]
        if len(found) != 1 or (others and not channel) or rows == 1:
            return []
        for field in schema:
            cells = np.unique(_load(file, field.name, rows).astype(str)) if tells_which(field.name) else []
            if 1 < len(cells) <= MOST:
                raise RecordingError(several(str(file), field.name, [str(cell) for cell in cells]))
    (name,) = found
    return [f"{name}{{{k + 1}}}" for k in range(rows)]


def _beside_rows(name: str) -> bool:
    """Return whether a column of numbers says something about the waveforms of its rows."""
    return tells_which(name) or may_mention(name)


def _lists(file: Path, rows: int, field: Any) -> list[np.ndarray]:
    """Return the waveforms of a column of lists of several lengths, or of a single row; none for another column."""
    if "list<" not in str(field.type) or rows > MOST_ROWS:
        return []
    kept = _kept.get()
    if kept is not None and (file, field.name) in kept:
        return kept[file, field.name]
    lists = [np.asarray(cell) for cell in _load(file, field.name, rows)]
    numeric = all(values.ndim == 1 and is_numeric(values.dtype) for values in lists)
    lists = lists if numeric and (rows == 1 or len({len(values) for values in lists}) > 1) else []
    if kept is not None:
        kept[file, field.name] = lists
    return lists


def _columns(file: Path, opened: Any, field: Any) -> list[Held]:
    """Describe a column, or each of the waveforms in it where they are recordings of their own."""
    lists, hints = _lists(file, opened.metadata.num_rows, field), tuple(_hints(field.metadata, field.name))
    names = [field.name] if len(lists) == 1 else [f"{field.name}{{{k + 1}}}" for k in range(len(lists))]
    held = [of_array(values, name=name, hints=hints) for name, values in zip(names, lists, strict=True)]
    return held or [_column(file, opened, field)]


def _column(file: Path, opened: Any, field: Any) -> Held:
    """Describe a column."""
    rows, kind = opened.metadata.num_rows, str(field.type)
    numeric = kind in NUMBERS
    dates = kind.startswith(("timestamp", "duration"))
    load = functools.cache(functools.partial(_load, file, field.name, rows))
    texts = any(word in kind for word in ("string", "utf8")) and "list" not in kind
    return Held(
        kind,
        (rows,) if numeric or dates else (),
        lambda start, stop: load()[start:stop, None],
        numeric=numeric,
        name=field.name,
        holds=not numeric and kind.partition("[")[0].partition("<")[0] not in NO_SIGNALS,
        hints=tuple(_hints(field.metadata, field.name)),
        cells=functools.cache(lambda: load().astype(str)) if texts else None,
        unit=SECONDS[field.type.unit] if dates else None,
        # run lengths and dictionaries make a square wave smaller by any factor, so that the stored bytes say nothing
        check=functools.partial(check_room, f"{file}: {field.name}", 8 * rows),
    )


def _load(file: Path, name: str, rows: int) -> np.ndarray:
    """Read a column. A missing number becomes NaN, which is refused later."""
    parquet = library("pyarrow.parquet")
    with parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        table = opened.read(columns=[name])
    if table.num_rows != rows:
        raise ValueError(f"it promises {rows} rows of {name} and holds {table.num_rows}")
    values = table.column(0).to_numpy()
    return values.view(np.int64) if values.dtype.kind in "mM" else values


def _hints(metadata: dict[bytes, bytes] | None, of: str) -> list[Rate]:
    """Return the rates that the notes of a file or column mention, also those of ``DataFrame.attrs`` of pandas."""
    rates = []
    named: dict[str, Any] = {name.decode("utf-8", "replace"): value for name, value in (metadata or {}).items()}
    attributes = json.loads(named.pop("PANDAS_ATTRS", b"{}"))
    named |= attributes if isinstance(attributes, dict) else {}
    for word, value in with_units(named).items():
        if (rate := mentioned(word, value, f"the note {word} of {of}")) is not None:
            rates.append(rate)
    return rates
