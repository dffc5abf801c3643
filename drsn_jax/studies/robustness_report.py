"""The table of the benchmark of robustness: methods × noises for each protocol, from the tables of its runs."""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from drsn_jax.core.plotting import COLOURS, save_figure, subplots
from drsn_jax.evaluation.metrics import Interval, t_interval
from drsn_jax.studies.comparison_results import config_of, tables_of
from drsn_jax.studies.comparison_tables import CLEAN, SHORT_TITLES, TITLES, Row, noise_name, rows_in
from drsn_jax.studies.figure_titles import add_title, results_of
from drsn_jax.studies.robustness_peers import PEERS
from drsn_jax.studies.tables import read_rows, unique

REFERENCE = "resnet"
TRAINED = {
    "robust": "each method trained once, in a mixture of noises from -10 to 10 dB and without noise",
    "matched": "each method trained in the noise of its test",
}
SPARE = ("#000000", "#CC79A7", "#009E73", "#999999", "#56B4E9", "#7F3C8D", "#A5AA99")  # of methods without a colour of their own


def balanced(rows: Sequence[Row]) -> Interval:
    """Return the mean balanced accuracy in per cent with its 95 % interval over seeds; folds of one seed are averaged first."""
    of_seed = defaultdict(list)
    for row in rows:
        of_seed[row["seed"]].append(100 * float(row["balanced_accuracy"]))
    return _over_seeds(of_seed)


def difference(rows: Sequence[Row], other: Sequence[Row]) -> Interval:
    """Return the mean difference in points of balanced accuracy in equal trials, with its 95 % interval over seeds."""
    there = {_trial(row): float(row["balanced_accuracy"]) for row in other}
    of_seed = defaultdict(list)
    for row in rows:
        if _trial(row) in there:
            of_seed[row["seed"]].append(100 * (float(row["balanced_accuracy"]) - there[_trial(row)]))
    return _over_seeds(of_seed)


def area(ranking: Sequence[Row]) -> Interval:
    """Return the mean macro AUROC in per cent with its 95 % interval over seeds; folds and noises of one seed are averaged."""
    of_seed = defaultdict(list)
    for row in ranking:
        of_seed[row["seed"]].append(100 * float(row["macro_auroc"]))
    return _over_seeds(of_seed)


def one_class(confusion: Sequence[Row]) -> dict[str, float]:
    """Return for each method the largest share of the test windows, in per cent, that were taken for one class in any trial."""
    counts: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in confusion:
        counts[(row["network"], *_trial(row))][row["predicted"]] += int(row["windows"])
    largest: dict[str, float] = defaultdict(float)
    for (network, *_), of_class in counts.items():
        total = sum(of_class.values())
        largest[network] = max(largest[network], 100 * max(of_class.values()) / total if total else 0.0)
    return largest


def table(folder: str | Path, lacking: Mapping[str, str]) -> str:
    """Return the results of one protocol as a Markdown table, a row for each method, a column for each noise.

    ``lacking`` are the methods whose package is not installed, with that package.
    """
    folder = Path(folder)
    rows, held = results_of(folder), tables_of(folder)
    confusion = read_rows(folder / "confusion.csv", held["confusion"], ("network", "predicted", "windows"))
    seconds = defaultdict(list)
    for row in read_rows(folder / "timings.csv", held["timings"], ("network", "training_seconds")):
        seconds[row["network"]].append(float(row["training_seconds"]))
    ranking = read_rows(folder / "ranking.csv", held["ranking"], ("network", "seed", "macro_auroc"))
    noises, methods = list(dict.fromkeys(map(noise_name, rows))), unique(rows, "network")
    peer = best_peer(rows, seconds)
    head = [
        "method",
        "parameters",
        *noises,
        f"− {TITLES.get(REFERENCE, REFERENCE)}",
        "− best other method",
        "AUROC",
        "one class, %",
        "training, s",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    largest = one_class(confusion)
    for method in methods:
        own = [row for row in rows if row["network"] == method]
        compared = [
            signed(difference(own, [row for row in rows if row["network"] == other])) if other not in (None, method) else "–"
            for other in (REFERENCE if REFERENCE in methods else None, peer)
        ]
        cells = [
            TITLES.get(method, method),
            f"{int(own[0]['parameters']):,}" if int(own[0]["parameters"]) else "–",
            *(cell(balanced(rows_in(own, noise))) for noise in noises),
            *compared,
            cell(area(ranked)) if len(ranked := [r for r in ranking if r["network"] == method]) == len(own) else "–",
            f"{largest[method]:.0f}",
            f"{np.mean(seconds[method]):.0f}" if seconds[method] else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"| {TITLES.get(name, name)} | not installed: {package} |" for name, package in lacking.items()]
    seeds = len(unique(rows, "seed"))
    spread = f"± is the 95 % interval over {seeds} seeds (Student t)" if seeds > 1 else "one seed, so no interval"
    told = (
        f"Balanced accuracy in per cent, mean over folds; {spread}. Differences are paired, over all noises, in points; the best"
    )
    told += f" method that is no network is {TITLES.get(peer, peer)}. " if peer else " method that is no network is missing. "
    told += "Those methods are fitted to one draw of the noise in the training windows, networks meet a new one in every step. "
    told += "AUROC: the area under the curve of each class against the others, in per cent, mean over classes and noises. "
    return "\n".join([*lines, "", told + "One class: the largest share that any test took for one class."])


def best_peer(rows: Sequence[Row], seconds: Mapping[str, Sequence[float]]) -> str | None:
    """Return the method without training steps that has the highest mean over all tests; None where there is none."""
    means = {
        method: np.mean([float(row["balanced_accuracy"]) for row in rows if row["network"] == method])
        for method in unique(rows, "network")
        if not seconds.get(method)
    }
    return max(means, key=lambda method: means[method]) if means else None


def curves(folders: Mapping[str, Path], out: str | Path) -> Path:
    """Draw the balanced accuracy by SNR in Gaussian noise, a panel for each protocol by its title; bands are 95 % intervals."""
    width = 1.0 + 4.6 * len(folders)
    figure, panels = subplots(1, len(folders), figsize=(width, 4.8), sharey=True)
    methods = list(dict.fromkeys(name for folder in folders.values() for name in unique(results_of(folder), "network")))
    spare = itertools.cycle(SPARE)
    colours = {name: COLOURS.get(name) or next(spare) for name in methods}
    for panel, (title, folder) in zip(panels, folders.items(), strict=True):
        rows = [row for row in results_of(folder) if row["noise"] in ("gaussian", "none")]
        levels = sorted({float(row["snr_db"]) for row in rows}, reverse=True)
        for method in methods:
            own = [row for row in rows if row["network"] == method]
            found = [balanced([row for row in own if float(row["snr_db"]) == level]) for level in levels]
            means = np.array([value.mean for value in found])
            halves = np.nan_to_num([value.half_width for value in found])
            colour, style, name = colours[method], "--" if method in PEERS else "-", SHORT_TITLES.get(method, method)
            panel.plot(range(len(levels)), means, style, marker="o", markersize=3, color=colour, label=name)
            panel.fill_between(range(len(levels)), means - halves, means + halves, color=colour, alpha=0.15, linewidth=0)
        panel.set_xticks(range(len(levels)), [CLEAN if level == math.inf else f"{level:g}" for level in levels])
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("SNR, dB (Gaussian noise)")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("balanced accuracy, %")
    panels[0].set_ylim(bottom=0, top=101)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(folders), frameon=False)
    config = config_of(next(iter(folders.values())))
    below = TRAINED[config.get("way", "robust")] + ("; a dry run, the numbers mean nothing" if config.get("dry_run") else "")
    add_title(figure, "Balanced accuracy by SNR", below, width)
    return save_figure(figure, Path(out) / "accuracy_by_snr.png")


def _over_seeds(of_seed: Mapping[str, Sequence[float]]) -> Interval:
    """Return the mean of the means of each seed with its interval; NaN without any."""
    return t_interval([float(np.mean(values)) for values in of_seed.values()]) if of_seed else Interval(math.nan, math.nan)


def _trial(row: Row) -> tuple[str, ...]:
    return row["noise"], row["snr_db"], row["fold"], row["seed"]


def cell(value: Interval) -> str:
    """Return a mean with its interval, as text."""
    if math.isnan(value.mean):
        return "–"
    return f"{value.mean:.1f}" if math.isnan(value.half_width) else f"{value.mean:.1f} ± {value.half_width:.1f}"


def signed(value: Interval) -> str:
    """Return a difference with its sign and its interval, as text."""
    if math.isnan(value.mean):
        return "–"
    mean = round(value.mean, 1) + 0.0  # no -0.0
    return f"{mean:+.1f}" if math.isnan(value.half_width) else f"{mean:+.1f} ± {value.half_width:.1f}"
