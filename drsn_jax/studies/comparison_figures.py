"""The figures of a comparison; they need matplotlib (extra ``experiments``).

They are drawn from the files of the run alone, so that every figure can be drawn again.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.plotting import COLOURS, class_ticks, save_figure, subplots
from drsn_jax.studies import paper
from drsn_jax.studies.comparison_results import config_of, tables_of
from drsn_jax.studies.comparison_tables import CLEAN, CONDITION, TITLES, Row, noise_name, rows_in, trained_on_range
from drsn_jax.studies.figure_titles import about, add_title, listed, results_of
from drsn_jax.studies.runs import METRICS
from drsn_jax.studies.tables import read_metrics, read_rows, unique

FEW_BARS = 24  # so many bars in a panel have their value written on them

Rows = Sequence[Row]
PANELS = 3  # noises of the test with a confusion matrix of their own; of more one matrix holds all together
NAMED_PANELS = 20  # classes with which a matrix of its own is small enough to stand beside others
CELLS = 60  # classes whose cells hold numbers; with more classes cells become smaller instead of the figure larger
NAMES = 300  # classes that are named at an axis; of more classes every second, third … is named


def draw_all(folder: str | Path) -> Iterator[Path]:
    """Draw the accuracies, training curves and confusion matrices of a run; yield the file of each figure once it is drawn."""
    rows = results_of(folder)
    if rows:  # a table without rows has no bars
        yield accuracy_bars(folder, rows)
    yield training_curves(folder, rows)
    yield from confusion_matrices(folder)


def accuracy_bars(folder: str | Path, rows: Rows | None = None) -> Path:
    """Draw the test accuracy (bars) and training accuracy (dotted outlines) by SNR and network, as the paper's Figs 6-8.

    There is a panel for each kind of noise; whiskers are standard deviations over trials. Where the bars are few, each has its
    value. If the run is of the simulated drivetrain and its windows were split at random, the paper's test accuracy is drawn as a
    black outline. ``rows`` are those of ``results.csv``, read if they are not given.
    """
    from matplotlib.patheffects import withStroke

    rows = results_of(folder) if rows is None else rows
    panel_of = _panel_of(rows)
    kinds = list(dict.fromkeys(map(panel_of, rows)))
    of_kind = {kind: [row for row in rows if panel_of(row) == kind] for kind in kinds}
    levels_of = {kind: sorted(unique(own, "snr_db"), key=float) for kind, own in of_kind.items()}
    networks = unique(rows, "network")
    comparable = _as_in_the_paper(folder, rows)
    count = len(networks) * max(map(len, levels_of.values()))
    width = max(5.5, 1.5 + (0.22 if count > FEW_BARS else 0.45) * count)
    figure, panels = subplots(len(kinds), 1, figsize=(width, 1.2 + 2.9 * len(kinds)))
    for panel, kind in zip(panels, kinds, strict=True):
        levels, own = levels_of[kind], of_kind[kind]
        for i, network in enumerate(networks):
            place = np.arange(len(levels)) + (i - (len(networks) - 1) / 2) * 0.85 / len(networks)
            values = {
                column: [_values(own, column, snr_db=level, network=network) for level in levels]
                for column in ("train_accuracy", "test_accuracy")
            }
            bar = 0.85 / len(networks)
            colour = COLOURS.get(network, "#CC79A7")
            train, test = ([100 * np.mean(v) if v else np.nan for v in found] for found in values.values())
            spread = [100 * np.std(v, ddof=1) if len(v) > 1 else 0 for v in values["test_accuracy"]]
            panel.bar(place, test, bar * 0.92, color=colour, label=TITLES.get(network, network))
            # a white line below the dots, without which they cannot be seen inside a bar of their colour
            outline: dict[str, Any] = {"fill": False, "edgecolor": colour, "linestyle": ":", "linewidth": 1.3}
            panel.bar(place, train, bar * 0.92, **outline, path_effects=[withStroke(linewidth=2.8, foreground="white")])
            if comparable:
                theirs = [paper.paper_accuracy(kind, network, float(level)) or np.nan for level in levels]
                panel.bar(place, theirs, bar * 0.92, fill=False, edgecolor="black", linewidth=0.9, zorder=3)
            if any(spread):
                panel.errorbar(place, test, spread, fmt="none", ecolor="#333333", elinewidth=1, capsize=2)
            if count <= FEW_BARS:
                for x, height, half in zip(place, test, spread, strict=True):
                    if np.isfinite(height):
                        text = f"{height:.1f}" + (f"\n± {half:.1f}" if half else "")
                        panel.text(x, 2, text, ha="center", va="bottom", fontsize=7, color=_on(colour))
        panel.set_ylim(0, 101)
        panel.set_xticks(np.arange(len(levels)), [CLEAN if float(level) == math.inf else f"{float(level):g}" for level in levels])
        panel.set_xlim(-0.6, len(levels) - 0.4)
        panel.set_xlabel("SNR of the test, dB" if kind != "none" else "")
        panel.set_ylabel("accuracy, %")
        panel.set_title(f"{kind} noise" if kind != "none" else "no added noise")
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), frameon=False)
    beside = "; the paper's test accuracy (black outlines)" if comparable else ""
    trials = len({(row["fold"], row["seed"]) for row in rows})
    over = f", mean ± standard deviation of {trials} trials" if trials > 1 else ""
    title = f"Test accuracy (bars) and training accuracy (dotted outlines){over}{beside}"
    add_title(figure, title, about(folder, rows), width)
    return save_figure(figure, Path(folder) / "accuracy.png")


def training_curves(folder: str | Path, rows: Rows | None = None) -> Path:
    """Draw the error in training, validation (if there is one) and test by epoch, as the paper's Fig. 10.

    A curve is the mean over all trials of a network, and the title says over how many and over which noises. A training on a
    range of levels is tested at the first of its levels after every epoch. ``rows`` are those of ``results.csv``, read if they
    are not given.
    """
    rows = results_of(folder) if rows is None else rows
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    titles = {"train": "training (noise as trained)", "validation": "validation", "test": "test"}
    # a trial that was interrupted may have an epoch twice; the last record counts
    held = tables_of(folder)[METRICS]
    held = held._replace(optional=(*held.optional, "protocol", "train_noise", "train_snr_db"))
    found = {
        tuple(record.get(name) for name in (*CONDITION, "train_noise", "epoch")): record for record in read_metrics(folder, held)
    }
    records = list(found.values())
    for record in records:
        for side in titles:
            if record.get(f"{side}_accuracy") is not None:
                values[record["network"], side][record["epoch"]].append(100 * (1 - record[f"{side}_accuracy"]))
    sides = [side for side in titles if any(side == other for _, other in values)] or ["train", "test"]
    figure, panels = subplots(1, len(sides), figsize=(4.5 * len(sides), 3.6), sharey=True)
    for (network, side), by_epoch in values.items():
        panel = panels[sides.index(side)]
        epochs = sorted(by_epoch)
        errors = [np.mean(by_epoch[epoch]) for epoch in epochs]
        marker = "o" if len(epochs) == 1 else None
        panel.plot(epochs, errors, marker=marker, color=COLOURS.get(network), label=TITLES.get(network, network), linewidth=1.5)
    for panel, side in zip(panels, sides, strict=True):
        panel.set_title(titles[side])
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("error, %")
    highest = max((max(line.get_ydata()) for panel in panels for line in panel.lines), default=0)
    panels[0].set_ylim(0, 1.05 * highest or 1)  # once all lines are drawn: the axis is shared
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, min(len(labels), 2 * len(sides))), frameon=False)
    of = {(record["network"], record["noise"], record["snr_db"], record["fold"], record["seed"]) for record in records}
    each = max((sum(key[0] == network for key in of) for network in {key[0] for key in of}), default=0)
    noises = list(dict.fromkeys(noise_name({name: str(value) for name, value in r.items()}) for r in records))
    over = f", mean of {each} trainings" if each > 1 else ""
    tested = "" if not noises else f": {noises[0]}" if len(noises) == 1 else f" over {listed(noises)}"
    ranged = any(trained_on_range({"train_snr_db": str(r.get("train_snr_db"))}) for r in records)
    add_title(
        figure,
        f"Error by epoch{over}{tested}{' in the test' if ranged else ''}",
        about(folder, rows),
        4.5 * len(sides),
    )
    return save_figure(figure, Path(folder) / "training.png")


def confusion_matrices(folder: str | Path) -> list[Path]:
    """Draw for each network which share of each true class was taken for each class, over all its trials; return the files.

    Up to three noises of the test have a matrix each, side by side; of more noises, or of many classes, one matrix holds all
    together, as its title says. Beside each true class stands the number of its windows.
    """
    classes = config_of(folder).get("classes", ())
    held = tables_of(folder, classes)["confusion"]
    rows = read_rows(Path(folder) / "confusion.csv", held, (*CONDITION, "true", "predicted", "windows"))
    classes = classes or list(dict.fromkeys(row[side] for side in ("true", "predicted") for row in rows))
    files = []
    for network in unique(rows, "network"):
        own = [row for row in rows if row["network"] == network]
        noises = list(dict.fromkeys(map(noise_name, own)))
        each = 1 < len(noises) <= PANELS and len(classes) <= NAMED_PANELS
        shown = [rows_in(own, noise) for noise in noises] if each else [own]
        size = 2.2 + 0.55 * min(len(classes), CELLS)
        width = (size + 0.6) * len(shown)
        figure, panels = subplots(1, len(shown), figsize=(width, size))
        for panel, of_panel, noise in zip(panels, shown, noises, strict=False):
            image = _confusion(panel, of_panel, classes, 72 * (size - 2.2) / len(classes))
            if each:
                panel.set_title(noise, fontsize=9)
        figure.colorbar(image, ax=panels, shrink=0.8)
        trials = len({(row["fold"], row["seed"]) for row in own})
        together = trials * (1 if each else len(noises)) > 1
        over = listed(noises) + (f", {trials} trials" if trials > 1 else "") + (", all together" if together else "")
        add_title(figure, f"{TITLES.get(network, network)}: share of each true class, %, {over}", about(folder, own), width)
        files.append(save_figure(figure, Path(folder) / f"confusion_{network}.png"))
    return files


def _confusion(panel: Any, rows: Rows, classes: Sequence[str], cell: float) -> Any:
    """Draw the confusion matrix of some rows; return its image, for a colour bar. ``cell`` is the size of a cell in points."""
    number = {name: i for i, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)))
    for row in rows:
        counts[number[row["true"]], number[row["predicted"]]] += int(row["windows"])
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = panel.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    for i, j in np.ndindex(shares.shape):
        if shares[i, j] >= 0.5 and len(classes) <= CELLS:
            colour = "white" if shares[i, j] < 55 else "black"
            panel.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    names = {"most": NAMES, "fontsize": min(10.0, max(5.0, 0.9 * cell))}
    class_ticks(panel.xaxis, classes, rotation=45, ha="right", rotation_mode="anchor", **names)
    counted = [f"{name} ({int(n)})" for name, n in zip(classes, counts.sum(1), strict=True)]
    class_ticks(panel.yaxis, counted, **names)
    panel.set_xlabel("predicted")
    panel.set_ylabel("true (windows)")
    return image


def _on(colour: str) -> str:
    """Return the colour of text that can be read on a colour, ``"#rrggbb"``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 130 else "black"


def _panel_of(rows: Rows) -> Callable[[Row], str]:
    """Return a function that gives the panel of a row: its kind of noise, or ``none``.

    Clean windows stand beside the levels of the only kind, and of the kind on a range of which their network was trained.
    """
    kinds = [kind for kind in unique(rows, "noise") if kind != "none"]

    def panel(row: Row) -> str:
        if row["noise"] != "none":
            return row["noise"]
        return row["train_noise"] if trained_on_range(row) else kinds[0] if len(kinds) == 1 else "none"

    return panel


def _as_in_the_paper(folder: str | Path, rows: Rows) -> bool:
    """Return whether a run is of the simulated drivetrain, which has the paper's classes, and split as in the paper."""
    asked = config_of(folder)
    own = asked.get("recordings", True) or asked.get("dataset")
    return not own and all(row.get("protocol") == paper.PROTOCOL for row in rows)


def _values(rows: Rows, column: str, **where: str) -> list[float]:
    return [float(row[column]) for row in rows if all(row[name] == value for name, value in where.items())]
