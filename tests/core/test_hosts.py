"""Several processes on one machine, over loopback: they compute what one computes, and none outlives another for long."""

import contextlib
import csv
import functools
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import quick_script
import tiny
import two_processes
from quick_script import SCRIPT
from two_processes import BATCH_SIZE, STEPS, Server

from drsn_jax.cli import console
from drsn_jax.core import distributed
from drsn_jax.core.distributed import choose_devices, place_on
from drsn_jax.core.files import exclusive
from drsn_jax.training.checkpoints import decode

# float32: sums go over two processes in another order than inside one, and each step of training amplifies it
TOLERANCE = 1e-5
# as above, after so many steps as there were before the kill
LONG_TOLERANCE = 1e-4
DEADLINE_SECONDS = 600  # of everything: only a process that hangs for ever needs so long
HEARTBEAT_SECONDS = 10  # where the heartbeat is to tell of an end
NO_HEARTBEAT_SECONDS = 10 * DEADLINE_SECONDS  # where it must not: another cause ends a process, or none
PROGRAM = Path(two_processes.__file__)
QUICK = (quick_script.__file__,)
pytestmark = pytest.mark.process
CLUSTERS = ("JAX_", "XLA_", "SLURM_", "OMPI_", "PMI", "TPU_", "KUBERNETES_", "JOB_COMPLETION_INDEX")
# sgd, because AdamW divides by the size of a gradient, and so makes the rounding of a sum over two processes count in small ones
SHORT = ("--dry-run", "--networks", "resnet", "--optimizer", "sgd", "--validation", 0.2, "--checkpoint-seconds", 0)


class Process:
    """One process of a job, whose output goes to files, so that it never waits for a reader."""

    def __init__(self, server: Server, log: Path, *arguments: object) -> None:
        self._out, self._err, self._server = log.with_suffix(".out"), log.with_suffix(".err"), server
        self._number = server.start(self._out, self._err, arguments, DEADLINE_SECONDS)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def poll(self) -> int | None:
        """The exit code, None before the end."""
        return self._server.code(self._number, 0)

    def code(self) -> int:
        """The exit code, which must come."""
        code = self._server.code(self._number, DEADLINE_SECONDS)
        if code is None:
            pytest.fail(f"a process is still there after {DEADLINE_SECONDS} s; it printed\n{self.out}\n{self.err}")
        return code

    def send(self, number: int) -> None:
        os.kill(self._number, number)

    def end(self) -> None:
        """Let it be gone, whatever it does."""
        if self.poll() is None:
            self.send(signal.SIGKILL)
            self.code()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(CLUSTERS)}
    environment = {
        **clean,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": os.environ["XLA_FLAGS"],
        "JAX_NUM_CPU_DEVICES": "2",
        # JAX keeps what process 0 compiles, and none of it serves the other, for which gloo waits 30 seconds and no longer: so
        # both compile everything
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
    with Server(environment) as running:
        yield running


@contextlib.contextmanager
def started(server: Server, folder: Path, arguments: Callable[[str, int], tuple[object, ...]]) -> Iterator[list[Process]]:
    """Two processes, ``arguments(coordinator, process_id)`` those of each; they are gone afterwards, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    job: list[Process] = []
    try:
        job.extend(Process(server, folder / f"process-{i}", *arguments(coordinator, i)) for i in range(2))
        yield job
    finally:
        for process in job:
            process.end()


def task(
    server: Server, name: str, folder: Path, heartbeat: int = NO_HEARTBEAT_SECONDS
) -> contextlib.AbstractContextManager[list[Process]]:
    """A job of ``two_processes``."""
    return started(server, folder, lambda coordinator, i: (PROGRAM, name, coordinator, i, heartbeat, folder))


def job_of_the_script(
    server: Server,
    folder: Path,
    *options: object,
    outs: tuple[Path, Path],
    each: tuple[tuple[object, ...], ...] = ((), ()),
    program=(SCRIPT,),
) -> contextlib.AbstractContextManager[list[Process]]:
    """A job of the experiment script; ``outs`` and ``each`` are what the processes are given of their own."""
    join = lambda coordinator, i: ("--coordinator", coordinator, "--processes", 2, "--process-id", i)  # noqa: E731
    fixed = (*SHORT, "--devices", 2, "--heartbeat-seconds", NO_HEARTBEAT_SECONDS)
    return started(
        server, folder, lambda coordinator, i: (*program, *fixed, *options, *each[i], *join(coordinator, i), "--out", outs[i])
    )


def wait_until(condition: Callable[[], bool], *job: Process) -> None:
    """Wait for a condition that the processes bring about."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        for process in job:
            if process.poll() is not None:
                pytest.fail(f"a process has ended with {process.poll()}:\n{process.out}\n{process.err}")
        if time.monotonic() > deadline:
            pytest.fail(f"nothing happens: {[(process.out, process.err) for process in job]}")
        time.sleep(0.02)


def assert_success(job: list[Process]) -> None:
    codes = [process.code() for process in job]
    assert codes == [0, 0], "\n".join(f"--- {process.out}\n{process.err}" for process in job)


def checkpoint_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/step-*.safetensors"))


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def script() -> Any:
    return tiny.load_script(SCRIPT)


@pytest.fixture
def call(script, table, monkeypatch):
    """Run the quickened script in this process, on four devices, without figures; returns what it leaves with (None after
    success)."""
    quick_script.quicken(script, monkeypatch.setattr)
    monkeypatch.setattr(script, "report", lambda out, comparison, tsne_iterations: None)

    def call(*arguments: object) -> Any:
        given = (SCRIPT, *SHORT, "--recordings", table, "--devices", 4, *arguments, "--plain-runtime")
        monkeypatch.setattr(sys, "argv", [str(value) for value in given])
        try:
            console.run(script.main)
        except SystemExit as exit:
            return exit.code
        return None

    return call


# --- one process


def test_one_process_is_the_first_and_asks_nobody():
    assert distributed.is_main_process()
    assert distributed.broadcast_from_main(lambda: b"own") == b"own"
    error = ValueError("as it is")

    def fail() -> bytes:
        raise error

    with pytest.raises(ValueError, match="as it is") as raised:
        distributed.broadcast_from_main(fail)
    assert raised.value is error
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("here", 2, 0), "HOST:PORT.*'here'"),
        (("here:", 2, 0), "HOST:PORT.*'here:'"),
        ((":1234", 2, 0), "HOST:PORT.*':1234'"),
        (("here:http", 2, 0), "HOST:PORT.*'here:http'"),
        (("here:65536", 2, 0), "HOST:PORT.*'here:65536'"),
        (("here:1234", None, None), "got None and None"),
        (("here:1234", 2, None), "got 2 and None"),
        (("here:1234", None, 1), "got None and 1"),
        (("here:1234", 2, 2), "from 0: got 2 and 2"),
        (("here:1234", 2, -1), "got 2 and -1"),
        (("here:1234", 0, 0), "got 0 and 0"),
        ((None, 2, None), "go with a coordinator, HOST:PORT"),
        ((None, None, 0), "go with a coordinator, HOST:PORT"),
        ((None, 2, 1), "go with a coordinator, HOST:PORT"),
    ],
)
def test_arguments_that_do_not_fit_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        distributed.initialize(*arguments)
    assert not jax.distributed.is_initialized()


def test_a_start_that_comes_too_late():
    assert jax.devices()  # which the job should have had a part in
    with pytest.raises(distributed.JobError, match="before"):
        distributed.initialize("127.0.0.1:1", 1, 0)
    assert not jax.distributed.is_initialized()


def test_no_job_is_detected_and_the_message_says_what_to_name(server, tmp_path):
    process = Process(server, tmp_path / "alone", SCRIPT, *SHORT, "--distributed", "--out", tmp_path / "run")
    try:
        assert process.code() == 1
    finally:
        process.end()
    assert process.err.startswith("error: no job was detected")
    assert "--coordinator" in process.err or "coordinator, processes and process" in process.err
    assert process.err.count("\n") == 1
    assert process.out == ""
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_one_sentence(server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = Process(server, tmp_path / "first", PROGRAM, "ask", f"127.0.0.1:{port}", 0, NO_HEARTBEAT_SECONDS, tmp_path)
        try:
            assert process.code() == 1
        finally:
            process.end()
    assert process.err.startswith("error: ")
    assert str(port) in process.err
    assert process.err.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "number", "told"),
    [
        ("127.0.0.1", 0, "error: 1 of 2 processes came to 127.0.0.1:{port} within 0.5 s, missing: 1; "),
        ("127.0.0.1", 1, "error: process 0 cannot be reached at 127.0.0.1:{port} within 0.5 s (Connection refused): "),
        ("nowhere.invalid", 1, "error: the host of the coordinator nowhere.invalid:{port} is unknown ("),
    ],
)
def test_a_process_that_stays_alone_says_so_in_its_time(server, tmp_path, host, number, told):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    join = ("--coordinator", f"{host}:{port}", "--processes", 2, "--process-id", number, "--join-seconds", 0.5)
    process = Process(server, tmp_path / "alone", SCRIPT, *SHORT, *join, "--out", tmp_path / "run")
    try:
        assert process.code() == 1
    finally:
        process.end()
    assert process.err.startswith(told.format(port=port))
    assert process.err.count("\n") == 1
    assert process.out == ""
    assert not (tmp_path / "run").exists()


# --- two processes


def test_two_processes_train_as_one(server, tmp_path):
    """And send bytes and errors, share a folder and checkpoints: ``two_processes.together`` looks at those itself."""
    devices = choose_devices(4)
    with task(server, "together", tmp_path) as job:
        # meanwhile: one process with as many devices
        one = {"trainings": two_processes.trainings(devices), "batches": two_processes.streamed(devices)}
        assert_success(job)
    assert [process.out for process in job] == ["2 processes, 4 devices\n", ""]
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_dir()) == ["run"], "process 1 made a folder"
    whole = place_on(devices)(tiny.batch(BATCH_SIZE, 7))
    share = {name: np.asarray(value)[:2] for name, value in whole.items()}
    like = {**one, "batches": [{k: np.asarray(v)[:2] for k, v in batch.items()} for batch in one["batches"]], "placed": share}
    first, second = (decode((tmp_path / f"{i}.safetensors").read_bytes(), like)[0] for i in range(2))
    tiny.assert_equal(first["trainings"], second["trainings"])
    for name, found in first["trainings"].items():
        expected = one["trainings"][name]
        tiny.assert_equal(found["step and key"], expected["step and key"])
        tiny.assert_close(found, expected, TOLERANCE)
    # the shards of both are the batch
    join = functools.partial(jax.tree.map, lambda *parts: np.concatenate(parts))
    tiny.assert_equal(join(first["batches"], second["batches"]), one["batches"])
    tiny.assert_equal(join(first["placed"], second["placed"]), jax.tree.map(np.asarray, dict(whole)))


def both_ready(folder: Path) -> bool:
    return len(list(folder.glob("ready-*"))) == 2


def assert_told(survivor: Process) -> None:
    """It says that another process is the cause: in the library's words, or in JAX's where its own thread ends the process."""
    assert survivor.poll() != 0
    assert any(text in survivor.err for text in ("the job of several processes has ended", "another task died")), survivor.err


@pytest.mark.parametrize(("name", "victim"), [("ask", 1), ("ask", 0), ("apart", 0)])
def test_a_killed_process_ends_the_other_at_once(server, tmp_path, name, victim):
    """One that waits for it sees a broken connection; process 0 is missed by all, whatever they do. No heartbeat tells of it."""
    with task(server, name, tmp_path) as job:
        wait_until(lambda: both_ready(tmp_path), *job)
        job[victim].send(signal.SIGKILL)
        survivor = job[1 - victim]
        survivor.code()
        assert_told(survivor)
    if victim == 1:
        assert survivor.poll() == 1
        assert survivor.err.startswith("error: the job of several processes has ended (")
        assert survivor.err.endswith("go on from the last checkpoint\n")
        assert survivor.err.count("\n") == 1


def test_a_process_without_a_sign_of_life_ends_the_other_and_one_goes_on(server, tmp_path):
    """The heartbeat tells where no connection does: of a process that is only stopped, or killed while nobody waits for it, or
    in the middle of a step, where one device of the survivor may wait for the other. All at a time, for the waiting."""
    with contextlib.ExitStack() as stack:
        enter = lambda name, task_name: stack.enter_context(task(server, task_name, tmp_path / name, HEARTBEAT_SECONDS))  # noqa: E731
        training = enter("training", "train")
        wait_until(lambda: any(int(file.stem[5:]) > STEPS for file in checkpoint_files(tmp_path)), *training)
        training[1].send(signal.SIGKILL)
        survivors = [training[0]]
        for name, task_name, victim, number in (
            ("apart", "apart", 1, signal.SIGKILL),
            ("stopped 1", "ask", 1, signal.SIGSTOP),
            ("stopped 0", "ask", 0, signal.SIGSTOP),
        ):
            job = enter(name, task_name)
            wait_until(functools.partial(both_ready, tmp_path / name), *job)
            job[victim].send(number)
            survivors.append(job[1 - victim])
        for survivor in survivors:
            survivor.code()
            assert_told(survivor)

    # the last checkpoint is whole: a damaged one would be passed over with a warning, which is an error here
    folder = tmp_path / "training" / "checkpoints"
    step = int(checkpoint_files(folder)[-1].stem[5:])
    epochs = step // STEPS + 1
    devices = choose_devices(4)
    after = list(two_processes.long_training(devices, folder, epochs))
    assert [epoch.number for epoch in after] == [epochs]
    anew = list(two_processes.long_training(devices, tmp_path / "anew", epochs, seconds=1000))
    assert len(anew) == epochs
    tiny.assert_equal((after[-1].state.step, after[-1].state.key), (anew[-1].state.step, anew[-1].state.key))
    tiny.assert_close(after[-1].state.variables, anew[-1].state.variables, LONG_TOLERANCE)
    assert not (tmp_path / "training" / "not").exists()


# --- the experiment


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny.write_recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def run(server, table, tmp_path_factory):
    """A run of the script in two processes: the job and its folder; process 1 was given another."""
    folder = tmp_path_factory.mktemp("run")
    outs = (folder / "out", folder / "not" / "there")
    with job_of_the_script(server, folder, "--recordings", table, outs=outs, program=QUICK) as job:
        assert_success(job)
    return job, folder / "out"


# what float32 allows: predictions on a few windows may differ, where two logits are all but equal
WINDOWS = 2
LOSS_TOLERANCE = 1e-4


def assert_same_results(found: Path, expected: Path) -> None:
    """Rows of two runs agree, but for rounding on the way."""
    tested = sum(int(row["windows"]) for row in rows(expected, "by_recording") if row["network"] == "resnet")
    for one, other in zip(rows(found, "results"), rows(expected, "results"), strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            if name.endswith("_accuracy") or name == "macro_f1":
                assert float(one[name]) == pytest.approx(float(value), abs=WINDOWS / tested), name
            else:
                assert one[name] == value, name
    records = [[json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (found, expected)]
    for one, other in zip(*records, strict=True):
        assert one.keys() == other.keys()
        for name in ("train_loss", "validation_loss"):
            assert one[name] == pytest.approx(other[name], rel=LOSS_TOLERANCE), name


def test_the_script_in_two_processes_gives_what_it_gives_in_one(run, call, tmp_path, capsys):
    job, out = run
    assert call("--out", tmp_path / "one") is None
    assert not jax.distributed.is_initialized(), "without the options there is no job"
    assert_same_results(out, tmp_path / "one")
    assert [row["network"] for row in rows(out, "results")] == ["spectrum_logistic", "resnet"]
    configs = [json.loads((folder / "config.json").read_text()) for folder in (out, tmp_path / "one")]
    assert configs[0] == configs[1]
    # process 0 tells all, process 1 nothing and writes nowhere
    assert "| ResNet |" in job[0].out
    assert "expected time" in job[0].out
    assert job[1].out == ""
    assert not (out.parent / "not").exists()
    files = {file.name for file in out.iterdir() if file.suffix != ".png"}
    assert files == {file.name for file in (tmp_path / "one").iterdir()}
    assert (out / "accuracy.png").exists()
    assert not (out / "checkpoints").exists()
    # a second run may not work in it at the same time
    with exclusive(out / ".lock") as free:
        assert free
        assert f"another run is at work in {out}" in str(call("--out", out))
    # one process goes on with the folder of two, and finds all done
    before = (out / "results.csv").read_bytes()
    assert call("--out", out) is None
    assert (out / "results.csv").read_bytes() == before
    assert "0 trainings" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_results(server, run, call, table, tmp_path):
    """Process 0 is killed in the middle of a training; before that, a second run is refused the folder."""
    out, ready = tmp_path / "out", tmp_path / "ready"
    outs = (out, tmp_path / "not" / "there")
    with job_of_the_script(
        server, tmp_path / "first", "--recordings", table, outs=outs, program=(PROGRAM, "paused_script", ready)
    ) as job:
        wait_until(ready.exists, *job)
        assert f"another run is at work in {out}" in str(call("--out", out))
        job[0].send(signal.SIGKILL)
        job[1].code()
        assert_told(job[1])
    assert job[1].out == ""
    assert [row["network"] for row in rows(out, "results")] == ["spectrum_logistic"]
    assert len(checkpoint_files(out)) == 2
    shutil.copytree(out, tmp_path / "for one")
    with job_of_the_script(server, tmp_path / "second", "--recordings", table, outs=outs, program=QUICK) as job:
        assert_success(job)
    for name in ("results", "confusion", "by_recording"):
        assert (out / f"{name}.csv").read_bytes() == (run[1] / f"{name}.csv").read_bytes()
    assert not (out / "checkpoints").exists()
    assert not (tmp_path / "not").exists()
    # and one process goes on from where two were; its windows must be theirs to the last bit, so it compiles as they do
    alone = Process(
        server, tmp_path / "alone", *QUICK, *SHORT, "--recordings", table, "--devices", 4, "--out", tmp_path / "for one"
    )
    try:
        assert alone.code() == 0, alone.err
    finally:
        alone.end()
    assert_same_results(tmp_path / "for one", run[1])


def test_a_folder_that_process_0_refuses_ends_both(server, table, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text('{"seed": 5}')
    with job_of_the_script(server, tmp_path, "--recordings", table, outs=(out, tmp_path / "not" / "there")) as job:
        assert [process.code() for process in job] == [1, 1]
    assert job[0].err.startswith(f"error: {out} holds a run with another configuration (")
    assert job[1].err.startswith(f"error: process 0 stopped: {out} holds a run with another configuration (")
    for process in job:
        assert "seed: 5 there, 0 now" in process.err
        assert process.err.count("\n") == 1
        assert "windows to train on" not in process.out
    assert job[1].out == ""
    assert sorted(file.name for file in out.iterdir()) == ["config.json"]
    assert not (tmp_path / "not").exists()


def test_different_options_are_refused_in_both(server, table, tmp_path):
    outs = (tmp_path / "out", tmp_path / "not" / "there")
    with job_of_the_script(server, tmp_path, "--recordings", table, outs=outs, each=(("--seed", 1), ("--seed", 2))) as job:
        assert [process.code() for process in job] == [1, 1]
    for process in job:
        assert process.err.startswith("error: the processes of a job must be given the same options (seed: ")
        assert "1 in process 0" in process.err or "2 in process 1" in process.err
        assert process.err.count("\n") == 1
        assert "windows to train on" not in process.out
    assert job[1].out == ""
    # or the folder would refuse the options that were meant
    assert not outs[0].exists()
    assert not (tmp_path / "not").exists()
