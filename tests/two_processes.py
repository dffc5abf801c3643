"""What each process of a job does in ``test_hosts``: ``TASK COORDINATOR PROCESS_ID HEARTBEAT_SECONDS FOLDER``, or the experiment
script with its arguments.

``Server`` starts one process that has imported everything and has no backend yet. It forks the processes of the jobs: each starts
in a fraction of a second, and still ends as any interpreter does.

FOLDER is where a process tells the test what it found. What the library writes goes into a folder that process 0 alone has: the
others name one that must not appear.
"""

import functools
import gc
import importlib
import json
import os
import queue
import runpy
import select
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import quick_script
import tiny
from quick_script import SCRIPT

from drsn_jax.cli import console
from drsn_jax.core import distributed, runtime
from drsn_jax.core.distributed import AXIS_NAME, Device, choose_devices, place_on, pmap_evaluate, pmap_step, replicate, shares
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.prediction import evaluate
from drsn_jax.functional import signals
from drsn_jax.functional.noise import add_noise
from drsn_jax.studies.runs import RunFolder
from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import Checkpoints, encode
from drsn_jax.training.loop import fit
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.progress import Epoch
from drsn_jax.training.steps import make_eval_step, make_train_step, repeat_step

LENGTHS = (0, 1, 7, 1000, 5_000_000)
EXAMPLES, BATCH_SIZE, EPOCHS, STEPS = 27, 8, 2, 4  # the last step of an epoch is filled up
VARIANTS = {
    "streamed": {"on_device": False},
    "on the device": {"on_device": True},
    "two steps a call": {"steps_per_call": 2},
}


def new_state(optimizer: Any) -> Any:
    """The state that every training here begins with."""
    return tiny.begun(optimizer)


def trainings(devices: Sequence[Device]) -> dict[str, Any]:
    """What short trainings end with, each in another way, as a tree of arrays on the host."""
    optimizer = paper_optimizer(EPOCHS * STEPS, 0.1)
    step = make_train_step(
        tiny.network,
        optimizer,
        noise=functools.partial(add_noise, snr_db=0.0),
        prepare=signals.standardise,
        class_weights=(0.3, 1.0, 2.0),
        axis_name=AXIS_NAME,
    )
    mapped = {1: pmap_step(step, devices), 2: pmap_step(repeat_step(step), devices)}
    look = pmap_evaluate(make_eval_step(tiny.network, axis_name=AXIS_NAME), devices)
    windows, labels = tiny.tones(EXAMPLES, 1)
    unseen = tiny.tones(13, 2)
    begin = new_state(optimizer)
    found = {}
    for name, options in VARIANTS.items():
        steps_per_call = options.get("steps_per_call", 1)
        batches = Batches(windows, labels, BATCH_SIZE, seed=3, devices=devices, on_device=options.get("on_device"))
        sums: list[Any] = []

        def validate(state: Any, sums: list[Any] = sums) -> Any:
            sums.append(evaluate(look, state.variables, *unseen, batch_size=BATCH_SIZE, place=place_on(devices)))
            return sums[-1]

        records, state = [], None
        for epoch in fit(
            mapped[steps_per_call],
            replicate(jax.tree.map(lambda array: array.copy(), begin), devices),
            batches,
            epochs=EPOCHS,
            steps_per_call=steps_per_call,
            validate=validate,
        ):
            records.append([epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy])
            state = epoch.state
        assert state is not None
        found[name] = {
            "params": tiny.leaves(state.params),
            "batch_stats": tiny.leaves(state.batch_stats),
            "opt_state": tiny.leaves(state.opt_state),
            "step and key": tiny.leaves((state.step, state.key)),
            "records": np.array(records, np.float64),
            "validation": tiny.leaves(sums),
        }
    return found


def streamed(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """The batches of an epoch that this process feeds its devices; it has no other window than those."""
    windows, labels = tiny.tones(EXAMPLES, 1)
    count, mine = shares(devices)
    whole = Batches(np.arange(EXAMPLES), labels, BATCH_SIZE, seed=3, devices=devices, on_device=False)
    needed = np.unique([batch["windows"] for batch in whole.epoch(1)])
    assert len(mine) == count or len(needed) < EXAMPLES
    others = np.setdiff1d(np.arange(EXAMPLES), needed)
    windows[others] = np.nan
    found = list(Batches(windows, labels, BATCH_SIZE, seed=3, devices=devices, on_device=False).epoch(1))
    assert all(np.isfinite(batch["windows"]).all() for batch in found)
    return [{name: np.asarray(value) for name, value in batch.items()} for batch in found]


def long_training(devices: Sequence[Device], folder: Path, epochs: int, seconds: float = 0.0) -> Iterator[Epoch]:
    """A training with checkpoints, which can be made longer than any test."""
    optimizer = paper_optimizer(1000, 0.01)
    step = make_train_step(
        tiny.network, optimizer, noise=functools.partial(add_noise, snr_db=0.0), prepare=signals.standardise, axis_name=AXIS_NAME
    )
    batches = Batches(*tiny.tones(EXAMPLES, 1), BATCH_SIZE, seed=3, devices=devices)
    return fit(
        pmap_step(step, devices),
        replicate(new_state(optimizer), devices),
        batches,
        epochs=epochs,
        checkpoints=Checkpoints(folder, seconds=seconds),
    )


# --- the tasks


def together(folder: Path) -> None:
    """All that ends well, in one job, because each start takes seconds."""
    assert jax.distributed.is_initialized()
    assert distributed.is_main_process() == (jax.process_index() == 0)
    console.say(f"{jax.process_count()} processes, {jax.device_count()} devices")
    _from_first()
    _failures_reach_the_others()
    devices = choose_devices()
    assert shares(devices) == (4, [0, 1] if distributed.is_main_process() else [2, 3])
    _refused(lambda: shares(choose_devices(1)), "1 of 2 devices were chosen: with several processes each uses all it has")
    placed = place_on(devices)(tiny.batch(BATCH_SIZE, 7))
    _run_folder(own(folder) / "run")
    _checkpoints(own(folder) / "checkpoints", devices)
    found = {"trainings": trainings(devices), "batches": streamed(devices), "placed": dict(placed)}
    (folder / f"{jax.process_index()}.safetensors").write_bytes(encode(found, {}))


def train(folder: Path) -> None:
    """Train until somebody ends it."""
    for _ in long_training(choose_devices(), own(folder) / "checkpoints", 10**6, seconds=0.05):
        pass


def ask(folder: Path) -> None:
    """Wait for process 0, again and again."""
    _ready(folder)
    while True:
        assert distributed.broadcast_from_main(lambda: b"still here") == b"still here"


def apart(folder: Path) -> None:
    """Work of its own, in which no process needs another."""
    _ready(folder)
    while True:
        time.sleep(0.1)


def _ready(folder: Path) -> None:
    assert distributed.broadcast_from_main(lambda: b"joined") == b"joined"
    (folder / f"ready-{jax.process_index()}").touch()


def paused_script() -> None:
    """The quickened script with the arguments that follow; process 0 stands still after its fourth checkpoint."""
    ready, *arguments = sys.argv[2:]
    save, calls = Checkpoints.save, []

    def pause(self: Checkpoints, *given: Any, **named: Any) -> None:
        save(self, *given, **named)
        calls.append(self)
        if distributed.is_main_process() and len(calls) == 4:
            Path(ready).touch()
            while True:
                time.sleep(0.1)

    Checkpoints.save = pause  # pyright: ignore[reportAttributeAccessIssue]
    sys.argv[1:] = arguments
    quick_script.main()


def own(folder: Path) -> Path:
    """The folder of process 0, for the others one that nobody makes."""
    return folder if distributed.is_main_process() else folder / "not" / "there"


# --- parts of ``together``


def _from_first() -> None:
    calls = []
    for length in LENGTHS:
        content = np.random.default_rng(length).bytes(length)

        def make(content: bytes = content) -> bytes:
            calls.append(len(content))
            return content

        assert distributed.broadcast_from_main(make) == content
    assert calls == (list(LENGTHS) if distributed.is_main_process() else [])


def _failures_reach_the_others() -> None:
    for error in (ValueError("the folder is not ours – sorry"), OSError(28, "No space left on device", "/there")):

        def fail(error: Exception = error) -> bytes:
            raise error

        raised = _raised(lambda fail=fail: distributed.broadcast_from_main(fail))
        if distributed.is_main_process():
            assert raised is error
        else:
            assert type(raised) is UserError
            assert str(raised) == f"process 0 stopped: {error}"
    # and the processes are still together
    assert distributed.broadcast_from_main(lambda: b"on") == b"on"


def _run_folder(path: Path) -> None:
    folder = RunFolder(path, {"seed": 0})
    with folder.alone():
        folder.log({"network": "a", "epoch": 1, "by": jax.process_index()})
        folder.log({"network": "a", "epoch": 2, "by": jax.process_index()})
        folder.forget({"network": "a"}, from_epoch=2)
        folder.add_rows("results", [{"network": "a", "by": jax.process_index()}])
        assert folder.rows("results") == [{"network": "a", "by": "0"}]
        assert folder.rows("none") == []
    if distributed.is_main_process():
        assert (path / "metrics.jsonl").read_text() == '{"network": "a", "epoch": 1, "by": 0}\n'
    # another configuration is refused on all, by what process 0 sees
    _refused(lambda: RunFolder(path, {"seed": 1}), "another configuration (seed: 0 there, 1 now)")


def _checkpoints(path: Path, devices: Sequence[Device]) -> None:
    checkpoints = Checkpoints(path, seconds=0.0)
    assert checkpoints.due == distributed.is_main_process()
    tree = replicate({"w": np.arange(3.0, dtype=np.float32), "key": jax.random.key(5)}, devices)
    assert checkpoints.restore(tree) is None
    checkpoints.save(3, tree, {"epoch": 1})
    like = replicate({"w": np.zeros(3, np.float32), "key": jax.random.key(0)}, devices)
    found = checkpoints.restore(like)
    assert found is not None
    tiny.assert_equal(found[0], tree)
    assert found[0]["w"].sharding == like["w"].sharding
    assert found[1] == {"epoch": 1}
    checkpoints.remove()
    assert checkpoints.restore(like) is None
    checkpoints.remove()


def _raised(call: Any) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _refused(call: Any, message: str) -> None:
    raised = _raised(call)
    assert isinstance(raised, ValueError)
    assert message in str(raised), raised


TASKS = {task.__name__: task for task in (together, train, ask, apart)}


def main() -> None:
    task, coordinator, process_id, heartbeat_seconds, folder = sys.argv[1:]
    # JAX keeps what process 0 compiles, and none of it serves the other, which compiles in every test: so quickly
    runtime.prepare(memory=False, cache=False, dry_run=True)
    distributed.initialize(coordinator, 2, int(process_id), heartbeat_seconds=int(heartbeat_seconds))
    try:
        TASKS[task](Path(folder))
    except AssertionError:
        # an ordinary end would wait for the other process
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(3)


# --- the server


class Server:
    """Forks processes and tells how they ended; a context manager."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._codes: dict[int, int] = {}

    def __enter__(self) -> "Server":
        self._server = subprocess.Popen(
            [sys.executable, __file__], env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._lines: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._reader.join()
        self._server.stdout.close()

    def start(self, out: Path, err: Path, arguments: Sequence[object], seconds: float) -> int:
        """Start a process whose output goes to two files; return its number."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps([str(out), str(err), *map(str, arguments)]) + "\n")
        while True:
            number, *code = self._lines.get(timeout=seconds)
            if not code:
                return number
            self._codes[number] = code[0]

    def code(self, number: int, seconds: float) -> int | None:
        """Return the exit code of a process (negative for a signal), or None if it is still there after ``seconds``."""
        deadline = time.monotonic() + seconds
        while number not in self._codes:
            try:
                other, code = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            self._codes[other] = code
        return self._codes[number]

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._lines.put([int(word) for word in line.split()])


def forked() -> bool:
    """Fork a process for each line of the input: say its number, and the number with its exit code when it has ended.

    Returns True in each new process, and False at the end of the input.
    """
    with open(0, "rb", buffering=0, closefd=False) as lines:
        while True:
            if select.select([lines], [], [], 0.02)[0]:
                line = lines.readline()
                if not line:
                    return False
                number = os.fork()
                if number == 0:
                    _become(*json.loads(line))
                    return True
                os.write(1, f"{number}\n".encode())
            try:
                number, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                continue
            if number:
                os.write(1, f"{number} {os.waitstatus_to_exitcode(status)}\n".encode())


def _become(out: str, err: str, *arguments: str) -> None:
    """Be the process of these arguments. What Python prints goes to ``out``; what gloo's threads print from below is dropped."""
    sys.argv = list(arguments)
    nothing, errors = os.open(os.devnull, os.O_RDWR), os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, file in ((0, nothing), (1, nothing), (2, errors)):
        os.dup2(file, descriptor)
    sys.stdout = open(out, "w")  # noqa: SIM115


if __name__ == "__main__":
    tiny.load_script(SCRIPT)  # for what it imports, and what it imports on the way
    for package in (
        "scipy.signal",
        "sklearn.linear_model",
        "sklearn.pipeline",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ):
        importlib.import_module(package)
    gc.freeze()  # what is imported stays until the end: looking for garbage in it takes a process half of its time
    if forked():
        if sys.argv[0] == str(SCRIPT):
            runpy.run_path(str(SCRIPT), run_name="__main__")
        elif sys.argv[0] == quick_script.__file__:
            quick_script.main()
        elif sys.argv[1] == paused_script.__name__:
            paused_script()
        else:
            console.run(main)
