"""Draw the pictures of the guide, ``docs/guide.md``, into ``docs/pictures``.

    python docs/make_guide_pictures.py

runs the scripts of the gallery that draw one (some minutes on two cores), and draws the unit and the devices, which are plans.
"""

import os
import runpy
from pathlib import Path
from typing import Any

from drsn_jax.core.plotting import COLOURS, save_figure, subplots

FOLDER = Path(__file__).with_name("pictures")
GALLERY = Path(__file__).with_name("gallery")
DRAWING = ("soft_threshold", "noise_and_thresholds", "two_splits", "ablation_by_vmap")  # of the gallery, in the guide's order
BLUE, ORANGE, GREEN, GREY = (COLOURS[name] for name in ("drsn_cs", "resnet", "senet", "convnet"))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for draw, name in ((draw_unit, "unit.png"), (draw_devices, "devices.png")):
        print(draw(FOLDER / name))
    os.environ["DRSN_JAX_FIGURES"] = str(FOLDER)
    for name in DRAWING:
        print(f"-- {name}", flush=True)
        runpy.run_path(str(GALLERY / f"{name}.py"))
    for file in FOLDER.glob("*.png"):
        make_small(file)


def draw_unit(file: Path) -> Path:
    """Draw one residual shrinkage unit of DRSN-CW: the residual path, the sub-network of the thresholds, and the shortcut."""
    figure, panel = plan((8.4, 3.3), 12.6, 5.0)
    path = [(0.2, "x"), (1.5, "BN\nReLU"), (3.0, "Conv\n(stride)"), (4.5, "BN\nReLU"), (6.0, "Conv"), (9.6, "soft\nthreshold")]
    for (left, text), (after, _) in zip(path, [*path[1:], (11.32, "")], strict=True):
        box(panel, left, 2.6, text, "white" if text == "x" else ORANGE if "soft" in text else BLUE)
        arrow(panel, (left + 1.0, 3.0), (after, 3.0))
    panel.text(11.55, 3.0, "+", ha="center", va="center", fontsize=13, bbox={"boxstyle": "circle", "facecolor": "white"})
    arrow(panel, (11.78, 3.0), (12.5, 3.0))
    panel.text(12.3, 3.25, "y", ha="center", fontsize=10)
    panel.plot([0.7, 0.7, 11.55], [3.4, 4.4, 4.4], color="0.2", linewidth=1)
    arrow(panel, (11.55, 4.4), (11.55, 3.22))
    panel.text(6.0, 4.5, "shortcut: every second position, zero channels added", ha="center", fontsize=9)
    below = [(6.0, "mean\nof |x|"), (7.2, "FC, BN\nReLU"), (8.4, "FC\nsigmoid")]
    panel.plot([7.3, 7.3, 6.5], [3.0, 2.1, 2.1], color="0.2", linewidth=1)
    arrow(panel, (6.5, 2.1), (6.5, 1.5))
    for (left, text), (after, _) in zip(below, [*below[1:], (9.88, "")], strict=True):
        box(panel, left, 0.7, text, GREEN, width=0.95)
        arrow(panel, (left + 0.95, 1.1), (after, 1.1))
    panel.text(9.55, 1.3, "α", ha="center", fontsize=10)
    panel.text(10.1, 1.1, "×", ha="center", va="center", fontsize=13, bbox={"boxstyle": "circle", "facecolor": "white"})
    panel.plot([6.5, 6.5, 10.1], [0.7, 0.25, 0.25], color="0.2", linewidth=1)
    arrow(panel, (10.1, 0.25), (10.1, 0.88))
    panel.text(8.3, 0.32, "A, one mean for each channel", ha="center", fontsize=8)
    arrow(panel, (10.1, 1.33), (10.1, 2.6))
    panel.text(10.3, 1.9, "τ = α · A", fontsize=10)
    return save_figure(figure, file)


def draw_devices(file: Path) -> Path:
    """Draw one training step on two devices: a half of the batch each, the mean of the gradients, the same new state."""
    figure, panel = plan((8.4, 2.9), 12.6, 4.4)
    for row, bottom in enumerate((2.5, 0.5)):
        for window in range(4):
            box(panel, 0.3 + 0.42 * window, bottom + 0.1, "", BLUE, width=0.34, height=0.6)
        panel.text(1.1, bottom + 0.95, f"windows {4 * row + 1} to {4 * row + 4}", ha="center", fontsize=9)
        arrow(panel, (2.0, bottom + 0.4), (3.0, bottom + 0.4))
        box(panel, 3.0, bottom, f"device {row + 1}\nstate, step", GREY, width=1.9)
        arrow(panel, (4.9, bottom + 0.4), (6.2, bottom + 0.4 + (0.55 if row else -0.55)))
        panel.text(5.15, bottom + (0.02 if row else 0.68), "its sums", fontsize=8)
        box(panel, 9.9, bottom, "the same\nnew state", GREY, width=1.9)
        arrow(panel, (8.5, bottom + 0.4 + (0.55 if row else -0.55)), (9.9, bottom + 0.4))
    box(panel, 6.2, 1.2, "mean over devices:\ngradients, statistics,\nmetrics", ORANGE, width=2.3, height=1.4)
    return save_figure(figure, file)


def make_small(file: Path) -> None:
    """Write a picture again with 64 colours, which takes a third of the room and cannot be seen in these."""
    from PIL import Image

    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


def plan(size: tuple[float, float], width: float, height: float) -> tuple[Any, Any]:
    """Make a figure without axes for a plan of boxes and arrows."""
    figure, (panel,) = subplots(1, 1, figsize=size)
    panel.set_xlim(0, width)
    panel.set_ylim(0, height)
    panel.axis("off")
    return figure, panel


def box(panel: Any, left: float, bottom: float, text: str, colour: str, *, width: float = 1.0, height: float = 0.8) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.08"
    panel.add_patch(FancyBboxPatch((left, bottom), width, height, boxstyle=style, facecolor=colour, edgecolor="0.2", alpha=0.85))
    panel.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=9)


def arrow(panel: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    panel.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.2", "shrinkA": 0, "shrinkB": 0})


if __name__ == "__main__":
    main()
