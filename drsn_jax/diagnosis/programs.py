"""The compiled functions of a model, for a few windows, for many, and on several devices."""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from drsn_jax.core import kept_files
from drsn_jax.core.distributed import Device, pmap_predict, replicate
from drsn_jax.core.kept_programs import kept
from drsn_jax.evaluation.attribution import BANDS, band_attributions
from drsn_jax.evaluation.batch_sizes import InSizes
from drsn_jax.evaluation.inspection import zeros_by_unit
from drsn_jax.evaluation.novelty import Novelty
from drsn_jax.evaluation.prediction import windows_at_a_time
from drsn_jax.functional.signals import remove_mean
from drsn_jax.functional.thresholding import THRESHOLD_RULES
from drsn_jax.nn.networks import Network, for_platform

BATCH = 256  # windows that are computed at a time, at most
FEW = 8  # windows for which a program with the weights as constants is faster, at most
SMALL = 2**20  # bytes of weights that every program for a few windows may hold
SPARE = 32  # batches that are computed before a program is compiled to save them; one takes about 16 ms, compiling 2 s, and to
# find what an earlier process has compiled 0.1 s


class Programs:
    """The compiled functions of one network, made when they are first needed. Windows are given as they were recorded.

    In a process that keeps programs (``runtime.prepare``) the next one neither traces nor compiles them again.

    Args:
      network: what is computed.
      window: the shape of a window.
      without_mean: whether the mean of each channel is removed from every window first.
    """

    def __init__(self, network: Network, window: tuple[int, ...], without_mean: bool = True) -> None:
        self._network, self._window, self._without_mean = network, window, without_mean
        self._prepared = jax.vmap(remove_mean) if without_mean else jax.numpy.asarray
        self._devices: list[Device] = []
        self._replicated: tuple[Any, Any] | None = None
        self._constant: dict[bool, tuple[Any, Any, InSizes]] = {}

    def spread(self, devices: Sequence[Device]) -> None:
        """Spread batches of windows over these devices from now on, or over none if it is one."""
        self._devices, self._replicated = (list(devices) if len(devices) > 1 else []), None
        self.__dict__.pop("_mapped", None)

    def outputs(self, variables: Any, novelty: Novelty | None, windows: np.ndarray, batch_size: int | None) -> np.ndarray:
        """Return the logits of at least one window and, behind them, its novelty where that is given, ``(n, classes (+ 1))``."""
        state = (variables, novelty)
        # a stream asks for a few windows at a time and should not have to wait for a whole batch; cores as devices belong to
        # commands, whose user waits for every program that is compiled
        if len(windows) == 1 or (batch_size is None and not self._devices and len(windows) <= FEW):
            few = self._few(state)
            if len(windows) <= few.most:
                return few(None, windows)
        if not self._devices:
            return self._outputs[novelty is None](state, windows, batch_size)
        return self._mapped[novelty is None](self._everywhere(state), windows, batch_size)

    def features(self, variables: Any, windows: np.ndarray) -> np.ndarray:
        """Return the features in front of the classifier of windows, ``(n, features)``."""
        if len(windows) == 0:
            return np.empty((0, len(variables["params"]["classifier"]["kernel"])), np.float32)
        return self._features(variables, windows)

    def zeros(self, variables: Any, windows: np.ndarray) -> np.ndarray:
        """Return the share of features that each unit sets to zero in each window, ``(n, units)``."""
        if len(windows) == 0:
            return np.empty((0, sum(self._network.units)), np.float32)
        return self._zeros(variables, windows)

    def attributions(self, variables: Any, windows: np.ndarray, label: int) -> np.ndarray:
        """Return what each band of frequencies of at least one window speaks for a class, ``(n, bands)``."""
        return self._attributions((variables, np.int32(label)), windows)

    @property
    def batch(self) -> int:
        """How many windows are computed at a time so that memory suffices."""
        return windows_at_a_time(self._network, self._window, BATCH)

    @functools.cached_property
    def _outputs(self) -> Mapping[bool, InSizes]:
        """The program without novelty and the one with it, which are compiled for sizes of their own."""
        step = jax.jit(self._kept("outputs", self._answer))
        return {without: InSizes(step, self.batch) for without in (True, False)}

    @functools.cached_property
    def _mapped(self) -> Mapping[bool, InSizes]:
        """The same two, spread over the devices. Cores as devices belong to commands, whose user waits for every program that is
        compiled: short files are filled up to the batches of a long one until that has taken half a second or so."""
        step, count = pmap_predict(self._kept("outputs", self._answer), self._devices), len(self._devices)
        most = max(1, self.batch // count) * count
        return {without: InSizes(step, most, devices=count, spare=SPARE * most) for without in (True, False)}

    @functools.cached_property
    def _features(self) -> InSizes:
        network: Any = self._network_here()

        def features(variables: Any, windows: jax.Array) -> jax.Array:
            return network.apply(variables, self._prepared(windows), train=False, method="features")

        return InSizes(jax.jit(self._kept("features", features)), self.batch)

    @functools.cached_property
    def _attributions(self) -> InSizes:
        attributions = band_attributions(self._network_here(), min(BANDS, self._window[0] // 2))

        def run(state: Any, windows: jax.Array) -> jax.Array:
            variables, label = state
            return attributions(variables, self._prepared(windows), jax.numpy.full(len(windows), label))

        # gradients keep what the way forward has computed
        return InSizes(jax.jit(self._kept("attributions", run)), max(1, self.batch // 4))

    @functools.cached_property
    def _zeros(self) -> InSizes:
        zeros = zeros_by_unit(self._network)
        step = self._kept("zeros", lambda variables, windows: zeros(variables, self._prepared(windows)))
        return InSizes(jax.jit(step), self.batch)

    def _few(self, state: Any) -> InSizes:
        """Return the program for a few windows with these weights, or for one if the weights are many.

        They are its constants: what depends on them alone is computed once. One or two windows then take half the time, eight 0.8
        of it.
        """
        kind = state[1] is None
        if kind not in self._constant or not _same(self._constant[kind][:2], state):
            # its programs are traced later, one for each number of windows, with the weights and the digest of now
            fixed = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, state)
            answer = functools.partial(self._answer, fixed)
            step = jax.jit(self._kept("few windows", answer, _digest(fixed)) if kept_files.keeps() else answer)
            small = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state)) <= SMALL
            few = min(FEW, self.batch) if small else 1
            self._constant[kind] = (*state, InSizes(lambda _, windows: step(windows), few))
        return self._constant[kind][2]

    def _everywhere(self, state: Any) -> Any:
        """Return weights as they lie on all devices; they are copied there once."""
        if self._replicated is None or not _same(self._replicated[0], state):
            self._replicated = (state, replicate((dict(state[0]), state[1]), self._devices))
        return self._replicated[1]

    def _kept(self, name: str, function: Callable[..., jax.Array], *facts: object) -> Callable[..., jax.Array]:
        """Return a function of this network that is traced once for all processes; see ``kept_programs.kept``."""
        # a rule can be added to the table of rules while the program runs
        rule = THRESHOLD_RULES.get(getattr(self._network, "threshold_rule", ""))
        return kept(function, name, self._network_here(), self._without_mean, rule, *facts)

    def _network_here(self) -> Network:
        return for_platform(self._network, jax.default_backend())

    def _answer(self, state: Any, windows: jax.Array) -> jax.Array:
        network: Any = self._network_here()
        (variables, novelty), x = state, self._prepared(windows)
        if novelty is None:
            return network.apply(variables, x, train=False)
        features, logits = network.apply(variables, x, train=False, method=_features_and_logits)
        return jax.numpy.concatenate([logits, novelty.of(features)[:, None].astype(logits.dtype)], 1)


def _digest(state: Any) -> str:
    """Return what identifies weights that are the constants of a program which is kept."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        # a number of Python has no dtype of its own, and a program with it another result than with an array
        weak, array = getattr(leaf, "weak_type", not hasattr(leaf, "dtype")), np.asarray(leaf)
        digest.update(f"{array.shape}{array.dtype}{weak}".encode())
        digest.update(array.tobytes())
    return f"{jax.tree.structure(state)} {digest.hexdigest()}"


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(a is b for a, b in zip(one, other, strict=True))


def _features_and_logits(network: Network, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
    features = network.features(x, train)
    return features, network.classifier(features)
