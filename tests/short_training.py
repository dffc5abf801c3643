"""Trainings in processes of their own, which tests may end at any moment.

``Processes`` starts a server that has imported everything and has no backend yet; it forks a process for each job, so that one
starts in a fraction of a second. A job is a function below with its arguments; what it says reaches the test as lines.
``python short_training.py JOB`` runs one alone.
"""

import contextlib
import functools
import itertools
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tiny

import drsn_jax
from drsn_jax.evaluation.prediction import evaluate
from drsn_jax.training import checkpoints
from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.loop import fit
from drsn_jax.training.optimizers import paper_schedule
from drsn_jax.training.state import TrainState

EXAMPLES, UNSEEN, BATCH_SIZE, EPOCHS = 20, 30, 8, 8
STEPS = 3 * EPOCHS  # of a training
assert STEPS <= tiny.STEPS  # of the schedule
SAVES = STEPS + EPOCHS  # its checkpoints: after every call, and after every epoch once more
DEADLINE = 300.0  # seconds, after which a job hangs
TIMES = ("seconds", "total_seconds", "windows_per_second", "memory")
optimizer = tiny.optimizer


def new_state() -> TrainState:
    """The state a training starts with: one whose best epoch is neither the first nor the last."""
    return tiny.begun(optimizer, seed=1)


def content(tree: Any) -> bytes:
    """All bytes of a tree."""
    return b"".join(leaf.tobytes() for leaf in tiny.leaves(tree))


def say(text: str) -> None:
    """A line for the test, gone before this process can be ended."""
    os.write(1, f"{text}\n".encode())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- jobs


class Said(Checkpoints):
    """Checkpoints that say when one is complete."""

    def save(self, step: int, tree: Any, facts: Mapping[str, Any]) -> None:
        super().save(step, tree, facts)
        say(f"saved {step}")


def train(folder: str, seconds: float = 0.0, point: str | None = None, number: int = 0) -> None:
    """Train to the end, from the last checkpoint if there is one: leaves ``records`` and ``end`` in ``folder``."""
    log, begun = Path(folder, "records"), False
    if point is not None:
        die_inside(point, number)
    batches = Batches(*tiny.tones(EXAMPLES, 1), BATCH_SIZE)
    validate = lambda state: evaluate(tiny.eval_step, state.variables, *tiny.tones(UNSEEN, 2), batch_size=UNSEEN)  # noqa: E731
    kept = Said(Path(folder, "checkpoints"), seconds=seconds)
    epoch = None
    options: dict[str, Any] = {"learning_rate": paper_schedule(tiny.STEPS, 0.1), "validate": validate}
    for epoch in fit(tiny.step, new_state(), batches, epochs=EPOCHS, checkpoints=kept, **options):
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        if not begun:  # what was logged after the last checkpoint comes again
            log.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["number"] < epoch.number))
            begun = True
        record = {name: value for name, value in epoch._asdict().items() if name not in ("state", "best", *TIMES)}
        with open(log, "a") as file:
            file.write(json.dumps(record) + "\n")
    assert epoch is not None
    Path(folder, "end").write_bytes(content((epoch.state, epoch.best)))


def die_inside(point: str, number: int) -> None:
    """End this process at ``point`` of the writing of its checkpoint ``number``, from 1."""
    write, count, rename = checkpoints.write_atomically, itertools.count(1), os.replace

    def dying(path: Path, data: bytes) -> None:
        if next(count) == number:
            if point == "before":
                die()
            elif point == "half":
                os.fdopen = lambda handle, mode: (os.write(handle, data[: len(data) // 2]), die())
            elif point == "synced":
                os.replace = lambda *names: die()
            elif point == "renamed":
                os.replace = lambda *names: (rename(*names), die())
        write(path, data)

    checkpoints.write_atomically = dying


def soak(folder: str, steps: int, mapped: bool) -> None:
    """Train for so many steps and say the resident memory after every 100: ``resident STEP MIB``."""
    batch_size, every = 128, 100
    windows, labels = tiny.tones(every * batch_size, 1)
    if mapped:
        np.save(Path(folder, "windows.npy"), windows)
        windows = np.load(Path(folder, "windows.npy"), mmap_mode="r")
    state, page = new_state(), resource.getpagesize() / 2**20
    batches = Batches(windows, labels, batch_size)
    kept = Checkpoints(Path(folder, "checkpoints"), seconds=0.1)
    for epoch in fit(tiny.step, state, batches, epochs=steps // every, checkpoints=kept):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        say(f"resident {epoch.number * every} {pages * page:.2f}")
    say(f"newest {kept.newest()}")


def save_limited(folder: str, limit: int) -> None:
    """A checkpoint; then one in a process whose files may not be larger than ``limit`` bytes; then one more without."""
    state, kept = new_state(), Checkpoints(folder)
    kept.save(1, state, {"number": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    message = _refused(kept, 2, state)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    _look(kept, 1, state)
    kept.save(3, state, {"number": 3})
    _look(kept, 3, state)
    say(f"refused {message}")


def save_full(folder: str) -> None:
    """A checkpoint; then one where the disk under ``folder`` has room for half of it; then one more with room."""
    state, kept = new_state(), Checkpoints(Path(folder, "checkpoints"))
    ballast = Path(folder, "ballast")
    kept.save(1, state, {"number": 1})
    disk, size = os.statvfs(folder), Path(kept.newest()).stat().st_size
    ballast.write_bytes(bytes(disk.f_bavail * disk.f_frsize - size // 2))
    message = _refused(kept, 2, state)
    _look(kept, 1, state)
    ballast.unlink()
    kept.save(3, state, {"number": 3})
    _look(kept, 3, state)
    say(f"refused {message}")


def _refused(kept: Checkpoints, number: int, state: TrainState) -> str:
    try:
        kept.save(number, state, {"number": number})
    except OSError as error:
        return str(error)
    raise AssertionError("a checkpoint fitted where there was no room")


def _look(kept: Checkpoints, number: int, state: TrainState) -> None:
    found = kept.restore(state)
    assert found is not None
    tiny.assert_equal(found[0], state)
    assert found[1] == {"number": number}
    assert all(file.name.startswith("step-") for file in kept.folder.iterdir()), "a temporary file stayed"


JOBS: dict[str, Callable[..., None]] = {job.__name__: job for job in (train, soak, save_limited, save_full)}


# --- processes


class Processes:
    """A server of jobs, one at a time; a context manager."""

    def __enter__(self) -> "Processes":
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment()
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(DEADLINE)
        self._reader.join()
        self._server.stdout.close()

    def run(self, job: str, *, kill_after: float | None = None, kill_at: str | None = None, **arguments: Any) -> "Ended":
        """Run a job until its end, or until it is killed: when it says ``kill_at``, so many seconds after that, or after its
        start."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        pid, said, began = int(self._next(DEADLINE) or 0), [], time.monotonic()
        kill = functools.partial(os.kill, pid, signal.SIGKILL)
        at = None if kill_after is None or kill_at is not None else began + kill_after
        while True:
            line = self._next(DEADLINE if at is None else max(0.0, at - time.monotonic()))
            seconds = time.monotonic() - began
            if line is not None and line.startswith("ended "):
                return Ended(int(line.split()[1]), said, seconds)
            if line is not None:
                said.append((seconds, line))
            elif at is None:
                kill()
                raise AssertionError(f"{job} hangs; at last it said {said[-1:]}")
            if line is not None and line == kill_at and kill_after is not None:
                at, kill_at = time.monotonic() + kill_after, None
            elif line is None or line == kill_at:
                at = kill_at = None
                with contextlib.suppress(ProcessLookupError):  # it ended in this moment
                    kill()

    def _next(self, seconds: float) -> str | None:
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._lines.put(line.rstrip("\n"))


class Ended(NamedTuple):
    """How a job ended: its exit status (negative for a signal), what it said and after how many seconds, all its seconds."""

    status: int
    said: list[tuple[float, str]]
    seconds: float

    def values(self, word: str) -> list[list[str]]:
        """The rest of the lines that begin with ``word``, cut at blanks."""
        return [rest for first, *rest in (line.split() for _, line in self.said) if first == word]

    @property
    def saved(self) -> list[int]:
        """The steps of the checkpoints that it completed."""
        return [int(step) for (step,) in self.values("saved")]


def environment() -> dict[str, str]:
    """Return that of a process with the packages and the compiled functions of this one, on one device.

    The flags of the compiler are part of a compiled function's name in the cache: they are those of this process.
    """
    folder = jax.config.values["jax_compilation_cache_dir"]
    return {
        **{name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"},
        "PYTHONPATH": str(Path(drsn_jax.__file__).parent.parent),
        "JAX_PLATFORMS": "cpu",
        **({"JAX_COMPILATION_CACHE_DIR": folder} if folder else {}),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def trace() -> None:
    """Trace what ``train`` computes, so that every process that is forked later finds it; a backend is not needed for that."""
    state = jax.eval_shape(new_state)
    for function, first, count in ((tiny.step, state, BATCH_SIZE), (tiny.eval_step, state.variables, UNSEEN)):
        jax.eval_shape(function, first, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), tiny.batch(count)))


def serve() -> None:
    """A process for each line of the input."""
    trace()
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            # the interpreter's own end would run what the server registered
            try:
                say(str(os.getpid()))
                JOBS[job.pop("job")](**job)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        alone = json.loads(sys.argv[1])
        JOBS[alone.pop("job")](**alone)
    else:
        serve()
