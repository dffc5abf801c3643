"""The same networks as their users write them for PyTorch (extra ``bench``), with the weights of ours. No JAX in here.

Features are ``(batch, channels, *positions)``; modules have the names of those of ``networks.Network``, by which their
parameters find each other.
"""
# pyright: reportMissingImports=false

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# which of the two trees and which leaf of it → the name in PyTorch
LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}


class Shrinkage(nn.Module):
    """A soft threshold for every channel of every sample, or one for a whole sample (``shared``)."""

    def __init__(self, channels: int, shared: bool) -> None:
        super().__init__()
        self.shared = shared
        self.dense_1 = nn.Linear(channels, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.dense_2 = nn.Linear(channels, 1 if shared else channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        magnitude = x.abs()
        average = magnitude.flatten(2).mean(2)
        alpha = torch.sigmoid(self.dense_2(F.relu(self.norm(self.dense_1(average)))))
        threshold = alpha * (average.mean(1, keepdim=True) if self.shared else average)
        threshold = threshold.view(*threshold.shape, *(1,) * (x.dim() - 2))
        return torch.sign(x) * F.relu(magnitude - threshold)


class Unit(nn.Module):
    """BN → ReLU → Conv → BN → ReLU → Conv → threshold → + shortcut."""

    def __init__(self, inputs: int, features: int, kernel: Sequence[int], strides: int, shrinkage: str | None) -> None:
        super().__init__()
        self.strides, self.missing = strides, features - inputs
        self.norm_1 = norm(inputs, len(kernel))
        self.conv_1 = convolution(inputs, features, kernel, strides)
        self.norm_2 = norm(features, len(kernel))
        self.conv_2 = convolution(features, features, kernel)
        self.attention = nn.Identity() if shrinkage is None else Shrinkage(features, shrinkage == "channel_shared")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv_1(F.relu(self.norm_1(x)))
        y = self.attention(self.conv_2(F.relu(self.norm_2(y))))
        if self.strides > 1:
            x = x[(..., *(slice(None, None, self.strides),) * (x.dim() - 2))]
        if self.missing:
            front = self.missing // 2
            x = F.pad(x, (*(0, 0) * (x.dim() - 2), front, self.missing - front))
        return y + x


class Network(nn.Module):
    """``networks.Network`` with the paper's shortcut and centred padding; ``shrinkage`` is None, ``"channel_wise"`` or
    ``"channel_shared"``, kernels are of odd length. ValueError for others."""

    def __init__(
        self,
        classes: int,
        channels: int,
        widths: Sequence[int],
        units: Sequence[int],
        kernel: Sequence[int],
        stem: int,
        shrinkage: str | None,
    ) -> None:
        super().__init__()
        if shrinkage not in (None, "channel_wise", "channel_shared"):
            raise ValueError(f"the network for PyTorch has no shrinkage {shrinkage!r}")
        if any(k % 2 == 0 for k in kernel):
            raise ValueError(f"the network for PyTorch has kernels of odd length, got {tuple(kernel)}")
        self.stem_conv = convolution(channels, widths[0], kernel, stem)
        stages, inputs = OrderedDict(), widths[0]
        for i, (width, count) in enumerate(zip(widths, units, strict=True)):
            for j in range(count):
                stages[f"stages_{i}_{j}"] = Unit(inputs, width, kernel, 2 if j == 0 else 1, shrinkage)
                inputs = width
        self.stages = nn.Sequential(stages)
        self.last_norm = norm(inputs, len(kernel))
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.last_norm(self.stages(self.stem_conv(x))))
        return self.classifier(x.flatten(2).mean(2))


def convolution(inputs: int, features: int, kernel: Sequence[int], strides: int = 1) -> nn.Module:
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(kernel) - 1]
    return kind(inputs, features, tuple(kernel), stride=strides, padding=tuple(k // 2 for k in kernel))


def norm(channels: int, axes: int) -> nn.Module:
    return (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1](channels, eps=1e-5, momentum=0.1)


def copy_weights(network: Network, weights: Mapping[str, Any]) -> None:
    """Give a network the parameters and running statistics of ours, by their paths (``params/stem_conv/kernel``); an error of
    PyTorch if names or shapes differ."""
    copied = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    for path, leaf in weights.items():
        collection, *modules, name = path.split("/")
        value = np.asarray(leaf)
        if name == "kernel":  # (*positions, inputs, outputs) → (outputs, inputs, *positions)
            value = np.moveaxis(value, (-1, -2), (0, 1))
        inside = ["stages"] if modules[0].startswith("stages_") else []
        copied[".".join([*inside, *modules, LEAVES[collection, name]])] = torch.tensor(np.ascontiguousarray(value))
    network.load_state_dict(copied)


def channels_first(windows: np.ndarray) -> torch.Tensor:
    """``(batch, *positions, channels)`` → ``(batch, channels, *positions)``."""
    return torch.tensor(np.ascontiguousarray(np.moveaxis(windows, -1, 1)))


def optimizer(network: Network, learning_rate: float) -> torch.optim.Optimizer:
    """``steps.paper_optimizer`` at the start: momentum 0.9, weight decay 1e-4 on the kernels of convolutions and FC layers."""
    kernels = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": kernels, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9)
