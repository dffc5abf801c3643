"""How a command ends: a sentence for what the user can mend, a traceback and a request to report for faults of the program."""

import concurrent.futures
import importlib
import sys
import warnings
from typing import Any

import jax
import pytest

from drsn_jax.cli import console
from drsn_jax.core.distributed import JobError
from drsn_jax.core.errors import MissingExtra, UserError, optional
from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.training.checkpoints import CheckpointError
from drsn_jax.training.progress import Diverged


def leave(main, **options) -> Any:
    """Run ``main`` as a script; returns what the process is left with."""
    with pytest.raises(SystemExit) as left:
        console.run(main, **options)
    return left.value.code


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("--seed is 1"), "--seed is 1"),
        (RecordingError("a.mat is empty"), "a.mat is empty"),
        (BundleError("no model"), "no model"),
        (CheckpointError("of another network"), "of another network"),
        (JobError("no job"), "no job"),
        (MissingExtra("a plot needs matplotlib"), "a plot needs matplotlib"),
        (FileNotFoundError(2, "No such file", "a.csv"), "[Errno 2] No such file: 'a.csv'"),
        (
            OSError(28, "No space left on device", "runs/mine/results.csv"),
            "runs/mine/results.csv could not be written (No space left on device): make room, and the same command with --out on",
        ),
        (OSError(28, "No space left on device"), "a file could not be written (No space left on device): make room"),
        (OSError(28, "the checkpoint could not be written", "a"), "[Errno 28] the checkpoint could not be written: 'a'"),
        (Diverged("the loss is not finite", 3), "the loss is not finite"),
        (ArithmeticError("2 of 3 trainings stopped"), "2 of 3 trainings stopped"),
        (MemoryError("Unable to allocate 9 GiB"), "there is not enough memory (Unable to allocate 9 GiB): take fewer or shorter"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_user_can_mend_is_one_sentence(error, sentence):
    code = leave(raising(error))
    assert code.startswith(f"error: {sentence}")
    assert "\n" not in code


def test_names_of_files_do_not_control_the_terminal(capsys):
    def main():
        warnings.simplefilter("always")
        console.say("| \x1b[2Ja |\n| b |")
        warnings.warn("\x9b31m\ra.csv was not closed", RecordingWarning, stacklevel=1)
        raise OSError(2, "No such \x07file\nerror: forged")

    assert leave(main) == r"error: [Errno 2] No such \x07file\nerror: forged"
    captured = capsys.readouterr()
    assert captured.out == "| \\x1b[2Ja |\n| b |\n"
    assert captured.err == "warning: \\x9b31m\\ra.csv was not closed\n"


def test_a_platform_that_jax_lacks_is_one_sentence():
    """Wherever JAX starts first."""
    code = leave(raising(RuntimeError("Unable to initialize backend 'gpu': not in the list of known backends\nmore")))
    assert code.startswith("error: JAX cannot start on JAX_PLATFORMS=")
    assert "\n" not in code


def test_a_warning_about_a_file_is_one_line_and_others_are_as_usual(capsys):
    def main():
        warnings.simplefilter("always")
        warnings.warn("a.tdms was not closed", RecordingWarning, stacklevel=1)
        warnings.warn("of a library", FutureWarning, stacklevel=1)

    with pytest.warns(FutureWarning, match="of a library") as others:
        console.run(main)
    assert capsys.readouterr().err == "warning: a.tdms was not closed\n"
    assert len(others) == 1


def jax_shapes():
    jax.numpy.matmul(jax.numpy.zeros((2, 3)), jax.numpy.zeros((2, 3)))


@pytest.mark.parametrize(
    ("main", "name"),
    [
        (raising(ValueError("planted")), "ValueError"),
        (raising(TypeError("planted")), "TypeError"),
        (raising(RuntimeError("planted")), "RuntimeError"),
        (raising(KeyError("planted")), "KeyError"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (jax_shapes, "TypeError"),
        (raising(ImportError("cannot import name", name="jax")), "ImportError"),
    ],
)
def test_a_fault_of_the_program_keeps_its_traceback(main, name):
    first, *lines = leave(main).splitlines()
    assert first.startswith(f"fault: {name} inside the program")
    assert "report" in first
    for part in (f"Python {sys.version.split()[0]}", f"jax {jax.__version__}", "drsn-jax "):
        assert part in first
    assert lines[0] == "Traceback (most recent call last):"
    assert any("test_console.py" in line for line in lines)
    assert any(line.startswith((f"{name}:", f"jax.errors.{name}:")) for line in lines)


def test_the_traceback_of_a_sentence_is_shown_on_request(monkeypatch, capsys):
    for value, shown in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("DRSN_JAX_TRACEBACK", value)
        assert leave(raising(UserError("planted"))) == "error: planted"
        assert ("Traceback (most recent call last):" in capsys.readouterr().err) == shown


def test_an_interruption_and_a_closed_pipe(monkeypatch, capsys):
    assert leave(raising(KeyboardInterrupt()), interrupted="interrupted") == 130  # 128 + SIGINT, as of a shell
    assert capsys.readouterr().err == "interrupted\n"
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert leave(raising(BrokenPipeError())) is None
    sys.stdout.close()


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("matplotlib", "matplotlib", "experiments"),
        ("sklearn", "scikit-learn", "experiments"),
        ("bearing_datasets", "bearing-datasets", "datasets"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch, module, package, extra):
    monkeypatch.setitem(sys.modules, module, None)
    code = leave(lambda: importlib.import_module(module))
    assert code == f"error: this command needs {package}: pip install 'drsn-jax[{extra}]'"
    with pytest.raises(MissingExtra, match=rf"^a plot needs {package}: pip install 'drsn-jax\[{extra}\]'") as caught:
        optional(module, "a plot")
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, ImportError)


def test_a_broken_dependency_is_a_fault(monkeypatch, tmp_path):
    """A package that is there and lacks one of its own modules is not mended by an extra."""
    (tmp_path / "scipy").mkdir()
    (tmp_path / "scipy" / "__init__.py").write_text("import scipy._gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    assert leave(lambda: importlib.import_module("scipy")).startswith("fault: ModuleNotFoundError")


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(console.default_out, ["script"] * 40))
    assert len(set(found)) == 40
    assert all(path.is_dir() and not any(path.iterdir()) for path in found)


def test_a_default_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"the folder runs cannot be made \(File exists\): choose another by --out"):
        console.default_out("script")


def test_progress_is_told_where_there_is_no_terminal(capsys, monkeypatch):
    """A line every five seconds at first, rarer in a long run, none at the end."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.ProgressBar(1000) as progress:
        for _ in range(1000):
            now[0] += 1.0
            progress.advance("resnet, epoch 1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resnet, epoch 1: 5 of 1000 epochs, about 16 min 35 s left"
    assert 25 < len(lines) < 80
    with console.ProgressBar(3) as progress:
        progress.advance("short")
    assert capsys.readouterr().out == ""


def test_epochs_before_an_interruption_are_done_and_took_no_time(capsys, monkeypatch):
    """The second of two trainings goes on at its epoch 9 of 10."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.ProgressBar(30, epochs=10) as progress:
        for training in (range(1, 11), range(9, 11), range(1, 11)):
            for number in training:
                now[0] += 6.0
                progress.epoch("resnet", number)
    lines = capsys.readouterr().out.splitlines()
    assert lines[9] == "resnet, epoch 10 of 10: 10 of 30 epochs, about 2 min 00 s left"
    assert lines[10] == "resnet, epoch 9 of 10: 19 of 30 epochs, about 1 min 06 s left"


def test_a_bar_on_a_terminal_goes_on_where_the_training_does(monkeypatch):
    import rich.console

    monkeypatch.setattr(rich.console.Console, "is_terminal", property(lambda self: True))
    with console.ProgressBar(20, epochs=10) as progress:
        for number in (4, 5):
            progress.epoch("resnet", number)
        (task,) = progress._bar.tasks
        assert (task.completed, task.description) == (5, "resnet, epoch 5 of 10")
