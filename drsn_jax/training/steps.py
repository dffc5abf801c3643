"""Training as one pure step ``(state, batch) -> (state, metrics)``: ``jit`` it, ``pmap`` it over devices, ``vmap`` it.

A batch is ``{"windows": (batch, *positions, channels), "labels": (batch,) integers, "weights": (batch,)}``. Metrics are sums
over the batch: ``loss``, ``correct``, ``count`` (the sum of the weights), and in evaluation ``confusion`` (true class × predicted
class). Add them up over batches and divide by ``count`` at the end. Training also returns ``gradient_norm``, which is not a sum.

A window that holds NaN or infinity when the network is given it has NaN for logits, whatever network it is, and so for loss.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_labels
from drsn_jax.core.errors import UserError
from drsn_jax.functional.noise import example_keys
from drsn_jax.nn.layers import nan_where_not_finite
from drsn_jax.nn.networks import Network
from drsn_jax.training.state import TrainState

if TYPE_CHECKING:  # imported where a training begins: a program that only asks a model has no use for it
    import optax

Batch = Mapping[str, ArrayLike]
Metrics = dict[str, jax.Array]
AddNoise = Callable[[jax.Array, jax.Array], jax.Array]  # (key, window) -> window, as ``functional.noise.Noise`` is
Prepare = Callable[[jax.Array], jax.Array]  # window -> window


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvalStep = Callable[..., Metrics]
PredictStep = Callable[[Any, ArrayLike], jax.Array]


def make_train_step(
    network: Network,
    optimizer: "optax.GradientTransformation",
    *,
    noise: AddNoise | None = None,
    prepare: Prepare | None = None,
    class_weights: Sequence[float] | None = None,
    axis_name: str | None = None,
) -> TrainStep:
    """Make a pure step of training ``(state, batch) -> (state, metrics)``, for ``jax.jit``, ``jax.vmap`` or
    ``distributed.pmap_step``.

    The loss is the weighted mean of the cross-entropy, ``Σ w_i·loss_i / Σ w_i``, where ``w_i`` is the weight of an example in the
    batch times the weight of its class. Metrics use only the weights in the batch. The batch statistics of the network include
    every example, whatever its weight. Where all weights are 0, the loss and its gradient are 0.

    Args:
      network: the network to train; its ``axis_name`` is replaced by the argument.
      optimizer: an Optax transformation. One with extra arguments, such as ``optax.contrib.reduce_on_plateau``, is given the loss
        of the batch as ``value``.
      noise: added anew for every example and step: a ``functional.noise.Noise`` or any ``(key, window) -> window``. None adds
        nothing, for windows that hold their noise already. The key of an example is
        ``fold_in(fold_in(state.key, state.step), its index in the global batch)``.
      prepare: ``window -> window``, applied after the noise, for example ``signals.standardise``.
      class_weights: one number for each class.
      axis_name: the mapped axis over whose devices the batch is spread; gradients, statistics and metrics are then those of the
        whole batch.

    Raises ValueError if there are not as many class weights as classes.
    """
    import optax

    # a norm with an axis name cannot run outside the map, so one network does not serve for both
    network = network.clone(axis_name=axis_name)
    optimizer = optax.with_extra_args_support(optimizer)
    if class_weights is not None and len(class_weights) != network.classes:
        raise UserError(f"{len(class_weights)} class weights were given for {network.classes} classes")

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        windows, labels, weights = _unpack(batch, jax.random.fold_in(state.key, state.step), noise, prepare, axis_name)
        loss_weights = weights if class_weights is None else weights * jnp.asarray(class_weights, weights.dtype)[labels]
        # divided by the sum over all devices, so that the gradients of the devices add up to the gradient of the global mean
        total = _sum(jnp.sum(loss_weights), axis_name)
        normaliser = jnp.where(total == 0, 1, total)  # without any weight the loss and its gradient are 0, and not 0 / 0

        def objective(params: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array, Any]]:
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updates = _apply(network, variables, windows, train=True, mutable=["batch_stats"])
            logits = nan_where_not_finite(logits, windows)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return jnp.sum(loss_weights * losses) / normaliser, (logits, losses, updates.get("batch_stats", {}))

        (loss, (logits, losses, stats)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        grads = _sum(grads, axis_name)
        if axis_name is not None:
            stats = jax.lax.pmean(stats, axis_name)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=_sum(loss, axis_name))
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": jnp.sum(weights * losses),
            "correct": jnp.sum(jnp.where(jnp.argmax(logits, -1).astype(labels.dtype) == labels, weights, 0)),
            "count": jnp.sum(weights),
        }
        state = TrainState(params, stats, opt_state, state.step + 1, state.key)
        return state, {**_sum(metrics, axis_name), "gradient_norm": _norm(grads)}

    return step


def repeat_step(step: Callable[..., tuple[TrainState, Metrics]]) -> Callable[..., tuple[TrainState, Metrics]]:
    """Make a function of several steps in one call, ``(state, batches) -> (state, metrics)``.

    Batches and metrics have an axis of steps in front; further arguments are handed to each step. It is for accelerators, where
    starting a short step takes longer than the step itself. On a CPU the modules' convolutions are ten to a hundred times as slow
    inside a loop, and inside ``jax.lax.cond`` too, as in a guard around a step; the blocked implementation is not affected.
    """

    def steps(state: TrainState, batches: Batch, *arguments: Any) -> tuple[TrainState, Metrics]:
        return jax.lax.scan(lambda state, batch: step(state, batch, *arguments), state, batches)

    return steps


def make_eval_step(
    network: Network,
    *,
    noise: AddNoise | None = None,
    prepare: Prepare | None = None,
    axis_name: str | None = None,
) -> EvalStep:
    """Make a pure evaluation of one batch, ``(variables, batch, key=None) -> metrics``, which uses the running statistics.

    Metrics are the sums of training and ``confusion`` ``(classes, classes)``. Arguments are those of ``make_train_step``. With
    ``noise`` the step needs a key and raises ValueError without one. The noise of example i has the key ``fold_in(key, i)``, so
    that equal keys give equal noise. Noise that should be the same for every network is better added once, by
    ``noise.add_noise_once``. An example whose logits are not finite counts in ``count`` and is in no cell of ``confusion``.
    """
    import optax

    network = network.clone(axis_name=axis_name)

    def step(variables: Any, batch: Batch, key: jax.Array | None = None) -> Metrics:
        if noise is not None and key is None:
            raise UserError("the evaluation adds noise, so it needs a key: step(variables, batch, key)")
        windows, labels, weights = _unpack(batch, key, noise, prepare, axis_name)
        logits = nan_where_not_finite(_apply(network, variables, windows, train=False), windows)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        # the first number that is no class stands for logits that name none
        predicted = jnp.where(jnp.isfinite(logits).all(-1), jnp.argmax(logits, -1), network.classes)
        confusion = jnp.zeros((network.classes, network.classes), weights.dtype)
        confusion = confusion.at[labels, predicted].add(weights, mode="drop")
        # an example of weight 0 fills the batch up and may have any loss, even NaN
        metrics = {
            "loss": jnp.sum(jnp.where(weights == 0, 0, weights * losses)),
            "correct": jnp.trace(confusion),
            "count": jnp.sum(weights),
            "confusion": confusion,
        }
        return _sum(metrics, axis_name)

    return step


def make_predict_step(network: Network, *, prepare: Prepare | None = None) -> PredictStep:
    """Make a pure prediction ``(variables, windows) -> logits (batch, classes)``, which uses the running statistics."""

    def step(variables: Any, windows: ArrayLike) -> jax.Array:
        windows = jnp.asarray(windows)
        windows = jax.vmap(prepare)(windows) if prepare else windows
        return nan_where_not_finite(_apply(network, variables, windows, train=False), windows)

    return step


def balanced_class_weights(labels: ArrayLike, classes: int) -> list[float]:
    """Return class weights that give every class the same share of the loss: ``n / (classes · n_class)``.

    Raises ValueError for a class without examples and for labels that are no classes.
    """
    counts = np.bincount(as_labels(labels, np.size(labels), classes), minlength=classes)
    if np.any(counts == 0):
        raise UserError(f"class {int(np.argmin(counts))} has no examples: it can have no weight")
    return (np.float32(np.sum(counts)) / (classes * counts).astype(np.float32)).tolist()


def _apply(network: Network, *arguments: Any, **options: Any) -> Any:
    """Call ``network.apply``, whose type does not say that it returns a pair only if something is mutable."""
    return network.apply(*arguments, **options)


def _unpack(
    batch: Batch, key: jax.Array | None, noise: AddNoise | None, prepare: Prepare | None, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    import chex

    names = ("windows", "labels", "weights")
    if missing := [name for name in names if name not in batch]:
        raise UserError(f"a batch has windows, labels and weights (ones where all examples count alike): no {missing[0]} given")
    windows, labels, weights = (jnp.asarray(batch[name]) for name in names)
    chex.assert_rank([labels, weights], 1)
    chex.assert_equal_shape_prefix([windows, labels, weights], 1)
    # a label that is no class makes the loss NaN, which training stops at; one below 0 would count from the last class back
    labels = jnp.where(labels < 0, jnp.iinfo(labels.dtype).max, labels)
    if noise is not None:
        assert key is not None
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(labels)
        windows = jax.vmap(noise)(example_keys(key, len(labels), first), windows)
    if prepare is not None:
        windows = jax.vmap(prepare)(windows)
    return windows, labels, weights


def _norm(tree: Any) -> jax.Array:
    """Return the Euclidean norm of all numbers in a tree: one sum where it has one dtype, which compiles sooner than many."""
    import optax

    leaves = jax.tree.leaves(tree)
    if len({leaf.dtype for leaf in leaves}) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        return optax.tree.norm(tree)
    return jnp.sqrt(jnp.sum(jnp.square(jnp.concatenate([leaf.reshape(-1) for leaf in leaves]))))


def _sum(tree: Any, axis_name: str | None) -> Any:
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)
