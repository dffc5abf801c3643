"""Parquet files, whose columns are read whole by pyarrow."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.data.formats.arrays import Held, signal_of
from drsn_jax.data.formats.common import Signal, check_promise, damage, library
from drsn_jax.data.formats.rates import SECONDS, Rate, mentioned, with_units

NUMBERS = ("float", "double", "halffloat", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
NO_SIGNALS = (
    *("string", "large_string", "string_view", "dictionary", "bool", "null"),
    *("date32", "date64", "time32", "time64", "timestamp", "duration"),
)


def read_parquet(file: Path, channel: str) -> Signal:
    """Read the columns that ``channel`` means. Raises RecordingError for a damaged file or a column that is no signal."""
    parquet = library("pyarrow.parquet")
    with damage(file, "Parquet"), parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        schema = opened.schema_arrow
        held = [_column(file, opened, field) for field in schema]
        return signal_of(held, channel, str(file), _hints(schema.metadata, "the file"))


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
        check=functools.partial(check_promise, f"{file}: {field.name}", 8 * rows, file.stat().st_size),
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
    """Return the rates that the notes of a file or column mention."""
    rates = []
    named = {name.decode("utf-8", "replace"): value for name, value in (metadata or {}).items()}
    for word, value in with_units(named).items():
        if (rate := mentioned(word, value, f"the note {word} of {of}")) is not None:
            rates.append(rate)
    return rates
