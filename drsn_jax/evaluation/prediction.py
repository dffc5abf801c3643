"""Metrics and logits of a network for an array of windows, batch by batch, and the joint prediction of an ensemble."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from drsn_jax.core.arrays import as_labels, as_windows, check_finite, native
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.nn.networks import Network
from drsn_jax.training.steps import make_predict_step

BATCH = 2**27  # bytes that the windows of a batch, and the widest features of the network for them, may take


def windows_at_a_time(network: Network, window: tuple[int, ...], most: int) -> int:
    """Return how many windows of the shape ``window``, ``(*positions, channels)``, a network is given at a time so that memory
    suffices: ``most``, or fewer where the windows are long or have many channels, at least one."""
    positions = window[:-1] if network.front_end is None else network.front_end.positions(window[0])
    bytes_of_one = 4 * math.prod(positions) * (window[-1] + max(network.widths))
    return max(1, min(most, BATCH // bytes_of_one))


def evaluate(
    step: Callable[[Any, Any], Mapping[str, Any]],
    variables: Any,
    windows: np.ndarray,
    labels: ArrayLike,
    *,
    batch_size: int = 128,
    place: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> dict[str, np.ndarray]:
    """Return the metrics of a compiled ``make_eval_step``, summed over all windows.

    Args:
      step: ``(variables, batch) -> metrics``.
      variables: ``{"params", "batch_stats"}``.
      windows: ``(n, *positions, channels)``.
      labels: ``(n,)`` integers.
      batch_size: windows of one step; the last batch is padded with windows of weight 0, so that all batches have one shape.
      place: puts a batch where the step expects it; for several devices ``distributed.place_on(devices)``.

    A window that holds NaN or infinity makes ``loss`` NaN. It counts in ``count`` but not in ``correct`` or ``confusion``.

    Raises ValueError if there are no windows, for swapped axes, for labels that are not classes, and for a batch size below 1.
    """
    check_batch_size(batch_size)
    windows = as_windows(windows)
    if len(windows) == 0:
        raise UserError("there are no windows to evaluate on")
    numbers = as_labels(labels, len(windows))
    sums = []
    for start in range(0, len(windows), batch_size):
        part, part_labels = windows[start : start + batch_size], numbers[start : start + batch_size]
        weights = (np.arange(batch_size) < len(part)).astype(np.float32)
        batch = {"windows": _pad(part, batch_size), "labels": _pad(part_labels, batch_size), "weights": weights}
        metrics = step(variables, place(batch))
        if not sums and "confusion" in metrics:
            as_labels(numbers, len(windows), metrics["confusion"].shape[-1])
        sums.append(metrics)
    return jax.tree.map(lambda *values: np.sum(values, axis=0), *jax.device_get(sums))


def predict(step: Callable[[Any, Any], jax.Array], variables: Any, windows: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """Return the logits ``(n, classes)`` of a compiled ``make_predict_step`` for windows ``(n, *positions, channels)``.

    Another ``step``, ``(variables, windows) -> (batch, ...)``, gives another array with a row for each window. The last batch is
    padded with zeros, so that all batches have one shape. A window that holds NaN or infinity has the logits NaN.

    Raises ValueError if there are no windows, for swapped axes, and for a batch size below 1.
    """
    check_batch_size(batch_size)
    windows = as_windows(windows)
    if len(windows) == 0:
        raise UserError("there are no windows to predict")
    parts = [windows[start : start + batch_size] for start in range(0, len(windows), batch_size)]
    return np.concatenate([np.asarray(step(variables, _pad(part, batch_size)))[: len(part)] for part in parts])


def _pad(array: np.ndarray, length: int) -> np.ndarray:
    array = native(array)
    if len(array) == length:
        return array
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])


def check_batch_size(batch_size: int) -> None:
    """Raise ValueError unless a batch has at least one window."""
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise UserError(f"a batch has at least one window, got a batch size of {batch_size}")


class EnsemblePrediction(NamedTuple):
    """The prediction of all members of an ensemble for n windows.

    Fields:
      probabilities: the mean of the members' probabilities, ``(n, classes)``.
      disagreement: ``H(mean p) - mean H(p)`` in nats, ``(n,)``, where H is the entropy. It is the part of the doubt that the
        members' own doubts do not explain (the mutual information of class and member): 0 if all members have the same
        probabilities, and at most ``log(classes)``.
      members: the probabilities of each member, ``(members, n, classes)``.
    """

    probabilities: np.ndarray
    disagreement: np.ndarray
    members: np.ndarray


def ensemble_predict(
    network: Network,
    variables: Any,
    windows: np.ndarray,
    *,
    prepare: Callable[[jax.Array], jax.Array] | None = None,
    batch_size: int = 128,
) -> EnsemblePrediction:
    """Predict windows ``(n, *positions, channels)`` with all members of an ensemble.

    ``variables`` are the stacked variables of the members, as ``Epoch.variables`` of ``Ensemble.fit`` holds them. Raises
    ValueError if there are no members or no windows, for windows that are not finite, and for a batch size below 1.

    Source: Lakshminarayanan et al., NeurIPS 2017 (mean of probabilities); Depeweg et al., ICML 2018 (mutual information).
    """
    count = len(jax.tree.leaves(variables)[0])
    if count == 0 or len(windows) == 0:
        raise UserError(f"an ensemble is asked with members about windows, got {count} and {len(windows)}")
    windows = as_windows(windows)
    check_finite(windows)
    step = _compiled(network, prepare)  # pyright: ignore[reportArgumentType]
    variables = jax.device_get(variables)  # taken apart there, by operations that nobody has to compile
    logits = [predict(step, jax.tree.map(lambda leaf: leaf[i], variables), windows, batch_size) for i in range(count)]  # noqa: B023
    members = softmax(np.stack(logits))
    mean = members.mean(0)
    return EnsemblePrediction(mean, np.maximum(_entropy(mean) - _entropy(members).mean(0), 0), members)


@functools.lru_cache(maxsize=16)
def _compiled(network: Any, prepare: Callable[[jax.Array], jax.Array] | None) -> Callable[..., jax.Array]:
    return jax.jit(make_predict_step(network, prepare=prepare))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities ``(..., classes)`` in nats, ``(...)``."""
    return -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-300)), -1)
