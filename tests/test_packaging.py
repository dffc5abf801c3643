"""What an installed package holds: all sub-packages, one version, the command and its scripts."""

import dataclasses
import re
import sys
import tomllib
from pathlib import Path

import pytest
import tiny

import drsn_jax
from drsn_jax import __main__ as command_line
from drsn_jax.cli import commands, console

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = sorted([*ROOT.glob("experiments/*.py"), *ROOT.glob("experiments/benchmarks/*.py")])
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def test_every_package_is_listed_and_the_benchmarks_are_not():
    found = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "drsn_jax").rglob("*.py")}
    assert SETUPTOOLS["packages"] == sorted(found | {"drsn_jax.experiments"})
    assert SETUPTOOLS["package-dir"] == {"drsn_jax.experiments": "experiments"}
    for command in commands.COMMANDS.values():
        assert (ROOT / "experiments" / f"{command.script}.py").is_file()


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_every_script_has_a_dry_run_and_a_folder_of_its_own(file):
    """``.ci/run`` starts each with both."""
    options = {field.name for field in dataclasses.fields(tiny.load_script(file).Options)}
    assert {"dry_run", "out"} <= options


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [version]
    assert drsn_jax.__version__ in (version, "unknown")


def start(monkeypatch, *arguments, program="/usr/bin/drsn-jax"):
    """Start the command in this process; returns its code, 0 after success."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    try:
        command_line.main()
    except SystemExit as left:
        return left.code
    return 0


@pytest.mark.parametrize(
    ("arguments", "program", "line"),
    [
        ((), "/usr/bin/drsn-jax", "usage: drsn-jax COMMAND [OPTIONS]"),
        (("--help",), "C:\\drsn-jax.exe", "usage: drsn-jax COMMAND [OPTIONS]"),
        (("-h",), "/x/drsn_jax/__main__.py", "usage: python -m drsn_jax COMMAND [OPTIONS]"),
        (("--version",), "/usr/bin/drsn-jax", f"drsn-jax {drsn_jax.__version__}"),
    ],
)
def test_help_and_version(monkeypatch, capsys, arguments, program, line):
    assert start(monkeypatch, *arguments, program=program) == 0
    assert capsys.readouterr().out.splitlines()[0] == line


def test_an_unknown_command_is_one_sentence(monkeypatch, capsys):
    assert start(monkeypatch, "dance") == 2
    told = capsys.readouterr()
    assert told.out == ""
    known = "train, diagnose, evaluate, export, ablate, pictures, speech"
    assert told.err == f"error: drsn-jax has no command 'dance': choose one of {known}\n"


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_help_of_a_command_names_it_as_it_was_typed(monkeypatch, capsys, name):
    assert start(monkeypatch, name, "--help") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: drsn-jax {name} ")
    assert f"    drsn-jax {name}" in told
    assert "experiments/" not in told.replace("experiments/recordings", "")
    assert commands.program() is None
    text = f"python experiments/{commands.COMMANDS[name].script}.py"
    assert commands.as_typed(text) == text, "a script that is started by itself names itself"


def test_an_option_that_cannot_be_run_is_one_sentence(monkeypatch):
    assert str(start(monkeypatch, "diagnose", "--plain-runtime")).startswith("error: name the folder of a model")
    assert str(start(monkeypatch, "train", "--epochs", "0")) == "error: --epochs must be at least 1, got 0"


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    for script in ("diagnose", "fault_diagnosis"):
        monkeypatch.delitem(sys.modules, f"drsn_jax.experiments.{script}", raising=False)
    for name in ("diagnose", "train"):
        assert start(monkeypatch, name) == "error: this command needs tyro: pip install 'drsn-jax[experiments]'"


def test_an_interruption_says_how_to_go_on(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_load", lambda script: type("Script", (), {"main": staticmethod(interrupt)}))
    assert start(monkeypatch, "diagnose") == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert start(monkeypatch, "train") == 130
    assert "--out on this run's folder continues it" in capsys.readouterr().err
    assert console.run.__defaults__ == (commands.COMMANDS["train"].interrupted,)
