"""The table and the figures of a comparison on speech; the figures need matplotlib (extra ``experiments``)."""

import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from drsn_jax.core.plotting import COLOURS, save_figure, subplots
from drsn_jax.data.windows import Fold
from drsn_jax.functional.mel import LogMel
from drsn_jax.functional.roadside import Roadside
from drsn_jax.studies.comparison_tables import CLEAN, TITLES
from drsn_jax.studies.figure_titles import about, add_title, results_of
from drsn_jax.studies.speech_peers import MEL_LOGISTIC, MFCC_SVM
from drsn_jax.studies.tables import unique

Row = dict[str, str]
SHOWN_DB = (math.inf, 0.0, -10.0)  # the levels in which a word is drawn


def level_table(folder: str | Path) -> str:
    """Return the mean test accuracy in per cent as a Markdown table, a row for each method and noise, a column for each SNR."""
    rows = results_of(folder)
    levels, kinds = _levels(rows), _kinds(rows)
    head = ["network", *(["noise"] if len(kinds) > 1 else []), *(_named(level) for level in levels)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for kind in kinds:
        for network in unique(rows, "network"):
            found = [_accuracies(rows, network, kind, level) for level in levels]
            cells = [f"{np.mean(values):.1f}" if values else "–" for values in found]
            lines.append(f"| {' | '.join([TITLES.get(network, network), *([kind] if len(kinds) > 1 else []), *cells])} |")
    return "\n".join(lines)


def accuracy_by_level(folder: str | Path) -> Path:
    """Draw the test accuracy by SNR, a panel for each kind of noise; a line is a mean over trials, its band one deviation."""
    rows = results_of(folder)
    levels, kinds = _levels(rows), _kinds(rows)
    width = 1.2 + 4.2 * len(kinds)
    figure, panels = subplots(1, len(kinds), figsize=(width, 4.2), sharey=True)
    for panel, kind in zip(panels, kinds, strict=True):
        for network in unique(rows, "network"):
            found = [_accuracies(rows, network, kind, level) for level in levels]
            means = np.array([np.mean(values) if values else np.nan for values in found])
            spreads = np.array([np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in found])
            colour, line = COLOURS.get(network), "--" if network in (MEL_LOGISTIC, MFCC_SVM) else "-"
            name = TITLES.get(network, network)
            panel.plot(range(len(levels)), means, line, marker="o", markersize=3, color=colour, label=name)
            panel.fill_between(range(len(levels)), means - spreads, means + spreads, color=colour, alpha=0.2, linewidth=0)
        panel.set_xticks(range(len(levels)), [CLEAN if level == math.inf else f"{level:g}" for level in levels])
        panel.set_title(kind, fontsize=10)
        panel.set_xlabel("SNR over the speech, dB")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy, %")
    panels[0].set_ylim(top=101)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    trials = len({(row["fold"], row["seed"]) for row in rows})
    over = f", mean ± standard deviation of {trials} trials" if trials > 1 else ""
    add_title(figure, f"Test accuracy by SNR{over}", about(folder, rows), width)
    return save_figure(figure, Path(folder) / "accuracy_by_snr.png")


def heard(folder: str | Path, fold: Fold, noises: Sequence[Roadside], classes: Sequence[str], front_end: LogMel) -> Path:
    """Draw one word of the test in each kind of noise at some levels: its waveform, and below it its log-mel spectrogram."""
    kinds = list({noise.kind: noise for noise in noises if not noise.is_none}.values()) or [Roadside()]
    columns = [Roadside(), *(noise.at(level) for noise in kinds for level in SHOWN_DB[1:] if not noise.is_none)]
    window, label = fold.test.windows[0], int(fold.test.labels[0])
    width = 1.0 + 2.4 * len(columns)
    figure, panels = subplots(2, len(columns), figsize=(width, 4.6), sharex="col", sharey="row")
    seconds = len(window) / front_end.sampling_rate
    disturb = jax.jit(lambda noise, key, window: noise(key, window))  # one program for all levels of a kind
    for number, noise in enumerate(columns):
        noisy = np.asarray(disturb(noise, jax.random.key(number), window))
        above, below = panels[number], panels[len(columns) + number]
        peak = max(float(np.abs(noisy).max()), 1e-9)
        above.plot(np.arange(len(noisy)) * seconds / len(noisy), noisy[:, 0] / peak, linewidth=0.4, color="#0072B2")
        above.set_title(CLEAN if noise.is_none else str(noise), fontsize=9)
        spectrogram = np.asarray(front_end(noisy))[..., 0].T
        below.imshow(spectrogram, origin="lower", aspect="auto", cmap="cividis", extent=(0, seconds, 0, front_end.mels))
        below.set_xlabel("s")
    panels[0].set_ylabel("waveform / peak")
    panels[len(columns)].set_ylabel("mel band")
    add_title(figure, f"The word {classes[label]!r} in noise, and what a network sees of it", "", width)
    return save_figure(figure, Path(folder) / "heard.png")


def _levels(rows: Sequence[Row]) -> list[float]:
    return sorted({float(row["snr_db"]) for row in rows})


def _kinds(rows: Sequence[Row]) -> list[str]:
    return [kind for kind in unique(rows, "noise") if kind != "none"] or ["none"]


def _named(level: float) -> str:
    return CLEAN if level == math.inf else f"{level:g} dB"


def _accuracies(rows: Sequence[Row], network: str, kind: str, level: float) -> list[float]:
    """Return the accuracies in per cent of a method in a noise; without noise, those of the training in that kind."""
    return [
        100 * float(row["test_accuracy"])
        for row in rows
        if row["network"] == network
        and float(row["snr_db"]) == level
        and (row["noise"] == kind or (level == math.inf and row.get("train_noise", "none") in (kind, "none")))
    ]
