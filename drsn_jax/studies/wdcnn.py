"""WDCNN, the network with a wide first kernel that most comparisons of bearing diagnosis have: a peer, and none of ours."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import wide_dtype
from drsn_jax.nn.layers import convolution, dense, nan_where_not_finite, normalisation, normalise
from drsn_jax.nn.network_checks import as_waveforms, check_fields
from drsn_jax.nn.networks import Network

FIRST, STRIDE, HIDDEN = 64, 16, 100  # the first kernel and its stride, and the units of the hidden layer
CONVOLUTIONS = 5  # a pooling behind each halves the positions


class WideFirstKernelNetwork(Network):
    """Classify signals with convolutions and pooling, of which the first has a kernel of 64 samples::

        convolution 64, stride 16 → norm → ReLU → pool 2 → four times (convolution 3 → norm → ReLU → pool 2) → FC 100 → classifier

    Methods and fields are those of ``Network``; ``widths`` are the channels of the five convolutions, and the fields of residual
    units have no effect. Windows are ``(batch, length, channels)`` with at least 512 samples.

    Raises ValueError for shorter windows, for a kernel of two axes or a front end, and for another number of widths.

    Source: Zhang et al., Sensors 17(2), 425, 2017, table 3; its last convolution has no padding, these all have.
    """

    widths: Sequence[int] = (16, 32, 64, 64, 64)
    units: Sequence[int] = (1, 1, 1, 1, 1)
    shrinkage: str | None = None

    def setup(self) -> None:
        """Check the fields and create the modules."""
        check_fields(self)
        if len(self.kernel) != 1 or self.front_end is not None or len(self.widths) != CONVOLUTIONS:
            raise ValueError(f"WDCNN has {CONVOLUTIONS} widths, a kernel of one axis and no front end, got {self.widths}")
        self.convolutions: list[nn.Module] = [
            convolution(width, (3,) if number else (FIRST,), 1 if number else STRIDE, conv=self.conv, dtype=self.dtype)
            for number, width in enumerate(self.widths)
        ]
        self.norms: list[nn.Module] = [
            normalisation(self._norm(), axis_name=self.axis_name, dtype=self.dtype) for _ in (*self.widths, None)
        ]
        self.hidden: nn.Dense = dense(HIDDEN)
        self.classifier: nn.Dense = dense(self.classes)

    def features(self, x: ArrayLike, train: bool) -> jax.Array:
        """Return what the classifier is given, ``(batch, 100)``."""
        windows = as_waveforms(x)
        if windows.shape[1] < STRIDE * 2**CONVOLUTIONS:
            raise ValueError(f"WDCNN takes windows of at least {STRIDE * 2**CONVOLUTIONS} samples, got {windows.shape[1]}")
        y: Any = self._scaled(windows)
        for module, norm in zip(self.convolutions, self.norms, strict=False):
            y = nn.max_pool(nn.relu(normalise(norm, module(y), train)), (2,), (2,))
        y = self.hidden(y.reshape(y.shape[0], -1).astype(wide_dtype(jnp.result_type(y))))
        return nan_where_not_finite(nn.relu(normalise(self.norms[-1], y, train)), windows)
