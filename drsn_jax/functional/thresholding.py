"""Rules of thresholding: small values become zero, large ones are kept or shrunk.

Every rule takes ``(x, threshold)``, arrays that broadcast against each other, for example features
``(batch, length, channels)`` and thresholds ``(batch, 1, channels)``, and returns their common shape in the dtype
``jnp.result_type(x, threshold)`` (integers become floats; where JAX's dtype promotion is set to strict, two dtypes are refused
as everywhere). NaN in either argument gives NaN; an infinite ``x`` stays
where the threshold is finite. Negative thresholds are undefined, and so is an infinite ``x`` under an infinite threshold.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import in_one_program


def soft_threshold(x: ArrayLike, threshold: ArrayLike) -> jax.Array:
    """Shrink ``x`` towards zero by ``threshold``::

        y = x - τ  (x > τ);   0  (-τ ≤ x ≤ τ);   x + τ  (x < -τ)
        ∂y/∂x = 1 outside, 0 on the closed interval;   ∂y/∂τ = -sign(x) outside, 0 on the closed interval

    The derivatives at the kinks are those of the paper: 0 at ``|x| = τ``, also for ``x = τ = 0``.

    A single threshold, and one threshold for each sample and channel of a batch::

        >>> import jax.numpy as jnp
        >>> soft_threshold(jnp.array([-3.0, -0.5, 1.0, 2.0]), 1.0).tolist()
        [-2.0, 0.0, 0.0, 1.0]
        >>> features, thresholds = jnp.ones((8, 2048, 4)), jnp.full((8, 1, 4), 0.25)
        >>> soft_threshold(features, thresholds).shape
        (8, 2048, 4)

    Args:
      x: real features of any shape.
      threshold: τ ≥ 0, of a shape that broadcasts with ``x``. What comes of a negative one is undefined, as for all rules.

    Raises:
      TypeError: if an argument is complex.

    Source: Donoho, "De-noising by soft-thresholding", IEEE Trans. Inf. Theory 41(3), 1995; Zhao et al.,
    IEEE Trans. Ind. Informatics 16(7), 2020, section II.
    """
    return _soft_threshold(*_promote(x, threshold))


def hard_threshold(x: ArrayLike, threshold: ArrayLike) -> jax.Array:
    """Keep ``x`` where ``|x| > τ``, and set it to 0 elsewhere.

    The derivative with respect to τ is 0 almost everywhere, so τ cannot be learned through this rule.
    """
    return _hard(*_promote(x, threshold))


def garrote_threshold(x: ArrayLike, threshold: ArrayLike) -> jax.Array:
    """Apply the non-negative garrote: ``x - τ²/x`` where ``|x| > τ``, and 0 elsewhere.

    The soft rule shrinks every large ``x`` by τ; here the shrinkage fades for large ``x``.

    Source: Gao, "Wavelet shrinkage denoising using the non-negative garrote", J. Comput. Graph. Stat. 7(4), 1998.
    """
    return _garrote(*_promote(x, threshold))


def firm_threshold(x: ArrayLike, threshold: ArrayLike) -> jax.Array:
    """Apply the firm rule: 0 where ``|x| ≤ τ``, ``2·sign(x)·(|x| - τ)`` where ``τ < |x| ≤ 2τ``, and ``x`` beyond.

    It is continuous and leaves large ``x`` unchanged.

    Source: Gao & Bruce, "WaveShrink with firm shrinkage", Statistica Sinica 7, 1997 (upper threshold 2τ).
    """
    return _firm(*_promote(x, threshold))


THRESHOLD_RULES: dict[str, Callable[[ArrayLike, ArrayLike], jax.Array]] = {
    "soft": soft_threshold,
    "hard": hard_threshold,
    "garrote": garrote_threshold,
    "firm": firm_threshold,
}


def threshold_rule(name: str) -> Callable[[ArrayLike, ArrayLike], jax.Array]:
    """Return the rule of a name in ``THRESHOLD_RULES``; raise ValueError for an unknown name."""
    if name not in THRESHOLD_RULES:
        raise ValueError(f"unknown threshold rule {name!r}: choose one of {', '.join(THRESHOLD_RULES)}")
    return THRESHOLD_RULES[name]


def _promote(x: ArrayLike, threshold: ArrayLike) -> tuple[jax.Array, jax.Array]:
    dtype = jnp.result_type(x, threshold)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"thresholding is defined for real numbers, got {dtype}; threshold the magnitude instead")
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(float)  # an integer threshold would have no derivative
    x, threshold = jnp.asarray(x, dtype), jnp.asarray(threshold, dtype)
    # broadcasting to more axes is promised, so that it works where JAX is set to refuse it
    rank = max(x.ndim, threshold.ndim)
    return _with_rank(x, rank), _with_rank(threshold, rank)


def _with_rank(x: jax.Array, rank: int) -> jax.Array:
    """Return an array with axes of length 1 in front, up to ``rank``; a scalar stays one, as JAX never refuses it."""
    return x.reshape((1,) * (rank - x.ndim) + x.shape) if 0 < x.ndim < rank else x


@in_one_program()
def _hard(x: jax.Array, threshold: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(x) <= threshold, 0, x + 0 * threshold)


@in_one_program()
def _firm(x: jax.Array, threshold: jax.Array) -> jax.Array:
    magnitude = jnp.abs(x)
    return jnp.where(
        magnitude <= threshold,
        0,
        jnp.where(magnitude <= 2 * threshold, 2 * jnp.sign(x) * (magnitude - threshold), x + 0 * threshold),
    )


@jax.custom_jvp
def _garrote_rule(x, threshold):
    ratio, kept = _garrote_ratio(x, threshold)
    return jnp.where(kept, x - threshold * ratio, 0)


@_garrote_rule.defjvp
def _garrote_jvp(primals, tangents):
    x_dot, threshold_dot = tangents
    # written with the ratio, which is at most 1: the derivative of the division has x², which underflows for small features
    ratio, kept = _garrote_ratio(*primals)
    return _garrote_rule(*primals), jnp.where(kept, 1 + ratio * ratio, 0) * x_dot - 2 * ratio * threshold_dot


_garrote = in_one_program()(_garrote_rule)


def _garrote_ratio(x, threshold):
    """Return ``τ/x`` where x is kept and 0 elsewhere, and a mask of where x is kept; NaN counts as kept."""
    kept = ~(jnp.abs(x) <= threshold)
    return jnp.where(kept, threshold / jnp.where(kept, x, 1), 0), kept


@jax.custom_jvp
def _soft_rule(x, threshold):
    return x - jnp.clip(x, -threshold, threshold)


@_soft_rule.defjvp
def _soft_threshold_jvp(primals, tangents):
    x_dot, threshold_dot = tangents
    y = _soft_rule(*primals)
    sign = jnp.sign(y)  # 0 exactly on the closed interval and NaN for NaN, so that both derivatives follow from it
    return y, sign * (sign * x_dot - threshold_dot)


_soft_threshold = in_one_program()(_soft_rule)
