"""Select rows of the table of a public set by the user's conditions, and write its cells as text."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.functional.orders import BearingOrders

Row = dict[str, Any]
ALIASES = {"sampling_rate": "fs"}
STEADY = ("constant", "none", "unknown")  # profiles of a speed that may be constant; a set without the column says nothing else


def keep_rows(table: Sequence[Row], where: Sequence[str], columns: Sequence[str], name: str) -> list[Row]:
    """Keep the rows that fulfil all conditions.

    ``COLUMN=VALUE`` keeps the rows with this value. Where a column comes again, the rows with any of its values are kept.
    ``COLUMN!=VALUE`` leaves out the rows with this value.

    Args:
      table: the rows.
      where: the conditions; ``sampling_rate`` stands for ``fs``.
      columns: those that may stand in conditions.
      name: of the set, for messages.

    Raises RecordingError for text that is no condition, for a column or value that is not in the table, and where no row is left.
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
            values = list(dict.fromkeys(cell_text(row[column]) for row in table))
            listed = ", ".join(values[:20]) + (f", … ({len(values)} in all)" if len(values) > 20 else "")
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
    """Raise RecordingError for a column that is not there."""
    if column not in columns:
        raise RecordingError(f"{name} has no column {column!r}, choose one of {', '.join(columns)}")


def is_value(cell: Any, value: str) -> bool:
    """Return whether a cell is the value that the user wrote: numbers compare as numbers, and ``true`` is True."""
    if cell_text(cell) == value:
        return True
    if isinstance(cell, bool | np.bool_):
        return cell_text(cell) == value.lower()
    try:
        return not isinstance(cell, str) and float(cell) == float(value)
    except ValueError:
        return False


def cell_text(cell: Any) -> str:
    """Write a cell as a user would: 12000 and not 12000.0."""
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell)).lower()
    return np.format_float_positional(cell, trim="-") if isinstance(cell, float | np.floating) else str(cell)


def shaft_speed(row: Row) -> float | None:
    """Return the speed of the shaft of a row in revolutions a second; None where it is not known or not constant."""
    speed = _positive(row.get("speed_rpm"))
    return None if speed is None or str(row.get("speed_profile", "unknown")) not in STEADY else speed / 60


def bearing_orders_of(row: Row) -> BearingOrders | None:
    """Return the orders of the bearing of a row; None where the set does not tell all of them."""
    orders = [_positive(row.get(name)) for name in BearingOrders._fields]
    known = [order for order in orders if order is not None]
    return BearingOrders(*known) if len(known) == len(orders) else None


def _positive(cell: Any) -> float | None:
    """Return the positive number of a cell; None for anything else."""
    number = isinstance(cell, int | float | np.integer | np.floating) and not isinstance(cell, bool)
    return float(cell) if number and 0 < cell < math.inf else None
