"""How fast envelope spectra in orders are made, beside SciPy's window by window.

    python experiments/benchmarks/envelope_speed.py

Makes the squared envelope spectrum of each of 1,000 windows of 2,048 samples and reads it at 156 orders of the shaft: by one
compiled call over all windows, and by ``scipy.signal.hilbert`` and ``numpy.interp`` in a loop over them, as it is usually
written. The results are compared first, then the two ways take turns; medians. Takes seconds; writes results.csv into the folder
of the run.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import scipy.signal

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.functional import at_orders, squared_envelope_spectrum
from drsn_jax.studies.runs import RunFolder

ORDERS = np.arange(0.5, 16.1, 0.1)
SPEED = 30 / 12_000  # revolutions a sample: 1,800 rpm at 12 kHz
CLOSE = 1e-4  # of the largest value: the one way computes in float32, the other in float64


@dataclass(frozen=True)
class Options:
    """What to measure."""

    windows: int = 1000
    """Windows of a turn."""
    length: int = 2048
    """Samples of a window, an even number."""
    turns: int = 7
    """Turns of each way, of which the median is taken."""
    out: Path | None = None
    """Folder of the run; by default runs/envelope_speed-<UTC time>."""
    dry_run: bool = False
    """Few windows: the numbers mean nothing."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    checks.at_least(options, 1, "windows", "turns")
    checks.at_least(options, 4, "length")
    if not options.plain_runtime:
        runtime.prepare(dry_run=options.dry_run)
    if options.dry_run:
        options = dataclasses.replace(options, windows=8, length=256, turns=1)
    length = options.length // 2 * 2
    windows = np.random.default_rng(0).normal(size=(options.windows, length, 1)).astype(np.float32)
    out = options.out or console.default_out("envelope_speed")
    folder = RunFolder(out, {k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "plain_runtime")})
    with folder.alone():
        measure(folder, windows, options.turns)
    console.say(f"everything is in {out}")


def measure(folder: RunFolder, windows: np.ndarray, turns: int) -> None:
    """Compare both ways, time them in turns, and write a row for each; ArithmeticError where they disagree."""
    ways = {"one compiled call": compiled, "SciPy in a loop": loop}
    one, other = (np.asarray(way(windows)) for way in ways.values())
    if not np.allclose(one, other, atol=CLOSE * other.max()):
        raise ArithmeticError("the compiled call and SciPy disagree")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.perf_counter()
            np.asarray(way(windows))
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    rows = [
        {"way": name, "seconds": round(found, 5), "windows_per_second": round(len(windows) / found)}
        for name, found in medians.items()
    ]
    folder.add_rows("results", rows)
    ours, theirs = medians.values()
    told = ", ".join(f"{row['way']} {row['windows_per_second']:,} windows/s" for row in rows)
    console.say(f"envelope spectra of {windows.shape[1]} samples in orders: {told}: {theirs / ours:.2f} ×")


@jax.jit
def compiled(windows: jax.Array) -> jax.Array:
    """Envelope spectra at the orders, ``(n, orders, 1)``."""
    return jax.vmap(lambda window: at_orders(squared_envelope_spectrum(window), ORDERS, SPEED))(windows)


def loop(windows: np.ndarray) -> np.ndarray:
    """The same by SciPy, window by window."""
    places, found = ORDERS * SPEED * windows.shape[1], []
    for window in windows[:, :, 0]:
        squares = np.square(np.abs(np.asarray(scipy.signal.hilbert(window))))
        spectrum = 2 * np.abs(np.fft.rfft(squares - squares.mean())) / len(squares)
        found.append(np.interp(places, np.arange(len(spectrum)), spectrum))
    return np.stack(found)[:, :, None]


if __name__ == "__main__":
    console.run(main)
