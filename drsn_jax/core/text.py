r"""Names of files, classes and arrays as text that is safe where it is shown: on a terminal, in a table, a page or a figure.

Names come from strangers' files. In a terminal an escape sequence in a name can hide or forge lines, a line break forges one,
and marks that turn the direction of writing swap what is read. A spreadsheet computes a cell that begins with ``=``. Bytes of a
file name that are no UTF-8 (Python has them as surrogates) cannot be written at all. All of these are shown as Python writes
them, ``\x1b`` for the escape character; letters of all scripts stay.
"""

import html
import re
import unicodedata
from typing import Any

JOINERS = "\u200c\u200d"  # invisible, but letters of Persian and Indian scripts need them
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode: controls, marks without a form, surrogates, breaks of lines
FORMULA = re.compile(r"'*[=+\-@]")
LEVELS = re.compile(r"-?[\d.]+\.\.-?[\d.]+")  # a range of SNRs such as -5..5, which no spreadsheet computes


def visible(text: str) -> str:
    """Return a name or a message as one line without anything that controls a terminal."""
    return text if text.isprintable() else "".join(map(_shown, text))


def visible_lines(text: str) -> str:
    """Return a text of several lines without anything that controls a terminal, but for its line breaks and tabs."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def as_html(text: str) -> str:
    """Return a text that a page of HTML shows as it is."""
    return html.escape(visible(text))


def as_cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file in UTF-8: text that a spreadsheet would compute gets ``'`` in front, numbers stay.

    Names of files and classes are ``visible`` when they are read. Here only what cannot be written at all is replaced.
    """
    if not isinstance(value, str):
        return value
    text = value.encode(errors="backslashreplace").decode()
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) and not LEVELS.fullmatch(text) else text


def from_cell(text: str) -> str:
    """Return the text of which ``as_cell`` made a cell."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def _shown(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in UNSAFE:
        return character
    return character.encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
