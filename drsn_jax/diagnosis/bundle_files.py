"""A bundle on disk: a folder with ``model.json`` and the weights that it names.

Nothing in it is executed when it is loaded.
"""

import contextlib
import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from drsn_jax.core.arrays import named_leaves
from drsn_jax.core.files import locked_folder, write_atomically
from drsn_jax.core.runtime import require_platform, versions
from drsn_jax.diagnosis import weights as weight_files
from drsn_jax.diagnosis.bundle import Bundle, window_shape
from drsn_jax.diagnosis.description import DESCRIPTION, BundleError, encode_description, read_description, read_front_end
from drsn_jax.nn.image_networks import ImageNetwork, PlainConv
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.networks import Network
from drsn_jax.nn.presets import kind_of
from drsn_jax.nn.variable_shapes import variable_shapes

REPLACED = 100  # times that ``load`` begins again because the model was replaced meanwhile
# fields of a network that a description leaves out: the user's own modules, the way it is computed, and Linen's own fields
NOT_SAVED = ("conv", "norm", "axis_name", "implementation", "platform", "parent", "name")


USUAL = {"per_revolution": False, "remove_mean": True}  # what these facts are where a description does not hold them
NOT_FACTS = ("network", "variables", "novelty", "surprises")  # fields of a bundle that ``model.json`` has in another form, or not


def fields_of(kind: type[Network]) -> tuple[str, ...]:
    """Return the names of the fields that describe a network of a kind."""
    return tuple(f.name for f in dataclasses.fields(kind) if f.name not in NOT_SAVED)


def save(path: str | os.PathLike[str], bundle: Bundle, *, overwrite: bool = False) -> None:
    """Write a bundle into the folder ``path``, which is made if it is missing.

    Parameters and statistics are written as float32, whatever their dtype, because a bundle is float32. A bundle that is replaced
    with ``overwrite`` can be loaded until the new one is complete, also if the process is killed.

    Raises BundleError for all that ``load`` would refuse: a network with a convolution or norm of the user's own, variables of
    another network or of all members of an ensemble, numbers that are not finite. Raises BundleError too if the folder has files,
    unless they are a bundle and ``overwrite`` is given.
    """
    usual = PlainConv if isinstance(bundle.network, ImageNetwork) else nn.Conv
    if bundle.network.conv is not usual or bundle.network.norm is not BatchNorm:
        raise BundleError("a network with a convolution or norm of your own cannot be described in a file: save its variables")
    folder = Path(path)
    if folder.exists() and not (folder.is_dir() and ((overwrite and _is_mine(folder)) or not any(folder.iterdir()))):
        raise BundleError(f"{folder} exists: choose another folder, nothing is overwritten")
    arrays = {name: _in_float32(leaf) for name, leaf in named_leaves(bundle.variables)}
    weight_files.check_variables(arrays, _wanted(bundle))
    known = weight_files.novelty_arrays(bundle.novelty, arrays, len(bundle.classes))
    known |= weight_files.surprise_arrays(bundle.surprises)
    weights = safetensors.numpy.save(arrays | known)
    name = weight_files.name_of(weights)
    facts = {f.name: getattr(bundle, f.name) for f in dataclasses.fields(bundle) if f.name not in NOT_FACTS}
    # what is usual is left out, so that the description of other models stays as it was
    facts = {fact: value for fact, value in facts.items() if fact not in USUAL or value != USUAL[fact]}
    facts["network"] = {name: getattr(bundle.network, name) for name in fields_of(type(bundle.network))}
    facts["standardise"] = bundle.standardise
    facts |= {"versions": versions(), "weights": name, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    description = encode_description(facts)
    folder.mkdir(parents=True, exist_ok=True)
    with locked_folder(folder):
        # the description names the weights: whenever the process ends, it is the old or the new one, and its weights are there
        write_atomically(folder / name, weights)
        write_atomically(folder / DESCRIPTION, description)
        for file in folder.iterdir():
            if weight_files.is_own(file.name) and file.name not in (name, DESCRIPTION):
                with contextlib.suppress(OSError):  # some systems keep a file that a process reads; the next ``save`` removes it
                    file.unlink()


def _wanted(bundle: Bundle) -> dict[str, Any]:
    """Return the shapes of the variables that the network of a bundle needs, by name."""
    window = bundle.window_shape
    try:
        return dict(named_leaves(variable_shapes(bundle.network, window)))
    except (ValueError, TypeError) as error:
        raise BundleError(f"the network does not take windows of the shape {window}: {error}") from error


def _in_float32(leaf: Any) -> np.ndarray:
    """Return a parameter or statistic as a file holds it: float32, its numbers in the order of their axes."""
    return np.array(leaf, np.float32, order="C")


def _is_mine(folder: Path) -> bool:
    """Return whether a folder holds a bundle, or only what an interrupted ``save`` left."""
    return (folder / DESCRIPTION).is_file() or all(weight_files.is_own(file.name) for file in folder.iterdir())


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a SHA-256 that identifies a bundle: its weights, classes and everything else in its description.

    Raises BundleError as ``description.read_description``.
    """
    facts = {name: fact for name, fact in read_description(path).items() if name != "weights"}  # their hash is there too
    return hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()


def load(path: str | os.PathLike[str]) -> Bundle:
    """Load the bundle in the folder ``path``.

    Raises BundleError if the folder holds no bundle or one of a later format, if the description or the weights are missing or
    damaged, and if they do not fit each other; the message says what differs. Raises UserError if JAX has no device.
    """
    require_platform()
    folder = Path(path)
    description, arrays = _read(folder)
    where = str(folder / DESCRIPTION)
    # earlier bundles have no ``offset``; the first ones have ``standardise`` among their own fields and not among those of the
    # network, and no front end
    former = {"standardise": description["standardise"], "offset": 0.0, "scale": 1.0, "front_end": None, "over_time": True}
    fields = {**former, **description["network"]}
    kind = kind_of(fields)
    if missing := [name for name in fields_of(kind) if name not in fields]:
        raise BundleError(f"{where} does not describe a model of this version: the network has no field {missing[0]}")
    weight_files.refuse_larger_network(fields, description["channels"], arrays, where)
    try:
        values: dict[str, Any] = {name: tuple(v) if isinstance(v := fields[name], list) else v for name in fields_of(kind)}
        values["dtype"] = jnp.dtype(values["dtype"]) if values["dtype"] else None
        values["front_end"] = read_front_end(values["front_end"])
        network = kind(**values)
        wanted = variable_shapes(network, window_shape(description["window_length"], description["channels"]))
    except Exception as error:  # a description that was not written by ``save`` can be wrong in any place
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{where} does not describe a model of this version: {reason[:200]}") from error
    named, file = dict(named_leaves(wanted)), folder / description["weights"]
    arrays, known, surprises = weight_files.apart(arrays)
    if different := weight_files.difference(arrays, named):
        raise BundleError(f"{file} does not fit {DESCRIPTION} ({different})")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BundleError(f"{file} holds numbers that are not finite: train again")
    description = {**USUAL, **description}
    facts = {f.name: description[f.name] for f in dataclasses.fields(Bundle) if f.name not in NOT_FACTS}
    rms_range = None if facts["rms_range"] is None else tuple(map(float, facts["rms_range"]))
    facts["novelty"] = weight_files.read_novelty(known, arrays, len(facts["classes"]), str(file))
    facts["surprises"] = weight_files.read_surprises(surprises, str(file))
    facts |= {"classes": tuple(facts["classes"]), "rms_range": rms_range}
    if isinstance(facts["window_length"], list):
        facts["window_length"] = tuple(facts["window_length"])
    # all at once: one by one, JAX would compile a small program for every shape
    variables = jax.tree.unflatten(jax.tree.structure(wanted), jax.device_put([arrays[name] for name in named]))
    try:
        return Bundle(network=network, variables=variables, **facts)
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from error


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the description of a bundle and its weights; begin again where the bundle is replaced meanwhile."""
    description = read_description(folder)
    for _ in range(REPLACED):
        try:
            return description, weight_files.read_weights(folder, description)
        except BundleError:
            before, description = description, read_description(folder)
            if before == description:
                raise
    raise BundleError(f"{folder} is replaced by another model again and again: load it later")
