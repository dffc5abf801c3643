"""The experiment script with networks of one unit by the modules, which compile quickly, and without its figure of t-SNE:
``python quick_script.py OPTIONS``, for tests of what is around the networks.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny

from drsn_jax.cli import console

SCRIPT = Path(__file__).parent.parent / "experiments" / "fault_diagnosis.py"
SIZE = {"widths": (4,), "units": (1,), "implementation": "modules"}


def quicken(script: Any, patch: Callable[[Any, str, Any], None] = setattr) -> Any:
    """Let the script, a module, be quick; returns it."""
    usual = script.compare
    patch(script, "compare", lambda *given: dataclasses.replace(usual(*given), size=SIZE))
    patch(script.feature_figure, "tsne_figure", lambda *given: [])
    return script


def main() -> None:
    sys.argv[0] = str(SCRIPT)
    console.run(quicken(tiny.load_script(SCRIPT)).main)


if __name__ == "__main__":
    main()
