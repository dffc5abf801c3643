"""The rounds of a run: every group of ways is given its files, compiled, started and timed in turns."""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import exported, given, iree_side, measuring, roofline
from bench.cases import Case
from drsn_jax.cli import console
from drsn_jax.core.errors import UserError
from drsn_jax.studies.runs import RunFolder

Member = tuple[Case, str]


class How(NamedTuple):
    """Threads of every way, its most turns, and whether all is only tried (``short``)."""

    threads: int
    turns: int
    short: bool


def measure(
    groups: Sequence[Sequence[Member]],
    folder: RunFolder,
    machine: roofline.Machine,
    libraries: Mapping[str, str | None],
    how: How,
) -> None:
    """Measure what the folder lacks, group by group, in every setting, for which ``libraries`` names what is preloaded.

    Starts are timed in the first setting, of the first batch size of a task, one process after another. Other processes start
    as many together as there are threads, because starting takes most of the time of a run.
    """
    done = {(row["setting"], row["size"], row["task"], row["batch"]) for row in folder.rows("results")}
    leading: dict[tuple[str, str], int] = {}
    for (first, _), *_ in groups:
        leading.setdefault((first.size, first.task), first.batch)
    compiled: set[Member] = set()
    with tempfile.TemporaryDirectory() as temporary, open(folder.path / "workers.log", "a") as log:
        lengths = (0.01, 0.05) if how.short else (0.3, 1.0)
        plan = measuring.Plan(how.turns, *lengths, how.threads, Path(temporary) / "cache", log)
        files: dict[Case, Path] = {}
        for setting, library in libraries.items():
            for group in groups:
                first = group[0][0]
                if (setting, first.size, first.task, str(first.batch)) in done:
                    continue
                timed = setting == next(iter(libraries)) and first.batch == leading[first.size, first.task]
                clock = [time.perf_counter()]
                members = provided(group, files, Path(temporary), how.threads)
                together = 1 if timed and not how.short else how.threads
                rows, starts = _round(members, files, plan, library, compiled, clock, together)
                for row, case in rows:
                    row["roofline_milliseconds"] = 1e3 * roofline.seconds(roofline.count(case), machine)
                if timed:
                    folder.add_rows("starts", [{"setting": setting, **row} for row in starts])
                folder.add_rows("results", [{"setting": setting, **row} for row, _ in rows])
                speeds = ", ".join(f"{measuring.WAYS[row['way']]} {row['windows_per_second']:,.0f}" for row, _ in rows)
                compiling, starting, timing = (after - before for before, after in itertools.pairwise(clock))
                console.say(
                    f"{setting}, {first.size} {first.task} {first.batch}: {speeds} windows/s (first starts {compiling:.0f} s, "
                    f"starts {starting:.0f} s, {rows[0][0]['turns']} turns {timing:.0f} s)"
                )


def _round(
    members: Sequence[Member],
    files: Mapping[Case, Path],
    plan: measuring.Plan,
    library: str | None,
    compiled: set[Member],
    clock: list[float],
    together: int,
) -> tuple[list[tuple[dict[str, Any], Case]], list[dict[str, Any]]]:
    """One group in one setting: its results, each with its case, and its starts; adds what is ``compiled`` now, and the times
    at which the first starts, the starts and the turns were over."""
    # those that are measured find everything compiled, as in every start but the first
    with contextlib.ExitStack() as stack:
        fresh = [member for member in members if member[1] in measuring.COMPILING and member not in compiled]
        cold = measuring.start(fresh, files, plan, library, stack, console.say, together)
    compiled.update((worker.case, worker.way) for worker in cold)
    members = [member for member in members if member in compiled or member[1] not in measuring.COMPILING]
    clock.append(time.perf_counter())
    with contextlib.ExitStack() as stack:
        workers = measuring.start(members, files, plan, library, stack, console.say, together)
        clock.append(time.perf_counter())
        rows = measuring.take_turns(workers, plan)
    clock.append(time.perf_counter())
    typical = {(worker.case, worker.way): row["milliseconds"] for worker, row in zip(workers, rows, strict=True)}
    starts = [
        start_row(worker, cache, typical[worker.case, worker.way])
        for cache, some in (("cold", cold), ("warm", workers))
        for worker in some
        if (worker.case, worker.way) in typical
    ]
    return [(row, worker.case) for row, worker in zip(rows, workers, strict=True)], starts


def provided(members: Sequence[Member], files: dict[Case, Path], folder: Path, threads: int) -> list[Member]:
    """Write the files that the members need, weights and an ONNX file for each network and StableHLO for each number of windows,
    and return the members; those whose network cannot be exported are left out, saying so."""
    found = []
    for case, way in members:
        files[case] = folder / f"{case.size}_{case.network}.npz"
        if not files[case].exists():
            given.write(case, files[case])
        try:
            if way in measuring.ONNX and not (file := files[case].with_suffix(".onnx")).exists():
                exported.write(case, file)
            if way in measuring.IREE:
                file, count = iree_side.source(files[case], case.batch, threads, way.endswith("_parts"))
                if not file.exists():
                    exported.write_stablehlo(case, count, file)
        except UserError as error:
            console.say(f"  {measuring.WAYS[way]} is left out: {error}")
            continue
        found.append((case, way))
    return found


def start_row(worker: measuring.Worker, cache: str, milliseconds: float) -> dict[str, Any]:
    """What a worker's start took; what its first call took more than others is compilation."""
    compiling = max(0.0, worker.first["first_call_seconds"] - milliseconds / 1e3)
    row = {**worker.case.key, "way": worker.way, "cache": cache}
    return {**row, "start_seconds": worker.start_seconds, "compile_seconds": compiling}
