"""The sampling rate from a column of dates in a text file."""

import os
import re
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.rates import Rate
from drsn_jax.data.formats.text_cells import seconds, split
from drsn_jax.data.formats.text_layout import Layout, open_bytes
from drsn_jax.data.formats.text_rates import Axis, round_rate, time_steps

DAY = 86400.0
_FRACTION = re.compile(r":\d\d[.,](\d+)")
END = 1 << 14  # bytes at the end of a file that hold its last line


def date_rate(file: Path, layout: Layout, index: int, count: int) -> Rate | None:
    """Return the sampling rate that the dates in column ``index`` tell; None where their steps are not steady or too coarse.

    The dates in the first lines give the step, and the date in the last line of the ``count`` samples must agree with it.

    Raises RecordingError where the dates jump.
    """
    name = layout.columns[index].name
    rows = [*layout.rows, *(split(line, layout.separator) for line in layout.later)]
    dates = [seconds(row[index]) if len(row) == len(layout.columns) else None for row in rows]
    values = np.array([np.nan if date is None else date for date in dates])
    clock = 0 <= values[0] < DAY  # times of day without a date, which begin anew at midnight
    if clock:
        values[1:] += DAY * np.cumsum(np.diff(values) < -DAY / 2)
    fractions = [_FRACTION.search(row[index]) for row in layout.rows]  # pandas writes none for whole seconds
    written = 10.0 ** -max(len(found[1]) if found else 0 for found in fractions)
    axis = time_steps(values, written, 1.0, f"{file}: its column {name}")
    if axis is None:
        return None
    last = None if layout.whole else _last(file, layout, index)
    if last is not None:
        length = axis.step * (count - 1)
        beyond = last - values[0] - length
        beyond = (beyond + DAY / 2) % DAY - DAY / 2 if clock else beyond
        if abs(beyond) > 2 * axis.off * count + 2 * written + 3 * axis.step + 1e-5 * length:
            raise RecordingError(f"{file}: its column {name} jumps or its steps are not steady: cut the recording there")
        axis = min(axis, Axis((length + beyond) / (count - 1), written / (count - 1)), key=lambda axis: axis.off)
    rate = round_rate(axis)
    return None if rate is None else Rate(rate, f"the dates in its column {name}")


def _last(file: Path, layout: Layout, index: int) -> float | None:
    """Return the date in the last line of a file in seconds; None for a compressed file, which would be read whole for it."""
    with open_bytes(file) as opened:
        if type(opened).__name__ == "GzipFile":
            return None
        opened.seek(max(0, opened.seek(0, os.SEEK_END) - END))
        line = opened.read().decode(layout.encoding, errors="replace").rstrip().splitlines()[-1]
    cells = split(line, layout.separator)
    return seconds(cells[index]) if len(cells) == len(layout.columns) else None
