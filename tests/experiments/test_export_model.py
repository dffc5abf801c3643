"""The export of a kept network, as its users run it."""

import json
import sys
from pathlib import Path

import pytest
import tiny

from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import save

SCRIPT = Path(__file__).parents[2] / "experiments" / "export_model.py"


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(SCRIPT)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run with its model."""
    folder = tmp_path_factory.mktemp("run")
    save(folder / "model", Bundle(tiny.network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 8000.0, tiny.LENGTH))
    return folder


def test_files_of_a_run(script, run, tmp_path, capsys):
    options = (run, "--out", tmp_path, "--formats", "stablehlo", "--batch", 4, "--windows", 6)
    assert tiny.run_script(script, *options) is None
    told, last = capsys.readouterr().out.splitlines()
    assert told.startswith("model.stablehlo: ")
    assert told.endswith(" from the network on 6 windows")
    assert float(told.split("at most ")[1].split()[0]) < 1e-5
    assert last == f"everything is in {tmp_path}"
    assert json.loads((tmp_path / "model.stablehlo.json").read_text(encoding="utf-8"))["batch"] == 4
    assert "model.stablehlo exists: choose another name" in tiny.run_script(script, *options)
    assert tiny.run_script(script, *options, "--overwrite") is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name the folder of a model"),
        (("model", "--dry-run"), "--dry-run makes a model of its own: name none"),
        (("model", "--batch", 0), "--batch must be at least 1, got 0"),
        (("model", "--formats", "onnx", "onnx"), "--formats needs different values, got ['onnx', 'onnx']"),
        (("model",), "model holds no model (model.json is missing): name the folder that training wrote"),
    ],
)
def test_what_is_refused(script, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert tiny.run_script(script, *arguments) == f"error: {sentence}"
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_without_the_extra(script, run, tmp_path, monkeypatch, capsys):
    """A dry run goes on without ONNX; a real one says what is missing."""
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    missing = "writing ONNX needs jax2onnx: pip install 'drsn-jax[onnx]'"
    assert tiny.run_script(script, run, "--out", tmp_path / "real") == f"error: {missing}"
    assert tiny.run_script(script, "--dry-run", "--out", tmp_path / "dry") is None
    assert capsys.readouterr().out.splitlines()[0] == f"model.onnx is left out: {missing}"
    assert {file.name for file in (tmp_path / "dry").iterdir()} == {"trained", "model.stablehlo", "model.stablehlo.json"}
