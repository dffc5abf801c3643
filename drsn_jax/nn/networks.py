"""Residual networks whose units may shrink what they add: the five networks of the paper are presets of one ``Network``.

Inputs are ``(batch, *positions, channels)``. The number of position axes is the length of ``kernel``, so the same code serves
signals, images and volumes.

Source: Zhao et al., IEEE Trans. Ind. Informatics 16(7), 2020, section III and table I.
"""

import functools
from collections.abc import Collection, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.functional import signals
from drsn_jax.functional.mel import LogMel
from drsn_jax.nn import blocked_network
from drsn_jax.nn.layers import BatchNorm, Module, convolution, dense, nan_where_not_finite, normalisation, normalise, relu_mean
from drsn_jax.nn.network_checks import Implementation, as_waveforms, by_channel, check_fields, check_lengths
from drsn_jax.nn.residual_unit import ResidualUnit, as_features


class Network(nn.Module):
    """Classify signals, images or volumes with a residual network::

        [front end →] [standardise →] convolution → stages of residual units → norm → ReLU → mean over positions → classifier

    ``apply(variables, x, train=False)`` maps ``(batch, *positions, channels)`` to logits ``(batch, classes)``, in at least
    float32; ``method="features"`` stops at the pooled features ``(batch, widths[-1])``. With ``train=True`` norms use the
    statistics of the batch: pass ``mutable=["batch_stats"]``. With ``mutable=["thresholds"]`` every shrinkage stores its
    ``threshold``, ``alpha`` and share of ``zeros``.

    Fields: as in ``ResidualUnit``, and
      classes: number of classes.
      widths: channels of each stage; each starts with a unit of stride 2.
      units: number of units of each stage.
      stem: stride of the first convolution, which has ``widths[0]`` kernels and neither norm nor ReLU.
      standardise: whether the network first scales each channel of each window to mean 0 and variance 1 over its positions
        (``functional.standardise``). The scale and the offset of a window then do not matter. The paper's networks do not.
        ``"together"`` scales all channels of a window by one number, which keeps their ratios
        (``signals.standardise_together``).
      front_end: what turns each window into the features that the network sees, before they are standardised: a
        ``functional.mel.LogMel`` makes ``(length, channels)`` a log-mel spectrogram ``(frames, mels, channels)``. Windows are
        then waveforms ``(batch, length, channels)``, and the kernel has two axes, ``(3, 3)``. None takes windows as they are.
      offset, scale: from windows that are not standardised the network subtracts ``offset`` and divides by ``scale``, such as the
        mean and the standard deviation of the training data: one number, or one for each channel. 0 and 1 leave them.
      implementation: how the features are computed. The results are equal to rounding. ``"modules"`` calls the Flax modules.
        ``"blocked"`` computes convolutions as products of matrices (``nn.blocked_network``) wherever that is implemented, and
        calls the modules elsewhere. None chooses ``"blocked"`` on a CPU where it is faster, and ``"modules"`` otherwise. The
        blocked implementation has derivatives of every order in reverse mode. Forward mode (``jax.jvp``, ``jax.jacfwd``,
        ``jax.linearize``, ``jax.hessian``) and interceptors of the modules' methods need ``"modules"``; without it JAX raises
        "can't apply forward-mode autodiff to a custom_vjp function". A symbolic dimension (``jax.export``) selects the modules.
      platform: with ``implementation=None``, the platform that the choice is made for, ``"cpu"`` for example. None leaves the
        choice to the compiler of the program, so that both implementations are traced; ``for_platform`` saves this. On
        ``"cpu"``, norms called by the modules compute their sums in two stages (``BatchNorm.staged``).

    Raises ValueError for fields that do not fit together.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = Network(classes=3, widths=(4,), units=(1,), standardise=True)
        >>> x = jnp.zeros((5, 128, 1))  # five windows of 128 samples of one channel
        >>> variables = jax.jit(network.init, static_argnames="train")(jax.random.key(0), x, train=False)
        >>> logits = jax.jit(network.apply, static_argnames="train")(variables, x, train=False)
        >>> logits.shape
        (5, 3)
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
    standardise: bool | str = False
    offset: float | Sequence[float] = 0.0
    scale: float | Sequence[float] = 1.0
    front_end: LogMel | None = None
    implementation: Implementation | None = None
    platform: str | None = None

    def __post_init__(self) -> None:
        # a list or an array cannot be hashed, and compiled functions are remembered by their network
        for name in ("widths", "units", "kernel", "offset", "scale"):
            value = getattr(self, name)
            if isinstance(value, np.ndarray | jax.Array):
                value = value.tolist()
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        super().__post_init__()

    def setup(self) -> None:
        """Check the fields and create the modules."""
        check_fields(self)
        self.stem_conv: nn.Module = convolution(
            self.widths[0], self.kernel, self.stem, padding=self.padding, conv=self.conv, dtype=self.dtype
        )
        self.stages: list[list[ResidualUnit]] = [
            [self._unit(width, 2 if number == 0 else 1) for number in range(count)]
            for width, count in zip(self.widths, self.units, strict=True)
        ]
        self.last_norm: nn.Module = normalisation(self._norm(), axis_name=self.axis_name, dtype=self.dtype)
        self.classifier: nn.Dense = dense(self.classes)

    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        """Return the logits ``(batch, classes)`` in at least float32."""
        return self.classifier(self.features(x, train))

    def features(self, x: ArrayLike, train: bool) -> jax.Array:
        """Return the pooled features ``(batch, widths[-1])`` in at least float32."""
        windows, seen = self._seen(x)
        check_lengths(self, seen.shape[1:-1])
        return nan_where_not_finite(self._features(self._scaled(seen), train), windows)

    def _seen(self, x: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Return the windows as floats, and what the network sees of them, which is another array behind a front end."""
        if self.front_end is None:
            windows = as_features(x, self.kernel)
            return windows, windows
        windows = as_waveforms(x)
        return windows, as_features(jax.vmap(self.front_end)(windows), self.kernel)

    @property
    def blocks(self) -> bool:
        """Whether the blocked implementation computes what this kind of network does."""
        return type(self) is Network

    @property
    def before_shrinkage(self) -> str:
        """The name of the module in a unit whose output the shrinkage is given."""
        return "conv_2"

    def _features(self, x: jax.Array, train: bool) -> jax.Array:
        if (layout := self._layout(x, train)) is None:
            return self._by_modules(x, train)
        variables = {name: self.variables[name] for name in ("params", "batch_stats")}
        blocked = functools.partial(blocked_network.features, layout, train=train)
        # the windows are scaled already
        plain = self.clone(parent=None, implementation="modules", standardise=False, offset=0.0, scale=1.0, front_end=None)
        if self.implementation is None and self.platform is None:
            by_modules = functools.partial(_features_by_modules, plain, train=train)
            y, stats = jax.lax.platform_dependent(variables, x, cpu=blocked, default=by_modules)
        else:
            y, stats = blocked(variables, x)
        if train:
            for name, updated in stats.items():
                self.put_variable("batch_stats", name, updated)
        return y

    def _scaled(self, x: jax.Array) -> jax.Array:
        if self.standardise:
            return jax.vmap(signals.standardise_together if self.standardise == "together" else signals.standardise)(x)
        if self.offset == 0.0 and self.scale == 1.0:
            return x
        offset, scale = (by_channel(self, name, x) for name in ("offset", "scale"))
        return ((x - offset) / scale).astype(x.dtype)

    def _layout(self, x: jax.Array, train: bool) -> blocked_network.Layout | None:
        """Return the layout of the blocked implementation for ``x``, or None where the modules compute the features."""
        if self.is_initializing():
            return None
        mutable = self.scope.mutable if self.scope else True
        named = {mutable} if isinstance(mutable, str) else mutable or ()
        # only the modules store other collections, thresholds for example
        if named is True or not isinstance(named, Collection) or set(named) - {"batch_stats"} or (train and not named):
            return None
        return blocked_layout(self, self.variables, x, train)

    def _by_modules(self, x: jax.Array, train: bool) -> jax.Array:
        y = self.stem_conv(x)
        for stage in self.stages:
            for unit in stage:
                y = unit(y, train)
        return relu_mean(normalise(self.last_norm, y, train))

    def _unit(self, width: int, strides: int) -> ResidualUnit:
        return self._kind()(
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

    def _kind(self) -> Any:
        """Return the class of the units, or a partial of it."""
        return ResidualUnit

    def _norm(self) -> Module:
        """Return the norm of all units, on a CPU with sums in two stages. A user's own norm stays as it is."""
        staged = self.implementation is None and self.platform == "cpu" and self.norm is BatchNorm
        return functools.partial(BatchNorm, staged=True) if staged else self.norm


convnet: functools.partial[Network] = functools.partial(Network, shrinkage=None, shortcut=None)
resnet: functools.partial[Network] = functools.partial(Network, shrinkage=None)
senet: functools.partial[Network] = functools.partial(Network, shrinkage="squeeze_excitation")
drsn_cs: functools.partial[Network] = functools.partial(Network, shrinkage="channel_shared")
drsn_cw: functools.partial[Network] = functools.partial(Network, shrinkage="channel_wise")
NETWORKS: dict[str, functools.partial[Network]] = {
    "convnet": convnet,
    "resnet": resnet,
    "senet": senet,
    "drsn_cs": drsn_cs,
    "drsn_cw": drsn_cw,
}


def for_platform(network: Network, platform: str) -> Network:
    """Return the network with its implementation chosen for ``platform`` (``"cpu"``, ``"gpu"`` …), unless it was chosen before.

    Tracing such a network takes half the time: only one implementation is traced.
    """
    chosen = network.implementation is not None or network.platform is not None
    return network if chosen else network.clone(platform=platform)


def blocked_layout(network: Network, variables: Any, x: Any, train: bool = True) -> blocked_network.Layout | None:
    """Return the layout with which ``network`` computes the features of ``x`` on a CPU, or None where it calls the modules.

    ``x`` and ``variables`` are arrays or their shapes (``jax.ShapeDtypeStruct``); ``train`` is as in ``Network``.
    """
    if network.implementation == "blocked":
        return blocked_network.layout_of(network, variables, x)
    if network.implementation == "modules" or network.platform not in (None, "cpu"):
        return None
    layout = blocked_network.layout_of(network, variables, x)
    return layout if layout and layout.pays(train) else None


def parameter_count(params: Any) -> int:
    """Return the number of parameters in a tree of arrays (or of their shapes)."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _features_by_modules(network: Network, variables: Any, x: jax.Array, train: bool) -> tuple[jax.Array, Any]:
    """Compute what ``blocked_network.features`` computes, by the modules."""
    y, updated = network.apply(variables, x, train=train, mutable=["batch_stats"], method="_by_modules")
    return y, updated["batch_stats"]
