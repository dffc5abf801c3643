"""Residual networks of the sizes in use for pictures, ResNet-18, 34 and 50, plain or with shrinkage in each unit.

The plain ones have the layers of torchvision's, and so as many parameters: 11,689,512, 21,797,672 and 25,557,032 for pictures in
colour and 1,000 classes. With a kernel of another number of axes the same networks serve signals or volumes.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016, table 1; the stride of a bottleneck is that of its
middle convolution, as in torchvision (ResNet v1.5).
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.nn.layers import Module, convolution, dense, normalisation, normalise, position_mean
from drsn_jax.nn.network_checks import check_fields
from drsn_jax.nn.networks import NETWORKS, Network
from drsn_jax.nn.residual_unit import ResidualUnit, as_features

WIDER = 4  # so many times the channels of its middle layer a bottleneck puts out
PlainConv: Module = functools.partial(nn.Conv, use_bias=False)  # a norm follows each convolution and has a bias of its own


class PostActivationUnit(ResidualUnit):
    """Apply a residual unit of ResNet-18 to 152, with attention at the end of the residual path::

        basic:       y = ReLU(shortcut(x) + shrinkage(BN(Conv(ReLU(BN(Conv(x)))))))
        bottleneck:  y = ReLU(shortcut(x) + shrinkage(BN(Conv₁(ReLU(BN(Conv(ReLU(BN(Conv₁(x))))))))))

    ``Conv₁`` has a kernel of one position. The shortcut is the input itself, or ``BN(Conv₁(x))`` where the stride is not 1 or the
    number of channels changes. The first convolution with the whole kernel has the stride.

    Fields as in ``ResidualUnit``, whose ``shortcut`` is "projection" or None here, and
      bottleneck: whether the unit has three convolutions, of which the last puts out four times ``features`` channels.
    """

    kernel: Sequence[int] = (3, 3)
    shrinkage: str | None = None
    shortcut: str | None = "projection"
    conv: Module = PlainConv
    bottleneck: bool = False

    @nn.compact
    def __call__(self, x: ArrayLike, train: bool) -> jax.Array:
        """Map ``(batch, *positions, channels)`` to ``(batch, *positions / strides, features)``, or four times the features."""
        if self.shortcut not in ("projection", None):
            raise ValueError(f"unknown shortcut {self.shortcut!r}: choose projection or None")
        x = as_features(x, self.kernel)
        point, whole = (1,) * len(self.kernel), tuple(self.kernel)
        layers = [(self.features, whole, self.strides), (self.features, whole, 1)]
        if self.bottleneck:
            layers = [(self.features, point, 1), layers[0], (WIDER * self.features, point, 1)]
        y = x
        for number, (features, kernel, strides) in enumerate(layers, 1):
            y = self._normed(
                y if number == 1 else nn.relu(y), features, kernel, strides, (f"conv_{number}", f"norm_{number}"), train
            )
        if (attention := self._attention()) is not None:
            y = attention(y, train)
        if self.shortcut is None:
            return nn.relu(y)
        if self.strides != 1 or x.shape[-1] != y.shape[-1]:
            x = self._normed(x, y.shape[-1], point, self.strides, ("projection", "projection_norm"), train)
        return nn.relu(y + x.astype(y.dtype))

    def _normed(
        self, x: jax.Array, features: int, kernel: Sequence[int], strides: int, names: tuple[str, str], train: bool
    ) -> jax.Array:
        convolved = convolution(features, kernel, strides, padding=self.padding, conv=self.conv, dtype=self.dtype, name=names[0])(
            x
        )
        norm = normalisation(self.norm, axis_name=self.axis_name, dtype=self.dtype, name=names[1])
        return normalise(norm, convolved, train)


class ImageNetwork(Network):
    """Classify pictures with a network of the size of ResNet-18 and its like::

        [standardise →] convolution of 7 × 7 → norm → ReLU → largest of 3 × 3 → stages of units → mean → classifier

    The convolution and the pooling behind it have a stride of 2, and so has each stage but the first. The mean is over the
    positions. Methods and fields are those of ``Network``, and
      bottleneck: whether the units are bottlenecks, whose output has four times as many channels as ``widths`` say.

    The field ``stem`` is the stride of the first convolution. ``implementation`` has no effect: the modules are called.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = drsn18(classes=10)
        >>> pictures = jnp.zeros((2, 64, 64, 3))
        >>> shapes = jax.eval_shape(lambda key: network.init_with_output(key, pictures, train=False), jax.random.key(0))
        >>> shapes[0].shape
        (2, 10)
    """

    widths: Sequence[int] = (64, 128, 256, 512)
    units: Sequence[int] = (2, 2, 2, 2)
    kernel: Sequence[int] = (3, 3)
    shrinkage: str | None = None
    shortcut: str | None = "projection"
    conv: Module = PlainConv
    bottleneck: bool = False

    def setup(self) -> None:
        """Check the fields and create the modules."""
        check_fields(self)
        stem = (7,) * len(self.kernel)
        self.stem_conv: nn.Module = convolution(
            self.widths[0], stem, self.stem, padding=self.padding, conv=self.conv, dtype=self.dtype
        )
        self.stem_norm: nn.Module = normalisation(self._norm(), axis_name=self.axis_name, dtype=self.dtype)
        self.stages: list[list[ResidualUnit]] = [
            [self._unit(width, 2 if stage and not number else 1) for number in range(count)]
            for stage, (width, count) in enumerate(zip(self.widths, self.units, strict=True))
        ]
        self.classifier: nn.Dense = dense(self.classes)

    @property
    def before_shrinkage(self) -> str:
        """The name of the module in a unit whose output the shrinkage is given."""
        return "norm_3" if self.bottleneck else "norm_2"

    def _by_modules(self, x: jax.Array, train: bool) -> jax.Array:
        axes = len(self.kernel)
        y = nn.relu(normalise(self.stem_norm, self.stem_conv(x), train))
        # padded before, as converters to ONNX overlook the padding of a pooling; zeros, because nothing behind a ReLU is smaller
        y = jnp.pad(y, [(0, 0), *[(1, 1)] * axes, (0, 0)])
        y = nn.max_pool(y, window_shape=(3,) * axes, strides=(2,) * axes)
        for stage in self.stages:
            for unit in stage:
                y = unit(y, train)
        return position_mean(y)

    def _kind(self) -> Any:
        return functools.partial(PostActivationUnit, bottleneck=self.bottleneck)


resnet18: functools.partial[ImageNetwork] = functools.partial(ImageNetwork)
resnet34: functools.partial[ImageNetwork] = functools.partial(ImageNetwork, units=(3, 4, 6, 3))
resnet50: functools.partial[ImageNetwork] = functools.partial(ImageNetwork, units=(3, 4, 6, 3), bottleneck=True)
drsn18: functools.partial[ImageNetwork] = functools.partial(resnet18, shrinkage="channel_wise")
drsn34: functools.partial[ImageNetwork] = functools.partial(resnet34, shrinkage="channel_wise")
drsn50: functools.partial[ImageNetwork] = functools.partial(resnet50, shrinkage="channel_wise")
IMAGE_NETWORKS: dict[str, functools.partial[ImageNetwork]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "drsn18": drsn18,
    "drsn34": drsn34,
    "drsn50": drsn50,
}
ALL_NETWORKS: dict[str, Any] = {**NETWORKS, **IMAGE_NETWORKS}
