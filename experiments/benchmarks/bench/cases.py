"""What is measured: networks, sizes, tasks, batches, and the data that all sides are given. NumPy alone: the processes of
PyTorch import this too, and are not to pay for JAX."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

CLASSES = 8
LEARNING_RATE = 1e-3  # small: hundreds of steps on the same random windows must not diverge
TOLERANCE = 1e-4
CHECKED = 16  # windows whose logits are compared


class Size(NamedTuple):
    """A kind of network: its title, the shape of a window, and fields of ``networks.Network``."""

    title: str
    window: tuple[int, ...]
    fields: Mapping[str, Any]


SIZES = {
    "paper": Size("1-D, widths 4-8-16", (2048, 1), {"widths": (4, 8, 16)}),
    "wide": Size("1-D, widths 32-64-128", (2048, 1), {"widths": (32, 64, 128)}),
    "images": Size("2-D 32 × 32 × 3, widths 16-32-64", (32, 32, 3), {"widths": (16, 32, 64), "kernel": (3, 3), "stem": 1}),
}
SHRINKAGES = {"resnet": None, "drsn_cs": "channel_shared", "drsn_cw": "channel_wise"}


@dataclass(frozen=True)
class Case:
    """One network at one size doing one task (``"train"`` or ``"infer"``) on batches of one size.

    ``short`` stands for one unit a stage and, in 1-D, windows of 256.
    """

    size: str
    network: str
    task: str
    batch: int
    short: bool = False

    @property
    def window(self) -> tuple[int, ...]:
        shape = SIZES[self.size].window
        return (256, *shape[1:]) if self.short and len(shape) == 2 else shape

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the network, all that decide its shape."""
        units = (1, 1, 1) if self.short else (4, 4, 4)
        chosen = {"classes": CLASSES, "units": units, "kernel": (3,), "stem": 2, "shrinkage": SHRINKAGES[self.network]}
        return {**chosen, **SIZES[self.size].fields}

    @property
    def key(self) -> dict[str, Any]:
        """What names the case in tables."""
        return {"size": self.size, "network": self.network, "task": self.task, "batch": self.batch}

    def data(self, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Windows ``(count, *positions, channels)`` and labels, the same in every process; by default a batch."""
        count = self.batch if count is None else count
        rng = np.random.default_rng(count)
        windows = rng.normal(size=(count, *self.window)).astype(np.float32)
        return windows, rng.integers(0, CLASSES, count).astype(np.int32)


def difference(found: Any, expected: Any) -> float:
    """The largest difference, absolute for numbers below 1 and relative above; infinity where shapes differ or a number is not
    finite."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape or not np.all(np.isfinite(found)):
        return float("inf")
    return float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)), initial=0))
