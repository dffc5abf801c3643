"""The networks that come trained with the package, by name.

Each has a folder beside this file: a bundle, as ``diagnosis.bundle_files.save`` writes it, and its model card, ``README.md``.
``experiments/train_pretrained.py`` has made them. Nothing of them is read before it is asked for.
"""

import os
from pathlib import Path

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis import bundle_files
from drsn_jax.diagnosis.asking import model_in
from drsn_jax.diagnosis.bundle import Bundle

CARD = "README.md"
PREFIX = "pretrained:"  # in front of a name where a script takes the folder of a model
KEPT = {
    "drivetrain": "eight states of a simulated drivetrain, by vibration at 12.8 kHz",
    "digits": "ten spoken English digits, in noise of a road, at 8 kHz",
}


def available() -> dict[str, str]:
    """Return the names of the networks that come with the package, with a line on each."""
    return dict(KEPT)


def load(name: str) -> Bundle:
    """Load a network that comes with the package. Raises UserError for a name that is not among ``available``, and BundleError
    where the installation is damaged."""
    return bundle_files.load(folder(name))


def card(name: str) -> str:
    """Return the model card of a network that comes with the package, in Markdown.

    It tells data, licence, split, accuracy by SNR, where the network fails, and the command that trained it. Raises UserError for
    a name that is not among ``available``.
    """
    return (folder(name) / CARD).read_text(encoding="utf-8")


def folder(name: str) -> Path:
    """Return the folder of a network that comes with the package, for what takes a model by its path. Raises UserError for a name
    that is not among ``available``."""
    if name not in KEPT:
        raise UserError(f"no network {name!r} comes with the package: choose one of {', '.join(KEPT)}")
    return Path(__file__).parent / name


def load_named(named: str | os.PathLike[str]) -> Bundle:
    """Load the network that a user of a script names, see ``folder_named``. Raises BundleError as ``bundle_files.load`` too."""
    return bundle_files.load(folder_named(named))


def folder_named(named: str | os.PathLike[str]) -> Path:
    """Return the folder of the network that a user of a script names: ``pretrained:NAME``, the folder of a model, or that of the
    run which kept it. Raises UserError as ``folder``."""
    path = Path(meant(os.fspath(named)))
    return model_in(path) or path


def meant(named: str) -> str:
    """Return the folder that ``pretrained:NAME`` means, and any other path as it is. Raises UserError as ``folder``."""
    return str(folder(named.removeprefix(PREFIX))) if named.startswith(PREFIX) else named
