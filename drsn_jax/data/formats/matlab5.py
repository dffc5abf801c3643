"""MATLAB files of version 5 to 7: their arrays, structs and cells, each checked against what its header promises.

The samples of a variable that is not packed are read in parts; a packed one is unpacked whole.

Source: MAT-File Format, The MathWorks, chapter 1.
"""

import functools
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drsn_jax.data.formats.arrays import Held
from drsn_jax.data.formats.common import RecordingError, check_promise, check_room
from drsn_jax.data.formats.structs import Cell, Node, Struct, named

# the codes of the classes of arrays that hold no real numbers
CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
# the type of a sample by the code of its type
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, OBJECT, CHAR = 1, 2, 3, 4
MATRIX, COMPRESSED, OPAQUE = 14, 15, 17
DEEPEST = 30  # structs within structs
HEAD = 4096  # bytes that hold the header of an array


class Elements:
    """The elements in a piece of a file, one after another; ``place`` is where the next one begins."""

    def __init__(self, content: bytes | memoryview, order: str, place: int = 0) -> None:
        self.content: bytes | memoryview = content
        self.order: str = order
        self.place: int = place

    def tag(self) -> tuple[int, int, int]:
        """Return the kind of the next element, where its content begins and how many bytes it has, and go behind it."""
        kind, count = struct.unpack_from(self.order + "II", self.content, self.place)
        begin, after = self.place + 8, self.place + 8 + -(-count // 8) * 8
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, count, begin, after = kind & 0xFFFF, kind >> 16, begin - 4, begin
            if count > 4:
                raise ValueError(f"a tag of {count} bytes")
        elif kind == MATRIX:
            after = begin + count
        self.place = after
        return kind, begin, count

    def bytes(self, *kinds: int) -> bytes:
        """Return the content of the next element, which must be of one of these kinds."""
        kind, begin, count = self.tag()
        content = bytes(self.content[begin : begin + count])
        if kind not in kinds:
            raise ValueError(f"a header with the kind {kind}")
        if len(content) != count:
            raise ValueError(f"a header of {count} bytes")
        return content


def arrays(file: Path, opened: BinaryIO, order: str) -> list[Held]:
    """List the arrays of a file, those in structs and cells by their paths.

    Raises RecordingError or an error of the parser where the file is damaged.
    """
    found: list[Held] = []
    place, size = 128, file.stat().st_size
    while place < size:
        opened.seek(place)
        kind, count = struct.unpack(order + "II", opened.read(8))
        stop = place + 8 + count
        if stop > size:
            raise RecordingError(f"{file} is damaged: its header promises {stop} bytes and it holds {size}, get it again")
        head = opened.read(min(count, HEAD))
        read: Callable[[], bytes | memoryview] = functools.partial(_read, file, place + 8, count)
        begin = place + 8
        if kind == COMPRESSED:
            head = zlib.decompressobj().decompress(head, HEAD)
            kind, unpacked = struct.unpack_from(order + "II", head)
            head, begin = head[8:], None
            read = functools.cache(functools.partial(_unpacked, file, place + 8, count, unpacked))
        if kind != MATRIX:
            raise ValueError(f"it holds an element of the kind {kind}")
        where = f"{file}: a variable"
        name, code = _name(head, order)
        if name:  # without a name: MATLAB's own
            if code in (CELL, STRUCT, OBJECT, CHAR):
                head = read()
            samples = Samples(file, begin, read)
            found += named(name, _node(Elements(head, order), where, count, samples, 0))
        place = stop
    return found


def _read(file: Path, begin: int, count: int) -> bytes:
    with open(file, "rb") as opened:
        opened.seek(begin)
        return opened.read(count)


def _unpacked(file: Path, begin: int, count: int, promised: int) -> memoryview:
    """Unpack a variable and return it without its tag. Raises an error where it is shorter or longer than its tag says."""
    check_promise(f"{file}: a variable", promised, count)
    check_room(f"{file}: a variable", promised)
    unpack = zlib.decompressobj()
    content = unpack.decompress(_read(file, begin, count), promised + 8)
    # the checksum is compared when the end is reached
    unpack.decompress(unpack.unconsumed_tail, 64)
    if len(content) < promised + 8 or not unpack.eof:
        raise ValueError(f"a variable unpacks to {len(content)} bytes, and its header promises {promised + 8}")
    return memoryview(content)[8:]


class Samples:
    """Where the numbers of a variable lie: in the file from the byte ``begin``, or, without it, in what ``read`` returns."""

    def __init__(self, file: Path, begin: int | None, read: Callable[[], bytes | memoryview]) -> None:
        self.file: Path = file
        self.begin: int | None = begin
        self.read: Callable[[], bytes | memoryview] = read

    def check(self) -> None:
        """Unpack a variable that is packed. Raises an error where it is damaged."""
        if self.begin is None:
            self.read()

    def part(self, kind: np.dtype, begin: int, shape: tuple[int, int], start: int, stop: int) -> np.ndarray:
        """Read rows of an array ``shape`` whose columns lie one after another from the byte ``begin`` of the variable."""
        rows, columns = shape
        if self.begin is None:
            numbers = np.frombuffer(self.read(), kind, rows * columns, begin)
            return numbers.reshape(columns, rows).T[start:stop]
        place, size = self.begin + begin, kind.itemsize
        read = [np.fromfile(self.file, kind, stop - start, offset=place + (k * rows + start) * size) for k in range(columns)]
        return np.stack(read, 1)


def _name(head: bytes, order: str) -> tuple[str, int]:
    """Return the name of a variable and the code of its class, from its first bytes."""
    elements = Elements(head, order)
    code = struct.unpack_from(order + "I", elements.bytes(6))[0] & 0xFF
    if code != OPAQUE:  # which has no dimensions
        elements.bytes(5, 6)
    return _word(elements.bytes(1, 16)), code


def _word(content: bytes) -> str:
    """Return a name, which MATLAB writes in its own code page or in UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _node(elements: Elements, where: str, stored: int, samples: Samples, depth: int) -> Node:
    """Describe the array that begins at ``elements.place``, behind its tag.

    Raises an error where its samples are not what its header promises. ``stored`` is the size of the variable in the file.
    """
    order = elements.order
    flags = struct.unpack_from(order + "I", elements.bytes(6))[0]
    code = flags & 0xFF
    if code == OPAQUE:
        names = [_word(elements.bytes(1, 16)) for _ in range(3)]
        return Held(names[2] or CLASSES[code], holds=names[2] != "string")
    sizes = elements.bytes(5, 6)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    name = _word(elements.bytes(1, 16))
    if code in (CELL, STRUCT, OBJECT):
        if depth > DEEPEST or min(shape, default=0) < 0:
            raise ValueError(f"{name} has the shape {shape} or lies too deep")
        return _nest(elements, code, math.prod(shape), (where, stored, samples, depth + 1))
    if code == CHAR:
        return Held("char", text=_text(elements))
    kind = CLASSES.get(code) or ("logical" if flags & 0x200 else "complex" if flags & 0x800 else "numbers")
    if kind != "numbers":
        return Held(kind, shape, holds=kind in ("sparse", "complex") and math.prod(shape) > 1)
    if code not in range(6, 16) or len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"{name} is of the class {code} and shape {shape}")
    code, begin, count = elements.tag()
    kind_read = np.dtype(order + TYPES[code]) if code in TYPES else None
    if kind_read is None or math.prod(shape) * kind_read.itemsize != count:
        raise RecordingError(f"{where} {name} is damaged: it promises {shape} numbers and holds {count} bytes of kind {code}")
    check_promise(f"{where} {name}", count, stored)
    vector = math.prod(shape) == max(shape)
    flat = (math.prod(shape), 1) if vector else (shape[0], math.prod(shape[1:]))
    return Held(kind, shape, functools.partial(samples.part, kind_read, begin, flat), numeric=True, check=samples.check)


def _nest(elements: Elements, code: int, count: int, rest: tuple[str, int, Samples, int]) -> Node:
    """Describe the elements of a cell, a struct or an object."""
    fields = [""]
    kind = CLASSES[code]
    if code == OBJECT:
        kind = _word(elements.bytes(1, 16)) or kind
    if code != CELL:
        width = struct.unpack_from(elements.order + "I", elements.bytes(5, 6))[0]
        names = elements.bytes(1, 16)
        if width == 0 and names:
            raise ValueError("names of fields without a length")
        fields = [_word(names[i : i + width].split(b"\0")[0]) for i in range(0, len(names), width or 1)]
        fields = [f"_{k}_{field}" if field in fields[:k] else field for k, field in enumerate(fields)]
    if count * len(fields) > len(elements.content) // 8:  # each has a tag of 8 bytes
        raise ValueError(f"{count} elements of a {kind} in {len(elements.content)} bytes")
    read: list[dict[str, Node]] = []
    for _ in range(count):
        read.append({field: _element(elements, *rest) for field in fields})
    if code == CELL:
        return Cell([element[""] for element in read])
    return Struct(read)


def _element(elements: Elements, where: str, stored: int, samples: Samples, depth: int) -> Node:
    """Describe one array within a cell or struct."""
    kind, begin, count = elements.tag()
    if kind != MATRIX or begin + count > len(elements.content):
        raise ValueError(f"an element of the kind {kind} and {count} bytes")
    if count == 0:
        return Held("numbers", (0, 0), numeric=True)
    return _node(Elements(elements.content, elements.order, begin), where, stored, samples, depth)


def _text(elements: Elements) -> str:
    """Return the first line of a text."""
    kind, begin, count = elements.tag()
    order = {"<": "-le", ">": "-be"}[elements.order]
    coding = TEXTS.get(kind, "latin-1")
    content = bytes(elements.content[begin : begin + min(count, 1000)])
    return content.decode(coding + (order if coding in ("utf-16", "utf-32") else ""), "replace")
