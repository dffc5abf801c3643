"""A look inside a trained network: its thresholds, the features before and after them, and the pooled features.

A unit with thresholds computes for each sample and channel the threshold τ = α · mean |x|, where α is between 0 and 1, and sets
features of a smaller magnitude to zero. Everything here is computed in evaluation mode, on windows as the network is given them
(standardised first, if the training did so outside the network).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from drsn_jax.core.arrays import as_windows, check_finite
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.prediction import predict, windows_at_a_time
from drsn_jax.nn.networks import Network

ATTENTION = "attention"  # the name of the shrinkage inside a unit
NEAR = 0.02  # an α that is nearer than this to 0 or 1 has collapsed
PART = 256  # windows that are computed at a time, at most


class UnitThresholds(NamedTuple):
    """What the thresholds of one unit do to n windows.

    Fields:
      unit: the name of the unit, ``stages_0_1`` for the second unit of the first stage.
      alpha, threshold: α and τ, ``(n, channels)``, or ``(n, 1)`` if all channels share one threshold.
      zeros: the share of positions that became zero, ``(n, channels)``.
    """

    unit: str
    alpha: np.ndarray
    threshold: np.ndarray
    zeros: np.ndarray

    @property
    def collapsed(self) -> float:
        """The share of all α that lie within 0.02 of 0 or of 1.

        At 0 nothing is shrunk, and the unit is a plain residual unit. At 1 the threshold is the mean of |x| for every sample. In
        both cases α no longer depends on the sample, and the sigmoid passes on less than a twelfth of its largest gradient.
        """
        return float(np.mean((self.alpha < NEAR) | (self.alpha > 1 - NEAR)))


class ZeroMap(NamedTuple):
    """Where one unit set features of n windows to zero.

    Fields:
      unit: the name of the unit, as in ``UnitThresholds``.
      share: the share of channels that are zero at each position, ``(n, *positions)``. The positions are those of the unit's
        output, fewer than those of the window by the strides before.
    """

    unit: str
    share: np.ndarray


class Shrinkage(NamedTuple):
    """What one unit does to one window.

    Fields:
      unit: the name of the unit, as in ``UnitThresholds``.
      before, after: the features before and after the shrinkage, ``(*positions, channels)``.
      threshold: τ, ``(channels,)``, or ``(1,)`` if all channels share one threshold.
    """

    unit: str
    before: np.ndarray
    after: np.ndarray
    threshold: np.ndarray


def thresholds(network: Network, variables: Any, windows: np.ndarray) -> list[UnitThresholds]:
    """Return τ, α and the share of zeros of every unit, in the order of the units, for windows ``(n, *positions, channels)``.

    Raises ValueError for a network without thresholds, if there are no windows, and for windows that are not finite.
    """
    windows = as_windows(windows)
    _check(network, windows)
    step = _compiled(network)  # pyright: ignore[reportArgumentType]
    part = windows_at_a_time(network, windows.shape[1:], PART)
    parts = [jax.device_get(step(variables, windows[i : i + part])) for i in range(0, len(windows), part)]
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return [UnitThresholds(unit, **whole[unit]) for unit in _units(network)]


def shrinkages(network: Network, variables: Any, window: np.ndarray) -> list[Shrinkage]:
    """Return the features of one window ``(*positions, channels)`` before and after the shrinkage of every unit.

    Raises ValueError as ``thresholds``.
    """
    windows = np.asarray(window)[None]
    _check(network, windows)
    names = (network.before_shrinkage, ATTENTION)
    kept = jax.device_get(_captured(network, names)(variables, windows))  # pyright: ignore[reportArgumentType]
    results = []
    for unit in _units(network):
        inner, sown = kept["intermediates"][unit], kept["thresholds"][unit][ATTENTION]
        before, after = (np.asarray(inner[name]["__call__"][0][0]) for name in names)
        results.append(Shrinkage(unit, before, after, np.asarray(sown["threshold"][0][0])))
    return results


def zero_maps(network: Network, variables: Any, windows: np.ndarray) -> list[ZeroMap]:
    """Return where each unit zeroed features, in the order of the units, for windows ``(n, *positions, channels)``.

    Raises ValueError as ``thresholds``.
    """
    windows = as_windows(windows)
    _check(network, windows)
    step = _mapped(network)  # pyright: ignore[reportArgumentType]
    part = windows_at_a_time(network, windows.shape[1:], PART)
    parts = [jax.device_get(step(variables, windows[i : i + part])) for i in range(0, len(windows), part)]
    return [ZeroMap(unit, np.concatenate([of_part[unit] for of_part in parts])) for unit in _units(network)]


def zeros_by_unit(network: Network) -> Callable[[Any, jax.Array], jax.Array]:
    """Make a pure function ``(variables, windows) -> (n, units)``.

    It returns for each window and unit, in the order of the units, the share of features that the thresholds set to zero, the
    mean over channels.
    """

    def zeros(variables: Any, windows: jax.Array) -> jax.Array:
        units = _sown(network, variables, windows)
        return jnp.stack([jnp.mean(units[unit]["zeros"], -1) for unit in _units(network)], -1)

    return zeros


def pooled_features(network: Network, variables: Any, windows: np.ndarray) -> np.ndarray:
    """Return the features in front of the classifier, ``(n, widths[-1])``, for windows ``(n, *positions, channels)``.

    Raises ValueError if there are no windows, and for windows that are not finite.
    """
    if len(windows) == 0:
        raise UserError("there are no windows to look at")
    check_finite(windows)
    step = _pooled(network)  # pyright: ignore[reportArgumentType]
    return predict(step, variables, windows, windows_at_a_time(network, np.shape(windows)[1:], min(PART, len(windows))))


def has_thresholds(network: Network) -> bool:
    """Return whether the units of a network have thresholds."""
    return network.shrinkage in ("channel_wise", "channel_shared")


@functools.lru_cache(maxsize=16)
def _pooled(network: Any) -> Callable[..., jax.Array]:
    return jax.jit(functools.partial(network.apply, train=False, method="features"))


@functools.lru_cache(maxsize=16)
def _compiled(network: Any) -> Callable[..., Any]:
    return jax.jit(functools.partial(_sown, network))


@functools.lru_cache(maxsize=16)
def _mapped(network: Any) -> Callable[..., Any]:
    keep = _captured(network, (ATTENTION,))

    def run(variables: Any, windows: jax.Array) -> Any:
        kept = keep(variables, windows)["intermediates"]
        return {unit: jnp.mean(kept[unit][ATTENTION]["__call__"][0] == 0, -1, dtype=jnp.float32) for unit in _units(network)}

    return jax.jit(run)


@functools.lru_cache(maxsize=16)
def _captured(network: Any, names: tuple[str, ...]) -> Callable[..., Any]:
    """Make a compiled function ``(variables, windows)`` that returns what the modules of these names put out, and the
    thresholds."""

    def chosen(module: Any, _: str) -> bool:
        return module.name is not None and module.name in names

    def run(variables: Any, windows: jax.Array) -> Any:
        _, kept = network.apply(
            variables, windows, train=False, capture_intermediates=chosen, mutable=["intermediates", "thresholds"]
        )
        return kept

    return jax.jit(run)


def _sown(network: Network, variables: Any, windows: jax.Array) -> dict[str, dict[str, jax.Array]]:
    _, sown = network.apply(variables, windows, train=False, mutable=["thresholds"])
    units: dict[str, dict[str, jax.Array]] = {}
    for path, kept in flatten_dict(sown["thresholds"]).items():
        value: Any = kept
        units.setdefault(path[0], {})[path[-1]] = value[0]
    return units


def _units(network: Network) -> list[str]:
    return [f"stages_{stage}_{number}" for stage, count in enumerate(network.units) for number in range(count)]


def _check(network: Network, windows: np.ndarray) -> None:
    if not has_thresholds(network):
        raise UserError(f"a network with the shrinkage {network.shrinkage!r} has no thresholds: take drsn_cs or drsn_cw")
    if len(windows) == 0:
        raise UserError("there are no windows to look at")
    check_finite(windows)
