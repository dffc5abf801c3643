"""The figure of a diagnosis; it needs matplotlib (extra ``experiments``)."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.plotting import COLOURS, printable, save_figure, subplots
from drsn_jax.diagnosis.diagnosis import Diagnosis

SHOWN = 4  # channels at most that have a panel
POINTS = 4000  # of a waveform
LETTERS = 110  # of a line below the title


def diagnosis_picture(
    file: str | Path,
    classes: Sequence[str],
    found: Diagnosis,
    signal: np.ndarray,
    sampling_rate: float,
    zeros: Any,
    title: str,
    channel: str = "",
) -> Path:
    """Draw a recording over the probability of each class in time, write the figure into ``file`` and return its path.

    Above stand the answer, what speaks against it, and the warnings. ``signal`` is ``(length, channels)``, sampled at
    ``sampling_rate`` Hz; each of its first four channels has a panel, in the unit of the recording. ``zeros`` is the share of
    features set to zero in each window, ``(windows,)``, for a last panel; None for a network without thresholds. ``channel``
    names the channels, joined by " + " where there are several.
    """
    count = min(signal.shape[1], SHOWN)
    rows = count + (1 if zeros is None else 2)
    heights = [1.6 if count > 1 else 2.0] * count + [0.7 + 0.22 * max(len(classes), 4)] + [1.6] * (zeros is not None)
    told = _told(found)
    figure, panels = subplots(
        rows, 1, figsize=(9, sum(heights) + 0.6 + 0.18 * len(told)), sharex=True, gridspec_kw={"height_ratios": heights}
    )
    names = channel.split(" + ") if channel else []
    names = names if len(names) == signal.shape[1] else [f"channel {number + 1}" for number in range(signal.shape[1])]
    for number, panel in enumerate(panels[:count]):
        _waveform(panel, signal[:, number], sampling_rate)
        panel.set_ylabel(
            (printable(names[number]) if signal.shape[1] > 1 or channel else "signal") + "\n(recorded unit)", fontsize=9
        )
    seconds = found.starts / sampling_rate
    width = (seconds[1] - seconds[0]) if len(seconds) > 1 else len(signal) / sampling_rate
    edges = np.append(seconds, seconds[-1] + width)
    panel = panels[count]
    mesh = panel.pcolormesh(edges, np.arange(len(classes) + 1), found.probabilities.T, vmin=0, vmax=1, cmap="cividis")
    panel.set_yticks(np.arange(len(classes)) + 0.5, classes, fontsize=9)
    figure.colorbar(mesh, ax=panel, label="probability")
    if zeros is not None:
        panels[-1].step(edges, 100 * np.append(zeros, zeros[-1]), where="post", color=COLOURS["drsn_cw"])
        panels[-1].set_ylabel("set to zero by\nthe thresholds, %", fontsize=9)
        panels[-1].set_ylim(0, 100)
    panels[-1].set_xlabel("time, s")
    panels[-1].set_xlim(0, len(signal) / sampling_rate)
    figure.suptitle("\n".join([printable(title), *told]), fontsize=9, ha="left", x=0.02)
    return save_figure(figure, Path(file))


def _told(found: Diagnosis) -> list[str]:
    """Return the lines below the name of the file: the answer, what speaks against it, the warnings."""
    named = found.label if found.sure else f"not sure (perhaps {found.label})"
    lines = [
        f"{named}: probability {100 * found.probability:.1f} %, {100 * found.agreement:.0f} % of {len(found.starts)} windows"
    ]
    lines += [f"not sure because {', and '.join(found.doubts)}"] if found.doubts else []
    lines += [f"warning: {warning}" for warning in found.warnings]
    return [part for line in lines for part in textwrap.wrap(line, LETTERS)]


def _waveform(panel: Any, signal: np.ndarray, sampling_rate: float) -> None:
    """Draw one channel ``(length,)``: a line, or the envelope of a long signal, where a line would be slow and no clearer."""
    step = -(-len(signal) // POINTS)
    if step == 1:
        panel.plot(np.arange(len(signal)) / sampling_rate, signal, color="0.3", linewidth=0.5)
        return
    edges = np.arange(0, len(signal), step)
    low, high = np.minimum.reduceat(signal, edges), np.maximum.reduceat(signal, edges)
    # a stretch reaches to the beginning of the next one, and the last to the end of the signal
    time = np.append(edges, len(signal)) / sampling_rate
    panel.fill_between(time, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color="0.4", linewidth=0.3)
