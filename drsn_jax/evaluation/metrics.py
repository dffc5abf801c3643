"""How good is a network: scores from a confusion matrix, and how sure are we: intervals."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Scores(NamedTuple):
    """Shares between 0 and 1."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float


class Interval(NamedTuple):
    """A mean and the half width of its 95 % interval (NaN where a single value gives none)."""

    mean: float
    half_width: float


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


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities ``(n, classes)`` of logits divided by a temperature, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(-1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """The mean cross-entropy of ``softmax(logits, temperature)`` ``(n, classes)``, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature from 0.05 to 20 with the lowest cross-entropy of ``softmax(logits, temperature)`` on held-out examples.

    It changes no decision. Needs scipy (extra ``experiments``); ValueError without examples.
    Source: Guo et al., ICML 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    if len(logits) == 0:
        raise ValueError("a temperature needs held-out examples")

    loss = lambda log_temperature: cross_entropy(logits, labels, float(np.exp(log_temperature)))  # noqa: E731
    found: Any = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """The mean difference between confidence and accuracy over bins of equal width of the confidence, weighted by their examples:
    ``Σ n_b/n · |accuracy_b - confidence_b|``. Source: Guo et al., ICML 2017, equation 3."""
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for number in np.unique(which):
        inside = which == number
        total += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total / len(labels))
