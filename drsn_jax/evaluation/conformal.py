"""Sets of classes that hold the true one as often as was asked for: split conformal prediction.

A probability is what a network says of itself. A set is checked against held-out windows: it takes in every class that is no more
surprising than the true class of all but a few of them was. Of windows that come from where the held-out ones came from it then
holds the true class as often as was asked for, however good or bad the network is; a bad one only gives larger sets. Windows of
the same recordings do; those of another recording differ from them by more than they do among each other.
"""

import math
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError

MOST = 4096  # held-out windows that are remembered: more make a set hardly any better
FEWEST = 39  # held-out windows: with fewer, all classes would be in every set of 97.5 %


def surprises(probabilities: Any) -> np.ndarray:
    """Return how surprising each class of each window is, ``(n, classes)`` in float32: minus the logarithm of its probability.

    ``probabilities`` are those of the windows, ``(n, classes)``. One of 0 has the surprise of the smallest number of float32.
    """
    return -np.log(np.clip(np.asarray(probabilities, np.float32), np.finfo(np.float32).tiny, 1))


def fit_surprises(probabilities: Any, labels: Any) -> np.ndarray | None:
    """Return the surprises of the true classes of held-out windows, sorted, ``(m,)``: what ``prediction_sets`` needs of them.

    Args:
      probabilities: those of the held-out windows, ``(n, classes)``.
      labels: the number of their true class, ``(n,)``.

    Of more than ``MOST`` windows as many are drawn at random, always the same ones. Returns None for fewer
    than ``FEWEST``. Raises
    ValueError for probabilities that are not finite, and for arrays that do not fit each other.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise UserError(f"windows need (n, classes) probabilities and (n,) labels, got {probabilities.shape} and {labels.shape}")
    if not np.isfinite(probabilities).all():
        raise UserError("the probabilities hold numbers that are not finite: the training has diverged")
    if len(labels) < FEWEST:
        return None
    found = surprises(probabilities)[np.arange(len(labels)), labels]
    if len(found) > MOST:
        found = np.random.default_rng(0).choice(found, MOST, replace=False)
    return np.sort(found)


def prediction_sets(probabilities: Any, held_out: Any, coverage: float = 0.95) -> np.ndarray:
    """Return which classes are in the set of each window, ``(n, classes)``.

    A set holds the classes whose surprise is at most the k-th smallest of the m ``held_out`` ones, k = ⌈(m + 1) · coverage⌉.
    Of windows that come from where the held-out ones came from (exchangeable with them), a share of ``coverage`` to
    ``coverage + 1 / (m + 1)`` has the true class in its set, on average over draws of both. For another machine, load or noise
    that is not promised. A set may be empty: no class is as likely as true classes are.

    Args:
      probabilities: those of the windows, ``(n, classes)``.
      held_out: the surprises by ``fit_surprises``, ``(m,)``.
      coverage: the share that is asked for, above 0 and below 1. Where m is too small for it, all classes are in every set.

    Raises ValueError for a coverage that is out of range, and for probabilities that are not finite.

    Source: Papadopoulos et al., ECML 2002; the score is that of Sadinle, Lei and Wasserman, J. Am. Stat. Assoc. 114(525), 2019.

    Example::

        >>> held_out = fit_surprises(np.array([[0.9, 0.1]] * 95 + [[0.2, 0.8]] * 5), np.zeros(100, int))  # five are wrong
        >>> prediction_sets(np.array([[0.95, 0.05], [0.5, 0.5]]), held_out, coverage=0.9).tolist()
        [[True, False], [False, False]]
    """
    found = surprises(probabilities)
    if not np.isfinite(found).all():
        raise UserError("the probabilities hold numbers that are not finite")
    return found <= highest_surprise(held_out, coverage)


def covered_share(probabilities: Any, labels: Any, held_out: Any, coverage: float) -> tuple[float, float]:
    """Return the share of windows whose set holds their true class, and the mean number of classes in a set.

    ``labels`` are the numbers of the true classes, ``(n,)``, of at least one window; the others as ``prediction_sets``.
    """
    inside = prediction_sets(probabilities, held_out, coverage)
    return float(inside[np.arange(len(inside)), labels].mean()), float(inside.sum(1).mean())


def highest_surprise(held_out: Any, coverage: float) -> float:
    """Return the highest surprise that a class in a set may have; arguments and errors as ``prediction_sets``."""
    if not 0 < coverage < 1:
        raise UserError(f"a coverage is a share above 0 and below 1, got {coverage}")
    held_out = np.sort(np.asarray(held_out))
    # rounding must not make a rank of 95.00000000000001
    rank = math.ceil(round((len(held_out) + 1) * coverage, 9))
    return float(held_out[rank - 1]) if rank <= len(held_out) else math.inf


def majority_set(sets: np.ndarray) -> np.ndarray:
    """Return which classes are in more than half of the sets ``(n, classes)``, ``(classes,)``: one set for n windows.

    Where each of the n sets holds the true class with probability 1 - α, this one holds it with at least 1 - 2α, however the
    windows depend on each other, as those of one recording do.

    Source: Gasparin and Ramdas, Merging uncertainty sets via majority vote, arXiv 2401.09379, 2024.
    """
    return np.mean(sets, 0) > 0.5
