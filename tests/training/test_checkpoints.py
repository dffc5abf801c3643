"""Checkpoints come back as the same bytes, damage is noticed, and what cannot be written costs nothing that was there."""

import errno
import functools
import itertools
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors
import safetensors.numpy
import short_training
import tiny
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drsn_jax.core.distributed import AXIS_NAME, choose_devices, pmap_step, replicate, shard
from drsn_jax.training import checkpoints
from drsn_jax.training.checkpoints import CheckpointError, Checkpoints, decode, encode
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_train_step

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
FULL = OSError(errno.ENOSPC, "No space left on device")
small = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32), "step": np.array(7, np.int32)}


def changed(tree, by):
    """A tree of the same shapes with other numbers."""
    return jax.tree.map(lambda leaf: leaf + np.asarray(by, leaf.dtype), tree)


def name(step):
    return f"step-{step:010d}.safetensors"


def names(folder):
    return sorted(os.listdir(folder))


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def restored(kept, like) -> tuple[Any, dict[str, Any]]:
    found = kept.restore(like)
    assert found is not None
    return found


@functools.cache
def made_once():
    return tiny.step(short_training.new_state(), tiny.batch(8))[0]


@pytest.fixture
def state():
    """A state after one step, so that nothing in it is zero by chance."""
    return jax.tree.map(lambda leaf: leaf.copy(), made_once())


@pytest.fixture
def kept(tmp_path):
    return Checkpoints(tmp_path / "kept")


# --- round trips


def test_a_state_comes_back_as_the_same_bytes(kept, state):
    kept.save(1, state, {"epoch": 1})
    like = jax.tree.map(jnp.zeros_like, state.variables)
    found, facts = restored(kept, short_training.new_state())
    tiny.assert_equal(found, state)
    assert facts == {"epoch": 1}
    assert found.key.dtype == state.key.dtype
    assert jax.random.bits(found.key) == jax.random.bits(state.key)
    # what is in memory counts for nothing
    tiny.assert_equal(decode(encode(state.variables, {}), like)[0], state.variables)


TREES = {
    "float32": jnp.float32([1.5, -0.0, np.inf, np.nan, 1e-45]),
    "a number": jnp.int32(7),
    "bool": jnp.array([True, False]),
    "empty": jnp.zeros((0, 3)),
    "empty and int8": jnp.zeros((2, 0), jnp.int8),
    "bfloat16": jnp.array([1.5, -2, np.inf], jnp.bfloat16),
    "one bfloat16": jnp.array(1.5, jnp.bfloat16),
    "float8": jnp.array([1.5, -2], jnp.float8_e4m3fn),
    "float16": jnp.array([[1.5], [-2]], jnp.float16),
    "complex": jnp.array([1 + 2j], jnp.complex64),
    "key": jax.random.key(3),
    "keys": jax.random.split(jax.random.key(4), 3),
    "another kind of key": jax.random.key(3, impl="rbg"),
    "numpy": np.arange(6.0).reshape(2, 3).T,
    "numpy bfloat16": np.array([1.5, -2], jnp.bfloat16),
    "nothing": None,
    "nested": {"a/b": [jnp.ones(2), {"c": jnp.zeros(())}], "é": (jnp.ones(1),)},
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_any_array_comes_back(kept, tree):
    tree = {"a": tree, "b": jnp.ones(2)}
    kept.save(1, tree, {})
    found, _ = restored(kept, tree)
    tiny.assert_equal(found, tree)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(tree), strict=True):
        assert (type(one), one.dtype, one.shape) == (type(other), other.dtype, other.shape)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('aé"\\\n', max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text("abc", min_size=1), json_values, max_size=4))
@example({"best_loss": float("inf"), "worst": -float("inf"), "none": float("nan")})
def test_facts_come_back(facts):
    # as text, for NaN is not equal to itself
    assert json.dumps(decode(encode({}, facts), {})[1]) == json.dumps(facts)


@pytest.mark.parametrize("count", [None, 2, 4])
def test_arrays_are_placed_as_they_were(kept, state, count):
    like = state if count is None else replicate(state, choose_devices(count))
    kept.save(1, like, {})
    found, _ = restored(kept, like)
    tiny.assert_equal(found, state)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(like), strict=True):
        assert one.sharding == other.sharding
        assert one.committed == other.committed, "a step would be compiled again"


def new_step(state, count):
    """A step that nothing has compiled yet, over so many devices, and its state and batch."""
    if count is None:
        # jit knows the functions that it has compiled; of the same name, it is found in the cache on disk
        def step(state, batch):
            return tiny.train_step(state, batch)

        return jax.jit(step, donate_argnums=0), state, tiny.batch(8)
    devices = choose_devices(count)
    of_shard = make_train_step(tiny.network, tiny.optimizer, axis_name=AXIS_NAME)
    return pmap_step(of_shard, devices), replicate(state, devices), shard(tiny.batch(8), count)


@pytest.mark.parametrize("count", [None, 2])
def test_a_step_is_compiled_once_for_what_was_restored(kept, state, count):
    step, state, batch = new_step(state, count)
    kept.save(1, state, {})
    found, _ = restored(kept, state)
    with tiny.compilations() as compiled:
        after, _ = step(found, batch)
        first = list(compiled)
        step(after, batch)
    assert len(first) >= 1
    assert compiled == first


@pytest.mark.parametrize("count", [None, 2])
def test_a_step_that_was_compiled_serves_for_what_was_restored(kept, state, count):
    step, state, batch = new_step(state, count)
    kept.save(1, state, {})
    found, _ = restored(kept, state)
    expected, _ = step(state, batch)
    with tiny.compilations() as compiled:
        after, _ = step(found, batch)
    tiny.assert_equal(after, expected)
    assert not compiled


def test_a_step_that_donates_leaves_the_other_arrays_alone(kept, state):
    """The memory of what was read must not be that of the state."""
    tree = {"state": state, "best": jax.device_get(state.variables)}
    kept.save(1, tree, {})
    found, _ = restored(kept, tree)
    after = found["state"]
    for _ in range(3):
        after, _ = tiny.step(after, tiny.batch(8))
    tiny.assert_equal(found["best"], tree["best"])


def test_any_program_reads_the_file(kept, state):
    kept.save(12, {"state": state, "best": None}, {"epoch": 4})
    arrays = safetensors.numpy.load_file(kept.newest())
    assert arrays["state/step"] == 1
    np.testing.assert_array_equal(arrays["state/key"], jax.random.key_data(state.key))
    np.testing.assert_array_equal(arrays["state/params/classifier/kernel"], state.params["classifier"]["kernel"])
    assert len(arrays) == len(jax.tree.leaves(state))
    with safetensors.safe_open(kept.newest(), "numpy") as file:
        assert json.loads(file.metadata()["facts"]) == {"epoch": 4}


# --- the folder


def test_without_checkpoints_there_is_nothing(kept):
    assert kept.restore(small) is None
    assert kept.newest() == "none"
    assert kept.restore(small) is None
    assert kept.newest() == "none"


def test_what_is_no_file_of_ours_is_left_alone(kept):
    """Also by its removal."""
    (kept.folder / "step-0000000099.safetensors").mkdir(parents=True)
    (kept.folder / "step-0000000098.safetensors").symlink_to("nowhere")
    (kept.folder / "notes.txt").write_text("mine")
    assert kept.restore(small) is None
    kept.save(3, small, {})
    assert kept.restore(small) is not None
    kept.remove()
    left = ["notes.txt", "step-0000000098.safetensors", "step-0000000099.safetensors"]
    assert sorted(file.name for file in kept.folder.iterdir()) == left


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    # no OSError "[Errno 17] File exists", which does not say what to do
    with pytest.raises(CheckpointError, match="file is a file: give the folder for the checkpoints"):
        Checkpoints(tmp_path / "file").restore(small)
    with pytest.raises(OSError, match="correct that, and the same command goes on"):
        Checkpoints(tmp_path / "file" / "deeper").save(1, small, {})


def test_names_that_collide_are_refused():
    with pytest.raises(ValueError, match="two arrays of the tree have the same name"):
        encode({"a/b": np.ones(1), "a": {"b": np.ones(1)}}, {})


def test_the_folder_is_made_with_the_first(tmp_path):
    kept = Checkpoints(str(tmp_path / "deep" / "kept"))
    assert not kept.folder.exists()
    kept.save(3, small, {})
    assert names(kept.folder) == [name(3)]
    assert kept.newest() == str(kept.folder / name(3))


def test_the_last_two_are_kept(kept):
    for step in (9, 10, 99, 100, 123_456_789):
        kept.save(step, changed(small, step), {"step": step})
    assert names(kept.folder) == [name(100), name(123_456_789)]
    tree, facts = restored(kept, small)
    tiny.assert_equal(tree, changed(small, 123_456_789))
    assert facts == {"step": 123_456_789}


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_are_kept_as_asked(tmp_path, keep):
    kept = Checkpoints(tmp_path, keep=keep)
    for step in range(1, 6):
        kept.save(step, small, {})
    assert names(tmp_path) == [name(step) for step in range(6 - keep, 6)]


@pytest.mark.parametrize("keep", [0, -1])
def test_at_least_one_is_kept(tmp_path, keep):
    with pytest.raises(ValueError, match=f"at least one checkpoint is kept, got keep={keep}"):
        Checkpoints(tmp_path, keep=keep)


def test_the_same_step_again_takes_the_place_of_the_first(kept):
    for number in (1, 2):
        kept.save(5, changed(small, number), {"number": number})
    assert names(kept.folder) == [name(5)]
    tree, facts = restored(kept, small)
    tiny.assert_equal(tree, changed(small, 2))
    assert facts == {"number": 2}


def test_what_a_kill_left_is_swept(kept):
    kept.save(1, small, {})
    for left in (f".{name(2)}.abc", f".{name(1)}.x"):
        (kept.folder / left).write_bytes(b"half")
    tiny.assert_equal(restored(kept, small)[0], small)
    kept.save(2, small, {})
    assert names(kept.folder) == [name(1), name(2)]


def test_foreign_files_are_left_alone(kept):
    kept.folder.mkdir()
    foreign = ["notes.txt", ".hidden", "model.safetensors", "step-12.safetensors", f"{name(1)}.bak", f"my-{name(1)}"]
    for file in foreign:
        (kept.folder / file).write_text("foreign")
    assert kept.restore(small) is None
    for step in (1, 2, 3):
        kept.save(step, small, {})
    restored(kept, small)
    assert names(kept.folder) == sorted([*foreign, name(2), name(3)])
    assert all((kept.folder / file).read_text() == "foreign" for file in foreign)


def test_remove(kept):
    kept.remove()
    kept.save(1, small, {})
    kept.remove()
    assert not kept.folder.exists()
    kept.save(2, small, {})
    assert names(kept.folder) == [name(2)]


def test_due(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now))
    always, never, sometimes = (Checkpoints(tmp_path, seconds=seconds) for seconds in (0, 1e9, 30))
    assert (always.due, never.due, sometimes.due) == (True, False, False)
    now = 129.9
    assert not sometimes.due
    now = 130.0
    assert sometimes.due
    assert not never.due
    for kept in (always, sometimes):
        kept.save(1, small, {})
    assert (always.due, sometimes.due) == (True, False)
    now = 160.0
    assert sometimes.due


def test_the_first_process_alone_writes(kept, monkeypatch):
    kept.save(1, small, {})
    other = Checkpoints(kept.folder, seconds=0)
    monkeypatch.setattr(checkpoints, "is_main_process", lambda: False)
    assert not other.due
    other.save(2, small, {})
    other.remove()
    assert names(kept.folder) == [name(1)]


# --- damage


def two(folder):
    """A folder of two checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)
    kept = Checkpoints(folder)
    kept.save(1, small, {"number": 1})
    kept.save(2, changed(small, 1), {"number": 2})
    return kept


def assert_previous(kept):
    """The newer of two is passed over, with a warning that names it; the older comes back."""
    with pytest.warns(RuntimeWarning, match=f"{name(2)} is passed over: it is ") as caught:
        tree, facts = restored(kept, small)
    assert len(caught) == 1
    tiny.assert_equal(tree, small)
    assert facts == {"number": 1}


@settings(in_one_folder, max_examples=150)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example(0.0, 1)
@example(0.999999, 128)
def test_a_byte_that_changed_is_noticed(tmp_path, where, by):
    kept = two(tmp_path / "kept")
    data = bytearray(Path(kept.newest()).read_bytes())
    position = int(where * len(data))
    data[position] ^= by
    Path(kept.newest()).write_bytes(data)
    header = 8 + int.from_bytes(data[:8], "little")
    if position < header and not bytes(data[position:header]).strip():
        # one blank for another, where the header is filled up: the same JSON, nothing is lost
        tiny.assert_equal(restored(kept, small)[0], changed(small, 1))
        return
    assert_previous(kept)


def test_every_byte_of_the_header_counts():
    """Names, types, shapes and facts: no other value of any byte of theirs is taken."""
    data = bytearray(encode({"bias": np.arange(2, dtype=np.float32), "number": np.array(1, np.int32)}, {"a": 1.5}))
    end = 8 + int.from_bytes(data[:8], "little")
    end = len(data[:end].rstrip())  # the blanks that fill it up may be others
    taken = []
    for position, value in itertools.product(range(end), range(256)):
        before, data[position] = data[position], value
        try:
            decode(bytes(data), {})
        except CheckpointError as error:
            # found in itself, and not because it does not fit
            if not str(error).startswith("it is "):
                taken.append((position, value, before))
        data[position] = before
    assert all(value == before for _, value, before in taken)
    assert len(taken) == end


@in_one_folder
@given(st.floats(0, 1, exclude_max=True), st.booleans())
@example(0.0, False)
@example(0.999999, False)
@example(0.999999, True)
def test_a_cut_is_noticed(tmp_path, where, zeros):
    """As a disk leaves a file after a crash: cut off, or of the right length with nothing in it."""
    kept = two(tmp_path / "kept")
    data = Path(kept.newest()).read_bytes()
    short = data[: int(where * len(data))]
    Path(kept.newest()).write_bytes(short.ljust(len(data), b"\0") if zeros else short)
    if zeros and short.ljust(len(data), b"\0") == data:
        return
    assert_previous(kept)


@pytest.mark.parametrize("added", [b"\0", b"x" * 100])
def test_more_than_there_was_is_noticed(tmp_path, added):
    kept = two(tmp_path / "kept")
    with open(kept.newest(), "ab") as file:
        file.write(added)
    assert_previous(kept)


def test_all_damaged(tmp_path):
    kept = two(tmp_path / "kept")
    for file in kept.folder.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    message = rf"^all checkpoints in .*kept are damaged \({name(2)}, {name(1)}\): remove the folder to begin anew$"
    with pytest.warns(RuntimeWarning, match="passed over") as caught, pytest.raises(CheckpointError, match=message):
        kept.restore(small)
    assert len(caught) == 2


def test_a_new_checkpoint_is_kept_beside_a_damaged_one_of_a_later_step(tmp_path):
    """The training goes on before the damaged one: two that are whole stay, whatever the numbers."""
    kept = two(tmp_path / "kept")
    for step in (10, 20):
        kept.save(step, small, {})
    Path(kept.newest()).write_bytes(b"damaged")
    for step in (12, 14):
        kept.save(step, changed(small, step), {"step": step})
    Path(kept.folder / name(14)).write_bytes(b"damaged")
    with pytest.warns(RuntimeWarning, match="passed over"):
        tree, facts = restored(kept, small)
    tiny.assert_equal(tree, changed(small, 12))
    assert facts == {"step": 12}


def test_one_checkpoint_is_not_given_up_for_a_damaged_one_of_a_later_step(tmp_path):
    kept = two(tmp_path / "kept")
    Path(kept.newest()).write_bytes(b"damaged")
    alone = Checkpoints(kept.folder, keep=1)
    assert_previous(alone)
    alone.save(1, changed(small, 5), {"number": 5})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert restored(alone, small)[1] == {"number": 5}


class Trap:
    """What a pickle of it does when it is loaded: it makes the file ``path``."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path):
    kept, trap = two(tmp_path / "kept"), tmp_path / "trap"
    data = pickle.dumps(Trap(trap))
    pickle.loads(data)
    assert trap.exists()
    trap.unlink()
    Path(kept.newest()).write_bytes(data)
    assert_previous(kept)
    np.save(tmp_path / "array.npy", np.array([Trap(trap)]), allow_pickle=True)
    shutil.copy(tmp_path / "array.npy", kept.newest())
    assert_previous(kept)
    assert not trap.exists()


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    with pytest.raises(CheckpointError, match="it is "):
        decode(data, small)


def file_of(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        safetensors.numpy.save(small),
        safetensors.numpy.save(small, {"format": "drsn_jax checkpoint 2"}),
        safetensors.numpy.save(small, {"format": checkpoints.FORMAT}),
        safetensors.numpy.save(small, {"format": checkpoints.FORMAT, "facts": "{}", "sha256": "0" * 64}),
        file_of({}),
        file_of({"__metadata__": None}),
        file_of([]),
        file_of(b"\xff"),
        file_of({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}) + b"12",
    ],
    ids=["empty", "no metadata", "another version", "no sum", "a wrong sum", "{}", "null", "[]", "no text", "unknown numbers"],
)
def test_files_of_another_kind_are_refused(data):
    with pytest.raises(CheckpointError, match=r"it is (damaged|no checkpoint of this format)"):
        decode(data, small)


# --- another training


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**small, "bias": np.zeros(3, np.float32)}, r"\(bias: float32\[2\] there, float32\[3\] here\)$"),
        ({**small, "bias": np.zeros(2, np.float16)}, r"\(bias: float32\[2\] there, float16\[2\] here\)$"),
        ({**small, "step": np.zeros(1, np.int32)}, r"\(step: int32\[\] there, int32\[1\] here\)$"),
        ({**small, "new": np.zeros(1, np.float32)}, r"\(new: nothing there, float32\[1\] here\)$"),
        ({"bias": small["bias"], "step": small["step"]}, r"\(weights: float32\[2, 3\] there, nothing here\)$"),
        ({f"{n}": np.zeros(1) for n in range(5)}, r"\(0: nothing there, float64\[1\] here; 1: .*; 2: [^;]*; and 5 more\)$"),
    ],
)
def test_another_tree_is_refused(other, message):
    with pytest.raises(CheckpointError, match="^the checkpoint is of another network or optimiser " + message):
        decode(encode(small, {}), other)


def test_another_network_or_optimiser_is_refused(kept, state):
    kept.save(1, state, {})
    windows, key = np.zeros((1, tiny.LENGTH, 1)), jax.random.key(0)
    wider = create_state(tiny.network.clone(widths=(5,)), tiny.optimizer, key, windows)
    with pytest.raises(CheckpointError, match=r"batch_stats/\S+: float32\[4\] there, float32\[5\] here; .*; and \d+ more\)$"):
        kept.restore(wider)
    adam = create_state(tiny.network, optax.adam(1e-3), key, windows)
    with pytest.raises(CheckpointError, match=r"opt_state/\S+: (nothing there, \S+ here|\S+ there, nothing here); .*more\)$"):
        kept.restore(adam)


# --- a full disk


def fail(*arguments, **options):
    raise FULL


def half_a_write(handle, mode):
    """A file that takes half of what is written."""
    file = open(handle, mode)  # noqa: SIM115
    take = file.write

    def write(data):
        take(data[: len(data) // 2])
        file.flush()
        raise FULL

    file.write = write
    return file


@pytest.mark.parametrize(
    ("function", "failing"),
    [("fsync", fail), ("replace", fail), ("fdopen", half_a_write), ("open", fail)],
    ids=["fsync", "rename", "write", "new file"],
)
def test_a_full_disk_costs_nothing_that_was_there(kept, state, monkeypatch, function, failing):
    kept.save(1, state, {"number": 1})
    kept.save(2, state, {"number": 2})
    before = contents(kept.folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing)
        with pytest.raises(OSError, match="the checkpoint of step 3 could not be written") as raised:
            kept.save(3, changed(state.params, 1), {"number": 3})
    message = str(raised.value)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(kept.folder / name(3))
    assert f"(No space left on device); the ones before it are whole ({name(2)}, {name(1)})" in message
    assert "make room, and the same command goes on from there" in message
    assert "\n" not in message
    assert contents(kept.folder) == before
    tiny.assert_equal(restored(kept, state)[0], state)
    kept.save(3, state, {"number": 3})
    assert names(kept.folder) == [name(2), name(3)]


def test_a_full_disk_at_the_first_checkpoint(kept, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"the ones before it are whole \(none yet\)"):
        kept.save(1, small, {})
    assert names(kept.folder) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="the checkpoint of step 1 could not be written"):
        Checkpoints(tmp_path / "file" / "kept").save(1, small, {})


def run_job(*before, **job):
    return subprocess.run(
        [*before, sys.executable, short_training.__file__, json.dumps(job)],
        env=short_training.environment(),
        capture_output=True,
        text=True,
        timeout=short_training.DEADLINE,
    )


@pytest.mark.process
def test_a_file_that_may_not_grow(kept, state):
    """The system's own limit, in the middle of a write."""
    size = len(encode(state, {"number": 1}))
    done = run_job(job="save_limited", folder=str(kept.folder), limit=size // 2)
    assert done.returncode == 0, done.stderr
    assert f"refused [Errno {errno.EFBIG}] the checkpoint of step 2 could not be written (File too large)" in done.stdout


MOUNT = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'


@pytest.mark.process
def test_a_disk_that_is_full(tmp_path):
    """A real one, in memory, which this process alone sees."""
    mount = ("unshare", "--mount", "sh", "-c", MOUNT, str(tmp_path))
    try:
        allowed = subprocess.run([*mount, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not there: no disk of its own can be mounted")
    if allowed.returncode != 0:
        pytest.skip(f"a disk of its own may not be mounted ({allowed.stderr.strip()})")
    done = run_job(*mount, job="save_full", folder=str(tmp_path))
    assert done.returncode == 0, done.stderr
    expected = f"refused [Errno {errno.ENOSPC}] the checkpoint of step 2 could not be written (No space left on device)"
    assert expected in done.stdout
    assert names(tmp_path) == []


# --- doors


@pytest.mark.parametrize("seconds", [math.nan, -1.0])
def test_seconds_that_would_never_pass_are_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match=f"a checkpoint is due after 0 seconds or more, got seconds={seconds}"):
        Checkpoints(tmp_path, seconds=seconds)


def test_an_about_with_nan_is_its_own(tmp_path):
    tree, about = {"a": np.zeros(2, np.float32)}, {"rate": math.nan}
    Checkpoints(tmp_path).save(1, tree, {"about": about})
    assert Checkpoints(tmp_path).restore(tree, about) is not None
    with pytest.raises(CheckpointError, match=r"rate: nan there, 1\.0 here"):
        Checkpoints(tmp_path).restore(tree, {"rate": 1.0})
