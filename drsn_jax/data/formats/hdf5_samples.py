"""The samples of a data set of HDF5: parts of it, scaled as its attributes say, and whether all are there."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.data.formats.common import RecordingError, check_promise, library


def part(file: Path, name: str, start: int, stop: int, field: str = "", turned: bool = False) -> np.ndarray:
    """Read rows of a data set as ``Held.part`` does, scaled as its attributes say."""
    with library("h5py").File(file, "r") as opened:
        values = opened[name]
        scale, offset = (_scalar(values.attrs, key) for key in ("scale_factor", "add_offset"))
        gaps = [gap for key in ("_FillValue", "missing_value") if (gap := _scalar(values.attrs, key)) is not None]
        shape = values.shape
        if field:
            read = values.fields(field)[start:stop][:, None]
        elif values.size == max(shape, default=0) or not shape:
            along = tuple(slice(start, stop) if size == values.size else slice(None) for size in shape)
            read = np.asarray(values[along]).reshape(-1, 1)
        else:
            read = values[..., start:stop].T if turned else values[start:stop]
    missing = np.zeros(read.shape, bool)
    for gap in gaps:
        missing |= read == gap
    if scale is not None or offset is not None or missing.any():
        read = read.astype(np.float64) * (1.0 if scale is None else scale) + (offset or 0.0)
        if gaps:
            read[missing] = np.nan  # refused later, with its place
    return read


def check_stored(values: Any, where: str) -> None:
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


def _scalar(attributes: Any, name: str) -> float | None:
    """Return the number in an attribute; None where there is none."""
    if name not in attributes:
        return None
    value = np.asarray(attributes[name])
    if value.dtype.kind not in "iuf" or value.size != 1:
        raise ValueError(f"its attribute {name} is no number")
    return value.item()
