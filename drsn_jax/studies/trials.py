"""The training and test of one network, in the order of every experiment: noise → standardise → network → counts.

A ``Trainer`` compiles the steps of one network. Its trials differ in data, noise and seed and share that compilation.
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

from drsn_jax.core.distributed import (
    AXIS_NAME,
    Device,
    is_main_process,
    place_on,
    pmap_evaluate,
    pmap_predict,
    pmap_step,
    replicate,
    shares,
)
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.evaluation.prediction import evaluate, predict
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.networks import Network, for_platform, parameter_count
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import TrialData, by_the_network
from drsn_jax.training.batches import Batches, steps_per_epoch
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.loop import fit
from drsn_jax.training.optimizers import adamw, one_cycle_schedule, paper_schedule, rate_at, scale_body, sgd
from drsn_jax.training.progress import Diverged, Epoch
from drsn_jax.training.state import KeyPurpose, TrainState, create_state
from drsn_jax.training.steps import make_eval_step, make_predict_step, make_train_step, repeat_step


class Result(NamedTuple):
    """The result of a trial.

    Fields:
      parameters: the number of parameters of the trained method.
      train_confusion, test_confusion: counts ``(classes, classes)`` of true × predicted class.
      predicted: the predicted classes of the test windows, ``(n,)``.
      scores: for each test window a score of every class, ``(n, classes)``: logits, or the probabilities of a method that is not
        a network; empty where the method has none.
      seconds: the time of the training steps; NaN for a method without steps.
      epoch: the epoch after which the network was tested.
      network, variables: that network, and its params and batch_stats; None for a method that is not a network.
      validation_logits: the logits of the validation windows, ``(n, classes)``.
      model: a trained method that is not a network.
    """

    parameters: int
    train_confusion: np.ndarray
    test_confusion: np.ndarray
    predicted: np.ndarray
    seconds: float = math.nan
    epoch: int = 0
    network: Network | None = None
    variables: Any = None
    validation_logits: np.ndarray = np.empty((0, 0))
    model: Any = None
    scores: np.ndarray = np.empty((0, 0))


class Steps(NamedTuple):
    """The compiled steps of one network.

    Fields:
      train: ``(state, batch, noise, rates) -> (state, metrics)``. Noise and rates are arguments, so that all SNRs share one
        compilation, and trainings of any length and learning rate too.
      evaluate: ``(variables, batch) -> metrics``.
      predict: ``(variables, windows) -> logits``.
      place: puts a batch of evaluation where ``evaluate`` expects it.
    """

    train: Callable[..., Any]
    evaluate: Callable[..., Any]
    predict: Callable[..., Any]
    place: Callable[..., Any]


class Rates(NamedTuple):
    """The learning rate of a training.

    Fields:
      schedule: the rate as a function of the steps made, which is a pytree too; see ``training.optimizers``.
      body: the share of it that everything but the classifier learns at; None where all learn alike.
    """

    schedule: Any
    body: float | None


def _rates(steps: int, name: str, rate: float, body: float | None) -> Rates:
    """Return the rates of a training of so many steps, as arrays, which are not copied to the device in every step."""
    return jax.device_put(Rates((one_cycle_schedule if name == "adamw" else paper_schedule)(steps, rate), body))


def _optimizer(name: str, rates: Rates) -> optax.GradientTransformation:
    """Return an optimiser by its name in ``TrainingConfig``."""
    optimizer = (adamw if name == "adamw" else sgd)(rates.schedule)
    return optimizer if rates.body is None else optax.chain(optimizer, scale_body(rates.body))


@functools.lru_cache(maxsize=8)
def _beginning(name: str, with_body: bool) -> optax.GradientTransformation:
    """Return an optimiser with whose state a training begins; it depends on no rate. One object for equal arguments, so that what
    is compiled for it is found again."""
    return _optimizer(name, Rates(_no_rate, 0.0 if with_body else None))


def _no_rate(steps: Any) -> Any:
    return 0.0


@functools.lru_cache(maxsize=8)
def compile_steps(network: Any, optimizer: str, steps_per_call: int, devices: tuple[Device, ...]) -> Steps:
    """Make the steps of a network for one device, or spread over ``devices``; they are compiled when they are first called.

    ``optimizer`` is its name in ``TrainingConfig``. They are kept, so that another seed, level, fold, learning rate or number of
    epochs compiles nothing.
    """
    axis_name = AXIS_NAME if devices else None

    def train_step(state: TrainState, batch: Any, noise: Disturbance, rates: Rates) -> Any:
        return make_train_step(network, _optimizer(optimizer, rates), noise=noise, axis_name=axis_name)(state, batch)

    train = train_step if steps_per_call == 1 else repeat_step(train_step)
    look, ask = make_eval_step(network, axis_name=axis_name), make_predict_step(network)
    if devices:
        return Steps(
            pmap_step(train, devices, arguments=2), pmap_evaluate(look, devices), pmap_predict(ask, devices), place_on(devices)
        )
    return Steps(jax.jit(train, donate_argnums=0), jax.jit(look), jax.jit(ask), dict)


class Trainer:
    """Trains one network and tests it, again and again with the same compiled steps.

    Args:
      network: the network to train; its ``standardise`` and ``dtype`` are replaced by those of ``config``.
      config: how it is trained.
      examples: the number of training windows, from which the schedule of the learning rate follows.
      devices: devices of this process over which a batch is spread. A single device and a single process mean a plain ``jit``.
      init_from: ``{"params", "batch_stats"}`` of a trained network with the same fields, from which everything but the classifier
        is taken.
      scale: divides all windows; that of ``training_scale`` for ``standardise="training"``.

    Raises UserError if the number of devices does not divide the batch size.
    """

    collective = True  # all processes of a job take part in a trial

    def __init__(
        self,
        network: Network,
        config: TrainingConfig,
        *,
        examples: int,
        devices: Sequence[Device] = (),
        init_from: Mapping[str, Any] | None = None,
        scale: float = 1.0,
    ) -> None:
        self.network = network.clone(standardise=by_the_network(config.standardise), scale=scale, dtype=jnp.dtype(config.dtype))
        self.config = config
        self.steps = config.epochs * steps_per_epoch(examples, config.batch_size)
        self._init_from = init_from
        spread = len(devices) > 1 or jax.process_count() > 1
        self._devices = list(devices or jax.local_devices()) if spread else None
        count = shares(self._devices)[0] if self._devices else 1
        if config.batch_size % count:
            raise UserError(f"{count} devices do not divide the batch size {config.batch_size}: choose a multiple")
        computed = for_platform(self.network, (self._devices or devices or jax.local_devices())[0].platform)
        self._rates = _rates(self.steps, *config.schedule, None if init_from is None else config.body_rate)
        self._create_state = functools.partial(create_state, computed, _beginning(config.optimizer, init_from is not None))
        devices = tuple(self._devices or ())
        self._steps = compile_steps(computed, config.optimizer, config.steps_per_call, devices)  # pyright: ignore[reportArgumentType]
        self._compiled: set[Any] = set()

    def probe(self, data: TrialData, steps: int = 3) -> float:
        """Compile everything and return the seconds that a whole training will take, measured on a few steps of it.

        It is NaN if these steps diverge; the training itself will then raise the error.
        """
        try:
            return self._probe(data, steps)
        except Diverged:
            return math.nan

    def run(
        self,
        data: TrialData,
        *,
        seed: int,
        on_epoch: Callable[[Epoch, np.ndarray], None] = lambda epoch, confusion: None,
        checkpoints: Checkpoints | None = None,
    ) -> Result:
        """Train and test the network, or go on from the checkpoints of the same trial.

        ``on_epoch(epoch, confusion)`` is called after every epoch with the confusion matrix of the test windows, which serves
        only for curves. The result is that of the network after the last epoch or, by ``config.test_network``, of the best one on
        the validation windows; nothing is chosen on the test windows. With several processes only process 0 tests; on the others
        the confusion matrices count nothing and the predictions are empty.

        Raises Diverged, CheckpointError and OSError as ``loop.fit``.
        """
        if jax.tree.structure(self._noise(data)) not in self._compiled:  # otherwise the first epoch would have to compile
            self.probe(data, steps=0)
        epoch = None
        for epoch in self._fit(data, seed, self.config.epochs, checkpoints):
            on_epoch(epoch, self._confusion(data.test.labels, self._predicted(epoch.variables, data.test.windows)))
        assert epoch is not None, "fit yields at least one"
        best = self.config.test_network == "best"
        variables, number = (epoch.best_variables, int(epoch.best_epoch)) if best else (epoch.variables, epoch.number)
        logits = self._logits(variables, data.test.windows)
        predicted = np.argmax(logits, -1)
        return Result(
            parameters=parameter_count(variables["params"]),
            train_confusion=self._confusion(data.train.labels, self._predicted(variables, data.train_noisy)),
            test_confusion=self._confusion(data.test.labels, predicted),
            predicted=predicted,
            scores=logits,
            seconds=epoch.total_seconds,
            epoch=number,
            network=self.network,
            variables=jax.device_get(variables),
            validation_logits=self._logits(variables, data.validation.windows),
        )

    def retest(self, result: Result, data: TrialData) -> Result:
        """Test the network of a result once more, on the test windows of ``data``; its time is told by the first result alone."""
        logits = self._logits(result.variables, data.test.windows)
        predicted = np.argmax(logits, -1)
        confusion = self._confusion(data.test.labels, predicted)
        return result._replace(test_confusion=confusion, predicted=predicted, scores=logits, seconds=math.nan)

    def _noise(self, data: TrialData) -> Disturbance:
        """Return the noise that every step adds: none if the training windows hold a fixed draw already."""
        return Noise() if self.config.fixed_noise else data.train_noise

    def _create(self, data: TrialData, seed: int) -> TrainState:
        state = self._create_state(jax.random.fold_in(jax.random.key(seed), KeyPurpose.TRAINING), data.train.windows[:1])
        if self._init_from is not None:
            params = {**self._init_from["params"], "classifier": state.params["classifier"]}
            # copies, because the step uses up the arrays that it is given; by NumPy, which compiles nothing for them
            body = jax.tree.map(lambda leaf: jax.device_put(np.array(leaf)), (params, self._init_from["batch_stats"]))
            state = dataclasses.replace(state, params=body[0], batch_stats=body[1])
        return replicate(state, self._devices) if self._devices else state

    def _fit(self, data: TrialData, seed: int, epochs: int, checkpoints: Checkpoints | None = None) -> Iterator[Epoch]:
        windows, config = data.train_noisy if self.config.fixed_noise else data.train.windows, self.config
        placed = replicate(self._rates, self._devices) if self._devices else self._rates
        return fit(
            lambda state, batch: self._steps.train(state, batch, self._noise(data), placed),
            self._create(data, seed),
            Batches(windows, data.train.labels, config.batch_size, seed=seed, devices=self._devices),
            epochs=epochs,
            steps_per_call=config.steps_per_call,
            learning_rate=functools.partial(rate_at, self._rates.schedule),
            validate=functools.partial(self._validate, data) if len(data.validation.windows) else None,
            patience=config.patience,
            checkpoints=checkpoints,
        )

    def _validate(self, data: TrialData, state: TrainState) -> Mapping[str, Any]:
        windows, labels, _ = data.validation
        batch_size, place = self.config.batch_size, self._steps.place
        return evaluate(self._steps.evaluate, state.variables, windows, labels, batch_size=batch_size, place=place)

    def _probe(self, data: TrialData, steps: int) -> float:
        # a short epoch with the same kinds of calls as the training, including the shorter one at its end
        batch_size, steps_per_call = self.config.batch_size, self.config.steps_per_call
        whole = steps_per_epoch(len(data.train.windows), batch_size)
        calls = min(whole, steps_per_call + whole % steps_per_call)
        count = calls * batch_size
        few = data._replace(train=data.train.select(slice(count)), train_noisy=data.train_noisy[:count])
        epochs = self._fit(few, seed=0, epochs=1 + steps)
        variables = next(epochs).variables
        self._predicted(variables, few.test.windows[:batch_size])
        start = time.perf_counter()
        self._predicted(variables, few.test.windows)
        evaluation = time.perf_counter() - start
        self._compiled.add(jax.tree.structure(self._noise(data)))
        step = float(np.median([epoch.seconds / calls for epoch in epochs] or np.nan))
        return self.steps * step + self.config.epochs * evaluation

    def _logits(self, variables: Any, windows: np.ndarray) -> np.ndarray:
        if not is_main_process() or len(windows) == 0:
            return np.empty((0, self.network.classes), np.float32)
        return predict(self._steps.predict, variables, windows, self.config.batch_size)

    def _predicted(self, variables: Any, windows: np.ndarray) -> np.ndarray:
        return np.argmax(self._logits(variables, windows), -1)

    def _confusion(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return confusion_matrix(labels[: len(predicted)], predicted, self.network.classes)
