"""Many trainings of one network as one step: members differ in seed, noise, SNR, learning rate and order of the data.

The parameters are stacked and the training step is that of ``steps.make_train_step``, mapped over members. The windows are
shared; each member draws its own batches and its own noise from them, and is what it would be alone.
"""

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from drsn_jax.core.arrays import check_labels
from drsn_jax.core.distributed import AXIS_NAME, Device, replicate
from drsn_jax.functional.noise import add_mixed_noise, add_noise, noise_maker
from drsn_jax.functional.signals import standardise
from drsn_jax.nn.networks import Network, blocked_layout, for_platform
from drsn_jax.training.batches import epoch_order, steps_per_epoch
from drsn_jax.training.steps import (
    QUICK_COMPILATION,
    KeyPurpose,
    Noise,
    TrainState,
    create_state,
    make_train_step,
    paper_optimizer,
)

Form = tuple[str, bool]  # the kind of a noise, and whether levels are drawn from a range


@dataclass(frozen=True)
class Member:
    """What tells a training from the others.

    Fields:
      seed: of initial parameters, order of the windows and noise.
      noise: its kind.
      snr_db: its level in dB, ``inf`` for none, or a range from which each window's is drawn.
      learning_rate: at the start.
    """

    seed: int = 0
    noise: str = "gaussian"
    snr_db: float | tuple[float, float] = 0.0
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        noise_maker(self.noise)
        if isinstance(self.snr_db, tuple):
            usable = len(self.snr_db) == 2 and -100 <= self.snr_db[0] <= self.snr_db[1] <= 100
        else:
            usable = np.ndim(self.snr_db) == 0 and (abs(self.snr_db) <= 100 or self.snr_db == math.inf)
        if not usable:
            raise ValueError(f"a member's snr_db is from -100 to 100 dB, or inf, or a range (low, high), got {self.snr_db}")
        if not (0 < self.learning_rate < math.inf) or self.seed < 0:
            raise ValueError(f"a member has a positive learning rate and a seed from 0, got {self.learning_rate} and {self.seed}")

    @property
    def form(self) -> Form:
        """What of its noise is decided when the step is compiled: the kind, and whether levels are drawn."""
        return self.noise, isinstance(self.snr_db, tuple)


def noise_of_form(form: Form, low: jax.Array, high: jax.Array) -> Noise:
    """The noise of a form from ``low`` to ``high`` dB, which are equal where no levels are drawn."""
    kind, drawn = form
    if drawn:
        return functools.partial(add_mixed_noise, low_db=low, high_db=high, kind=kind)
    return functools.partial(add_noise, snr_db=low, kind=kind)


Order = Literal["vmap", "map", "unroll"]


class EnsembleEpoch(NamedTuple):
    """After an epoch, arrays with a number for each member.

    Fields:
      number: of the epoch, from 1.
      loss, accuracy: means over the training windows as they were met.
      diverged: the members that stopped because a loss or gradient was not finite; they keep the parameters before it.
      seconds: of this epoch, all members together.
      variables: stacked ``params`` and ``batch_stats``.
    """

    number: int
    loss: np.ndarray
    accuracy: np.ndarray
    diverged: np.ndarray
    seconds: float
    variables: Any


class Ensemble:
    """The compiled step of all members.

    Args:
      network: to train.
      members: at least one.
      examples: number of training windows.
      epochs, batch_size: of each training; the schedule is that of ``paper_optimizer``.
      prepare: ``window -> window`` after the noise; None for nothing.
      order: how the members of one device are computed: ``"vmap"`` all at once, ``"map"`` one after another in a loop,
        ``"unroll"`` one after another, written out (the compilation takes as many times longer). By default ``"vmap"`` on an
        accelerator; on a CPU, whose caches hold one member's features but not those of all, ``"map"`` where the network has a
        blocked implementation and ``"unroll"`` elsewhere, for the convolutions of XLA are slow in loops there.
      devices: over which members are spread by ``pmap``; None computes on the default device.

    Raises ValueError without members and for an unknown order.
    """

    def __init__(
        self,
        network: Network,
        members: Sequence[Member],
        *,
        examples: int,
        epochs: int,
        batch_size: int = 128,
        prepare: Callable[[jax.Array], jax.Array] | None = standardise,
        order: Order | None = None,
        devices: Sequence[Device] | None = None,
    ) -> None:
        if not members:
            raise ValueError("an ensemble has at least one member, got none")
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"a training has at least one epoch and one window a step, got {epochs} and {batch_size}")
        if examples < 1 or (devices is not None and len(devices) == 0):
            raise ValueError("an ensemble needs at least one window, and one device where devices are given")
        self.members, self.epochs, self.batch_size = tuple(members), epochs, batch_size
        self.examples, self.steps = examples, steps_per_epoch(examples, batch_size)
        self.devices = None if devices is None else list(devices)
        count = 1 if self.devices is None else len(self.devices)
        # all devices compute as many; the last member fills them up
        self._filled = [*members, *[members[-1]] * (-len(members) % count)]
        platform = (self.devices or jax.local_devices())[0].platform
        if order not in (None, "vmap", "map", "unroll"):
            raise ValueError(f"unknown order {order!r}: choose vmap, map or unroll")
        self.order: Order | None = order
        self.network = network = for_platform(network, platform)
        injected = optax.inject_hyperparams(paper_optimizer, static_args=("total_steps", "momentum", "weight_decay"))
        self.optimizer = injected(epochs * self.steps, learning_rate=0.1)
        self._forms = list(dict.fromkeys(member.form for member in self._filled))
        self._prepare = prepare
        self._platform, self._compiled = platform, {}
        begin = lambda key, windows: create_state(self.network, self.optimizer, key, windows)  # noqa: E731
        self._initialise = jax.jit(jax.vmap(begin, (0, None)), compiler_options=QUICK_COMPILATION)

    def with_members(self, members: Sequence[Member]) -> "Ensemble":
        """Other trainings by the same compiled step: as many, with no other forms of noise; ValueError otherwise."""
        if len(members) != len(self.members) or not {m.form for m in members} <= set(self._forms):
            raise ValueError(f"the step was made for {len(self.members)} members with the noise {self._forms}")
        other = copy.copy(self)
        other.members, other._filled = tuple(members), [*members, *[members[-1]] * (len(self._filled) - len(members))]
        return other

    def _step(self, window: tuple[int, ...]) -> Callable[..., Any]:
        """The compiled step of all members for windows of that shape."""
        if window not in self._compiled:
            order = self.order or _best_order(self.network, window, self._platform)
            step = _over_members(self._member_step, order)
            if self.devices is None:
                self._compiled[window] = jax.jit(step, donate_argnums=0)
            else:
                axes = (0, None, 0, 0)
                self._compiled[window] = jax.pmap(step, AXIS_NAME, in_axes=axes, devices=self.devices, donate_argnums=(0,))
        return self._compiled[window]

    def create(self, windows: np.ndarray) -> TrainState:
        """The stacked states of all members at their beginning; ``windows`` gives the shapes alone."""
        keys = jnp.stack([jax.random.fold_in(jax.random.key(member.seed), KeyPurpose.TRAINING) for member in self._filled])
        state = self._initialise(keys, windows[:1])
        rates = jnp.asarray([member.learning_rate for member in self._filled], jnp.float32)
        state.opt_state.hyperparams["learning_rate"] = rates
        return state

    def run(self, windows: np.ndarray, labels: np.ndarray) -> Iterator[EnsembleEpoch]:
        """Train all members; an epoch is yielded when all have passed it.

        ``windows`` ``(n, *positions, channels)`` without noise and mean, ``labels`` ``(n,)``. The first epoch's seconds hold the
        compilation. ValueError where there are not as many as ``examples``.
        """
        step, carry, data, told = self._begin(windows, labels)
        for number in range(1, self.epochs + 1):
            start, sums = time.perf_counter(), []
            for examples in self._epoch_order(number).swapaxes(0, 1):
                carry, metrics = step(carry, data, self._spread(examples), told)
                sums.append(metrics)
            found = jax.tree.map(lambda *values: self._gather(np.sum(values, 0)), *jax.device_get(sums))
            alive = self._gather(np.asarray(carry[1]))
            with np.errstate(invalid="ignore", divide="ignore"):  # of members that are not alive
                loss, accuracy = found["loss"] / found["count"], found["correct"] / found["count"]
            seconds = time.perf_counter() - start
            yield EnsembleEpoch(number, loss, accuracy, ~alive, seconds, jax.tree.map(self._gather, carry[0].variables))

    def probe(self, windows: np.ndarray, labels: np.ndarray, steps: int = 3) -> float:
        """Compile the step and return the seconds of the whole training of all members, measured on a few steps of it;
        ValueError for fewer than one."""
        if steps < 1:
            raise ValueError(f"a training is measured on at least one step, got {steps}")
        step, carry, data, told = self._begin(windows, labels)
        order = np.resize(self._epoch_order(1).swapaxes(0, 1), (1 + steps, len(self._filled), self.batch_size))
        seconds = []
        for examples in order:
            start = time.perf_counter()
            carry, metrics = step(carry, data, self._spread(examples), told)
            jax.block_until_ready(metrics)
            seconds.append(time.perf_counter() - start)
        return self.epochs * self.steps * float(np.median(seconds[1:]))

    def _begin(self, windows: np.ndarray, labels: np.ndarray) -> tuple[Callable[..., Any], Any, Any, Any]:
        """The step and its first arguments, on the devices."""
        if len(windows) != self.examples or len(labels) != self.examples:
            raise ValueError(f"the ensemble was made for {self.examples} windows, got {len(windows)} and {len(labels)} labels")
        check_labels(labels, self.examples, self.network.classes)
        data: Any = (jnp.asarray(windows), jnp.asarray(labels))
        carry = self._spread((self.create(windows), jnp.ones(len(self._filled), bool)))
        if self.devices is not None:
            data = replicate(data, self.devices)
        return self._step(windows.shape[1:]), carry, data, self._spread(self._arguments())

    def _member_step(self, carry: Any, data: Any, examples: jax.Array, told: Any) -> Any:
        """One step of one member."""
        state, alive = carry
        batch = {"windows": data[0][examples], "labels": data[1][examples], "weights": jnp.ones(examples.shape, jnp.float32)}
        step = make_train_step(self.network, self.optimizer, noise=self._noise(told), prepare=self._prepare)
        after, metrics = step(state, batch)
        norm = metrics.pop("gradient_norm")
        alive &= jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        state = jax.tree.map(functools.partial(_choose, alive), after, state)
        return (state, alive), jax.tree.map(lambda value: jnp.where(alive, value, 0), metrics)

    def _noise(self, told: Any) -> Noise:
        number, low, high = told
        made = [noise_of_form(form, low, high) for form in self._forms]
        return made[0] if len(made) == 1 else lambda key, window: jax.lax.switch(number, made, key, window)

    def _arguments(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of each member the number of its noise's form, and the lowest and highest level."""
        ranges = [m.snr_db if isinstance(m.snr_db, tuple) else (m.snr_db, m.snr_db) for m in self._filled]
        low, high = jnp.asarray(ranges, jnp.float32).T
        return jnp.asarray([self._forms.index(member.form) for member in self._filled]), low, high

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """``(members, steps, batch)``."""
        return np.stack([epoch_order(self.examples, self.batch_size, seed=m.seed, epoch=epoch) for m in self._filled])

    def _spread(self, tree: Any) -> Any:
        """Members ``(m, …)`` as ``(devices, m / devices, …)``."""
        if self.devices is None:
            return tree
        count = len(self.devices)
        return jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), tree)

    def _gather(self, leaf: Any) -> Any:
        """The members as they were given."""
        leaf = leaf if self.devices is None else leaf.reshape(-1, *leaf.shape[2:])
        return leaf[: len(self.members)]


def _choose(alive: jax.Array, after: jax.Array, before: jax.Array) -> jax.Array:
    return jnp.where(alive, after, before)


def _best_order(network: Network, window: tuple[int, ...], platform: str) -> Order:
    if platform != "cpu":
        return "vmap"
    windows: Any = jax.ShapeDtypeStruct((1, *window), jnp.float32)
    variables = jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), windows)
    return "map" if blocked_layout(network, variables, windows) else "unroll"


def _over_members(step: Callable[..., Any], order: Order) -> Callable[..., Any]:
    """``step(carry, data, examples, told)`` for stacked members; data is shared."""
    if order == "vmap":
        return jax.vmap(step, (0, None, 0, 0))
    if order == "map":

        def mapped(carry: Any, data: Any, examples: jax.Array, told: Any) -> Any:
            return jax.lax.map(lambda member: step(member[0], data, member[1], member[2]), (carry, examples, told))

        return mapped

    def unrolled(carry: Any, data: Any, examples: jax.Array, told: Any) -> Any:
        at = lambda tree, i: jax.tree.map(lambda leaf: leaf[i], tree)  # noqa: E731
        found = [step(at(carry, i), data, examples[i], at(told, i)) for i in range(len(examples))]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

    return unrolled
