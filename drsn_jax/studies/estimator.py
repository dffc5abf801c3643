"""What the scikit-learn estimator computes: the choice of its network, compiled steps that fits share, and a training.

Windows are ``(n, length, channels)`` as the network takes them, scaled already.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from drsn_jax.core.arrays import order_known
from drsn_jax.core.errors import UserError
from drsn_jax.evaluation.prediction import evaluate, predict
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.signals import remove_mean
from drsn_jax.nn.networks import Network, for_platform
from drsn_jax.nn.presets import SIGNAL_NETWORKS, variant
from drsn_jax.training.batches import Batches, steps_per_epoch
from drsn_jax.training.loop import fit
from drsn_jax.training.optimizers import adamw, one_cycle_schedule, rate_at
from drsn_jax.training.progress import Epoch
from drsn_jax.training.state import KeyPurpose, TrainState, create_state
from drsn_jax.training.steps import make_eval_step, make_train_step

LONG = 512  # samples of a window from which its energies in frequency bands are what is recognised
SHORT = "drsn_cw:widths=32+64,units=1+1,stem=1,kernel=5"  # the network for shorter ones
STEPS = 600  # so many steps, and as many epochs as they need, were enough on small sets
EPOCHS = (20, 300)  # but not fewer or more than these
LEAST_SHARE = 1e-6  # the share of a class that has next to no weight
CONTINUED = 0.1  # the share of the learning rate with which ``partial_fit`` goes on
PREDICTED = 64  # windows of one call; always as many, so that the answer for a window does not depend on those beside it


class Trained(NamedTuple):
    """A training that has ended.

    Fields:
      variables: params and batch_stats, in host memory; after the epoch with the lowest validation loss where there is one.
      epochs: how many epochs were made.
      losses: the mean loss of each epoch.
      accuracies: the validation accuracy of each; empty without validation windows.
    """

    variables: Any
    epochs: int
    losses: list[float]
    accuracies: list[float]


def network_for(network: str | Network, classes: int, shape: tuple[int, int], *, standardise: bool) -> Network:
    """Return the network that an estimator trains on windows of ``shape``, ``(length, channels)``.

    ``"auto"`` is the recommended network for windows of at least ``LONG`` samples. Shorter ones have too few frames for a rhythm,
    and are seen by a wide DRSN-CW. Other names are those of ``nn.presets.variant``. Raises
    UserError for an unknown name and for what is neither a name nor a ``Network``.
    """
    if isinstance(network, Network):
        # the estimator scales signals itself; a network of one's own may scale all channels of a signal together
        together = standardise and network.standardise == "together"
        return network.clone(classes=classes, standardise="together" if together else standardise, offset=0.0, scale=1.0)
    if not isinstance(network, str):
        raise UserError(f"network is 'auto', a Network or one of {', '.join(SIGNAL_NETWORKS)}, got {network!r}")
    name = network if network != "auto" else "band_energy" if shape[0] >= LONG else SHORT
    return variant(name)(classes=classes, standardise=standardise)


def epochs_for(examples: int, batch_size: int) -> int:
    """Return how many epochs make about ``STEPS`` steps, within ``EPOCHS``."""
    return int(np.clip(-(-STEPS // steps_per_epoch(examples, batch_size)), *EPOCHS))


class Training(NamedTuple):
    """How an estimator trains: see ``sklearn.DRSNClassifier``, whose arguments these are."""

    epochs: int
    batch_size: int
    learning_rate: float
    noise: Noise
    class_weights: np.ndarray
    seed: int
    patience: int | None = None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None

    @order_known()
    def run(self, network: Network, windows: np.ndarray, labels: np.ndarray, held_out: tuple[np.ndarray, np.ndarray]) -> Trained:
        """Train a network from new parameters; ``held_out`` are the windows and labels of validation, which may be none.

        Raises Diverged as ``training.fit``.
        """
        network = for_platform(network, jax.default_backend())
        batches = Batches(windows, labels, self.batch_size, seed=self.seed)
        key = jax.random.fold_in(jax.random.key(self.seed), KeyPurpose.TRAINING)
        state = create_state(network, BEGINNING, key, windows[:1])
        # where a signal tells nothing, the answer is how often the classes come and what they weigh; from zero, the bias would
        # take longer to get there than a training lasts
        weighed = self.class_weights * np.bincount(labels, minlength=len(self.class_weights))
        bias = np.log(np.maximum(weighed / weighed.sum(), LEAST_SHARE)).astype(np.float32)
        classifier = {**state.params["classifier"], "bias": jax.numpy.asarray(bias)}
        state = dataclasses.replace(state, params={**state.params, "classifier": classifier})
        schedule = jax.device_put(one_cycle_schedule(self.epochs * batches.steps, self.learning_rate))
        return self._fit(network, functools.partial(rate_at, schedule), state, batches, held_out)

    @order_known()
    def go_on(
        self, network: Network, windows: np.ndarray, labels: np.ndarray, variables: Any, left: Any
    ) -> tuple[Trained, dict[str, Any]]:
        """Train for one epoch with a constant, low learning rate, from these variables, or new ones for None.

        ``left`` is what an earlier call returned beside the training, None in the first.
        """
        network = for_platform(network, jax.default_backend())
        key = jax.random.fold_in(jax.random.key(self.seed), KeyPurpose.TRAINING)
        state = create_state(network, BEGINNING, key, windows[:1])
        if variables is not None:
            state = TrainState(variables["params"], variables["batch_stats"], state.opt_state, state.step, state.key)
        if left is not None:
            state = TrainState(state.params, state.batch_stats, left["opt_state"], left["step"], state.key)
        # copies, because the step uses up the arrays that it is given
        state = _copied(state)
        batches = Batches(windows, labels, min(self.batch_size, len(windows)), seed=(self.seed + int(state.step)) % 2**31)
        ended: list[Any] = []
        rate = np.float32(CONTINUED * self.learning_rate)
        trained = self._replace(epochs=1, on_epoch=ended.append)._fit(
            network, lambda step: rate, state, batches, (windows[:0], labels[:0])
        )
        after = jax.device_get({"opt_state": ended[-1].state.opt_state, "step": ended[-1].state.step})
        self.on_epoch(ended[-1])
        return trained, after

    def _fit(
        self, network: Network, rate: Any, state: TrainState, batches: Batches, held_out: tuple[np.ndarray, np.ndarray]
    ) -> Trained:
        """Train with the learning rate ``rate(steps made)``."""
        train, look = _steps(network)  # pyright: ignore[reportArgumentType]
        weights = np.asarray(self.class_weights, np.float32)

        def validate(state: TrainState) -> Mapping[str, Any]:
            return evaluate(look, state.variables, *held_out, batch_size=self.batch_size)

        losses, accuracies, epoch = [], [], None
        for epoch in fit(
            lambda state, batch: train(state, batch, self.noise, weights, rate(state.step)),
            state,
            batches,
            epochs=self.epochs,
            validate=validate if len(held_out[0]) else None,
            patience=self.patience if len(held_out[0]) else None,
        ):
            losses.append(float(epoch.loss))
            if epoch.validation_accuracy is not None:
                accuracies.append(float(epoch.validation_accuracy))
            self.on_epoch(epoch)
        assert epoch is not None, "fit yields at least one"
        return Trained(jax.device_get(epoch.best_variables), epoch.number, losses, accuracies)


@order_known()
def answers_of(network: Network, variables: Any, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits ``(n, classes)`` of at least one window, and the features before the classifier, ``(n, features)``."""
    network = for_platform(network, jax.default_backend())
    both = predict(_predict(network), variables, windows, PREDICTED)  # pyright: ignore[reportArgumentType]
    return both[:, : network.classes], both[:, network.classes :]


def disturbed(noise: Noise, key: jax.Array, window: jax.Array) -> jax.Array:
    """Add noise to a window ``(length, channels)``. Its SNR is that of what varies: the level is no part of the power."""
    without = remove_mean(window)
    return window + (noise(key, without) - without)


BEGINNING = adamw(0.0)  # what it begins with does not depend on the rate


@jax.jit
def _copied(tree: Any) -> Any:
    return jax.tree.map(jax.numpy.copy, tree)


@functools.lru_cache(maxsize=16)
def _steps(network: Any) -> tuple[Any, Any]:
    """Return the compiled steps of training and evaluation.

    Fits with windows of one shape share them, as those of a grid search do. A learning rate that the step knew would belong to
    the program, which would be compiled anew for another rate and for another number of steps.
    """

    def train(state: TrainState, batch: Any, noise: Noise, class_weights: Any, rate: Any) -> Any:
        add = None if noise.is_none else functools.partial(disturbed, noise)
        return make_train_step(network, adamw(rate), noise=add, class_weights=class_weights)(state, batch)

    return jax.jit(train, donate_argnums=0), jax.jit(make_eval_step(network))


@functools.lru_cache(maxsize=16)
def _predict(network: Any) -> Any:
    def answer(network: Any, x: jax.Array) -> jax.Array:
        features = network.features(x, False)
        return jax.numpy.concatenate([network.classifier(features), features], -1)

    return jax.jit(functools.partial(network.apply, method=answer))
