"""How long it takes until a model has answered: starts of diagnose.py, an hour of a recording, and a few windows.

    python experiments/benchmarks/start_speed.py

Networks get random weights, windows of 2,048 samples, and a recording of noise. Processes of their own take turns: the import of
flax.linen alone, that of drsn_jax, diagnose.py on ten seconds with nothing but JAX's cache of compiled programs, the same where
the traced programs are kept as well (every start but the first), and an hour. Then Bundle.predict_proba of few windows takes
turns with a program that was compiled for just as many. Medians. A first start, which compiles, is timed once. The seconds of the
processor tell more than those of the clock where other programs run beside. Takes minutes; writes starts.csv and sizes.csv.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import save
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.evaluation.novelty import fit_novelty
from drsn_jax.nn.presets import SIGNAL_NETWORKS
from drsn_jax.studies.runs import RunFolder

RATE = 12_800
SHORT = 10  # seconds of the short recording
FLAX, OURS = "import flax.linen", "import drsn_jax"
FIRST, COMPILED, KEPT = "first start", "start, compiled programs kept", "start, traced programs kept too"
SCRIPT = Path(__file__).parents[1] / "diagnose.py"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    networks: tuple[str, ...] = ("drsn_cw", "band_energy")
    """Names of networks for signals."""
    seconds: int = 3600
    """The length of the long recording."""
    turns: int = 5
    """Turns of each process, of which the median is taken."""
    sizes: tuple[int, ...] = (1, 2, 3, 5, 9, 17, 33, 65, 100, 129, 200, 256)
    """Numbers of windows that Bundle.predict_proba is asked about at once."""
    calls: int = 30
    """Turns of each call, of which the median is taken."""
    out: Path | None = None
    """Folder of the run; by default runs/start_speed-<UTC time>."""
    dry_run: bool = False
    """One network of one unit, short recordings and one turn: the numbers mean nothing."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    checks.at_least(options, 1, "turns", "seconds", "calls")
    checks.different(options, "networks", "sizes")
    if unknown := set(options.networks) - SIGNAL_NETWORKS.keys():
        raise UserError(f"unknown networks {', '.join(sorted(unknown))}: choose from {', '.join(SIGNAL_NETWORKS)}")
    if min(options.sizes, default=0) < 1:
        raise UserError(f"--sizes are numbers of windows from 1, got {options.sizes}")
    if not options.plain_runtime:
        runtime.prepare(dry_run=options.dry_run)
    if options.dry_run:
        options = dataclasses.replace(options, networks=("drsn_cw",), seconds=SHORT, turns=1, sizes=(2, 9), calls=1)
    out = options.out or console.default_out("start_speed")
    folder = RunFolder(out, {k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "plain_runtime")})
    with folder.alone(), tempfile.TemporaryDirectory() as temporary:
        for name in options.networks:
            model = untrained(name, short=options.dry_run)
            time_starts(folder, name, model, Path(temporary) / name, options)
            time_sizes(folder, name, model, options)
    console.say(f"everything is in {out}")


def untrained(name: str, short: bool) -> Bundle:
    """A model with random weights and nine classes that knows the novelty of its windows, as those do that were trained."""
    length, size = (256, {"widths": (4,), "units": (1,)}) if short else (2048, {})
    network = SIGNAL_NETWORKS[name](classes=9, standardise=True, **size)
    init = jax.jit(lambda key: network.clone(implementation="modules").init(key, np.zeros((1, length, 1)), train=False))
    variables = jax.device_get(init(jax.random.key(0)))
    model = Bundle(network, variables, [f"class {n}" for n in range(9)], length, float(RATE), length)
    features = model.features(np.random.default_rng(0).normal(size=(200, length, 1)).astype(np.float32))
    model.novelty = fit_novelty(features[:100], np.arange(100) % 9, features[100:])
    return model


def time_starts(folder: RunFolder, name: str, model: Bundle, work: Path, options: Options) -> None:
    """Time whole processes in turns, in a cache folder of their own; write and print a row for each."""
    save(work / "model", model)
    lengths = {"short": SHORT, "long": options.seconds}
    draw = np.random.default_rng(0)
    for recording, seconds in lengths.items():
        file = np.lib.format.open_memmap(work / f"{recording}.npy", "w+", np.float32, (seconds * RATE,))
        for second in range(seconds):
            file[second * RATE : (second + 1) * RATE] = draw.standard_normal(RATE, np.float32)
        del file
    cache, long = work / "cache", f"{options.seconds} s of a recording"
    ask = [str(SCRIPT), str(work / "model"), "--json", "--sampling-rate", str(RATE)]
    commands = {
        FLAX: ["-c", FLAX],
        OURS: ["-c", OURS],
        COMPILED: [*ask, str(work / "short.npy")],
        KEPT: [*ask, str(work / "short.npy")],
        long: [*ask, str(work / "long.npy")],
    }
    first = timed(commands[KEPT], cache)
    taken: dict[str, list[tuple[float, float, str]]] = {way: [] for way in commands}
    for _ in range(options.turns):
        for way, command in commands.items():
            if way == COMPILED:
                shutil.rmtree(cache / "drsn_jax" / "programs")
            taken[way].append(timed(command, cache))
    found = {FIRST: first[:2]} | {way: medians(turns) for way, turns in taken.items()}
    # as diagnose.py itself tells it: without the imports, and without reading the model
    of_itself = statistics.median(json.loads(printed)["times_real_time"] for _, _, printed in taken[long])
    rows = [
        {
            "network": name,
            "process": way,
            "seconds": round(clock, 3),
            "processor_seconds": round(processor, 3),
            "times_the_import_of_flax": round(clock / found[FLAX][0], 2),
            "processor_times_that_import": round(processor / found[FLAX][1], 2),
            "times_real_time": round(options.seconds / clock) if way == long else None,
            "times_real_time_that_it_tells": round(of_itself) if way == long else None,
        }
        for way, (clock, processor) in found.items()
    ]
    folder.add_rows("starts", rows)
    for row in rows:
        own = f", {row['times_real_time']} × real time, {row['times_real_time_that_it_tells']} × without the imports"
        real = "" if row["times_real_time"] is None else own
        console.say(
            f"{name}, {row['process']}: {row['seconds']:.2f} s, {row['processor_seconds']:.2f} s of the processor; "
            f"{row['times_the_import_of_flax']:.2f} and {row['processor_times_that_import']:.2f} × the import of Flax{real}"
        )


def timed(arguments: list[str], cache: Path) -> tuple[float, float, str]:
    """The seconds of the clock and of the processor that a process of Python takes, in a cache folder of its own; its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMPILATION", "XLA_FLAGS"))}
    environment |= {"XDG_CACHE_HOME": str(cache)}
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    clock, after = time.perf_counter() - begun, os.times()
    if done.returncode:
        raise UserError(f"python {' '.join(arguments)} failed: {done.stderr.strip()[-500:]}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return clock, processor, done.stdout


def medians(turns: list[tuple[float, float, str]]) -> tuple[float, float]:
    clock, processor, _ = zip(*turns, strict=True)
    return statistics.median(clock), statistics.median(processor)


def time_sizes(folder: RunFolder, name: str, model: Bundle, options: Options) -> None:
    """Time the answers for few windows, by a model that was asked about no other number, beside a program for just as many."""
    windows = np.random.default_rng(0).normal(size=(max(options.sizes), *model.window_shape)).astype(np.float32)
    rows = []
    for size in options.sizes:
        part, own, usual = windows[:size], dataclasses.replace(model), dataclasses.replace(model)
        ways: dict[str, Callable[[], object]] = {
            "own": lambda part=part, own=own: exactly(own, part),
            "usual": lambda part=part, usual=usual: usual.predict_proba(part),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(options.calls + 3):
            # in both orders, because what ran before leaves its data in the caches of the processor
            for way, call in list(ways.items())[:: 1 if turn % 2 else -1]:
                begun = time.perf_counter()
                call()
                if turn >= 3:
                    taken[way].append(time.perf_counter() - begun)
        own_seconds, seconds = (statistics.median(taken[way]) for way in ("own", "usual"))
        rows.append(
            {
                "network": name,
                "windows": size,
                "milliseconds": round(1e3 * seconds, 4),
                "milliseconds_of_its_own_program": round(1e3 * own_seconds, 4),
                "ratio": round(seconds / own_seconds, 3),
            }
        )
        console.say(f"{name}, {size} windows: {1e3 * seconds:.2f} ms, {seconds / own_seconds:.2f} × a program for just as many")
    folder.add_rows("sizes", rows)


def exactly(model: Bundle, windows: np.ndarray) -> np.ndarray:
    """The probabilities of windows by a program for just as many: they are one batch, which is filled up with nothing."""
    return softmax(model.logits(windows, batch_size=len(windows)), model.temperature)


if __name__ == "__main__":
    console.run(main)
