"""A bundle that is replaced can be loaded at any time, by the next process after a kill and by a reader meanwhile."""

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from test_bundle import make_old

from drsn_jax.diagnosis.bundle import Bundle, load, save

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


REPLACE = """
import dataclasses, itertools, sys
import jax
from drsn_jax.diagnosis.bundle import load, save
old = load(sys.argv[1])
other = dataclasses.replace(old, variables=jax.tree.map(lambda leaf: leaf + 1, old.variables), temperature=old.temperature + 1)
save(sys.argv[2], old)
print("ready", flush=True)
for number in itertools.count():
    save(sys.argv[2], (other, old)[number % 2], overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.process
def test_a_hundred_kills_leave_a_model(bundles, tmp_path):
    """SIGKILL at random moments of a process that replaces a model again and again."""
    # weights of a megabyte, so that kills meet files that are half written
    network = tiny.network.clone(implementation=None, widths=(64, 128))
    save(tmp_path / "start", dataclasses.replace(bundles[0], network=network, variables=tiny.variables(network)))
    rng, seen = random.Random(0), set()
    for number in range(100):
        folder = tmp_path / str(number)
        command = [sys.executable, "-c", REPLACE, str(tmp_path / "start"), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
        seen.add(len(list(folder.iterdir())))
        loaded, first = load(folder), load(tmp_path / "start")
        moved = np.float32(loaded.temperature - 1)
        leaves = jax.tree.map(lambda leaf, by=moved: np.asarray(leaf) + by, first.variables)
        tiny.assert_close(loaded.variables, leaves, 1e-6)
    assert max(seen) > 2, "no kill met a file that was half written"
