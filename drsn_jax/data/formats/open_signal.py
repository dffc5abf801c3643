"""Open a file with a signal by its suffix or its content; the readers of NumPy and Parquet files are here.

Files that are memory-mapped or streamed (``.npy``, ``.wav``, ``.w64``, ``.flac``, ``.tdms``, ``.mat`` of version 7.3) are not
read when they are opened. The other files are read whole.
"""

import gzip
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drsn_jax.data.formats.audio import read_audio
from drsn_jax.data.formats.channels import Variable, choose, numbered
from drsn_jax.data.formats.common import (
    RecordingError,
    Signal,
    as_float32,
    check_promise,
    columns,
    damage,
    in_memory,
    is_numeric,
    library,
)
from drsn_jax.data.formats.content import START, suffix_by_content
from drsn_jax.data.formats.matlab import read_mat
from drsn_jax.data.formats.mdf import read_mdf
from drsn_jax.data.formats.tdms import read_tdms
from drsn_jax.data.formats.text import read_text
from drsn_jax.data.formats.universal import read_universal

ARROW_NUMBERS = ("float", "double", "halffloat", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def open_signal(file: Path, channel: str = "") -> Signal:
    """Open the signal in a file. The file is read whole where its format cannot be read in parts.

    Raises:
      RecordingError: for a file that is missing, of an unknown kind, damaged, or without a usable numeric signal, and for a
        channel that is not there or not the only one. The message is one line that says what to do. ``Signal.read`` raises it
        for a part that is not there. Samples are not checked here; ``recordings.check_samples`` refuses those that are not
        finite.
      ImportError: without the library for the format, naming the extra.
    """
    try:
        if not file.is_file():
            raise RecordingError(f"{file} does not exist: correct the path, or the folder where the paths start")
        with open(file, "rb") as opened:
            start = opened.read(START)
    except OSError as error:
        raise RecordingError(f"{file} cannot be read ({error.strerror}): correct the path or the rights to it") from error
    if not start:
        raise RecordingError(f"{file} is empty, get it again")
    suffix = _suffix(file, start)
    signal = READERS[suffix](file, channel)
    if signal.length == 0:
        raise RecordingError(f"{file} is empty, expected samples")

    def checked(numbers: Callable[[int, int], np.ndarray]) -> Callable[[int, int], np.ndarray]:
        def read(start: int, stop: int) -> np.ndarray:
            if not 0 <= start <= stop <= signal.length:
                raise RecordingError(f"{file} holds the samples [0, {signal.length}), not [{start}, {stop})")
            with damage(file, suffix):
                values = numbers(start, stop)
                if values.shape != (stop - start, signal.channels):
                    raise ValueError(f"it ends at sample {start + len(values)} of {signal.length}")
            return values

        return read

    return replace(signal, read=checked(signal.read), wide=None if signal.wide is None else checked(signal.wide))


def _suffix(file: Path, start: bytes) -> str:
    """Return the suffix in ``READERS`` whose reader a file needs, from its name and its first bytes.

    A name that ends in a known suffix is believed unless the file begins as one of another known format. Elsewhere the first
    bytes decide: files of text often have a date or ``.dat`` at the end of their names.

    Raises RecordingError for an unknown format and for a file that is another than its name says.
    """
    named, found = file.suffix.lower(), suffix_by_content(start)
    if found == ".gz" and named not in READERS:
        with damage(file, ".gz"), gzip.open(file) as opened:
            found = suffix_by_content(opened.read(START))
        if found != ".txt":
            raise RecordingError(f"{file} is compressed: unpack it (gunzip), only text is read from .gz")
        return found
    if named not in READERS:
        if found not in READERS:
            raise RecordingError(f"{file} is of an unknown kind, choose text or one of {', '.join(READERS)}")
        return found
    # text may hold the data sets of a universal file; HDF5 files are those of MATLAB 7.3 too, whose reader knows them
    if found == ".uff" and READERS[named] is read_text:
        return found
    alike = found in ("", ".txt", ".mat", ".h5", ".gz") or READERS.get(found) is READERS[named]
    if not alike:
        raise RecordingError(f"{file} holds {found} data, not what its name says: correct its suffix or save it anew")
    return named


def _npy(file: Path, channel: str) -> Signal:
    with damage(file, ".npy"), np.errstate(over="raise"):
        with open(file, "rb") as opened:
            shape, kind = _array_header(opened, str(file))
        if not is_numeric(kind):
            raise RecordingError(f"{file} is of type {kind}, expected real numbers")
        if 0 in shape:
            raise RecordingError(f"{file} has the shape {shape}: it is empty, expected samples")
        values = np.lib.format.open_memmap(file, mode="r")
        if values.ndim == 1 or (values.ndim == 2 and 1 in shape):
            values = values.reshape(-1, 1)
        if values.ndim != 2:
            raise RecordingError(f"{file} has the shape {shape}, expected (samples,) or (samples, channels)")
        length, count = values.shape
        if count > length:
            raise RecordingError(f"{file} has the shape {shape}, expected (samples, channels): transpose it")
        columns_read = numbered(count, channel, str(file))
    first, end = columns_read[0], columns_read[0] + len(columns_read)
    adjacent = columns_read == list(range(first, end))
    mapped = values[:, first:end] if adjacent and values.dtype == np.float32 else None
    return Signal(length, len(columns_read), None, lambda start, stop: as_float32(values[start:stop, columns_read]), mapped)


def _array_header(opened: BinaryIO, where: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read the shape and type of a ``.npy`` file from its header alone."""
    version = np.lib.format.read_magic(opened)
    if version > (2, 0):
        raise RecordingError(f"{where} is of type structured (version {version}), expected an array of real numbers")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(opened)
    if kind.hasobject:
        raise RecordingError(
            f"{where} holds Python objects, which could run any program and are never loaded: save arrays of numbers"
        )
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    return shape, kind


def _npz(file: Path, channel: str) -> Signal:
    with damage(file, ".npz"), zipfile.ZipFile(file) as archive:
        members = []
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise RecordingError(f"{file}: {name} is compressed in an unusual way, save it by numpy.savez_compressed")
            try:
                with archive.open(member) as opened:
                    shape, kind = _array_header(opened, f"{file}: {name}")  # pyright: ignore[reportArgumentType]
            except RecordingError:
                if not channel:
                    continue
                shape, kind = (), np.dtype(object)
            members.append((member, kind, Variable(name, str(kind), is_numeric(kind), shape)))
        names = choose([variable for _, _, variable in members], channel, str(file))
        arrays = []
        for name in names:
            member, kind, variable = next(entry for entry in members if entry[2].name == name)
            promised = kind.itemsize * max(variable.shape)
            check_promise(f"{file}: {name}", max(promised, member.file_size), member.compress_size)
            with archive.open(member) as opened:
                arrays.append(np.lib.format.read_array(opened, allow_pickle=False))
                if opened.read(1):  # zipfile compares the checksum when the end is read
                    raise ValueError(f"{name} is longer than its header promises")
    return in_memory(columns(arrays))


def _parquet(file: Path, channel: str) -> Signal:
    parquet = library("pyarrow.parquet")
    with damage(file, "Parquet"), parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        rows, fields = opened.metadata.num_rows, list(opened.schema_arrow)
        variables = [Variable(field.name, str(field.type), str(field.type) in ARROW_NUMBERS, (rows,)) for field in fields]
        names = choose(variables, channel, str(file))
        check_promise(str(file), 8 * rows * len(names), file.stat().st_size)
        table = opened.read(columns=names)
        if table.num_rows != rows:
            raise ValueError(f"it promises {rows} rows and holds {table.num_rows}")
        return in_memory(columns([table.column(name).to_numpy() for name in names]))


# a format is added here; the package's docstring tells the other steps
READERS: dict[str, Callable[[Path, str], Signal]] = {
    ".mat": read_mat,
    ".npy": _npy,
    ".npz": _npz,
    ".csv": read_text,
    ".txt": read_text,
    ".wav": read_audio,
    ".w64": read_audio,
    ".flac": read_audio,
    ".parquet": _parquet,
    ".tdms": read_tdms,
    ".mf4": read_mdf,
    ".uff": read_universal,
    ".unv": read_universal,
}
