"""How far a window is from all that a network was trained on, by the features in front of its classifier.

A network can only answer with its classes, and names a recording of another machine with a high probability. Its features tell
the two apart: windows of each class lie around their mean, and those of something new lie far from all of them.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError

AXES = 32  # directions with a spread of their own; the others share one
HELD_OUT = 0.99  # the share of held-out windows whose novelty is at most 1
LEAST = 1e-6  # of the largest spread: a direction without any would make every rounding a novelty
SMALLEST = 1e-12  # of all spreads, whose squares are numbers of float32
MOST = 1e6  # a novelty, so that it is a number whatever the features are
FEWEST = 10  # windows to fit to, and held-out windows to compare with


class Novelty(NamedTuple):
    """What is known of the features of a training: a Gaussian distribution around the mean of each class, of one shape for all.

    Fields:
      centres: the mean of the features of each class, ``(classes, features)``.
      axes: orthonormal directions in which the features spread most within their class, ``(features, axes)``.
      spread: the standard deviation along each axis, and that along each direction that is left, ``(axes + 1,)``.
      limit: the distance of which the novelty is 1, ``()``.
    """

    centres: Any
    axes: Any
    spread: Any
    limit: Any

    @jax.jit  # operation by operation it compiles twenty small programs for every number of windows
    def of(self, features: Any) -> jax.Array:
        """Return the novelty ``(n,)`` of features ``(n, features)``: ``distance`` divided by ``limit``, at most ``MOST``.

        Of windows like those of the training one in a hundred has a novelty above 1. It is a pure function.
        """
        return jnp.minimum(self.distance(features) / self.limit, MOST)

    @jax.jit
    def distance(self, features: Any) -> jax.Array:
        """Return the distance of Mahalanobis ``(n,)`` from features ``(n, features)`` to the nearest class."""
        features, centres = (jnp.asarray(each, jnp.float32) for each in (features, self.centres))
        # squares of large numbers would be infinite
        size = jnp.maximum(jnp.max(jnp.abs(features), 1, keepdims=True), jnp.max(jnp.abs(centres)))
        size = jnp.where(size == 0, 1, size)
        along, of_centres = (jnp.matmul(each, self.axes, precision="highest") for each in (features, centres))
        rest = features - jnp.matmul(along, self.axes.T, precision="highest")
        rest_of_centres = centres - jnp.matmul(of_centres, self.axes.T, precision="highest")

        # XLA makes one divisor of two, and that of two small numbers may be zero
        scale = 1 / jnp.asarray(self.spread, jnp.float32)

        def squared(centre: tuple[jax.Array, jax.Array]) -> jax.Array:
            own, other = centre
            by_axis = (along - own) / size * scale[:-1]
            left = (rest - other) / size * scale[-1]
            return jnp.sum(jnp.square(by_axis), 1) + jnp.sum(jnp.square(left), 1)

        return jnp.sqrt(jnp.min(jax.lax.map(squared, (of_centres, rest_of_centres)), 0)) * size[:, 0]


def fit_novelty(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Novelty | None:
    """Fit to the features ``(n, features)`` of the training windows with their classes ``(n,)``, and set the limit by those of
    held-out windows ``(m, features)``.

    The limit is the smallest distance of a held-out window that at least 99 % of m + 1 windows do not exceed, so that the promise
    of ``Novelty.of`` also holds for few of them (split conformal prediction); the largest where m is below 99. Returns None for
    fewer than ten windows on either side, from which nothing can be said. Raises ValueError for features that are not finite.

    Source: Lee et al., NeurIPS 2018 (distance in the features of a classifier); Moghaddam and Pentland, IEEE Trans. PAMI 19(7),
    1997 (one spread for the directions that are left); Papadopoulos et al., ECML 2002 (split conformal prediction).
    """
    if min(len(features), len(held_out)) < FEWEST:
        return None
    if not (np.isfinite(features).all() and np.isfinite(held_out).all()):
        raise UserError("the features hold numbers that are not finite: the training has diverged")
    wide = np.asarray(features, np.float64)
    classes, own = np.unique(labels, return_inverse=True)
    centres = np.stack([wide[own == number].mean(0) for number in range(len(classes))])
    within = wide - centres[own]
    variances, directions = np.linalg.eigh(within.T @ within / len(within))
    count = min(AXES, wide.shape[1] - 1)
    variances, directions = variances[::-1], directions[:, ::-1]
    spread = np.append(variances[:count], variances[count:].mean() if count < len(variances) else variances[-1])
    spread = np.sqrt(np.maximum(spread, 0))
    spread = np.maximum(spread, max(LEAST * float(spread.max()), SMALLEST))
    centres, axes, spread = (each.astype(np.float32) for each in (centres, directions[:, :count], spread))
    found = Novelty(centres, axes, spread, np.float32(1))
    distances = np.sort(np.asarray(found.distance(held_out)))
    rank = min(len(distances), math.ceil(HELD_OUT * (len(distances) + 1)))
    return found._replace(limit=np.float32(max(float(distances[rank - 1]), SMALLEST)))
