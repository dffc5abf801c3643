"""What a cell of a table may hold: text, a number, a count, an SNR, one of some names."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """What a cell holds.

    Fields:
      expected: the kind in words, for messages.
      read: returns a cell as this program writes it (``0.0`` for ``0``); raises ValueError where it holds something else.
      is_text: whether a record holds it as text, and not as a number.
      written_as_text: a pattern of the values that are text in a record although the others are numbers: JSON has no infinity.
    """

    expected: str
    read: Callable[[str], str]
    is_text: bool = False
    written_as_text: str = "inf"

    def in_record(self, value: Any) -> bool:
        """Return whether a value of JSON is of the type in which a record holds this kind: text, or a number."""
        text = self.is_text or (isinstance(value, str) and re.fullmatch(self.written_as_text, value) is not None)
        return isinstance(value, str) if text else isinstance(value, int | float) and not isinstance(value, bool)


def _number(cell: str) -> str:
    return repr(float(_plain(cell)) + 0.0)  # -0.0 and 0.0 are one number


def _share(cell: str) -> str:
    if not 0 <= float(_plain(cell)) <= 1 and not math.isnan(float(cell)):
        raise ValueError(cell)
    return _number(cell)


def _count(cell: str) -> str:
    number = float(_plain(cell))
    if not number.is_integer() or number < 0:
        raise ValueError(cell)
    return str(int(number))


def _positive(cell: str) -> str:
    if float(_plain(cell)) < 1:
        raise ValueError(cell)
    return _count(cell)


def _snr(cell: str) -> str:
    if not (abs(float(_plain(cell))) <= 100 or float(cell) == math.inf):
        raise ValueError(cell)
    return _number(cell)


def _level(cell: str) -> str:
    first, *second = (_snr(part).removesuffix(".0") for part in cell.split("..", 1))
    return "..".join([first, *second])


def _snr_or_range(cell: str) -> str:
    return _level(cell) if ".." in cell else _snr(cell)


def _plain(cell: str) -> str:
    if "_" in cell:  # Python reads 1_000 as a number
        raise ValueError(cell)
    return cell


TEXT = Kind("text", str, is_text=True)
NUMBER = Kind("a number", _number)
SHARE = Kind("a number from 0 to 1", _share)
COUNT = Kind("a whole number", _count)
POSITIVE = Kind("a whole number from 1", _positive)
SNR = Kind("an SNR in dB, or inf", _snr)
SNR_OR_RANGE = Kind("an SNR in dB, two joined by .., or inf", _snr_or_range, written_as_text=r"inf|.*\.\..*")
LEVEL = Kind("an SNR in dB, two joined by .., or inf", _level, is_text=True)


def one_of(names: Sequence[str]) -> Kind:
    """Return the kind of a cell that holds one of these names."""
    # a name that is no Unicode, from an old archive, is written with its bytes as escapes
    known = frozenset(name.encode(errors="backslashreplace").decode() for name in names)

    def read(cell: str) -> str:
        if cell not in known:
            raise ValueError(cell)
        return cell

    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return Kind(f"one of {shown}", read, is_text=True)
