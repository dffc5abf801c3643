"""A process that does one task in one way and is timed, on command: ``python -m bench.worker`` reads lines of JSON and answers
each with one.

The first line says what to do (``measuring.Worker``), any other for how many seconds steps are to be timed. In a process of its
own a side has its own allocator, compilation cache, threads and peak memory, and pays for its own start.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case

MOST = 300  # steps of a turn


def build(order: dict[str, Any]) -> Any:
    """The side that is asked for; what it needs is imported here."""
    case = Case(**order["case"])
    with np.load(order["given"]) as file:
        given = dict(file)
    if order["kind"] == "ours":
        from bench.ours import OurSide

        return OurSide(case, given, **order["options"])
    if order["kind"] == "iree":
        from bench.iree_side import IreeSide

        return IreeSide(case, Path(order["given"]), **order["options"])
    if order["kind"] != "torch":
        from bench.runtimes import RuntimeSide

        return RuntimeSide(case, Path(order["given"]).with_suffix(".onnx"), order["kind"], **order["options"])
    from bench.pytorch import TorchSide

    return TorchSide(case, given, **order["options"])


def first(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Build a side, do two steps, and report what they gave: logits twice, or the losses before and after an update."""
    side = build(order)
    begun = time.perf_counter()
    results = [side.step()]
    first_call = time.perf_counter() - begun
    done = time.time()
    results.append(side.step())
    found = {"first_call_seconds": first_call, "first_step_at": done, "peak_bytes": peak_bytes()}
    return side, {**found, "results": [np.ravel(r).tolist() for r in results]}


def timed(side: Any, seconds: float) -> dict[str, Any]:
    """Seconds of each of the steps that begin within so many, at most ``MOST``, and page faults a step; the first step is left
    out where others follow it, because its threads slept while others had their turn."""
    taken, faults, begun = [], page_faults(), time.perf_counter()
    while not taken or (time.perf_counter() - begun < seconds and len(taken) <= MOST):
        before = time.perf_counter()
        side.step()
        taken.append(time.perf_counter() - before)
    faults = (page_faults() - faults) / len(taken)
    return {"seconds": taken[1:] or taken, "faults_a_step": faults, "peak_bytes": peak_bytes()}


def page_faults() -> int:
    """Of this process so far, without those that read from disk; 0 where the system does not count them."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def peak_bytes() -> int:
    """The most memory this process has held; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    # not ru_maxrss, which begins with the memory of the process that started this one
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main() -> None:
    # libraries may print: what they say goes to stderr
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    side = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if side is None:
                side, answer = first(order)
                if order["kind"] != "ours":
                    answer["logits"] = {name: value.tolist() for name, value in side.logits().items()}
            else:
                answer = timed(side, order["seconds"])
        except Exception as error:  # whatever a compiler may raise
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
