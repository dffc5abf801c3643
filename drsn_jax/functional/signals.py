"""The preparation of a window before a network sees it.

A window is ``(*positions, channels)``; map over several windows with ``jax.vmap``. Integers become floats, other dtypes stay, and
sums are computed in at least float32.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program, wide_dtype


def remove_mean(window: ArrayLike) -> jax.Array:
    """Remove from each channel its mean over the positions; a constant channel becomes exactly zero.

    Raises:
      ValueError: for a window without positions or samples.
    """
    return _remove_mean(as_window(window))


def standardise(window: ArrayLike) -> jax.Array:
    """Scale each channel to mean 0 and variance 1 over the positions::

        y_c = (x_c - mean x_c) / sqrt(mean (x_c - mean x_c)²)

    A constant channel becomes zero, and its gradient is zero. Raises ValueError as ``remove_mean``.
    """
    return _standardise(as_window(window))


def standardise_together(window: ArrayLike) -> jax.Array:
    """Scale all channels by one number, so that their ratios stay: each has mean 0, and all together have variance 1::

        y_c = (x_c - mean x_c) / sqrt(mean over positions and channels of (x_c - mean x_c)²)

    A constant window becomes zero. Raises ValueError as ``remove_mean``.
    """
    return _standardise_together(as_window(window))


@in_one_program()
def _remove_mean(window: jax.Array) -> jax.Array:
    return _centre(window).astype(window.dtype)


@in_one_program()
def _standardise(window: jax.Array) -> jax.Array:
    centred = _centre(window)
    axes = _positions(window)
    # divided by the peak first, so that the squares neither overflow nor vanish; the peak cancels out, in the gradient too
    peak = jax.lax.stop_gradient(jnp.max(jnp.abs(centred), axes, keepdims=True))
    constant = peak == 0
    scaled = centred / jnp.where(constant, 1, peak)
    deviation = jnp.sqrt(jnp.where(constant, 1, jnp.mean(jnp.square(scaled), axes, keepdims=True)))
    return jnp.where(constant, 0, scaled / deviation).astype(window.dtype)


@in_one_program()
def _standardise_together(window: jax.Array) -> jax.Array:
    centred = _centre(window)
    peak = jax.lax.stop_gradient(jnp.max(jnp.abs(centred)))
    constant = peak == 0
    scaled = centred / jnp.where(constant, 1, peak)
    deviation = jnp.sqrt(jnp.where(constant, 1, jnp.mean(jnp.square(scaled))))
    return jnp.where(constant, 0, scaled / deviation).astype(window.dtype)


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(wide_dtype(x.dtype))


def _positions(window: jax.Array) -> tuple[int, ...]:
    return tuple(range(window.ndim - 1))


def _centre(window: jax.Array) -> jax.Array:
    wide = _wide(window)
    # the first sample is subtracted first: that makes a constant channel exactly zero, which its rounded mean might not
    wide = wide - jax.lax.stop_gradient(wide[(slice(1),) * (window.ndim - 1)])
    return wide - jnp.mean(wide, _positions(window), keepdims=True)
