"""Which columns of a text file are read: those that a channel means, and without one the only column that could be a signal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.channels import AXES, is_pattern, pick
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import look
from drsn_jax.data.formats.rates import Rate, may_mention, mentioned
from drsn_jax.data.formats.text_cells import is_gap, is_number, oddity
from drsn_jax.data.formats.text_dates import date_rate
from drsn_jax.data.formats.text_layout import Layout
from drsn_jax.data.formats.text_rates import (
    FASTEST,
    SLOWEST,
    epoch_unit,
    header_rates,
    last_digit,
    round_rate,
    time_steps,
    time_unit,
)

PIECE = 10_000  # numbers of a column that are looked at first
LONG = 32  # numbers that all rise are no signal of vibration
WINDOW = 64  # columns without names: so many look like a window in each line


def chosen(layout: Layout, channel: str, where: str) -> list[int]:
    """Return the indices of the columns that a channel, which is not empty, means.

    Raises RecordingError as ``channels.pick``, for columns without numbers, and for two columns of one name.
    """
    names = names_of(layout, where)
    numeric = [i for i in names if layout.columns[i].kind == "number"]
    if layout.counted and any(part.strip().isdigit() and 0 < int(part) < len(numeric) for part in channel.split("+")):
        raise RecordingError(
            f"{where}: its header counts the columns from 0, so {channel!r} may mean two columns: give the columns names"
        )
    known = {names[i] for i in numeric}
    for part in (part.strip() for part in channel.split("+")):
        alike = [str(i + 1) for i in names if layout.columns[i].name == part != names[i]]
        if alike and part not in names.values():
            raise RecordingError(f"{where}: the columns {' and '.join(alike)} are named {part}: choose one by its number")
        other = next((i for i, name in names.items() if name == part and name not in known), None)
        if other is not None:
            cells = [row[other] for row in layout.rows]
            count = sum(is_number(cell, layout.decimal) for cell in cells)
            if count and all(is_number(cell, layout.decimal) or is_gap(cell) for cell in cells):
                raise RecordingError(
                    f"{where}: the column {part} holds numbers in {count} of the first {len(cells)} lines alone: it is shorter "
                    "than the others or has another rate, so save it in a file of its own"
                )
            found = [(line, row[other]) for line, row in zip(layout.lines, layout.rows, strict=True) if row[other]]
            line, cell = next((entry for entry in found if not is_number(entry[1], layout.decimal)), (layout.lines[0], ""))
            odd = oddity(cell, layout.decimal)
            raise RecordingError(
                f"{where}, line {line}: {cell[:100]!r} is no number{odd}: the column {part} holds {_kind(layout, other)}"
            )
    index = {names[i]: i for i in numeric}
    picked = [index[name] for name in pick(list(index), channel, where)]
    if is_pattern(channel):  # it means signals: a time axis that it happens to fit is none
        named = [part.strip() for part in channel.split("+")]
        signals = [i for i in picked if names[i] in named or look_of(layout, i, _sampled(layout, i)) not in AXES]
        picked = signals or picked
    return picked


def needed(layout: Layout, picked: Sequence[int] | None) -> list[int]:
    """Return the indices of the columns to read: those that were picked, and those that tell the sampling rate.

    ``picked`` is None where no channel was asked for. Then all columns of numbers are read, so that what they look like is known.
    """
    numeric = [i for i, column in enumerate(layout.columns) if column.kind == "number"]
    if picked is None:
        return numeric
    times = _times_of(layout, picked)
    return sorted({*picked, *(i for i in numeric if i in times or _rate_column(layout, i))})


def refuse_many(layout: Layout, where: str) -> None:
    """Raise RecordingError where the first lines show that no column is the only one that could be a signal."""
    names = names_of(layout, where)
    numeric = [i for i in names if layout.columns[i].kind == "number"]
    looks = {i: look_of(layout, i, _sampled(layout, i)) for i in numeric}
    if sum(not seen or seen == "labels" for seen in looks.values()) > 1:
        raise RecordingError(_choose(layout, names, looks, where))


def unasked(layout: Layout, values: dict[int, np.ndarray], where: str) -> list[int]:
    """Return the index of the only column that could be a signal.

    Raises RecordingError, which lists all columns and what they look like, where there are several such columns or none.
    """
    looks = {i: look_of(layout, i, column) for i, column in values.items()}
    signals = [i for i in looks if looks[i] in ("", "labels")]
    if len(signals) == 1 and not looks[signals[0]]:
        return signals
    raise RecordingError(_choose(layout, names_of(layout, where), looks, where))


def look_of(layout: Layout, index: int, values: np.ndarray) -> str:
    """Return what a column looks like where that is no signal, see ``looks.look``. A few numbers are enough for most columns."""
    if layout.columns[index].name == "":
        return "row numbers"
    seen = look(values[:PIECE])
    seen = look(values) if seen and len(values) > PIECE else seen
    if seen in ("", "row numbers", "labels") and _time(layout, index) is not None and _rises(values):
        return "a time axis"
    return "rising numbers" if not seen and len(values) >= LONG and _rises(values) else seen


def _rises(values: np.ndarray) -> bool:
    """Return whether numbers never fall, as times do that were rounded to more than a step."""
    return len(values) > 2 and bool(np.all(np.diff(values[:PIECE]) >= 0)) and bool(np.all(np.diff(values) >= 0))


def found_rates(file: Path, layout: Layout, values: dict[int, np.ndarray], picked: Sequence[int]) -> list[Rate | None]:
    """Return the sampling rates that a file tells of the ``picked`` columns: in its header, by a time column, by its dates.

    Raises RecordingError where the time jumps.
    """
    header = list(layout.header)
    if layout.columns[0].kind == "empty":  # some oscilloscopes write the header beside the first samples
        header += [f"{row[0]}: {row[1]}" for row in layout.rows if len(row) > 1 and row[0]]
    if header and header[0].startswith("LabVIEW Measurement"):  # a step for each column
        header = [_of_columns(line, picked) for line in header]
    rates: list[Rate | None] = list(header_rates(header, layout.separator, layout.decimal))
    times = _times_of(layout, picked)
    for index, column in values.items():
        name = layout.columns[index].name or str(index + 1)
        unit = _time(layout, index)
        if _rate_column(layout, index):
            for value in {float(column.min()), float(column.max())}:
                rates.append(mentioned(name, value, f"its column {name}"))
        elif unit is not None and index in times:
            whole = bool(np.all(column[:PIECE] == np.rint(column[:PIECE])))
            epoch = epoch_unit(float(column[0]))
            seconds = unit or epoch or (None if whole else 1.0)
            cells = [row[index] for row in layout.rows]
            written = last_digit(cells, float(np.abs(column).max()), layout.decimal)
            axis = None if seconds is None else time_steps(column, written, seconds, f"{file}: its column {name}")
            rate = None if axis is None else round_rate(axis)
            known = bool(unit or epoch or layout.columns[index].named)
            if rate is not None and (known or rate >= SLOWEST) and rate <= FASTEST:
                told = "" if unit or epoch else ", read as seconds"
                rates.append(Rate(rate, f"the steps of its column {name}{told}"))
    dates = [i for i, column in enumerate(layout.columns) if column.kind == "date"]
    return [*rates, date_rate(file, layout, dates[0], len(next(iter(values.values()))))] if dates else rates


def _of_columns(line: str, picked: Sequence[int]) -> str:
    """Return a line of a header of LabVIEW, whose cells stand above the columns, with the cells of the ``picked`` ones."""
    cells = line.split("\t")
    own = [cells[i] for i in picked if i < len(cells) and cells[i]]
    return "\t".join([cells[0], *own]) if cells[0] == "Delta_X" and len(own) == len(picked) else line


def _time(layout: Layout, index: int) -> float | None:
    """Return the unit of a time column in seconds, 0.0 where it is not told; None for another column.

    A first column without a name that rises by a steady step is one too.
    """
    column = layout.columns[index]
    if column.named:
        return time_unit(column.name, column.unit, index == 0)
    if index == 0 and column.name and len(layout.columns) > 1 and look(_sampled(layout, 0)) == "a time axis":
        return 0.0
    return None


def _rate_column(layout: Layout, index: int) -> bool:
    """Return whether a column holds the sampling rate in each line."""
    column = layout.columns[index]
    cells = {row[index] for row in layout.rows}
    return column.named and len(cells) == 1 and may_mention(column.name)


def _sampled(layout: Layout, index: int) -> np.ndarray:
    cells = [row[index].replace(layout.decimal, ".") for row in layout.rows if is_number(row[index], layout.decimal)]
    return np.array(cells, np.float64)


def names_of(layout: Layout, where: str) -> dict[int, str]:
    """Return the names of the columns by index, without row numbers that have none and without a separator at the end.

    Columns of one name are named by their numbers. Raises RecordingError where another column has such a number for its name.
    """
    last = len(layout.columns) - 1
    names = {
        i: column.name
        for i, column in enumerate(layout.columns)
        if column.name and not (i == last > 0 and column.kind == "empty" and not column.named)
    }
    count = Counter(names.values())
    names = {i: name if count[name] == 1 else str(i + 1) for i, name in names.items()}
    if len(set(names.values())) < len(names):
        shown = ", ".join(layout.columns[i].name for i in [*names][:20])
        raise RecordingError(f"{where}, line {layout.lines[0] - 1}: two columns have one name ({shown}), rename one")
    return names


def _times_of(layout: Layout, picked: Sequence[int]) -> list[int]:
    """Return the indices of the columns of times that belong to the picked ones.

    Where there are several, these are the nearest to the left, as programs write signals of different rates. Without any to the
    left all are meant.
    """
    times = [i for i in range(len(layout.columns)) if _time(layout, i) is not None]
    found: set[int] = set()
    for index in picked:
        left = [i for i in times if i < index]
        if not left:
            return times
        found.add(left[-1])
        # times in two units stand beside each other
        while found and (before := min(found) - 1) in left:
            found.add(before)
    return sorted(found)


def _kind(layout: Layout, index: int) -> str:
    odd = next((word for row in layout.rows if (word := oddity(row[index], layout.decimal))), "")
    return {"date": "dates", "text": f"text{odd}", "empty": "nothing"}.get(layout.columns[index].kind, "numbers")


def _choose(layout: Layout, names: dict[int, str], looks: dict[int, str], where: str) -> str:
    """Return the message that lists the columns and tells how to choose one."""
    if len(looks) >= WINDOW and not any(layout.columns[i].named for i in looks):
        return (
            f"{where} holds {len(looks)} numbers in each line: if a line is a window that was cut already, see --windows-given; "
            "if it is one sample of many channels, name the channel by its number"
        )
    listed = []
    for i, name in [*names.items()][:20]:
        seen = looks.get(i, _kind(layout, i))
        listed.append(name[:100] + (f" (looks like {seen})" if seen and i in looks else f" ({seen})" if seen else ""))
    more = ", …" if len(names) > 20 else ""
    what = f"{len(looks)} signals" if len(looks) > 1 else "no column that looks like a signal"
    return (
        f"{where} holds {what} ({', '.join(listed)}{more}): name the channel, by --channel NAME or in the column channel of "
        "a table of recordings"
    )
