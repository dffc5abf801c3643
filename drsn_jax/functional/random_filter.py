"""A filter that is drawn for every window in training, so that a network does not rely on how loud each frequency is.

What lies between a fault and a sensor, such as housing and mounting, amplifies some frequencies and damps others, and is another
one in another machine.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program, wide_dtype
from drsn_jax.core.errors import UserError

POINTS = 8  # frequencies at which gains are drawn
WIDEST = 100  # dB: numbers of float32 have room for gains of a few times as much


def random_filter(key: jax.Array, window: ArrayLike, spread_db: ArrayLike, points: int = POINTS) -> jax.Array:
    """Return a window ``(length, channels)`` behind a random filter without delay, in the dtype of the window.

    At ``points`` frequencies, from 0 to half the sampling rate at equal distances, gains in dB are drawn from a Gaussian
    distribution of mean 0 and standard deviation ``spread_db``; between them they are interpolated. Each channel has gains of its
    own. A spread of 0 dB returns the window, to rounding.

    Raises ValueError for a window that is not ``(length, channels)``, a spread that is not from 0 to 100 dB, and fewer than two
    points.

    Source: Nam, Kim and Park, ICASSP 2022 (FilterAugment, its linear type), with frequencies that are fixed.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> random_filter(jax.random.key(0), jnp.ones((2048, 1)), spread_db=6.0).shape
        (2048, 1)
    """
    window = as_window(window)
    if window.ndim != 2 or len(window) < 1:
        raise UserError(f"a filter is for signals (length, channels), got the shape {window.shape}")
    check_spread(spread_db)
    if points < 2:
        raise UserError(f"gains are drawn at 2 frequencies at least, got {points}")
    return _filtered(key, window, spread_db, points)


@in_one_program("points")
def _filtered(key: jax.Array, window: jax.Array, spread_db: ArrayLike, points: int) -> jax.Array:
    dtype = wide_dtype(window.dtype)
    gains = jnp.asarray(spread_db, dtype) * jax.random.normal(key, (window.shape[1], points), dtype)
    spectrum = jnp.fft.rfft(window.astype(dtype), axis=0)
    place = jnp.linspace(0, points - 1, len(spectrum), dtype=dtype)
    curve = jax.vmap(lambda values: jnp.interp(place, jnp.arange(points, dtype=dtype), values), out_axes=1)(gains)
    filtered = jnp.fft.irfft(spectrum * 10 ** (curve / 20), n=len(window), axis=0)
    return filtered.astype(window.dtype)


def check_spread(spread_db: Any) -> None:
    """Raise UserError for a spread of gains that is no number from 0 to 100 dB; one that is traced has no number to check."""
    if isinstance(spread_db, Tracer):
        return
    if not isinstance(spread_db, int | float | np.generic | np.ndarray | jax.Array) or not 0 <= float(spread_db) <= WIDEST:
        raise UserError(f"the spread of a random filter is a number of dB from 0 to {WIDEST}, got {spread_db}")
