"""One network trained and tested once, in the order of every experiment: noise → standardise → network → counts.

A ``Trainer`` compiles the steps of one network; its trials differ in data, SNR and seed and share that compilation.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from drsn_jax.core.distributed import AXIS_NAME, Device, is_main_process, place_on, pmap_predict, pmap_step, replicate, shares
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.evaluation.prediction import evaluate, predict
from drsn_jax.functional import signals
from drsn_jax.functional.noise import add_mixed_noise, add_noise
from drsn_jax.nn.networks import Network, for_platform, parameter_count
from drsn_jax.studies.trial_data import TrialData
from drsn_jax.training.batches import Batches, steps_per_epoch
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.loop import Epoch, fit
from drsn_jax.training.progress import Diverged
from drsn_jax.training.steps import (
    QUICK_COMPILATION,
    KeyPurpose,
    TrainState,
    create_state,
    make_eval_step,
    make_predict_step,
    make_train_step,
    paper_optimizer,
    paper_schedule,
    repeat_step,
    scale_body,
)


class Result(NamedTuple):
    """What a trial ended with: confusions ``(classes, classes)`` on training and test windows, the classes predicted for
    the test windows, the seconds of the training steps, the epoch whose network that was, its params and batch_stats, and its
    logits for the validation windows."""

    train_confusion: np.ndarray
    test_confusion: np.ndarray
    predicted: np.ndarray
    seconds: float
    epoch: int = 0
    variables: Any = None
    validation_logits: np.ndarray = np.empty((0, 0))


class Trainer:
    """The compiled steps of one network.

    Args:
      network: to train.
      examples: number of training windows.
      epochs, batch_size: of a training; the schedule of ``paper_optimizer`` follows from them.
      learning_rate: at the start.
      noise: the kind of fresh noise in training; None trains on the fixed draw.
      standardise: whether windows are standardised after the noise.
      devices: of this process, to spread a batch over; a single one, without other processes, means a plain ``jit``.
      steps_per_call: steps of one call, for accelerators.
      train_snr_db: the range from which the SNR of each window in each step is drawn; None takes that of the trial.
      start: ``{"params", "batch_stats"}`` of a trained network of the same fields, from which all but the classifier is taken.
      body_rate: with ``start``, the share of the learning rate that its parameters get; 0 freezes them.
      best: the network of the epoch with the lowest validation loss is tested, and not the last.
      patience: stop after so many epochs without a lower validation loss.

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
        steps_per_call: int = 1,
        train_snr_db: tuple[float, float] | None = None,
        start: Mapping[str, Any] | None = None,
        body_rate: float = 1.0,
        best: bool = False,
        patience: int | None = None,
    ) -> None:
        self.network, self.epochs, self.batch_size, self.noise = network, epochs, batch_size, noise
        self.steps = epochs * steps_per_epoch(examples, batch_size)
        self.schedule = paper_schedule(self.steps, learning_rate)
        self.optimizer = paper_optimizer(self.steps, learning_rate)
        if start is not None:
            self.optimizer = optax.chain(self.optimizer, scale_body(body_rate))
        self._start = start
        self._best, self._patience, self._steps_per_call = best, patience, steps_per_call
        spread = len(devices) > 1 or jax.process_count() > 1
        self._devices = list(devices or jax.local_devices()) if spread else None
        count = shares(self._devices)[0] if self._devices else 1
        if batch_size % count:
            raise UserError(f"{count} devices do not divide the batch size {batch_size}: choose a multiple")
        prepare = signals.standardise if standardise else None
        network = for_platform(network, (self._devices or devices or jax.local_devices())[0].platform)
        axis_name = AXIS_NAME if self._devices else None

        def train_step(state, batch, snr_db):
            # the SNR is an argument, so that all levels share one compilation
            added = functools.partial(add_noise, snr_db=snr_db, kind=noise) if noise else None
            if noise and train_snr_db is not None:
                added = functools.partial(add_mixed_noise, low_db=train_snr_db[0], high_db=train_snr_db[1], kind=noise)
            return make_train_step(network, self.optimizer, noise=added, prepare=prepare, axis_name=axis_name)(state, batch)

        self._initialise = jax.jit(
            lambda key, windows: create_state(network, self.optimizer, key, windows), compiler_options=QUICK_COMPILATION
        )
        self._compiled = False
        step = train_step if steps_per_call == 1 else repeat_step(train_step)
        predict_step = make_predict_step(network, prepare=prepare)
        eval_step = make_eval_step(network, prepare=prepare, axis_name=axis_name)
        if self._devices:
            self._train = pmap_step(step, self._devices, arguments=1)
            self._predict = pmap_predict(predict_step, self._devices)
            self._evaluate = pmap_step(eval_step, self._devices, donate=False)
            self._place = place_on(self._devices)
        else:
            self._train = jax.jit(step, donate_argnums=0)
            self._predict = jax.jit(predict_step)
            self._evaluate = jax.jit(eval_step)
            self._place = dict

    @property
    def parameters(self) -> int:
        """The number of parameters; known after the first trial or ``probe``."""
        return self._parameters

    def _create(self, data: TrialData, seed: int) -> TrainState:
        key = jax.random.fold_in(jax.random.key(seed), KeyPurpose.TRAINING)
        state = self._initialise(key, data.train[:1])
        self._parameters = parameter_count(state.params)
        if self._start is not None:
            params = {**self._start["params"], "classifier": state.params["classifier"]}
            # copies, for the step uses up what it is given
            body = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), (params, self._start["batch_stats"]))
            state = dataclasses.replace(state, params=body[0], batch_stats=body[1])
        return replicate(state, self._devices) if self._devices else state

    def _fit(self, data: TrialData, seed: int, epochs: int, checkpoints: Checkpoints | None = None) -> Iterator[Epoch]:
        windows = data.train if self.noise else data.train_noisy
        return fit(
            lambda state, batch: self._train(state, batch, data.snr_db),
            self._create(data, seed),
            Batches(windows, data.train_labels, self.batch_size, seed=seed, devices=self._devices),
            epochs=epochs,
            steps_per_call=self._steps_per_call,
            learning_rate=self.schedule,
            validate=functools.partial(self._validate, data) if len(data.validation) else None,
            patience=self._patience,
            checkpoints=checkpoints,
        )

    def _validate(self, data: TrialData, state: TrainState) -> Mapping[str, Any]:
        return evaluate(
            self._evaluate, state, data.validation, data.validation_labels, batch_size=self.batch_size, place=self._place
        )

    def probe(self, data: TrialData, steps: int = 3) -> float:
        """Compile everything and return the seconds of a whole training, measured on a few steps of it; NaN where these steps
        diverge, which the training itself will tell."""
        try:
            return self._probe(data, steps)
        except Diverged:
            return math.nan

    def _probe(self, data: TrialData, steps: int) -> float:
        # an epoch of the same calls as in the training, the shorter one at its end too
        whole = steps_per_epoch(len(data.train), self.batch_size)
        calls = min(whole, self._steps_per_call + whole % self._steps_per_call)
        few = data._replace(
            train=data.train[: calls * self.batch_size],
            train_noisy=data.train_noisy[: calls * self.batch_size],
            train_labels=data.train_labels[: calls * self.batch_size],
        )
        epochs = self._fit(few, seed=0, epochs=1 + steps)
        state = next(epochs).state
        self._predicted(state, few.test[: self.batch_size])
        start = time.perf_counter()
        self._predicted(state, few.test)
        evaluation = time.perf_counter() - start
        self._compiled = True
        step = float(np.median([epoch.seconds / calls for epoch in epochs] or np.nan))
        return self.steps * step + self.epochs * evaluation

    def run(
        self,
        data: TrialData,
        *,
        seed: int,
        on_epoch: Callable[[Epoch, np.ndarray], None] = lambda epoch, confusion: None,
        checkpoints: Checkpoints | None = None,
    ) -> Result:
        """Train and test, or go on from the checkpoints of the same trial.

        ``on_epoch(epoch, confusion)`` is called after every epoch with the confusion on the test windows, for curves alone:
        what counts is the network after the last epoch, or the best on the validation windows, and nothing is chosen on the
        test windows. With several processes only process 0 tests; on the others confusions and predictions are empty.

        Raises Diverged, CheckpointError and OSError as ``loop.fit``.
        """
        if not self._compiled:  # or the first epoch's time would hold the compilation
            self.probe(data, steps=0)
        epoch = None
        for epoch in self._fit(data, seed, self.epochs, checkpoints):
            on_epoch(epoch, self._confusion(data.test_labels, self._predicted(epoch.state, data.test)))
        assert epoch is not None, "fit yields at least one"
        state, number = (epoch.best_state, epoch.best_epoch) if self._best else (epoch.state, epoch.number)
        predicted = self._predicted(state, data.test)
        return Result(
            self._confusion(data.train_labels, self._predicted(state, data.train_noisy)),
            self._confusion(data.test_labels, predicted),
            predicted,
            epoch.total_seconds,
            number,
            jax.device_get(state.variables),
            self._logits(state, data.validation),
        )

    def _logits(self, state: TrainState, windows: np.ndarray) -> np.ndarray:
        if not is_main_process() or len(windows) == 0:
            return np.empty((0, self.network.classes), np.float32)
        return predict(self._predict, state, windows, self.batch_size)

    def _predicted(self, state: TrainState, windows: np.ndarray) -> np.ndarray:
        return np.argmax(self._logits(state, windows), -1)

    def _confusion(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return confusion_matrix(labels[: len(predicted)], predicted, self.network.classes)
