"""The experiment script with networks of one unit by the modules, which compile quickly, and with one figure:
``python quick_script.py OPTIONS``, for tests of what is around the networks.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny

from drsn_jax.cli import console
from drsn_jax.studies import comparison_figures

SCRIPT = Path(__file__).parent.parent / "experiments" / "fault_diagnosis.py"
SIZE = {"widths": (4,), "units": (1,), "implementation": "modules"}


def quicken(script: Any, patch: Callable[[Any, str, Any], None] = setattr) -> Any:
    """Let the script, a module, be quick and draw no figure of t-SNE; returns it."""
    usual = script.compare
    patch(script, "compare", lambda *given: dataclasses.replace(usual(*given), size=SIZE))
    patch(script.feature_figure, "tsne_figure", lambda *given: [])
    return script


def main() -> None:
    sys.argv[0] = str(SCRIPT)
    script = quicken(tiny.load_script(SCRIPT))
    script.draw_all = lambda folder: [comparison_figures.accuracy_bars(folder)]  # one figure tells that there are figures
    console.run(script.main)


if __name__ == "__main__":
    main()
