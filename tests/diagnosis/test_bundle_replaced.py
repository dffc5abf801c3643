"""A bundle that is replaced can be loaded at any time, by the next process after a kill and by a reader meanwhile."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import jax
import pytest
import tiny
from test_bundle import make_old

from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save

# all that touches a file while a bundle is saved; what is closed stays so, for a lock ends with its process
OPERATIONS = (
    *((os, name) for name in ("open", "fsync", "replace", "chmod", "fdopen", "umask")),
    *((Path, name) for name in ("mkdir", "iterdir", "unlink")),
    (tempfile, "mkstemp"),
)


class Killed(BaseException):
    """Ends the process in which it is raised: nothing that follows touches a file."""


@pytest.fixture(scope="module")
def bundles():
    """Two bundles with different weights."""
    network = tiny.network.clone(implementation=None)
    variables = tiny.variables()
    old = Bundle(network, variables, ("a", "b", "c"), tiny.LENGTH, 12_000.0, 32, temperature=1.0)
    return old, dataclasses.replace(old, variables=jax.tree.map(lambda leaf: leaf + 1, variables), temperature=2.0)


def killed_at(number, monkeypatch, call):
    """Call a function that is killed before its file operation ``number``, from 0; return whether it came so far."""
    left = [number]

    def counted(whole):
        def operation(*arguments, **options):
            if left[0] <= 0:
                raise Killed
            left[0] -= 1
            return whole(*arguments, **options)

        return operation

    with monkeypatch.context() as patch:
        for owner, name in OPERATIONS:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        try:
            call()
        except Killed:
            return True
    return False


def assert_one_of(loaded, bundles):
    whole = bundles[0 if loaded.temperature == 1.0 else 1]
    tiny.assert_equal(loaded.variables, whole.variables)


@pytest.mark.parametrize("earlier_format", [False, True])
def test_a_model_can_be_loaded_whenever_the_process_ends(bundles, tmp_path, monkeypatch, earlier_format):
    """A kill before each file operation of ``save``; the next ``save`` leaves nothing of it."""
    old, new = bundles
    save(tmp_path / "old", old)
    if earlier_format:
        make_old(tmp_path / "old", 2)
    number, before, came = 0, 0, True
    while came:
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "old", folder)
        came = killed_at(number, monkeypatch, lambda: save(folder, new, overwrite=True))  # noqa: B023
        loaded = load(folder)
        assert_one_of(loaded, bundles)
        before += loaded.temperature == 1.0
        if number % 4 == 0 or not came:
            save(folder, new, overwrite=True)
            assert_one_of(load(folder), bundles)
            assert len(list(folder.iterdir())) == 2
        number += 1
    assert number > 15
    assert 0 < before < number


def test_a_reader_never_meets_a_part(bundles, tmp_path):
    folder, done, failures = tmp_path / "model", threading.Event(), []
    save(folder, bundles[0])

    def replace():
        try:
            for number in range(40):
                save(folder, bundles[number % 2], overwrite=True)
        except Exception as error:
            failures.append(error)
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    loads = 0
    while not done.is_set():
        assert_one_of(load(folder), bundles)
        loads += 1
    thread.join()
    assert not failures
    assert loads > 3


def test_two_that_replace_at_once_leave_one_model(bundles, tmp_path):
    folder = tmp_path / "model"

    def replace(bundle):
        for _ in range(10):
            save(folder, bundle, overwrite=True)

    threads = [threading.Thread(target=replace, args=(bundle,)) for bundle in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_one_of(load(folder), bundles)
    assert len(list(folder.iterdir())) == 2


# copies of a process are killed, because to start JAX a hundred times would take minutes. They only write files.
KILL = """
import dataclasses, itertools, os, pathlib, random, signal, sys, time
import jax, numpy as np
from drsn_jax.diagnosis.bundle_files import load, save
start, folder, rng, most = sys.argv[1], pathlib.Path(sys.argv[2]), random.Random(0), 0
first = load(start)
first.variables = jax.tree.map(np.asarray, first.variables)
more = jax.tree.map(lambda leaf: leaf + 1, first.variables)
bundles = [first, dataclasses.replace(first, variables=more, temperature=2.0)]
save(folder, bundles[0])
for _ in range(int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        for number in itertools.count(1):
            save(folder, bundles[number % 2], overwrite=True)
    time.sleep(rng.uniform(0.02, 0.3))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    most = max(most, len(list(folder.iterdir())))
    loaded = load(folder)
    whole = jax.tree.leaves(bundles[int(loaded.temperature) - 1].variables)
    assert all(np.array_equal(one, other) for one, other in zip(jax.tree.leaves(loaded.variables), whole, strict=True))
print(most)
"""


@pytest.mark.slow
@pytest.mark.process
def test_a_hundred_kills_leave_a_model(bundles, tmp_path):
    """SIGKILL at random moments of a process that replaces a model again and again."""
    # weights of some size, so that kills meet files that are half written
    network = tiny.network.clone(implementation=None, widths=(64, 128), units=(1, 1))
    save(tmp_path / "start", dataclasses.replace(bundles[0], network=network, variables=tiny.variables(network)))
    command = [sys.executable, "-c", KILL, str(tmp_path / "start"), str(tmp_path / "model"), "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2, "no kill met a file that was half written"
