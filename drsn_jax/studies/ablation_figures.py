"""Figures of an ablation, drawn from its tables; they need matplotlib (extra ``experiments``)."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import FileWarning, UserError
from drsn_jax.core.files import read_arrays
from drsn_jax.core.plotting import save_figure, subplots
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.ablation_plan import NO_RULE, RULES, TABLES, TRAINING_COLUMNS
from drsn_jax.studies.tables import read_rows, unique

Row = dict[str, str]
RESULTS = (*TRAINING_COLUMNS, "test_noise", "test_snr_db", "accuracy")  # the columns that the figures and the report need
# the palette of Okabe & Ito with a marker for each: told apart with red-green blindness and without colour too
STYLES = [
    ("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#D55E00", "P"), ("#999999", "X"),
]  # fmt: skip
RULE_TITLES = {"soft": "soft", "hard": "hard", "garrote": "garrote", "firm": "firm", NO_RULE: "none (ResNet)"}


def draw_all(folder: str | Path) -> dict[str, Path]:
    """Draw every figure for which the run has rows and return their files by name.

    The names are ``levels``, ``kinds``, ``range``, ``rules``, ``thresholds`` and ``window``. The functions for single figures
    return None if there are no rows for theirs.
    """
    files = {
        "levels": level_matrix(folder),
        "kinds": kind_matrix(folder),
        "range": range_curves(folder),
        "rules": rule_curves(folder),
        "thresholds": threshold_curves(folder),
        "window": window_picture(folder),
    }
    return {name: file for name, file in files.items() if file is not None}


def level_matrix(folder: str | Path) -> Path | None:
    """Draw the accuracy of each training level at each test level, a panel for each kind of noise."""
    rows = [row for row in _soft(folder) if row["train_noise"] in ("none", row["test_noise"])]
    kinds = unique(rows, "test_noise")
    if not kinds:
        return None
    trained, tested = levels(rows, "train_snr_db"), levels(rows, "test_snr_db")
    figure, panels = subplots(
        1, len(kinds), figsize=(2.2 + (0.75 * len(tested) + 0.9) * len(kinds), 1.9 + 0.5 * len(trained)), sharey=True
    )
    for panel, kind in zip(panels, kinds, strict=True):
        values = np.array(
            [[mean(rows, "accuracy", test_noise=kind, train_snr_db=t, test_snr_db=s) for s in tested] for t in trained]
        )
        image = heat_map(panel, 100 * values, [label(s) for s in tested], [label(t) for t in trained])
        panel.set_xlabel("SNR of the test, dB")
        panel.set_title(f"{kind} noise")
    panels[0].set_ylabel("SNR of the training, dB")
    figure.colorbar(image, ax=panels, label="test accuracy, %", shrink=0.9)
    return save_figure(figure, Path(folder) / "levels.png")


def kind_matrix(folder: str | Path) -> Path | None:
    """Draw the accuracy of networks that are trained in one kind of noise and tested in each.

    It is the mean over the levels, which are equal in training and test. Return None if there is only one kind.
    """
    rows = matched(_soft(folder))
    trained, tested = unique(rows, "train_noise"), unique(rows, "test_noise")
    trained = [kind for kind in trained if kind != "none"]
    if len(trained) < 2:
        return None
    values = np.array([[mean(rows, "accuracy", train_noise=t, test_noise=s) for s in tested] for t in trained])
    figure, (panel,) = subplots(1, 1, figsize=(3.0 + 0.95 * len(tested), 2.0 + 0.6 * len(trained)))
    image = heat_map(panel, 100 * values, tested, trained)
    panel.set_xlabel("noise of the test")
    panel.set_ylabel("noise of the training")
    figure.colorbar(image, label="test accuracy, %", shrink=0.9)
    return save_figure(figure, Path(folder) / "kinds.png")


def range_curves(folder: str | Path) -> Path | None:
    """Draw the accuracy over the SNR of the test, a curve for each training (clean, on a range, at each level) and a panel for
    each kind of noise."""
    rows = [row for row in _soft(folder) if row["train_noise"] in ("none", row["test_noise"])]
    trained = levels(rows, "train_snr_db")
    if not any(".." in level for level in trained):
        return None
    kinds = unique(rows, "test_noise")
    names = {level: "trained clean" if level == "inf" else f"trained at {label(level)} dB" for level in trained}

    def draw(panel: Any, kind: str) -> None:
        for i, level in enumerate(trained):
            curve(panel, i, [r for r in rows if r["train_snr_db"] == level and r["test_noise"] == kind], names[level])

    return _panels(folder, "range.png", kinds, draw)


def rule_curves(folder: str | Path) -> Path | None:
    """Draw the accuracy over the SNR of the test, a curve for each rule and a panel for each level at which they were trained."""
    rows = read_rows(Path(folder) / "results.csv", TABLES["results"], RESULTS)
    others = [row for row in rows if row["rule"] != "soft"]
    if not others:
        return None

    def draw(panel: Any, level: str) -> None:
        rows_there = rows_of_rules(rows, level)
        for i, rule in enumerate(RULES):
            if of_rule := [row for row in rows_there if row["rule"] == rule]:
                curve(panel, i, of_rule, RULE_TITLES[rule])

    def title(level: str) -> str:
        noise = rows_of_rules(rows, level)[0]["test_noise"]
        return f"trained clean, tested in {noise} noise" if level == "inf" else f"trained at {label(level)} dB, {noise} noise"

    return _panels(folder, "rules.png", levels(others, "train_snr_db"), draw, title)


def matched(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose test has the same SNR as the training."""
    return [row for row in rows if row["train_snr_db"] == Noise("gaussian", float(row["test_snr_db"])).level]


def rows_of_rules(rows: Sequence[Row], level: str) -> list[Row]:
    """Return the rows of all rules that were trained at a level, tested in the kind of noise that they were trained in.

    For the level ``inf`` (clean) it is the first kind of noise in the tests.
    """
    noise = next(row["train_noise"] for row in rows if row["rule"] != "soft" and row["train_snr_db"] == level)
    tested = rows[0]["test_noise"] if noise == "none" else noise
    return [r for r in rows if r["train_snr_db"] == level and r["train_noise"] == noise and r["test_noise"] == tested]


def threshold_curves(folder: str | Path) -> Path | None:
    """Draw mean α and the share of zeros of every unit over the SNR of the input, for the rows of ``rows_of_thresholds``."""
    rows = rows_of_thresholds(folder)
    if not rows:
        return None
    trained = rows[0]["train_snr_db"]
    units, tested = unique(rows, "unit"), levels(rows, "test_snr_db")
    figure, panels = subplots(1, 2, figsize=(3.2 + 1.1 * len(tested) * 2, 2.0 + 0.3 * len(units)), sharey=True)
    for panel, column, title in ((panels[0], "alpha", "mean α"), (panels[1], "zeros", "share set to zero, %")):
        factor = 1 if column == "alpha" else 100
        values = np.array([[factor * mean(rows, column, unit=unit, test_snr_db=s) for s in tested] for unit in units])
        image = heat_map(panel, values, [label(s) for s in tested], units, high=1.0 * factor, digits=2 if factor == 1 else 0)
        panel.set_xlabel("SNR of the input, dB")
        panel.set_title(title)
        figure.colorbar(image, ax=panel, shrink=0.9)
    figure.suptitle(f"thresholds of the network trained at {label(trained)} dB", fontsize=11)
    return save_figure(figure, Path(folder) / "thresholds.png")


def window_picture(folder: str | Path) -> Path | None:
    """Draw one test window as the network is given it and, for the last unit of each stage, the channel with the largest features
    before and after the shrinkage, over time in seconds, or in samples where the run does not tell its sampling rate."""
    file = Path(folder) / "shrinkage.npz"
    if not file.exists():
        return None
    try:
        arrays = read_arrays(file)
        window = arrays["window"]
        names = [name.removesuffix(".before") for name in arrays if name.endswith(".before")]
        # the last unit of each stage
        last = list({name.rsplit("_", 1)[0]: name for name in names}.values())
        pairs = {name: (arrays[f"{name}.before"], arrays[f"{name}.after"]) for name in last}
        rate = float(arrays["sampling_rate"]) if "sampling_rate" in arrays else 0.0
    except (UserError, KeyError) as error:
        warnings.warn(f"the picture of a window is left out: {error}", FileWarning, stacklevel=2)
        return None
    figure, panels = subplots(1 + len(pairs), 1, figsize=(9, 1.7 * (1 + len(pairs))))
    duration = len(window) / (rate or 1.0)
    panels[0].plot(np.linspace(0, duration, len(window), endpoint=False), window[:, 0], color="0.3", linewidth=0.6)
    panels[0].set_title("a test window with the noise of the lowest SNR, not yet standardised", fontsize=10)
    panels[0].set_ylabel("signal")
    for panel, (name, (before, after)) in zip(panels[1:], pairs.items(), strict=True):
        channel = int(np.argmax(np.abs(before).mean(0)))
        time = np.linspace(0, duration, len(before), endpoint=False)  # later units have fewer positions
        panel.plot(time, before[:, channel], color="#E69F00", linewidth=1.0, label="before the shrinkage")
        panel.plot(time, after[:, channel], color="#0072B2", linewidth=1.2, label="after the shrinkage")
        zeros = 100 * np.mean(after[:, channel] == 0)
        panel.set_title(f"{name}, channel {channel}: {zeros:.0f} % set to zero", fontsize=10)
        panel.set_ylabel("feature")
    if pairs:
        figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    panels[-1].set_xlabel("time, s" if rate else "time, samples")
    for panel in panels:
        panel.margins(x=0)
    return save_figure(figure, Path(folder) / "window.png")


def rows_of_thresholds(folder: str | Path) -> list[Row]:
    """Return the rows for the figure of the thresholds: soft rule, trained and inspected in the same kind of noise.

    They are those of the network trained on a range of SNRs if there is one, else of the one trained at the lowest SNR.
    """
    rows = [r for r in read_rows(Path(folder) / "thresholds.csv", TABLES["thresholds"]) if r["rule"] == "soft"]
    rows = [r for r in rows if r["train_noise"] in (r["test_noise"], "none")]
    trained = levels(rows, "train_snr_db")
    shown = next((level for level in trained if ".." in level), next(iter(trained), None))
    return [r for r in rows if r["train_snr_db"] == shown]


def heat_map(
    panel: Any, values: np.ndarray, columns: Sequence[str], rows: Sequence[str], high: float = 100.0, digits: int = 0
) -> Any:
    """Draw values ``(rows, columns)`` from 0 to ``high`` as colours and numbers; return the image, for a colour bar."""
    image = panel.imshow(values, cmap="cividis", vmin=0, vmax=high, aspect="auto")
    for i, j in np.ndindex(values.shape):
        if np.isfinite(values[i, j]):
            colour = "white" if values[i, j] < 0.55 * high else "black"
            panel.text(j, i, f"{values[i, j]:.{digits}f}", ha="center", va="center", color=colour, fontsize=8)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    return image


def curve(panel: Any, number: int, rows: Sequence[Row], name: str) -> None:
    """Draw the accuracy over the SNR of the test in the style ``number``; clean windows stand at the end."""
    colour, marker = STYLES[number % len(STYLES)]
    tested = levels(rows, "test_snr_db")
    values = [100 * mean(rows, "accuracy", test_snr_db=level) for level in tested]
    panel.plot(range(len(tested)), values, color=colour, marker=marker, markersize=5, linewidth=1.4, label=name)
    panel.set_xticks(range(len(tested)), [label(level) for level in tested])


def _panels(
    folder: str | Path,
    name: str,
    kinds: Sequence[str],
    draw: Callable[[Any, str], None],
    title: Callable[[str], str] = lambda kind: f"{kind} noise",
) -> Path:
    figure, panels = subplots(1, len(kinds), figsize=(1.0 + 4.6 * len(kinds), 4.2), sharey=True)
    for panel, kind in zip(panels, kinds, strict=True):
        draw(panel, kind)
        panel.set_title(title(kind))
        panel.set_xlabel("SNR of the test, dB")
        panel.grid(alpha=0.3)
        panel.set_ylim(0, 101)
    panels[0].set_ylabel("test accuracy, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), frameon=False)
    return save_figure(figure, Path(folder) / name)


def levels(rows: Sequence[Row], column: str) -> list[str]:
    """Return the different levels in a column in order: ranges first, then from the lowest SNR to clean."""
    return sorted(unique(rows, column), key=lambda level: (-math.inf if ".." in level else float(level), level))


def label(level: str) -> str:
    """Return a level of a table as people read it: ``clean`` for ``inf``, ``-5 to 5`` for ``-5..5``."""
    if ".." in level:
        return level.replace("..", " to ")
    return "clean" if math.isinf(float(level)) else f"{float(level):g}"


def mean(rows: Sequence[Row], column: str, **where: str) -> float:
    """Return the mean of a column over the rows with the values ``where`` (the seeds, for example), NaN if there are none."""
    values = [float(row[column]) for row in rows if all(row[name] == value for name, value in where.items())]
    return float(np.mean(values)) if values else math.nan


def _soft(folder: str | Path) -> list[Row]:
    return [row for row in read_rows(Path(folder) / "results.csv", TABLES["results"], RESULTS) if row["rule"] == "soft"]
