"""The names and units of the columns of a text file, from the lines above its samples."""

import itertools
import re
from collections.abc import Sequence

from drsn_jax.data.formats.text_cells import comment, is_number, split

_UNITS = (
    "s sec second seconds ms msec us µs μs usec ns min h g mg gn m/s2 m/s² m/s^2 m/s mm/s mm/s2 "
    "um µm μm mm m v mv kv uv µv μv volt volts a "
    "ma amp amps n nm n·m n*m kn hz khz rpm 1/min u/min min-1 min^-1 "
    "°c degc °f k bar mbar pa kpa mpa db % - raw count counts lsb adc "
    "mv/v mv/g µm/m μm/m um/m ppm g's gs m/s^2 m/s**2 "
    "deg ° rad rad/s ips in/s mil mils w kw kg in lbf psi"
)
UNITS = frozenset(_UNITS.split())
HEADER_END = 3  # lines above the samples among which the names are
_BRACKETS = re.compile(r"(.*?)\s*(?:\[([^\]]*)\]|\(([^)]*)\))\s*")
_WIDE = re.compile(r"\s{2,}|\t")  # between names that hold blanks themselves
_TIME = re.compile(r"(x|t|time|zeit|messzeit|temps|tiempo|tempo)\b", re.IGNORECASE)
_SUFFIX = re.compile(r"(.+?)(?:\s*/\s*|[_ ]|,\s*)(s|sec|seconds|ms|msec|us|µs|μs|usec|ns)", re.IGNORECASE)


def split_unit(name: str) -> tuple[str, str]:
    """Split the name of a column into name and unit: ``("Time", "ms")`` for ``"Time [ms]"``, ``"Time/ms"`` and ``"Time_ms"``."""
    found = _BRACKETS.fullmatch(name)
    if found:
        return found[1], (found[2] if found[2] is not None else found[3]).strip()
    found = _SUFFIX.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def column_names(
    header: Sequence[str], separator: str | None, kinds: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[tuple[str, str, bool]]:
    """Return for each column its name, its unit, and whether it holds row numbers without a name, as pandas and R write them.

    Name and unit are empty where the header has none.

    Args:
      header: the lines above the samples, without blank ones.
      separator: between cells; None for blanks.
      kinds: of the columns, as in ``text_layout.Column``.
      rows: cells of the first samples.
    """
    index = len(kinds) > 1 and kinds[0] == "number" and _counts_on([row[0] for row in rows])
    fitting = [cells for line in header[-HEADER_END:] if (cells := _fitting(line, separator, kinds, index)) is not None]
    names, units = [""] * len(kinds), [""] * len(kinds)
    if len(fitting) > 1 and (_are_units(fitting[-1]) or _begin_with_time(*fitting[-2:])):
        names, units = fitting[-2], [cell.strip("[]() ") for cell in fitting[-1]]
    elif fitting:
        names = fitting[-1]
    unnamed = index and not names[0] and any(names)
    return [
        (name, unit or split_unit(name)[1], unnamed and i == 0) for i, (name, unit) in enumerate(zip(names, units, strict=True))
    ]


def numbers_as_names(cells: Sequence[str]) -> bool:
    """Return whether cells with a word among them count the columns on from 0 or 1: ``index,0,1``."""
    counted = [cell for cell in cells if is_number(cell)]
    return 0 < len(counted) < len(cells) and counted in [[str(i + first) for i in range(len(counted))] for first in (0, 1)]


def _fitting(line: str, separator: str | None, kinds: Sequence[str], index: bool) -> list[str] | None:
    """Return the cells of a line that could name all columns; None for another line."""
    line = comment(line) or line
    if len(kinds) == 1:
        line = line.strip().strip('"').strip()
        valued = re.search(r"(?:[:=]\s*|^)[-+\d.,]+\s*\S{0,8}$", line)  # a line such as Rate: 12800 Hz
        return None if not line or is_number(line) or valued else [line]
    cells = split(line, separator)
    if cells and len(cells) > 1 and cells[0].endswith(":"):
        return None  # a property of the file: X-Axis unit: s
    apart = [cell.strip('"') for cell in _WIDE.split(line.strip())] if separator is None else []
    if len(apart) == len(kinds) != len(cells):
        cells = apart
    if any(map(is_number, cells)) and not numbers_as_names(cells):
        return None
    if len(cells) == len(kinds):
        return cells if any(cells) else None
    while cells and not cells[-1]:
        cells.pop()
    expected = len(kinds) - (kinds[-1] == "empty")
    if (
        len(cells) == len(kinds) + 1 and cells[-1].lower() == "comment"
    ):  # as LabVIEW writes it, for remarks that a line may end in
        return cells[:-1]
    if len(cells) == expected - 1 > 0 and separator != "," and (index or kinds[0] == "text"):
        cells.insert(0, "")  # as R writes it: the names of the rows have none
    return cells + [""] * (len(kinds) - len(cells)) if len(cells) in (expected, len(kinds)) else None


def _are_units(cells: Sequence[str]) -> bool:
    used = [cell for cell in cells if cell]
    bracketed = all(cell[0] + cell[-1] in ("[]", "()") for cell in used)
    return bool(used) and (bracketed or all(cell.strip("[]()").strip().lower() in UNITS for cell in used))


def _begin_with_time(names: Sequence[str], units: Sequence[str]) -> bool:
    """Return whether a line is one of units by its first cell, the unit of the time above it."""
    return _TIME.match(names[0].strip()) is not None and units[0].strip(" []().").lower() in (
        "s",
        "sec",
        "ms",
        "msec",
        "us",
        "µs",
    )


def _counts_on(cells: Sequence[str]) -> bool:
    """Return whether cells are whole numbers that rise by one."""
    if len(cells) < 2 or not all(re.fullmatch(r"\d{1,15}", cell) for cell in cells):
        return False
    return all(int(after) - int(before) == 1 for before, after in itertools.pairwise(cells))
