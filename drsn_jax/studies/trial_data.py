"""The windows of one trial with the noise that its seed decides, which is the same for every network of a comparison."""

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.data.windows import Fold, Side
from drsn_jax.functional import signals
from drsn_jax.functional.noise import Noise, add_noise_once, example_keys
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.training.state import KeyPurpose

AT_ONCE = 256  # windows that are disturbed at a time, where that is more than the noise of a ``Noise``


class TrialData(NamedTuple):
    """All sides of a split with the noise of one trial.

    Fields:
      train: the training windows without noise.
      train_noisy: the training windows under one fixed draw of ``train_noise``, ``(n, length, channels)``.
      test: the test windows under one fixed draw of ``noise``.
      validation: the validation windows under one fixed draw of ``train_noise``; it may be empty.
      noise: the noise of the test, by which the trial is named.
      train_noise: the noise of training and validation.
    """

    train: Side
    train_noisy: np.ndarray
    test: Side
    validation: Side
    noise: Disturbance
    train_noise: Disturbance


def with_noise(fold: Fold, *, seed: int, noise: Disturbance, train_noise: Disturbance | None = None) -> TrialData:
    """Add the noise that ``seed`` decides to all sides of a fold.

    The test windows get ``noise``, the training and validation windows ``train_noise``, which is ``noise`` if it is not given.
    """
    train_noise = noise if train_noise is None else train_noise
    return TrialData(
        train=fold.train,
        train_noisy=_noisy(fold.train.windows, seed, KeyPurpose.TRAIN_NOISE, train_noise),
        test=noisy_test(fold, seed, noise),
        validation=fold.validation._replace(
            windows=_noisy(fold.validation.windows, seed, KeyPurpose.VALIDATION_NOISE, train_noise)
        ),
        noise=noise,
        train_noise=train_noise,
    )


def tested_in(data: TrialData, fold: Fold, *, seed: int, noise: Disturbance) -> TrialData:
    """Return the data of a trial with the test windows of ``fold`` in another noise; the training stays what it is."""
    return data._replace(test=noisy_test(fold, seed, noise), noise=noise)


def noisy_test(fold: Fold, seed: int, noise: Disturbance) -> Side:
    """Return the test windows of a fold in the draw of a noise that ``seed`` decides, the same for all methods."""
    return fold.test._replace(windows=_noisy(fold.test.windows, seed, KeyPurpose.TEST_NOISE, noise))


def standardised(windows: np.ndarray, how: str = "window") -> np.ndarray:
    """Scale every window as a network with ``TrainingConfig.standardise`` does it, but for one factor for all of them."""
    if how not in _STANDARDISED:
        return windows
    return in_parts(lambda part: np.asarray(_STANDARDISED[how](part)), windows)


def by_the_network(how: str) -> bool | str:
    """Return the ``Network.standardise`` of a ``TrainingConfig.standardise``."""
    return {"window": True, "together": "together"}.get(how, False)


def training_scale(windows: np.ndarray) -> float:
    """Return the root mean square of all training windows ``(n, length, channels)``, to three digits."""
    total = sum(float(np.sum(np.square(windows[i : i + 256], dtype=np.float64))) for i in range(0, len(windows), 256))
    return float(f"{math.sqrt(total / windows.size):.3g}") or 1.0


_STANDARDISED = {"window": jax.jit(jax.vmap(signals.standardise)), "together": jax.jit(jax.vmap(signals.standardise_together))}


@functools.partial(jax.jit, static_argnames="kind")
def _add_noise(key: jax.Array, windows: jax.Array, snr_db: jax.Array, first: jax.Array, kind: str) -> jax.Array:
    return add_noise_once(key, windows, snr_db, kind, first=first)


def _noisy(windows: np.ndarray, seed: int, purpose: KeyPurpose, noise: Disturbance) -> np.ndarray:
    """Add one draw of a noise to windows; if its SNR is a range, each window gets an SNR of its own."""
    if len(windows) == 0 or noise.is_none:
        return windows
    root = jax.random.key(seed)
    if not isinstance(noise, Noise):
        return _disturbed(windows, jax.random.fold_in(root, purpose), noise)
    if noise.is_range:
        low, high = noise.snr_db
        level_key = jax.random.fold_in(jax.random.fold_in(root, KeyPurpose.LEVELS), purpose)
        levels = np.asarray(jax.random.uniform(level_key, (len(windows),), minval=low, maxval=high))
    else:
        levels = np.full(len(windows), noise.snr_db, np.float32)
    key = jax.random.fold_in(root, purpose)

    def add(part: np.ndarray, snr_db: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(_add_noise(key, part, snr_db, numbers[0], noise.kind))

    return in_parts(add, windows, levels, np.arange(len(windows), dtype=np.int32))


@jax.jit
def _disturb(noise: Any, key: jax.Array, windows: jax.Array, first: jax.Array) -> jax.Array:
    return jax.vmap(noise)(example_keys(key, len(windows), first), windows)


def _disturbed(windows: np.ndarray, key: jax.Array, noise: Disturbance) -> np.ndarray:
    """Disturb every window with a key of its own, at most ``AT_ONCE`` at a time: what is drawn for one may be large."""

    def disturb(part: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        # all parts have one shape, so that one program serves them; the last is filled up with its own beginning
        size = min(AT_ONCE, len(part))
        made = []
        for start in range(0, len(part), size):
            some = part[start : start + size]
            made.append(np.asarray(_disturb(noise, key, np.resize(some, (size, *some.shape[1:])), numbers[start]))[: len(some)])
        return np.concatenate(made)

    return in_parts(disturb, windows, np.arange(len(windows), dtype=np.int32))
