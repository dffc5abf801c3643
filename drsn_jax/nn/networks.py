"""Residual networks whose units may shrink what they add: the five networks of the paper are presets of one ``Network``.

Inputs are ``(batch, *positions, channels)``; the number of position axes is the length of ``kernel``. The same code serves
signals, images and volumes.

Source: Zhao et al., IEEE Trans. Ind. Informatics 16(7), 2020, section III and table I.
"""

import functools
from collections.abc import Collection, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float
from drsn_jax.nn import blocked_network
from drsn_jax.nn.layers import BatchNorm, Module, convolution, dense, normalisation, normalise, position_mean
from drsn_jax.nn.shrinkage import ChannelSharedShrinkage, ChannelWiseShrinkage, SqueezeExcitation

SHRINKAGES = ("channel_wise", "channel_shared", "squeeze_excitation")


SHORTCUTS = ("zero_padding", "projection")


VIEWS = ("plain", "blocked", "cpu")


class ResidualUnit(nn.Module):
    """A full pre-activation unit, with attention at the end of the residual path::

        y = shortcut(x) + shrinkage(Conv(ReLU(BN(Conv(ReLU(BN(x)))))))

    The first convolution has the stride. No norm between the second convolution and the shrinkage, no ReLU after the addition.

    Fields:
      features: channels of the output.
      kernel: size of both convolutions, one number for each position axis.
      strides: stride over every position axis.
      shrinkage: ``"channel_wise"``, ``"channel_shared"``, ``"squeeze_excitation"`` or None.
      threshold_rule: one of ``THRESHOLD_RULES``.
      shortcut: ``"zero_padding"`` (the paper's: every stride-th position, zero channels half in front and half behind, an odd
        one behind), ``"projection"`` (a 1×1 convolution where stride or channels differ) or None (no shortcut).
      conv, norm: a module class, or a partial of one, in place of ``flax.linen.Conv`` and ``BatchNorm``.
      padding: of the convolutions, ``"centred"`` or ``"SAME"``.
      dtype: of the computation; None takes that of the input. Parameters and statistics stay float32.
      axis_name: the mapped axis whose replicas share batch statistics.

    Raises ValueError for an unknown shrinkage, threshold rule or shortcut, for a kernel that does not fit the input, for
    fewer channels than before with zero padding.
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
        x = _features(x, self.kernel)
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


class Network(nn.Module):
    """Convolution → stages of residual units → norm → ReLU → mean over positions → classifier.

    ``apply(variables, x, train=False)`` maps ``(batch, *positions, channels)`` to logits ``(batch, classes)``, in at least
    float32; ``method="features"`` stops at the pooled features ``(batch, widths[-1])``. With ``train=True`` norms use the
    statistics of the batch: pass ``mutable=["batch_stats"]``. With ``mutable=["thresholds"]`` every shrinkage stores its
    ``threshold``, ``alpha`` and share of ``zeros``.

    Fields: as in ``ResidualUnit``, and
      classes: number of classes.
      widths: channels of each stage; each starts with a unit of stride 2.
      units: number of units of each stage.
      stem: stride of the first convolution, which has ``widths[0]`` kernels and neither norm nor ReLU.
      view: how the features are computed, with the same result to rounding. ``"plain"``: by the modules. ``"blocked"``: as
        ``fast`` does wherever it can, else by the modules. ``"cpu"``: as ``fast`` does where that pays on a CPU, else by the
        modules with ``staged`` norms. None: as ``fast`` does where that pays and the program runs on a CPU, else ``"plain"``,
        which is decided when it is compiled, so that both are traced. The blocked view has derivatives of every order in
        reverse mode; forward mode (``jax.jvp``, ``jax.hessian``) needs ``"plain"``, and so do interceptors of the modules'
        methods.

    Raises ValueError for fields that do not fit together.
    """

    classes: int
    widths: Sequence[int] = (4, 8, 16)
    units: Sequence[int] = (4, 4, 4)
    kernel: Sequence[int] = (3,)
    stem: int = 2
    shrinkage: str | None = "channel_wise"
    threshold_rule: str = "soft"
    shortcut: str | None = "zero_padding"
    conv: Module = nn.Conv
    norm: Module = BatchNorm
    padding: str = "centred"
    dtype: Any = None
    axis_name: str | None = None
    view: str | None = None

    def __post_init__(self) -> None:
        # a list cannot be hashed, and compiled functions are remembered by their network
        for name in ("widths", "units", "kernel"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        super().__post_init__()

    def setup(self) -> None:
        if self.view is not None and self.view not in VIEWS:
            raise ValueError(f"unknown view {self.view!r}: choose one of {', '.join(VIEWS)} or None")
        if self.classes < 1:
            raise ValueError(f"a network needs at least one class, got classes={self.classes}")
        if not self.widths or len(self.widths) != len(self.units) or min(*self.units, *self.widths) < 1:
            raise ValueError(
                f"widths and units give one positive number for each stage, got widths={tuple(self.widths)} and "
                f"units={tuple(self.units)}"
            )
        self.stem_conv = convolution(
            self.widths[0], self.kernel, self.stem, padding=self.padding, conv=self.conv, dtype=self.dtype
        )
        self.stages = [
            [self._unit(width, 2 if number == 0 else 1) for number in range(count)]
            for width, count in zip(self.widths, self.units, strict=True)
        ]
        self.last_norm = normalisation(self._norm(), axis_name=self.axis_name, dtype=self.dtype)
        self.classifier = dense(self.classes)

    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        return self.classifier(self.features(x, train))

    def features(self, x: ArrayLike, train: bool) -> jax.Array:
        """The pooled features ``(batch, widths[-1])`` in at least float32."""
        x = _features(x, self.kernel)
        if (plan := self._plan(x, train)) is None:
            return self._by_modules(x, train)
        variables = {name: self.variables[name] for name in ("params", "batch_stats")}
        blocked = functools.partial(blocked_network.features, plan, train=train)
        plain = functools.partial(_plain_features, self.clone(parent=None, view="plain"), train=train)
        if self.view is not None:
            y, stats = blocked(variables, x)
        else:
            y, stats = jax.lax.platform_dependent(variables, x, cpu=blocked, default=plain)
        if train:
            for name, updated in stats.items():
                self.put_variable("batch_stats", name, updated)
        return y

    def _plan(self, x: jax.Array, train: bool) -> blocked_network.Plan | None:
        """How the features are computed in the blocked view; None: by the modules."""
        if self.is_initializing():
            return None
        mutable = self.scope.mutable if self.scope else True
        named = {mutable} if isinstance(mutable, str) else mutable or ()
        # what else is asked for, thresholds for example, the modules store
        if named is True or not isinstance(named, Collection) or set(named) - {"batch_stats"} or (train and not named):
            return None
        return blocked_plan(self, self.variables, x)

    def _by_modules(self, x: jax.Array, train: bool) -> jax.Array:
        y = self.stem_conv(x)
        for stage in self.stages:
            for unit in stage:
                y = unit(y, train)
        return position_mean(nn.relu(normalise(self.last_norm, y, train)))

    def _unit(self, width: int, strides: int) -> ResidualUnit:
        return ResidualUnit(
            width,
            kernel=self.kernel,
            strides=strides,
            shrinkage=self.shrinkage,
            threshold_rule=self.threshold_rule,
            shortcut=self.shortcut,
            conv=self.conv,
            norm=self._norm(),
            padding=self.padding,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )

    def _norm(self) -> Module:
        # a user's own norm stays as it is
        return functools.partial(BatchNorm, staged=True) if self.view == "cpu" and self.norm is BatchNorm else self.norm


convnet = functools.partial(Network, shrinkage=None, shortcut=None)


resnet = functools.partial(Network, shrinkage=None)


senet = functools.partial(Network, shrinkage="squeeze_excitation")


drsn_cs = functools.partial(Network, shrinkage="channel_shared")


drsn_cw = functools.partial(Network, shrinkage="channel_wise")


NETWORKS = {"convnet": convnet, "resnet": resnet, "senet": senet, "drsn_cs": drsn_cs, "drsn_cw": drsn_cw}


def for_platform(network: Network, platform: str) -> Network:
    """The network with its view decided for ``"cpu"``, ``"gpu"`` or another platform, if it is not yet: half the tracing of one
    that decides when it is compiled."""
    return network if network.view is not None else network.clone(view="cpu" if platform == "cpu" else "plain")


def blocked_plan(network: Network, variables: Any, x: Any) -> blocked_network.Plan | None:
    """How the features of ``x`` (an array or its shape) are computed where the network may use the blocked view on a CPU; None:
    by the modules."""
    plan = None if network.view == "plain" else blocked_network.plan(network, variables, x)
    return plan if plan and (plan.pays or network.view == "blocked") else None


def stride_positions(x: jax.Array, strides: int) -> jax.Array:
    """Every ``strides``-th position of ``(batch, *positions, channels)``."""
    return x[(slice(None), *(slice(None, None, strides),) * (x.ndim - 2))]


def pad_channels(x: jax.Array, channels: int) -> jax.Array:
    """Zero channels around those there are, half in front and half behind, an odd one behind."""
    missing = channels - x.shape[-1]
    if missing < 0:
        raise ValueError(
            f"zero padding cannot lead from {x.shape[-1]} channels to {channels}: use shortcut='projection' where widths shrink"
        )
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(missing // 2, missing - missing // 2)])


def parameter_count(params: Any) -> int:
    """The number of parameters in a tree of arrays (or of their shapes)."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _plain_features(network: Network, variables: Any, x: jax.Array, train: bool) -> tuple[jax.Array, Any]:
    """As ``blocked_network.features``, by the modules."""
    y, updated = network.apply(variables, x, train=train, mutable=["batch_stats"], method="features")
    return y, updated["batch_stats"]


def _features(x: ArrayLike, kernel: Sequence[int]) -> jax.Array:
    x = as_float(x)
    if x.ndim != len(kernel) + 2:
        raise ValueError(
            f"a kernel of {len(kernel)} axes takes (batch, {'positions, ' * len(kernel)}channels), got the shape {x.shape}"
        )
    return x
