"""MATLAB files: version 5 to 7 by scipy, which reads them whole, version 7.3 (HDF5) by h5py, in parts."""

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drsn_jax.data.formats.channels import Variable, choose
from drsn_jax.data.formats.common import RecordingError, Signal, as_float32, check_promise, columns, damage, in_memory, library

# version 5: the codes of the classes of arrays that hold no numbers
CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
# version 5: the bytes of a sample by the code of its type
ITEMSIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
MATRIX, COMPRESSED, OPAQUE = 14, 15, 17
# version 7.3: the classes that hold numbers
NUMBERS = (b"double", b"single", *(f"{sign}int{bits}".encode() for sign in ("", "u") for bits in (8, 16, 32, 64)))


def read_mat(file: Path, channel: str) -> Signal:
    """Open the variables that ``channel`` means. Raises RecordingError for a damaged file or a variable that is no signal."""
    with open(file, "rb") as opened:
        start = opened.read(520)
        # HDF5 may begin behind a block of MATLAB's own
        if b"\x89HDF\r\n\x1a\n" in start:
            return _version_7_3(file, channel)
        with damage(file, "MATLAB"):
            order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(start[124:128])
            if order is None:
                raise ValueError("its header is not that of version 5 to 7.3")
            variables = _version_5(file, opened, order)
            names = choose([variable for variable, _ in variables], channel, str(file))
            places = {variable.name: place for variable, place in variables}
            read = library("scipy.io").loadmat
            arrays = []
            for name in names:
                first, stop = places[name]
                opened.seek(first)
                # scipy crashes on some damaged headers, so it gets this variable alone, whose header has been checked
                content = read(io.BytesIO(start[:128] + opened.read(stop - first)), variable_names=[name])
                arrays.append(content[name])
    return in_memory(columns(arrays))


def _version_5(file: Path, opened: BinaryIO, order: str) -> list[tuple[Variable, tuple[int, int]]]:
    """List the variables of a file, each with the first byte and the end of its place in the file.

    Source: MAT-File Format, The MathWorks, chapter 1.
    """
    variables = []
    place, size = 128, file.stat().st_size
    while place < size:
        opened.seek(place)
        kind, count = struct.unpack(order + "II", opened.read(8))
        stop = place + 8 + count
        if stop > size:
            raise RecordingError(f"{file} is damaged: its header promises {stop} bytes and it holds {size}, get it again")
        head = opened.read(min(count, 4096))
        if kind == COMPRESSED:
            head = zlib.decompressobj().decompress(head, 4096)
            kind, *_ = struct.unpack_from(order + "I", head)
            head = head[8:]
        if kind != MATRIX:
            raise ValueError(f"it holds an element of the kind {kind}")
        variable = _variable(head, order, f"{file}: a variable", count)
        if variable.name:  # without a name: MATLAB's own
            variables.append((variable, (place, stop)))
        place = stop
    return variables


def _variable(head: bytes, order: str, where: str, stored: int) -> Variable:
    """Describe an array from its first bytes ``head``. Raises an error where its samples are not what these bytes promise."""
    place = 0

    def element(*kinds: int) -> tuple[int, bytes, int]:
        nonlocal place
        kind, count = struct.unpack_from(order + "II", head, place)
        begin, place = place + 8, place + 8 + -(-count // 8) * 8
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, count, begin, place = kind & 0xFFFF, kind >> 16, begin - 4, begin
            if count > 4:
                raise ValueError(f"a tag of {count} bytes")
        if kinds and kind not in kinds:
            raise ValueError(f"a header with the kind {kind}")
        content = head[begin : begin + count]
        if kinds and len(content) != count:
            raise ValueError(f"a header of {count} bytes")
        return kind, content, count

    flags, *_ = struct.unpack_from(order + "I", element(6)[1])
    code = flags & 0xFF
    if code == OPAQUE:  # has no dimensions
        return Variable("", CLASSES[code], False, ())
    sizes = element(5, 6)[1]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    name = element(1, 16)[1].decode("latin-1")
    kind = CLASSES.get(code) or ("logical" if flags & 0x200 else "complex" if flags & 0x800 else "numbers")
    numeric = kind == "numbers"
    if numeric:
        if code not in range(6, 16) or len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"{name} is of the class {code} and shape {shape}")
        code, _, count = element()
        if math.prod(shape) * ITEMSIZES.get(code, 0) != count:
            raise RecordingError(f"{where} {name} is damaged: it promises {shape} numbers and holds {count} bytes of kind {code}")
        check_promise(f"{where} {name}", count, stored)
    return Variable(name, kind, numeric, shape)


def _version_7_3(file: Path, channel: str) -> Signal:
    """Open variables of an HDF5 file, to be read in parts."""
    h5py = library("h5py")
    with damage(file, "MATLAB"), h5py.File(file, "r") as opened:
        # links are left out, because they may lead to other files; names that begin with # are MATLAB's own
        held = [name for name in opened if not name.startswith("#") and type(opened.get(name, getlink=True)) is h5py.HardLink]
        variables = [_described(name, opened[name]) for name in held if isinstance(opened[name], h5py.Dataset)]
        names = choose(variables, channel, str(file))
        for name in names:
            _check_stored(opened[name], f"{file}: {name}")
        length = opened[names[0]].size

    def read(start: int, stop: int) -> np.ndarray:
        parts = []
        with h5py.File(file, "r") as opened:
            for values in (opened[name] for name in names):
                along = tuple(slice(start, stop) if size == values.size else slice(None) for size in values.shape)
                parts.append(values[along])
        return as_float32(columns(parts))

    return Signal(length, len(names), None, read)


def _described(name: str, values: Any) -> Variable:
    """Describe an HDF5 data set as a variable of MATLAB, whose shape is the other way round."""
    if values.shape is None or "MATLAB_empty" in values.attrs:  # then it holds its shape
        return Variable(name, "double", True, (0, 0))
    class_name = values.attrs.get("MATLAB_class", b"double")
    class_name = class_name.encode() if isinstance(class_name, str) else class_name
    numeric = values.dtype.kind in "iuf" and values.dtype.itemsize <= 8 and class_name in NUMBERS
    known = not isinstance(class_name, bytes) or class_name in NUMBERS
    kind = str(values.dtype) if known else class_name.decode("latin-1")
    return Variable(name, kind, numeric, values.shape[::-1])


def _check_stored(values: Any, where: str) -> None:
    """Raise RecordingError where samples are missing, which HDF5 would fill up, or lie in other files."""
    if values.external or values.is_virtual:
        raise RecordingError(f"{where} lies in another file: save the numbers themselves")
    stored = values.id.get_storage_size()
    if values.chunks is None:
        promised = values.nbytes
        if stored < promised:
            raise RecordingError(f"{where} is damaged: it promises {promised} bytes and {stored} are stored, get it again")
        return
    check_promise(where, max(values.nbytes, math.prod(values.chunks) * values.dtype.itemsize), stored)
    expected = math.prod(-(-size // chunk) for size, chunk in zip(values.shape, values.chunks, strict=True))
    if (present := values.id.get_num_chunks()) != expected:
        raise RecordingError(f"{where} is damaged: it promises {expected} chunks and holds {present}, get it again")
