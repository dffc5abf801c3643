"""Windows that were cut before: files with an array ``(n, length)`` or ``(n, length, channels)`` and perhaps labels beside it.

The windows of a file become one recording, one behind the other, whose ``unit`` is their length: so splits cut between them, and
windows of that length and stride are those that were given.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.data.formats import rates
from drsn_jax.data.formats.channels import pick
from drsn_jax.data.formats.common import RecordingError, damage, is_numeric, library
from drsn_jax.data.formats.looks import MOST, tells_which
from drsn_jax.data.recording_files import FileSignal, agreed_rate, as_precise, check_samples

SHORTEST = 8  # samples of a window; an array with shorter rows holds something else
SUFFIXES = (".npy", ".npz", ".mat", ".h5", ".hdf5", ".csv", ".txt", ".parquet")


def read_given(file: Path, channel: str, sampling_rate: float | None, *, overrule: bool = False) -> tuple[FileSignal, int]:
    """Read the windows of a file as one signal, ``(n · length, channels)`` float32; return it and the length of a window.

    Args:
      file: with one of ``SUFFIXES``.
      channel: the name of the array of windows; an empty one takes the only array of that shape.
      sampling_rate: in Hz, for a file that holds none.
      overrule: as for ``recording_files.agreed_rate``.

    Raises RecordingError for a file without such an array, with several, and as ``recording_files.read_file``.
    """
    arrays = arrays_of(file)
    name, windows = _windows(arrays, channel, str(file))
    for other, array in arrays.items():
        of_windows = array.ndim and array.size == max(array.shape) == len(windows) and other != name
        classes = np.unique(array.ravel().astype(str)).tolist() if of_windows and (tells_which(other) or other in "yY") else []
        if 1 < len(classes) <= MOST:
            raise RecordingError(
                f"{file}: {other} tells {len(classes)} classes of its windows ({', '.join(classes[:5])}): give --labels {other}, "
                "or save each class in a file of its own"
            )
    rate, rate_from = _rate(arrays, file, sampling_rate, overrule)
    signal = check_samples(as_precise(windows.reshape(-1, windows.shape[2])), str(file))
    return FileSignal(signal, rate, name, rate_from), windows.shape[1]


def read_labelled(
    file: Path, channel: str, labels: str, sampling_rate: float | None, *, overrule: bool = False
) -> list[tuple[str, FileSignal, int]]:
    """Read the windows of a file and their labels, which the array ``labels`` beside them holds.

    Returns for each class, in the order of first appearance, its name, its windows as ``read_given`` returns them, and their
    length. Raises RecordingError as ``read_given``, and for labels that are not one for each window.
    """
    arrays = arrays_of(file)
    (name_of_labels,) = pick([name for name in arrays if not _looks_like_windows(arrays[name])], labels, str(file))
    array = arrays[name_of_labels]
    name, windows = _windows(arrays, channel, str(file))
    if array.size != len(windows) or array.size != max(array.shape, default=0):
        raise RecordingError(
            f"{file}: {name_of_labels} has the shape {array.shape}, expected a label for each of the {len(windows)} windows in "
            f"{name}"
        )
    classes = np.array([_name(value) for value in array.ravel().tolist()])
    rate, rate_from = _rate(arrays, file, sampling_rate, overrule)
    found = []
    for label in dict.fromkeys(classes.tolist()):
        own = windows[classes == label]
        signal = check_samples(as_precise(own.reshape(-1, own.shape[2])), f"{file}, class {label}")
        found.append((label, FileSignal(signal, rate, name, rate_from), own.shape[1]))
    return found


def arrays_of(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by their names; that of a file with one array without a name is ``""``.

    Raises RecordingError for a file that is missing, of another kind, or damaged.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise RecordingError(f"windows already cut are read from {', '.join(SUFFIXES)}, not from {file}")
    if not file.is_file():
        raise RecordingError(f"{file} does not exist: correct the path, or the folder where the paths start")
    with damage(file, suffix):
        if suffix == ".npy":
            return {"": np.load(file, mmap_mode="r", allow_pickle=False)}
        if suffix == ".npz":
            with zipfile.ZipFile(file):  # an array alone under this name is no archive
                return dict(np.load(file, allow_pickle=False))
        if suffix in (".csv", ".txt"):
            with open(file, encoding="utf-8-sig") as opened:
                separator = next((mark for mark in (";", "\t", ",") if mark in opened.readline()), None)
            return {"": np.loadtxt(file, delimiter=separator, ndmin=2, encoding="utf-8-sig")}
        if suffix == ".parquet":
            return _parquet(file)
        with open(file, "rb") as opened:
            hdf5 = b"\x89HDF\r\n\x1a\n" in opened.read(520)
        if not hdf5:
            content: dict[str, Any] = library("scipy.io").loadmat(file)
            return {name: array for name, array in content.items() if isinstance(array, np.ndarray)}
        return _hdf5(file)


def _hdf5(file: Path) -> dict[str, np.ndarray]:
    """Return the data sets of an HDF5 file by their paths; those of MATLAB the other way round, as MATLAB shows them."""
    h5py, arrays = library("h5py"), {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None and not name.startswith("#"):
            arrays[name] = item[()].T if "MATLAB_class" in item.attrs else np.asarray(item[()])

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)
    return arrays


def _parquet(file: Path) -> dict[str, np.ndarray]:
    """Return the columns of a Parquet file; a column of lists is an array with a list in each row."""
    table, arrays = library("pyarrow.parquet").read_table(file), {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if "list" not in str(column.type):
            arrays[name] = column.to_numpy()
            continue
        rows = column.to_pylist()
        lengths = {-1 if row is None else len(row) for row in rows}
        if len(lengths) > 1:
            raise RecordingError(
                f"{file}: the rows of {name} have {min(lengths)} to {max(lengths)} samples, expected windows of one length: save "
                "each row as a file of its own, with its label in a table"
            )
        arrays[name] = np.array(rows)
    return arrays


def _looks_like_windows(array: np.ndarray) -> bool:
    return is_numeric(array.dtype) and array.ndim in (2, 3) and len(array) > 1 and max(array.shape[1:]) >= SHORTEST


def _windows(arrays: dict[str, np.ndarray], channel: str, where: str) -> tuple[str, np.ndarray]:
    """Return the name and the windows ``(n, length, channels)`` that are meant."""
    named = channel or ("" in arrays and "") or None
    likely = list(arrays) if named is not None else [name for name, array in arrays.items() if _looks_like_windows(array)]
    held = ", ".join(f"{name or 'an array'} {array.dtype}{list(array.shape)}" for name, array in list(arrays.items())[:20])
    if not likely:
        raise RecordingError(f"{where} holds no array of windows, (n, length) or (n, length, channels) ({held})")
    if named is None and len(likely) > 1:
        raise RecordingError(f"{where} holds several arrays that may be windows ({held}): name one by --channel")
    (name,) = pick(likely, channel, where)
    windows = arrays[name]
    if not _looks_like_windows(windows):
        raise RecordingError(
            f"{where}: {name or 'the array'} is {windows.dtype}{list(windows.shape)}, expected windows (n, length) or "
            "(n, length, channels) of real numbers"
        )
    windows = windows[..., None] if windows.ndim == 2 else windows
    if windows.shape[2] > windows.shape[1]:
        raise RecordingError(
            f"{where}: {name or 'the array'} has the shape {windows.shape}, more channels than samples, expected (n, length, "
            "channels): transpose it by numpy.moveaxis(windows, 1, -1)"
        )
    if windows.shape[2] == 1 and windows.shape[0] != windows.shape[1]:
        for other, array in arrays.items():
            if other != name and array.size == max(array.shape, default=0) == windows.shape[1]:
                raise RecordingError(
                    f"{where}: {name} has the shape {windows.shape[:2]} and {other} as many values as it has columns, expected a "
                    "window in each row: transpose it"
                )
    return name, windows


def _rate(arrays: dict[str, np.ndarray], file: Path, given: float | None, overrule: bool) -> tuple[float, str]:
    """Return the sampling rate, and where in the file it was found; an empty text where the user gave it."""
    single = {}
    for name, array in arrays.items():
        values = array.ravel()
        if not array.size or array.dtype.kind not in "iuf" or rates.mentioned(name, 1e4, "") is None:
            continue
        single[name] = values[0]  # a number, or a column that repeats it
        if not overrule and not rates.same(values.min(), values.max()):
            raise RecordingError(
                f"{file}: {name} differs from window to window ({values.min():.9g} to {values.max():.9g}): with mixed rates a "
                "class gives itself away, so take windows of one rate, or let a rate overrule the file (--overrule-rate)"
            )
    stored, source = rates.agreed((rates.mentioned(name, value, f"its {name}") for name, value in single.items()), str(file))
    rate = agreed_rate(str(file), stored, given, source, overrule=overrule)
    return rate, source if stored is not None and rates.same(rate, stored) else ""


def _name(value: object) -> str:
    """Return a label as the name of a class: 2.0 is "2"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if not text.strip() or text == "nan":
        raise UserError(f"the label {value!r} of a window names no class: fill it in, or leave the window out")
    return text.strip()
