"""How good a network is (scores, calibration), and how sure that number is (intervals)."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from drsn_jax.core.arrays import as_labels
from drsn_jax.core.errors import UserError, optional

PRIOR_SPREAD = 0.5  # standard deviation of the logarithm of a temperature before anything is seen
BLOCKS = 5  # of the cross-validation of a temperature
_BOUNDS = (math.log(0.05), math.log(20))  # of the logarithm of a temperature


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


def macro_auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve, each class against all others, and the mean over the classes.

    The area of a class is the probability that a random example of it has a higher score for it than a random example of another
    class, where equal scores count half. A method that guesses has 0.5. Unlike accuracy it does not depend on where between two
    classes the decision lies.

    Args:
      scores: ``(n, classes)``, such as probabilities.
      labels: ``(n,)``, integers from 0.

    Classes that no example has, or that all have, do not count; the result is NaN if there are no others.

    Raises ValueError for scores that are not ``(n, classes)`` or NaN, and for labels that are not classes.

    Source: Fawcett, Pattern Recognition Letters 27(8), 2006.
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 2 or len(scores) != len(labels) or np.isnan(scores).any():
        raise UserError(f"the scores of {len(labels)} examples are numbers (n, classes), got the shape {scores.shape} or NaN")
    labels = as_labels(labels, len(labels), scores.shape[1])
    areas = []
    for number in np.unique(labels):
        _, place, counts = np.unique(scores[:, number], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1; equal scores share the mean of their ranks
        own = labels == number
        inside, outside = int(own.sum()), int((~own).sum())
        if outside:
            areas.append((ranks[own].sum() - inside * (inside + 1) / 2) / (inside * outside))
    return float(np.mean(areas)) if areas else math.nan


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent values, for example one for each seed and fold, with the 95 % interval of Student's t.

    Needs scipy (extra ``experiments``).
    """
    stats = optional("scipy.stats", "an interval of Student's t")
    sample = np.asarray(values, float)
    if len(sample) < 2:
        return Interval(float(sample.mean()), float("nan"))
    half_width = stats.t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
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
    """Find the temperature from 0.05 to 20 that makes ``softmax(logits, temperature)`` fit the labels of held-out examples.

    It is the most probable one, with the lowest sum of n times the cross-entropy and of ``(log T)² / (2 · 0.5²)``, a prior by
    which 95 of 100 temperatures lie between 0.38 and 2.7. The prior weighs as much as some ten examples: without it the
    temperature of a dozen examples is mostly their luck. The temperature is 1 where a cross-validation in five blocks of
    neighbouring examples shows that a temperature fitted to four blocks does not lower the cross-entropy of the fifth.

    The cross-entropy of the fit is that of Platt's targets: of n examples, the true class has the probability
    ``(n + 1) / (n + 2)`` and the other classes share the rest. Without them the best temperature of examples that are all right
    would be 0, and every answer certain. Where all are right, there is no cross-validation, and the mean confidence is also kept
    at or below ``(n + 1) / (n + 2)``, which is all that n examples can show (Laplace's rule of succession).

    The logits are ``(n, classes)``, the labels ``(n,)``. A temperature changes the probabilities but not which class is the most
    probable. Needs scipy (extra ``experiments``). Raises ValueError if there are no examples.

    Source: Guo et al., ICML 2017, section 4.2; Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2;
    Bishop, "Pattern recognition and machine learning", 2006, sections 1.2.5 (priors) and 1.3 (cross-validation).
    """
    brentq = optional("scipy.optimize", "fitting a temperature").brentq

    if len(logits) == 0:
        raise UserError("a temperature needs held-out examples")
    logits = np.asarray(logits, np.float64)
    labels = as_labels(labels, *logits.shape)
    found = _log_temperature(logits, labels)
    if np.any(np.argmax(logits, 1) != labels):
        return float(np.exp(found)) if _travels(logits, labels) else 1.0
    share = (len(logits) + 1) / (len(logits) + 2)
    surplus = lambda log: float(softmax(logits, float(np.exp(log))).max(1).mean()) - share  # noqa: E731
    if surplus(found) > 0:
        root: Any = brentq(surplus, found, _BOUNDS[1]) if surplus(_BOUNDS[1]) < 0 else _BOUNDS[1]
        found = float(root)
    return float(np.exp(found))


def _log_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the logarithm of the most probable temperature, given Platt's targets and the prior."""
    minimize_scalar = optional("scipy.optimize", "fitting a temperature").minimize_scalar

    count, classes = logits.shape
    rest = (1 - (count + 1) / (count + 2)) * classes / max(classes - 1, 1)

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        own = cross_entropy(logits, labels, temperature)
        # Platt's target is the class itself, and a part of ``rest`` that all classes share equally
        equal = own + float(np.mean(logits[np.arange(count), labels]) - np.mean(logits)) / temperature
        return count * ((1 - rest) * own + rest * equal) + log_temperature**2 / (2 * PRIOR_SPREAD**2)

    optimum: Any = minimize_scalar(loss, bounds=_BOUNDS, method="bounded")
    return float(optimum.x)


def _travels(logits: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether temperatures that are fitted to the other blocks lower the cross-entropy of the blocks left out.

    Neighbours stay together, because windows of one recording are not independent.
    """
    numbers = np.arange(len(logits))
    if len(numbers) < 2:
        return False
    fitted = 0.0
    for block in np.array_split(numbers, min(BLOCKS, len(numbers))):
        others = np.delete(numbers, block)
        temperature = float(np.exp(_log_temperature(logits[others], labels[others])))
        fitted += len(block) * cross_entropy(logits[block], labels[block], temperature)
    return fitted < len(numbers) * cross_entropy(logits, labels)


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
