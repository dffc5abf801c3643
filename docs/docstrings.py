"""Reads the docstrings of this package for mkdocstrings: formulas behind ``::`` are code, ``Fields:`` is a list of fields."""

import re
from pathlib import Path
from typing import Any

import griffe  # pyright: ignore[reportMissingImports]

# what the table of public names says of each; for presets and tables, which have no docstring
LINES = dict(re.findall(r"^\| `(\w+)`(?: ★)? \| (.+) \|$", Path(__file__).with_name("api.md").read_text("utf-8"), re.MULTILINE))


class Docstrings(griffe.Extension):
    """Turns the forms of this package's docstrings into those that griffe knows."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = plain(obj.docstring.value)
        elif obj.is_attribute and obj.parent.is_module and obj.name in LINES:
            obj.docstring = griffe.Docstring(f"{LINES[obj.name]}.", parent=obj)


def plain(text: str) -> str:
    """The docstring with reStructuredText's ``::`` and literals as Markdown has them, and with the sections of Google's style."""
    text = re.sub(r"(\S)::$", r"\1:", text, flags=re.MULTILINE)
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    text = re.sub(r"^( +)(\w+(?:, \w+)+): ", _apart, text, flags=re.MULTILINE)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    # fields follow "Fields:", or a sentence such as "Fields: as in ``ResidualUnit``, and"
    return re.sub(r"^(?!(?:[A-Z]\w+:|[- >]).*$)(\S.*)\n(?=  \w+: )", r"\1\n\nAttributes:\n", _fields(text), flags=re.MULTILINE)


def _fields(text: str) -> str:
    """``Fields:`` as the section of attributes, and a sentence behind it as a paragraph in front of that section."""
    text = re.sub(r"^Fields:$", "Attributes:", text, flags=re.MULTILINE)
    return re.sub(r"^Fields: (\w)(.*)$", lambda match: f"Fields {match[1]}{match[2]}", text, flags=re.MULTILINE)


def _apart(match: re.Match[str]) -> str:
    """``a, b: text`` as two entries, of which the last has the text."""
    *others, last = match[2].split(", ")
    return "".join(f"{match[1]}{name}: see `{last}`.\n" for name in others) + f"{match[1]}{last}: "
