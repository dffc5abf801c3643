"""The figures of a comparison; they need matplotlib (extra ``experiments``).

They are drawn from the files of the run alone, so that every figure can be drawn again.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from drsn_jax.core.plotting import COLOURS, class_ticks, save_figure, subplots
from drsn_jax.studies import paper
from drsn_jax.studies.comparison_results import feature_files
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.runs import read_metrics, read_rows, unique

CELLS = 60  # classes whose cells hold numbers; with more classes cells become smaller instead of the figure larger
LEGEND = 64  # classes that a legend names: so many can be told apart by colour and marker
NAMES = 300  # classes that are named at an axis; of more classes every second, third … is named


def draw_all(folder: str | Path) -> list[Path]:
    """Draw the accuracies, training curves and confusion matrices of a run; return the files of the figures."""
    return [accuracy_bars(folder), training_curves(folder), *confusion_matrices(folder)]


def accuracy_bars(folder: str | Path) -> Path:
    """Draw the test accuracy (bars) and training accuracy (dotted outlines) by SNR and network, as the paper's Figs 6-8.

    There is a panel for each kind of noise; whiskers are standard deviations over trials. If the run is of the simulated
    drivetrain and its windows were split at random, the paper's test accuracy is drawn as a black outline.
    """
    rows = read_rows(Path(folder) / "results.csv")
    kinds = unique(rows, "noise")
    levels_of = {kind: sorted(unique([r for r in rows if r["noise"] == kind], "snr_db"), key=float) for kind in kinds}
    networks = unique(rows, "network")
    comparable = _as_in_the_paper(folder, rows)
    width = max(5.5, 1.5 + 0.22 * len(networks) * max(map(len, levels_of.values())))
    figure, panels = subplots(len(kinds), 1, figsize=(width, 1.0 + 2.9 * len(kinds)))
    for panel, kind in zip(panels, kinds, strict=True):
        levels = levels_of[kind]
        for i, network in enumerate(networks):
            place = np.arange(len(levels)) + (i - (len(networks) - 1) / 2) * 0.85 / len(networks)
            values = {
                column: [_values(rows, column, noise=kind, snr_db=level, network=network) for level in levels]
                for column in ("train_accuracy", "test_accuracy")
            }
            bar = 0.85 / len(networks)
            colour = COLOURS.get(network, "#CC79A7")
            train, test = ([100 * np.mean(v) if v else np.nan for v in found] for found in values.values())
            spread = [100 * np.std(v, ddof=1) if len(v) > 1 else 0 for v in values["test_accuracy"]]
            panel.bar(place, test, bar * 0.92, color=colour, label=TITLES.get(network, network))
            panel.bar(place, train, bar * 0.92, fill=False, edgecolor=colour, linestyle=":", linewidth=1.2)
            if comparable:
                theirs = [paper.paper_accuracy(kind, network, float(level)) or np.nan for level in levels]
                panel.bar(place, theirs, bar * 0.92, fill=False, edgecolor="black", linewidth=0.9, zorder=3)
            if any(spread):
                panel.errorbar(place, test, spread, fmt="none", ecolor="#333333", elinewidth=1, capsize=2)
        panel.set_ylim(0, 101)
        panel.set_xticks(np.arange(len(levels)), [f"{float(level):g}" for level in levels])
        panel.set_xlim(-0.6, len(levels) - 0.4)
        panel.set_xlabel("SNR, dB" if kind != "none" else "")
        panel.set_ylabel("accuracy, %")
        panel.set_title(f"{kind} noise" if kind != "none" else "no added noise")
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), frameon=False)
    beside = "; the paper's test accuracy (black outlines)" if comparable else ""
    figure.suptitle(f"Test accuracy (bars) and training accuracy (dotted outlines){beside}", fontsize=11)
    return save_figure(figure, Path(folder) / "accuracy.png")


def training_curves(folder: str | Path) -> Path:
    """Draw the error in training, validation (if there is one) and test by epoch, as the paper's Fig. 10.

    A curve is the mean over all trials of a network.
    """
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    titles = {"train": "training (noise as trained)", "validation": "validation", "test": "test"}
    # a trial that was interrupted may have an epoch twice; the last record counts
    trials = ("network", "noise", "snr_db", "fold", "seed", "epoch")
    for record in {tuple(record[name] for name in trials): record for record in read_metrics(folder)}.values():
        for side in titles:
            if f"{side}_accuracy" in record:
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
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)
    return save_figure(figure, Path(folder) / "training.png")


def confusion_matrices(folder: str | Path) -> list[Path]:
    """Draw for each network which share of each true class was taken for each class, over all its trials; return the files."""
    rows = read_rows(Path(folder) / "confusion.csv")
    classes = unique(rows, "true")
    number = {name: i for i, name in enumerate(classes)}
    files = []
    for network in unique(rows, "network"):
        counts = np.zeros((len(classes), len(classes)))
        for row in rows:
            if row["network"] == network:
                counts[number[row["true"]], number[row["predicted"]]] += int(row["windows"])
        shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        size = 2.2 + 0.55 * min(len(classes), CELLS)
        cell = 72 * (size - 2.2) / len(classes)  # points
        figure, (panel,) = subplots(1, 1, figsize=(size + 0.6, size))
        image = panel.imshow(shares, cmap="cividis", vmin=0, vmax=100)
        for i, j in np.ndindex(shares.shape):
            if shares[i, j] >= 0.5 and len(classes) <= CELLS:
                colour = "white" if shares[i, j] < 55 else "black"
                panel.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=8)
        names = {"most": NAMES, "fontsize": min(10.0, max(5.0, 0.9 * cell))}
        class_ticks(panel.xaxis, classes, rotation=45, ha="right", rotation_mode="anchor", **names)
        class_ticks(panel.yaxis, classes, **names)
        panel.set_xlabel("predicted")
        panel.set_ylabel("true")
        conditions = len({(row["noise"], row["snr_db"]) for row in rows})
        over = f" ({conditions} conditions)" if conditions > 1 else ""
        panel.set_title(f"{TITLES.get(network, network)}: share of each true class, %{over}", fontsize=11)
        figure.colorbar(image, shrink=0.8)
        files.append(save_figure(figure, Path(folder) / f"confusion_{network}.png"))
    return files


def _as_in_the_paper(folder: str | Path, rows: list[dict[str, str]]) -> bool:
    """Return whether a run is of the simulated drivetrain, which has the paper's classes, and split as in the paper."""
    config = Path(folder) / "config.json"
    asked = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    own = asked.get("recordings", True) or asked.get("dataset")
    return not own and all(row.get("protocol") == paper.PROTOCOL for row in rows)


def _values(rows: list[dict[str, str]], column: str, **where: str) -> list[float]:
    return [float(row[column]) for row in rows if all(row[name] == value for name, value in where.items())]


# the palette of Okabe & Ito, and as many markers
CLASS_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def _class_style(number: int) -> dict[str, str]:
    """Return the colour and the marker of a class. The colours repeat after eight classes, each time with the next marker, so
    that 64 classes can be told apart."""
    turn, colour = divmod(number, len(CLASS_COLOURS))
    return {"color": CLASS_COLOURS[colour], "marker": MARKERS[(colour + turn) % len(MARKERS)]}


def tsne_figure(folder: str | Path, iterations: int = 1000) -> list[Path]:
    """Draw the pooled features of test windows by t-SNE, a panel for each network whose features were kept, coloured by class.

    Distances between far groups, and the sizes of groups, mean nothing in such a figure. ``iterations`` are those of t-SNE.
    Return the file in a list, which is empty if no features were kept or there are fewer than three windows.

    Source: van der Maaten and Hinton, JMLR 9, 2008.
    """
    files = feature_files(folder)
    if not files:
        return []
    columns = min(3, len(files))
    rows = -(-len(files) // columns)
    figure, panels = subplots(rows, columns, figsize=(3.6 * columns + 0.4, 3.5 * rows + 0.9))
    for panel in panels[len(files) :]:
        panel.set_axis_off()
    named: list[str] = []
    for panel, (network, file) in zip(panels, sorted(files.items(), key=_order), strict=False):
        with np.load(file, allow_pickle=False) as arrays:
            features, labels, names = arrays["features"], arrays["labels"], [str(name) for name in arrays["classes"]]
        if len(features) < 3:
            return []
        places = tsne(features, iterations)
        for number, name in enumerate(names):
            x, y = places[labels == number].T
            panel.scatter(x, y, s=9, linewidth=0, alpha=0.8, label=name, **_class_style(number))
        panel.set_title(TITLES.get(network, network), fontsize=11)
        panel.set_xticks([])
        panel.set_yticks([])
        named = named or names
    handles = list(panels[0].collections)[:LEGEND]
    shown = [str(number) for number in range(len(handles))]
    options = {"ncols": min(8, len(handles)), "frameon": False, "markerscale": 2, "fontsize": 9}
    legend = figure.legend(handles, shown, loc="outside lower center", **options)
    # named afterwards, because matplotlib leaves out what begins with "_"
    for text, name in zip(legend.get_texts(), named, strict=False):
        text.set_text(name)
    if len(named) > LEGEND:
        legend.set_title(f"the first {LEGEND} of {len(named)} classes")
    figure.suptitle("Pooled features of the test windows, t-SNE", fontsize=11)
    return [save_figure(figure, Path(folder) / "features.png")]


def tsne(features: np.ndarray, iterations: int = 1000) -> np.ndarray:
    """Embed features ``(n, channels)`` of at least three windows in the plane by t-SNE, ``(n, 2)``.

    The seed is fixed; ``iterations`` must be at least 250. Needs scikit-learn (extra ``experiments``).
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    # every channel is scaled to unit variance, so that none counts for more than others; constant channels are left out
    spread = features.std(0)
    scaled = (features - features.mean(0))[:, spread > 0] / spread[spread > 0]
    if scaled.shape[1] < 2:  # with one channel or none there is nothing to embed
        return np.pad(scaled, ((0, 0), (0, 2 - scaled.shape[1])))
    return TSNE(2, perplexity=perplexity, init="pca", max_iter=iterations, random_state=0).fit_transform(scaled)


def _order(item: tuple[str, Path]) -> tuple[int, str]:
    names = list(TITLES)
    return (names.index(item[0]) if item[0] in names else len(names), item[0])
