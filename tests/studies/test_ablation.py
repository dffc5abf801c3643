"""What is trained for which question, what is written of it, and that words follow numbers."""

import csv
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.cli import console
from drsn_jax.core.files import write_arrays
from drsn_jax.evaluation.inspection import thresholds
from drsn_jax.evaluation.metrics import Interval
from drsn_jax.evaluation.noise_grids import NoiseGrid
from drsn_jax.functional.noise import Noise, add_noise_once
from drsn_jax.studies import ablation_figures
from drsn_jax.studies.ablation import Ablation, grid_rows
from drsn_jax.studies.ablation_figures import draw_all
from drsn_jax.studies.ablation_plan import Training, build, plan
from drsn_jax.studies.ablation_report import compare, sentences, verdict, write_report
from drsn_jax.studies.runs import RunFolder, read_metrics, read_rows
from drsn_jax.training import ensembles
from drsn_jax.training.members import Member

SCRIPT = Path(__file__).parents[2] / "experiments" / "noise_ablation.py"
LEVELS = (-5.0, 5.0, math.inf)


SIZE: Any = {"widths": (8,), "units": (1,)}  # in blocks, so that members are mapped and compiled once


def names(trainings):
    return [tuple(training.columns.values()) for training in trainings]


def test_a_training_that_answers_two_questions_is_made_once():
    found = names(plan(["gaussian", "pink"], [-5.0, 5.0], rules=("soft", "none"), rule_levels=(-5.0,)))
    assert found == [
        ("soft", "gaussian", "-5", 0),
        ("soft", "gaussian", "5", 0),
        ("soft", "pink", "-5", 0),
        ("soft", "pink", "5", 0),
        ("soft", "none", "inf", 0),
        ("soft", "gaussian", "-5..5", 0),
        ("soft", "pink", "-5..5", 0),
        ("none", "gaussian", "-5", 0),
    ]
    assert len(plan(["gaussian"], [0.0], rules=(), rule_levels=(), seeds=(3, 4))) == 2
    clean = names(plan(["gaussian", "pink"], [math.inf], rules=(), rule_levels=()))
    assert clean == [("soft", "none", "inf", 0)], "without noise there is one kind"
    for wrong in (([], [0.0]), (["pink"], [])):
        with pytest.raises(ValueError, match="kinds of noise, levels and seeds"):
            plan(*wrong, rules=(), rule_levels=())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two kinds, interrupted after its first rule and continued."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run", {"x": 1})
    study = Ablation(3, ("gaussian", "pink"), LEVELS, epochs=1, batch_size=8, size=SIZE, repeats=2)
    trainings = plan(study.kinds, [-5.0, 5.0], rules=("none", "soft"), rule_levels=(-5.0,))
    compiled = []
    expected = list(study.estimate(trainings, tiny.fold(), folder, lambda *told: compiled.append(told)))
    assert len(expected) == 2, "one for each rule"
    assert [told[1:] for told in compiled] == [(1, 2), (2, 2)]
    assert {told[0] for told in compiled} == {"none", "soft"}
    assert min(expected) > 0
    rows = []
    for row in study.run(trainings, tiny.fold(), folder):
        rows.append(row)
        if row["rule"] == "soft":
            break  # in the middle of the rows of a rule, whose training is over
    rows += study.run(trainings, tiny.fold(), folder)
    before = (folder.path / "results.csv").read_text()
    assert list(study.run(trainings, tiny.fold(), folder)) == [], "what is there is not made again"
    assert (folder.path / "results.csv").read_text() == before
    assert list(study.estimate(trainings, tiny.fold(), folder)) == []
    assert not (folder.path / "checkpoints").exists()
    return folder.path, trainings, rows


def test_every_training_has_a_row_for_every_test(run):
    folder, trainings, told = run
    rows = read_rows(folder / "results.csv")
    assert len(rows) == len(trainings) * 2 * len(LEVELS)
    assert len({tuple(list(row.values())[:6]) for row in rows}) == len(rows)
    assert {row["windows"] for row in rows} == {"12"}
    assert {row["train_noise"] for row in rows if row["train_snr_db"] == "inf"} == {"none"}
    assert len(told) == len(trainings)
    thresholds = read_rows(folder / "thresholds.csv")
    assert len(thresholds) == (len(trainings) - 1) * len(LEVELS), "a network without thresholds has none"
    study = Ablation(3, ("gaussian", "pink"), LEVELS)
    with np.load(folder / "shrinkage.npz") as kept:
        np.testing.assert_allclose(kept["window"], study.noisy_windows(tiny.fold(), 1, -5.0)[0], atol=1e-6)


def test_rows_hold_the_means_of_their_cells():
    rng = np.random.default_rng(0)
    accuracy, loss, concentration = rng.uniform(size=(3, 2, 3, 4))
    confusion = np.full((2, 3, 4, 2, 2), 5)
    training = Training("soft", Member(2, Noise("pink", -5.0)))
    rows = list(grid_rows(training, NoiseGrid(("pink", "gaussian"), LEVELS, accuracy, loss, concentration, confusion)))
    assert [(row["test_noise"], row["test_snr_db"]) for row in rows] == [(k, s) for k in ("pink", "gaussian") for s in LEVELS]
    for name, values in (("accuracy", accuracy), ("loss", loss), ("concentration", concentration)):
        np.testing.assert_allclose([row[name] for row in rows], values.mean(-1).ravel(), atol=1e-6)
    assert {(row["train_snr_db"], row["seed"], row["windows"], row["repeats"]) for row in rows} == {("-5", 2, 20, 4)}


def test_thresholds_are_those_of_windows_as_the_test_meets_them():
    study = Ablation(3, ("pink", "gaussian"), LEVELS, epochs=1, size=SIZE, repeats=2, seed=4)
    fold, network = tiny.fold(test=30), build("soft", 3, **SIZE)
    variables = tiny.variables(network)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(4), 1), 0)  # as the first repeat of the grid
    noisy = np.asarray(add_noise_once(key, fold.test.windows, 5.0, "pink"))
    np.testing.assert_allclose(study.noisy_windows(fold, 3, 5.0), noisy[[0, 14, 29]], atol=1e-5)
    rows = list(study.threshold_rows(Training("soft", Member(0, Noise("pink", 0.0))), network, variables, fold))
    at_5 = [row for row in rows if row["test_snr_db"] == 5.0]
    for row, unit in zip(at_5, thresholds(network, variables, noisy), strict=True):
        expected = [unit.alpha.mean(), unit.zeros.mean(), unit.collapsed]
        np.testing.assert_allclose([row["alpha"], row["zeros"], row["collapsed"]], expected, atol=1e-5)


def test_every_figure_is_drawn_from_the_tables_and_stands_in_the_page(run):
    folder, *_ = run
    figures = draw_all(folder)
    assert list(figures) == ["levels", "kinds", "range", "rules", "thresholds", "window"]
    facts = {"noise": ("gaussian", "<pink>"), "levels": (-5.0, math.inf), "shared": True}
    page = write_report(folder, figures, facts).read_text()
    for shown in ("<td>gaussian, &lt;pink&gt;", "<td>-5, clean", "<td>yes", "<th>date<td>20", "<th>versions<td>drsn-jax "):
        assert shown in page
    assert "<p>In gaussian noise" in page
    dry = write_report(folder, figures, facts, findings=False).read_text()
    assert "A dry run: its numbers and figures mean nothing." in dry
    assert "<p>In gaussian noise" not in dry
    images = []

    class Images(HTMLParser):
        def handle_starttag(self, tag, attrs):
            images.extend([value for name, value in attrs if (tag, name) == ("img", "src")])

    Images().feed(page)
    assert len(images) == 6
    assert all(source.startswith("data:image/png;base64,") for source in images)
    assert "://" not in page, "it opens without a network"
    assert "&lt;pink&gt;" in page


def table(folder, rows):
    columns = ["rule", "train_noise", "train_snr_db", "seed", "test_noise", "test_snr_db", "windows", "accuracy"]
    with open(folder / "results.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.mark.parametrize(
    ("soft", "windows", "words"),
    [
        (0.9, 1000, "the rule soft (90.0 %) is 20.0 points (± 3.4) above no thresholds (70.0 %)"),
        (0.5, 1000, "the rule soft (50.0 %) is 20.0 points (± 4.2) below no thresholds"),
        (0.71, 1000, "the rule soft (71.0 %) cannot be told apart (+1.0 ± 4.0 points) from no thresholds"),
        (0.9, 20, "cannot be told apart (+20.0 ± 24.0 points)"),
    ],
)
def test_words_follow_the_numbers(tmp_path, soft, windows, words):
    table(tmp_path, [[rule, "pink", "-5", 0, "pink", -5.0, windows, a] for rule, a in (("soft", soft), ("none", 0.7))])
    assert words in " ".join(sentences(tmp_path)["rules"])


def test_what_is_said_of_levels_kinds_and_ranges(tmp_path):
    rows = []
    trained = {("pink", "-5"): 0.8, ("pink", "5"): 0.5, ("gaussian", "-5"): 0.3, ("pink", "-5..5"): 0.9, ("none", "inf"): 0.2}
    for (noise, level), accuracy in trained.items():
        rows += [["soft", noise, level, 0, "pink", test, 1000, accuracy + (test > 0) * 0.05] for test in (-5.0, 5.0)]
    table(tmp_path, rows)
    told = sentences(tmp_path)
    assert told["levels"] == [
        "In pink noise, trained and tested at the same level, 80.0 % are right at -5 dB and 55.0 % at 5 dB; at -5 dB, training "
        "at 5 dB is 30.0 points (± 4.0) below training at -5 dB."
    ]
    (kinds,) = told["kinds"]
    assert kinds == "Tested in pink noise, training in gaussian noise is 50.0 points (± 3.8) below training in pink noise."
    clean, best = told["range"]
    assert clean.startswith("Over all noisy levels of pink noise, training on -5 to 5 dB is 70.0 points (± ")
    assert clean.endswith(" above training clean.")
    assert best.startswith("Against the single level that does best over all of them, -5 dB, training on -5 to 5 dB is 10.0 p")
    assert best.endswith(" above it.")


@pytest.mark.parametrize(
    ("zeros", "word"),
    [((0.5, 0.2), "falls from 50.0 to 20.0 %"), ((0.2, 0.5), "rises from 20.0 to 50.0 %"), ((0.2, 0.2), "stays")],
)
def test_what_is_said_of_thresholds(tmp_path, zeros, word):
    """Of those trained on the range in the noise that they are looked at in, and of no others."""
    columns = ["rule", "train_noise", "train_snr_db", "seed", "test_noise", "test_snr_db", "unit", "alpha", "zeros", "collapsed"]
    with open(tmp_path / "thresholds.csv", "w", newline="") as file:
        rows = [["soft", "pink", "-5..5", 0, "pink", test, "a", 0.4, z, 0.25] for test, z in zip((-5.0, 5.0), zeros, strict=True)]
        others = [
            ["soft", noise, level, 0, "pink", -5.0, "a", 0.9, 0.9, 0.9] for noise, level in (("gaussian", "-5..5"), ("pink", "5"))
        ]
        csv.writer(file).writerows([columns, *rows, *others, ["hard", "pink", "-5..5", 0, "pink", -5.0, "a", 0.9, 0.9, 0.9]])
    change, collapsed = sentences(tmp_path)["thresholds"]
    assert word in change
    assert change.startswith("From -5 dB to 5 dB the share of features set to zero")
    assert change.endswith("the mean α goes from 0.400 to 0.400.")
    assert collapsed.startswith("25.0 % of all α have collapsed")


def test_levels_keep_their_digits_and_clean_rules_are_compared(tmp_path):
    level = Noise("pink", 3.3333333).level
    rows = [["soft", "pink", level, 0, test, 3.3333333, 1000, 0.9] for test in ("pink", "gaussian")]
    rows += [["none", "pink", level, 0, test, 3.3333333, 1000, 0.7] for test in ("pink", "gaussian")]
    rows += [[rule, "none", "inf", 0, "pink", math.inf, 1000, a] for rule, a in (("soft", 0.8), ("none", 0.5))]
    table(tmp_path, rows)
    first, second = sentences(tmp_path)["rules"]
    assert "(90.0 %) is 20.0 points" in first
    assert second.startswith("Trained and tested clean, the rule soft (80.0 %) is 30.0 points")


def test_several_seeds_give_the_interval_over_them():
    rows = lambda values: [  # noqa: E731
        {"seed": str(i), "test_noise": "pink", "test_snr_db": "0.0", "windows": "10", "accuracy": str(value)}
        for i, value in enumerate(values)
    ]
    found = compare(rows([0.5, 0.6, 0.7]), rows([0.4, 0.5, 0.6]))
    np.testing.assert_allclose(found, (10, 0), atol=1e-9)
    found = compare(rows([0.5, 0.6]), rows([0.6, 0.5]))
    assert verdict(found).startswith("cannot be told apart (-0.0 ±") or verdict(found).startswith("cannot be told apart (+0.0 ±")
    assert verdict(Interval(math.nan, math.nan)) == "cannot be compared with"
    assert verdict(Interval(-0.01, 0.0)).startswith("cannot be told apart")
    # a seed that diverged on one side does not count on the other
    found = compare(rows([0.9, 0.1]), rows([0.9]))
    np.testing.assert_allclose(found, (0, 196 * math.sqrt(2 * 0.09 / 10)), atol=1e-9)


def test_a_training_that_diverges_has_no_rows_and_an_interrupted_rule_goes_on(tmp_path):
    """Interrupted while its second epoch was logged; validation losses stand in metrics.jsonl, every epoch once."""
    folder = RunFolder(tmp_path / "run", {})
    study = Ablation(3, ("gaussian",), (0.0,), epochs=2, batch_size=8, size=SIZE, repeats=1, checkpoint_seconds=0.0)
    trainings = [Training("soft", Member(seed, Noise("gaussian", 0.0), rate)) for seed, rate in ((0, 0.1), (1, 1e20))]
    fold = tiny.fold()._replace(validation=tiny.side(8, 5))

    class Stop(Exception):
        pass

    def stop(rule, epoch, members):
        if epoch.number == 2:
            raise Stop

    with pytest.raises(Stop):
        list(study.run(trainings, fold, folder, stop))
    assert len(list((folder.path / "checkpoints").iterdir())) == 1
    assert not (folder.path / "results.csv").exists()
    numbers = []
    first, second = study.run(trainings, fold, folder, lambda rule, epoch, members: numbers.append(epoch.number))
    assert numbers == [2]
    assert first["accuracy"] is not None
    assert second["accuracy"] is None
    assert {row["seed"] for row in read_rows(folder.path / "results.csv")} == {"0"}
    records = read_metrics(folder.path)
    assert [(r["seed"], r["epoch"]) for r in records] == [(0, 1), (1, 1), (0, 2), (1, 2)]
    assert all(record["validation_loss"] > 0 for record in records if record["seed"] == 0)
    assert records[-1]["train_loss"] is None


def test_the_best_epoch_is_tested_where_it_is_asked_for(tmp_path, monkeypatch):
    """By validation losses that are made up: the second of two epochs is the best, or it is not."""
    fold = tiny.fold()._replace(validation=tiny.side(8, 5))
    study = Ablation(3, ("gaussian",), (20.0,), epochs=2, batch_size=8, size=SIZE, repeats=1)
    tested = {}
    for best, losses in ((False, (1.0, 2.0)), (True, (1.0, 2.0)), (True, (2.0, 1.0))):
        values = iter(losses)
        sums = lambda *_: {"loss": np.array([next(values)]), "correct": np.ones(1), "count": np.ones(1)}  # noqa: E731, B023
        monkeypatch.setattr(ensembles, "_summed", sums)
        study.test_best = best
        folder = RunFolder(tmp_path / f"{best}-{losses[0]}", {})
        (row,) = study.run([Training("soft", Member(0, Noise("gaussian", 20.0)))], fold, folder)
        tested[best, losses] = row["loss"]
        assert [record["validation_loss"] for record in read_metrics(folder.path)] == list(losses)
    assert tested[True, (2.0, 1.0)] == tested[False, (1.0, 2.0)]
    assert tested[True, (1.0, 2.0)] != tested[False, (1.0, 2.0)]


def test_rules_make_networks():
    assert build("none", 3, units=(1,)).shrinkage is None
    assert build("firm", 3, units=(1,)).threshold_rule == "firm"
    assert build("soft", 3, shared=True, units=(1,)).shrinkage == "channel_shared"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--snr-db",), "--snr-db needs at least one value"),
        (("--noise",), "--noise needs at least one value"),
        (("--snr-db", "nan"), "--snr-db nan is no usable ratio"),
        (("--rule-snr-db", "500"), "--rule-snr-db 500.0 is no usable ratio"),
        (("--snr-db", "1", "1"), "--snr-db needs different values"),
        (("--repeats", "0"), "--repeats must be at least 1, got 0"),
        (("--seeds", "0"), "--seeds must be at least 1"),
        (("--learning-rate", "0"), "--learning-rate must be a positive number"),
        (("--devices", "0"), "--devices must be at least 1, got 0"),
        (("--all-folds",), "takes the first fold"),
        (("--distributed",), "an ablation runs in one process"),
    ],
)
def test_bad_options_are_one_sentence(monkeypatch, tmp_path, options, message):
    script = tiny.load_script(SCRIPT)
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *options, "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as left:
        console.run(script.main)
    assert message in str(left.value.code)
    assert not (tmp_path / "run").exists()


def test_the_picture_of_a_window_says_what_it_shows(tmp_path, drawn):
    wave = np.random.default_rng(0).normal(size=(64, 1))
    units = {"stages_0_0.before": wave[::2], "stages_0_0.after": 0 * wave[::2]}
    for rate, label, end in (({}, "time, samples", 62), ({"sampling_rate": np.float64(1000)}, "time, s", 0.062)):
        write_arrays(tmp_path / "shrinkage.npz", {"window": wave, **units, **rate})
        ablation_figures.window_picture(tmp_path)
        figure = drawn["window.png"]
        window, unit = figure.axes
        assert window.get_title() == "a test window with the noise of the lowest SNR, not yet standardised"
        assert (unit.get_xlabel(), window.get_ylabel(), unit.get_ylabel()) == (label, "signal", "feature")
        assert unit.lines[0].get_xdata()[-1] == pytest.approx(end)
        assert not any(panel.get_legend() for panel in figure.axes), "it would lie over a curve"
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before the shrinkage", "after the shrinkage"]
