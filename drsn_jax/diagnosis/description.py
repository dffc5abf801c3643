"""``model.json``, the description of a network on disk: written with a checksum, read and checked field by field."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError

FORMAT = 2  # in format 1 the field rms_range was called levels
DESCRIPTION = "model.json"
CHECKSUM = "sha256"  # the field with the checksum of all other fields


class BundleError(UserError):
    """A bundle cannot be used; the message says what was found, what was expected and what to do."""


def encode_description(facts: Mapping[str, Any]) -> str:
    """Return the text of ``model.json`` for the facts about a model.

    Raises BundleError for a fact that is missing or not a value of its kind (``FACTS``), and for numbers that are not finite.
    """
    facts = {"format": FORMAT, **plain(facts)}
    check_facts(facts, "the model")
    try:
        return json.dumps({**facts, CHECKSUM: _checksum(facts)}, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise BundleError(
            f"the model's training or accuracy holds a number that is not finite: leave it out ({error})"
        ) from error


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read ``model.json`` in the folder ``path`` and return its facts by name, without reading the weights.

    Raises BundleError if the file is missing, damaged or of a later format, and for a fact that is missing or not a value of its
    kind (``FACTS``).
    """
    file = Path(path) / DESCRIPTION
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{file.parent} holds no model ({file.name} is missing): name the folder that training wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} is damaged ({error}): get the whole folder again") from error
    version = description.get("format") if isinstance(description, dict) else None
    if not isinstance(version, int) or not _whole(version):
        raise BundleError(f"{file} describes no model: name the folder that training wrote")
    if version > FORMAT:
        raise BundleError(
            f"{file} is of format {version}, and this version of drsn_jax reads up to {FORMAT}: install a newer one"
        )
    if description.pop(CHECKSUM, None) != _checksum(description):
        raise BundleError(f"{file} is damaged or was edited: get the whole folder again, or change a model in Python and save it")
    if version == 1 and "levels" in description:
        description["rms_range"] = description.pop("levels")
    check_facts(description, str(file))
    return description


def plain(value: Any) -> Any:
    """Return a value in types that JSON has: tuples become lists, NumPy numbers plain numbers, types their names."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return jnp.dtype(value).name if not isinstance(value, np.generic) else value.item()


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _range(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2 and all(map(_number, value))
    return value is None or (pair and 0 <= value[0] <= value[1])


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value) > 0


# name of a fact → its kind in words, for messages, and a check of a value
FACTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "network": ("the fields of a network", lambda v: isinstance(v, dict)),
    "classes": ("different names", _names),
    "window_length": ("a number of samples", _whole),
    "stride": ("a number of samples", _whole),
    "channels": ("a number of signals", _whole),
    "sampling_rate": ("a positive number of Hz", lambda v: _number(v) and v > 0),
    "channel": ("a name", lambda v: isinstance(v, str)),
    "standardise": ("true, false or 'together'", lambda v: isinstance(v, bool) or v == "together"),
    "temperature": ("a number from 0.001 to 1000", lambda v: _number(v) and 1e-3 <= v <= 1e3),
    "rms_range": ("a lowest and a highest RMS, or null", _range),
    "training": ("facts by name", lambda v: isinstance(v, dict)),
    "accuracy": ("a list of facts by name", lambda v: isinstance(v, list) and all(isinstance(entry, dict) for entry in v)),
}


def check_facts(facts: Mapping[str, Any], where: str) -> None:
    """Raise BundleError if a fact is missing or not a value of its kind; ``where`` begins the message."""
    for name, (kind, fits) in FACTS.items():
        if name not in facts or not fits(facts[name]):
            found = repr(facts[name])[:100] if name in facts else "nothing"
            raise BundleError(f"{where} does not describe a model of this version: {name} is {found}, expected {kind}")


def _checksum(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
