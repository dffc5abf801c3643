"""The weights of a network on disk: named by their content, read up to a limit, compared with the network that they are for."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from drsn_jax.core import memory
from drsn_jax.core.files import read_regular
from drsn_jax.diagnosis.description import DESCRIPTION, OLD_WEIGHTS, WEIGHTS, BundleError
from drsn_jax.evaluation.conformal import MOST
from drsn_jax.evaluation.novelty import Novelty
from drsn_jax.nn.band_energy import BandEnergyNetwork
from drsn_jax.nn.presets import kind_of

NOVELTY = "novelty/"  # begins the names of the arrays of ``Bundle.novelty``
SURPRISES = "conformal/surprises"  # the name of the array ``Bundle.surprises``
SHARE = 1 / 4  # of the free memory that a file of weights may take: it is held with the arrays made of it
# the shapes by name, as ``float32[3, 4]``
Shapes = Mapping[str, str]


def name_of(content: bytes) -> str:
    """Return the name of the file that holds these weights. Other weights have another name, so that they are never replaced."""
    return f"weights-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"


def is_own(name: str) -> bool:
    """Return whether a file of this name in the folder of a bundle was written by ``save``, wholly or in part."""
    whole, partial = (OLD_WEIGHTS, DESCRIPTION), (".weights-", f".{OLD_WEIGHTS}.", f".{DESCRIPTION}.")
    return name in whole or re.fullmatch(WEIGHTS, name) is not None or name.startswith(partial)


def read_weights(folder: Path, description: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays that a description names, by name. Raises BundleError if they are missing, damaged or others."""
    file = folder / description["weights"]
    try:
        content = read_regular(file, int(SHARE * memory.available()))
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror}): get the whole folder") from error
    if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
        raise BundleError(f"{file} is damaged or belongs to another {DESCRIPTION}: get the whole folder again")
    try:
        return safetensors.numpy.load(content)
    except Exception as error:  # weights that were not written by ``save`` can be wrong in any place
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{file} holds no weights that can be read ({reason[:200]}): get the whole folder again") from error


def refuse_larger_network(fields: Mapping[str, Any], channels: int, arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Raise BundleError if a description is of a network with other units than these weights are for, or with a number that no
    array has room for. To find the shapes of a network it is traced, which takes as long as the network is deep."""
    units = {parts[1] for name in arrays if len(parts := name.split("/")) > 2 and parts[1].startswith("stages_")}
    shallow = kind_of(fields) is BandEnergyNetwork and not fields.get("over_time", True)
    deep = 0 if shallow else sum(fields["units"])
    if deep != len(units):
        raise BundleError(f"{where} describes a network of {deep} units, and its weights are for {len(units)}")
    largest = max((array.size for array in arrays.values()), default=0)
    deep_fields = (*fields["widths"], *fields["kernel"]) if deep else ()
    asked = max(channels, fields["classes"], *deep_fields, fields.get("bands", 1), fields.get("views", 1))
    if asked > largest:
        raise BundleError(f"{where} describes a network with {asked} numbers in an array, and its weights have {largest} at most")


def difference(found: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> str:
    """Return in words how arrays differ by name, type or shape from those that a network needs; nothing where they fit."""
    there, expected = shapes(found), shapes(wanted)
    different = [name for name in sorted({*there, *expected}) if there.get(name) != expected.get(name)]
    listed = "; ".join(f"{n}: {there.get(n, 'missing')}, expected {expected.get(n, 'nothing')}" for n in different[:3])
    return f"{listed}; and {len(different) - 3} more" if len(different) > 3 else listed


def shapes(arrays: Mapping[str, Any]) -> Shapes:
    """Return types and shapes by name, for messages."""
    return {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}


def check_variables(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> None:
    """Raise BundleError for arrays by name that ``load`` would refuse for a network which needs ``wanted``."""
    if different := difference(arrays, wanted):
        stacked = {array.shape[:1] for array in arrays.values()}
        members = len(stacked) == 1 and all(
            name in arrays and arrays[name].shape[1:] == leaf.shape for name, leaf in wanted.items()
        )
        advice = "save the members of an ensemble one by one, jax.tree.map(lambda a: a[0], variables)" if members else (
            'give those of this network, {"params": …, "batch_stats": …}'
        )  # fmt: skip
        raise BundleError(f"the variables do not fit the network ({different}): {advice}")
    if bad := sorted(name for name, array in arrays.items() if not np.isfinite(array).all()):
        raise BundleError(f"the variables hold numbers that are not finite (in {bad[0]}): train again, nothing was saved")


def apart(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None]:
    """Return the variables of a network among arrays, those of its novelty, and the surprises of held-out windows."""
    novelty = {name: array for name, array in arrays.items() if name.startswith(NOVELTY)}
    variables = {name: array for name, array in arrays.items() if name not in novelty and name != SURPRISES}
    return variables, novelty, arrays.get(SURPRISES)


def surprise_arrays(surprises: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the array of surprises by name, nothing for None; raise BundleError for one that ``load`` would refuse."""
    if surprises is None:
        return {}
    array = np.array(surprises, np.float32, order="C")
    read_surprises(array, "the model")
    return {SURPRISES: array}


def read_surprises(array: np.ndarray | None, where: str) -> np.ndarray | None:
    """Return the surprises of held-out windows; raise BundleError for what is none."""
    if array is None:
        return None
    fits = array.ndim == 1 and array.dtype == np.float32 and 0 < len(array) <= MOST
    if not fits or not (np.isfinite(array).all() and array.min() >= 0):
        raise BundleError(f"{where}: its surprises are no list of numbers from 0 ({array.dtype}{list(array.shape)})")
    return array


def novelty_arrays(novelty: Novelty | None, variables: Mapping[str, np.ndarray], classes: int) -> dict[str, np.ndarray]:
    """Return the arrays of a novelty by name, nothing for None; raise BundleError for those that ``load`` would refuse."""
    if novelty is None:
        return {}
    arrays = {NOVELTY + name: np.array(value, np.float32, order="C") for name, value in novelty._asdict().items()}
    read_novelty(arrays, variables, classes, "the model")
    return arrays


def read_novelty(
    arrays: Mapping[str, np.ndarray], variables: Mapping[str, np.ndarray], classes: int, where: str
) -> Novelty | None:
    """Return the novelty of these arrays, None for none; raise BundleError for arrays that do not fit the network."""
    if not arrays:
        return None
    count, axes = len(variables["params/classifier/kernel"]), np.shape(arrays.get(f"{NOVELTY}axes", np.zeros(())))[1:]
    # a class without training windows has no centre
    centres = min(max(1, len(np.atleast_1d(arrays.get(f"{NOVELTY}centres", ())))), classes)
    expected = {"centres": (centres, count), "axes": (count, *axes), "spread": (sum(axes) + 1,), "limit": ()}
    there = {name.removeprefix(NOVELTY): array.shape for name, array in arrays.items() if array.dtype == np.float32}
    known = {name.removeprefix(NOVELTY): array for name, array in arrays.items()}
    if there != expected or len(axes) != 1 or not all(np.isfinite(array).all() for array in known.values()):
        raise BundleError(f"{where}: its novelty does not fit the network (got {there}, expected {expected}, all finite)")
    if not (known["spread"].min() > 0 and known["limit"] > 0):
        raise BundleError(f"{where}: its novelty has a spread or a limit that is not positive")
    return Novelty(**known)
