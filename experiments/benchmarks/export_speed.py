"""How large exported models are, and how fast they answer one window, beside Bundle.predict_proba and a plain conversion.

    python experiments/benchmarks/export_speed.py

Each network gets random weights and windows of 2,048 samples. The ways to answer a window take turns on one core: the model
itself, the file of StableHLO, the ONNX files for any number of windows and for one, and, as "plain conversion" to the same two,
what jax2onnx makes of the network as it stands, where it can. Medians. Before that the files are compared with the model on 1,000
windows of noise. Takes minutes; writes results.csv into the folder of the run. Needs: pip install 'drsn-jax[onnx]'
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import MissingExtra, UserError
from drsn_jax.diagnosis import export, onnx_files
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.trial_windows import noise
from drsn_jax.nn.presets import SIGNAL_NETWORKS
from drsn_jax.studies.runs import RunFolder

MODEL = "Bundle.predict_proba"
BATCHES = {"any batch": None, "batch of one": 1}
Way = Callable[[], Any]


@dataclass(frozen=True)
class Options:
    """What to measure."""

    networks: tuple[str, ...] = tuple(reversed(SIGNAL_NETWORKS))
    """Names of networks for signals."""
    length: int = 2048
    """Samples of a window."""
    turns: int = 1000
    """Turns of each way, of which the median is taken."""
    out: Path | None = None
    """Folder of the run; by default runs/export_speed-<UTC time>."""
    dry_run: bool = False
    """One network, short windows and few turns: the numbers mean nothing. Without the extra onnx, only what needs none of it."""
    plain_runtime: bool = False
    """Leave memory settings, compilation cache and cores of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    checks.at_least(options, 1, "turns")
    checks.at_least(options, 64, "length")
    checks.different(options, "networks")
    if unknown := set(options.networks) - SIGNAL_NETWORKS.keys():
        raise UserError(f"unknown networks {', '.join(sorted(unknown))}: choose from {', '.join(SIGNAL_NETWORKS)}")
    if not options.plain_runtime:
        if hasattr(os, "sched_setaffinity"):  # before JAX starts its threads
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        runtime.prepare(dry_run=options.dry_run)
    if options.dry_run:
        options = dataclasses.replace(options, networks=("band_energy_linear",), length=256, turns=2)
    out = options.out or console.default_out("export_speed")
    folder = RunFolder(out, {k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "plain_runtime")})
    with folder.alone():
        for name in options.networks:
            measure(folder, name, options)
    console.say(f"everything is in {out}")


def measure(folder: RunFolder, name: str, options: Options) -> None:
    """Compare the files of a network with it, time all ways in turns, and write and print a row for each."""
    model = untrained(name, options.length)
    window = noise(model, 1)
    ways: dict[str, Way] = {MODEL: lambda: model.predict_proba(window)}
    opened = jax.jit(jax_export.deserialize(bytearray(export.stablehlo(model))).call)
    ways["StableHLO, any batch"] = lambda: np.asarray(opened(window))
    sizes, differences = {}, {}
    try:
        for way, content in onnx_contents(model).items():
            sizes[way] = len(content)
            differences[way] = onnx_files.onnx_check(model, content, 8 if options.dry_run else 1000)
            ways[way] = answering(content, window)
    except MissingExtra as error:
        if not options.dry_run:
            raise
        console.say(f"ONNX is left out: {error}")
    medians = timed(ways, options.turns)
    rows = [
        {
            "network": name,
            "way": way,
            "milliseconds": round(1e3 * seconds, 4),
            "times_as_fast_as_the_model": round(medians[MODEL] / seconds, 2),
            "times_as_fast_as_plain": round(medians[plain] / seconds, 2) if (plain := plain_of(way)) in medians else None,
            "bytes": sizes.get(way),
            "largest_difference": differences.get(way),
        }
        for way, seconds in medians.items()
    ]
    folder.add_rows("results", rows)
    for row in rows:
        size = "" if row["bytes"] is None else f", {row['bytes'] / 1000:.0f} kB, differs by {row['largest_difference']:.0e}"
        than = "" if row["times_as_fast_as_plain"] is None else f", {row['times_as_fast_as_plain']:.2f} × the plain conversion"
        console.say(f"{name}, {row['way']}: {row['times_as_fast_as_the_model']:.2f} × {MODEL}{than}{size}")


def untrained(name: str, length: int) -> Bundle:
    """A model with random weights and eight classes."""
    network = SIGNAL_NETWORKS[name](classes=8, standardise=True)
    init = jax.jit(lambda key: network.clone(implementation="modules").init(key, np.zeros((1, length, 1)), train=False))
    return Bundle(network, jax.device_get(init(jax.random.key(0))), [f"class {n}" for n in range(8)], length, 12_000.0, length)


def plain_of(way: str) -> str:
    """The name of the plain conversion to the same kind of ONNX file; an empty text for what is none."""
    return way.replace("ONNX", "plain conversion") if "ONNX" in way else ""


def onnx_contents(model: Bundle) -> dict[str, bytes]:
    """The ONNX files of a model; the plain conversions only where jax2onnx makes one that answers as the model."""
    found = {}
    for name, batch in BATCHES.items():
        with tempfile.TemporaryDirectory() as folder:
            model.export(Path(folder) / "model.onnx", batch=batch)
            found[f"ONNX, {name}"] = (Path(folder) / "model.onnx").read_bytes()
        try:
            plain = onnx_files.to_onnx(export.by_modules(model), model.window_shape, batch, {}, ("x", "y"), lowest=False)
            onnx_files.onnx_check(model, plain)
            found[plain_of(f"ONNX, {name}")] = plain
        except UserError as error:
            console.say(f"plain conversion, {name}: {error}")
    return found


def answering(content: bytes, window: np.ndarray) -> Way:
    """A call of an ONNX file for one window, on one thread."""
    opened = onnx_files.session(content)
    name = opened.get_inputs()[0].name
    return lambda: opened.run(None, {name: window})


def timed(ways: dict[str, Way], turns: int) -> dict[str, float]:
    """The median seconds of each way; they take turns, and each is warm."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 10):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= 10:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


if __name__ == "__main__":
    console.run(main)
