"""A kept network of pictures is asked about files: a line for each, one-sentence errors."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from drsn_jax.cli import console
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.diagnosis import Ranked
from drsn_jax.diagnosis.picture_answers import PictureAnswer, answer_picture, on_canvas
from drsn_jax.nn.networks import Network

SCRIPT = Path(__file__).parents[2] / "experiments" / "diagnose.py"
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "run"
    network = Network(classes=4, widths=(2,), units=(1,), kernel=(3, 3), standardise=True)
    save(folder, Bundle(network, tiny.variables(network, (1, 8, 12, 1)), ("ant", "bee", "cat", "dog"), (8, 12), temperature=0.01))
    return folder


@pytest.fixture
def ask(model, monkeypatch, capsys):
    """Ask about files; returns the lines and what the script leaves with."""
    script = tiny.load_script(SCRIPT)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(model), *map(str, arguments), "--plain-runtime"])
        left = None
        try:
            console.run(script.main, interrupted="interrupted")
        except SystemExit as exit:
            left = exit.code
        return capsys.readouterr().out.splitlines(), left

    return call


def test_a_line_for_each_picture(ask, model, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    Image.fromarray(PICTURE[:4, :3]).save(tmp_path / "c.png")
    lines, left = ask(*(tmp_path / name for name in ("a.png", "b.jpg", "c.png")))
    best = answer_picture(load(model), PICTURE[..., None] / np.float32(255)).best
    assert f"{best[0].label}" in lines[0]
    assert lines[0].startswith(f"{tmp_path}/a.png: ")
    assert "b.jpg: error: cannot be read as a PNG or JPEG picture" in lines[1]
    assert "probability" in lines[2]
    assert left == "error: 1 of 3 pictures could not be answered"


def test_the_same_as_json(ask, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    (line,), left = ask(tmp_path / "a.png", "--json")
    record = json.loads(line)
    assert left is None
    assert record["class"] == record["best"][0]["class"]
    assert record["probability"] == pytest.approx(max(entry["probability"] for entry in record["best"]))


@pytest.mark.parametrize("options", [("--channel", "x"), ("--sampling-rate", "3"), ("--plot", "x")])
def test_options_of_signals_are_refused(ask, options):
    assert ask("a.png", *options) == ([], f"error: {options[0]} goes with signals, and this model is for pictures")


def test_a_small_picture_lies_in_the_middle_and_others_are_told(model):
    bundle = load(model)
    small = np.ones((4, 5, 1), np.float32)
    canvas = on_canvas(bundle, small)
    assert canvas.shape == (8, 12, 1)
    np.testing.assert_array_equal(canvas[2:6, 3:8], small)
    assert canvas.sum() == 20
    with pytest.raises(ValueError, match="the picture has 9 × 5 pixels, more than the 8 × 12 of the model"):
        on_canvas(bundle, np.ones((9, 5, 1), np.float32))
    with pytest.raises(ValueError, match="the picture is coloured and those that the model was trained on are grey"):
        on_canvas(bundle, np.ones((8, 12, 3), np.float32))


def test_a_class_that_would_be_written_with_nothing_is_left_out(model, monkeypatch, tmp_path, capsys):
    script = tiny.load_script(SCRIPT)
    best = (Ranked("ant", 0.9981), Ranked("bee", 0.001), Ranked("cat", 0.0009))
    monkeypatch.setattr(script, "answer_picture", lambda model, picture: PictureAnswer(best, True))
    monkeypatch.setattr(script, "read_picture", lambda file: PICTURE)
    script.ask_pictures(load(model), script.Options(files=("a.png",)))
    assert capsys.readouterr().out == "a.png: ant, probability 99.8 %; then bee 0.1 %\n"
