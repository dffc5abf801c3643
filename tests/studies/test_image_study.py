"""Comparisons on pictures: their tests, their table and figures from hand-written files, intervals over parts."""

import csv
import json
import math
from typing import Any

import numpy as np
import pytest

from drsn_jax.core.files import write_arrays
from drsn_jax.data.windows import Fold, Side
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.image_figures import accuracy_by, draw_pictures, grid_table
from drsn_jax.studies.image_study import PARTS, Plan, distractors_of, in_parts_of_the_test, read_maps

BANK = np.random.default_rng(0).uniform(size=(6, 8, 8, 1)).astype(np.float32)
PLAN = Plan(BANK, (16, 16), 3, ("gaussian", "pink"), (0, 4), (0.0, 20.0), (0, 2, 6), (math.inf, 5.0))


def test_one_training_of_each_kind_serves_all_tests():
    trainings: Any = PLAN.trainings()
    assert [str(train) for train, _ in trainings] == [f"{kind} + 0..4 distractors 0..20 dB" for kind in ("gaussian", "pink")]
    assert [str(test) for test in trainings[1][1]] == [
        "0 distractors",
        "pink + 0 distractors 5 dB",
        "2 distractors",
        "pink + 2 distractors 5 dB",
        "6 distractors",
        "pink + 6 distractors 5 dB",
    ]
    assert all(test.bank is trainings[0][0].bank for _, tests in trainings for test in tests)
    assert str(PLAN.shown()) == "2 distractors"
    assert PLAN.noise_kinds()[:3] == ["gaussian + 0..4 distractors", "0 distractors", "gaussian + 0 distractors"]


def test_without_a_range_of_levels_the_training_has_no_pixel_noise():
    plan = Plan(BANK, (16, 16), 3, ("gaussian",), (2, 2), None, (1,), (math.inf,))
    train: Any = plan.trainings()[0][0]
    assert (train.kind, train.noise) == ("2 distractors", Noise())


def test_the_number_of_distractors_is_read_from_the_name():
    assert distractors_of("gaussian + 4 distractors") == "4"
    assert distractors_of("0 distractors") == "0"
    assert distractors_of("salt_and_pepper + 0..8 distractors") == "0..8"
    with pytest.raises(ValueError, match="has no number of distractors"):
        distractors_of("gaussian")


def side(count):
    return Side(np.zeros((count, 2, 2, 1), np.float32), np.zeros(count, np.int32), np.arange(count, dtype=np.int32))


def test_the_test_is_cut_into_parts_of_equal_size():
    fold = in_parts_of_the_test(Fold("0", side(5), side(250), side(3)))
    counts = np.bincount(fold.test.recordings, minlength=PARTS)
    assert set(counts) == {2, 3}
    assert set(fold.train.recordings) == set(fold.validation.recordings) == {0}
    assert sorted(in_parts_of_the_test(Fold("0", side(5), side(7))).test.recordings) == list(range(7))


@pytest.fixture
def folder(tmp_path):
    """Two networks, two numbers of distractors, two levels, two seeds."""
    made = [
        {"network": network, "noise": noise, "snr_db": level, "fold": "0", "seed": seed}
        for network in ("pixels_logistic", "drsn_cw")
        for number in (0, 10)
        for noise, level in ((f"{number} distractors", "inf"), (f"gaussian + {number} distractors", 5.0))
        for seed in (0, 1)
    ]
    kinds = list(dict.fromkeys(row["noise"] for row in made))
    (tmp_path / "config.json").write_text(json.dumps({"noise_kinds": kinds, "classes": ["cat", "dog"], "dataset": "pets"}))
    accuracy = lambda row: 0.5 + 0.4 * (row["snr_db"] == "inf") - 0.02 * int(distractors_of(row["noise"])) + 0.1 * row["seed"]  # noqa: E731
    rows = [{**row, "train_accuracy": 0.9, "test_accuracy": round(accuracy(row), 3)} for row in made]
    with open(tmp_path / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    pictures = {"pictures": BANK[:2], "labels": np.array([0, 1]), "predicted": np.array([1, 1])}
    write_arrays(
        tmp_path / "zeros_drsn_cw.npz",
        {**pictures, **{f"stages_{i}_{j}": np.full((2, 4, 4), 0.1 * j) for i in (0, 1) for j in (0, 1)}},
    )
    return tmp_path


def test_the_table_has_a_row_for_each_number_and_a_column_for_each_level(folder):
    assert grid_table(folder).splitlines() == [
        "| network | distractors | clean | gaussian 5 dB |",
        "|---|---|---|---|",
        "| pixels + logistic regression | 0 | 95.0 | 55.0 |",
        "| pixels + logistic regression | 10 | 75.0 | 35.0 |",
        "| DRSN-CW | 0 | 95.0 | 55.0 |",
        "| DRSN-CW | 10 | 75.0 | 35.0 |",
    ]


def test_the_lines_are_the_means(folder, drawn):
    accuracy_by(folder, "distractors")
    panels = drawn["accuracy_by_distractors.png"].axes
    assert [panel.get_title() for panel in panels] == ["5 dB", "clean"]
    np.testing.assert_allclose(panels[1].lines[0].get_ydata(), [95, 75])
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["0", "10"]
    accuracy_by(folder, "snr_db")
    panels = drawn["accuracy_by_snr.png"].axes
    assert [panel.get_title() for panel in panels] == ["0 distractors", "10 distractors"]
    np.testing.assert_allclose(panels[1].lines[1].get_ydata(), [35, 75])
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["5", "clean"]


def test_what_was_zeroed_stands_beside_its_picture(folder, drawn):
    names = [file.name for file in draw_pictures(folder)]
    assert names == ["accuracy_by_distractors.png", "accuracy_by_snr.png", "training.png", "zeros_drsn_cw.png"]
    panels = drawn["zeros_drsn_cw.png"].axes
    assert [panel.get_title() for panel in panels[:3]] == ["cat, taken for dog", "stage 1, last unit", "stage 2, last unit"]
    np.testing.assert_allclose(panels[1].images[0].get_array(), np.full((4, 4), 10.0))
    write_arrays(folder / "zeros_drsn_cw.npz", {"pictures": BANK})
    with pytest.raises(ValueError, match="is damaged: take it away"):
        read_maps(folder / "zeros_drsn_cw.npz")
