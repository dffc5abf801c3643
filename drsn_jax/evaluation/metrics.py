"""How good a network is (scores, calibration), and how sure that number is (intervals)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from drsn_jax.core.arrays import as_labels
from drsn_jax.core.errors import UserError


class Scores(NamedTuple):
    """Scores of a classifier, shares between 0 and 1; see ``scores``."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float


class Interval(NamedTuple):
    """A mean and the half width of its 95 % interval, which is NaN if there is only one value."""

    mean: float
    half_width: float


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count examples by true class (rows) and predicted class (columns): ``(classes, classes)`` from ``(n,)`` each.

    Raises ValueError for labels that are not classes.
    """
    labels, predicted = as_labels(labels, len(labels), classes), as_labels(predicted, len(labels), classes)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def scores(confusion: np.ndarray) -> Scores:
    """Compute scores from a confusion matrix ``(classes, classes)``, counts of true × predicted class.

    Balanced accuracy is the mean of the recalls of all classes that occur. Macro F1 is the mean of the F1 of all classes that
    occur or are predicted::

        >>> import numpy as np
        >>> confusion = np.array([[8, 2], [0, 30]])  # of ten windows of class 0 two were taken for class 1
        >>> result = scores(confusion)
        >>> result.accuracy, result.balanced_accuracy, round(result.macro_f1, 3)
        (0.95, 0.9, 0.928)
    """
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    occurs, matters = true > 0, (true + predicted) > 0
    f1 = 2 * hits[matters] / (true + predicted)[matters]
    return Scores(float(hits.sum() / true.sum()), float(np.mean(hits[occurs] / true[occurs])), float(np.mean(f1)))


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent values, for example one for each seed and fold, with the 95 % interval of Student's t.

    Needs scipy (extra ``experiments``).
    """
    from scipy.stats import t

    sample = np.asarray(values, float)
    if len(sample) < 2:
        return Interval(float(sample.mean()), float("nan"))
    half_width = t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return Interval(float(sample.mean()), float(half_width))


def bootstrap_interval(values: Sequence[float], counts: Sequence[int], *, seed: int = 0, draws: int = 2000) -> Interval:
    """Return the weighted mean ``Σ value·count / Σ count`` of one value for each recording, with a 95 % bootstrap interval.

    The bootstrap draws recordings and not windows, because the windows of one recording are not independent. The half width is
    half the distance between the 2.5 % and 97.5 % quantiles of ``draws`` means; it is NaN for a single recording.
    """
    sample, weights = np.asarray(values, float), np.asarray(counts, float)
    if len(sample) < 2:
        return Interval(float(sample.mean()), float("nan"))
    resampled = np.random.default_rng(seed).integers(len(sample), size=(draws, len(sample)))
    means = (sample * weights)[resampled].sum(1) / weights[resampled].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.average(sample, weights=weights)), float(high - low) / 2)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities of logits ``(..., classes)`` that are divided by a temperature, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(-1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Return the mean cross-entropy of ``softmax(logits, temperature)``, for logits ``(n, classes)`` and labels ``(n,)``."""
    scaled = np.asarray(logits, np.float64) / temperature
    labels = as_labels(labels, *scaled.shape)
    scaled -= scaled.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature from 0.05 to 20 with the lowest cross-entropy of ``softmax(logits, temperature)``.

    The cross-entropy is that of Platt's targets: of n examples, the true class has the probability ``(n + 1) / (n + 2)`` and the
    other classes share the rest. Without them the best temperature of examples that are all right would be 0, and every answer
    certain. Where all are right, the mean confidence is also kept at or below ``(n + 1) / (n + 2)``, which is all that n
    examples can show (Laplace's rule of succession).

    The logits ``(n, classes)`` and labels ``(n,)`` are those of held-out examples. A temperature changes the probabilities but
    not which class is the most probable. Needs scipy (extra ``experiments``). Raises ValueError if there are no examples.

    Source: Guo et al., ICML 2017, section 4.2; Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2.
    """
    from scipy.optimize import brentq, minimize_scalar

    if len(logits) == 0:
        raise UserError("a temperature needs held-out examples")

    count, classes = np.shape(logits)
    share = (count + 1) / (count + 2)

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        # the cross-entropy with a class, averaged over all classes, is that with the target that shares 1 equally among them
        equal = np.mean([cross_entropy(logits, np.full(count, k), temperature) for k in range(classes)])
        rest = (1 - share) * classes / max(classes - 1, 1)
        return (1 - rest) * cross_entropy(logits, labels, temperature) + rest * float(equal)

    bounds = (np.log(0.05), np.log(20))
    optimum: Any = minimize_scalar(loss, bounds=bounds, method="bounded")
    found = float(optimum.x)
    if np.all(np.argmax(logits, 1) == labels):
        surplus = lambda log: float(softmax(logits, float(np.exp(log))).max(1).mean()) - share  # noqa: E731
        if surplus(found) > 0:
            root: Any = brentq(surplus, found, bounds[1]) if surplus(bounds[1]) < 0 else bounds[1]
            found = float(root)
    return float(np.exp(found))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error ``Σ n_b/n · |accuracy_b - confidence_b|`` of probabilities ``(n, classes)``.

    The confidence of an example is its highest probability. Bin b holds the ``n_b`` examples whose confidence lies in one of
    ``bins`` ranges of equal width between 0 and 1.

    Source: Guo et al., ICML 2017, equation 3.
    """
    labels = as_labels(labels, *np.shape(probabilities))
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for number in np.unique(bin_of):
        inside = bin_of == number
        total += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total / len(labels))
