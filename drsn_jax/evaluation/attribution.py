"""What a network looked at: how much each frequency of a window speaks for a class, and how much against it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import wide_dtype
from drsn_jax.core.errors import UserError

BANDS = 24  # of equal width, up to half the sampling rate


def band_attributions(network: Any, bands: int = BANDS) -> Callable[[Any, ArrayLike, ArrayLike], jax.Array]:
    """Make a pure function ``(variables, windows, labels) -> (n, bands)``.

    It takes windows ``(n, length, channels)``, as the network is given them, and the number of a class for each, ``(n,)``. The
    result says for each band of frequencies what it contributes to the log-odds of that class, the logarithm of
    ``p / (1 - p)``: gradient times input, summed over the band and the channels. Where a band were louder by a small share ε,
    the log-odds would rise by ε times its value, so that a positive band speaks for the class and a negative one against it.
    The sum of all bands is gradient times input of the whole window; it is 0 for a network that scales its windows itself, whose
    answer does not change with their level.

    Band k of b holds the frequencies from k / b to (k + 1) / b of half the sampling rate. It explains the network and not the
    machine: a band that counts may hold noise or another part.

    Raises ValueError for fewer than two classes, which nothing speaks for or against, and, when it is called, for windows of too
    few samples for so many bands.

    Source: Shrikumar, Greenside and Kundaje, ICML 2017 (gradient times input, here summed over frequencies by Parseval).
    """
    if network.classes < 2:
        raise UserError("a model of one class has no other that a frequency could speak for")

    def attributions(variables: Any, windows: ArrayLike, labels: ArrayLike) -> jax.Array:
        windows, labels = jnp.asarray(windows), jnp.asarray(labels)
        if windows.ndim != 3:
            raise UserError(f"windows of signals are (n, length, channels), got the shape {windows.shape}")
        length = windows.shape[1]
        if not 1 <= bands <= length // 2:
            raise UserError(f"windows of {length} samples have from 1 to {length // 2} bands, got {bands}")
        dtype = wide_dtype(windows.dtype)
        windows = windows.astype(dtype)

        def log_odds(windows: jax.Array) -> jax.Array:
            logits = network.apply(variables, windows, train=False).astype(dtype)
            own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
            # summed: in evaluation a window knows nothing of the others
            return jnp.sum(jnp.where(own, logits, 0)) - jnp.sum(jax.nn.logsumexp(jnp.where(own, -jnp.inf, logits), -1))

        slope = jax.grad(log_odds)(windows)
        spectra = [jnp.fft.rfft(each, axis=1) for each in (slope, windows)]
        bins = spectra[0].shape[1]
        # what lies between zero and half the sampling rate stands for two frequencies
        once = (jnp.arange(bins) == 0) | (2 * jnp.arange(bins) == length)
        shares = jnp.sum((jnp.conj(spectra[0]) * spectra[1]).real, -1) * (jnp.where(once, 1, 2).astype(dtype) / length)
        band = jnp.minimum(jnp.arange(bins) * 2 * bands // length, bands - 1)
        return jax.ops.segment_sum(shares.T, band, num_segments=bands).T

    return attributions
