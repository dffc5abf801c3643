"""What is kept for the next process is what would be computed again, whatever has become of the files."""

import errno
import functools
import hashlib
import os
import stat
import subprocess
import sys
import threading
import types
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.core import kept_files, runtime
from drsn_jax.core.kept_programs import kept
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import save
from drsn_jax.evaluation.novelty import Novelty
from drsn_jax.functional.thresholding import soft_threshold
from drsn_jax.nn import variable_shapes
from drsn_jax.nn.networks import Network, drsn_cw

WINDOWS = np.arange(12, dtype=np.float32).reshape(4, 3)
STATE = {"gain": np.array([2, 3, 4], np.float32)}


@pytest.fixture
def folder(tmp_path):
    kept_files.keep_in(tmp_path / "programs")
    yield tmp_path / "programs"
    kept_files.keep_in(None)


class Program:
    """A function of arrays as a new process has it, which counts how often it is traced."""

    def __init__(self, *facts):
        self.traced = 0
        self.run = jax.jit(kept(self.compute, "squares", *facts))

    def compute(self, state, windows):
        self.traced += 1
        return jnp.sum((windows * state["gain"]) ** 2, -1)

    def check(self, traced):
        np.testing.assert_array_equal(self.run(STATE, WINDOWS), ((WINDOWS * STATE["gain"]) ** 2).sum(-1))
        assert self.traced == traced


def files(folder):
    return sorted(folder.glob(f"*{kept_files.SUFFIX}"))


def test_a_kept_program_is_not_traced_again(folder):
    Program(1).check(traced=1)
    (file,) = files(folder)
    before = file.read_bytes()
    Program(1).check(traced=0)
    assert file.read_bytes() == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_program_is_another_file(folder, monkeypatch):
    Program(1).check(traced=1)
    Program(2).check(traced=1)
    with jax.default_matmul_precision("float32"):
        Program(1).check(traced=1)
    for name in ("_source", "_read_source"):
        monkeypatch.setattr(kept_files, name, lambda: "a checkout that was edited")
    Program(1).check(traced=1)
    monkeypatch.setattr(jax, "__version__", "99.0")
    Program(1).check(traced=1)
    assert len(files(folder)) == 5
    again = Program(1)
    assert again.run(STATE, WINDOWS[:2]).shape == (2,)
    assert again.traced == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"x" * len(content),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["empty", "truncated", "garbage", "a bit"],
)
def test_a_damaged_file_is_made_again(folder, damage):
    Program().check(traced=1)
    (file,) = files(folder)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    Program().check(traced=1)
    assert len(file.read_bytes()) == len(whole)
    Program().check(traced=0)


def test_a_module_that_cannot_be_read_costs_a_trace(folder):
    """Its digest is right: a file of another jaxlib that calls itself the same."""
    Program().check(traced=1)
    (file,) = files(folder)
    content = file.read_bytes()[32:].partition(b"\n")[0] + b"\nno module"
    file.write_bytes(hashlib.sha256(content).digest() + content)
    Program().check(traced=1)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="the system does not tell who may write")
def test_a_folder_of_others_is_not_read(folder):
    Program().check(traced=1)
    folder.chmod(0o777)
    Program().check(traced=1)
    folder.chmod(0o700)
    Program().check(traced=0)


def test_where_nothing_can_be_written_everything_is_computed(folder):
    folder.write_bytes(b"a file where the folder should be")
    Program().check(traced=1)
    Program().check(traced=1)
    kept_files.keep_in(None)
    Program().check(traced=1)


def test_old_files_make_room(folder, monkeypatch):
    for number in range(3):
        kept_files.write(kept_files.key(number), bytes(1000))
        os.utime(files(folder)[0].parent / f"{kept_files.key(number)}.kept", ns=(number, number))
    assert kept_files.read(kept_files.key(0)) is not None  # it is used, and so it is the youngest
    monkeypatch.setattr(kept_files, "LIMIT", 3200)
    kept_files.write(kept_files.key(3), bytes(1000))
    assert [kept_files.read(kept_files.key(number)) is None for number in range(4)] == [False, True, False, False]
    monkeypatch.setattr(kept_files, "LARGEST", 1000)
    kept_files.write(kept_files.key(4), bytes(1000))
    assert kept_files.read(kept_files.key(4)) is None


def test_files_of_others_are_never_deleted(folder, monkeypatch):
    """``JAX_COMPILATION_CACHE_DIR`` may be a folder in which a user has a folder ``programs`` already."""
    folder.mkdir(mode=0o700)
    mine, left = folder / "thesis.py", folder / f".{kept_files.key(0)}.kept.ab12_xyz"
    for file in (mine, left):
        file.write_bytes(bytes(1000))
        os.utime(file, ns=(0, 0))
    monkeypatch.setattr(kept_files, "LIMIT", 1500)
    kept_files.write(kept_files.key(1), bytes(1000))
    assert mine.exists()
    assert not left.exists()


def test_a_disk_that_is_read_only_is_read(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    Program().check(traced=1)
    monkeypatch.setattr(os, "utime", refuse)
    Program().check(traced=0)


def test_what_was_imported_before_an_edit_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(kept_files, "_read_source", lambda: "edited since")
    Program().check(traced=1)
    assert files(folder) == []


def test_the_lock_of_an_editor_is_no_source(monkeypatch, tmp_path):
    (tmp_path / "core").mkdir()
    monkeypatch.setattr(kept_files, "__file__", str(tmp_path / "core" / "kept_files.py"))
    assert kept_files._read_source() == ""
    (tmp_path / "layers.py").write_text("x = 1")
    before = kept_files._read_source()
    (tmp_path / ".#layers.py").symlink_to("someone@host.4711")  # as Emacs makes it
    assert kept_files._read_source() == before != ""
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    assert kept_files._read_source() == ""
    monkeypatch.setattr(kept_files, "_source", kept_files._read_source)
    with pytest.raises(kept_files.Unknown):
        kept_files.key(1)


def test_many_write_the_same_file_at_once(folder):
    name, content = kept_files.key("one"), bytes(range(256)) * 100
    threads = [threading.Thread(target=kept_files.write, args=(name, content)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert kept_files.read(name) in (None, content)
    assert kept_files.read(name) == content
    assert [file.name for file in folder.iterdir()] == [name + kept_files.SUFFIX]


def test_a_function_of_a_user_is_in_no_key(folder):
    """Its words would tell its name and where it lies in memory, which another function has in the next process."""
    Program(lambda x: x).check(traced=1)
    Program(functools.partial(test_old_files_make_room)).check(traced=1)

    @functools.wraps(soft_threshold)
    def twice(x, threshold):
        return soft_threshold(x, 2 * threshold)

    # each calls itself as what it wraps or as any other of its kind does, and computes another thing
    for function in (twice, jax.grad(jnp.sin), nn.map_variables(nn.Conv, "params", lambda x: x), jnp.add.reduce):
        Program(function).check(traced=1)

    class Mine(Network):
        pass

    for network in (Mine(classes=3), tiny.network.clone(conv=lambda *given, **named: nn.Conv(*given, **named))):
        with pytest.raises(kept_files.Unknown):
            kept_files.key(network)
    assert not folder.exists()


def test_networks_differ_by_every_field():
    variants = [{}, {"classes": 4}, {"widths": (8,)}, {"dtype": jnp.bfloat16}, {"platform": "cpu"}, {"standardise": True}]
    keys = [kept_files.key(drsn_cw(**{"classes": 3, **changed})) for changed in variants]
    assert len(set(keys)) == len(keys)
    assert kept_files.key(drsn_cw(classes=3)) == keys[0]


def test_numbers_without_a_dtype_of_their_own_stay_so(folder):
    run = jax.jit(kept(jnp.multiply, "product"))
    windows = jnp.ones(3, jnp.bfloat16)
    assert run(2.0, windows).dtype == jnp.bfloat16
    assert run(jnp.float32(2), windows).dtype == jnp.float32


def test_without_compilation_there_is_no_program(folder):
    with jax.disable_jit():
        Program().check(traced=1)
    assert not folder.exists()


def test_a_program_for_a_gpu_is_not_traced_again(folder, monkeypatch):
    """Its devices are of the platform gpu, and its programs of the platform cuda."""
    device = types.SimpleNamespace(platform="gpu", device_kind="none that is there")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    for traced in (1, 0):
        program = Program()
        program.run.trace(STATE, WINDOWS).lower(lowering_platforms=("cuda",))
        assert program.traced == traced
    program.run.trace(STATE, WINDOWS).lower(lowering_platforms=("tpu",))
    assert program.traced == 1


def test_devices_share_a_kept_program(folder):
    devices = jax.local_devices()[:2]
    for traced in (1, 0):
        program = Program()
        mapped = jax.pmap(kept(program.compute, "squares"), in_axes=(None, 0), devices=devices)
        found = mapped(STATE, WINDOWS.reshape(2, 2, 3))
        np.testing.assert_array_equal(np.reshape(found, -1), ((WINDOWS * STATE["gain"]) ** 2).sum(-1))
        assert program.traced == traced


def test_one_window_with_a_limit_that_is_a_number_of_python(folder):
    """A number of Python adopts the dtype of what it meets, so that its program is another one than that with an array."""
    window = np.sin(np.arange(tiny.LENGTH, dtype=np.float32)).reshape(1, -1, 1)
    features = tiny.network.widths[-1]
    fitted = np.zeros((tiny.CLASSES, features)), np.eye(features, 1), np.ones(2)
    found = []
    for limit in (2.0, np.float64(2)):
        bundle = Bundle(tiny.network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 12_000.0, novelty=Novelty(*fitted, limit))
        found.append(bundle.answer(window)[1])
    assert len(files(folder)) == 2
    assert found[0] == found[1] > 0


def test_a_model_that_was_asked_before_files_are_kept_keeps_no_weights(folder):
    """Its programs for other numbers of windows are traced later: they would be found by models with other weights."""
    kept_files.keep_in(None)
    windows = np.sin(np.arange(2 * tiny.LENGTH, dtype=np.float32)).reshape(2, -1, 1)
    models = [Bundle(tiny.network, tiny.variables(seed=seed), ("a", "b", "c"), tiny.LENGTH, 12_000.0) for seed in (0, 1)]
    expected = [np.concatenate([model.logits(window[None]) for window in windows]) for model in models]
    kept_files.keep_in(folder)
    for model, logits in zip(models, expected, strict=True):
        np.testing.assert_allclose(model.logits(windows), logits, atol=1e-5)


def test_shapes_of_variables_are_kept(folder, monkeypatch):
    plain = jax.eval_shape(lambda key, x: tiny.network.init(key, x, train=False), jax.random.key(0), jnp.zeros((1, 64, 1)))
    variable_shapes._traced.cache_clear()
    first = variable_shapes.variable_shapes(tiny.network, (64, 1))
    monkeypatch.setattr(Network, "init", None)  # nothing is traced
    variable_shapes._traced.cache_clear()
    again = variable_shapes.variable_shapes(tiny.network, (64, 1))
    for found in (first, again):
        assert jax.tree.structure(found) == jax.tree.structure(plain)
        same = jax.tree.map(lambda one, other: (one.shape, one.dtype) == (other.shape, other.dtype), found, plain)
        assert all(jax.tree.leaves(same))


def test_the_folder_lies_beside_what_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setattr(kept_files, "_folder", None)
    chosen = Path(jax.config.values["jax_compilation_cache_dir"])
    runtime.prepare(memory=False, cache=True)
    assert kept_files._folder == chosen / "programs"
    runtime.prepare(memory=False, cache=False)
    assert not kept_files.keeps()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        jax.config.update("jax_compilation_cache_dir", "gs://bucket/cache")
        assert runtime.programs_folder() == tmp_path / "drsn_jax" / "programs"
    finally:
        jax.config.update("jax_compilation_cache_dir", str(chosen))


ASK = """
import sys
from drsn_jax.core import kept_programs, runtime
runtime.prepare(devices=2, dry_run=True)
import jax, numpy as np, drsn_jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
events, traced, lowered = [], [], kept_programs._lowered
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
kept_programs._lowered = lambda *given: traced.append(given) or lowered(*given)
model = drsn_jax.load(sys.argv[1])
windows = np.random.default_rng(0).normal(size=(9, 64, 1)).astype(np.float32)
answers = [model.predict_proba(windows[:1]), model.predict_proba(windows), model.zeros(windows)]
model.spread(jax.local_devices())
answers.append(model.predict_proba(windows))
print(len(traced), events.count("cache_misses"), events.count("cache_hits"))
print(*(float(answer.ravel() @ np.arange(answer.size)) for answer in answers))
"""


@pytest.mark.process
def test_the_second_process_neither_traces_nor_compiles(tmp_path):
    """Two first ones at once, which write the same files."""
    network = tiny.network.clone(implementation=None, standardise=True)
    save(tmp_path / "model", Bundle(network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 12_000.0, 32))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment = clean | {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def start():
        command = [sys.executable, "-c", ASK, str(tmp_path / "model")]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    first = [start(), start()]
    told = [process.communicate()[0].split() for process in first]
    last = start().communicate()[0].split()
    assert sum(int(counts[0]) for counts in told) >= 4  # what one has written, the other may read
    assert last[:2] == ["0", "0"]
    assert int(last[2]) >= 4
    assert told[0][3:] == told[1][3:] == last[3:]
