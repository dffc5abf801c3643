"""What every figure of the package has in common; needs matplotlib (extra ``experiments``)."""

import os
from pathlib import Path
from typing import Any

# Okabe & Ito: told apart also with red-green blindness
COLOURS = {
    "convnet": "#999999",
    "resnet": "#E69F00",
    "senet": "#009E73",
    "drsn_cs": "#56B4E9",
    "drsn_cw": "#0072B2",
    "spectrum_logistic": "#000000",
}


def printable(name: str) -> str:
    """A name of a file as it can be drawn: no bytes that are no characters, not endlessly long."""
    name = os.fsencode(name).decode(errors="replace")
    return name if len(name) <= 80 else f"{name[:50]} … {name[-25:]}"


def subplots(rows: int, columns: int, **options: Any) -> tuple[Any, list[Any]]:
    """A figure and its panels, row by row; options as in matplotlib."""
    # not pyplot: it keeps global state and may ask for a display
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", figsize=options.pop("figsize"))
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def save_figure(figure: Any, file: Path) -> Path:
    """Write a figure; returns its file."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # names of classes and files may hold what would be read as formulas
        text.set_parse_math(False)
    figure.savefig(file, dpi=130)
    return file
