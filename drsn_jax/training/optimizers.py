"""The paper's optimiser and its schedule of the learning rate, AdamW with one cycle, and a lower rate for the body of a
fine-tuned network."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from drsn_jax.core.errors import UserError

if TYPE_CHECKING:  # imported where a training begins: a program that only asks a model has no use for it
    import optax


def paper_optimizer(
    total_steps: int,
    learning_rate: float = 0.1,
    *,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
) -> "optax.GradientTransformation":
    """Return stochastic gradient descent as in the paper::

        g ← gradient + weight_decay · w      (convolution and FC kernels only)
        v ← momentum · v + g;   w ← w - rate · v

    The rate is ``learning_rate`` at first, a tenth of it after 40 % of ``total_steps`` and a hundredth after 80 %.

    Raises ValueError if ``total_steps`` is not positive. Source: Zhao et al. 2020, section IV.
    """
    import optax

    decay = optax.add_decayed_weights(weight_decay, mask=kernels)
    return optax.chain(decay, optax.sgd(paper_schedule(total_steps, learning_rate), momentum=momentum))


def paper_schedule(total_steps: int, learning_rate: float = 0.1) -> "optax.Schedule":
    """Return the learning rate of ``paper_optimizer`` as a function of the steps made; errors and source as there."""
    if total_steps < 1:
        raise UserError(f"the schedule needs at least one step, got total_steps={total_steps}")
    import optax

    # the rate drops after the first step at the earliest, however few steps there are
    drops = {max(1, round(total_steps * share)): 0.1 for share in (0.4, 0.8)}
    schedule = optax.piecewise_constant_schedule(learning_rate, drops)
    # as floats: Optax multiplies the count with floats, which JAX's strict dtype promotion refuses for integers
    return lambda steps: schedule(jnp.asarray(steps, jnp.float32))


def one_cycle_optimizer(
    total_steps: int, learning_rate: float = 3e-3, *, weight_decay: float = 1e-2
) -> "optax.GradientTransformation":
    """Return AdamW with one cycle of the learning rate, which rises and then falls to nearly nothing (``one_cycle_schedule``).

    Kernels of convolutions and FC layers decay by ``rate · weight_decay · w`` in every step. It needs fewer epochs than
    ``paper_optimizer`` to come to the end of a learning curve.

    Raises ValueError if ``total_steps`` is not positive. Source: Loshchilov and Hutter, ICLR 2019.
    """
    import optax

    return optax.adamw(one_cycle_schedule(total_steps, learning_rate), weight_decay=weight_decay, mask=kernels)


def one_cycle_schedule(total_steps: int, learning_rate: float = 3e-3) -> "optax.Schedule":
    """Return a learning rate as a function of the steps made: half a cosine up to ``learning_rate`` at 30 % of ``total_steps``,
    from a 25th of it, and half a cosine down to a ten-thousandth of that.

    Raises ValueError if ``total_steps`` is not positive. Source: Smith and Topin, arXiv 1708.07120.
    """
    if total_steps < 1:
        raise UserError(f"the schedule needs at least one step, got total_steps={total_steps}")
    import optax

    # Optax divides by the steps of each part, and a part of a short training may have none
    schedule = optax.cosine_onecycle_schedule(max(total_steps, 4), learning_rate, pct_start=0.3)
    # as floats: Optax multiplies the count with floats, which JAX's strict dtype promotion refuses for integers
    return lambda steps: schedule(jnp.asarray(steps, jnp.float32))


def scale_body(rate: float) -> "optax.GradientTransformation":
    """Multiply the updates of all parameters but the classifier's by ``rate``, for fine-tuning. Chain it behind an optimiser.

    With 0 the body is frozen, but its batch statistics still follow the data.
    """

    import optax

    def scale(updates: Any, _: Any = None) -> Any:
        return jax.tree.map_with_path(lambda path, u: u if path[0].key == "classifier" else rate * u, updates)

    return optax.stateless(scale)


def kernels(params: Any) -> Any:
    """Return a tree like ``params``: True at the kernels of convolutions and FC layers, False at biases, scales and offsets."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)
