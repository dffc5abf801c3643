"""A residual unit whose residual path may end with attention: the building block of every network of the paper.

Inputs are ``(batch, *positions, channels)``. The number of position axes is the length of ``kernel``.

Source: Zhao et al., IEEE Trans. Ind. Informatics 16(7), 2020, section III.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float
from drsn_jax.nn.layers import BatchNorm, Module, convolution, normalisation, normalise
from drsn_jax.nn.shrinkage import ChannelSharedShrinkage, ChannelWiseShrinkage, SqueezeExcitation

SHRINKAGES: tuple[str, ...] = ("channel_wise", "channel_shared", "squeeze_excitation")
SHORTCUTS: tuple[str, ...] = ("zero_padding", "projection")


class ResidualUnit(nn.Module):
    """Apply a full pre-activation residual unit, with attention at the end of the residual path::

        y = shortcut(x) + shrinkage(Conv(ReLU(BN(Conv(ReLU(BN(x)))))))

    The first convolution has the stride. There is no norm between the second convolution and the shrinkage, and no ReLU after
    the addition.

    Fields:
      features: channels of the output.
      kernel: size of both convolutions, one number for each position axis.
      strides: stride over every position axis.
      shrinkage: ``"channel_wise"``, ``"channel_shared"``, ``"squeeze_excitation"`` or None.
      threshold_rule: one of ``THRESHOLD_RULES``.
      shortcut: ``"zero_padding"``, ``"projection"`` or None (no shortcut). ``"zero_padding"`` is the paper's: it takes every
        stride-th position and adds zero channels, half in front and half behind, an odd one behind. ``"projection"`` is a 1×1
        convolution where the stride is not 1 or the number of channels changes, else the input itself.
      conv, norm: a module class, or a partial of one, in place of ``flax.linen.Conv`` and ``BatchNorm``.
      padding: of the convolutions, ``"centred"`` or ``"SAME"``.
      dtype: of the computation; None takes that of the input. Parameters and statistics stay float32.
      axis_name: the mapped axis whose replicas share batch statistics.

    Raises ValueError for an unknown shrinkage, threshold rule or shortcut, for a kernel whose number of axes does not fit the
    input, and for a zero-padding shortcut to fewer channels than the input has.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> unit = ResidualUnit(features=8, strides=2)
        >>> x = jnp.ones((4, 64, 3))  # four signals of 64 positions and 3 channels
        >>> initialise = jax.jit(unit.init_with_output, static_argnames="train")
        >>> y, variables = initialise(jax.random.key(0), x, train=False)
        >>> y.shape
        (4, 32, 8)
        >>> sorted(variables["params"])
        ['attention', 'conv_1', 'conv_2', 'norm_1', 'norm_2']
    """

    features: int
    kernel: Sequence[int] = (3,)
    strides: int = 1
    shrinkage: str | None = "channel_wise"
    threshold_rule: str = "soft"
    shortcut: str | None = "zero_padding"
    conv: Module = nn.Conv
    norm: Module = BatchNorm
    padding: str = "centred"
    dtype: Any = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        """Map ``(batch, *positions, channels)`` to ``(batch, *positions / strides, features)``."""
        x = as_features(x, self.kernel)
        y = x
        for number, strides in ((1, self.strides), (2, 1)):
            norm = normalisation(self.norm, axis_name=self.axis_name, dtype=self.dtype, name=f"norm_{number}")
            y = nn.relu(normalise(norm, y, train))
            y = self._convolution(self.kernel, strides, f"conv_{number}")(y)
        if (attention := self._attention()) is not None:
            y = attention(y, train)
        return y if self.shortcut is None else y + self._shortcut(x, y.shape).astype(y.dtype)

    def _convolution(self, kernel: Sequence[int], strides: int, name: str) -> nn.Module:
        return convolution(self.features, kernel, strides, padding=self.padding, conv=self.conv, dtype=self.dtype, name=name)

    def _attention(self) -> nn.Module | None:
        match self.shrinkage:
            case None:
                return None
            case "squeeze_excitation":
                return SqueezeExcitation(name="attention")
            case "channel_wise" | "channel_shared":
                kind = ChannelWiseShrinkage if self.shrinkage == "channel_wise" else ChannelSharedShrinkage
                return kind(rule=self.threshold_rule, norm=self.norm, axis_name=self.axis_name, name="attention")
        raise ValueError(f"unknown shrinkage {self.shrinkage!r}: choose one of {', '.join(SHRINKAGES)} or None")

    def _shortcut(self, x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        if self.shortcut == "projection":
            if self.strides == 1 and x.shape[-1] == self.features:
                return x
            return self._convolution((1,) * len(self.kernel), self.strides, "projection")(x)
        if self.shortcut == "zero_padding":
            x = pad_channels(stride_positions(x, self.strides), self.features)
            if x.shape != shape:
                raise ValueError(
                    f"the shortcut has the shape {x.shape} and the residual path {shape}: padding {self.padding!r} does not keep "
                    "the positions; use 'centred' or 'SAME'"
                )
            return x
        raise ValueError(f"unknown shortcut {self.shortcut!r}: choose one of {', '.join(SHORTCUTS)} or None")


def stride_positions(x: jax.Array, strides: int) -> jax.Array:
    """Take every ``strides``-th position along every position axis of ``(batch, *positions, channels)``."""
    return x[(slice(None), *(slice(None, None, strides),) * (x.ndim - 2))]


def pad_channels(x: jax.Array, channels: int) -> jax.Array:
    """Pad ``(..., c)`` with zero channels to ``(..., channels)``: half in front and half behind, an odd one behind.

    Raises ValueError if ``x`` has more channels than ``channels``.
    """
    missing = channels - x.shape[-1]
    if missing < 0:
        raise ValueError(
            f"zero padding cannot lead from {x.shape[-1]} channels to {channels}: use shortcut='projection' where widths shrink"
        )
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(missing // 2, missing - missing // 2)])


def as_features(x: ArrayLike, kernel: Sequence[int]) -> jax.Array:
    """Return ``x`` as an array of floats ``(batch, *positions, channels)``.

    Raises ValueError unless it has one position axis for each entry of ``kernel``.
    """
    x = as_float(x)
    if x.ndim != len(kernel) + 2:
        raise ValueError(
            f"a kernel of {len(kernel)} axes takes (batch, {'positions, ' * len(kernel)}channels), got the shape {x.shape}"
        )
    return x
