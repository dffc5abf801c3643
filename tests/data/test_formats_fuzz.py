"""Damaged files of every kind: a float32 array of the promised shape, or one clear line, and nothing else.

The files are read in another process, so that a library that crashes or hangs is a failure like others. Warnings are
errors in it, and its memory and its open files are counted.
"""

import io
import json
import selectors
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signal_files import KINDS, PAIR

from drsn_jax.data.formats.open_signal import READERS

READER = """
import gc, json, os, sys, warnings
from pathlib import Path
import numpy as np
import asammdf, h5py, nptdms, pyarrow.parquet, pyuff, scipy.io, soundfile
from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.data.formats.open_signal import open_signal

warnings.simplefilter("error")
warnings.simplefilter("ignore", RecordingWarning)
unraisable = []
sys.unraisablehook = lambda told: unraisable.append(repr(told.exc_value))
pyarrow.set_cpu_count(1)

def ask(file, channel):
    try:
        signal = open_signal(Path(file), channel)
        values = signal.read(0, signal.length)
        if values.dtype != np.float32 or values.shape != (signal.length, signal.channels) or not values.size:
            return "wrong", f"{values.dtype} {values.shape} {signal}"
        start, stop = signal.length // 3, signal.length // 3 * 2
        if signal.read(start, stop).tobytes() != values[start:stop].tobytes():
            return "wrong", "a part differs from the whole"
        if signal.sampling_rate is not None and not 0 < signal.sampling_rate < float("inf"):
            return "wrong", f"a rate of {signal.sampling_rate}"
        return "array", str(values.shape)
    except RecordingError as error:
        message = str(error)
        good = len(message.splitlines()) == 1 and file in message and len(message) < 3000
        return ("refused" if good else "wrong"), message
    except BaseException as error:
        return "wrong", repr(error)

base = None
for line in sys.stdin:
    outcome, message = ask(*json.loads(line))
    files = len(os.listdir("/proc/self/fd"))
    if base is not None and files > base:
        gc.collect()
        files = len(os.listdir("/proc/self/fd"))
        if files > base:
            outcome, message = "wrong", f"{files - base} files are left open; {message}"
    base = files if base is None else base
    if unraisable:
        outcome, message = "wrong", unraisable.pop()
    # not ru_maxrss, which begins with the memory of the process that started this one
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
    if peak > 1000:
        outcome, message = "wrong", f"{peak} MiB were used; {message}"
    print(json.dumps([outcome, message]), flush=True)
"""


class Reader:
    """Reads files in another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.outcomes: Counter[str] = Counter()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def read(self, content: bytes, suffix: str, channel: str) -> str:
        """What became of it; a failure for anything but an array or one line."""
        file = self.folder / f"a{suffix}"
        # a new file each time: one that is still mapped must not change
        file.unlink(missing_ok=True)
        file.write_bytes(content)
        if self.process is None:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
            self.process = subprocess.Popen([sys.executable, "-P", "-X", "faulthandler", "-c", READER], **streams)
            self.read(b"1.5\n2.5\n", ".txt", "")  # the first counts the files that are open anyway
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(file), channel]) + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            answer = self.process.stdout.readline() if selector.select(60) else "hung"
        if not answer or answer == "hung":
            code = "hung" if answer else f"died with {self.process.wait()}"
            self.close()
            pytest.fail(f"the reader {code} on {len(content)} bytes as {suffix} by {channel!r}: {self.keep(content, suffix)}")
        outcome, message = json.loads(answer)
        if outcome == "wrong":
            self.close()
            pytest.fail(f"{suffix} by {channel!r}: {message}: {self.keep(content, suffix)}")
        self.outcomes[f"{suffix} {outcome if outcome == 'array' else reason(message)}"] += 1
        return outcome

    def keep(self, content: bytes, suffix: str) -> Path:
        """Where a file that failed lies for a closer look."""
        file = self.folder / f"failed-{zlib.crc32(content):08x}{suffix}"
        file.write_bytes(content)
        return file


def reason(message: str) -> str:
    """The class of a refusal."""
    known = ("is damaged", "name the channel", "holds no", "fits", "is of type", "has the shape", "is empty", "expected numbers")
    return next((f"refused: {words}" for words in known if words in message), "refused: otherwise")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = Reader(tmp_path_factory.mktemp("fuzz"))
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The content of a valid file of every kind, and of those whose inner part is to be damaged."""
    folder = tmp_path_factory.mktemp("whole")
    contents = {}
    for kind, (write, suffix, _, _) in KINDS.items():
        write(folder / f"a{suffix}")
        contents[kind] = (folder / f"a{suffix}").read_bytes()
    np.save(folder / "a.npy", PAIR[:, 0])
    contents["npz inner"] = (folder / "a.npy").read_bytes()
    scipy.io.savemat(folder / "a.mat", {"a": PAIR[:, :1]})
    contents["v7 inner"] = (folder / "a.mat").read_bytes()
    cell = np.array([PAIR[:, :1], "text", PAIR[:, 1:]], object)
    scipy.io.savemat(folder / "a.mat", {"s": {"a": PAIR[:, :1], "c": cell, "fs": 8000.0}})
    contents["v7 inner struct"] = (folder / "a.mat").read_bytes()
    return contents.__getitem__


# --- damage

# most of what can go wrong lies at the beginning, some at the end
PLACES = st.one_of(st.integers(0, 299), st.integers(-300, -1), st.integers(0, 1 << 16))
SPANS = st.one_of(st.integers(1, 16), st.integers(1, 4000))
NUMBERS = st.sampled_from(
    [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\xff" * 8, b"\0" * 8]
)
STEPS = st.one_of(
    st.tuples(st.just("cut"), PLACES, st.just(0), st.just(b"")),
    st.tuples(st.just("flip"), PLACES, st.integers(0, 7), st.just(b"")),
    st.tuples(st.just("write"), PLACES, st.just(0), st.binary(min_size=1, max_size=8) | NUMBERS),
    st.tuples(st.just("insert"), PLACES, st.just(0), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("delete"), PLACES, SPANS, st.just(b"")),
    st.tuples(st.just("double"), PLACES, SPANS, st.just(b"")),
    st.tuples(st.just("move"), PLACES, SPANS, st.just(b"")),
)


def damaged(content: bytes, steps: list[tuple[str, int, int, bytes]]) -> bytes:
    for what, place, span, new in steps:
        size = len(content)
        at = place % size if size else 0
        if what == "cut":
            content = content[:at]
        elif what == "flip" and size:
            content = content[:at] + bytes([content[at] ^ 1 << span]) + content[at + 1 :]
        elif what == "write":
            content = content[:at] + new + content[at + len(new) :]
        elif what == "insert":
            content = content[:at] + new + content[at:]
        elif what == "delete":
            content = content[:at] + content[at + span :]
        elif what == "double":
            content = content[: at + span] + content[at:]
        elif what == "move":
            other = (at * 7 + span) % (size or 1)
            content = content[:at] + content[other : other + span] + content[at + span :]
    return content


def zipped(content: bytes) -> bytes:
    """The ``.npy`` file within an archive whose checksums are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    return stream.getvalue()


def deflated(content: bytes) -> bytes:
    """The variables of a MATLAB file of version 5, packed anew."""
    packed = zlib.compress(content[128:])
    return content[:128] + struct.pack("<II", 15, len(packed)) + packed


# what is damaged before it is packed, as what it is read
INNER = {"npz inner": (zipped, ".npz"), "v7 inner": (deflated, ".mat"), "v7 inner struct": (deflated, ".mat")}
ALL = [*KINDS, *INNER]
CHANNELS = st.integers(0, 4)
DAMAGE = st.one_of(STEPS.map(lambda step: [step]), st.lists(STEPS, min_size=1, max_size=4))


def ask(reader, whole, kind, steps, which):
    pack, suffix = INNER[kind] if kind in INNER else (bytes, KINDS[kind][1])
    a, b = KINDS[kind][2:] if kind in KINDS else "ab"
    channel = ("", a, f"{a}+{b}", "*", b)[which]
    return reader.read(pack(damaged(whole(kind), steps)), suffix, channel)


@pytest.mark.parametrize("kind", ALL)
@given(steps=DAMAGE, which=CHANNELS)
def test_damage(reader, whole, kind, steps, which):
    ask(reader, whole, kind, steps, which)


CELLS = st.sampled_from(
    ["1", "-2.5", "0,5", "1e9", "nan", "x", "", '"3"', '"', "#", "2024-01-01", "\0", "\ufeff", "٣", "a b", "1_0", "'"]
)
LINES = st.lists(CELLS, min_size=0, max_size=4)
BYTES = st.one_of(
    st.binary(max_size=400),
    st.tuples(st.sampled_from([",", ";", "\t", " "]), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(LINES, max_size=6)).map(
        lambda drawn: drawn[1].join(drawn[0].join(line) for line in drawn[2]).encode()
    ),
    st.text(alphabet="0123456789.,;-+eE \t\n\r\"'#ab\0", max_size=60).map(str.encode),
)
STARTS = (
    b"",
    b"\x93NUMPY\x01\x00",
    b"PK\x03\x04",
    b"RIFF\0\0\0\0WAVE",
    b"fLaC",
    b"PAR1",
    b"MATLAB".ljust(124) + b"\0\x01IM",
    b"\x89HDF\r\n\x1a\n",
    b"riff\x2e\x91\xcf\x11",
    b"TDSm\x0e\0\0\0\x69\x12\0\0",
    b"    -1\n    58\n",
    b"\x1f\x8b",
    b"MDF     4.10",
    b"# name: a\n# type: matrix\n",
)

SUFFIXES = (*READERS, ".dat", ".gz")  # and some that say nothing

NAMES = st.sampled_from(["", "1", "*", "a"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(content=BYTES, start=st.sampled_from(STARTS), channel=NAMES)
def test_any_bytes(reader, suffix, content, start, channel):
    reader.read(start + content, suffix, channel)


def test_the_reader_finds_what_is_right(reader, whole):
    """That the tests above can see an array at all."""
    for kind in ALL:
        assert ask(reader, whole, kind, [], 1) == "array", kind


@pytest.mark.slow
def test_twenty_thousand_damaged_files(tmp_path, whole, capsys):
    reader = Reader(tmp_path)
    longer = settings(
        max_examples=500, derandomize=False, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )

    @longer
    @given(st.data())
    def damage(kind, drawn):
        ask(reader, whole, kind, drawn.draw(DAMAGE), drawn.draw(CHANNELS))

    @longer
    @given(st.data())
    def any_bytes(suffix, drawn):
        reader.read(drawn.draw(st.sampled_from(STARTS)) + drawn.draw(BYTES), suffix, drawn.draw(NAMES))

    for kind in ALL:
        damage(kind)
    for suffix in SUFFIXES:
        any_bytes(suffix)
    reader.close()
    total = reader.outcomes.total()
    with capsys.disabled():
        print(f"\n{total} files read:")
        print("\n".join(f"  {count:6} {outcome}" for outcome, count in sorted(reader.outcomes.items())))
    assert total >= 20_000
