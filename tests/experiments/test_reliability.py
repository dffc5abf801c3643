"""Trainings that are killed go on to the same bytes; long ones neither grow nor let replicas drift; equal runs are equal.

The short forms run by default; the long ones print their figures: ``pytest -m slow tests/test_reliability.py -s``.
"""

import contextlib
import csv
import functools
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import quick_script
import short_training
import tiny
from short_training import EPOCHS, SAVES, Ended, Processes
from two_processes import Server

from drsn_jax.core.distributed import AXIS_NAME, choose_devices, pmap_step, replicate, shard
from drsn_jax.functional.noise import add_noise
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.steps import make_train_step

POINTS = ("before", "half", "synced", "renamed")  # of the writing of a checkpoint
TABLES = ("results", "confusion", "by_recording")
pytestmark = pytest.mark.process


def short_and_long(names, short, long):
    """Two forms of a test; the long one is slow."""
    long = pytest.param(*(long if isinstance(long, tuple) else [long]), marks=pytest.mark.slow)
    return pytest.mark.parametrize(names, [short, long])


@pytest.fixture
def tell(request, capsys):
    """Print the figures of a long form."""

    def tell(text):
        if request.node.get_closest_marker("slow"):
            with capsys.disabled():
                print(f"\n{text}")

    return tell


# --- kills


class Whole(NamedTuple):
    """A training that nobody killed: what it left, the steps of its checkpoints, when the first was there and when it ended."""

    end: bytes
    records: str
    saved: list[int]
    first: float
    seconds: float


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory) -> Whole:
    folders = [str(tmp_path_factory.mktemp("whole")) for _ in range(2)]
    # compiles all there is to compile, also what goes on needs: a kill must not hit the writing of the cache
    for folder in (folders[0], folders[0]):
        assert processes.run("train", folder=folder).status == 0
    ended = processes.run("train", folder=folders[1])
    assert ended.status == 0
    assert len(ended.saved) == SAVES
    assert Path(folders[0], "end").read_bytes() == Path(folders[1], "end").read_bytes()
    records = Path(folders[1], "records").read_text()
    best = json.loads(records.splitlines()[-1])["best_epoch"]
    assert 1 < best < EPOCHS, "the best network must be another than the first and the last"
    return Whole(Path(folders[1], "end").read_bytes(), records, ended.saved, ended.said[0][0], ended.seconds)


@pytest.fixture(scope="module")
def like() -> dict[str, Any]:
    state = short_training.new_state()
    return {"state": state, "best": jax.device_get(state.variables)}


def kept_step(folder: Path, like: Any) -> int:
    """The step of the checkpoint that a training would go on from; a damaged one is a warning, which fails the test."""
    found = Checkpoints(folder / "checkpoints").restore(like)
    if found is None:
        return 0
    state, progress = found[0]["state"], found[1]["progress"]
    assert int(state.step) == progress["epoch"] * short_training.STEPS // EPOCHS + progress["step"]
    return int(state.step)


def end_alike(processes: Processes, folder: Path, whole: Whole) -> Ended:
    """Let a training go on to its end, which must be that of ``whole``."""
    ended = processes.run("train", folder=str(folder))
    assert ended.status == 0
    assert (folder / "end").read_bytes() == whole.end
    assert (folder / "records").read_text() == whole.records
    left = sorted(file.name for file in (folder / "checkpoints").iterdir())
    assert left == [f"step-{step:010d}.safetensors" for step in whole.saved[-3:-1]]
    return ended


@short_and_long("count", 4, 100)
def test_killed_trainings_end_as_one_that_was_not(processes, whole, like, tmp_path, tell, count):
    """The short form kills at every point of a checkpoint's writing; the moments between are those of the next test."""
    rng, began = random.Random(count), time.monotonic()
    steps, inside, early, late = [], 0, 0, 0
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        point = POINTS[number] if number < len(POINTS) else rng.choice(POINTS) if number % 2 else None
        if point is not None:
            at, inside = rng.randint(1, SAVES), inside + 1
            ended = processes.run("train", folder=str(folder), point=point, number=at)
            assert ended.status == -signal.SIGKILL
            assert ended.saved == whole.saved[: at - 1]
            temporary = [file.stat().st_size for file in folder.glob("checkpoints/.step-*")]
            assert len(temporary) == (point in ("half", "synced")), "it was not killed where it should be"
            step = kept_step(folder, like)
            assert step == [0, *whole.saved][at - (point != "renamed")]
        else:
            # from before the first checkpoint to the last, and up to a step later: by what it did, for machines have moods
            after = rng.randrange(SAVES)
            said = f"saved {whole.saved[after - 1]}" if after else None
            wait = rng.uniform(0, (whole.seconds - whole.first) / SAVES if after else whole.first)
            ended = processes.run("train", folder=str(folder), kill_at=said, kill_after=wait)
            assert ended.status in (0, -signal.SIGKILL)
            early, late = early + (not ended.saved), late + (ended.status == 0)
            step = kept_step(folder, like)
            assert step >= max(ended.saved, default=0)
        steps.append(step)
        end_alike(processes, folder, whole)
    assert late <= (count - inside) / 2, "most of the random moments were after the end"
    tell(
        f"kills: {count} trainings of {whole.saved[-1]} steps, {inside} killed inside the writing of a checkpoint, "
        f"{count - inside} at a random moment ({early} before the first checkpoint, {late} after the end); went on from steps "
        f"{min(steps)} to {max(steps)}; 0 checkpoints damaged or lost, {count} ends byte-equal; {time.monotonic() - began:.0f} s"
    )


@short_and_long("count", 3, 20)
def test_a_training_killed_again_and_again_ends_too(processes, whole, like, tmp_path, tell, count):
    rng, began, steps = random.Random(count), time.monotonic(), []
    for number in range(count):
        # at least one checkpoint each, so that it comes to an end, and not so many that it ends before
        complete = rng.randint(1, SAVES // (count + 1))
        if number % 2:
            ended = processes.run("train", folder=str(tmp_path), point=POINTS[number // 2 % len(POINTS)], number=complete + 1)
        else:
            following = [step for step in whole.saved if step > (steps[-1] if steps else 0)][complete - 1]
            ended = processes.run("train", folder=str(tmp_path), kill_at=f"saved {following}")
        assert ended.status == -signal.SIGKILL
        steps.append(kept_step(tmp_path, like))
        assert steps[-1] >= max(ended.saved)
    assert steps == sorted(steps)
    end_alike(processes, tmp_path, whole)
    tell(
        f"chain: one training killed {count} times, it went on from steps {', '.join(map(str, steps))}; end byte-equal; "
        f"{time.monotonic() - began:.0f} s"
    )


# --- memory


@pytest.mark.parametrize(
    ("steps", "settled", "mapped"),
    [
        pytest.param(600, 300, True, id="memory-map-600"),  # the longer way of a window: read, copied, sent
        pytest.param(20_000, 1_000, True, id="memory-map-20000", marks=pytest.mark.slow),
        pytest.param(20_000, 1_000, False, id="array-20000", marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow(processes, tmp_path, tell, steps, settled, mapped):
    ended = processes.run("soak", folder=str(tmp_path), steps=steps, mapped=mapped)
    assert ended.status == 0
    resident = {int(step): float(size) for step, size in ended.values("resident")}
    assert list(resident) == list(range(100, steps + 1, 100))
    later = [size for step, size in resident.items() if step > settled]
    growth = max(later) - resident[settled]
    assert growth < 12
    tell(
        f"soak ({'memory map' if mapped else 'array'}): {resident[settled]:.1f} MiB resident after step {settled:,}, at most "
        f"{growth:.1f} MiB more until step {steps:,} and {later[-1] - resident[settled]:+.1f} MiB there; {ended.seconds:.0f} s"
    )


# --- replicas


@short_and_long("steps", 50, 1_000)
def test_replicas_do_not_drift(tell, steps):
    devices, began = choose_devices(8), time.monotonic()
    noise = functools.partial(add_noise, snr_db=0.0)
    step = pmap_step(make_train_step(tiny.network, tiny.optimizer, noise=noise, axis_name=AXIS_NAME), devices)
    start = short_training.new_state()
    before, state = tiny.leaves(start.params), replicate(start, devices)
    batches = [shard(tiny.batch(16, seed, "unequal"), 8) for seed in range(10)]
    waiting = None
    for number in range(steps):
        state, metrics = step(state, batches[number % 10])
        # read one step late, as ``fit`` does: XLA's devices on a CPU wait for each other for ever where many steps are under way
        if waiting is not None:
            jax.device_get(waiting)
        waiting = metrics
    assert int(state.step) == steps
    assert any(np.any(old != new) for old, new in zip(before, tiny.leaves(state.params), strict=True))
    leaves = jax.tree.leaves((state.params, state.batch_stats, state.opt_state, state.step, jax.random.key_data(state.key)))
    for leaf in leaves:
        copies = [np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards]
        assert len(copies) == 8
        assert len(set(copies)) == 1
    tell(f"replicas: 8 copies of {len(leaves)} arrays bit-equal after {steps:,} steps; {time.monotonic() - began:.0f} s")


# --- determinism


class Run:
    """The main experiment's dry run into one folder, in processes of its own, with a quick network."""

    def __init__(self, out: Path, server: Server, table: Path) -> None:
        self.out, self._server = out, server
        options = ("--recordings", table, "--networks", "resnet", "--out", out, "--checkpoint-seconds", 0)
        self._arguments = (quick_script.__file__, "--dry-run", *options)
        self._texts = Path(f"{out}.out"), Path(f"{out}.err")

    @contextlib.contextmanager
    def started(self) -> Iterator[int]:
        """The number of a process, which is gone afterwards."""
        number = self._server.start(*self._texts, self._arguments, short_training.DEADLINE)
        try:
            yield number
        finally:
            self._kill(number)

    def _kill(self, number: int) -> bool:
        """Let a process be gone, if it did not end as it should; returns whether it was still at work."""
        if self._server.code(number, 0) is None:
            os.kill(number, signal.SIGKILL)
        code = self._server.code(number, short_training.DEADLINE)
        assert code in (0, -signal.SIGKILL), [file.read_text() for file in self._texts]
        return code != 0

    def to_the_end(self) -> float:
        """Run to the end; returns the seconds."""
        began = time.monotonic()
        with self.started() as number:
            assert self._server.code(number, short_training.DEADLINE) == 0, [file.read_text() for file in self._texts]
        return time.monotonic() - began

    def killed_after(self, seconds: float) -> bool:
        """Run and kill it so many seconds later; returns whether it was still at work."""
        with self.started() as number:
            self._server.code(number, seconds)
            return self._kill(number)

    def killed_when(self, happened: Callable[[], bool]) -> bool:
        """Run and kill it when something has happened; returns whether it was still at work."""
        with self.started() as number:
            deadline = time.monotonic() + short_training.DEADLINE
            while not happened() and self._server.code(number, 0) is None:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            return self._kill(number)

    def checkpoints(self) -> set[Path]:
        return set(self.out.glob("checkpoints/*/step-*"))

    def last_is_logged(self) -> bool:
        file = self.out / "metrics.jsonl"
        return file.exists() and file.read_text().count('"epoch": 2') > 0

    def tables(self) -> dict[str, bytes]:
        return {name: (self.out / f"{name}.csv").read_bytes() for name in TABLES}

    def records(self) -> list[dict[str, Any]]:
        """The metrics but for times."""
        records = [json.loads(line) for line in (self.out / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in record.items() if k not in ("seconds", "windows_per_second")} for record in records]


def assert_alike(run: Run, other: Run) -> None:
    """Two runs left the same, every row and record once, and nothing to clear up."""
    assert run.tables() == other.tables()
    assert run.records() == other.records()
    for name in (*TABLES, "timings"):
        with open(run.out / f"{name}.csv", newline="") as file:
            rows = [tuple(value for column, value in row.items() if column != "training_seconds") for row in csv.DictReader(file)]
        assert rows
        assert len(set(rows)) == len(rows), f"a row of {name} stands there twice"
    assert not (run.out / "checkpoints").exists()
    assert not [file for file in os.listdir(run.out) if file.startswith(".") and file != ".lock"]


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory) -> Iterator[tuple[Run, float, Callable[[Path], Run]]]:
    """A whole dry run, its seconds, and another run like it, by its folder, which compiles nothing again."""
    folder = tmp_path_factory.mktemp("runs")
    table = tiny.write_recordings(folder)
    # of its own, because a killed run may leave half of a file in it; of the package's own cache quick programs would stay out
    environment = short_training.environment() | {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    with Server(environment) as server:
        new = functools.partial(Run, server=server, table=table)
        run = new(folder / "whole")
        seconds = run.to_the_end()
        assert [record["epoch"] for record in run.records()] == [1, 2]
        yield run, seconds, new


@short_and_long("kills", 1, 10)
def test_equal_runs_are_equal_and_so_are_killed_ones(dry_run, tmp_path, tell, kills):
    whole, seconds, new = dry_run
    rng, began, runs, killed = random.Random(kills), time.monotonic(), 1, 0
    run = new(tmp_path / "1")
    while killed < kills:
        if killed % 3 == 0:
            before = run.checkpoints()
            at_work = run.killed_when(lambda run=run, before=before: not run.checkpoints() <= before)
        elif killed % 3 == 1:  # the last epoch is logged, its row is not there
            at_work = run.killed_when(run.last_is_logged)
        else:
            at_work = run.killed_after(rng.uniform(0, seconds))
        killed += at_work
        if not at_work:
            assert_alike(run, whole)
            runs += 1
            run = new(tmp_path / str(runs))
    run.to_the_end()
    assert_alike(run, whole)
    tell(f"determinism: {killed} kills in {runs} runs, all byte-equal to a whole one; {time.monotonic() - began:.0f} s")
