"""The test of a kept network on labelled recordings, as its users run it."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from drsn_jax.cli import console
from drsn_jax.data.resampling import in_revolutions
from drsn_jax.data.windows import remove_means
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import save

SCRIPT = Path(__file__).parents[2] / "experiments" / "evaluate.py"
CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(SCRIPT)


@pytest.fixture(scope="module")
def bundle():
    held_out = np.linspace(0, 1.2, 100, dtype=np.float32)
    return Bundle(tiny.network, tiny.variables(), CLASSES, tiny.LENGTH, 8000.0, tiny.LENGTH, surprises=held_out)


@pytest.fixture(scope="module")
def run(bundle, tmp_path_factory):
    """The folder of a run with its model, and recordings of two of its classes beside it."""
    folder = tmp_path_factory.mktemp("run")
    save(folder / "model", bundle)
    for number, label in enumerate("ab"):
        (folder / "data" / label).mkdir(parents=True)
        np.save(folder / "data" / label / "1.npy", signal(number))
    return folder


def signal(number):
    return np.random.default_rng(number).normal(3, 1, 10 * tiny.LENGTH + 5).astype(np.float32)


@pytest.fixture
def call(script, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments), "--plain-runtime"])
        code = None
        try:
            console.run(script.main)
        except SystemExit as left:
            code = left.code
        return code, capsys.readouterr().out.splitlines()

    return call


def test_the_numbers_are_those_of_the_model(call, run, bundle):
    """The run stands for its model; noise changes the answers, clean windows have those of ``predict``."""
    asked = (run, "--recordings", run / "data", "--sampling-rate", 8000, "--snr-db", "inf", "-20")
    code, lines = call(*asked, "--json")
    assert code is None
    clean, noisy = map(json.loads, lines)
    assert (clean["noise"], clean["snr_db"], noisy["noise"], noisy["snr_db"]) == ("none", "inf", "gaussian", -20.0)
    right, by_class, sets = 0, [], []
    for number, label in enumerate("ab"):
        windows = signal(number)[: 10 * tiny.LENGTH].reshape(10, tiny.LENGTH, 1)
        hits = int(np.sum(bundle.predict(remove_means(windows)) == label))
        assert sum(clean["confusion"][number]) == 10
        assert clean["confusion"][number][number] == hits
        sets += [(label in own, len(own)) for own in bundle.prediction_sets(remove_means(windows))]
        right, by_class = right + hits, [*by_class, hits / 10]
    assert clean["confusion"][2] == [0, 0, 0]
    assert clean["accuracy"] == pytest.approx(right / 20)
    assert clean["balanced_accuracy"] == pytest.approx(np.mean(by_class))
    assert (clean["covered"], clean["set_size"]) == pytest.approx(tuple(np.mean(sets, 0)))
    assert 0 < clean["covered"] < 1
    assert call(*asked, "--json")[1] == lines  # the same draw of noise
    _, text = call(*asked)
    assert text[0].startswith(f"no noise: accuracy {100 * clean['accuracy']:.1f} %, balanced ")
    told = f"95 % hold the true class of {100 * clean['covered']:.1f} %, {clean['set_size']:.2f} classes each"
    assert text[0].endswith(f"; sets that promise {told}")
    assert text[1].split() == ["true", "\\", "predicted", *CLASSES]
    assert text[2].split() == ["a", *map(str, clean["confusion"][0])]


def test_what_resampling_takes_away_stands_beside_the_answers(call, run, tmp_path):
    for number, label in enumerate("ab"):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "1.npy", np.diff(signal(number)))  # its power rises with the frequency
    code, lines = call(run, "--recordings", tmp_path, "--sampling-rate", 16_000, "--resample", 8000, "--json")
    assert code is None
    assert sum(map(sum, json.loads(lines[0])["confusion"])) == 10


def test_a_model_in_revolutions_is_tested_by_the_speed(call, run, bundle, tmp_path):
    turning = dataclasses.replace(bundle, sampling_rate=32, per_revolution=True)
    save(tmp_path / "model", turning)
    asked = (tmp_path / "model", "--recordings", run / "data", "--sampling-rate", 8000, "--json")
    code, lines = call(*asked, "--speed-rpm", 6000)
    assert code is None
    windows = in_revolutions(signal(0), 8000, 100.0, 32)[: 4 * tiny.LENGTH].reshape(4, tiny.LENGTH, 1)
    found = json.loads(lines[0])["confusion"][0]
    assert sum(found) == 4
    assert found[0] == np.sum(bundle.predict(remove_means(windows)) == "a")
    assert "the speed of a/1.npy is not known, and windows in revolutions need it" in str(call(*asked)[0])


def test_what_cannot_be_tested(call, run, tmp_path):
    data = ("--recordings", run / "data")
    for arguments, message in (
        ((), "name the folder of a model, and --recordings"),
        ((run, *data), "holds no sampling rate: give it in Hz, by --sampling-rate"),
        ((run, *data, "--sampling-rate", 4000), "sampled at 4000 Hz and the training data at 8000 Hz: give --resample 8000"),
        ((run, *data, "--sampling-rate", 8000, "--snr-db", "nan"), "--snr-db nan"),
        ((tmp_path, *data), "holds no model"),
        ((run, *data, "--sampling-rate", 8000, "--speed-rpm", 1500), "and this one's are in seconds"),
    ):
        code, lines = call(*arguments)
        assert str(code).startswith("error: ")
        assert message in str(code)
        assert lines == []
    (tmp_path / "data" / "other").mkdir(parents=True)
    np.save(tmp_path / "data" / "other" / "1.npy", signal(1))
    code, _ = call(run, "--recordings", tmp_path / "data", "--sampling-rate", 8000)
    assert "other/1.npy is of the class 'other', which the model does not know, expected one of a, b, c" in str(code)


def test_a_dry_run(call, tmp_path):
    code, lines = call("--dry-run", "--out", tmp_path / "run")
    assert code is None
    assert "40 windows" in lines[0]
    assert "nothing is overwritten" in str(call("--dry-run", "--out", tmp_path / "run")[0])


def test_recordings_of_the_training_are_told(call, run, bundle, tmp_path, capsys, monkeypatch):
    """By their names; facts of another kind tell nothing."""
    told = []
    monkeypatch.setattr("builtins.print", lambda *words, **options: told.append(" ".join(map(str, words))))
    for training, expected in (
        ({"recordings": [{"channel": "", "files": ["a/1.npy", "c/1.npy"]}]}, ["warning: 1 of 2 recordings have names"]),
        ({"recordings": [{"channel": 3, "files": 4}, "a/1.npy", {}]}, []),
    ):
        told.clear()
        save(tmp_path / "model", dataclasses.replace(bundle, training=training), overwrite=True)
        call(tmp_path / "model", "--recordings", run / "data", "--sampling-rate", 8000)
        assert [line[:37] for line in told if line.startswith("warning: 1")] == expected
