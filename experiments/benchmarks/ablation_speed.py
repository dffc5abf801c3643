"""What a grid of noise in one call and an ensemble in one step gain over loops in Python.

    python experiments/benchmarks/ablation_speed.py

Evaluates DRSN-CW under 3 kinds × 11 levels × 5 draws of noise by ``noise_grid``, and by a loop of compiled calls over the same
cells; and trains eight networks as one ensemble, and one after another by the same code. The two ways take turns; medians. The
results of both are compared first. Takes six minutes on two cores; writes results.csv into the folder of the run.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import functools
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.noise_grids import noise_grid
from drsn_jax.functional.noise import PAPER_KINDS, Noise, add_noise_once
from drsn_jax.nn.networks import Network, drsn_cw
from drsn_jax.studies.runs import RunFolder
from drsn_jax.training.ensembles import Ensemble
from drsn_jax.training.members import Member
from drsn_jax.training.steps import make_eval_step


@dataclass(frozen=True)
class Options:
    """What to measure."""

    windows: tuple[int, ...] = (16, 1000)
    """Windows under the grid."""
    levels: int = 11
    """SNRs, from -5 dB in steps of 1 dB."""
    repeats: int = 5
    """Draws of the noise."""
    batches: tuple[int, ...] = (32, 128)
    """Windows a step of the ensemble's members."""
    members: int = 8
    """Networks of the ensemble."""
    steps: int = 8
    """Steps of a turn of training."""
    turns: int = 3
    """Turns of each way, of which the median is taken."""
    devices: int | None = None
    """Over how many devices grids and ensembles are spread; by default all, of a CPU its cores."""
    out: Path | None = None
    """Folder of the run; by default runs/ablation_speed-<UTC time>."""
    dry_run: bool = False
    """Run every part of it in seconds, with tiny networks: the numbers mean nothing."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    checks.at_least(options, 1, "levels", "repeats", "members", "steps", "turns", "windows", "batches")
    if options.levels > 105:
        raise UserError(f"--levels must be at most 105, got {options.levels}")
    if not options.plain_runtime:
        runtime.prepare(devices=options.devices or runtime.cores(), dry_run=options.dry_run)
    length, units = 2048, (4, 4, 4)
    if options.dry_run:
        options = dataclasses.replace(options, windows=(3,), levels=2, repeats=2, batches=(4,), members=2, steps=2, turns=1)
        length, units = 256, (1, 1, 1)
    out = options.out or console.default_out("ablation_speed")
    folder = RunFolder(out, {k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "plain_runtime")})
    with folder.alone():
        measure(options, folder, length, units)
    console.say(f"everything is in {out}")


def measure(options: Options, folder: RunFolder, length: int, units: tuple[int, ...]) -> None:
    """Time the grids and the ensembles that the options ask for."""
    network = drsn_cw(classes=8, units=units, standardise=True)
    rng = np.random.default_rng(0)
    for count in options.windows:
        windows = rng.normal(size=(count, length, 1)).astype(np.float32)
        report(folder, f"grid on {count} windows", *grid_ways(options, network, windows, np.arange(count) % 8), options.turns)
    for batch in options.batches:
        windows = rng.normal(size=(batch * options.steps, length, 1)).astype(np.float32)
        ways = ensemble_ways(options, network, windows, np.arange(len(windows)) % 8, batch)
        report(folder, f"{options.members} members, batch {batch}", *ways, options.turns)


def report(folder: RunFolder, name: str, work: int, ways: dict[str, Callable[[], Any]], turns: int) -> None:
    """Time the ways in turns and write a row for each; ``work`` is the windows of a turn."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways.values():
        way()  # compiles
    for _ in range(turns):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    medians = {way: statistics.median(found) for way, found in seconds.items()}
    together, loop = medians.values()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        {"what": name, "way": way, "seconds": round(found, 4), "windows_per_second": round(work / found)}
        for way, found in medians.items()
    ]
    folder.add_rows("results", rows)
    found = ", ".join(f"{way} {row['windows_per_second']:,} windows/s" for way, row in zip(ways, rows, strict=True))
    console.say(f"{name}: {found}: {loop / together:.2f} ×; peak memory of the process so far {memory:,.0f} MB")


def grid_ways(
    options: Options, network: Network, windows: np.ndarray, labels: np.ndarray
) -> tuple[int, dict[str, Callable[[], Any]]]:
    """The grid in one call, and cell by cell; ArithmeticError where they disagree."""
    variables = network.init(jax.random.key(0), windows[:1], train=False)
    levels = [-5.0 + i for i in range(options.levels)]
    key = jax.random.key(1)
    devices = jax.local_devices()[: options.devices]
    placed = jnp.asarray(windows), jnp.asarray(labels), jnp.ones(len(windows))

    def together() -> np.ndarray:
        return noise_grid(
            network, variables, windows, labels, PAPER_KINDS, levels, options.repeats, key,
            devices=devices if len(devices) > 1 else None,
        ).confusion  # fmt: skip

    @functools.partial(jax.jit, static_argnames="kind")
    def cell(variables: Any, data: Any, level: jax.Array, key: jax.Array, kind: str) -> jax.Array:
        batch = {"windows": add_noise_once(key, data[0], level, kind), "labels": data[1], "weights": data[2]}
        return make_eval_step(network)(variables, batch)["confusion"]

    def loop() -> np.ndarray:
        keys = [jax.random.fold_in(key, r) for r in range(options.repeats)]
        found = [cell(variables, placed, level, one, kind) for kind in PAPER_KINDS for level in levels for one in keys]
        return np.stack(jax.device_get(found))

    one, other = together(), loop()
    if not np.array_equal(one.reshape(other.shape), other):
        raise ArithmeticError("the grid and the loop disagree")
    return len(windows) * one.shape[0] * one.shape[1] * one.shape[2], {"one call": together, "loop": loop}


def ensemble_ways(
    options: Options, network: Network, windows: np.ndarray, labels: np.ndarray, batch: int
) -> tuple[int, dict[str, Callable[[], Any]]]:
    """An epoch of all members at once, and of one after another; ArithmeticError where they disagree."""
    members = [Member(seed, Noise(PAPER_KINDS[0], 0.0)) for seed in range(options.members)]
    devices = jax.local_devices()[: options.devices]
    make = functools.partial(Ensemble, network, examples=len(windows), epochs=1, batch_size=batch)
    whole = make(members, devices=devices if len(devices) > 1 else None)
    first = make(members[:1], order="unroll")
    each = [first.with_members([member]) for member in members]
    together = lambda: next(iter(whole.fit(windows, labels))).loss  # noqa: E731
    loop = lambda: np.concatenate([next(iter(one.fit(windows, labels))).loss for one in each])  # noqa: E731
    if not np.allclose(together(), loop(), rtol=1e-2):
        raise ArithmeticError("the ensemble and the members alone disagree")
    return len(windows) * len(members), {"ensemble": together, "one after another": loop}


if __name__ == "__main__":
    console.run(main)
