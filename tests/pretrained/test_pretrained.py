"""The networks that come with the package: small, as good as their cards say, and found by name."""

import fnmatch
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tiny

from drsn_jax import pretrained
from drsn_jax.cli import console
from drsn_jax.core.errors import UserError
from drsn_jax.data.drivetrain import drivetrain_recordings
from drsn_jax.data.recordings import read_recordings
from drsn_jax.data.resampling import resample
from drsn_jax.data.speech import read_mono
from drsn_jax.diagnosis.labelled import evaluate_labelled, labelled_windows
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.presets import preset_name

ROOT = Path(__file__).parents[2]
NAMES = sorted(pretrained.available())


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(ROOT / "experiments" / "train_pretrained.py")


@pytest.fixture(scope="module")
def drivetrain():
    return pretrained.load("drivetrain")


def accuracies(model, noise="gaussian"):
    return {entry["snr_db"]: entry["accuracy"] for entry in model.accuracy if entry["noise"] in (noise, "none")}


def test_each_has_a_folder_and_a_script(script):
    folders = {file.parent.name for file in (ROOT / "drsn_jax" / "pretrained").glob("*/model.json")}
    assert set(NAMES) == folders == set(script.TRAININGS)


@pytest.mark.parametrize("name", NAMES)
def test_the_wheel_holds_it_and_it_is_small(name, script):
    (globs,) = [
        globs
        for package, globs in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"].items()
        if package == "drsn_jax.pretrained"
    ]
    files = [file for file in pretrained.folder(name).iterdir() if not file.name.startswith(".")]
    for file in files:
        assert any(fnmatch.fnmatch(f"{name}/{file.name}", glob) for glob in globs), file
    assert sum(file.stat().st_size for file in files if file.suffix != ".md") <= script.MOST_BYTES
    assert len(files) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_bundle_holds(name, script):
    model, card = pretrained.load(name), pretrained.card(name)
    for table in (script.accuracy_table(model), script.failure_table(model)):
        assert f"\n{table}\n" in card
        assert len(table.splitlines()) > 7
    # the command of the training, which may go over several lines of the card
    assert model.training["command"] == script.command(name)
    assert script.command(name) in re.sub(r" \\\n +", " ", card)
    assert f"python experiments/train_pretrained.py {name}" in card
    assert f"`{preset_name(model.network)}`" in card
    for topic in ("licence", "split", "trained with"):
        assert re.search(rf"^\| {topic} \| .+ \|$", card, re.MULTILINE), topic


@pytest.mark.parametrize("snr_db", [0.0, np.inf])
def test_machines_that_are_simulated_anew_are_told_as_the_card_says(drivetrain, snr_db):
    side = labelled_windows(drivetrain, drivetrain_recordings(3, recordings=1, windows=5))
    (test,) = evaluate_labelled(drivetrain, side, [Noise("gaussian", snr_db) if np.isfinite(snr_db) else Noise()])
    expected = accuracies(drivetrain)["inf" if np.isinf(snr_db) else snr_db]
    # five windows of a machine are nearly one: 72 machines have a standard error of two points or less
    assert test.scores.accuracy == pytest.approx(expected, abs=0.06)
    assert test.scores.accuracy > 0.85


def test_spoken_digits_are_told_as_the_card_says(data_folder):
    """A clip of each digit and speaker of the test side, as a file is asked about."""
    model = pretrained.load("digits")
    files = sorted((data_folder / "fsdd" / "recordings").glob("*_0.wav"))
    assert len(files) == 60
    found = [model.diagnose(*read_mono(file)).label == file.name[0] for file in files]
    assert np.mean(found) == pytest.approx(accuracies(model, "roadside")["inf"], abs=0.06)


def test_of_real_machines_it_claims_to_know_as_many_as_the_card_says(drivetrain, data_folder):
    recordings = resample(read_recordings(data_folder / "cwru" / "drive_end_12k" / "recordings.csv"), drivetrain.sampling_rate)
    found = [drivetrain.diagnose(r.signal, r.sampling_rate) for r in recordings]
    novelties = [each.novelty for each in found]
    (told,) = re.findall(
        r"\(novelty ([\d.]+) to ([\d.]+)\), but names a state without a doubt in (\d+) of 36",
        " ".join(pretrained.card("drivetrain").split()),
    )
    low, high, sure = map(float, told)
    assert (min(novelties), max(novelties)) == pytest.approx((low, high), abs=0.02)
    assert sum(each.sure for each in found) == pytest.approx(sure, abs=1)  # one may lie at the limit


def test_another_name_is_one_sentence():
    with pytest.raises(UserError, match=r"no network 'speech' comes with the package: choose one of drivetrain, digits"):
        pretrained.load("speech")


def test_scripts_take_a_name_for_a_folder(monkeypatch, capsys, tmp_path):
    """Before the file or behind it, as a folder."""
    wanted = ("ball", "30 Hz, 6 lb·ft")
    (recording,) = (r for r in drivetrain_recordings(3, recordings=1, windows=5) if (r.label, r.condition) == wanted)
    np.save(tmp_path / "machine.npy", recording.signal)
    for arguments in (["pretrained:drivetrain", "machine.npy"], ["machine.npy", "pretrained:drivetrain"]):
        code, told = diagnosed(monkeypatch, capsys, tmp_path, *arguments)
        assert code is None
        assert told.out.startswith("machine.npy: ball, probability ")
    code, told = diagnosed(monkeypatch, capsys, tmp_path, "pretrained:dance", "machine.npy")
    assert code == "error: no network 'dance' comes with the package: choose one of drivetrain, digits"


def diagnosed(monkeypatch, capsys, folder, *arguments):
    """Run ``diagnose.py`` in a folder; its code and what it printed."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["diagnose.py", *arguments, "--sampling-rate", "12800", "--plain-runtime"])
    code = None
    try:
        console.run(tiny.load_script(ROOT / "experiments" / "diagnose.py").main)
    except SystemExit as ended:
        code = ended.code
    return code, capsys.readouterr()


def test_tables_of_a_card_are_replaced_and_no_others(script):
    card = "text\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n| c |\n|---|\n| 3 |\n"
    new = "| c |\n|---|\n| 4 |\n| 5 |"
    filled = card.replace("| 3 |\n", "| 4 |\n| 5 |\n")
    assert script.with_tables(card, [new]) == filled
    assert script.with_tables(card.replace("| 3 |\n", ""), [new]) == filled, "an empty one is filled"
    with pytest.raises(UserError, match="the card has 0 tables with the header"):
        script.with_tables(card, ["| d |\n|---|"])


def test_a_bundle_goes_in_beside_its_card(script, drivetrain, tmp_path):
    with pytest.raises(UserError, match=r"README\.md is missing: write the card first"):
        script.install(drivetrain, tmp_path)
    text = pretrained.card("drivetrain")
    (tmp_path / "README.md").write_text(text)
    for _ in range(2):  # into a folder without a bundle, and over one
        script.install(drivetrain, tmp_path)
        assert (tmp_path / "README.md").read_text() == text
        assert {file.name for file in tmp_path.iterdir() if not file.name.startswith(".")} == {
            file.name for file in pretrained.folder("drivetrain").iterdir() if not file.name.startswith(".")
        }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "digits"}, "digits and --recordings FOLDER go together"),
        ({"recordings": Path("clips")}, "digits and --recordings FOLDER go together"),
        ({"install": True, "dry_run": True}, "--install goes without --dry-run"),
    ],
)
def test_options_that_do_not_go_together(script, options, message):
    with pytest.raises(UserError, match=message):
        script.check(script.Options(**options))


def test_the_two_classes_that_are_found_least_are_named(script, drivetrain):
    confusion = 10 * np.eye(8, dtype=int)
    confusion[2], confusion[5] = [0, 0, 4, 6, 0, 0, 0, 0], [1, 0, 0, 0, 0, 7, 0, 2]
    found = dict(script.by_class(drivetrain, confusion, "state {}"))
    assert found == {"state outer race, mostly taken for ball": 0.4, "state pitting, mostly taken for missing tooth": 0.7}
