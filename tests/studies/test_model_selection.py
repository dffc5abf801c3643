"""The network that is kept is the best on validation windows, whatever the test says."""

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.diagnosis.bundle_files import load
from drsn_jax.evaluation.metrics import cross_entropy, expected_calibration_error, softmax
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.comparison import Comparison
from drsn_jax.studies.comparison_results import Trial
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import with_noise
from drsn_jax.studies.trials import Result

FOLD = tiny.fold()._replace(validation=tiny.side(12, 4))
FACTS = {
    "classes": ("a", "b", "c"),
    "window_length": tiny.LENGTH,
    "stride": 32,
    "sampling_rate": 100.0,
    "channel": "",
    "channels": 1,
}
GAUSSIAN = Noise("gaussian", 5.0)
TRIAL = Trial("drsn_cw", GAUSSIAN, "x", "0", 0)
NETWORK = tiny.network.clone(standardise=True)


@pytest.fixture
def best_model(tmp_path):
    return BestModel(tmp_path / "model", FACTS)


def offer(best_model, sharpness, seed=0, validation=True, fold=FOLD):
    """A network whose validation logits are right, the more clearly the higher ``sharpness``."""
    data = with_noise(fold, seed=0, noise=GAUSSIAN)
    variables = tiny.variables(seed=seed)
    logits = sharpness * np.eye(3)[fold.validation.labels] if validation else np.empty((0, 3))
    result = Result(9, np.eye(3), np.eye(3), np.zeros(12, int), 1.0, 7, NETWORK, variables, logits)
    tests = [data, with_noise(fold, seed=0, noise=Noise())]
    return best_model.offer(TRIAL, data, fold, result, lambda: tests), variables


def test_the_lowest_validation_loss_is_kept(best_model):
    assert offer(best_model, 1.0, seed=0)[0]
    better, variables = offer(best_model, 2.0, seed=1)
    assert better
    for sharpness in (1.5, 2.0):  # a tie keeps the first
        assert not offer(best_model, sharpness, seed=2)[0]
    kept = load(best_model.folder)
    tiny.assert_equal(kept.variables, jax.tree.map(np.asarray, variables))
    assert kept.training["validation_loss"] == pytest.approx(cross_entropy(2 * np.eye(3), np.arange(3)))
    assert (kept.training["network"], kept.training["train_snr_db"], kept.training["epoch"]) == ("drsn_cw", "5.0", 7)


def test_the_kept_network_knows_how_far_held_out_windows_are(best_model):
    offer(best_model, 1.0)
    kept = load(best_model.folder)
    _, novelty = kept.answer(with_noise(FOLD, seed=0, noise=GAUSSIAN).validation.windows)
    assert novelty is not None
    assert np.max(novelty) == pytest.approx(1, rel=1e-4)  # of twelve windows the farthest sets the limit


def test_the_kept_network_is_measured_on_the_test_windows_under_every_noise(best_model):
    offer(best_model, 1.0)
    kept = load(best_model.folder)
    assert [(entry["noise"], entry["snr_db"]) for entry in kept.accuracy] == [("gaussian", 5.0), ("none", "inf")]
    noisy = with_noise(FOLD, seed=0, noise=GAUSSIAN).test.windows
    for entry, windows in zip(kept.accuracy, (noisy, FOLD.test.windows), strict=True):
        assert entry["accuracy"] == np.mean(kept.logits(windows).argmax(1) == FOLD.test.labels)
    for name, temperature in (("calibration_error", kept.temperature), ("calibration_error_uncalibrated", 1.0)):
        errors = [
            expected_calibration_error(softmax(kept.logits(windows), temperature), FOLD.test.labels)
            for windows in (noisy, FOLD.test.windows)
        ]
        assert [entry[name] for entry in kept.accuracy] == pytest.approx(errors)
        assert kept.training[name] == pytest.approx(np.mean(errors))  # over all noises of the test
    assert kept.rms_range is not None
    low, high = kept.rms_range
    assert 0.6 < low < high < 0.8  # tones of amplitude 1


def test_the_kept_network_knows_how_surprising_true_classes_were(best_model):
    """From so many held-out windows as a promise needs; how often it is kept on the test stands beside the accuracy."""
    offer(best_model, 1.0)
    few = load(best_model.folder)
    assert few.surprises is None
    assert "covered" not in few.accuracy[0]
    offer(best_model, 1.5, fold=FOLD._replace(validation=tiny.side(48, 4)))
    kept = load(best_model.folder)
    assert kept.surprises is not None
    share = np.exp(1.5 / kept.temperature) / (np.exp(1.5 / kept.temperature) + 2)
    np.testing.assert_allclose(kept.surprises, np.full(48, -np.log(share)), rtol=1e-4)
    for entry, windows in zip(
        kept.accuracy, (with_noise(FOLD, seed=0, noise=GAUSSIAN).test.windows, FOLD.test.windows), strict=True
    ):
        sets = kept.prediction_sets(windows)
        assert entry["set_size"] == pytest.approx(np.mean([len(own) for own in sets]))
        held = [kept.classes[label] in own for label, own in zip(FOLD.test.labels, sets, strict=True)]
        assert entry["covered"] == pytest.approx(np.mean(held))


def test_without_validation_windows_nothing_is_kept(best_model):
    assert not offer(best_model, 1.0, validation=False)[0]
    assert not best_model.folder.exists()


def test_a_comparison_keeps_one_of_its_networks(tmp_path):
    """And a run that goes on keeps the same."""
    folder = RunFolder(tmp_path / "run", {})
    comparison = Comparison(
        networks=("resnet", "drsn_cw"),
        classes=("a", "b", "c"),
        noises=[GAUSSIAN],
        seeds=(0,),
        protocol="by hand",
        config=TrainingConfig(epochs=2, batch_size=8),
        size={"widths": (4,), "units": (1,), "implementation": "modules"},
        best_model=BestModel(folder.path / "model", FACTS),
    )
    rows = list(comparison.run(FOLD, folder, ("r0", "r1", "r2"), lambda network, epoch: None))
    kept = load(folder.path / "model")
    (row,) = [row for row in rows if row["network"] == kept.training["network"]]
    assert kept.accuracy[0]["accuracy"] == pytest.approx(row["test_accuracy"], abs=1e-6)
    before = (folder.path / "model" / "model.json").read_bytes()
    assert list(comparison.run(FOLD, folder, ("r0", "r1", "r2"), lambda network, epoch: None)) == []
    assert (folder.path / "model" / "model.json").read_bytes() == before
