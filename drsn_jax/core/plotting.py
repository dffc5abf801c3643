"""Colours and helpers that all figures of the package share; they need matplotlib (extra ``experiments``)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drsn_jax.core.errors import optional
from drsn_jax.core.files import write_atomically
from drsn_jax.core.text import visible, visible_lines

# the palette of Okabe & Ito, whose colours can be told apart with red-green blindness too
COLOURS = {
    "convnet": "#999999",
    "resnet": "#E69F00",
    "senet": "#009E73",
    "drsn_cs": "#56B4E9",
    "drsn_cw": "#0072B2",
    "band_energy": "#D55E00",
    "band_energy_tiny": "#F0E442",
    "band_energy_linear": "#CC79A7",
    "spectrum_logistic": "#000000",
    "pixels_logistic": "#000000",
    "mel_logistic": "#000000",
    "mfcc_svm": "#CC79A7",
}


def printable(name: str) -> str:
    """Return a name as it can be drawn, without what controls a terminal; more than 80 characters are shortened."""
    name = visible(name)
    return name if len(name) <= 80 else f"{name[:50]} … {name[-25:]}"


def subplots(rows: int, columns: int, **options: Any) -> tuple[Any, list[Any]]:
    """Make a figure and return it with its panels, row by row; ``options`` are those of matplotlib's ``subplots``."""
    # not pyplot, which keeps global state and may ask for a display
    figure = optional("matplotlib.figure", "a figure").Figure(layout="constrained", figsize=options.pop("figsize"))
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def class_ticks(axis: Any, classes: Sequence[str], *, at: float = 0.0, most: int, **options: Any) -> None:
    """Name the classes at an axis of matplotlib, the first at ``at`` and each 1 further: all of them, or every second, third … so
    that at most ``most`` names stand there. ``options`` are those of matplotlib's ``set_ticks``."""
    step = -(-len(classes) // most)
    axis.set_ticks([number + at for number in range(0, len(classes), step)], list(classes)[::step], **options)


def save_figure(figure: Any, file: Path) -> Path:
    """Write a figure into ``file`` and return ``file``."""
    write_atomically(file, as_png(figure))
    return file


def as_png(figure: Any) -> bytes:
    """Return a figure as the content of a PNG file."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # a "$" in the name of a class or file would be read as a formula
        text.set_parse_math(False)
        text.set_text(visible_lines(text.get_text()))
    content = io.BytesIO()
    figure.savefig(content, dpi=130)
    return content.getvalue()
