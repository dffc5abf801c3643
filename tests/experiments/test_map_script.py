"""The map of shrinkage as its users run it: a dry run, continued, and one-sentence errors."""

from pathlib import Path
from typing import get_args

import pytest
import tiny

from drsn_jax.functional.noise import NOISE_KINDS
from drsn_jax.studies import robustness
from drsn_jax.studies.representations import REPRESENTATIONS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(EXPERIMENTS / "shrinkage_map.py")


def test_a_run_and_its_continuation(script, tmp_path, capsys):
    out = tmp_path / "run"
    assert tiny.run_script(script, "--dry-run", "--out", out) is None
    tables = (out / "tables.md").read_text()
    assert "## other speed" in tables
    assert "| raw window | all |" in tables
    assert (out / "other_speed" / "thresholds.csv").exists()
    for name in ("shrinkage_map", "thresholds"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "2 epochs are missing" in capsys.readouterr().out
    assert tiny.run_script(script, "--dry-run", "--out", out) is None
    assert "0 epochs are missing" in capsys.readouterr().out
    assert (out / "tables.md").read_text() == tables


def test_names_of_the_options_are_those_that_exist(script):
    assert set(get_args(script.ProtocolName)) < set(robustness.ABOUT)
    assert get_args(script.Representation) == tuple(REPRESENTATIONS)
    assert set(get_args(script.NoiseKind)) <= set(NOISE_KINDS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--protocols", "other_part"), "other_part asks the recordings of Case Western: give their --folder"),
        (("--labelled", "5", "5"), "--labelled needs different values"),
        (("--labelled", "-1"), "--labelled"),
        (("--snr-db", "inf"), "--snr-db is a number of dB from -100 to 100, got inf"),
        (("--devices", "2"), "leave out --devices"),
        (("--steps", "0"), "--steps"),
    ],
)
def test_refused_options(script, options, words):
    assert words in str(tiny.run_script(script, *options))
