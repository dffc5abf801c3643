"""Open a file with a signal by its suffix; the readers of NumPy, audio and Parquet files are here.

Files that are memory-mapped or streamed (``.npy``, ``.wav``, ``.flac``, ``.mat`` of version 7.3) are not read when they are
opened. The other files (``.mat`` up to version 7, ``.npz``, ``.csv``, ``.txt``, ``.parquet``) are read whole.
"""

import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

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
from drsn_jax.data.formats.matlab import read_mat
from drsn_jax.data.formats.text import read_text

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
    suffix = file.suffix.lower()
    if suffix not in READERS:
        raise RecordingError(f"{file} is of an unknown kind, choose one of {', '.join(READERS)}")
    try:
        if not file.is_file():
            raise RecordingError(f"{file} does not exist: correct the path, or the folder where the paths start")
        with open(file, "rb") as opened:
            if not opened.read(1):
                raise RecordingError(f"{file} is empty, get it again")
    except OSError as error:
        raise RecordingError(f"{file} cannot be read ({error.strerror}): correct the path or the rights to it") from error
    signal = READERS[suffix](file, channel)
    if signal.length == 0:
        raise RecordingError(f"{file} is empty, expected samples")

    def read(start: int, stop: int) -> np.ndarray:
        if not 0 <= start <= stop <= signal.length:
            raise RecordingError(f"{file} holds the samples [0, {signal.length}), not [{start}, {stop})")
        with damage(file, suffix):
            values = signal.read(start, stop)
            if values.shape != (stop - start, signal.channels):
                raise ValueError(f"it ends at sample {start + len(values)} of {signal.length}")
        return values

    return replace(signal, read=read)


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
    wide = None if np.can_cast(values.dtype, np.float32) else lambda start, stop: values[start:stop, columns_read]
    read = lambda start, stop: as_float32(values[start:stop, columns_read])  # noqa: E731
    return Signal(length, len(columns_read), None, read, mapped, wide=wide)


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


def _audio(file: Path, channel: str) -> Signal:
    soundfile = library("soundfile")
    suffix = file.suffix.lower()
    with damage(file, suffix):
        if suffix == ".wav":
            _check_wav(file)
        with soundfile.SoundFile(file) as opened:
            length, count, rate = opened.frames, opened.channels, float(opened.samplerate)
            if opened.format not in ({"FLAC"} if suffix == ".flac" else {"WAV", "WAVEX", "RF64"}):
                raise RecordingError(f"{file} holds {opened.format}, not what its name says: correct its suffix or save it anew")
            if not opened.seekable():
                raise RecordingError(f"{file} cannot be read in parts: save it as .wav")
            # libsndfile believes the header, so the last sample is read
            if length:
                opened.seek(length - 1)
                if len(opened.read(1, dtype="float32")) != 1:
                    raise ValueError(f"its header promises {length} samples and they are not there")
    columns_read = numbered(count, channel, str(file))

    def read(start: int, stop: int) -> np.ndarray:
        with soundfile.SoundFile(file) as opened:
            opened.seek(start)
            return as_float32(opened.read(stop - start, dtype="float32", always_2d=True)[:, columns_read])

    return Signal(length, len(columns_read), rate, read)


def _check_wav(file: Path) -> None:
    """Raise ValueError where the header promises more than the file holds: libsndfile would read what there is."""
    size, place, wide = file.stat().st_size, 12, 0
    with open(file, "rb") as opened:
        mark, _, kind = struct.unpack("4s4s4s", opened.read(12))
        if mark not in (b"RIFF", b"RIFX", b"RF64") or kind != b"WAVE":
            raise ValueError("its header is another")
        while place + 8 <= size:
            opened.seek(place)
            name, count = struct.unpack(">4sI" if mark == b"RIFX" else "<4sI", opened.read(8))
            if name == b"ds64":
                _, wide = struct.unpack("<QQ", opened.read(16))
            if name == b"data" and mark == b"RF64" and count == 0xFFFFFFFF:
                count = wide
            if place + 8 + count > size:
                raise ValueError(f"its header promises {place + 8 + count} bytes and it holds {size}")
            if name == b"data":
                return
            place += 8 + count + count % 2
    raise ValueError("it holds no samples")


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
    ".wav": _audio,
    ".flac": _audio,
    ".parquet": _parquet,
}
