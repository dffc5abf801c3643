"""Audio files, read in parts by soundfile: WAV with its long forms RF64 and W64, and FLAC.

libsndfile believes what the header of a file promises or reads what there is without a word, so the sizes are checked here.
"""

import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drsn_jax.data.formats.channels import numbered
from drsn_jax.data.formats.common import RecordingError, RecordingWarning, Signal, damage, library

FORMATS: dict[str, tuple[str, ...]] = {".wav": ("WAV", "WAVEX", "RF64"), ".w64": ("W64",), ".flac": ("FLAC",)}
W64_MARK = b"riff\x2e\x91\xcf\x11"


def read_audio(file: Path, channel: str) -> Signal:
    """Open the channels of an audio file that ``channel`` means, numbers from 1. The samples are from -1 to 1.

    A WAV file that was recorded into a pipe does not know its length: it is read to its end, with a RecordingWarning. Raises
    RecordingError for a file that is cut short, of another format than its suffix says, or FLAC without a length.
    """
    soundfile = library("soundfile")
    suffix = file.suffix.lower()
    with damage(file, suffix if suffix in FORMATS else "audio"):
        endless = _check_sizes(file)
        with soundfile.SoundFile(file) as opened:
            exact = opened.subtype not in ("DOUBLE", "PCM_32")
            length, count, rate = opened.frames, opened.channels, float(opened.samplerate)
            if opened.format not in FORMATS.get(suffix, sum(FORMATS.values(), ())):
                raise RecordingError(f"{file} holds {opened.format}, not what its name says: correct its suffix or save it anew")
            if not opened.seekable():
                raise RecordingError(f"{file} cannot be read in parts: save it as .wav")
            # libsndfile believes the header, so the last sample is read
            if length:
                opened.seek(length - 1)
                if len(opened.read(1, dtype="float32")) != 1:
                    raise ValueError(f"its header promises {length} samples and they are not there")
    columns_read = numbered(count, channel, str(file))
    if endless:
        warnings.warn(
            f"{file} does not say how many samples it holds, as a file that was recorded into a pipe: it is read to its end",
            RecordingWarning,
            stacklevel=3,
        )

    def read(start: int, stop: int, kind: str = "float32") -> np.ndarray:
        with soundfile.SoundFile(file) as opened:
            opened.seek(start)
            values = opened.read(stop - start, dtype=kind, always_2d=True)
        return values if columns_read == [*range(count)] else np.ascontiguousarray(values[:, columns_read])

    def wide(start: int, stop: int) -> np.ndarray:
        return read(start, stop, "float64")

    taken = " + ".join(str(index + 1) for index in columns_read) if count > 1 else ""
    return Signal(length, len(columns_read), rate, read, channel=taken, rate_from="its header", wide=None if exact else wide)


def _check_sizes(file: Path) -> bool:
    """Compare what the header of a file promises with its size. Return whether the header leaves the length open.

    Raises ValueError for a WAV or W64 file that promises more than it holds, and RecordingError for a file that was recorded into
    a pipe and whose length cannot be known.
    """
    size = file.stat().st_size
    with open(file, "rb") as opened:
        start = opened.read(42)
        if start.startswith(b"fLaC"):
            # 36 bits of the block STREAMINFO, zero where the writer did not know it
            if len(start) == 42 and start[4] & 127 == 0 and int.from_bytes(start[21:26], "big") & 0xFFFFFFFFF == 0:
                raise RecordingError(
                    f"{file} does not say how many samples it holds, as FLAC that was recorded into a pipe: write it anew, for "
                    "example by ffmpeg -i old.flac new.flac"
                )
            return False
        if start.startswith(W64_MARK):
            place, promised = _w64_samples(opened, size)
            unknown = promised >= 2**62
        elif start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:12] == b"WAVE":
            place, promised = _wav_samples(opened, size, start[:4])
            # programs that write into a pipe put 2^31 or 2^32 there, less the size of a header or a block
            unknown = start[:4] != b"RF64" and (promised > 2**32 - 4096 or 2**31 - 8192 < promised <= 2**31)
            opened.seek(place)
            if promised == 0 and size >= place + 8 and not opened.read(4).strip().isalnum():  # not the name of another chunk
                raise RecordingError(
                    f"{file} promises no samples and {size - place} bytes follow, as in a file that was recorded into a pipe or "
                    "not closed: write it anew, for example by ffmpeg -i old.wav new.wav"
                )
        elif file.suffix.lower() == ".flac":  # there may be tags in front
            return False
        else:
            raise ValueError("its header is another")
    if place + promised > size and not unknown:
        raise ValueError(f"its header promises {place + promised} bytes and it holds {size}")
    return place + promised > size


def _wav_samples(opened: BinaryIO, size: int, mark: bytes) -> tuple[int, int]:
    """Return where the samples of a WAV file begin and how many bytes of them its header promises."""
    place, wide = 12, 0
    while place + 8 <= size:
        opened.seek(place)
        name, count = struct.unpack(">4sI" if mark == b"RIFX" else "<4sI", opened.read(8))
        if name == b"ds64":
            _, wide = struct.unpack("<QQ", opened.read(16))
        if name == b"data":
            return place + 8, wide if mark == b"RF64" and count == 0xFFFFFFFF and wide else count
        if place + 8 + count > size:
            raise ValueError(f"its header promises {place + 8 + count} bytes and it holds {size}")
        place += 8 + count + count % 2
    raise ValueError("it holds no samples")


def _w64_samples(opened: BinaryIO, size: int) -> tuple[int, int]:
    """Return where the samples of a W64 file begin and how many bytes of them its header promises.

    Its chunks have 24 bytes in front, a name of 16 and a size of 8 that counts these 24, and begin at multiples of 8.
    """
    place = 40
    while place + 24 <= size:
        opened.seek(place)
        name, count = struct.unpack("<16sQ", opened.read(24))
        if name[:4] == b"data":
            return place + 24, max(count - 24, 0)
        if count < 24:
            raise ValueError(f"a part of its header has the size {count}")
        place += (count + 7) // 8 * 8
    raise ValueError("it holds no samples")
