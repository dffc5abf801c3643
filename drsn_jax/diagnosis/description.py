"""``model.json``, the description of a network on disk: written with a checksum, read and checked field by field."""

import dataclasses
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.files import read_regular
from drsn_jax.functional.mel import LogMel

# in format 1 the field rms_range was called levels; up to format 2 all weights had the name OLD_WEIGHTS; up to 3 there was no
# novelty among them; up to 4 there were no surprises, and no windows in revolutions
FORMAT = 6
DESCRIPTION = "model.json"
OLD_WEIGHTS = "weights.safetensors"
WEIGHTS = r"weights-[0-9a-f]{16}\.safetensors"
LARGEST = 2**24  # bytes of a description
DEEPEST = 50  # facts that lie in one another
CHECKSUM = "sha256"  # the field with the checksum of all other fields


class BundleError(UserError):
    """A bundle cannot be used; the message says what was found, what was expected and what to do."""


def encode_description(facts: Mapping[str, Any]) -> str:
    """Return the text of ``model.json`` for the facts about a model.

    Raises BundleError for a fact that is missing or not a value of its kind (``FACTS``), and for numbers that are not finite.
    """
    try:
        facts = {"format": FORMAT, **plain(facts)}
    except RecursionError as error:
        raise BundleError("the model's training or accuracy holds itself, or nests too deep: leave it out") from error
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
        description = json.loads(read_regular(file, LARGEST).decode("utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{file.parent} holds no model ({file.name} is missing): name the folder that training wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise BundleError(f"{file} is damaged ({reason}): get the whole folder again") from error
    version = description.get("format") if isinstance(description, dict) else None
    if not isinstance(version, int) or not _whole(version):
        raise BundleError(f"{file} describes no model: name the folder that training wrote")
    if version > FORMAT:
        raise BundleError(
            f"{file} is of format {version}, and this version of drsn_jax reads up to {FORMAT}: install a newer one"
        )
    _refuse_depth(description, str(file))
    if description.pop(CHECKSUM, None) != _checksum(description):
        raise BundleError(f"{file} is damaged or was edited: get the whole folder again, or change a model in Python and save it")
    if version == 1 and "levels" in description:
        description["rms_range"] = description.pop("levels")
    if version < 3:
        description["weights"] = OLD_WEIGHTS
    check_facts(description, str(file))
    return description


def plain(value: Any) -> Any:
    """Return a value in types that JSON has: tuples become lists, NumPy numbers plain numbers, types their names, and a front end
    its fields by name."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, LogMel):
        return dataclasses.asdict(value)
    return jnp.dtype(value).name if not isinstance(value, np.generic) else value.item()


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _number(value: Any) -> bool:
    # a whole number can have more digits than a float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _range(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2 and all(map(_number, value))
    return value is None or (pair and 0 <= value[0] <= value[1])


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value) > 0


def _wholes(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_whole, value))


def _by_channel(value: Any) -> bool:
    return _number(value) or (isinstance(value, list) and len(value) > 0 and all(map(_number, value)))


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _standardise(value: Any) -> bool:
    return isinstance(value, bool) or value == "together"


def _front_end(value: Any) -> bool:
    if value is None:
        return True
    try:
        read_front_end(value)
    except (UserError, TypeError):
        return False
    return True


def read_front_end(fields: Mapping[str, Any] | None) -> LogMel | None:
    """Return the front end of a description; raise UserError for fields out of range, and TypeError for others than those of
    ``LogMel``."""
    if fields is None:
        return None
    if not isinstance(fields, dict) or not all(map(_number, fields.values())):
        raise TypeError(f"a front end has numbers by name, got {fields}")
    return LogMel(**fields)


# name of a field of a network → its kind in words, and a check of a value; tracing the network checks what fits together
NETWORK_FACTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "classes": ("a number from 1", _whole),
    "widths": ("numbers from 1", _wholes),
    "units": ("numbers from 1", _wholes),
    "kernel": ("numbers from 1", _wholes),
    "stem": ("a number from 1", _whole),
    "shrinkage": ("a name or null", _text_or_none),
    "threshold_rule": ("a name", lambda v: isinstance(v, str)),
    "shortcut": ("a name or null", _text_or_none),
    "padding": ("a name", lambda v: isinstance(v, str)),
    "dtype": ("the name of a type, or null", _text_or_none),
    **dict.fromkeys(("bottleneck", "over_time"), ("true or false", lambda v: isinstance(v, bool))),
    **dict.fromkeys(("bands", "frame", "hop", "pool", "views"), ("a number from 1", _whole)),
    "standardise": ("true, false or 'together'", _standardise),
    "offset": ("a number, or one for each channel", lambda v: _by_channel(v)),
    "scale": ("a positive number, or one for each channel", lambda v: _by_channel(v) and np.min(v) > 0),
    "front_end": ("the fields of a log-mel front end, or null", _front_end),
}


# name of a fact → its kind in words, for messages, and a check of a value
FACTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "network": ("the fields of a network", lambda v: isinstance(v, dict)),
    "classes": ("different names", _names),
    "window_length": ("a number of samples, or the height and the width of a picture", lambda v: _whole(v) or _wholes(v)),
    "stride": ("a number of samples, or null", lambda v: v is None or _whole(v)),
    "channels": ("a number of signals", _whole),
    "sampling_rate": ("a positive number of Hz, or null", lambda v: v is None or (_number(v) and v > 0)),
    "channel": ("a name", lambda v: isinstance(v, str)),
    "standardise": ("true, false or 'together'", _standardise),
    "temperature": ("a number from 0.001 to 1000", lambda v: _number(v) and 1e-3 <= v <= 1e3),
    "rms_range": ("a lowest and a highest RMS, or null", _range),
    "training": ("facts by name", lambda v: isinstance(v, dict)),
    "accuracy": ("a list of facts by name", lambda v: isinstance(v, list) and all(isinstance(entry, dict) for entry in v)),
    **dict.fromkeys(("per_revolution", "remove_mean"), ("true or false", lambda v: isinstance(v, bool))),
    "weights": (
        "the name of a file of weights",
        lambda v: isinstance(v, str) and bool(re.fullmatch(f"{WEIGHTS}|{re.escape(OLD_WEIGHTS)}", v)),
    ),
}


# facts that earlier versions did not write, and that are written only where they say something
LATER = ("per_revolution", "remove_mean")


def check_facts(facts: Mapping[str, Any], where: str) -> None:
    """Raise BundleError if a fact is missing or not a value of its kind; ``where`` begins the message.

    Facts in ``LATER`` may be missing. Of the fields of the network those are checked that are there: earlier versions had fewer.
    """
    _check_kinds(facts, {name: kind for name, kind in FACTS.items() if name in facts or name not in LATER}, where)
    network = facts["network"]
    _check_kinds(network, {name: kind for name, kind in NETWORK_FACTS.items() if name in network}, where, " of its network")


def _check_kinds(
    facts: Mapping[str, Any], kinds: Mapping[str, tuple[str, Callable[[Any], bool]]], where: str, of: str = ""
) -> None:
    for name, (kind, fits) in kinds.items():
        if name not in facts or not fits(facts[name]):
            found = repr(facts[name])[:100] if name in facts else "nothing"
            raise BundleError(f"{where} does not describe a model of this version: {name}{of} is {found}, expected {kind}")


def _refuse_depth(description: Mapping[str, Any], where: str) -> None:
    """Raise BundleError for facts that lie in one another more than ``DEEPEST`` deep, which no ``save`` has written."""
    level: list[Any] = [description]
    for _ in range(DEEPEST):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise BundleError(f"{where} nests its facts more than {DEEPEST} deep: get the whole folder again")


def _checksum(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
