"""Octave's own text files, which ``save`` writes without an option: matrices, numbers, ranges and structs of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.arrays import Held, of_array, signal_of
from drsn_jax.data.formats.common import RecordingError, Signal, damage
from drsn_jax.data.formats.hdf5 import span
from drsn_jax.data.formats.structs import Node, Struct, named

START = re.compile(rb"#\s*(Created by Octave|name:)")
FIELD = re.compile(r"#\s*([^:]+):\s*(.*?)\s*")


def is_text(start: bytes) -> bool:
    """Return whether a file that begins so is a text file of Octave."""
    return START.match(start) is not None


def read_octave(file: Path, channel: str) -> Signal:
    """Read the variables that ``channel`` means. Raises RecordingError for a type that is not read, with the way out."""
    with damage(file, "text of Octave"):
        lines = _Lines(file.read_text(encoding="latin-1"))
        held: list[Held] = []
        while (name := lines.field("name")) is not None:
            held += named(name, _value(file, lines, name))
        return signal_of(held, channel, str(file))


class _Lines:
    """The lines of a file, one after another."""

    def __init__(self, text: str) -> None:
        self.lines, self.place = text.split("\n"), 0

    def field(self, key: str) -> str | None:
        """Return what the next line with a field says, which must be ``# key: value``; None at the end of the file or struct."""
        while self.place < len(self.lines) and not self.lines[self.place].strip():
            self.place += 1
        if self.place >= len(self.lines):
            return None
        found = FIELD.fullmatch(self.lines[self.place])
        if found is None or found[1].strip() != key:
            if self.place == 0:  # who wrote it
                self.place += 1
                return self.field(key)
            raise ValueError(f"line {self.place + 1} is {self.lines[self.place][:80]!r}, expected # {key}")
        self.place += 1
        return found[2]

    def take(self, count: int) -> list[str]:
        """Return the next lines."""
        taken = self.lines[self.place : self.place + count]
        if len(taken) < count:
            raise ValueError(f"it ends {count - len(taken)} lines early")
        self.place += count
        return taken

    def skip_comments(self) -> Iterator[str]:
        """Pass over the lines up to the next variable of the same level."""
        while self.place < len(self.lines) and not self.lines[self.place].startswith("# name:"):
            yield self.lines[self.place]
            self.place += 1


def _value(file: Path, lines: _Lines, name: str) -> Node:
    """Read the value of a variable, whose name was read."""
    kind = lines.field("type") or ""
    plain = kind.removeprefix("global ")
    if plain == "scalar struct":
        if lines.lines[lines.place].startswith("# ndims:"):
            lines.take(2)
        count = int(lines.field("length") or 0)
        fields: dict[str, Node] = {}
        for _ in range(count):
            field = lines.field("name") or ""
            fields[field] = _value(file, lines, f"{name}.{field}")
        return Struct([fields])
    if plain == "matrix" or re.fullmatch(r"(float |u?int\d+ )?matrix", plain):
        return _matrix(lines, plain)
    if re.fullmatch(r"(float |u?int\d+ )?scalar", plain):
        return of_array(np.array([[float(lines.take(1)[0])]]), kind=kind)
    if plain in ("range", "double_range"):
        base, limit, step = map(float, lines.take(2)[1].split()[:3])
        return span(base, limit, step)
    if plain == "string" or plain == "sq_string":
        count = int(lines.field("elements") or 0)
        texts = []
        for _ in range(count):
            lines.field("length")
            texts += lines.take(1)
        return Held(kind, text=texts[0] if texts else "")
    if "complex" in plain or plain.startswith("bool"):
        list(lines.skip_comments())
        return Held(kind, holds="complex" in plain)
    raise RecordingError(
        f"{file}: {name} is of Octave's type {kind}, which is not read from its text: save the file by save -v7 in Octave"
    )


def _matrix(lines: _Lines, kind: str) -> Held:
    """Read a matrix of two or more dimensions."""
    if lines.lines[lines.place].startswith("# ndims:"):
        lines.take(1)
        shape = tuple(map(int, lines.take(1)[0].split()))
        count = int(np.prod(shape))
        values = _numbers(lines.take(count), count).reshape(shape, order="F")
    else:
        rows, columns = int(lines.field("rows") or 0), int(lines.field("columns") or 0)
        values = _numbers(lines.take(rows if columns else 0), rows * columns).reshape(rows, columns)
    return of_array(values, kind=kind)


def _numbers(lines: list[str], count: int) -> np.ndarray:
    """Read the numbers of some lines. Raises ValueError where there are more or fewer."""
    words = " ".join(lines).replace("NA", "nan").split()
    if len(words) != count:
        raise ValueError(f"it promises {count} numbers and holds {len(words)}")
    return np.array(words, dtype=np.float64)
