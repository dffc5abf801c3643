"""The commands of ``drsn-jax``, and how messages name a command: as the user typed it.

Each command is one of the scripts in ``experiments/``, which also run by themselves. Texts in the code name the script, as
``python experiments/diagnose.py``; ``as_typed`` turns that into ``drsn-jax diagnose`` in a process that was started so.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple


class Command(NamedTuple):
    """A command: its script without ``.py``, a line for the help, and what it says when it is interrupted."""

    script: str
    summary: str
    interrupted: str


_CONTINUE = "interrupted: the same command with --out on this run's folder continues it"
COMMANDS = {
    "train": Command("fault_diagnosis", "Train networks on recordings and compare them in noise.", _CONTINUE),
    "diagnose": Command("diagnose", "Ask a trained network about recordings.", "interrupted"),
    "evaluate": Command("evaluate", "Test a trained network on labelled recordings, at chosen levels of noise.", "interrupted"),
    "export": Command(
        "export_model", "Write a trained network as ONNX or StableHLO, to run without this package.", "interrupted"
    ),
    "ablate": Command("noise_ablation", "Train in one noise, test in others, and look at the thresholds.", _CONTINUE),
    "pictures": Command("image_classification", "Train networks on pictures among other things, and compare them.", _CONTINUE),
    "speech": Command("speech_recognition", "Train networks on spoken words and compare them in roadside noise.", _CONTINUE),
}

# the program and the command that started this process; None for a script that was started by itself
_started: tuple[str, str] | None = None


@contextlib.contextmanager
def started_by(program: str, name: str) -> Iterator[None]:
    """Name commands by ``program`` (``drsn-jax``) inside the block; ``name`` is the command that runs there."""
    global _started
    before, _started = _started, (program, name)
    try:
        yield
    finally:
        _started = before


def program() -> str | None:
    """Return the command that runs, ``drsn-jax diagnose``, for its usage line; None for a script that was started by itself."""
    return None if _started is None else " ".join(_started)


def as_typed(text: str) -> str:
    """Return a text with its commands named as the user starts them: ``drsn-jax diagnose`` or the script, as it stands."""
    if _started is not None:
        for name, command in COMMANDS.items():
            text = text.replace(f"python experiments/{command.script}.py", f"{_started[0]} {name}")
    return text
