"""Which rows of a table of facts a user's conditions keep, and the cells as text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from drsn_jax.data.formats.common import RecordingError

Row = dict[str, Any]

ALIASES = {"sampling_rate": "fs"}


def keep_rows(table: Sequence[Row], where: Sequence[str], columns: Sequence[str], name: str) -> list[Row]:
    """The rows that conditions keep: ``COLUMN=VALUE`` those with the value, or with any of them where a column comes again, and
    ``COLUMN!=VALUE`` those without it.

    Args:
      table: the rows.
      where: the conditions; ``sampling_rate`` stands for ``fs``.
      columns: which may be asked for.
      name: of the table, for messages.

    Raises RecordingError for what is no condition, a column or value that is not there, and where no row is left.
    """
    wanted: dict[str, list[str]] = {}
    unwanted: list[tuple[str, str]] = []
    for condition in where:
        left, equals, value = (part.strip() for part in condition.partition("="))
        shown = left.removesuffix("!").strip()
        column = shown if shown in columns else ALIASES.get(shown, shown)
        if not equals or not shown:
            raise RecordingError(f"the condition {condition!r} is not of the form COLUMN=VALUE or COLUMN!=VALUE")
        check_column(column, columns, name)
        if not any(is_value(row[column], value) for row in table):
            there = list(dict.fromkeys(cell_text(row[column]) for row in table))
            listed = ", ".join(there[:20]) + (f", … ({len(there)} in all)" if len(there) > 20 else "")
            raise RecordingError(f"{name} has no {shown} {value!r}, choose one of {listed}")
        if left.endswith("!"):
            unwanted.append((column, value))
        else:
            wanted.setdefault(column, []).append(value)
    kept = [
        row
        for row in table
        if all(any(is_value(row[column], value) for value in values) for column, values in wanted.items())
        and not any(is_value(row[column], value) for column, value in unwanted)
    ]
    if not kept:
        raise RecordingError(f"no recording of {name} fulfils all of {', '.join(where)}: leave out a condition")
    return kept


def check_column(column: str, columns: Sequence[str], name: str) -> None:
    """RecordingError for a column that is not there."""
    if column not in columns:
        raise RecordingError(f"{name} has no column {column!r}, choose one of {', '.join(columns)}")


def is_value(cell: Any, value: str) -> bool:
    """Whether a cell is what the user wrote: numbers compare as numbers, and true is True."""
    if cell_text(cell) == value:
        return True
    if isinstance(cell, bool | np.bool_):
        return cell_text(cell) == value.lower()
    try:
        return not isinstance(cell, str) and float(cell) == float(value)
    except ValueError:
        return False


def cell_text(cell: Any) -> str:
    """A cell as a user would write it: 12000 and not 12000.0."""
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell)).lower()
    return np.format_float_positional(cell, trim="-") if isinstance(cell, float | np.floating) else str(cell)
