"""The table and the figures of a comparison on pictures; the figures need matplotlib (extra ``experiments``)."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from drsn_jax.core.plotting import COLOURS, save_figure, subplots
from drsn_jax.studies.comparison_figures import confusion_matrices, training_curves
from drsn_jax.studies.comparison_results import config_of
from drsn_jax.studies.comparison_tables import CLEAN, SHORT_TITLES, TITLES
from drsn_jax.studies.figure_titles import about, add_title, results_of
from drsn_jax.studies.image_study import distractors_of, map_files, read_maps
from drsn_jax.studies.tables import unique

Row = dict[str, str]


def draw_pictures(folder: str | Path) -> Iterator[Path]:
    """Draw the figures of a run from its files; yield the file of each once it is drawn."""
    if results_of(folder):
        yield accuracy_by(folder, "distractors")
        yield accuracy_by(folder, "snr_db")
    yield training_curves(folder)
    yield from confusion_matrices(folder)
    for network, file in map_files(folder).items():
        yield zeros_figure(folder, network, file)


def grid_table(folder: str | Path) -> str:
    """Return the mean test accuracy of each method as a Markdown table, with a row for each number of distractors and a column
    for each SNR."""
    rows = _tests(folder)
    levels, kinds = _levels(rows), _kinds(rows)
    head = ["network", "distractors", *(_named(level, kinds[0] if len(kinds) == 1 else "") for level in levels)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for network in unique(rows, "network"):
        for number in sorted(unique(rows, "distractors"), key=int):
            found = [_accuracies(rows, network=network, distractors=number, snr_db=level) for level in levels]
            cells = [f"{np.mean(values):.1f}" if values else "–" for values in found]
            lines.append(f"| {TITLES.get(network, network)} | {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy_by(folder: str | Path, column: str) -> Path:
    """Draw the test accuracy by the number of distractors (a panel for each SNR) or by SNR (a panel for each number).

    ``column`` is ``"distractors"`` or ``"snr_db"``. A line is the mean over trials; its band is the standard deviation.
    """
    rows = _tests(folder)
    other = "snr_db" if column == "distractors" else "distractors"
    steps, groups = (sorted(unique(rows, name), key=float) for name in (column, other))
    columns = min(4, len(groups))
    width = 1.0 + 2.6 * columns
    figure, panels = subplots(
        -(-len(groups) // columns), columns, figsize=(width, 1.1 + 2.6 * -(-len(groups) // columns)), sharey=True
    )
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    for panel, group in zip(panels, groups, strict=False):
        for network in unique(rows, "network"):
            found = [_accuracies(rows, network=network, **{column: step, other: group}) for step in steps]
            means = np.array([np.mean(values) if values else np.nan for values in found])
            spreads = np.array([np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in found])
            colour = COLOURS.get(network)
            panel.plot(range(len(steps)), means, marker="o", markersize=3, color=colour, label=SHORT_TITLES.get(network, network))
            if spreads.any():
                panel.fill_between(range(len(steps)), means - spreads, means + spreads, color=colour, alpha=0.2, linewidth=0)
        panel.set_xticks(range(len(steps)), [_tick(step) for step in steps])
        panel.set_title(f"{group} distractors" if column == "snr_db" else _named(group, ""), fontsize=10)
        panel.grid(alpha=0.3)
        panel.set_xlabel("SNR, dB" if column == "snr_db" else "distractors")
    panels[0].set_ylabel("test accuracy, %")
    panels[0].set_ylim(top=100.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    trials = len({(row["fold"], row["seed"]) for row in rows})
    over = f", mean ± standard deviation of {trials} trials" if trials > 1 else ""
    title = f"Test accuracy by {'SNR' if column == 'snr_db' else 'the number of distractors'}{over}"
    add_title(figure, f"{title}; pixel noise: {', '.join(_kinds(rows))}", about(folder, rows), width)
    return save_figure(figure, Path(folder) / f"accuracy_by_{'snr' if column == 'snr_db' else column}.png")


def zeros_figure(folder: str | Path, network: str, file: Path) -> Path:
    """Draw pictures, and beside each the share of channels that the last unit of each stage set to zero at each position."""
    arrays, units = read_maps(file)
    classes = config_of(folder).get("classes", ())
    last = {name.split("_")[1]: name for name in units}  # the units stand in their order
    pictures, labels, predicted = (arrays[name] for name in ("pictures", "labels", "predicted"))
    width = 1.0 + 1.9 * (1 + len(last))
    figure, panels = subplots(len(pictures), 1 + len(last), figsize=(width, 0.9 + 1.8 * len(pictures)))
    image = None
    for number, picture in enumerate(pictures):
        row = panels[number * (1 + len(last)) : (number + 1) * (1 + len(last))]
        shown = (picture - picture.min()) / max(float(np.ptp(picture)), 1e-9)
        row[0].imshow(shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray")
        row[0].set_title(f"{_class(classes, labels[number])}, taken for {_class(classes, predicted[number])}", fontsize=8)
        for panel, (stage, unit) in zip(row[1:], last.items(), strict=True):
            image = panel.imshow(100 * units[unit][number], cmap="cividis", vmin=0, vmax=100)
            if number == 0:
                panel.set_title(f"stage {int(stage) + 1}, last unit", fontsize=8)
        for panel in row:
            panel.set_xticks([])
            panel.set_yticks([])
    figure.colorbar(image, ax=panels, shrink=0.6, label="channels set to zero, %")
    title = f"{TITLES.get(network, network)}: where features are set to zero, beside the picture"
    add_title(figure, title, about(folder, results_of(folder)), width)
    return save_figure(figure, Path(folder) / f"zeros_{network}.png")


def _tests(folder: str | Path) -> list[Row]:
    """Return the rows of results.csv with the number of distractors as a column."""
    return [{**row, "distractors": distractors_of(row["noise"])} for row in results_of(folder)]


def _accuracies(rows: Sequence[Row], **where: str) -> list[float]:
    return [100 * float(row["test_accuracy"]) for row in rows if all(row[name] == value for name, value in where.items())]


def _levels(rows: Sequence[Row]) -> list[str]:
    return sorted(unique(rows, "snr_db"), key=float, reverse=True)


def _kinds(rows: Sequence[Row]) -> list[str]:
    """Return the kinds of pixel noise of the tests; ``none`` where all are clean."""
    return list(dict.fromkeys(row["noise"].split(" + ")[0] for row in rows if " + " in row["noise"])) or ["none"]


def _tick(step: str) -> str:
    return CLEAN if float(step) == math.inf else f"{float(step):g}"


def _named(level: str, kind: str) -> str:
    return CLEAN if float(level) == math.inf else f"{kind} {float(level):g} dB".strip()


def _class(classes: Sequence[str], number: int) -> str:
    return classes[int(number)] if int(number) < len(classes) else str(number)
