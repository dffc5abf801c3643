"""Files of MATLAB 4, which Octave, OpenModelica and Dymola still write.

Source: MAT-File Format, The MathWorks, chapter 2.
"""

import functools
import struct
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.arrays import Held
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.matlab5 import Samples

TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
NUMBERS, TEXT, SPARSE = 0, 1, 2
LONGEST = 64  # bytes of a name; MATLAB 4 allows 19


def order_of(start: bytes) -> str:
    """Return the byte order of a file of version 4 from its first bytes, ``"<"`` or ``">"``; an empty text for another file."""
    if len(start) < 20:
        return ""
    for order in "<>":
        kind, rows, columns, imaginary, length = struct.unpack(order + "5i", start[:20])
        known = kind // 1000 == (order == ">") and kind // 10 % 10 < len(TYPES) and kind % 10 <= SPARSE and kind // 100 % 10 == 0
        if known and min(rows, columns) >= 0 and imaginary in (0, 1) and 1 < length <= LONGEST and start[20:21].isalpha():
            return order
    return ""


def arrays(file: Path) -> list[Held]:
    """List the arrays of a file. Raises RecordingError or ValueError where it holds less than its headers promise."""
    found = []
    place, size = 0, file.stat().st_size
    with open(file, "rb") as opened:
        while place < size:
            opened.seek(place)
            head = opened.read(20 + LONGEST)
            order = order_of(head)
            if not order:
                raise ValueError(f"no header of an array at byte {place}")
            code, rows, columns, imaginary, length = struct.unpack(order + "5i", head[:20])
            name = head[20 : 20 + length].split(b"\0")[0].decode("latin-1")
            kind = np.dtype(order + TYPES[code // 10 % 10])
            begin = place + 20 + length
            place = begin + rows * columns * kind.itemsize * (1 + imaginary)
            if place > size:
                raise RecordingError(f"{file} is damaged: {name} promises {place} bytes and the file holds {size}, get it again")
            numeric = code % 10 == NUMBERS and not imaginary
            words = {TEXT: "char", SPARSE: "sparse"}.get(code % 10, "complex" if imaginary else "numbers")
            flat = (rows * columns, 1) if 1 in (rows, columns) else (rows, columns)
            part = functools.partial(Samples(file, begin, bytes).part, kind, 0, flat)
            holds = not numeric and code % 10 != TEXT and rows * columns > 1
            found.append(Held(words, (rows, columns), part, numeric=numeric, name=name, holds=holds))
    return found
