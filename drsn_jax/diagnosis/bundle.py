"""A trained network on disk, with all that is needed to use it: a folder with ``weights.safetensors`` and ``model.json``.

Nothing in it is executed when it is loaded.
"""

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
import safetensors
import safetensors.numpy

from drsn_jax.core.arrays import check_finite, named_leaves, rounded
from drsn_jax.core.distributed import Device, pmap_predict, replicate
from drsn_jax.core.files import write_atomically
from drsn_jax.core.runtime import versions
from drsn_jax.diagnosis.description import DESCRIPTION, BundleError, encode_description, read_description
from drsn_jax.diagnosis.diagnosis import Diagnosis, diagnose
from drsn_jax.evaluation.inspection import has_thresholds, zeros_by_window
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.evaluation.prediction import predict
from drsn_jax.functional import signals
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.networks import Network, for_platform
from drsn_jax.nn.variable_shapes import variable_shapes

WEIGHTS = "weights.safetensors"
# fields of a network that a description leaves out: the user's own modules, the way it is computed, and Linen's own fields
NOT_SAVED = ("conv", "norm", "axis_name", "implementation", "platform", "parent", "name")
FIELDS = tuple(f.name for f in dataclasses.fields(Network) if f.name not in NOT_SAVED)


@dataclass(eq=False)
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
    def standardise(self) -> bool:
        """Whether the network scales windows to unit variance."""
        return self.network.standardise

    def logits(self, windows: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """Return the logits ``(n, classes)`` of windows ``(n, window_length, channels)``, as they were recorded.

        The mean of the windows is removed here, and the network scales them if it was trained so. Raises BundleError for windows
        of another shape, and ValueError for windows that are not finite.
        """
        windows = self._checked(windows)
        if len(windows) == 0:
            return np.empty((0, len(self.classes)), np.float32)
        # a stream asks for one window at a time and should not have to wait for a whole batch
        if len(windows) == 1:
            return np.asarray(self._one(windows))
        if self._spread:
            step, variables = self._spread
            return predict(step, variables, windows, batch_size)
        # few windows are filled up to a power of two, so that they cost little and few programs are compiled
        return predict(self._step, self.variables, windows, min(batch_size, 1 << (len(windows) - 1).bit_length()))

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
        self._spread = (pmap_predict(self._answer, devices), replicate(dict(self.variables), devices)) if apart else None

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
        return predict(self._zeros, self.variables, windows, 256) if len(windows) else np.empty(0, np.float32)

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

    Parameters and statistics are written as float32, whatever their dtype, because a bundle is float32.

    Raises BundleError for a network with a convolution or norm of the user's own. Raises BundleError too if the folder has files,
    unless they are a bundle and ``overwrite`` is given.
    """
    if bundle.network.conv is not nn.Conv or bundle.network.norm is not BatchNorm:
        raise BundleError("a network with a convolution or norm of your own cannot be described in a file: save its variables")
    folder = Path(path)
    if folder.exists() and not (folder.is_dir() and ((overwrite and _is_mine(folder)) or not any(folder.iterdir()))):
        raise BundleError(f"{folder} exists: choose another folder, nothing is overwritten")
    weights = safetensors.numpy.save({name: _in_float32(leaf) for name, leaf in named_leaves(bundle.variables)})
    facts = {f.name: getattr(bundle, f.name) for f in dataclasses.fields(bundle) if f.name not in ("network", "variables")}
    facts["network"] = {name: getattr(bundle.network, name) for name in FIELDS}
    facts["standardise"] = bundle.standardise
    description = encode_description({**facts, "versions": versions(), "weights_sha256": hashlib.sha256(weights).hexdigest()})
    folder.mkdir(parents=True, exist_ok=True)
    # if the process ends between the two, the weights do not fit the description: ``load`` refuses, the next ``save`` mends it
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / DESCRIPTION, description)


def _in_float32(leaf: Any) -> np.ndarray:
    """Return a parameter or statistic as a file holds it: float32, its numbers in the order of their axes."""
    return np.array(leaf, np.float32, order="C")


def _is_mine(folder: Path) -> bool:
    """Return whether a folder holds a bundle, or only what an interrupted ``save`` left."""
    own = (WEIGHTS, DESCRIPTION)
    partial = tuple(f".{name}." for name in own)
    return (folder / DESCRIPTION).is_file() or all(file.name in own or file.name.startswith(partial) for file in folder.iterdir())


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a SHA-256 that identifies a bundle: its weights, classes and everything else in its description.

    Raises BundleError as ``description.read_description``.
    """
    return hashlib.sha256(repr(sorted(read_description(path).items())).encode()).hexdigest()


def load(path: str | os.PathLike[str]) -> Bundle:
    """Load the bundle in the folder ``path``.

    Raises BundleError if the folder holds no bundle or one of a later format, if the description or the weights are missing or
    damaged, and if they do not fit each other; the message says what differs.
    """
    folder = Path(path)
    description = read_description(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / WEIGHTS} cannot be read ({error.strerror}): get the whole folder") from error
    if hashlib.sha256(weights).hexdigest() != description.get("weights_sha256"):
        raise BundleError(f"{folder / WEIGHTS} is damaged or belongs to another {DESCRIPTION}: get the whole folder again")
    try:
        arrays = safetensors.numpy.load(weights)
        # the first bundles have ``standardise`` among their own fields and not among those of the network
        network_fields = {"standardise": description["standardise"], **description["network"]}
        values: dict[str, Any] = {name: tuple(v) if isinstance(v := network_fields[name], list) else v for name in FIELDS}
        values["dtype"] = jnp.dtype(values["dtype"]) if values["dtype"] else None
        network = Network(**values)
        own = {f.name for f in dataclasses.fields(Bundle)} - {"network", "variables"}
        facts = {name: description[name] for name in own}
        wanted = variable_shapes(network, (facts["window_length"], facts["channels"]))
        rms_range = None if facts["rms_range"] is None else tuple(map(float, facts["rms_range"]))
        facts |= {"classes": tuple(facts["classes"]), "rms_range": rms_range}
    except Exception as error:  # a description that was not written by ``save`` can be wrong in any place
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{folder / DESCRIPTION} does not describe a model of this version: {reason[:200]}") from error
    named = dict(named_leaves(wanted))
    found = {name: f"{a.dtype}{list(a.shape)}" for name, a in arrays.items()}
    expected = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in named.items()}
    different = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    if different:
        listed = "; ".join(f"{n}: {found.get(n, 'missing')}, expected {expected.get(n, 'nothing')}" for n in different[:3])
        more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise BundleError(f"{folder / WEIGHTS} does not fit {DESCRIPTION} ({listed}{more})")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BundleError(f"{folder / WEIGHTS} holds numbers that are not finite: train again")
    variables = jax.tree.unflatten(jax.tree.structure(wanted), [jnp.asarray(arrays[name]) for name in named])
    try:
        return Bundle(network=network, variables=variables, **facts)
    except BundleError as error:
        raise BundleError(f"{folder / DESCRIPTION}: {error}") from error
