"""How fast files are read, beside the bare library of each format, and in how much memory.

    pip install -e '.[experiments]' && python experiments/benchmarks/reading.py

An hour of a signal at 12.8 kHz is written as WAV, NumPy, CSV and TDMS. Every way of reading is a process of its own; they take
turns, so that the machine's other load falls on all. A row of the table is a median over the turns: the seconds of the library
that is known for the format and ours, their ratio, and the memory that each took beyond what it had after its imports. The last
column is the memory of reading the same file a batch of windows at a time.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core.errors import optional
from drsn_jax.core.files import write_atomically

RATE = 12_800
COLUMNS = ("format", "library_seconds", "our_seconds", "library_mib", "our_mib", "our_mib_in_parts")
BATCH = 128 * 2048  # samples of a batch of windows

# the bare library: the whole file, as float32
BARE = {
    "wav": "import soundfile\ndef read(): return soundfile.read(file, dtype='float32')[0]",
    "npy": "def read(): return np.load(file).astype(np.float32)",
    "csv": "def read(): return np.loadtxt(file, delimiter=',', skiprows=1).astype(np.float32)",
    "tdms": "import nptdms\ndef read(): return nptdms.TdmsFile.read(file)['g']['acc'][:].astype(np.float32)",
}
OURS = """
from pathlib import Path
from drsn_jax.data.formats.open_signal import open_signal
import nptdms, soundfile
def read():
    signal = open_signal(Path(file))
    return signal.read(0, signal.length)[:, 0]
"""
PARTS = f"""
from pathlib import Path
from drsn_jax.data.formats.open_signal import open_signal
import nptdms, soundfile
def read():
    signal = open_signal(Path(file))
    total = np.float32(0)
    for start in range(0, signal.length, {BATCH}):
        total += signal.read(start, min(start + {BATCH}, signal.length)).sum()
    return np.zeros(signal.length if np.isfinite(total) else 0, bool)
"""
# VmHWM and not ru_maxrss, which begins with the memory of the process that started this one
MEASURE = """
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before, start = peak(), time.perf_counter()
values = read()
print(len(values), time.perf_counter() - start, peak() - before)
"""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    kinds: tuple[Literal["wav", "npy", "csv", "tdms"], ...] = ("wav", "npy", "csv", "tdms")
    """The formats."""
    seconds: int = 3600
    """The length of the recording."""
    turns: int = 3
    """Turns of each way, of which the median is taken."""
    folder: str = ""
    """Where the files are written and deleted again, 2 GB for an hour; by default the system's folder for temporary files."""
    out: Path | None = None
    """Folder of the table, reading.csv; by default runs/reading-<UTC time>."""
    dry_run: bool = False
    """A recording of two seconds, read once each way: the numbers mean nothing."""


def main(options: Options) -> None:
    """Write the files, measure every way of reading them in turns, and print the table."""
    checks.at_least(options, 1, "seconds", "turns")
    if options.dry_run:
        options = replace(options, seconds=2, turns=1)
    out = options.out or console.default_out("reading")
    out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = [COLUMNS]
    print(f"{'format':6} {'library':>9} {'ours':>9} {'ratio':>6} {'library':>9} {'ours':>9} {'in parts':>9}")
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(dir=options.folder or None) as folder:
            file = Path(folder) / f"a.{kind}"
            write(file, options.seconds)
            ways = {"bare": BARE[kind], "ours": OURS, "parts": PARTS}
            turns = [{way: measure(file, code, options.seconds) for way, code in ways.items()} for _ in range(options.turns)]
        time, memory = ({way: statistics.median(turn[way][k] for turn in turns) for way in ways} for k in (0, 1))
        print(
            f"{kind:6} {time['bare']:7.2f} s {time['ours']:7.2f} s {time['ours'] / time['bare']:6.2f} "
            f"{memory['bare']:5.0f} MiB {memory['ours']:5.0f} MiB {memory['parts']:5.0f} MiB",
            flush=True,
        )
        rows.append((kind, time["bare"], time["ours"], memory["bare"], memory["ours"], memory["parts"]))
        write_atomically(out / "reading.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows).encode())
    print(f"everything is in {out}")


def write(file: Path, seconds: int) -> None:
    """Write a signal of so many seconds in the format of the suffix, a second at a time."""
    draw = np.random.default_rng(0)
    parts = (draw.normal(size=RATE).astype(np.float32) for _ in range(seconds))
    if file.suffix == ".wav":
        with optional("soundfile", "this benchmark").SoundFile(file, "w", RATE, 1, "FLOAT") as opened:
            for part in parts:
                opened.write(part)
    elif file.suffix == ".npy":
        np.save(file, np.concatenate(list(parts)))
    elif file.suffix == ".csv":
        with open(file, "w") as opened:
            opened.write("acc\n")
            for part in parts:
                np.savetxt(opened, part, "%.6g")
    else:
        nptdms = optional("nptdms", "this benchmark")
        with nptdms.TdmsWriter(str(file)) as opened:
            for part in parts:
                opened.write_segment([nptdms.ChannelObject("g", "acc", part.astype(np.float64), {"wf_increment": 1 / RATE})])


def measure(file: Path, code: str, seconds: int) -> tuple[float, float]:
    """Return the seconds and the MiB that a process takes to read the file as ``code`` says."""
    head = f"import time\nfrom pathlib import Path\nimport numpy as np\nfile = {str(file)!r}\n"
    done = subprocess.run([sys.executable, "-c", head + code + MEASURE], capture_output=True, text=True, check=True)
    length, taken, memory = done.stdout.split()
    if int(length) != seconds * RATE:
        raise ValueError(f"{file} was read as {length} samples, expected {seconds * RATE}")
    return float(taken), float(memory)


if __name__ == "__main__":
    console.run(lambda: main(run_options.parse(Options, __doc__)))
