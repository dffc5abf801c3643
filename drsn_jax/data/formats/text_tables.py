"""Tables of text that are no single recording: spectra, several sensors or classes below each other."""

import re
from collections.abc import Sequence

import numpy as np

from drsn_jax.data.formats.axes import is_frequency
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import MOST, look, several, tells_which
from drsn_jax.data.formats.text_cells import comment, is_number
from drsn_jax.data.formats.text_layout import Layout

_AXIS = re.compile(r"(x|abscissa|horizontal)(axis|achse|dimension|name|quantity)*(type|label|units?)?")
_FREQUENCY = re.compile(r"freq\w*|k?hz")


def which_columns(layout: Layout) -> list[int]:
    """Return the indices of the columns whose names say that they tell the sensor or the class of a line."""
    return [i for i, column in enumerate(layout.columns) if column.named and tells_which(column.name)]


def check_spectrum(layout: Layout, where: str) -> None:
    """Raise RecordingError where the first column, or a line above the samples, says that the lines are of a spectrum."""
    first = layout.columns[0]
    cells = [row[0].replace(layout.decimal, ".") for row in layout.rows if is_number(row[0], layout.decimal)]
    seen = look(np.array(cells, np.float64)) if len(cells) > 2 else ""
    told = first.name if first.named and is_frequency(first.name, seen, first.unit) else ""
    for line in layout.header:
        parts = [part.strip(' []()"').lower() for part in re.split(r"[:=;,\t]", comment(line) or line)]
        if len(parts) > 1 and _AXIS.fullmatch(re.sub(r"[^a-z]", "", parts[0])) and _FREQUENCY.fullmatch(parts[1]):
            told = line.strip()
    if told:
        raise RecordingError(f"{where} holds a spectrum ({told[:60]}): give the recording itself, over time")


def check_one_recording(layout: Layout, picked: Sequence[int], whole: dict[int, np.ndarray], where: str) -> None:
    """Raise RecordingError where another column tells that the lines belong to several sensors or classes.

    Args:
      layout: of the file.
      picked: the indices of the columns that are the signal.
      whole: columns that were read, by their indices: those of ``which_columns`` among them.
      where: the file, for messages.
    """
    named = [i for i in which_columns(layout) if i not in picked]
    for i in named:
        values = whole[i]
        different = [str(value).removesuffix(".0") for value in np.unique(values)[: MOST + 1]]
        stays = np.count_nonzero(values[1:] != values[:-1]) < len(values) / 10 and all(map(str.isdigit, different))
        # of a number that changes all the time, as a counter or the angle of an axis does, nothing is known
        if 1 < len(different) <= MOST and (layout.columns[i].kind == "text" or stays):
            _refuse(layout, i, different, where)
    for i, column in enumerate(layout.columns):
        cells = [row[i] for row in layout.rows]
        turns = len(dict.fromkeys(cells))
        periodic = 1 < turns <= len(cells) // 4 and all(a == b for a, b in zip(cells, cells[turns:], strict=False))
        if i not in picked and periodic and (column.kind == "text" or (i in named and column.kind == "number")):
            _refuse(layout, i, [*dict.fromkeys(cells)], where)


def _refuse(layout: Layout, index: int, values: Sequence[str], where: str) -> None:
    raise RecordingError(several(where, f"column {layout.columns[index].name}", values))
