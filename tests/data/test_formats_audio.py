"""Audio files whose headers are wrong, and files that are cut short."""

import struct

import numpy as np
import pytest
import soundfile
from signal_files import LENGTH, PAIR, RATE, refused, whole

from drsn_jax.data.formats.common import RecordingError, RecordingWarning
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
        riff(promised=2**32 - 1, mark=b"RF64"),
        riff(promised=2**31 + 2),
        riff(promised=3_000_000_000),
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


@pytest.mark.parametrize("promised", [2**32 - 1, 2**32 - 37, 2**31 - 1, 2**31, 0x7FFFF000 - 36, 0x7FFFFF00])
def test_wav_from_a_pipe_is_read_to_its_end(tmp_path, promised):
    """The sizes that ffmpeg, arecord, sox and others write where they cannot go back to the header."""
    file = tmp_path / "a.wav"
    values = np.arange(-100, 100, dtype="<i2")
    file.write_bytes(riff(promised=promised, samples=values.tobytes()))
    with pytest.warns(RecordingWarning, match="does not say how many samples it holds") as told:
        np.testing.assert_array_equal(whole(file)[:, 0], values / 2**15)
    assert str(file) in str(told[0].message)
    # a last sample of which one byte was written
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(RecordingWarning):
        assert whole(file).shape == (199, 1)


def test_audio_from_a_pipe_whose_length_cannot_be_known_is_refused_with_the_way_out(tmp_path, files):
    (tmp_path / "a.wav").write_bytes(riff(promised=0, samples=np.full(100, 300, "<i2").tobytes()))
    refused(tmp_path / "a.wav", "promises no samples and 200 bytes follow", "ffmpeg -i")
    (tmp_path / "b.wav").write_bytes(riff(promised=0, samples=b"LIST\x04\0\0\0abcd"))
    refused(tmp_path / "b.wav", "is empty")
    content = bytearray(files["flac"].read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    refused(tmp_path / "a.flac", "does not say how many samples it holds", "ffmpeg -i")


def test_w64_from_a_pipe_and_cut(tmp_path, files):
    content = files["w64"].read_bytes()
    place = content.index(b"data") + 16
    file = tmp_path / "a.w64"
    file.write_bytes(content[:place] + struct.pack("<Q", 2**63 - 1) + content[place + 8 :])
    with pytest.warns(RecordingWarning, match="read to its end"):
        np.testing.assert_array_equal(whole(file, "1+2"), PAIR)
    for wrong in (struct.pack("<Q", len(content)), b"\xff" * 7 + b"\0"):
        file.write_bytes(content[:place] + wrong + content[place + 8 :])
        refused(file, "promises")


def test_what_was_taken_and_where_the_rate_is_from(files):
    signal = open_signal(files["wav"], "2")
    assert (signal.channel, signal.sampling_rate, signal.rate_from) == ("2", RATE, "its header")


@pytest.mark.parametrize(("subtype", "wide"), [("FLOAT", False), ("PCM_24", False), ("PCM_32", True), ("DOUBLE", True)])
def test_samples_that_float32_cannot_hold_are_offered_as_they_are(tmp_path, subtype, wide):
    values = 0.5 + PAIR.astype(np.float64) * 2**-27
    soundfile.write(tmp_path / "a.wav", values, RATE, subtype=subtype)
    signal = open_signal(tmp_path / "a.wav", "2")
    assert (signal.wide is not None) == wide
    if signal.wide is not None:
        np.testing.assert_allclose(signal.wide(3, 9), values[3:9, 1:], rtol=0, atol=2**-31)
        with pytest.raises(RecordingError, match="holds the samples"):
            signal.wide(3, LENGTH + 1)


def test_a_star_means_all_channels(tmp_path):
    """They have no names, so that none of them can be a time axis."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (50, 20)), 8000, subtype="FLOAT")
    signal = open_signal(tmp_path / "a.wav", "*")
    assert signal.channels == 20
    every = " + ".join(str(number) for number in range(1, 21))
    np.testing.assert_array_equal(signal.read(0, 50), open_signal(tmp_path / "a.wav", every).read(0, 50))
