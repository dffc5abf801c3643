"""Many trainings of one network as one step: members differ in seed, noise, learning rate and order of the data.

The parameters are stacked, the training step of ``steps.make_train_step`` is mapped over members, and the loop is ``loop.fit``.
The windows are shared. Each member draws its own batches from them and adds its own noise, and its training gives what it would
give alone.
"""

import copy
import functools
import inspect
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.arrays import as_labels, as_windows
from drsn_jax.core.distributed import Device, pmap_parts, replicate
from drsn_jax.core.errors import UserError
from drsn_jax.nn.networks import Network, for_platform
from drsn_jax.training.batches import steps_per_epoch
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.loop import fit
from drsn_jax.training.members import (
    EnsembleBatches,
    EnsembleState,
    Member,
    NoiseForms,
    Order,
    best_order,
    filled,
    make_member_evaluation,
    make_member_step,
    member_keys,
    over_members,
    spread,
)
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.progress import Epoch
from drsn_jax.training.state import QUICK_COMPILATION, KeyPurpose, create_state
from drsn_jax.training.steps import Prepare

if TYPE_CHECKING:  # imported where a training begins: a program that only asks a model has no use for it
    import optax


class Ensemble:
    """Many trainings of one network, the members, that share one compiled step.

    Args:
      network: the network to train.
      members: the trainings, at least one.
      examples: the number of training windows.
      epochs, batch_size: those of each training. An epoch is one pass over the windows that a member takes.
      prepare: ``window -> window``, applied after the noise; not needed for a network that standardises its windows itself. What
        it returns may have another shape, such as a spectrum.
      order: how the members of one device are computed: ``"vmap"`` all at once, ``"map"`` one after another in a loop,
        ``"unroll"`` one after another without a loop (the compilation takes longer by as many times as there are members). The
        default on an accelerator is ``"vmap"``. The caches of a CPU hold the features of one member but not those of all, so the
        default there is ``"map"`` if the network has a blocked implementation, and ``"unroll"`` otherwise, because the
        convolutions of XLA are slow in loops on a CPU.
      devices: the devices over which members are spread by ``pmap``; None computes on the default device.
      optimizer: makes the optimiser, such as ``one_cycle_optimizer``, from ``total_steps`` and ``learning_rate``.

    Raises ValueError without members, windows or devices, for an unknown order, and for members that take windows which are not
    there, or not equally many.
    """

    def __init__(
        self,
        network: Network,
        members: Sequence[Member],
        *,
        examples: int,
        epochs: int,
        batch_size: int = 128,
        prepare: Prepare | None = None,
        order: Order | None = None,
        devices: Sequence[Device] | None = None,
        optimizer: "Callable[..., optax.GradientTransformation]" = paper_optimizer,
    ) -> None:
        _check(members, examples, epochs, batch_size, order, devices)
        self.members, self.epochs, self.batch_size, self.examples = tuple(members), epochs, batch_size, examples
        self.steps = steps_per_epoch(_taken(members, examples), batch_size)
        self.devices = None if devices is None else list(devices)
        self.order: Order | None = order
        self._platform = (self.devices or jax.local_devices())[0].platform
        self.network = for_platform(network, self._platform)
        import optax

        # one compiled step serves members of all learning rates
        fixed = set(inspect.signature(optimizer).parameters) - {"learning_rate"}
        injected = optax.inject_hyperparams(optimizer, static_args=sorted(fixed))
        self.optimizer = injected(epochs * self.steps, learning_rate=0.1)
        self._prepare = prepare
        self._forms = NoiseForms([member.noise for member in members])
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def with_members(self, members: Sequence[Member]) -> "Ensemble":
        """Return a copy of this ensemble with other members, which reuses the compiled step.

        Raises ValueError unless there are as many members and their noise has only forms that the step was compiled for: a kind,
        at one SNR or at one drawn from a range.
        """
        if len(members) != len(self.members) or not all(member.noise in self._forms for member in members):
            raise UserError(f"the step was made for {len(self.members)} members with noise of the forms {self._forms}")
        if (taken := _taken(members, self.examples)) != (before := _taken(self.members, self.examples)):
            raise UserError(f"the step was made for members that take {before} windows, got some that take {taken}")
        other = copy.copy(self)
        other.members = tuple(members)
        return other

    def fit(
        self,
        windows: np.ndarray,
        labels: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        patience: int | None = None,
        checkpoints: Checkpoints | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Generator[Epoch, None, None]:
        """Train all members, yielding an ``Epoch`` after every epoch; its numbers are arrays with one value for each member.

        Args:
          windows: ``(examples, *positions, channels)`` without noise and with their mean removed.
          labels: ``(examples,)`` integers.
          validation: windows and labels of a validation set. Each member meets them in one fixed draw of its own noise.
          patience, checkpoints, about: as in ``loop.fit``; patience counts from the latest improvement of any member.

        Raises ValueError for another number of windows or labels than ``examples`` and for labels that are not classes; otherwise
        as ``loop.fit``. A member whose numbers are no longer finite stops alone, see ``Epoch.diverged``.
        """
        state, batches = self._begin(windows, labels)
        validate = None
        if validation is not None:
            held_out = as_windows(validation[0])
            held_out_labels = as_labels(validation[1], len(held_out), self.network.classes)
            validate = functools.partial(self._validate, held_out, held_out_labels)
        step = self._step(windows.shape[1:])
        return fit(
            step, state, batches, epochs=self.epochs, validate=validate, patience=patience, checkpoints=checkpoints, about=about
        )

    def probe(self, windows: np.ndarray, labels: np.ndarray, steps: int = 3) -> float:
        """Compile the step and return the seconds that the whole training of all members will take, measured on ``steps`` steps.

        Raises ValueError for fewer than one step.
        """
        if steps < 1:
            raise UserError(f"a training is measured on at least one step, got {steps}")
        state, batches = self._begin(windows, labels)
        step, seconds = self._step(windows.shape[1:]), []
        epochs = (batch for number in range(1, 2 + steps) for batch in batches.epoch(number))
        for batch in (next(epochs) for _ in range(1 + steps)):
            start = time.perf_counter()
            state, metrics = step(state, batch)
            jax.block_until_ready(metrics)
            seconds.append(time.perf_counter() - start)
        return self.epochs * self.steps * float(np.median(seconds[1:]))

    def create(self, windows: np.ndarray) -> EnsembleState:
        """Return the initial states of all members; of ``windows`` only the shape matters."""
        members = filled(self.members, self.devices)
        seen = np.zeros((1, *_seen(windows.shape[1:], self._prepare)), np.float32)
        keys = list(member_keys(members, KeyPurpose.TRAINING))
        state = _stack([create_state(self.network, self.optimizer, key, seen) for key in keys])
        state.opt_state.hyperparams["learning_rate"] = jnp.asarray([member.learning_rate for member in members], jnp.float32)
        return spread(EnsembleState(state, jnp.ones(len(members), bool), len(self.members)), self.devices)

    def _begin(self, windows: np.ndarray, labels: np.ndarray) -> tuple[EnsembleState, EnsembleBatches]:
        if len(windows) != self.examples or len(labels) != self.examples:
            raise UserError(f"the ensemble was made for {self.examples} windows, got {len(windows)} and {len(labels)} labels")
        windows, labels = as_windows(windows), as_labels(labels, self.examples, self.network.classes)
        shared: Any = {"windows": jnp.asarray(windows), "labels": jnp.asarray(labels)}
        shared = shared if self.devices is None else replicate(shared, self.devices)
        shared["noise"] = self._noises()
        return self.create(windows), EnsembleBatches(windows, labels, self.batch_size, self.members, shared, self.devices)

    def _step(self, window: tuple[int, ...]) -> Callable[..., Any]:
        """Return the compiled step of all members for windows of a shape, ``(state, batch) -> (state, metrics)``."""
        if window not in self._compiled:
            step = make_member_step(self.network, self.optimizer, self._forms, self._prepare)
            self._compiled[window] = self._over_members(step, window, donate_argnums=(0,))
        compiled = self._compiled[window]

        def call(state: EnsembleState, batch: Mapping[str, Any]) -> tuple[EnsembleState, Any]:
            (members, alive), metrics = compiled(
                (state.members, state.alive), (batch["windows"], batch["labels"]), (batch["examples"], batch["noise"])
            )
            return EnsembleState(members, alive, state.count), metrics

        return call

    def _over_members(self, step: Callable[..., Any], window: tuple[int, ...], **options: Any) -> Callable[..., Any]:
        """Compile ``step(carry, shared, own)`` for stacked members, over all devices."""
        mapped = over_members(step, self.order or best_order(self.network, _seen(window, self._prepare), self._platform))
        if self.devices is None:
            return jax.jit(mapped, **options)
        return pmap_parts(mapped, self.devices, (0, None, 0), **options)

    def _validate(self, windows: np.ndarray, labels: np.ndarray, state: EnsembleState) -> dict[str, Any]:
        """Return the summed metrics of every member, ``(members,)``, each under one fixed draw of its own noise."""
        if "validate" not in self._compiled:
            evaluation = make_member_evaluation(self.network, self._forms, self._prepare)
            self._compiled["validate"] = self._over_members(evaluation, windows.shape[1:])
        keys = member_keys(filled(self.members, self.devices), KeyPurpose.VALIDATION_NOISE)
        own = spread(keys, self.devices), self._noises()
        sums = _summed(self._compiled["validate"], state.members.variables, own, windows, labels, self.batch_size)
        return state.stacked(sums)

    def _noises(self) -> Any:
        return spread(self._forms.of([member.noise for member in filled(self.members, self.devices)]), self.devices)


def _check(
    members: Sequence[Member], examples: int, epochs: int, batch_size: int, order: str | None, devices: Sequence[Device] | None
) -> None:
    if not members:
        raise UserError("an ensemble has at least one member, got none")
    if not all(isinstance(number, int | np.integer) and number >= 1 for number in (epochs, batch_size)):
        raise UserError(f"a training has at least one epoch and one window a step, got {epochs} and {batch_size}")
    if examples < 1 or (devices is not None and len(devices) == 0):
        raise UserError("an ensemble needs at least one window, and one device where devices are given")
    if order not in (None, "vmap", "map", "unroll"):
        raise UserError(f"unknown order {order!r}: choose vmap, map or unroll")


@functools.partial(jax.jit, compiler_options=QUICK_COMPILATION)
def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _seen(window: tuple[int, ...], prepare: Prepare | None) -> tuple[int, ...]:
    """Return the shape of what the network is given, by that of a window."""
    return window if prepare is None else jax.eval_shape(prepare, jax.ShapeDtypeStruct(window, jnp.float32)).shape


def _taken(members: Sequence[Member], examples: int) -> int:
    """Return how many of so many training windows each member takes."""
    counts = {examples if member.windows is None else len(member.windows) for member in members}
    if len(counts) > 1:
        raise UserError(f"the members of an ensemble take equally many windows, got {sorted(counts)}")
    if (last := max((max(member.windows) for member in members if member.windows is not None), default=0)) >= examples:
        raise UserError(f"a member takes window {last}, and there are {examples}, numbered from 0")
    return counts.pop()


def _summed(
    evaluation: Callable[..., Any], variables: Any, own: Any, windows: np.ndarray, labels: np.ndarray, batch_size: int
) -> dict[str, np.ndarray]:
    """Return the metrics of all members, summed over the windows; the last batch is filled up with windows of weight 0."""
    sums = []
    for start in range(0, len(windows), batch_size):
        numbers = np.resize(np.arange(start, min(start + batch_size, len(windows))), batch_size)
        weights = (np.arange(batch_size) < len(windows) - start).astype(np.float32)
        batch = {"windows": windows[numbers], "labels": labels[numbers], "weights": weights, "start": np.int32(start)}
        sums.append(evaluation(variables, batch, own))
    return jax.tree.map(lambda *values: np.sum(values, axis=0), *jax.device_get(sums))
