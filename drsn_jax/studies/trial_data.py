"""The windows of one trial, with the noise that its seed decides: every network of a comparison meets the same."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.data.windows import Fold, Side
from drsn_jax.functional import signals
from drsn_jax.functional.noise import add_noise_once
from drsn_jax.training.steps import KeyPurpose


class TrialData(NamedTuple):
    """All sides of a split with the noise of one trial.

    Fields:
      train: the clean training windows.
      train_noisy: the training windows under one fixed noise draw, ``(n, length, channels)``.
      test, validation: sides whose windows hold their noise; the validation may be empty.
      snr_db, kind: of all noise.
    """

    train: Side
    train_noisy: np.ndarray
    test: Side
    validation: Side
    snr_db: float
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
        (KeyPurpose.TRAIN_NOISE, fold.train.windows),
        (KeyPurpose.TEST_NOISE, fold.test.windows),
        (KeyPurpose.VALIDATION_NOISE, fold.validation.windows),
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
        train=fold.train,
        train_noisy=train_noisy,
        test=fold.test._replace(windows=test),
        validation=fold.validation._replace(windows=validation),
        snr_db=snr_db,
        kind=kind,
    )
