"""Open a file with a signal by its suffix or its content.

Files that are memory-mapped or streamed (``.npy``, audio, ``.tdms``, ``.h5``, ``.mat`` that is not packed)
are read in parts; at most some parts of them are looked at when they are opened. The other files are read whole.
"""

import gzip
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.common import RecordingError, Signal, damage
from drsn_jax.data.formats.content import START, suffix_by_content, way_out


@dataclass(frozen=True)
class Reader:
    """The function of a module of this package that reads a format; imported when the first file of the format is read."""

    module: str
    function: str

    def __call__(self, file: Path, channel: str) -> Signal:
        return getattr(importlib.import_module(f"drsn_jax.data.formats.{self.module}"), self.function)(file, channel)


READ_TEXT, READ_AUDIO = Reader("text", "read_text"), Reader("audio", "read_audio")
READ_HDF5, READ_UNIVERSAL = Reader("hdf5", "read_hdf5"), Reader("universal", "read_universal")
# a format is added here; the package's docstring tells the other steps
READERS: dict[str, Reader] = {
    ".mat": Reader("matlab", "read_mat"),
    ".npy": Reader("numpy_files", "read_npy"),
    ".npz": Reader("numpy_files", "read_npz"),
    ".csv": READ_TEXT,
    ".txt": READ_TEXT,
    ".wav": READ_AUDIO,
    ".w64": READ_AUDIO,
    ".flac": READ_AUDIO,
    ".parquet": Reader("parquet", "read_parquet"),
    ".h5": READ_HDF5,
    ".hdf5": READ_HDF5,
    ".tdms": Reader("tdms", "read_tdms"),
    ".mf4": Reader("mdf", "read_mdf"),
    ".uff": READ_UNIVERSAL,
    ".unv": READ_UNIVERSAL,
}


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
    if found in ("", ".txt") and (named in READERS or found) and (other := way_out(start)):
        raise RecordingError(f"{file} is {other}")
    if named == ".json":
        raise RecordingError(f"{file} is JSON: save its numbers as .csv")
    if found == ".gz" and named not in READERS:
        with damage(file, ".gz"), gzip.open(file) as opened:
            found = suffix_by_content(opened.read(START))
        if found != ".txt":
            raise RecordingError(f"{file} is compressed: unpack it (gunzip), only text is read from .gz")
        return found
    if named not in READERS:
        if found not in READERS:
            other = way_out(start)
            told = f" ({other})" if other else ""
            raise RecordingError(f"{file} is of an unknown kind{told}, choose text or one of {', '.join(READERS)}")
        return found
    # text may hold the data sets of a universal file; HDF5 files are those of MATLAB 7.3 too, whose reader knows them
    if found == ".uff" and READERS[named] is READ_TEXT:
        return found
    alike = found in ("", ".txt", ".mat", ".h5", ".gz") or READERS.get(found) is READERS[named]
    if not alike:
        raise RecordingError(f"{file} holds {found} data, not what its name says: correct its suffix or save it anew")
    return named
