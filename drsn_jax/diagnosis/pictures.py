"""The figure of a diagnosis; it needs matplotlib (extra ``experiments``)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drsn_jax.core.plotting import COLOURS, class_ticks, printable, save_figure, subplots
from drsn_jax.core.storage import blocks
from drsn_jax.diagnosis.diagnosis import Diagnosis

POINTS = 4000  # of an envelope


class Envelope(NamedTuple):
    """The lowest and highest values ``(n,)`` of a signal in stretches of ``step`` samples; ``length`` is that of the signal."""

    low: np.ndarray
    high: np.ndarray
    step: int
    length: int


def envelope(read: Callable[[int, int], np.ndarray], length: int, channels: int) -> Envelope:
    """Return the envelope of the first channel of a signal, read in parts by ``read(start, stop) -> (stop - start, channels)``.

    A line through millions of samples would be slow to draw and show no more.
    """
    step = max(1, length // POINTS)
    count = length // step
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    for start, stop in blocks(count * step, 4 * channels):
        values = np.asarray(read(start, stop))[:, 0]
        stretch = np.arange(start, stop) // step
        np.minimum.at(low, stretch, values)
        np.maximum.at(high, stretch, values)
    return Envelope(low, high, step, length)


def diagnosis_picture(
    file: str | Path, classes: Sequence[str], found: Diagnosis, signal: Envelope, sampling_rate: float, zeros: Any, title: str
) -> Path:
    """Draw a recording over the probability of each class in time, write the figure into ``file`` and return its path.

    ``signal`` is the envelope of the recording, sampled at ``sampling_rate`` Hz. ``zeros`` is the share of features set to
    zero in each window, ``(windows,)``, for a third panel; None for a network without thresholds.
    """
    rows = 2 if zeros is None else 3
    figure, panels = subplots(rows, 1, figsize=(9, 2.2 * rows), sharex=True)
    seconds = found.starts / sampling_rate
    width = (seconds[1] - seconds[0]) if len(seconds) > 1 else signal.length / sampling_rate
    times = np.arange(len(signal.low)) * signal.step / sampling_rate
    panels[0].fill_between(times, signal.low, signal.high, color="0.4", linewidth=0.5)
    panels[0].set_ylabel("signal")
    panels[0].set_title(printable(title))
    edges = np.append(seconds, seconds[-1] + width)
    mesh = panels[1].pcolormesh(edges, np.arange(len(classes) + 1), found.probabilities.T, vmin=0, vmax=1, cmap="cividis")
    class_ticks(panels[1].yaxis, classes, at=0.5, most=20)
    figure.colorbar(mesh, ax=panels[1], label="probability")
    if zeros is not None:
        panels[2].step(edges, 100 * np.append(zeros, zeros[-1]), where="post", color=COLOURS["drsn_cw"])
        panels[2].set_ylabel("set to zero, %")
        panels[2].set_ylim(0, 100)
    panels[-1].set_xlabel("time, s")
    return save_figure(figure, Path(file))
