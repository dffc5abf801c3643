"""The map of shrinkage as its users run it: a dry run, continued, and one-sentence errors."""

from pathlib import Path
from typing import get_args

import pytest
import tiny

from drsn_jax.core.errors import UserError
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
    # a folder that was begun before there was the option is continued without it, and with it refused
    assert "samples_per_revolution" not in (out / "other_speed" / "config.json").read_text()
    refused = str(tiny.run_script(script, "--dry-run", "--samples-per-revolution", "320", "--out", out))
    assert "samples_per_revolution: None there, 320 now" in refused


def test_windows_of_revolutions_are_asked(script, monkeypatch):
    def stop(options, asked, out):
        raise UserError(f"{asked.title}: {asked.recordings[0].sampling_rate:g} samples a turn")

    monkeypatch.setattr(script, "run", stop)
    left = tiny.run_script(script, "--dry-run", "--samples-per-revolution", "256")
    assert "other speed, 256 samples a revolution: 256 samples a turn" in str(left)


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
        (
            ("--samples-per-revolution", "50"),
            "from 128 to 2048, of which a window holds one revolution, or 0 for windows in time",
        ),
    ],
)
def test_refused_options(script, options, words):
    assert words in str(tiny.run_script(script, *options))
