"""A trained network on disk, with all that is needed to use it: a folder with ``model.json`` and the weights that it names.

Nothing in it is executed when it is loaded.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from drsn_jax.core.arrays import check_finite, named_leaves, rounded
from drsn_jax.core.distributed import Device, pmap_predict, replicate
from drsn_jax.core.files import locked_folder, write_atomically
from drsn_jax.core.runtime import require_platform, versions
from drsn_jax.diagnosis import weights as weight_files
from drsn_jax.diagnosis.description import DESCRIPTION, BundleError, encode_description, read_description
from drsn_jax.diagnosis.diagnosis import Diagnosis, diagnose
from drsn_jax.evaluation.inspection import has_thresholds, zeros_by_window
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.evaluation.prediction import predict, windows_at_a_time
from drsn_jax.functional import signals
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.networks import NETWORKS, Network, for_platform
from drsn_jax.nn.variable_shapes import variable_shapes

BATCH = 256  # windows that are computed at a time, at most
REPLACED = 100  # times that ``load`` begins again because the model was replaced meanwhile
# fields of a network that a description leaves out: the user's own modules, the way it is computed, and Linen's own fields
NOT_SAVED = ("conv", "norm", "axis_name", "implementation", "platform", "parent", "name")
FIELDS = tuple(f.name for f in dataclasses.fields(Network) if f.name not in NOT_SAVED)


@dataclass(eq=False, repr=False)
class Bundle:
    """A trained network, and the facts about its data that are needed to use it.

    Fields:
      network: a ``Network`` with flax's convolution and this package's norm. If it was trained on standardised windows, it
        standardises them itself (``Network.standardise``).
      variables: ``{"params", "batch_stats"}``.
      classes: the names of the classes.
      window_length, stride: the length of the training windows and the step from one to the next, in samples.
      sampling_rate: the sampling rate of the training data, in Hz.
      channel: the names of the signals of a file that it was trained on (see ``data.formats.channels``), for readers.
      channels: the number of these signals.
      temperature: divides the logits, so that probabilities are calibrated.
      rms_range: the lowest and the highest root mean square (RMS) that is usual among the training windows, in their own unit.
      training: facts about the training, for readers.
      accuracy: the accuracy on test data, one entry for each kind and level of noise.

    Raises BundleError unless the names of the classes are different and as many as the network's classes.
    """

    network: Network
    variables: Mapping[str, Any]
    classes: Sequence[str]
    window_length: int
    sampling_rate: float
    stride: int
    channel: str = ""
    channels: int = 1
    temperature: float = 1.0
    rms_range: tuple[float, float] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        self._spread: Any = None
        if len(self.classes) != self.network.classes or len(set(self.classes)) < len(self.classes):
            raise BundleError(f"{self.network.classes} classes need as many different names, got {list(self.classes)}")

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the fields, without compiled functions and devices."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"_spread": None}

    @property
    def standardise(self) -> bool | str:
        """Whether the network scales windows to unit variance; "together" for all channels by one number."""
        return self.network.standardise

    def logits(self, windows: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Return the logits ``(n, classes)`` of windows ``(n, window_length, channels)``, as they were recorded.

        The mean of the windows is removed here, and the network scales them if it was trained so. ``batch_size`` windows are
        computed at a time, by default 256 or as many as memory should be given to. Raises BundleError for windows of another
        shape, and ValueError for windows that are not finite.
        """
        windows = self._checked(windows)
        if len(windows) == 0:
            return np.empty((0, len(self.classes)), np.float32)
        # a stream asks for one window at a time and should not have to wait for a whole batch
        if len(windows) == 1:
            return np.asarray(self._one(windows))
        step, variables, devices = self._spread or (self._step, self.variables, 1)
        usual = max(1, self._batch // devices) * devices if batch_size is None else batch_size
        if not self._spread:
            # few windows are filled up to a power of two, so that they cost little and few programs are compiled
            usual = min(usual, 1 << (len(windows) - 1).bit_length())
        return predict(step, variables, windows, usual)

    def _checked(self, windows: np.ndarray) -> np.ndarray:
        """Return windows as float32; raise the errors of ``logits``."""
        windows = rounded(windows)
        if windows.ndim != 3 or windows.shape[1:] != (self.window_length, self.channels):
            raise BundleError(
                f"the model takes windows of the shape (n, {self.window_length}, {self.channels}), got {windows.shape}"
            )
        check_finite(windows)
        return windows

    def spread(self, devices: Sequence[Device]) -> None:
        """Spread batches of windows over these devices from now on.

        Their number must divide the batch size of ``logits``. On a CPU whose cores are devices (``runtime.prepare``) this is
        faster than one device with all cores.
        """
        apart = len(devices) > 1
        mapped = pmap_predict(self._answer, devices) if apart else None
        self._spread = (mapped, replicate(dict(self.variables), devices), len(devices)) if apart else None

    def __repr__(self) -> str:
        """Return a line: what it answers and for which windows; the arrays are left out."""
        kind = next(
            (name for name, made in NETWORKS.items() if all(getattr(self.network, f) == v for f, v in made.keywords.items())), ""
        )
        return (
            f"Bundle({kind or 'network'}, {len(self.classes)} classes ({', '.join(self.classes)[:80]}), windows of "
            f"{self.window_length} samples × {self.channels} channel{'s' * (self.channels > 1)} at {self.sampling_rate:g} Hz)"
        )

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Return the name of the most probable class of each window, ``(n,)``; arguments and errors as ``logits``."""
        return np.asarray(self.classes)[self.logits(windows).argmax(1)]

    def predict_proba(self, windows: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities ``(n, classes)`` of windows; arguments and errors as ``logits``."""
        return softmax(self.logits(windows), self.temperature)

    def diagnose(self, signal: np.ndarray, sampling_rate: float) -> Diagnosis:
        """Diagnose a signal ``(length,)`` or ``(length, channels)``, recorded at ``sampling_rate`` Hz; errors as
        ``diagnosis.diagnose``."""
        return diagnose(self, signal, sampling_rate)

    def zeros(self, windows: np.ndarray) -> np.ndarray | None:
        """Return for each window the share of features that the thresholds set to zero, the mean over all channels and units
        ``(n,)``; None for a network without thresholds. Errors as ``logits``."""
        if not has_thresholds(self.network):
            return None
        windows = self._checked(windows)
        return predict(self._zeros, self.variables, windows, self._batch) if len(windows) else np.empty(0, np.float32)

    @property
    def _batch(self) -> int:
        """How many windows are computed at a time so that memory suffices."""
        return windows_at_a_time(self.network, (self.window_length, self.channels), BATCH)

    @functools.cached_property
    def _zeros(self) -> Any:
        zeros = zeros_by_window(self.network)
        return jax.jit(lambda variables, windows: zeros(variables, self._prepared(windows)))

    def _prepared(self, windows: jax.Array) -> jax.Array:
        return jax.vmap(signals.remove_mean)(windows)

    @functools.cached_property
    def _step(self) -> Any:
        return jax.jit(self._answer)

    @functools.cached_property
    def _one(self) -> Any:
        # the weights are constants of the program: it takes half the time, because what depends on them alone is computed once
        return jax.jit(lambda windows: self._answer(self.variables, windows))

    def _answer(self, variables: Any, windows: jax.Array) -> jax.Array:
        network = for_platform(self.network, jax.default_backend())
        return network.apply(variables, self._prepared(windows), train=False)  # pyright: ignore[reportReturnType]


def save(path: str | os.PathLike[str], bundle: Bundle, *, overwrite: bool = False) -> None:
    """Write a bundle into the folder ``path``, which is made if it is missing.

    Parameters and statistics are written as float32, whatever their dtype, because a bundle is float32. A bundle that is replaced
    with ``overwrite`` can be loaded until the new one is complete, also if the process is killed.

    Raises BundleError for all that ``load`` would refuse: a network with a convolution or norm of the user's own, variables of
    another network or of all members of an ensemble, numbers that are not finite. Raises BundleError too if the folder has files,
    unless they are a bundle and ``overwrite`` is given.
    """
    if bundle.network.conv is not nn.Conv or bundle.network.norm is not BatchNorm:
        raise BundleError("a network with a convolution or norm of your own cannot be described in a file: save its variables")
    folder = Path(path)
    if folder.exists() and not (folder.is_dir() and ((overwrite and _is_mine(folder)) or not any(folder.iterdir()))):
        raise BundleError(f"{folder} exists: choose another folder, nothing is overwritten")
    arrays = {name: _in_float32(leaf) for name, leaf in named_leaves(bundle.variables)}
    weight_files.check_variables(arrays, _wanted(bundle))
    weights = safetensors.numpy.save(arrays)
    name = weight_files.name_of(weights)
    facts = {f.name: getattr(bundle, f.name) for f in dataclasses.fields(bundle) if f.name not in ("network", "variables")}
    facts["network"] = {name: getattr(bundle.network, name) for name in FIELDS}
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
    window = (bundle.window_length, bundle.channels)
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
    # the first bundles have ``standardise`` among their own fields and not among those of the network
    fields = {"standardise": description["standardise"], "scale": 1.0, **description["network"]}
    if missing := [name for name in FIELDS if name not in fields]:
        raise BundleError(f"{where} does not describe a model of this version: the network has no field {missing[0]}")
    weight_files.refuse_larger_network(fields, description["channels"], arrays, where)
    try:
        values: dict[str, Any] = {name: tuple(v) if isinstance(v := fields[name], list) else v for name in FIELDS}
        values["dtype"] = jnp.dtype(values["dtype"]) if values["dtype"] else None
        network = Network(**values)
        wanted = variable_shapes(network, (description["window_length"], description["channels"]))
    except Exception as error:  # a description that was not written by ``save`` can be wrong in any place
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{where} does not describe a model of this version: {reason[:200]}") from error
    named, file = dict(named_leaves(wanted)), folder / description["weights"]
    if different := weight_files.difference(arrays, named):
        raise BundleError(f"{file} does not fit {DESCRIPTION} ({different})")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BundleError(f"{file} holds numbers that are not finite: train again")
    facts = {f.name: description[f.name] for f in dataclasses.fields(Bundle) if f.name not in ("network", "variables")}
    rms_range = None if facts["rms_range"] is None else tuple(map(float, facts["rms_range"]))
    facts |= {"classes": tuple(facts["classes"]), "rms_range": rms_range}
    variables = jax.tree.unflatten(jax.tree.structure(wanted), [jnp.asarray(arrays[name]) for name in named])
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
