"""Ctrl-C ends a command wherever it hits: in a callback of a library, and while libraries are imported."""

import gc
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from drsn_jax.cli import console
from drsn_jax.core import interruption

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("ctrl_c_heard")


def interrupted_inside(callback_runs):
    """Send Ctrl-C inside a callback that lets no exception out, once; return what a command that goes on then leaves with."""
    sent = []

    def callback(*arguments):
        if not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)
            for _ in range(1000):  # the handler runs between two instructions
                pass

    def main():
        callback_runs(callback)
        assert sent
        time.sleep(20)

    with pytest.raises(SystemExit) as left:  # a command that sleeps to its end leaves nothing to catch
        console.run(main, interrupted="interrupted")
    return left.value.code  # 128 + SIGINT


def collected(callback):
    """As JAX has a callback for the collection of garbage."""
    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


def deleted(callback):
    class Deleted:
        def __del__(self):
            callback()

    del [Deleted()][0]


@pytest.mark.parametrize("runs", [collected, deleted])
def test_an_interruption_that_a_callback_swallows_ends_the_command_all_the_same(runs):
    before = sys.unraisablehook
    assert interrupted_inside(runs) == 130
    assert sys.unraisablehook is before


def test_an_interruption_is_not_sent_again_while_it_would_be_swallowed_again(monkeypatch):
    """As on a busy machine, where the main thread may wait for long for the one that it starts."""
    start = threading.Thread.start

    def slowly(thread):
        start(thread)
        time.sleep(4 * interruption.AGAIN_SECONDS)

    monkeypatch.setattr(threading.Thread, "start", slowly)
    assert interrupted_inside(deleted) == 130


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_another_exception_that_is_swallowed_is_reported_as_usual(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))

    def fails():
        raise ValueError("planted")

    with interruption.heard():
        deleted(fails)
    assert told == [ValueError]


def test_an_ignored_interruption_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interruption.end_at_once()
        with interruption.heard():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_imports_end_at_once_and_the_command_listens_again():
    before = signal.getsignal(signal.SIGINT)
    try:
        interruption.end_at_once()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt), interruption.heard():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# in the place of a library that takes long to import
SLOW = """
import sys, time, types
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
import runpy
"""


@pytest.mark.process
@pytest.mark.parametrize(
    "start",
    [
        "sys.argv = ['experiments/noise_ablation.py']; runpy.run_path(sys.argv[0], run_name='__main__')",
        "sys.argv = ['experiments/benchmarks/throughput.py']; runpy.run_path(sys.argv[0], run_name='__main__')",
        "sys.argv = ['/usr/bin/drsn-jax', 'train']; import drsn_jax.__main__",
        "sys.argv = ['-m', 'train']; import drsn_jax.__main__",
    ],
)
def test_ctrl_c_during_the_imports_leaves_no_traceback(start):
    command = [sys.executable, "-S", "-c", SLOW + f"sys.path[:0] = {sys.path!r}\n{start}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("script", [*(ROOT / "experiments").glob("*.py"), *(ROOT / "experiments" / "benchmarks").glob("*.py")])
def test_every_script_is_quiet_before_its_first_import(script):
    text = script.read_text()
    assert "\nimport signal\n" in text
    assert text.index("signal.signal(signal.SIGINT, signal.SIG_DFL)") < text.replace("import signal\n", "").index("\nimport ")
