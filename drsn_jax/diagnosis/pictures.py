"""The figure of a diagnosis; it needs matplotlib (extra ``experiments``)."""

import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drsn_jax.core.plotting import COLOURS, as_png, class_ticks, printable, save_figure, subplots
from drsn_jax.core.storage import blocks
from drsn_jax.diagnosis.answer_lines import numbers, title
from drsn_jax.diagnosis.asking import Asked
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.diagnosis import Diagnosis
from drsn_jax.diagnosis.parts import read_parts
from drsn_jax.diagnosis.physics import Physics
from drsn_jax.diagnosis.physics_panels import bearing_panel, mesh_panel
from drsn_jax.evaluation.inspection import has_thresholds

SHOWN = 4  # channels at most that have a panel
POINTS = 4000  # of an envelope
LOOKED = 64  # windows at most whose frequencies are drawn
LETTERS = 110  # of a line below the title


class Envelope(NamedTuple):
    """What is drawn of a long signal: the lowest and highest values of stretches of ``step`` samples.

    Fields:
      low, high: the values of the first four channels, ``(stretches, channels)``; the last stretch may be shorter.
      step: the number of samples of a stretch; with 1 the values are the signal itself.
      length, channels: those of the signal.
    """

    low: np.ndarray
    high: np.ndarray
    step: int
    length: int
    channels: int


class Looked(NamedTuple):
    """What the network looked at in some windows.

    Fields:
      starts: the number of the first sample of each window, ``(windows,)``.
      speaks: how much each band of frequencies up to half the sampling rate speaks for the class, ``(windows, bands)``.
    """

    starts: np.ndarray
    speaks: np.ndarray


def envelope(read: Callable[[int, int], np.ndarray], length: int, channels: int) -> Envelope:
    """Return the envelope of a signal, which is read in parts by ``read(start, stop) -> (stop - start, channels)``.

    A line through millions of samples would be slow to draw and show no more.
    """
    step, shown = max(1, -(-length // POINTS)), min(channels, SHOWN)
    count = -(-length // step)
    low, high = np.full((count, shown), np.inf), np.full((count, shown), -np.inf)
    for start, stop in blocks(length, 4 * channels):
        values = np.asarray(read(start, stop))[:, :shown]
        first = start // step
        begins = np.maximum(np.arange(first * step, stop, step) - start, 0)  # of the stretches in this block
        own = slice(first, first + len(begins))  # the first may have begun in the block before
        low[own] = np.minimum(low[own], np.minimum.reduceat(values, begins, axis=0))
        high[own] = np.maximum(high[own], np.maximum.reduceat(values, begins, axis=0))
    return Envelope(low, high, step, length, channels)


def picture_of(model: Bundle, file: Path, asked: Asked, physics: Physics | None) -> bytes:
    """Return the figure of the diagnosis of a file as a PNG, see ``diagnosis_figure``."""
    found, signal = asked.found, asked.signal
    zeros, looked = None, None
    if len(model.classes) > 1:
        chosen = np.unique(np.linspace(0, len(found.starts) - 1, LOOKED).astype(int))
        windows = [signal.read(start, start + model.window_length) for start in found.starts[chosen]]
        looked = Looked(found.starts[chosen], model.attributions(np.stack(windows), found.label))
    if has_thresholds(model.network):
        parts = read_parts(signal.read, len(found.starts), model.window_length, model.channels)
        zeros = np.concatenate([np.asarray(model.zeros(windows, by_unit=True)) for windows in parts])
    assert signal.sampling_rate is not None
    line = envelope(signal.read, signal.length, signal.channels)
    about = (line, signal.sampling_rate, zeros, file.name, signal.channel)
    return as_png(diagnosis_figure(model.classes, found, *about, physics=physics, looked=looked))


def free_name(folder: Path, file: Path, taken: set[Path]) -> Path:
    """Return a name in the folder for the picture of a file that none in ``taken`` has; it is added there."""
    name, number = printable(os.fsencode(file.name).decode(errors="replace")), 2
    target = folder / f"{name}.png"
    while target in taken:
        target, number = folder / f"{name}-{number}.png", number + 1
    taken.add(target)
    return target


def diagnosis_picture(file: str | Path, *described: Any, **options: Any) -> Path:
    """Write ``diagnosis_figure`` into ``file`` and return its path; the other arguments are the same."""
    return save_figure(diagnosis_figure(*described, **options), Path(file))


def diagnosis_figure(
    classes: Sequence[str],
    found: Diagnosis,
    signal: Envelope,
    sampling_rate: float,
    zeros: Any,
    title: str,
    channel: str = "",
    physics: Physics | None = None,
    looked: Looked | None = None,
) -> Any:
    """Draw a recording over the probability of each class in time, and return the figure.

    Above stand the answer, what speaks against it, and the warnings. ``signal`` is the envelope of the recording, sampled at
    ``sampling_rate`` Hz; each of its first four channels has a panel, in the unit of the recording. ``zeros`` is the share of
    features that each unit set to zero in each window, ``(windows, units)``, for a last panel; None for a network without
    thresholds. ``channel`` names the channels, joined by " + " where there are several. ``physics`` adds panels below: the
    spectrum of the envelope with the lines of each fault of the bearing, and that of the vibration with those of the gear.
    ``looked`` adds one below the classes, which frequencies speak for the class.
    """
    count = signal.low.shape[1]
    heights = [1.6 if count > 1 else 2.0] * count + [0.7 + 0.22 * min(max(len(classes), 4), 20)]
    heights += [1.8] * (looked is not None) + [1.6] * (zeros is not None)
    bearing = physics is not None and bool(physics.evidence)
    gear = None if physics is None else physics.gear
    heights += [2.4] * (bearing + (gear is not None))
    told = _told(found)
    size = 9, sum(heights) + 0.6 + 0.18 * len(told)
    figure, panels = subplots(len(heights), 1, figsize=size, gridspec_kw={"height_ratios": heights})
    if gear is not None:
        mesh_panel(panels.pop(), gear)
    if physics is not None and bearing:
        bearing_panel(panels.pop(), physics)
    for panel in panels[:-1]:  # those over time, of which the last one names it
        panel.sharex(panels[-1])
        panel.tick_params(labelbottom=False)
    names = channel.split(" + ") if channel else []
    names = names if len(names) == signal.channels else [f"channel {number + 1}" for number in range(count)]
    for number, panel in enumerate(panels[:count]):
        _waveform(panel, signal, number, sampling_rate)
        panel.set_ylabel(
            (printable(names[number]) if signal.channels > 1 or channel else "signal") + "\n(recorded unit)", fontsize=9
        )
    edges, probabilities = _few_columns(found.starts / sampling_rate, signal.length / sampling_rate, found.probabilities)
    panel = panels[count]
    mesh = panel.pcolormesh(edges, np.arange(len(classes) + 1), probabilities.T, vmin=0, vmax=1, cmap="cividis")
    class_ticks(panel.yaxis, classes, at=0.5, most=20, fontsize=9)
    figure.colorbar(mesh, ax=panel, label="probability")
    if looked is not None:
        _looked(figure, panels[count + 1], looked, found.label, sampling_rate, signal.length)
    if zeros is not None:
        _zeros(panels[-1], *_few_columns(found.starts / sampling_rate, signal.length / sampling_rate, np.asarray(zeros)))
    panels[-1].set_xlabel("time, s")
    panels[-1].set_xlim(0, signal.length / sampling_rate)
    figure.suptitle("\n".join([printable(title), *told]), fontsize=9, ha="left", x=0.02)
    return figure


def _few_columns(seconds: np.ndarray, end: float, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges in seconds of at most ``POINTS`` columns, and their values: means of neighbours where there are more.

    A figure has about a thousand columns, and the memory of a mesh grows with its cells.

    Args:
      seconds: where the windows begin, ``(windows,)``.
      end: the end of the signal, where it holds a single window.
      values: ``(windows, ...)``.
    """
    width = (seconds[1] - seconds[0]) if len(seconds) > 1 else end
    first = np.arange(0, len(seconds), max(1, -(-len(seconds) // POINTS)))
    counts = np.diff(np.append(first, len(seconds))).reshape(-1, *[1] * (values.ndim - 1))
    return np.append(seconds[first], seconds[-1] + width), np.add.reduceat(values, first, axis=0) / counts


def _told(found: Diagnosis) -> list[str]:
    """Return the lines below the name of the file: the answer, what speaks against it, the warnings."""
    lines = [f"{title(found)}: {numbers(found)}"]
    lines += [f"not sure because {', and '.join(found.doubts)}"] if found.doubts else []
    lines += [f"warning: {warning}" for warning in found.warnings]
    return [part for line in lines for part in textwrap.wrap(line, LETTERS)]


def _waveform(panel: Any, signal: Envelope, number: int, sampling_rate: float) -> None:
    """Draw channel ``number`` of a signal: a line, or between its lowest and highest values where it is long."""
    low, high = signal.low[:, number], signal.high[:, number]
    edges = np.arange(len(low)) * signal.step
    if signal.step == 1:
        panel.plot(edges / sampling_rate, low, color="0.3", linewidth=0.5)
        return
    # a stretch reaches to the beginning of the next one, and the last to the end of the signal
    time = np.append(edges, signal.length) / sampling_rate
    panel.fill_between(time, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color="0.4", linewidth=0.3)


def _looked(figure: Any, panel: Any, looked: Looked, label: str, sampling_rate: float, length: int) -> None:
    """Draw which frequencies speak for the class, over time: a window that was looked at stands for those up to the next."""
    edges = np.append(looked.starts, length) / sampling_rate
    bands = np.linspace(0, sampling_rate / 2000, looked.speaks.shape[1] + 1)
    # a few loud cells must not make all others pale
    most = float(np.quantile(np.abs(looked.speaks), 0.99)) or 1.0
    mesh = panel.pcolormesh(edges, bands, looked.speaks.T, vmin=-most, vmax=most, cmap="RdBu_r")
    panel.set_ylabel("frequency, kHz", fontsize=9)
    figure.colorbar(mesh, ax=panel, label=f"against    for\n{printable(label)[:16]}", ticks=[])


def _zeros(panel: Any, edges: np.ndarray, shares: np.ndarray) -> None:
    """Draw the share that is set to zero over time, of each unit thin and their mean thick."""
    values = 100 * np.concatenate([shares, shares[-1:]])
    panel.step(edges, values.mean(1), where="post", color=COLOURS["drsn_cw"], linewidth=2, zorder=3, label="mean of all units")
    for number, unit in enumerate(values.T[: values.shape[1] if values.shape[1] > 1 else 0]):
        # the first ones, which see the window as it came, pale, and the last ones dark
        label = f"unit {number + 1}" if number in (0, values.shape[1] - 1) else None
        grey = str(0.75 - 0.6 * number / (values.shape[1] - 1))
        panel.step(edges, unit, where="post", color=grey, linewidth=0.8, label=label)
    if values.shape[1] > 1:
        panel.legend(fontsize=8, loc="upper right", ncols=3, framealpha=0.9)
    panel.set_ylabel("set to zero by\nthe thresholds, %", fontsize=9)
    panel.set_ylim(0, 100)
