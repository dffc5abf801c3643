"""NumPy's files: arrays (``.npy``), which are mapped into memory, and archives of them (``.npz``), which are read whole."""

import functools
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drsn_jax.data.formats.arrays import Held, of_array, signal_of
from drsn_jax.data.formats.channels import advice, has_columns
from drsn_jax.data.formats.common import RecordingError, Signal, check_promise, check_room, damage, is_numeric
from drsn_jax.data.formats.rates import SECONDS


def read_npy(file: Path, channel: str) -> Signal:
    """Map an array ``(n,)`` or ``(n, channels)``. Raises RecordingError for a damaged file or another array."""
    with damage(file, ".npy"), np.errstate(over="raise"):
        with open(file, "rb") as opened:
            shape, kind = _array_header(opened, str(file))
        if not is_numeric(kind) and not (kind.names and len(shape) == 1):
            raise RecordingError(f"{file} is of type {kind}, expected real numbers")
        if 0 in shape:
            raise RecordingError(f"{file} has the shape {shape}: it is empty, expected samples")
        values = np.lib.format.open_memmap(file, mode="r")
        if kind.names:
            return signal_of([_of_column(values[name], name) for name in kind.names], channel, str(file))
        if values.ndim and values.size == max(shape):
            values = values.reshape(-1, 1)
        elif not has_columns(shape):
            raise RecordingError(
                f"{file} has the shape {shape}, expected (samples,) or (samples, channels): {advice('it', shape)}"
            )
        held = of_array(values, name="1", bare=True)
        signal = signal_of([held], channel, str(file))
    columns_read = [0] if held.is_row else [int(name) - 1 for name in signal.channel.split(" + ")]
    first, end = columns_read[0], columns_read[0] + len(columns_read)
    adjacent = columns_read == list(range(first, end))
    return replace(signal, mapped=values[:, first:end] if adjacent and values.dtype == np.float32 else None)


def _of_column(values: np.ndarray, name: str) -> Held:
    """Return a column of a table."""
    if values.dtype.kind in "mM":
        of_dates, count = np.datetime_data(values.dtype)
        unit = SECONDS[of_dates] * count if of_dates in SECONDS else None
        return of_array(values.astype(np.int64), name=name, kind=str(values.dtype), numeric=False, unit=unit)
    return of_array(values, name=name, cells=(lambda: values) if values.dtype.kind in "US" else None)


def read_npz(file: Path, channel: str) -> Signal:
    """Read the arrays of an archive that ``channel`` means. Raises RecordingError for a damaged file or another array."""
    with damage(file, ".npz"), zipfile.ZipFile(file) as archive:
        held = [array for member in archive.infolist() for array in _member(file, archive, member)]
        return signal_of(held, channel, str(file))


def _member(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> list[Held]:
    """Describe an array of an archive by its header, and a table of named columns by each of them."""
    name = member.filename.removesuffix(".npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RecordingError(f"{file}: {name} is compressed in an unusual way, save it by numpy.savez_compressed")
    try:
        with archive.open(member) as opened:
            shape, kind = _array_header(opened, f"{file}: {name}")  # pyright: ignore[reportArgumentType]
    except RecordingError:
        return [Held("object", name=name, holds=True)]
    except ValueError:  # another kind of file in the archive
        if member.filename.endswith(".npy"):
            raise
        return [Held("another kind of file", name=name)]
    if kind.kind in "US":
        text = str(_load(file, member).item())[:100] if shape == () and kind.itemsize < 4000 else ""
        many = len(shape) == 1 and member.file_size < 1 << 26
        cells = functools.partial(_load, file, member) if many else None
        return [Held(str(kind), name=name, text=text, cells=cells)]
    load = functools.cache(functools.partial(_load, file, member))
    check = functools.partial(_check_promise, file, name, member, shape, kind)
    columns = kind.names if kind.names and len(shape) == 1 else ()
    if not columns:
        return [_described(name, shape, kind, load, check)]
    return [_described(f"{name}.{c}", shape, kind[c], functools.partial(_field, load, c), check) for c in columns]


def _described(
    name: str, shape: tuple[int, ...], kind: np.dtype, load: Callable[[], np.ndarray], check: Callable[[], None]
) -> Held:
    """Describe an array of an archive, or a column of a table."""
    of_dates, count = np.datetime_data(kind) if kind.kind in "mM" else (None, 1)
    return Held(
        str(kind),
        shape,
        lambda start, stop: _rows(load())[start:stop],
        numeric=is_numeric(kind),
        name=name,
        holds=kind.kind in "cOV" and shape != (),
        unit=SECONDS[of_dates] * count if of_dates in SECONDS else None,
        check=check,
    )


def _field(load: Callable[[], np.ndarray], name: str) -> np.ndarray:
    """Return a column of a table."""
    return load()[name]


def _rows(values: np.ndarray) -> np.ndarray:
    """Return an array with the rows that ``Held.part`` returns, dates as whole numbers."""
    values = values.astype(np.int64) if values.dtype.kind in "mM" else values
    return values.reshape(-1, 1) if values.ndim < 2 or values.size == max(values.shape) else values


def _check_promise(file: Path, name: str, member: zipfile.ZipInfo, shape: tuple[int, ...], kind: np.dtype) -> None:
    """Raise RecordingError for an array that so few bytes cannot unpack to, or that memory cannot hold."""
    promised = kind.itemsize * int(np.prod([float(size) for size in shape]))
    check_promise(f"{file}: {name}", max(promised, member.file_size), member.compress_size)
    check_room(f"{file}: {name}", promised)


def _load(file: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """Read an array of an archive."""
    with zipfile.ZipFile(file) as archive, archive.open(member) as opened:
        values: Any = np.lib.format.read_array(opened, allow_pickle=False)
        if opened.read(1):  # zipfile compares the checksum when the end is read
            raise ValueError(f"{member.filename.removesuffix('.npy')} is longer than its header promises")
    return values


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
