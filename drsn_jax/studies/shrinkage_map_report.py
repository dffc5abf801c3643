"""What a map of shrinkage says: the paired gains as a table and a picture, and what the thresholds do at each level of noise."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from drsn_jax.core.plotting import save_figure, subplots
from drsn_jax.evaluation.metrics import Interval
from drsn_jax.studies.comparison_tables import Row
from drsn_jax.studies.figure_titles import add_title
from drsn_jax.studies.robustness_report import difference, signed
from drsn_jax.studies.shrinkage_map import NONE, TABLES
from drsn_jax.studies.tables import read_rows, unique

NAMES = {"raw": "raw window", "envelope_spectrum": "envelope spectrum", "time_frequency": "bands over time"}
TITLE = "What thresholds add to the same network, in points of balanced accuracy"


def gain(rows: Sequence[Row]) -> Interval:
    """Return the mean difference in points of balanced accuracy, with thresholds minus without, and its 95 % interval over seeds;
    folds, and noises where several are among the rows, are averaged first."""
    return difference([row for row in rows if row["shrinkage"] != NONE], [row for row in rows if row["shrinkage"] == NONE])


def table(folder: str | Path) -> str:
    """Return the gains of one protocol as a Markdown table: a row for each representation and number of labelled windows."""
    rows = _results(folder)
    noises = list(dict.fromkeys(map(_noise, rows)))
    head = ["given", "labelled", "without thresholds, mean", *noises, "all"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for representation in unique(rows, "representation"):
        for labelled in unique(rows, "labelled"):
            own = [row for row in rows if (row["representation"], row["labelled"]) == (representation, labelled)]
            plain = [100 * float(row["balanced_accuracy"]) for row in own if row["shrinkage"] == NONE]
            if not plain:
                continue
            gains = [gain([row for row in own if _noise(row) == noise]) for noise in noises]
            cells = [NAMES[representation], _count(labelled), f"{np.mean(plain):.1f}", *map(signed, gains), signed(gain(own))]
            lines.append(f"| {' | '.join(cells)} |")
    seeds = len(unique(rows, "seed"))
    spread = f"± is the 95 % interval over {seeds} seeds (Student t)" if seeds > 1 else "one seed, so no interval"
    told = (
        f"Paired differences in points of balanced accuracy, mean over folds; {spread}. It says how much the luck of a training "
    )
    told += "matters, and nothing about another machine; of all intervals one in twenty excludes 0 by chance."
    return "\n".join([*lines, "", told])


def threshold_table(folder: str | Path) -> str:
    """Return what the thresholds do, as a Markdown table: for each unit, α and the share of zeros at each level of noise."""
    rows = read_rows(Path(folder) / "thresholds.csv", TABLES["thresholds"])
    levels = sorted({float(row["snr_db"]) for row in rows}, reverse=True)
    ends = (levels[0], levels[-1])
    head = ["given", "unit", *(f"α {_level(x)}" for x in levels), *(f"zeros {_level(x)}" for x in ends), "collapsed"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for representation in unique(rows, "representation"):
        of_kind = [row for row in rows if row["representation"] == representation]
        for unit in unique(of_kind, "unit"):
            own = [row for row in of_kind if row["unit"] == unit]

            def mean(column: str, level: float | None = None, own: Sequence[Row] = own) -> float:
                return float(np.mean([float(row[column]) for row in own if level is None or float(row["snr_db"]) == level]))

            cells = [NAMES[representation], unit.removeprefix("stages_"), *(f"{mean('alpha', level):.2f}" for level in levels)]
            cells += [f"{100 * share:.0f} %" for share in (*(mean("zeros", level) for level in ends), mean("collapsed"))]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [*lines, "", "Mean over seeds and folds, with the most labelled windows; collapsed: α within 0.02 of 0 or 1."]
    )


def picture(folders: Mapping[str, Path], out: str | Path) -> Path:
    """Draw the gains, a panel for each protocol by its title: noises by representation and number of labelled windows."""
    panels_of = {title: _results(folder) for title, folder in folders.items()}
    columns = max(len(unique(rows, "representation")) * len(unique(rows, "labelled")) for rows in panels_of.values())
    width, height = 2.2 + 0.75 * columns, 0.9 + 2.9 * len(folders)
    figure, panels = subplots(len(folders), 1, figsize=(width, height))
    image = None
    for panel, (title, rows) in zip(panels, panels_of.items(), strict=True):
        noises = list(dict.fromkeys(map(_noise, rows)))
        cells = list(dict.fromkeys((row["representation"], row["labelled"]) for row in rows))
        found = [
            [gain([r for r in rows if _noise(r) == noise and (r["representation"], r["labelled"]) == cell]) for cell in cells]
            for noise in noises
        ]
        means = np.array([[value.mean for value in line] for line in found])
        image = panel.imshow(means, cmap="RdBu", vmin=-15, vmax=15, aspect="auto")
        for (i, j), mean in np.ndenumerate(means):
            half = found[i][j].half_width
            sure = not math.isnan(half) and abs(mean) > half
            colour = "white" if abs(mean) > 10 else "black"
            weight = "bold" if sure else "normal"
            panel.text(
                j, i, f"{round(mean, 1) + 0.0:+.1f}", ha="center", va="center", fontsize=8, color=colour, fontweight=weight
            )
        panel.set_yticks(range(len(noises)), noises, fontsize=8)
        panel.set_xticks(
            range(len(cells)), [f"{NAMES[name]}\n{_count(number)}".replace(" ", "\n", 1) for name, number in cells], fontsize=7
        )
        panel.set_title(title, fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.6, label="points")
    below = "blue: thresholds help; bold: the 95 % interval over seeds excludes 0; below: labelled windows of each class"
    add_title(figure, TITLE, below, width)
    return save_figure(figure, Path(out) / "shrinkage_map.png")


def follows(folders: Mapping[str, Path], out: str | Path) -> Path:
    """Draw the mean α of each unit by SNR, a row for each protocol and a column for each representation; bands are the standard
    deviation over windows."""
    rows_of = {title: read_rows(folder / "thresholds.csv", TABLES["thresholds"]) for title, folder in folders.items()}
    kinds = list(dict.fromkeys(row["representation"] for rows in rows_of.values() for row in rows))
    width = 1 + 3.2 * len(kinds)
    figure, panels = subplots(len(rows_of), len(kinds), figsize=(width, 0.9 + 2.4 * len(rows_of)), sharey=True)
    for number, (title, rows) in enumerate(rows_of.items()):
        for column, kind in enumerate(kinds):
            panel, own = panels[number * len(kinds) + column], [row for row in rows if row["representation"] == kind]
            levels = sorted({float(row["snr_db"]) for row in own}, reverse=True)
            for unit in unique(own, "unit"):
                found = [[r for r in own if r["unit"] == unit and float(r["snr_db"]) == level] for level in levels]
                alpha = np.array([np.mean([float(r["alpha"]) for r in at]) for at in found])
                spread = np.array([np.mean([float(r["spread"]) for r in at]) for at in found])
                panel.plot(alpha, marker="o", markersize=3, label=unit.removeprefix("stages_"))
                panel.fill_between(range(len(levels)), alpha - spread, alpha + spread, alpha=0.15, linewidth=0)
            panel.set_xticks(range(len(levels)), [_level(level).removesuffix(" dB") for level in levels], fontsize=8)
            panel.set_title(f"{title}: {NAMES[kind]}", fontsize=8)
            panel.grid(alpha=0.3)
            panel.legend(fontsize=6, title="unit", title_fontsize=6)
    for panel in panels[:: len(kinds)]:
        panel.set_ylabel("α")
        panel.set_ylim(0, 1)
    below = "bands: standard deviation over windows; SNR in dB, Gaussian noise"
    add_title(figure, "The share α of the mean magnitude that becomes the threshold, by SNR", below, width)
    return save_figure(figure, Path(out) / "thresholds.png")


def _results(folder: str | Path) -> list[dict[str, str]]:
    return read_rows(Path(folder) / "results.csv", TABLES["results"])


def _noise(row: Row) -> str:
    return "clean" if float(row["snr_db"]) == math.inf else f"{row['noise']} {float(row['snr_db']):g} dB"


def _level(level: float) -> str:
    return "clean" if level == math.inf else f"{level:g} dB"


def _count(labelled: str) -> str:
    return "all" if labelled == "0" else labelled
