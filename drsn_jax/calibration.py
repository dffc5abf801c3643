"""Probabilities that mean what they say: temperature scaling, and how far off they are."""

from typing import Any

import numpy as np


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
