"""What is trained for which question, what is written of it, and that words follow numbers."""

import csv
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tiny

from drsn_jax import scripts
from drsn_jax.ablation import Ablation
from drsn_jax.ablation_figures import draw_all
from drsn_jax.ablation_plan import Training, build, level_name, plan
from drsn_jax.ablation_report import compare, sentences, verdict, write_report
from drsn_jax.evaluation import Interval
from drsn_jax.members import Member
from drsn_jax.runs import RunFolder, read_rows

SCRIPT = Path(__file__).parents[1] / "experiments" / "noise_ablation.py"
LEVELS = (-5.0, 5.0, math.inf)


def names(trainings):
    return [(t.rule, t.member.noise, level_name(t.member.snr_db), t.member.seed) for t in trainings]


def test_a_training_that_answers_two_questions_is_made_once():
    found = names(plan(["gaussian", "pink"], [-5.0, 5.0], rules=("soft", "none"), rule_levels=(-5.0,)))
    assert found == [
        ("soft", "gaussian", "-5", 0),
        ("soft", "gaussian", "5", 0),
        ("soft", "pink", "-5", 0),
        ("soft", "pink", "5", 0),
        ("soft", "gaussian", "inf", 0),
        ("soft", "gaussian", "-5..5", 0),
        ("soft", "pink", "-5..5", 0),
        ("none", "gaussian", "-5", 0),
    ]
    assert len(plan(["gaussian"], [0.0], rules=(), rule_levels=(), seeds=(3, 4))) == 2
    clean = names(plan(["gaussian", "pink"], [math.inf], rules=(), rule_levels=()))
    assert clean == [("soft", "gaussian", "inf", 0)], "without noise there is one kind"
    for wrong in (([], [0.0]), (["pink"], [])):
        with pytest.raises(ValueError, match="kinds of noise, levels and seeds"):
            plan(*wrong, rules=(), rule_levels=())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two kinds, interrupted after its first rule and continued."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run", {"x": 1})
    study = Ablation(3, ("gaussian", "pink"), LEVELS, epochs=1, batch_size=8, units=(1, 1, 1), repeats=2)
    trainings = plan(study.kinds, [-5.0, 5.0], rules=("none", "soft"), rule_levels=(-5.0,))
    expected = list(study.estimate(trainings, tiny.fold(), folder))
    assert len(expected) == 2, "one for each rule"
    assert min(expected) > 0
    rows = []
    for row in study.run(trainings, tiny.fold(), folder):
        rows.append(row)
        if row["rule"] == "none":
            break
    before = (folder.path / "results.csv").read_text()
    assert list(study.run(trainings, tiny.fold(), folder)) == [], "what is there is not made again"
    assert (folder.path / "results.csv").read_text() == before
    assert list(study.estimate(trainings, tiny.fold(), folder)) == []
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
    assert len(thresholds) == (len(trainings) - 1) * len(LEVELS) * 3, "a network without thresholds has none"


def test_every_figure_is_drawn_from_the_tables_and_stands_in_the_page(run):
    folder, *_ = run
    figures = draw_all(folder)
    assert list(figures) == ["levels", "kinds", "range", "rules", "thresholds", "window"]
    page = write_report(folder, figures, {"noise": ("gaussian", "<pink>")}).read_text()
    images = []

    class Images(HTMLParser):
        def handle_starttag(self, tag, attrs):
            images.extend([value for name, value in attrs if (tag, name) == ("img", "src")])

    Images().feed(page)
    assert len(images) == 6
    assert all(source.startswith("data:image/png;base64,") for source in images)
    assert "http" not in page, "it opens without a network"
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


def test_a_training_that_diverges_has_no_rows(tmp_path):
    folder = RunFolder(tmp_path / "run", {})
    study = Ablation(3, ("gaussian",), (0.0,), epochs=1, batch_size=8, units=(1, 1, 1), repeats=1)
    trainings = [Training("soft", Member(0, "gaussian", 0.0, rate)) for rate in (0.1, 1e20)]
    first, second = study.run([trainings[0], Training("soft", Member(1, "gaussian", 0.0, 1e20))], tiny.fold(), folder)
    assert first["accuracy"] is not None
    assert second["accuracy"] is None
    assert {row["seed"] for row in read_rows(folder.path / "results.csv")} == {"0"}


def test_rules_make_networks():
    assert build("none", 3, (1,)).shrinkage is None
    assert build("firm", 3, (1,)).threshold_rule == "firm"
    assert build("soft", 3, (1,), shared=True).shrinkage == "channel_shared"


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
        (("--distributed",), "an ablation runs in one process"),
    ],
)
def test_bad_options_are_one_sentence(monkeypatch, tmp_path, options, message):
    script = tiny.load_script(SCRIPT)
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *options, "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as left:
        scripts.run(script.main)
    assert message in str(left.value.code)
    assert not (tmp_path / "run").exists()
