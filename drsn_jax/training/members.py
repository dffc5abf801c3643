"""The members of an ensemble: what tells them apart, their states and batches, and the step of one member mapped over all."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.distributed import Device
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.noise_mixture import NoiseMixture
from drsn_jax.nn.networks import Network, blocked_layout
from drsn_jax.nn.variable_shapes import variable_shapes
from drsn_jax.training.batches import Batches, epoch_order, steps_per_epoch
from drsn_jax.training.state import KeyPurpose, TrainState
from drsn_jax.training.steps import Prepare, make_eval_step, make_train_step

if TYPE_CHECKING:  # imported where a training begins: a program that only asks a model has no use for it
    import optax

Order = Literal["vmap", "map", "unroll"]
GAUSSIAN = Noise("gaussian", 0.0)


@dataclass(frozen=True)
class Member:
    """What tells one training of an ensemble from the others.

    Fields:
      seed: decides initial parameters, the order of the windows and the draws of noise.
      noise: the noise that is added to its training windows.
      learning_rate: the learning rate at the start, or the highest one, which the schedule changes.
      windows: the numbers of the training windows that it takes; None takes all of them.

    Raises ValueError for a negative seed, a learning rate that is not positive, and windows that are none or below 0.
    """

    seed: int = 0
    noise: Noise | NoiseMixture = GAUSSIAN
    learning_rate: float = 0.1
    windows: Sequence[int] | np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.windows is not None:
            windows = np.asarray(self.windows)
            if windows.ndim != 1 or windows.size == 0 or windows.dtype.kind not in "iu" or windows.min() < 0:
                raise UserError(f"a member takes at least one window, numbered from 0, got {self.windows!r}")
            # plain numbers, which can be compared, hashed and written into a checkpoint
            object.__setattr__(self, "windows", tuple(windows.tolist()))
        if not (0 < self.learning_rate < math.inf) or self.seed < 0:
            raise UserError(f"a member has a positive learning rate and a seed from 0, got {self.learning_rate} and {self.seed}")


class NoiseForms:
    """The forms of noise that a compiled step knows: a kind, and whether its SNR is drawn from a range.

    The SNRs themselves are data: for each member the step is given the number of the form of its noise and the limits of its
    SNR.
    """

    def __init__(self, noises: Sequence[Noise | NoiseMixture]) -> None:
        self._forms = list(dict.fromkeys(map(jax.tree.structure, noises)))

    def __contains__(self, noise: Noise | NoiseMixture) -> bool:
        return jax.tree.structure(noise) in self._forms

    def __repr__(self) -> str:
        return ", ".join(str(form) for form in self._forms)

    def of(self, noises: Sequence[Noise | NoiseMixture]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return for each noise the number of its form, its lowest and its highest SNR, as three arrays ``(members,)``."""
        limits = [jax.tree.leaves(noise) for noise in noises]
        low, high = (jnp.asarray([levels[end] for levels in limits], jnp.float32) for end in (0, -1))
        return jnp.asarray([self._forms.index(jax.tree.structure(noise)) for noise in noises]), low, high

    def adding(self, entry: tuple[jax.Array, jax.Array, jax.Array]) -> Callable[..., jax.Array]:
        """Return the noise of one member as ``(key, window) -> window``; ``entry`` has its values of the arrays from ``of``."""
        number, low, high = entry
        # bound methods, because a noise whose SNR is traced has no hash
        adding = [jax.tree.unflatten(form, [low, high][: form.num_leaves]).__call__ for form in self._forms]
        return adding[0] if len(adding) == 1 else lambda key, window: jax.lax.switch(number, adding, key, window)


@flax.struct.dataclass
class EnsembleState:
    """The training states of all members.

    Fields:
      members: a ``TrainState`` whose arrays have an axis of members in front, or two axes ``(devices, members per device)``.
        They are filled up with copies of the last member, so that every device has equally many.
      alive: whether each member still trains; a member stops when its numbers are no longer finite.
      count: the number of members without the copies.
    """

    members: TrainState
    alive: jax.Array
    count: int = flax.struct.field(pytree_node=False)

    def stacked(self, tree: Any) -> Any:
        """Return arrays of the members as ``(count, ...)``, in the order in which the members were given."""
        return tree if self.alive.shape == (self.count,) else _stacked(tree, self.alive.ndim, self.count)

    @property
    def variables(self) -> Any:
        """The params and batch_stats of all members, ``(count, ...)``."""
        return self.stacked(self.members.variables)

    @property
    def diverged(self) -> np.ndarray:
        """Whether each member has stopped, or will stop because a parameter is not finite, ``(count,)``."""
        leaves = jax.tree.leaves(jax.device_get(self.variables))
        finite = np.all([np.isfinite(leaf).reshape(self.count, -1).all(1) for leaf in leaves], 0)
        return ~(np.asarray(self.stacked(self.alive)) & finite)


class EnsembleBatches(Batches):
    """The training set of all members: shared windows, and for every step the examples that each member takes."""

    def __init__(
        self,
        windows: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        members: Sequence[Member],
        shared: Any,
        devices: Sequence[Device] | None,
    ) -> None:
        super().__init__(windows, labels, batch_size, on_device=False)
        self._trained, self._shared, self._over = members, shared, devices
        self._taken = [np.arange(len(windows)) if m.windows is None else np.asarray(m.windows) for m in members]
        self.examples = len(self._taken[0])
        self.steps = steps_per_epoch(self.examples, batch_size)

    @property
    def members(self) -> int:
        """How many trainings a step makes at once."""
        return len(self._trained)

    @property
    def windows_per_step(self) -> int:
        """How many windows a step takes, for all trainings together."""
        return self.batch_size * self.members

    def facts(self) -> dict[str, Any]:
        """Return what tells this ensemble's training from others whose states have the same shapes."""
        # a member that takes all windows is told as before, so that a training begun then goes on
        members = [
            [m.seed, str(m.noise), m.learning_rate, *([list(m.windows)] if m.windows is not None else [])] for m in self._trained
        ]
        return {**super().facts(), "members": members}

    def epoch(self, number: int, *, first_step: int = 0, steps_per_call: int = 1) -> Iterator[dict[str, Any]]:
        """Yield the batches of epoch ``number`` from step ``first_step`` on, each for one step of all members."""
        orders = [
            taken[epoch_order(self.examples, self.batch_size, seed=member.seed, epoch=number)]
            for member, taken in zip(self._trained, self._taken, strict=True)
        ]
        for examples in np.stack(orders, 1)[first_step:]:
            yield {**self._shared, "examples": spread(np.stack(filled(examples, self._over)), self._over)}


def filled(members: Sequence[Any], devices: Sequence[Device] | None) -> list[Any]:
    """Return the members, followed by so many copies of the last one that every device computes equally many."""
    return [*members, *[members[-1]] * (-len(members) % len(devices or [None]))]


def spread(tree: Any, devices: Sequence[Device] | None) -> Any:
    """Reshape arrays of members ``(m, …)`` to ``(devices, m / devices, …)``; without devices return them as they are."""
    if devices is None:
        return tree
    on_host = all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree))
    return (_spread if on_host else _compiled_spread)(tree, len(devices))


def _spread(tree: Any, devices: int) -> Any:
    return jax.tree.map(lambda leaf: leaf.reshape(devices, -1, *leaf.shape[1:]), tree)


# all arrays of a tree in one program: as operations of their own they would be compiled for each shape
_compiled_spread = jax.jit(_spread, static_argnums=1)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _stacked(tree: Any, axes: int, count: int) -> Any:
    """Make the first ``axes`` axes of every array one, and keep its first ``count`` entries."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[axes:])[:count], tree)


def member_keys(members: Sequence[Member], purpose: KeyPurpose) -> jax.Array:
    """Return for each member the random key of a purpose, ``(members,)``; only the member's seed decides it."""
    return jnp.stack([jax.random.fold_in(jax.random.key(member.seed), purpose) for member in members])


def make_member_step(
    network: Network, optimizer: "optax.GradientTransformation", forms: NoiseForms, prepare: Prepare | None
) -> Callable[..., Any]:
    """Make one training step of one member, which changes nothing once its loss or gradient is not finite.

    Its arguments are ``(state, alive)``, the training set ``(windows, labels)`` that all members share, and the member's own
    ``(examples, noise)``: which windows it takes, and its entry of ``NoiseForms.of``. It returns ``(state, alive)`` and metrics.
    """

    def member_step(carry: Any, shared: Any, own: Any) -> Any:
        (state, alive), (windows, labels), (examples, noise) = carry, shared, own
        batch = {"windows": windows[examples], "labels": labels[examples], "weights": jnp.ones(examples.shape, jnp.float32)}
        step = make_train_step(network, optimizer, noise=forms.adding(noise), prepare=prepare)
        after, metrics = step(state, batch)
        alive &= jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics.pop("gradient_norm"))
        state = jax.tree.map(functools.partial(jnp.where, alive), after, state)
        return (state, alive), jax.tree.map(lambda value: jnp.where(alive, value, 0), metrics)

    return member_step


def make_member_evaluation(network: Network, forms: NoiseForms, prepare: Prepare | None) -> Callable[..., Any]:
    """Make the evaluation of one batch by one member.

    Its arguments are the member's variables, a batch with ``start`` (the number of its first window), which all members share,
    and the member's own ``(key, noise)``. It returns the sums of loss, correct and count.
    """

    def member_evaluation(variables: Any, batch: Any, own: Any) -> Any:
        key, noise = own
        step = make_eval_step(network, noise=forms.adding(noise), prepare=prepare)
        metrics = step(variables, batch, jax.random.fold_in(key, batch["start"]))
        return {name: metrics[name] for name in ("loss", "correct", "count")}

    return member_evaluation


def best_order(network: Network, window: tuple[int, ...], platform: str) -> Order:
    """Return the fastest order of computing members for windows of this shape on a platform, as ``Ensemble`` describes it."""
    if platform != "cpu":
        return "vmap"
    windows: Any = jax.ShapeDtypeStruct((1, *window), jnp.float32)
    variables = variable_shapes(network, window)
    return "map" if blocked_layout(network, variables, windows) else "unroll"


def over_members(step: Callable[..., Any], order: Order) -> Callable[..., Any]:
    """Map ``step(carry, shared, own)`` over members, which are stacked in ``carry`` and ``own``."""
    if order == "vmap":
        return jax.vmap(step, (0, None, 0))
    if order == "map":
        return lambda carry, shared, own: jax.lax.map(lambda member: step(member[0], shared, member[1]), (carry, own))

    def unrolled(carry: Any, shared: Any, own: Any) -> Any:
        count = len(jax.tree.leaves(own)[0])
        members = [jax.tree.map(lambda leaf: leaf[i], (carry, own)) for i in range(count)]  # noqa: B023
        results = [step(member[0], shared, member[1]) for member in members]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return unrolled
