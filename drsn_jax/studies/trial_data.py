"""The windows of one trial, with the noise that its seed decides: every network of a comparison meets the same."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.data.windows import Fold
from drsn_jax.functional import signals
from drsn_jax.functional.noise import add_noise_once
from drsn_jax.training.steps import KeyPurpose


class TrialData(NamedTuple):
    """All sides of a split with the noise of one trial.

    Fields:
      train, test, validation: windows ``(n, length, channels)`` without mean; ``test`` and ``validation`` (which may be empty)
        hold their noise.
      train_noisy: the training windows under one fixed noise draw.
      train_labels, test_labels, validation_labels: ``(n,)`` integers.
      snr_db, kind: of all noise.
    """

    train: np.ndarray
    train_labels: np.ndarray
    train_noisy: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    snr_db: float
    validation: np.ndarray
    validation_labels: np.ndarray
    kind: str = "gaussian"


def standardised(windows: np.ndarray) -> np.ndarray:
    """``signals.standardise`` of every window."""
    return in_parts(lambda part: np.asarray(_standardised(part)), windows)


_standardised = jax.jit(jax.vmap(signals.standardise))


@functools.partial(jax.jit, static_argnames="kind")
def _noisy(key: jax.Array, windows: jax.Array, snr_db: jax.Array, first: jax.Array, kind: str) -> jax.Array:
    return add_noise_once(key, windows, snr_db, kind, first=first)


def with_noise(fold: Fold, *, seed: int, snr_db: float, kind: str, train_snr_db: tuple[float, float] | None = None) -> TrialData:
    """A fold with the noise that ``seed`` decides; with ``train_snr_db`` the training and validation windows get levels drawn
    from that range."""
    root = jax.random.key(seed)
    sides = (
        (KeyPurpose.TRAIN_NOISE, fold.train),
        (KeyPurpose.TEST_NOISE, fold.test),
        (KeyPurpose.VALIDATION_NOISE, fold.validation),
    )

    def noisy(purpose: int, windows: np.ndarray) -> np.ndarray:
        if len(windows) == 0:
            return windows
        key, levels = jax.random.fold_in(root, purpose), np.full(len(windows), snr_db, np.float32)
        if train_snr_db is not None and purpose != KeyPurpose.TEST_NOISE:
            drawn = jax.random.fold_in(jax.random.fold_in(root, KeyPurpose.LEVELS), purpose)
            levels = np.asarray(jax.random.uniform(drawn, levels.shape, minval=train_snr_db[0], maxval=train_snr_db[1]))
        add = lambda part, level, numbers: np.asarray(_noisy(key, part, level, numbers[0], kind))  # noqa: E731
        return in_parts(add, windows, levels, np.arange(len(windows), dtype=np.int32))

    train_noisy, test, validation = (noisy(purpose, windows) for purpose, windows in sides)
    return TrialData(
        fold.train, fold.train_labels, train_noisy, test, fold.test_labels, snr_db, validation, fold.validation_labels, kind
    )
