"""The map of shrinkage: representations, pairs that differ in thresholds alone, gains by seed, and a run that goes on."""

import csv
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.data.windows import few_windows, some_of_each_class
from drsn_jax.functional.noise import Noise
from drsn_jax.studies import shrinkage_map, shrinkage_map_report
from drsn_jax.studies.representations import REPRESENTATIONS
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.shrinkage_map import NONE, TABLES, Cell, ShrinkageMap
from drsn_jax.training.ensembles import Ensemble

SIZE = {"widths": (3,), "units": (1,), "stem": 1, "implementation": "modules"}


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(shrinkage_map, "ROUND", 8)
    return ShrinkageMap(tiny.CLASSES, ("gaussian",), -5.0, (0, 1), steps=6, batch_size=8, size=SIZE)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("name", "positions"), [("raw", 2048), ("envelope_spectrum", 120), ("time_frequency", 120)])
def test_representations(name, positions, channels):
    """Their lengths are those that blocks divide, and the gain of a window does not matter to them."""
    prepare = jax.jit(REPRESENTATIONS[name][0])
    window = np.random.default_rng(0).normal(size=(2048, channels)).astype(np.float32)
    seen = np.asarray(prepare(window))
    assert seen.shape == (positions, channels * (32 if name == "time_frequency" else 1))
    np.testing.assert_allclose(prepare(1000 * window), seen, atol=2e-3)
    assert np.isfinite(prepare(np.zeros_like(window))).all()


def test_a_line_of_the_envelope_stands_at_its_rate():
    """Noise that rises and falls 20 times in 2,048 samples: frames begin every 8 samples, and there are 249 of them."""
    rng, time = np.random.default_rng(0), np.arange(2048)
    window = (1 + np.cos(2 * np.pi * 20 * time / 2048))[:, None] * rng.normal(size=(2048, 1))
    spectrum = np.asarray(REPRESENTATIONS["envelope_spectrum"][0](jnp.asarray(window, jnp.float32)))[:, 0]
    assert np.argmax(spectrum) + 1 == round(20 * 249 * 8 / 2048)


def test_labelled_windows_are_some_of_each_class():
    labels = np.array([0, 1, 1, 1, 2, 2, 0, 1])
    chosen = some_of_each_class(labels, 2, seed=3)
    assert [int((labels[chosen] == c).sum()) for c in range(3)] == [2, 2, 2]
    assert np.array_equal(chosen, np.unique(chosen))
    fold = tiny.fold()
    kept = few_windows(fold, 2, seed=3).train
    np.testing.assert_array_equal(kept.windows, fold.train.windows[some_of_each_class(fold.train.labels, 2, 3)])


def test_pairs_share_windows_and_seeds(study, monkeypatch):
    """Equal seeds have the same labelled windows with thresholds and without, other seeds have others."""
    trained = []
    monkeypatch.setattr(Ensemble, "with_members", lambda self, members: trained.append(members) or self)
    monkeypatch.setattr(Ensemble, "fit", lambda self, windows, labels, checkpoints: iter([_Last()]))
    fold = tiny.fold(train=21)
    for shrinkage in (NONE, "channel_wise"):
        study.train(Cell("raw", 2), shrinkage, fold)
    plain, shrunk = trained
    assert plain == shrunk
    for member in plain:
        assert len(member.windows) == 24  # filled up to a multiple of 8
        assert set(member.windows) == set(some_of_each_class(fold.train.labels, 2, member.seed).tolist())
        assert np.ptp(np.bincount(fold.train.labels[list(member.windows)])) <= 3  # no class counts much more than another
    assert set(plain[0].windows) != set(plain[1].windows)
    assert study.network("raw", NONE).shrinkage is None
    assert study.network("raw", "channel_wise") == study.network("raw", NONE).clone(shrinkage="channel_wise")


class _Last:
    variables: dict = {}  # noqa: RUF012
    diverged = np.zeros(2, bool)


def test_all_windows_are_taken_and_no_class_more_than_its_share():
    """Recordings lie one behind the other; what fills an epoch up is not the first of them."""
    labels = np.repeat(np.arange(9), 353)
    taken = shrinkage_map._taken(labels, 0, seed=4, size=3584)
    assert set(taken.tolist()) == set(range(len(labels)))
    counts = np.bincount(labels[taken])
    assert counts.max() / counts.min() < 1.15
    assert not np.array_equal(taken, shrinkage_map._taken(labels, 0, seed=5, size=3584))


def test_a_member_that_diverges_gets_no_rows(study, tmp_path):
    study.learning_rate = 1e30
    folder = RunFolder(tmp_path / "run", {}, tables=TABLES)
    assert [math.isnan(accuracy) for _, accuracy in study.run([Cell("raw", 0)], tiny.fold(), folder)] == [True, True]
    assert len(study.diverged) == 4
    assert study.diverged[0] == "raw, all labelled, none, 0, seed 0"
    assert folder.rows("results") == []


def test_a_run_goes_on_and_is_told(study, tmp_path):
    study.seeds = (1,)
    folder = RunFolder(tmp_path / "run", {}, tables=TABLES)
    cells, fold = [Cell("raw", 0)], tiny.fold()
    epochs = []
    assert study.missing(cells, fold, folder) == 2 * study.epochs(fold) == 4
    first = next(study.run(cells, fold, folder, lambda name, epoch: epochs.append((name, epoch.number))))
    assert study.missing(cells, fold, folder) == 2
    rest = list(study.run(cells, fold, folder, lambda name, epoch: epochs.append((name, epoch.number))))
    assert study.missing(cells, fold, folder) == 0
    assert [name for name, _ in (first, *rest)] == ["raw, all labelled, none, 0", "raw, all labelled, channel_wise, 0"]
    assert epochs == [(name, number) for name, _ in (first, *rest) for number in (1, 2)]
    assert list(study.run(cells, fold, folder)) == []
    rows = folder.rows("results")
    assert len(rows) == 2 * 2  # the two of a pair, noises
    looks = folder.rows("thresholds")
    assert not (folder.path / "checkpoints").exists()
    assert {row["unit"] for row in looks} == {"stages_0_0"}
    assert [float(row["snr_db"]) for row in looks[:5]] == [math.inf, 5, 0, -5, -10]
    assert all(0 < float(row["alpha"]) < 1 for row in looks)
    text = shrinkage_map_report.table(folder.path)
    assert "| given | labelled | without thresholds, mean | clean | gaussian -5 dB | all |" in text
    assert "| raw window | 0_0 |" in shrinkage_map_report.threshold_table(folder.path)
    for draw in (shrinkage_map_report.picture, shrinkage_map_report.follows):
        assert draw({"a question": folder.path}, tmp_path).read_bytes().startswith(b"\x89PNG")


def test_the_networks_of_a_pair_learn(study):
    """Tones are told apart without noise, whether there are thresholds or not: what is tested is what was trained."""
    longer = ShrinkageMap(tiny.CLASSES, ("gaussian",), 10.0, (0, 1), steps=60, batch_size=8, learning_rate=3e-2, size=SIZE)
    fold = tiny.fold()
    network, variables, diverged = longer.train(Cell("raw", 0), "channel_wise", fold)
    assert not diverged.any()
    for number in (0, 1):
        member = jax.tree.map(lambda leaf: leaf[number], variables)  # noqa: B023
        clean, noisy = longer.test(network, member, fold, Cell("raw", 0), seed=number)
        assert clean["balanced_accuracy"] >= 0.9
        assert (clean["noise"], noisy["noise"], noisy["snr_db"]) == ("none", "gaussian", 10.0)
    assert longer.tests[0] == Noise()


def test_gains_are_paired_by_seed():
    """Two seeds gain 10 and 20 points, each the mean of two folds; a trial without its partner does not count."""
    rows = []
    for seed, fold, plain, shrunk in ((0, "a", 0.5, 0.55), (0, "b", 0.5, 0.65), (1, "a", 0.1, 0.3), (1, "b", 0.2, 0.4)):
        common = {"seed": seed, "fold": fold, "noise": "pink", "snr_db": "-5.0"}
        rows.append({**common, "shrinkage": NONE, "balanced_accuracy": plain})
        rows.append({**common, "shrinkage": "channel_wise", "balanced_accuracy": shrunk})
    alone = {"seed": 2, "fold": "a", "noise": "pink", "snr_db": "-5.0", "shrinkage": NONE, "balanced_accuracy": 1.0}
    found = shrinkage_map_report.gain([*rows, alone])
    assert found.mean == pytest.approx(15)
    assert found.half_width == pytest.approx(12.706 * 5, rel=1e-3)  # Student t, one degree of freedom
    assert math.isnan(shrinkage_map_report.gain([alone]).mean)


def test_an_edited_table_is_refused(study, tmp_path):
    folder = RunFolder(tmp_path / "run", {}, tables=TABLES)
    cell = dict(zip(shrinkage_map.CELL, ("raw", 0, NONE, "0", 0), strict=True))
    folder.add_rows("results", [{**cell, "noise": "none", "snr_db": math.inf, "balanced_accuracy": 0.5}])
    file = folder.path / "results.csv"
    with open(file, newline="") as opened:
        assert next(csv.DictReader(opened))["snr_db"] == "inf"
    file.write_text(file.read_text().replace("0.5", "5.0"))
    with pytest.raises(ValueError, match="a number from 0 to 1"):
        study.missing([Cell("raw", 0)], tiny.fold(), folder)
