"""The benchmark of robustness as its users run it: a dry run of its own, continued, and one-sentence errors."""

import csv
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import tiny

from drsn_jax.studies import robustness, robustness_peers

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
OWN = (
    "--dry-run",
    "--protocols",
    "other_speed",
    "--networks",
    "band_energy",
    "--peers",
    "spectrum_strict",
    "--noise",
    "gaussian",
    "--vote",
    "5",
)


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(EXPERIMENTS / "robustness_benchmark.py")


def test_a_run_tests_every_noise_and_goes_on(script, tmp_path, capsys):
    out = tmp_path / "run"
    assert tiny.run_script(script, *OWN, "--out", out) is None
    with open(out / "other_speed" / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    tested = [("none", "inf"), *(("gaussian", f"{level:.1f}") for level in (0, -5, -10))]
    assert [(r["network"], r["noise"], r["snr_db"]) for r in rows] == [
        (name, *noise) for name in ("spectrum_strict", "band_energy") for noise in tested
    ]
    assert {(r["train_noise"], r["train_snr_db"], r["protocol"]) for r in rows} == {("mixture", "-10..10", "other speed")}
    assert (out / "accuracy_by_snr.png").read_bytes().startswith(b"\x89PNG")
    tables = (out / "tables.md").read_text()
    assert "| method | parameters | clean | gaussian 0 dB | gaussian -5 dB | gaussian -10 dB |" in tables
    # a dry run has few windows
    assert "| band energies | 2 windows |" in tables
    assert len(list((out / "other_speed" / "probabilities").iterdir())) == 2 * len(tested)
    first = capsys.readouterr()
    assert "1 trainings" in first.out + first.err
    assert tiny.run_script(script, *OWN, "--out", out) is None
    again = capsys.readouterr()
    assert "0 trainings" in again.out + again.err
    assert (out / "tables.md").read_text() == tables


def test_names_of_the_options_are_those_that_exist(script):
    assert set(get_args(script.ProtocolName)) == set(robustness.ABOUT)
    assert set(script.Options.networks) <= set(robustness.PRESETS)
    assert get_args(script.PeerName) == tuple(robustness_peers.PEERS)
    assert get_args(script.NoiseKind) == tuple(robustness.LEVELS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--protocols", "other_load"), "other_load asks the recordings of Case Western: give their --folder"),
        (
            ("--protocols", "other_speed", "--standardise", "none"),
            "--standardise is window or together in this benchmark, got none",
        ),
        (("--protocols", "other_speed", "--train-snr-db", "-5", "5"), "--way chooses the training"),
        (("--protocols", "other_speed", "--noise", "pink", "pink"), "--noise needs different values"),
        (("--protocols", "other_speed", "--seeds", "0"), "--seeds"),
        (("--protocols", "other_speed", "--patience", "3"), "need validation windows"),
        (("--protocols", "other_speed", "--networks", "resnet", "alexnet"), "there is no network 'alexnet'"),
        (("--protocols", "other_speed", "--validation"), "other_speed has no split for validation"),
        (("--protocols", "other_load", "--folder", "nowhere"), "nowhere"),
        (("--protocols", "other_speed", "--samples-per-revolution", "50"), "from 128 to 2048, of which a window holds"),
        (("--protocols", "other_speed", "--vote", "-1"), "--vote must be at least 0, got -1"),
        (("--protocols", "other_speed", "--vote", "1"), "--vote is the number of windows that vote together, at least 2"),
        (("--protocols", "other_speed", "--filter-db", "-1"), "--filter-db is a spread from 0 to 100 dB, got -1"),
        (("--protocols", "other_speed", "--filter-db", "8", "--way", "matched"), "--filter-db goes with --way robust"),
    ],
)
def test_refused_options(script, options, words):
    assert words in str(tiny.run_script(script, *options))


def test_the_recordings_of_all_questions_are_checked_before_the_first_training(script, monkeypatch, tmp_path):
    recordings = [SimpleNamespace(name=name) for name in ("a", "b", "c")]
    folds = {"other_speed": [tiny.fold, tiny.fold], "other_load": [tiny.fold, functools.partial(tiny.fold, test=9)]}
    made = lambda name, *_, **__: SimpleNamespace(name=name, recordings=recordings, folds=folds[name])  # noqa: E731
    monkeypatch.setattr(robustness, "protocol", made)
    asked = ("--protocols", "other_speed", "other_load", "--folder", tmp_path, "--vote", "4", "--out", tmp_path / "run")
    assert "a has 3, the fewest of 3 recordings with too few: give at most --vote 3" in str(tiny.run_script(script, *asked))
    assert not (tmp_path / "run").exists()
