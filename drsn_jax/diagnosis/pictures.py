"""The figure of a diagnosis; it needs matplotlib (extra ``experiments``)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.plotting import COLOURS, printable, save_figure, subplots
from drsn_jax.diagnosis.diagnosis import Diagnosis


def diagnosis_picture(
    file: str | Path, classes: Sequence[str], found: Diagnosis, signal: np.ndarray, sampling_rate: float, zeros: Any, title: str
) -> Path:
    """Draw a recording over the probability of each class in time, write the figure into ``file`` and return its path.

    ``signal`` is ``(length, channels)``, sampled at ``sampling_rate`` Hz. ``zeros`` is the share of features set to zero in each
    window, ``(windows,)``, for a third panel; None for a network without thresholds.
    """
    rows = 2 if zeros is None else 3
    figure, panels = subplots(rows, 1, figsize=(9, 2.2 * rows), sharex=True)
    seconds = found.starts / sampling_rate
    width = (seconds[1] - seconds[0]) if len(seconds) > 1 else len(signal) / sampling_rate
    # an envelope, because a line through millions of samples is slow to draw and shows no more
    step = max(1, len(signal) // 4000)
    parts = signal[: len(signal) // step * step, 0].reshape(-1, step)
    panels[0].fill_between(np.arange(len(parts)) * step / sampling_rate, parts.min(1), parts.max(1), color="0.4", linewidth=0.5)
    panels[0].set_ylabel("signal")
    panels[0].set_title(printable(title))
    edges = np.append(seconds, seconds[-1] + width)
    mesh = panels[1].pcolormesh(edges, np.arange(len(classes) + 1), found.probabilities.T, vmin=0, vmax=1, cmap="cividis")
    panels[1].set_yticks(np.arange(len(classes)) + 0.5, classes)
    figure.colorbar(mesh, ax=panels[1], label="probability")
    if zeros is not None:
        panels[2].step(edges, 100 * np.append(zeros, zeros[-1]), where="post", color=COLOURS["drsn_cw"])
        panels[2].set_ylabel("set to zero, %")
        panels[2].set_ylim(0, 100)
    panels[-1].set_xlabel("time, s")
    return save_figure(figure, Path(file))
