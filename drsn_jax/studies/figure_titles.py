"""What stands above the figures of a comparison: the data, the split and the noises, as far as the files of the run tell."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drsn_jax.core.plotting import printable
from drsn_jax.studies.comparison_results import config_of, tables_of
from drsn_jax.studies.comparison_tables import CONDITION, trained_on_range
from drsn_jax.studies.tables import read_rows, unique


def about(folder: str | Path, rows: Sequence[Mapping[str, str]]) -> str:
    """Return the line below the title of a figure: the data and the split of a run, as far as its files tell."""
    config = config_of(folder)
    data = config.get("dataset") or (Path(config["recordings"]).name if config.get("recordings") else "")
    data = data or ("simulated drivetrain" if "recordings" in config else "")
    protocols = unique(rows, "protocol") if rows and "protocol" in rows[0] else []
    trained = next((f", trained at {r['train_snr_db'].replace('..', ' to ')} dB" for r in rows if trained_on_range(r)), "")
    dry = "a dry run, the numbers mean nothing" if config.get("dry_run") else ""
    split = ", ".join(f"split {name}" if name.startswith("by ") else name for name in protocols)
    return "; ".join(filter(None, (printable(data), f"{split}{trained}".removeprefix(", "), dry)))


def add_title(figure: Any, title: str, below: str, width: float) -> None:
    """Write a title over a figure that is ``width`` inches wide, broken into lines that fit, and a line below it."""
    letters = max(30, int(13.5 * width))
    figure.suptitle("\n".join(textwrap.wrap(title, letters) + textwrap.wrap(below, letters)), fontsize=9)


def listed(names: Sequence[str]) -> str:
    """Join names for a title; of many the number."""
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} noises"


def results_of(folder: str | Path) -> list[dict[str, str]]:
    return read_rows(Path(folder) / "results.csv", tables_of(folder)["results"], (*CONDITION, "train_accuracy", "test_accuracy"))
