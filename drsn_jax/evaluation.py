"""How good is a network: scores from a confusion matrix, and how sure are we: intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from drsn_jax.arrays import native
from drsn_jax.training import Step, TrainState


class Scores(NamedTuple):
    """Shares between 0 and 1."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float


class Interval(NamedTuple):
    """A mean and the half width of its 95 % interval (NaN where a single value gives none)."""

    mean: float
    half_width: float


def evaluate(
    step: Step,
    state: TrainState,
    windows: np.ndarray,
    labels: np.ndarray,
    *,
    batch_size: int = 128,
    place: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> dict[str, np.ndarray]:
    """The summed metrics of a compiled ``make_eval_step`` over all windows, the last batch padded with weight 0.

    ``place`` as in ``fitting.fit``. Raises ValueError without windows.
    """
    if len(windows) == 0:
        raise ValueError("there are no windows to evaluate on")
    sums = []
    for start in range(0, len(windows), batch_size):
        part, part_labels = windows[start : start + batch_size], labels[start : start + batch_size]
        weights = (np.arange(batch_size) < len(part)).astype(np.float32)
        batch = {"windows": _pad(part, batch_size), "labels": _pad(part_labels, batch_size), "weights": weights}
        sums.append(step(state, place(batch))[1])
    return jax.tree.map(lambda *values: np.sum(values, axis=0), *jax.device_get(sums))


def predict(step: Callable[[Any, np.ndarray], jax.Array], state: Any, windows: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """The logits ``(n, classes)`` of a compiled ``make_predict_step`` for all windows, or what another step gives for each."""
    parts = [windows[start : start + batch_size] for start in range(0, len(windows), batch_size)]
    return np.concatenate([np.asarray(step(state, _pad(part, batch_size)))[: len(part)] for part in parts])


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts ``(classes, classes)``: true class × predicted class."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def scores(confusion: np.ndarray) -> Scores:
    """Accuracy, the mean of the classes' recalls (over the classes that occur) and of their F1 (over those that occur or are
    predicted), from counts of true × predicted class."""
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    occurs, matters = true > 0, (true + predicted) > 0
    f1 = 2 * hits[matters] / (true + predicted)[matters]
    return Scores(float(hits.sum() / true.sum()), float(np.mean(hits[occurs] / true[occurs])), float(np.mean(f1)))


def t_interval(values: Sequence[float]) -> Interval:
    """The mean over seeds × folds with the 95 % interval of Student's t; needs scipy (extra ``experiments``)."""
    from scipy.stats import t

    sample = np.asarray(values, float)
    if len(sample) < 2:
        return Interval(float(sample.mean()), float("nan"))
    half_width = t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return Interval(float(sample.mean()), float(half_width))


def bootstrap_interval(values: Sequence[float], counts: Sequence[int], *, seed: int = 0, draws: int = 2000) -> Interval:
    """The weighted mean of one value for each recording, ``Σ value·count / Σ count``, with the half width of the 95 % interval
    of a bootstrap over recordings: windows of one recording are no independent trials. A single recording has none."""
    sample, weights = np.asarray(values, float), np.asarray(counts, float)
    if len(sample) < 2:
        return Interval(float(sample.mean()), float("nan"))
    chosen = np.random.default_rng(seed).integers(len(sample), size=(draws, len(sample)))
    means = (sample * weights)[chosen].sum(1) / weights[chosen].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.average(sample, weights=weights)), float(high - low) / 2)


def _pad(array: np.ndarray, length: int) -> np.ndarray:
    array = native(array)
    if len(array) == length:
        return array
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])
