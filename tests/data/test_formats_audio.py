"""Audio files whose headers are wrong, and files that are cut short."""

import struct

import numpy as np
import pytest
import soundfile
from signal_files import LENGTH, PAIR, RATE, refused, whole

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal


def test_a_long_flac_file_cut_short_is_refused_on_opening(tmp_path):
    """One of many frames, the first of which are whole."""
    file = tmp_path / "a.flac"
    soundfile.write(file, np.tile(PAIR, (50, 1)), RATE)
    assert open_signal(file, "1").length == 50 * LENGTH
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match="damaged"):
        open_signal(file, "1")


def riff(channels=1, rate=8000, promised=None, samples=bytes(range(200)), mark=b"RIFF"):
    align = channels * 2
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * align & 0xFFFFFFFF, align, 16)
    data = struct.pack("<4sI", b"data", len(samples) if promised is None else promised) + samples
    return struct.pack("<4sI4s", mark, 4 + len(layout) + len(data), b"WAVE") + layout + data


def test_wav_by_hand(tmp_path):
    (tmp_path / "a.wav").write_bytes(riff())
    assert whole(tmp_path / "a.wav").shape == (100, 1)
    # chunks of other kinds around the samples
    content = riff()
    (tmp_path / "a.wav").write_bytes(content[:12] + b"junk\x03\0\0\0abc\0" + content[12:] + b"LIST\x04\0\0\0abcd")
    assert whole(tmp_path / "a.wav").shape == (100, 1)


@pytest.mark.parametrize(
    "content",
    [
        riff(channels=0),
        riff(rate=0),
        riff(rate=2**32 - 1),
        riff(promised=202),
        riff(promised=2**32 - 1),
        riff(promised=2**32 - 1, mark=b"RF64"),
        riff(samples=b""),
        riff()[:44],
        riff()[:36],
        b"RIFF",
    ],
)
def test_wav_headers_that_are_wrong(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    refused(tmp_path / "a.wav")


def test_an_audio_file_that_shrinks_while_it_is_read(tmp_path, files):
    for suffix, kind in ((".wav", "wav"), (".flac", "flac")):
        file = tmp_path / f"a{suffix}"
        content = files[kind].read_bytes()
        file.write_bytes(content)
        signal = open_signal(file, "1")
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(RecordingError, match="damaged"):
            signal.read(LENGTH - 10, LENGTH)
