"""The comparison on speech as its users run it: a run of its own, continued, asked about a clip, and one-sentence errors."""

import csv
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
import tiny

from drsn_jax.diagnosis.bundle_files import load
from drsn_jax.functional.roadside import ROADSIDE_KINDS
from drsn_jax.nn.networks import NETWORKS
from drsn_jax.studies import comparison_figures, feature_figure

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RATE = 4000
OWN = ("--dry-run", "--networks", "resnet", "--seconds", "0.2", "--mels", "20", "--snr-db", "0", "inf")


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(EXPERIMENTS / "speech_recognition.py")


def word(number, seconds=0.15):
    """A tone of its own for each word."""
    return 0.3 * np.sin(2 * np.pi * (300 + 500 * number) * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for number in range(2):
        for speaker in ("ann", "bob"):
            for take in range(13):
                signal = word(number) + 0.01 * np.random.default_rng(take).normal(size=600)
                soundfile.write(folder / f"{number}_{speaker}_{take}.wav", signal, RATE)
    return folder


@pytest.fixture(scope="module")
def out(script, recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech") / "run"
    with pytest.MonkeyPatch.context() as patch:
        # the figures of every script, which have tests of their own
        patch.setattr(feature_figure, "tsne_figure", lambda *arguments: [])
        patch.setattr(script, "draw_all", lambda folder: [])
        assert tiny.run_script(script, *OWN, "--recordings", recordings, "--out", folder) is None
    return folder


def rows(folder, name="results"):
    with open(folder / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_tests_each_level_and_keeps_everything(out, script):
    found = [(row["network"], row["noise"], row["snr_db"]) for row in rows(out)]
    methods = ("mel_logistic", "mfcc_svm", "resnet")
    assert found == [(network, *test) for network in methods for test in (("roadside", "0.0"), ("none", "inf"))]
    assert {(row["train_noise"], row["train_snr_db"]) for row in rows(out)} == {("roadside", "-10..20")}
    assert {row["recording"] for row in rows(out, "by_recording")} == {f"{s} {n}" for s in ("ann", "bob") for n in range(5)}
    for name in ("accuracy_by_snr", "heard"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    table = script.level_table(out).splitlines()
    assert table[0] == "| network | 0 dB | clean |"
    assert len(table) == 5
    assert comparison_figures.training_curves(out).exists()


def test_the_kept_network_is_asked_about_a_clip(out, tmp_path, capsys):
    model = load(out / "model")
    assert (model.window_length, model.sampling_rate, model.stride, model.classes) == (800, 4000.0, None, ("0", "1"))
    diagnose = tiny.load_script(EXPERIMENTS / "diagnose.py")
    soundfile.write(tmp_path / "short.wav", word(1, 0.1), RATE)
    soundfile.write(tmp_path / "long.wav", word(1, 0.5), RATE)
    assert tiny.run_script(diagnose, out, tmp_path / "short.wav", tmp_path / "long.wav", "--plot", tmp_path / "plots") is None
    told = capsys.readouterr().out
    assert told.count("of 1 windows agree") == 2
    assert "windows long" not in told
    assert (tmp_path / "plots" / "short.wav.png").exists()
    soundfile.write(tmp_path / "speech.wav", word(1, 3.0), RATE)
    assert tiny.run_script(diagnose, out, tmp_path / "speech.wav") is not None
    assert "the model is for clips of 0.2 s, and this one lasts 3 s" in capsys.readouterr().out


def test_the_same_command_goes_on_and_another_is_refused(script, recordings, out, monkeypatch, capsys):
    monkeypatch.setattr(script, "report", lambda *arguments, **options: None)
    before = (out / "results.csv").read_bytes()
    same = (*OWN, "--recordings", recordings, "--out", out)
    assert tiny.run_script(script, *same) is None
    assert "0 trainings" in capsys.readouterr().out
    assert (out / "results.csv").read_bytes() == before
    assert "holds a run with another configuration" in str(tiny.run_script(script, *same, "--split", "speaker"))


def test_choices_are_what_there_is(script):
    assert set(get_args(script.NetworkName)) == set(NETWORKS)
    assert set(get_args(script.NoiseKind)) == set(ROADSIDE_KINDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recordings", "nowhere"), "there is no folder nowhere"),
        (("--split", "speaker"), "--split speaker and --resample go with --recordings"),
        (("--noise", "recorded"), "--noise recorded and --noise-recordings FOLDER go together"),
        (("--noise-recordings", "somewhere"), "--noise recorded and --noise-recordings FOLDER go together"),
        (("--train-snr-db", "5", "5"), "--train-snr-db is a range"),
        (("--snr-db", "200"), "--snr-db 200.0 is no usable ratio"),
        (("--units", "2", "2"), "--widths and --units have one number for each stage"),
        (("--seconds", "0"), "--seconds must be a positive number"),
        (("--standardise", "none"), "--standardise is window or together for speech"),
        (("--fixed-noise",), "are not for speech"),
        (("--devices", "5"), "--devices must divide --batch-size 32"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(script, tmp_path, arguments, message):
    told = str(tiny.run_script(script, *arguments, "--dry-run", "--out", tmp_path / "run"))
    assert told.startswith("error: ")
    assert message in told
    assert "\n" not in told


def test_without_the_synthesiser_its_extra_is_named(script, tmp_path, monkeypatch):
    from drsn_jax.data import synthesis

    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    synthesis._synthesiser.cache_clear()
    told = str(tiny.run_script(script, "--dry-run", "--out", tmp_path / "run"))
    assert "speech without recordings needs espeakng-loader: pip install 'drsn-jax[speech]'" in told
