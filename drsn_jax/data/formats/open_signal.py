"""Open a file with a signal by its suffix; the reader of audio files is here.

Files that are memory-mapped or streamed (``.npy``, ``.wav``, ``.flac``, ``.h5``, ``.mat`` that is not packed) are read in parts;
at most some parts of them are looked at when they are opened. The other files (``.mat`` of version 7, ``.npz``, ``.csv``,
``.txt``, ``.parquet``) are read whole.
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from drsn_jax.data.formats.channels import numbered
from drsn_jax.data.formats.common import RecordingError, Signal, as_float32, damage, library
from drsn_jax.data.formats.hdf5 import read_hdf5
from drsn_jax.data.formats.matlab import read_mat
from drsn_jax.data.formats.numpy_files import read_npy, read_npz
from drsn_jax.data.formats.parquet import read_parquet
from drsn_jax.data.formats.text import read_text


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


# a format is added here; the package's docstring tells the other steps
READERS: dict[str, Callable[[Path, str], Signal]] = {
    ".mat": read_mat,
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_text,
    ".txt": read_text,
    ".wav": _audio,
    ".flac": _audio,
    ".parquet": read_parquet,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
