"""Figures are drawn from hand-written files."""

import csv
import json

import numpy as np
import pytest

from drsn_jax.studies import comparison_figures

NETWORKS = ("spectrum_logistic", "resnet", "drsn_cw")


def write(file, rows):
    with open(file, "w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folder(tmp_path):
    """Two kinds of noise, two levels, two seeds; the spectrum has no curve."""
    trials = [
        {"network": network, "noise": noise, "snr_db": snr_db, "fold": "0", "seed": seed}
        for noise in ("gaussian", "pink")
        for snr_db in (5.0, -5.0)
        for seed in (0, 1)
        for network in NETWORKS
    ]
    accuracy = lambda trial: 0.5 + 0.04 * trial["snr_db"] + 0.1 * trial["seed"]  # noqa: E731
    write(
        tmp_path / "results.csv",
        [{**trial, "train_accuracy": accuracy(trial) + 0.1, "test_accuracy": accuracy(trial)} for trial in trials],
    )
    pairs = [("a", "a", 3), ("a", "b", 1), ("b", "a", 0), ("b", "b", 4)]
    names = ("true", "predicted", "windows")
    write(tmp_path / "confusion.csv", [{**t, **dict(zip(names, pair, strict=True))} for t in trials for pair in pairs])
    with open(tmp_path / "metrics.jsonl", "w") as file:
        for trial in trials:
            for epoch in (1, 2, 3):
                if trial["network"] != "spectrum_logistic":
                    record = {**trial, "epoch": epoch, "train_accuracy": epoch / 4, "test_accuracy": epoch / 5}
                    file.write(json.dumps(record) + "\n")
    return tmp_path


def test_every_figure_is_a_picture(folder):
    files = list(comparison_figures.draw_all(folder))
    assert [file.name for file in files] == [
        "accuracy.png",
        "training.png",
        *(f"confusion_{network}.png" for network in NETWORKS),
    ]
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert file.stat().st_size > 5000


def test_bars_are_the_means_by_level(folder, drawn):
    comparison_figures.accuracy_bars(folder)
    figure = drawn["accuracy.png"]
    assert [panel.get_title() for panel in figure.axes] == ["gaussian noise", "pink noise"]
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["-5", "5"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("SNR of the test, dB", "accuracy, %")
    assert {text.get_text() for text in panel.texts} == {"35.0\n± 7.1", "75.0\n± 7.1"}
    assert "of 2 trials" in figure.get_suptitle().replace("\n", " ")
    heights = [patch.get_height() for patch in panel.patches]
    np.testing.assert_allclose(heights, [35, 75, 45, 85] * 3)  # test, then training, of each network
    for outline in [patch for patch in panel.patches if not patch.get_fill()]:  # seen inside a bar of its colour, too
        (stroke,) = outline.get_path_effects()
        assert (stroke._gc["foreground"], stroke._gc["linewidth"]) == ("white", 2.8)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "spectrum + logistic regression",
        "ResNet",
        "DRSN-CW",
    ]


def test_curves_take_the_last_record_of_an_interrupted_trial(folder, drawn):
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    lines = [json.dumps({**first, "test_accuracy": 0.0}), *(folder / "metrics.jsonl").read_text().splitlines()]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    comparison_figures.training_curves(folder)
    train, test = drawn["training.png"].axes
    assert [line.get_label() for line in test.get_lines()] == ["ResNet", "DRSN-CW"]
    for line in test.get_lines():
        np.testing.assert_allclose(line.get_xydata(), [[1, 80], [2, 60], [3, 40]])
    np.testing.assert_allclose(train.get_lines()[0].get_ydata(), [75, 50, 25])


def test_confusion_shows_shares_of_the_true_class(folder, drawn):
    comparison_figures.confusion_matrices(folder)
    panel = drawn["confusion_drsn_cw.png"].axes[0]
    np.testing.assert_allclose(panel.get_images()[0].get_array(), [[75, 25], [0, 100]])
    assert {text.get_text() for text in panel.texts} == {"75", "25", "100"}
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("predicted", "true (windows)")
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a (32)", "b (32)"]  # of 2 kinds, 2 levels and 2 seeds
    title = drawn["confusion_drsn_cw.png"].get_suptitle().replace("\n", " ")
    assert "gaussian 5 dB, gaussian -5 dB, pink 5 dB, pink -5 dB, 2 trials, all together" in title


def test_few_noises_have_a_confusion_matrix_each(folder, drawn):
    with open(folder / "confusion.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["noise"] == "gaussian"]
    for row in rows:
        if (row["snr_db"], row["true"], row["predicted"]) == ("-5.0", "a", "b"):
            row["windows"] = "9"
    write(folder / "confusion.csv", rows)
    comparison_figures.confusion_matrices(folder)
    figure = drawn["confusion_resnet.png"]
    panels = [panel for panel in figure.axes if panel.get_images()]
    assert [panel.get_title() for panel in panels] == ["gaussian 5 dB", "gaussian -5 dB"]
    for panel, expected in zip(panels, ([75, 25], [25, 75]), strict=True):
        np.testing.assert_allclose(panel.get_images()[0].get_array(), [expected, [0, 100]])
    assert [label.get_text() for label in panels[1].get_yticklabels()] == ["a (24)", "b (8)"]  # of two seeds
    assert "gaussian 5 dB, gaussian -5 dB, 2 trials, all together" in figure.get_suptitle().replace("\n", " ")


def test_the_results_are_read_once_for_all_figures(folder, monkeypatch):
    read, results_of = [], comparison_figures.results_of
    monkeypatch.setattr(comparison_figures, "results_of", lambda folder: read.append(folder) or results_of(folder))
    list(comparison_figures.draw_all(folder))
    assert len(read) == 1


def test_clean_windows_stand_beside_the_levels(folder, drawn):
    """Under their name and not as inf; the title names the data, the split and the range of the training."""
    with open(folder / "results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["noise"] == "gaussian"]
    ranged = {"protocol": "by time", "train_noise": "gaussian", "train_snr_db": "-5..5"}
    clean = [{**row, "noise": "none", "snr_db": "inf"} for row in rows if row["snr_db"] == "5.0"]
    write(folder / "results.csv", [{**row, **ranged} for row in (*rows, *clean)])
    (folder / "config.json").write_text(json.dumps({"recordings": "/data/pumps", "dataset": None}))
    comparison_figures.accuracy_bars(folder)
    (panel,) = drawn["accuracy.png"].axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["-5", "5", "clean"]
    assert drawn["accuracy.png"].get_suptitle().endswith("pumps; split by time, trained at -5 to 5 dB")


def test_curves_say_what_they_are_the_mean_of(folder, drawn):
    comparison_figures.training_curves(folder)
    title = drawn["training.png"].get_suptitle().replace("\n", " ")
    assert title == "Error by epoch, mean of 8 trainings over gaussian 5 dB, gaussian -5 dB, pink 5 dB, pink -5 dB"


def test_validation_has_a_panel_where_there_is_one(folder, drawn):
    file = folder / "metrics.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(record | {"validation_accuracy": record["epoch"] / 10}) + "\n" for record in records))
    comparison_figures.training_curves(folder)
    panels = drawn["training.png"].axes
    assert [panel.get_title() for panel in panels] == ["training (noise as trained)", "validation", "test"]
    np.testing.assert_allclose(panels[1].lines[0].get_ydata(), [90, 80, 70])
    np.testing.assert_allclose(panels[2].lines[0].get_ydata(), [80, 60, 40])


@pytest.mark.parametrize(
    ("config", "protocol", "shown"),
    [
        ({"recordings": None, "dataset": None}, "by random-windows", True),
        ({"recordings": None, "dataset": None}, "by recording", False),
        ({"recordings": "mine", "dataset": None}, "by random-windows", False),
        ({"recordings": None, "dataset": "cwru"}, "by random-windows", False),
        ({}, "by random-windows", False),
    ],
)
def test_the_papers_bars_stand_beside_what_is_comparable(folder, drawn, config, protocol, shown):
    (folder / "config.json").write_text(json.dumps(config))
    with open(folder / "results.csv", newline="") as file:
        rows = [{**row, "protocol": protocol} for row in csv.DictReader(file)]
    write(folder / "results.csv", rows)
    comparison_figures.accuracy_bars(folder)
    figure = drawn["accuracy.png"]
    assert ("the paper's test accuracy" in figure.get_suptitle()) is shown
    bars = [bar for bar in figure.axes[1].patches if not bar.get_fill() and bar.get_linestyle() != ":"]
    black = [bar.get_height() for bar in bars if bar.get_edgecolor() == (0, 0, 0, 1)]
    if shown:  # pink noise; ResNet and DRSN-CW at -5 and 5 dB, the spectrum has none there
        assert [height for height in black if np.isfinite(height)] == [60.7, 98.3, 66.1, 98.9]
    else:
        assert black == []


@pytest.mark.parametrize(("count", "texts", "named"), [(60, 60, 60), (61, 0, 61), (700, 0, 234)])
def test_many_classes_make_no_larger_figure(tmp_path, monkeypatch, count, texts, named):
    """Of more than 60 classes the cells become smaller, and hold no numbers."""
    drawn = []
    monkeypatch.setattr(comparison_figures, "save_figure", lambda figure, file: drawn.append(figure) or file)
    cells = [
        {"network": "resnet", "noise": "gaussian", "snr_db": 0, "fold": "0", "seed": 0, "true": i, "predicted": i, "windows": 3}
        for i in range(count)
    ]
    write(tmp_path / "confusion.csv", cells)
    comparison_figures.confusion_matrices(tmp_path)
    (figure,) = drawn
    assert max(figure.get_size_inches()) < 37
    panel = figure.axes[0]
    assert len(panel.texts) == texts
    assert len(panel.get_xticks()) == len(panel.get_yticks()) == named
