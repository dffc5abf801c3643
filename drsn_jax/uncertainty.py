"""What several trained networks say together, and how far they disagree."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from drsn_jax.arrays import check_finite
from drsn_jax.calibration import softmax
from drsn_jax.evaluation import predict
from drsn_jax.networks import Network
from drsn_jax.signals import standardise
from drsn_jax.training import TrainState, make_predict_step


class EnsemblePrediction(NamedTuple):
    """What several members say of windows.

    Fields:
      probabilities: the mean of theirs ``(n, classes)``.
      disagreement: ``H(mean p) - mean H(p)`` in nats ``(n,)``, H the entropy: 0 where all say the same, at most
        ``log(classes)``; what the members' own doubts do not explain (the mutual information of class and member).
      members: each one's own ``(members, n, classes)``.
    """

    probabilities: np.ndarray
    disagreement: np.ndarray
    members: np.ndarray


def ensemble_predict(
    network: Network,
    variables: Any,
    windows: np.ndarray,
    *,
    prepare: Callable[[jax.Array], jax.Array] | None = standardise,
    batch_size: int = 128,
) -> EnsemblePrediction:
    """Ask all members whose stacked ``variables`` an ``EnsembleEpoch`` holds about windows ``(n, *positions, channels)``.

    Raises ValueError without members or windows, and for windows that are not finite.
    Source: Lakshminarayanan et al., NeurIPS 2017 (mean of probabilities); Depeweg et al., ICML 2018 (mutual information).
    """
    count = len(jax.tree.leaves(variables)[0])
    if count == 0 or len(windows) == 0:
        raise ValueError(f"an ensemble is asked with members about windows, got {count} and {len(windows)}")
    check_finite(windows)
    asked = _compiled(network, prepare)  # pyright: ignore[reportArgumentType]
    each = [predict(asked, jax.tree.map(lambda leaf: leaf[i], variables), windows, batch_size) for i in range(count)]  # noqa: B023
    members = softmax(np.stack(each))
    mean = members.mean(0)
    return EnsemblePrediction(mean, np.maximum(_entropy(mean) - _entropy(members).mean(0), 0), members)


@functools.lru_cache(maxsize=16)
def _compiled(network: Any, prepare: Callable[[jax.Array], jax.Array] | None) -> Callable[..., jax.Array]:
    step: Any = make_predict_step(network, prepare=prepare)
    return jax.jit(lambda variables, windows: step(TrainState(**variables, opt_state=(), step=0, key=0), windows))  # pyright: ignore[reportArgumentType]


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """In nats, ``(..., classes)`` → ``(...)``."""
    return -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-300)), -1)
