"""The comparison on pictures as its users run it: a run of its own, continued, and one-sentence errors."""

import csv
import dataclasses
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.data.images import Pictures, split_pictures
from drsn_jax.diagnosis.bundle_files import load
from drsn_jax.functional.noise import NOISE_KINDS
from drsn_jax.nn.image_networks import ALL_NETWORKS
from drsn_jax.studies import feature_figure, image_figures
from drsn_jax.studies.image_study import read_maps

SCRIPT = Path(__file__).parents[2] / "experiments" / "image_classification.py"
OWN = ("--dry-run", "--networks", "drsn_cw", "--canvas", "20", "18")


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(SCRIPT)


def rows(folder, name="results"):
    with open(folder / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def out(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "run"
    with pytest.MonkeyPatch.context() as patch:
        # the figures of every script, which have tests of their own
        patch.setattr(feature_figure, "tsne_figure", lambda *arguments: [])
        patch.setattr(image_figures, "training_curves", lambda folder: folder / "training.png")
        patch.setattr(image_figures, "confusion_matrices", lambda folder: [])
        assert tiny.run_script(script, *OWN, "--out", folder) is None
    return folder


def test_a_run_tests_each_number_of_distractors_and_keeps_everything(out):
    found = [(row["network"], row["noise"], row["snr_db"]) for row in rows(out)]
    tests = [("gaussian + 0 distractors", "0.0"), ("gaussian + 2 distractors", "0.0")]
    assert found == [(network, *test) for network in ("pixels_logistic", "drsn_cw") for test in tests]
    assert {(row["train_noise"], row["train_snr_db"]) for row in rows(out)} == {("gaussian + 0..8 distractors", "0..20")}
    assert sum(int(row["windows"]) for row in rows(out, "by_recording")) == 4 * 32
    figures = ["accuracy_by_distractors", "accuracy_by_snr", "zeros_drsn_cw"]
    assert all((out / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in figures)


def test_the_network_that_is_kept_answers_for_a_canvas(out):
    arrays, units = read_maps(out / "zeros_drsn_cw.npz")
    assert arrays["pictures"].shape == (4, 20, 18, 1)
    assert {name: share.shape for name, share in units.items()} == {"stages_0_0": (4, 5, 5), "stages_1_0": (4, 3, 3)}
    model = load(out / "model")
    assert model.window_shape == (20, 18, 1)
    assert model.predict(arrays["pictures"]).tolist() == [str(number) for number in arrays["predicted"]]


def test_the_same_command_goes_on_and_another_is_refused(script, out, monkeypatch, capsys):
    monkeypatch.setattr(script, "report", lambda *arguments, **options: None)
    before = (out / "results.csv").read_bytes()
    assert tiny.run_script(script, *OWN, "--out", out) is None
    assert "0 trainings" in capsys.readouterr().out
    assert (out / "results.csv").read_bytes() == before
    assert "holds a run with another configuration" in str(tiny.run_script(script, *OWN, "--patch", "4", "--out", out))


def test_choices_are_what_there_is(script):
    assert set(get_args(script.NetworkName)) == set(ALL_NETWORKS)
    assert get_args(script.NoiseKind) == NOISE_KINDS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--idx", "a", "--cifar10", "b"), "choose one of --idx, --cifar10 and --images"),
        (("--idx", "nowhere"), "nowhere is no folder"),
        (("--canvas", "10", "40"), "a picture of 16 × 16 pixels does not fit on a canvas of 10 × 40"),
        (("--patch", "16"), "a distractor of 16 × 16 pixels could hold a whole picture of 16 × 16"),
        (("--distractors", "-1"), "--distractors must be at least 0, got -1"),
        (("--distractors", "1", "1"), "--distractors needs different values"),
        (("--train-distractors", "3", "1"), "--train-distractors is from the smaller to the larger number"),
        (("--train-snr-db", "5", "5"), "--train-snr-db is a range"),
        (("--snr-db", "200"), "--snr-db 200.0 is no usable ratio"),
        (("--units", "2", "2"), "--widths and --units have one number for each stage"),
        (("--test-share", "0"), "--test-share is a share between 0 and 1"),
        (("--standardise", "none"), "--standardise is window or together for pictures"),
        (("--fixed-noise",), "--fixed-noise is not for pictures"),
        (("--body-rate", "0.5"), "--body-rate goes with --from"),
        (("--validation", "0", "--patience", "3"), "need pictures to look at"),
        (("--devices", "5"), "--devices must divide --batch-size 64"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(script, tmp_path, arguments, message):
    told = str(tiny.run_script(script, *arguments, "--dry-run", "--out", tmp_path / "run"))
    assert told.startswith("error: ")
    assert message in told
    assert "\n" not in told


def test_a_dry_run_takes_few_pictures_of_each_class_and_side(script):
    labels = (np.arange(90) % 3).astype(np.int32)
    whole = Pictures(np.zeros((90, 4, 4, 1), np.float32), labels, ("a", "b", "c"), list(map(str, range(90))), np.arange(90) >= 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "DRY_PICTURES", 54)
        few = script.few(whole)
    assert len(few.labels) == 54
    assert few.official.sum() == 27
    assert list(few.names) == [
        str(number)
        for number in np.concatenate(
            [np.flatnonzero((labels == c) & (whole.official == s))[:9] for c in range(3) for s in (False, True)]
        )
    ]


@pytest.mark.parametrize("name", ["senet", "resnet18", "drsn50"])
def test_every_network_of_the_options_can_be_made(script, tmp_path, name):
    """For pictures in colour; nothing is computed."""
    rng = np.random.default_rng(0)
    pictures = Pictures(
        rng.uniform(size=(40, 12, 12, 3)).astype(np.float32),
        (np.arange(40) % 2).astype(np.int32),
        ("a", "b"),
        list(map(str, range(40))),
    )
    options = dataclasses.replace(script.Options(), networks=(name,))
    clutter = script.plan(options, split_pictures(pictures))
    comparison = script.compare(options, pictures, clutter, tmp_path)
    network: Any = comparison.presets[name](classes=2)
    made = jax.eval_shape(lambda key: network.init(key, np.zeros((1, *clutter.canvas, 3)), train=False), jax.random.key(0))
    assert made["params"]["classifier"]["bias"].shape == (2,)
    assert [len(tests) for _, tests in comparison.trainings] == [16]
