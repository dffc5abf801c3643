"""Draw the picture of the README: a window in noise, its features before and after the thresholds, and the class.

    python docs/make_pictures.py

trains DRSN-CW on the simulated drivetrain in Gaussian noise of -5 to 5 dB (some minutes on two cores) and writes
docs/shrinkage.png. The window is the first test window of its class; the channel is the one in which the most is set to zero,
among the units of the first two stages.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

import drsn_jax as d
from drsn_jax.core import runtime
from drsn_jax.core.plotting import COLOURS, save_figure
from drsn_jax.data.drivetrain import SAMPLING_RATE
from drsn_jax.data.drivetrain_faults import STATES

FILE = Path(__file__).with_name("shrinkage.png")
EPOCHS, BATCH_SIZE = 30, 64
SNR_DB = -2.0  # of the window that is shown
STATE = "outer race"  # its class
SHOWN = 1024  # samples of it
GREY, BLUE, ORANGE = "0.62", COLOURS["drsn_cw"], COLOURS["resnet"]


def main() -> None:
    runtime.prepare(devices=None)
    recordings = d.data.drivetrain_recordings(windows=12)
    fold = d.data.make_folds(recordings, "recording", window_length=2048, train_stride=2048)[0]()
    network = d.drsn_cw(classes=len(STATES), standardise=True)
    batches = d.Batches(fold.train.windows, fold.train.labels, BATCH_SIZE)
    optimizer = d.paper_optimizer(EPOCHS * batches.steps)
    step = jax.jit(d.make_train_step(network, optimizer, noise=d.Noise("gaussian", (-5.0, 5.0))), donate_argnums=0)
    state = d.create_state(network, optimizer, jax.random.key(0), fold.train.windows[:1])
    for epoch in d.fit(step, state, batches, epochs=EPOCHS):
        state = epoch.state
        print(f"epoch {epoch.number} of {EPOCHS}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.3f}", flush=True)
    clean = fold.test.windows[np.flatnonzero(fold.test.labels == STATES.index(STATE))[0]]
    noisy = np.asarray(d.add_noise(jax.random.key(1), clean, SNR_DB))
    draw(FILE, network, state.variables, clean, noisy, STATES, STATE)
    print(FILE)


def draw(
    file: Path, network: d.Network, variables: Any, clean: np.ndarray, noisy: np.ndarray, names: tuple[str, ...], true: str
) -> Path:
    """Draw a window ``(length, 1)`` clean and noisy, one channel before and after its threshold, and the probabilities of the
    classes ``names``, of which ``true`` is right."""
    from matplotlib.figure import Figure

    before, after, threshold = most_shrunk(network, variables, noisy)
    logits = jax.jit(functools.partial(network.apply, train=False))(variables, noisy[None])
    probabilities = jax.nn.softmax(logits[0])
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panels = figure.subplot_mosaic([["window", "classes"], ["features", "classes"]], width_ratios=(3.1, 1))
    milliseconds = 1e3 * np.arange(len(noisy)) / SAMPLING_RATE
    scale = noisy.std()
    panel = panels["window"]
    panel.plot(milliseconds, noisy[:, 0] / scale, color=GREY, linewidth=0.7, label="with noise, as the network gets it")
    panel.plot(milliseconds, clean[:, 0] / scale, color=BLUE, linewidth=0.9, label="without noise")
    panel.set_title(f"a window of vibration, {SNR_DB:g} dB: more noise than signal", loc="left", fontsize=10)
    panel.set_ylabel("signal")
    draw_threshold(panels["features"], milliseconds[:: len(noisy) // len(before)], before, after, threshold)
    for panel in (panels["window"], panels["features"]):
        panel.set_xlim(0, milliseconds[min(SHOWN, len(noisy)) - 1])
        panel.set_ylim(top=1.35 * panel.get_ylim()[1])  # room for the legend
        panel.legend(loc="upper right", ncols=3, fontsize=8, frameon=False, borderpad=0.1)
    panels["features"].set_xlabel("time, ms")
    draw_classes(panels["classes"], np.asarray(probabilities), names, true)
    return save_figure(figure, file)


def draw_threshold(panel: Any, times: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float) -> None:
    """Draw features ``(positions,)`` before and after the threshold, and the band that becomes zero."""
    panel.axhspan(-threshold, threshold, color=ORANGE, alpha=0.3, linewidth=0, label="below the threshold")
    panel.plot(times, before, color=GREY, linewidth=0.9, label="before")
    panel.plot(times, after, color=BLUE, linewidth=1.3, label="after")
    zeros = 100 * np.mean(after == 0)
    panel.set_title(f"one channel of its features: {zeros:.0f} % set to zero by the threshold", loc="left", fontsize=10)
    panel.set_ylabel("feature")


def draw_classes(panel: Any, probabilities: np.ndarray, names: tuple[str, ...], true: str) -> None:
    """Draw the probability of each class, the right one in bold."""
    colours = [BLUE if p == probabilities.max() else GREY for p in probabilities]
    bars = panel.barh(range(len(names)), 100 * probabilities, color=colours)
    panel.bar_label(bars, [f"{100 * p:.0f}" if p >= 0.005 else "" for p in probabilities], fontsize=8, padding=2)
    panel.set_yticks(range(len(names)), names, fontsize=9)
    panel.get_yticklabels()[names.index(true)].set_fontweight("bold")
    panel.invert_yaxis()
    panel.set_xlim(0, 118)
    panel.set_xticks([0, 50, 100])
    panel.set_xlabel("probability, %")
    panel.set_title("the class (true: bold)", loc="left", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


def most_shrunk(network: d.Network, variables: Any, window: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the channel of the first two stages in which the most is set to zero: its features before and after the threshold
    ``(positions,)``, and the threshold."""
    units = [unit for unit in d.evaluation.shrinkages(network, variables, window) if int(unit.unit.split("_")[1]) < 2]
    zeros = [np.mean(unit.after == 0, 0) for unit in units]
    unit = int(np.argmax([share.max() for share in zeros]))
    channel = int(np.argmax(zeros[unit]))
    found = units[unit]
    return found.before[:, channel], found.after[:, channel], float(np.broadcast_to(found.threshold, zeros[unit].shape)[channel])


if __name__ == "__main__":
    main()
