"""Several ways of doing the same work take turns, each in a process of its own."""

import contextlib
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from bench.cases import TOLERANCE, Case, difference

WAYS = {
    "ours": "drsn_jax",
    "ours_cores": "drsn_jax, cores as devices",
    "ours_modules": "drsn_jax, by the modules",
    "torch_eager": "PyTorch eager",
    "torch_compiled": "PyTorch compiled",
    "onnxruntime": "onnxruntime",
    "onnxruntime_parts": "onnxruntime, by parts",
    "openvino": "OpenVINO",
    "openvino_parts": "OpenVINO, by parts",
    "iree": "IREE",
    "iree_parts": "IREE, by parts",
}
OURS = ("ours", "ours_cores", "ours_modules")
PYTORCH = ("torch_eager", "torch_compiled")
ONNX = ("onnxruntime", "onnxruntime_parts", "openvino", "openvino_parts")  # need the file that ``exported.write`` makes
IREE = ("iree", "iree_parts")  # need a file each of ``exported.write_stablehlo``
EXPORTED = (*ONNX, *IREE)
PEERS = (*PYTORCH, *EXPORTED)
COMPILING = (*OURS, "torch_compiled", *IREE)  # find their programs in a cache, from the second start on
FEWEST, CERTAIN = 5, 0.01  # turns, and the standard error of their median, as a share of it, at which no more are taken
# of the user's environment, what would change one side
CLEARED = ("JAX_", "XLA_", "MALLOC_", "GLIBC_TUNABLES", "TCMALLOC_", "TORCHINDUCTOR_", "TORCH_COMPILE", "IREE_")


class WorkerError(RuntimeError):
    """A process could not do its work."""


class Plan(NamedTuple):
    """How all is measured: the most turns of each way and the least seconds of one, seconds of warming up before them, threads,
    the folder of compiled programs, and the log of the processes."""

    turns: int
    turn_seconds: float
    warm_seconds: float
    threads: int
    caches: Path
    log: IO[str]


class Worker:
    """A process that has done its first steps of ``case`` in one of ``WAYS`` and can be told to do more.

    ``library`` is preloaded, None for none; never into OpenVINO, which has TBB's allocator and ends beside tcmalloc with
    "munmap_chunk(): invalid pointer" (2026.4). Raises WorkerError.
    """

    def __init__(self, case: Case, way: str, given: Path, plan: Plan, library: str | None) -> None:
        self.case, self.way = case, way
        folder = str(Path(__file__).resolve().parents[1])
        clean = {name: value for name, value in os.environ.items() if not name.startswith(CLEARED)}
        paths = os.pathsep.join([folder, *filter(None, [clean.get("PYTHONPATH")])])
        preloaded = [name for name in clean.pop("LD_PRELOAD", "").split(":") if name and "tcmalloc" not in name]
        environment = {
            **clean,
            "PYTHONPATH": paths,
            "JAX_PLATFORMS": "cpu",
            "XDG_CACHE_HOME": str(plan.caches),
            "TORCHINDUCTOR_CACHE_DIR": str(plan.caches / "inductor"),
            "LD_PRELOAD": ":".join([*preloaded, *([library] if library and not way.startswith("openvino") else [])]),
        }
        if way.startswith("openvino"):
            environment["CI"] = "true"  # else it sends its makers word of its use
        begun = time.time()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=plan.log,
            text=True,
        )
        try:
            order = {"case": dataclasses.asdict(case), "given": str(given), **_order(way, plan.threads, case.short)}
            self.first = self._ask(order)
        except BaseException:
            self.close()
            raise
        self.start_seconds = self.first["first_step_at"] - begun

    def time(self, seconds: float) -> dict[str, Any]:
        """Seconds of each of the steps that begin within so many, page faults a step, and the most memory the process ever
        held; see ``worker.timed``."""
        return self._ask({"seconds": seconds})

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"the process ended with code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer


def _order(way: str, threads: int, short: bool) -> dict[str, Any]:
    if way in PYTORCH:
        return {"kind": "torch", "options": {"threads": threads, "compiled": way == "torch_compiled"}}
    if way in EXPORTED:
        kind, _, parts = way.partition("_")
        return {"kind": kind, "options": {"threads": threads, "parts": bool(parts)}}
    implementation, devices = ("modules" if way == "ours_modules" else None), (threads if way == "ours_cores" else None)
    return {"kind": "ours", "options": {"implementation": implementation, "devices": devices, "short": short}}


def start(
    members: Sequence[tuple[Case, str]],
    given: Mapping[Case, Path],
    plan: Plan,
    library: str | None,
    stack: contextlib.ExitStack,
    say: Callable[[str], None],
    together: int = 1,
) -> list[Worker]:
    """A worker for each member, checked against the others; members that fail, or that memory cannot hold, are left out, saying
    so. So many start ``together``; where their start is timed, one after another. Raises WorkerError where one of ours fails,
    and ArithmeticError where results differ."""
    workers: list[Worker] = []

    def started(member: tuple[Case, str]) -> Worker | WorkerError:
        try:
            worker = Worker(*member, given[member[0]], plan, library)
        except WorkerError as error:
            return error
        stack.callback(worker.close)
        return worker

    with ThreadPoolExecutor(together) as pool:
        for first in range(0, len(members), together):
            largest = max((worker.first["peak_bytes"] for worker in workers), default=0)
            fitting = []
            for case, way in members[first : first + together]:
                if 1.1 * largest * (len(fitting) + 1) > _available_bytes():
                    say(f"  {WAYS[way]} is left out: {len(workers)} processes of up to {largest / 2**30:.1f} GB hold the memory")
                else:
                    fitting.append((case, way))
            for (case, way), worker in zip(fitting, pool.map(started, fitting), strict=True):
                if not isinstance(worker, WorkerError):
                    check(worker, given[case], next((other for other in workers if other.case == case), None))
                    workers.append(worker)
                elif way in OURS:
                    raise worker
                else:
                    say(f"  {WAYS[way]} is left out: {worker}")
    return workers


def check(worker: Worker, given: Path, other: Worker | None) -> None:
    """ArithmeticError where a worker's logits are not those of ``given``, or its first results not those of another."""
    pairs = []
    if "logits" in worker.first:
        with np.load(given) as file:
            pairs += [(logits, file[f"logits/{name}"]) for name, logits in worker.first["logits"].items()]
    if other is not None:
        pairs += list(zip(worker.first["results"], other.first["results"], strict=True))
    for found, expected in pairs:
        if (found_difference := difference(found, expected)) > TOLERANCE:
            raise ArithmeticError(
                f"{WAYS[worker.way]} and {WAYS[other.way] if other else WAYS['ours']} differ by {found_difference:.1e} in "
                f"{worker.case}: nothing is timed that does not agree to {TOLERANCE:g}"
            )


def take_turns(workers: Sequence[Worker], plan: Plan) -> list[dict[str, Any]]:
    """Time all workers in turn, again and again, until each median is ``certain`` or they had ``plan.turns`` turns; for each the
    median of its turns (a turn counts as the median of its steps), their quartiles, and page faults a step."""
    for worker in workers:
        worker.time(plan.warm_seconds)  # kept memory grows for some steps
    answers: list[list[dict[str, Any]]] = [[] for _ in workers]
    taken: list[list[float]] = [[] for _ in workers]
    while not all(map(certain, taken)) and len(taken[0]) < plan.turns:
        for i, worker in enumerate(workers):
            answers[i].append(worker.time(plan.turn_seconds))
            taken[i].append(statistics.median(answers[i][-1]["seconds"]))
    rows = []
    for i, worker in enumerate(workers):
        low, middle, high = np.quantile(taken[i], (0.25, 0.5, 0.75))
        rows.append(
            {
                **worker.case.key,
                "way": worker.way,
                "windows_per_second": worker.case.batch / middle,
                "milliseconds": 1e3 * middle,
                "quartile_1": 1e3 * low,
                "quartile_3": 1e3 * high,
                "turns": len(taken[i]),
                "steps_a_turn": round(statistics.mean(len(answer["seconds"]) for answer in answers[i])),
                "page_faults_a_step": statistics.mean(answer["faults_a_step"] for answer in answers[i]),
                "peak_megabytes": answers[i][-1]["peak_bytes"] / 2**20,
            }
        )
    return rows


def certain(seconds: Sequence[float]) -> bool:
    """Whether the median of the turns taken so far is known to ``CERTAIN`` of itself, and there are ``FEWEST`` of them.

    The standard error of a median of n normal numbers is 1.25 σ / √n, and σ is their interquartile range / 1.35.
    """
    if len(seconds) < FEWEST:
        return False
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return bool(1.25 * (high - low) / 1.35 / math.sqrt(len(seconds)) <= CERTAIN * middle)


def _available_bytes() -> float:
    """Memory that new processes can have; infinite where the system does not say."""
    file = Path("/proc/meminfo")
    if not file.exists():
        return math.inf
    line = next(line for line in file.read_text().splitlines() if line.startswith("MemAvailable"))
    return 1024 * float(line.split()[1])
