"""Open a file with a signal by its suffix or its content.

Files that are memory-mapped or streamed (``.npy``, audio, ``.tdms``, ``.h5``, ``.mat`` that is not packed)
are read in parts; at most some parts of them are looked at when they are opened. The other files are read whole.
"""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.audio import read_audio
from drsn_jax.data.formats.common import RecordingError, Signal, damage
from drsn_jax.data.formats.content import START, suffix_by_content, way_out
from drsn_jax.data.formats.hdf5 import read_hdf5
from drsn_jax.data.formats.matlab import read_mat
from drsn_jax.data.formats.mdf import read_mdf
from drsn_jax.data.formats.numpy_files import read_npy, read_npz
from drsn_jax.data.formats.parquet import read_parquet
from drsn_jax.data.formats.tdms import read_tdms
from drsn_jax.data.formats.text import read_text
from drsn_jax.data.formats.universal import read_universal


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
    if found == ".uff" and READERS[named] is read_text:
        return found
    alike = found in ("", ".txt", ".mat", ".h5", ".gz") or READERS.get(found) is READERS[named]
    if not alike:
        raise RecordingError(f"{file} holds {found} data, not what its name says: correct its suffix or save it anew")
    return named


# a format is added here; the package's docstring tells the other steps
READERS: dict[str, Callable[[Path, str], Signal]] = {
    ".mat": read_mat,
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_text,
    ".txt": read_text,
    ".wav": read_audio,
    ".w64": read_audio,
    ".flac": read_audio,
    ".parquet": read_parquet,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".tdms": read_tdms,
    ".mf4": read_mdf,
    ".uff": read_universal,
    ".unv": read_universal,
}
