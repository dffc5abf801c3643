"""Attention for the end of a residual path: small sub-networks that set thresholds or weights for each sample from its features.

All modules map ``(batch, *positions, channels)`` to the same shape and read the number of channels from their input.
With ``mutable=["thresholds"]`` in ``apply`` the two shrinkages store what they did, without changing the result: ``threshold``
and ``alpha`` (``(batch, channels)`` or ``(batch, 1)``), and ``zeros``, the share of features that became zero
(``(batch, channels)``).

Source: Zhao et al., IEEE Trans. Ind. Informatics 16(7), 2020, section III.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float
from drsn_jax.functional.thresholding import threshold_rule
from drsn_jax.nn.layers import BatchNorm, Module, dense, normalisation, normalise, position_mean


class ChannelWiseShrinkage(nn.Module):
    """Shrink features by a threshold for every channel of every sample (DRSN-CW)::

        A_c = mean over positions of |x_c|
        α   = sigmoid(FC(ReLU(BN(FC(A)))))            C numbers in (0, 1)
        τ_c = α_c · A_c;   y = rule(x, τ)

    Gradients flow through τ. Unless the whole channel is zero, τ is positive and below the largest |x|.

    Fields:
      rule: one of ``THRESHOLD_RULES``.
      norm: the norm inside the sub-network, a module class or a partial of one.
      axis_name: the mapped axis whose replicas share the statistics of that norm.

    Example:
        The shrinkage as the last layer of a module of one's own:

        >>> import flax.linen as nn, jax, jax.numpy as jnp
        >>> class Denoiser(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x, train):
        ...         y = nn.Conv(features=8, kernel_size=(5,))(x)
        ...         return ChannelWiseShrinkage()(y, train)
        >>> x = jnp.ones((2, 100, 1))  # two signals of 100 positions and one channel
        >>> denoiser = Denoiser()
        >>> variables = jax.jit(denoiser.init, static_argnames="train")(jax.random.key(0), x, train=False)
        >>> y, stored = denoiser.apply(variables, x, train=False, mutable=["thresholds"])
        >>> y.shape
        (2, 100, 8)
        >>> stored["thresholds"]["ChannelWiseShrinkage_0"]["threshold"][0].shape
        (2, 8)
    """

    rule: str = "soft"
    norm: Module = BatchNorm
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        """Shrink ``(batch, *positions, channels)``; ``train`` chooses the statistics of the batch."""
        x = as_float(x)
        average = position_mean(jnp.abs(x))
        alpha = _attention(average, x.shape[-1], train, self.norm, self.axis_name)
        return _shrink(self, x, alpha, alpha * average)


class ChannelSharedShrinkage(nn.Module):
    """Shrink features by one threshold for every sample (DRSN-CS), from the same sub-network with a single output::

        τ = α · mean over positions and channels of |x|

    Fields as in ``ChannelWiseShrinkage``.
    """

    rule: str = "soft"
    norm: Module = BatchNorm
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        """Shrink ``(batch, *positions, channels)``; ``train`` chooses the statistics of the batch."""
        x = as_float(x)
        average = position_mean(jnp.abs(x))
        alpha = _attention(average, 1, train, self.norm, self.axis_name)
        return _shrink(self, x, alpha, alpha * jnp.mean(average, axis=-1, keepdims=True))


class SqueezeExcitation(nn.Module):
    """Multiply every channel of every sample by a weight in (0, 1), the attention from which the shrinkages were derived::

        w = sigmoid(FC(ReLU(FC(mean over positions of x))));   y_c = w_c · x_c

    The sub-network has no norm and does not reduce the channels. Source: Hu et al., CVPR 2018.
    """

    @nn.compact
    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        """Weight ``(batch, *positions, channels)``; ``train`` has no effect, it is taken for the other attentions' sake."""
        del train
        x = as_float(x)
        channels = x.shape[-1]
        hidden = nn.relu(dense(channels, name="dense_1")(position_mean(x)))
        weight = nn.sigmoid(dense(channels, name="dense_2")(hidden))
        return x * _over_positions(weight, x)


def _attention(average: jax.Array, outputs: int, train: bool, norm: Module, axis_name: str | None) -> jax.Array:
    """Compute α ``(batch, outputs)`` from the mean |x| ``(batch, channels)``, inside the caller's compact method."""
    hidden = dense(average.shape[-1], name="dense_1")(average)
    hidden = nn.relu(normalise(normalisation(norm, axis_name=axis_name, name="norm"), hidden, train))
    return nn.sigmoid(dense(outputs, name="dense_2")(hidden))


def _shrink(module: Any, x: jax.Array, alpha: jax.Array, threshold: jax.Array) -> jax.Array:
    """Apply the module's rule and store τ, α and the share of zeros where they are asked for."""
    if x.ndim < 3:
        raise ValueError(f"features are (batch, *positions, channels), got the shape {x.shape} without positions")
    y = threshold_rule(module.rule)(x, _over_positions(threshold, x))
    if module.is_mutable_collection("thresholds") and not module.is_initializing():
        module.sow("thresholds", "alpha", alpha)
        module.sow("thresholds", "threshold", threshold)
        module.sow("thresholds", "zeros", position_mean((y == 0).astype(jnp.float32)))
    return y


def _over_positions(vector: jax.Array, x: jax.Array) -> jax.Array:
    """Reshape ``(batch, channels)`` to ``(batch, 1, …, 1, channels)`` in the dtype of ``x``."""
    return jnp.expand_dims(vector, tuple(range(1, x.ndim - 1))).astype(x.dtype)
