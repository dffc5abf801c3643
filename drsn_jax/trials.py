"""One network trained and tested once, in the order of every experiment: noise → standardise → network → counts.

A ``Trainer`` compiles the steps of one network; its trials differ in data, SNR and seed and share that compilation.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax import signals
from drsn_jax.data.folds import Fold
from drsn_jax.evaluation import confusion_matrix, predict
from drsn_jax.fitting import Epoch, fit, steps_per_epoch
from drsn_jax.networks import Network, parameter_count
from drsn_jax.noise import add_noise, add_noise_once
from drsn_jax.parallel import AXIS_NAME, Device, place_on, pmap_predict, pmap_step, replicate
from drsn_jax.training import QUICK_COMPILATION, TrainState, create_state, make_predict_step, make_train_step, paper_optimizer

TRAINING, TEST_NOISE, TRAIN_NOISE = range(3)  # purposes of random keys


class TrialData(NamedTuple):
    """Both sides of a split with the noise of one trial.

    Fields:
      train, test: windows ``(n, length, channels)`` without mean; ``test`` holds its noise.
      train_noisy: the training windows under one fixed noise draw.
      train_labels, test_labels: ``(n,)`` integers.
      snr_db: of the noise in training and test.
    """

    train: np.ndarray
    train_labels: np.ndarray
    train_noisy: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    snr_db: float


class Result(NamedTuple):
    """What a trial ended with: confusions ``(classes, classes)`` on training and test windows, the classes predicted for
    the test windows, the seconds of the training steps."""

    train_confusion: np.ndarray
    test_confusion: np.ndarray
    predicted: np.ndarray
    seconds: float


def standardised(windows: np.ndarray) -> np.ndarray:
    """``signals.standardise`` of every window."""
    return np.asarray(_standardised(windows))


_standardised = jax.jit(jax.vmap(signals.standardise))


@functools.partial(jax.jit, static_argnames="kind")
def _noisy(key: jax.Array, windows: jax.Array, snr_db: jax.Array, kind: str) -> jax.Array:
    return add_noise_once(key, windows, snr_db, kind)


def with_noise(fold: Fold, *, seed: int, snr_db: float, kind: str) -> TrialData:
    """A fold with the noise that ``seed`` decides."""
    root = jax.random.key(seed)
    train_noisy = _noisy(jax.random.fold_in(root, TRAIN_NOISE), fold.train, snr_db, kind)
    test_noisy = _noisy(jax.random.fold_in(root, TEST_NOISE), fold.test, snr_db, kind)
    return TrialData(fold.train, fold.train_labels, np.asarray(train_noisy), np.asarray(test_noisy), fold.test_labels, snr_db)


class Trainer:
    """The compiled steps of one network.

    Args:
      network: to train.
      examples: number of training windows.
      epochs, batch_size: of a training; the schedule of ``paper_optimizer`` follows from them.
      learning_rate: at the start.
      noise: the kind of fresh noise in training; None trains on the fixed draw.
      standardise: whether windows are standardised after the noise.
      devices: to spread a batch over; one of them means a plain ``jit``.

    Raises:
      ValueError: if the number of devices does not divide the batch size.
    """

    def __init__(
        self,
        network: Network,
        *,
        examples: int,
        epochs: int,
        batch_size: int = 128,
        learning_rate: float = 0.1,
        noise: str | None = "gaussian",
        standardise: bool = True,
        devices: Sequence[Device] = (),
    ) -> None:
        self.network, self.epochs, self.batch_size, self.noise = network, epochs, batch_size, noise
        self.steps = epochs * steps_per_epoch(examples, batch_size)
        self.optimizer = paper_optimizer(self.steps, learning_rate)
        self._devices = list(devices) if len(devices) > 1 else []
        if self._devices and batch_size % len(self._devices):
            raise ValueError(f"{len(self._devices)} devices do not divide the batch size {batch_size}: choose a multiple")
        prepare = signals.standardise if standardise else None
        axis_name = AXIS_NAME if self._devices else None

        def train_step(state, batch, snr_db):
            # the SNR is an argument, so that all levels share one compilation
            added = functools.partial(add_noise, snr_db=snr_db, kind=noise) if noise else None
            return make_train_step(network, self.optimizer, noise=added, prepare=prepare, axis_name=axis_name)(state, batch)

        self._initialise = jax.jit(
            lambda key, windows: create_state(network, self.optimizer, key, windows), compiler_options=QUICK_COMPILATION
        )
        self._compiled = False
        predict_step = make_predict_step(network, prepare=prepare)
        if self._devices:
            self._train = pmap_step(train_step, self._devices, arguments=1)
            self._predict = pmap_predict(predict_step, self._devices)
            self._place = place_on(self._devices)
        else:
            self._train = jax.jit(train_step, donate_argnums=0)
            self._predict = jax.jit(predict_step)
            self._place = dict

    @property
    def parameters(self) -> int:
        """The number of parameters; known after the first trial or ``probe``."""
        return self._parameters

    def _create(self, data: TrialData, seed: int) -> TrainState:
        key = jax.random.fold_in(jax.random.key(seed), TRAINING)
        state = self._initialise(key, data.train[:1])
        self._parameters = parameter_count(state.params)
        return replicate(state, self._devices) if self._devices else state

    def _fit(self, data: TrialData, seed: int, epochs: int) -> Iterator[Epoch]:
        windows = data.train if self.noise else data.train_noisy
        return fit(
            lambda state, batch: self._train(state, batch, data.snr_db),
            self._create(data, seed),
            windows,
            data.train_labels,
            epochs=epochs,
            batch_size=self.batch_size,
            seed=seed,
            place=self._place,
        )

    def probe(self, data: TrialData, steps: int = 3) -> float:
        """Compile everything and return the seconds of a whole training, measured on a few steps of it."""
        few = data._replace(
            train=data.train[: self.batch_size],
            train_noisy=data.train_noisy[: self.batch_size],
            train_labels=data.train_labels[: self.batch_size],
        )
        epochs = self._fit(few, seed=0, epochs=1 + steps)
        state = next(epochs).state
        self._predicted(state, few.test[: self.batch_size])
        start = time.perf_counter()
        self._predicted(state, few.test)
        evaluation = time.perf_counter() - start
        self._compiled = True
        step = float(np.median([epoch.seconds for epoch in epochs] or np.nan))
        return self.steps * step + self.epochs * evaluation

    def run(
        self, data: TrialData, *, seed: int, on_epoch: Callable[[Epoch, np.ndarray], None] = lambda epoch, confusion: None
    ) -> Result:
        """Train and test.

        ``on_epoch(epoch, confusion)`` is called after every epoch with the confusion on the test windows, for curves alone:
        what counts is the network after the last epoch, and nothing is chosen.
        """
        if not self._compiled:  # or the first epoch's time would hold the compilation
            self.probe(data, steps=0)
        seconds = 0.0
        epoch, predicted = None, np.empty(0, int)
        for epoch in self._fit(data, seed, self.epochs):
            seconds += epoch.seconds
            predicted = self._predicted(epoch.state, data.test)
            on_epoch(epoch, self._confusion(data.test_labels, predicted))
        if epoch is None:
            raise ValueError(f"a trial needs at least one epoch, got epochs={self.epochs}")
        train_confusion = self._confusion(data.train_labels, self._predicted(epoch.state, data.train_noisy))
        return Result(train_confusion, self._confusion(data.test_labels, predicted), predicted, seconds)

    def _predicted(self, state: TrainState, windows: np.ndarray) -> np.ndarray:
        return np.argmax(predict(self._predict, state, windows, self.batch_size), -1)

    def _confusion(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return confusion_matrix(labels, predicted, self.network.classes)
