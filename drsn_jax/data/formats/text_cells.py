"""Cells of a line of text: how a line is split into them, and what is a number, a date or a gap."""

import csv
import datetime
import re
import unicodedata

SEPARATORS = (";", "\t", ",", "|")  # in the order in which they are tried; blanks come last
NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
RATE = re.compile(r"[\d.,]+\s*k?(?:Hz|S/s)", re.IGNORECASE)  # a line that is nothing but a rate: 12.8 kHz
COMMENTS = ("#", "%", "//")  # a line that begins so is a comment
ORIGIN = datetime.date(2020, 1, 1).toordinal()  # near to most dates: float64 then holds microseconds
GAPS = frozenset(["", "-", "--", "na", "n/a", "#n/a", "null", "none", "nil", "?"])
_FORTRAN = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d*|\.\d+))[dD]([+-]?\d{1,3})(?![\w.])")  # 1.5D-03
_MONTH = re.compile(r"(\d{1,2})(?:\. |[-./ ])([^\W\d_]{3,9})\.?[-./ ](\d{4})(?=[ T])")
# the first letters of the months in English, German, French, Spanish, Italian, Portuguese and Dutch, without accents
_MONTHS = [
    *("jan ene gen", "feb fev", "mar mae mrz mrt", "apr avr abr", "may mai mei mag", "jun juin giu", "jul juil lug"),
    *("aug ago aou", "sep set", "oct okt ott out", "nov", "dec dez dic"),
]
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[.,'\s]\d{3})+(?:[.,]\d+)?")
_CELL = re.compile(r'"[^"]*"|[^\s"]+')
_DATE = re.compile(
    r"(?:(\d{1,4})[-./](\d{1,2})[-./](\d{1,4})(?:[ T]|$))?\s*(?:(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*([AaPp][Mm])?)?"
    r"(?:Z|[+-]\d{2}:?\d{2})?"
)


def split(line: str, separator: str | None) -> list[str]:
    """Split a line into cells without the blanks and quotes around them. The separator None stands for blanks.

    For example ``split('1, "a b"', ",")`` is ``["1", "a b"]``.
    """
    if separator is None:
        return [cell.strip('"') for cell in _CELL.findall(line)] if '"' in line else line.split()
    quoted = csv.reader([line], delimiter=separator, skipinitialspace=True) if '"' in line else iter([line.split(separator)])
    return [cell.strip() for cell in next(quoted, [])]


def plain(text: str) -> str:
    """Return a text with the numbers of Fortran, ``1.5D-03``, and the minus sign of typography as ``1.5e-03`` and ``-``."""
    return _FORTRAN.sub(r"\1e\2", text.replace("\N{MINUS SIGN}", "-"))


def comment(line: str) -> str | None:
    """Return the text of a line that is a comment, without its mark; None for other lines."""
    line = line.lstrip()
    return line.lstrip("#%/ ").rstrip() if line.startswith(COMMENTS) else None


def is_number(cell: str, decimal: str = ".") -> bool:
    """Return whether a cell is a number whose decimal sign is ``decimal``, a point or a comma."""
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".", 1)
    return NUMBER.fullmatch(cell) is not None


def oddity(cell: str, decimal: str = ".") -> str:
    """Return why a cell that is no number may be meant as one, to add to a message; an empty text for others."""
    if decimal == "." and DECIMAL_COMMA.fullmatch(cell):
        return ", it has a decimal comma"
    return ", it has signs between thousands" if _GROUPED.fullmatch(cell) else ""


def is_gap(cell: str) -> bool:
    """Return whether a cell stands for a number that is missing."""
    return cell.lower() in GAPS


def decimals(cell: str, decimal: str = ".") -> str:
    """Return how a number is written: ``"e"`` where it has an exponent, then the number of its decimals.

    For example it is ``"3"`` for ``1.250``, ``""`` for ``12`` and ``"e2"`` for ``1.25e-3``.
    """
    mantissa, exponent, _ = cell.lower().partition("e")
    _, point, fraction = mantissa.partition(decimal)
    return exponent + (str(len(fraction)) if point else "")


def digits(cell: str) -> int:
    """Return the number of significant digits of a number: 3 for ``-0.0125``."""
    return len(re.sub(r"\D", "", cell.lower().partition("e")[0]).lstrip("0"))


def seconds(cell: str) -> float | None:
    """Return the date or the time of day in a cell in seconds, from an origin that is common to a file; None for other texts.

    A year of four digits may be first (2026-11-28) or last (28.11.2026, 11/28/2026). Without a date the seconds count from
    midnight. A date alone is not enough.
    """
    found = _DATE.fullmatch(_MONTH.sub(_month_as_number, cell.strip()))
    if found is None or found[4] is None or len(cell) > 40:
        return None
    hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
    if found[8]:
        hour = hour % 12 + 12 * (found[8].lower() == "pm")
    total = 3600.0 * hour + 60 * minute + second + (float(f"0.{found[7]}") if found[7] else 0.0)
    if found[1] is None:
        return total
    first, middle, last = (int(part) for part in found.group(1, 2, 3))
    orders = [(first, middle, last)] if len(found[1]) == 4 else [(last, middle, first), (last, first, middle)]
    for year, month, day in orders:
        try:
            return total + 86400.0 * (datetime.date(year, month, day).toordinal() - ORIGIN)
        except ValueError:
            continue
    return None


def _month_as_number(found: re.Match[str]) -> str:
    """Return a date with the name of a month, ``03-May-2024``, as ``03.5.2024``; unchanged where the name is no month's."""
    letters = unicodedata.normalize("NFKD", found[2].lower()).encode("ascii", "ignore").decode()
    for number, names in enumerate(_MONTHS, 1):
        if letters.startswith(tuple(names.split())):
            return f"{found[1]}.{number}.{found[3]}"
    return found[0]


def is_date(cell: str) -> bool:
    """Return whether a cell holds a time of day, alone or after a date."""
    return ":" in cell and seconds(cell) is not None
