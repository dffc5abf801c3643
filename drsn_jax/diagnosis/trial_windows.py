"""Windows of noise on which an exported file is compared with its model."""

import dataclasses
from typing import Any

import jax
import numpy as np


def noise(bundle: Any, count: int) -> np.ndarray:
    """Return windows of noise ``(count, *positions, channels)``, a half of them with a tone, as loud as those of the training."""
    rng, shape = np.random.default_rng(0), bundle.window_shape
    windows = rng.normal(size=(count, *shape))
    tones = np.sin(np.pi * rng.random((count // 2, 1)) * np.arange(np.prod(shape[:-1], dtype=int)))
    windows[: count // 2] += 2 * tones.reshape(count // 2, *shape[:-1], 1)
    loudness = 1.0 if bundle.rms_range is None else float(np.mean(bundle.rms_range)) or 1.0
    return (loudness * windows).astype(np.float32)


def expected(bundle: Any, windows: np.ndarray) -> np.ndarray:
    """Return the probabilities ``(n, classes)`` that a file should give: those of the model, computed in float32 on a GPU too."""
    with jax.default_matmul_precision("float32"):
        return in_float32(bundle).predict_proba(windows)


def in_float32(bundle: Any) -> Any:
    """Return a model whose network computes in float32."""
    return bundle if bundle.network.dtype is None else dataclasses.replace(bundle, network=bundle.network.clone(dtype=None))


def padded(windows: np.ndarray, batch: int | None) -> list[np.ndarray]:
    """Return windows in batches of so many, the last filled with copies of the last window; in one of them all for None."""
    if batch is None:
        return [windows]
    filled = np.concatenate([windows, np.repeat(windows[-1:], -len(windows) % batch, 0)])
    return np.split(filled, len(filled) // batch)
