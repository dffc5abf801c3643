"""What looks like samples in a text file and may be none: a header of numbers, a rate or count above the samples, thousands."""

import re
from collections.abc import Sequence

import numpy as np

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import steady_step
from drsn_jax.data.formats.text_cells import decimals, digits, is_number

FEW = 10  # samples that show how the numbers of a column are written, at least
LATER = 5  # lines that are left out of that, since several lines above the samples may be none
EXACT = 16  # significant digits: Python writes so many, and writes zero as 0.0 then; MATLAB writes 15 at most
OUTLIER = 10.0  # times the largest of the other samples
USUAL_RATES = frozenset(
    [
        *(
            1000.0 * k
            for k in (1, 2, 4, 5, 8, 10, 12, 16, 20, 24, 25, 32, 40, 48, 50, 64, 80, 96, 100, 128, 192, 200, 250, 256, 500)
        )
    ]
    + [1024.0 * 2**k for k in range(10)]
    + [1280.0 * 2**k for k in range(10)]
    + [2560.0 * 5 * 2**k for k in range(6)]
    + [11025.0, 22050.0, 44100.0, 88200.0, 20480.0, 97656.0, 42000.0, 65536.0]
)
_THOUSANDS = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+", re.ASCII) for mark in ".,"}
_SHORT = re.compile(r"[+-]?\d{1,3}", re.ASCII)
_WAY_OUT = "begin the line with # if it is no sample, or write it as the other samples are"


def numbers_are_header(rows: Sequence[Sequence[str]], columns: Sequence[int], decimal: str, where: str) -> bool:
    """Return whether the first line of numbers is a header that counts the columns from 0 or 1, as pandas writes it: ``0,1``.

    Args:
      rows: cells of the lines of numbers; no line above them names the columns.
      columns: the indices of the columns of numbers.
      decimal: the decimal sign.
      where: file and first line, for messages.

    Raises RecordingError where such a line may also be the first sample.
    """
    rest = rows[1:]
    if list(rows[0]) not in [[str(i + first) for i in range(len(rows[0]))] for first in (0, 1)] or not rest:
        return False
    number = int(rows[0][0])
    if [row[0] for row in rest[:2]] == [str(number + 1), str(number + 2)]:  # the first column holds row numbers
        return False
    if len(rest) >= FEW:
        ways = [{decimals(row[column], decimal) for row in rest} for column in columns]
        fixed = all(len(way) == 1 and way != {""} for way in ways)
        exact = all(
            any(digits(row[column]) >= EXACT for row in rest) and "" not in way for column, way in zip(columns, ways, strict=True)
        )
        if fixed or exact:
            return True
    if rows[0] == ["1"]:  # no program is known that writes such a header
        return False
    raise RecordingError(
        f"{where} holds {_shown(rows[0])}, which may be the first sample or a header that counts the columns: "
        "begin it with # or write names if it is a header, or write it with a decimal point if it is a sample"
    )


def check_first_line(rows: Sequence[Sequence[str]], columns: Sequence[int], decimal: str, where: str) -> None:
    """Raise RecordingError where the first line of numbers is written unlike all others, or is far larger.

    Then it may be a sampling rate, a number of samples or the sensitivities of the sensors. The arguments are those of
    ``numbers_are_header``.
    """
    rest = rows[LATER:] if len(rows) >= 2 * LATER + FEW else rows[1:]
    if len(rest) < FEW or not columns:
        return
    unlike = []
    for column in columns:
        cell, others = rows[0][column], [row[column] for row in rest]
        ways = {decimals(other, decimal) for other in others}
        odd = len(ways) == 1 and decimals(cell, decimal) not in ways
        # 0.5 cos t begins with a short number as well, which is about the largest
        share = abs(_value(cell, decimal)) / (max(abs(_value(other, decimal)) for other in others) or 1.0)
        long = sorted(map(digits, others))[len(others) // 10] >= FEW
        short = long and digits(cell) <= 6 and not 0.8 < share < 1.2
        simple = abs(_value(cell, decimal)) in (0.0, 1.0)
        # two decimals or more in all lines but the first are enough in one column
        unlike.append(2 if odd and not simple and ways.isdisjoint(["", "1"]) else int((odd or short) and not simple))
    if all(unlike) or 2 in unlike:
        raise RecordingError(f"{where} holds {_shown(rows[0])}, written unlike the lines below it: {_WAY_OUT}")
    largest = [max(abs(_value(row[column], decimal)) for row in rest) for column in columns]
    first = [abs(_value(rows[0][column], decimal)) for column in columns]
    rate = len(columns) == 1 and first[0] in USUAL_RATES and first[0] > 2 * largest[0]
    more = any(largest) and all(a > max(1.0, OUTLIER * b) for a, b in zip(first, largest, strict=True))
    if rate or (more and len(rest) >= 5 * FEW):
        raise RecordingError(f"{where} holds {_shown(rows[0])}, far more than the lines below it: {_WAY_OUT}")


def check_first_cells(rows: Sequence[Sequence[str]], kinds: Sequence[str], decimal: str, where: str) -> None:
    """Raise RecordingError where the first line of numbers has a number in a column of text or dates, or is beside the steps of a
    column of times or row numbers.

    Args:
      rows: cells of the lines of numbers.
      kinds: of the columns, as in ``text_layout.Column``.
      decimal: the decimal sign.
      where: file and first line, for messages.
    """
    rest = rows[1:]
    for column, kind in enumerate(kinds if len(rest) >= FEW else []):
        cell, others = rows[0][column], [row[column] for row in rest]
        beside = False
        if kind == "number" and is_number(cell, decimal) and all(is_number(other, decimal) for other in others):
            values = np.array([_value(other, decimal) for other in others])
            step = steady_step(values)
            beside = step is not None and abs(values[0] - step - _value(cell, decimal)) > 2.5 * abs(step)
        elif kind in ("text", "date"):
            beside = is_number(cell, decimal) and not any(is_number(other, decimal) for other in others)
        if beside:
            raise RecordingError(f"{where} holds {_shown(rows[0])}, which does not go on in the lines below it: {_WAY_OUT}")


def check_thousands(cells: Sequence[str], decimal: str, where: str) -> None:
    """Raise RecordingError where the decimal signs of a column may part thousands: 512, 1.921, 12.004.

    That is so where whole numbers of up to three digits stand beside numbers with exactly three decimals and no leading zero.
    """
    parted = [cell for cell in cells if decimal in cell]
    whole = [cell for cell in cells if decimal not in cell]
    doubtful = parted and whole and all(map(_THOUSANDS[decimal].fullmatch, parted)) and all(map(_SHORT.fullmatch, whole))
    if doubtful:
        refuse_thousands(parted[0], where)


def check_late_thousands(cells: Sequence[str], values: np.ndarray, decimal: str, where: str) -> None:
    """Raise RecordingError where only whole numbers of up to three digits were looked at and all later numbers with decimals have
    three of them at most, so that 1.921 may be 1921.

    Args:
      cells: those of the column that were looked at.
      values: ``(length,)``, the whole column.
      decimal: the decimal sign.
      where: the file and the column, for messages.
    """
    if not all(map(_SHORT.fullmatch, cells)):
        return
    odd = values[(values != np.rint(values)) & np.isfinite(values)]
    if odd.size and np.abs(odd).min() > 1 and np.allclose(1000 * odd, np.rint(1000 * odd), rtol=0, atol=1e-6):
        refuse_thousands(f"{odd[0]:.3f}".replace(".", decimal), where)


def refuse_thousands(cell: str, where: str) -> None:
    """Raise RecordingError for a number whose decimal sign may part thousands."""
    raise RecordingError(
        f"{where}: {cell!r} may be {cell.replace(',', '.')} or, with a sign between thousands, {re.sub('[.,]', '', cell)}: "
        "write the numbers without signs between thousands, and all of them with the same number of decimals"
    )


def check_promised(header: Sequence[str], cell: str, length: int, where: str) -> None:
    """Raise RecordingError where a file of LabVIEW holds fewer samples than the lines above them promise, and where the first
    of the ``length`` samples, written as ``cell``, is the number of the others."""
    if cell == str(length - 1) and length > FEW:
        raise RecordingError(f"{where} holds {length - 1} samples below a line that says {cell!r}: {_WAY_OUT}")
    if not header or not header[0].startswith("LabVIEW Measurement"):
        return
    for line in header:
        key, *counts = line.split("\t")
        promised = max((int(cell) for cell in counts if cell.isdigit()), default=0)
        if key == "Samples" and promised > length:
            raise RecordingError(f"{where} promises {promised} samples and holds {length}: it was cut, get it again")


def _value(cell: str, decimal: str) -> float:
    return float(cell.replace(decimal, ".")) if is_number(cell, decimal) else 0.0


def _shown(row: Sequence[str]) -> str:
    return repr(" ".join(row)[:60])
