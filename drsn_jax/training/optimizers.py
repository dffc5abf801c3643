"""The paper's optimiser and its schedule of the learning rate, AdamW with one cycle, and a lower rate for the body of a
fine-tuned network.

A schedule is a function of the steps made, and a pytree of numbers too, from which that function follows. A compiled step that
takes the schedule as an argument serves trainings of any length and learning rate; to a step that is made with an optimiser both
belong, so that another length is another program. ``sgd`` and ``adamw`` make the optimiser of a schedule inside such a step.
"""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from drsn_jax.core.errors import UserError
from drsn_jax.training.state import QUICK_COMPILATION

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
    return sgd(paper_schedule(total_steps, learning_rate), momentum=momentum, weight_decay=weight_decay)


def sgd(
    schedule: "optax.ScalarOrSchedule", *, momentum: float = 0.9, weight_decay: float = 1e-4
) -> "optax.GradientTransformation":
    """Return the optimiser of ``paper_optimizer`` with another learning rate or schedule, which may be a traced one."""
    import optax

    decay = optax.add_decayed_weights(weight_decay, mask=kernels)
    return optax.chain(decay, optax.sgd(schedule, momentum=momentum))


def paper_schedule(total_steps: int, learning_rate: float = 0.1) -> "optax.Schedule":
    """Return the learning rate of ``paper_optimizer`` as a function of the steps made; errors and source as there."""
    if total_steps < 1:
        raise UserError(f"the schedule needs at least one step, got total_steps={total_steps}")
    # the rate drops after the first step at the earliest, however few steps there are; two drops in one step are one
    drops = sorted({max(1, round(total_steps * share)) for share in (0.4, 0.8)})
    return jax.tree_util.Partial(_dropping, 1.0 * learning_rate, float(drops[0]), float(drops[1]) if len(drops) > 1 else jnp.inf)


def _dropping(rate: Any, first: Any, second: Any, steps: Any) -> Any:
    """Return the rate of ``paper_schedule`` after so many steps; it drops when ``first`` and ``second`` steps are made."""
    steps, rate = jnp.asarray(steps, jnp.float32), jnp.asarray(rate, jnp.float32)
    for drop in (first, second):
        rate = jnp.where(steps < drop, rate, 0.1 * rate)
    return rate


def one_cycle_optimizer(
    total_steps: int, learning_rate: float = 3e-3, *, weight_decay: float = 1e-2
) -> "optax.GradientTransformation":
    """Return AdamW with one cycle of the learning rate, which rises and then falls to nearly nothing (``one_cycle_schedule``).

    Kernels of convolutions and FC layers decay by ``rate · weight_decay · w`` in every step. It needs fewer epochs than
    ``paper_optimizer`` to come to the end of a learning curve.

    Raises ValueError if ``total_steps`` is not positive. Source: Loshchilov and Hutter, ICLR 2019.
    """
    return adamw(one_cycle_schedule(total_steps, learning_rate), weight_decay=weight_decay)


def adamw(schedule: "optax.ScalarOrSchedule", *, weight_decay: float = 1e-2) -> "optax.GradientTransformation":
    """Return the optimiser of ``one_cycle_optimizer`` with another learning rate or schedule, which may be a traced one."""
    import optax

    return optax.adamw(schedule, weight_decay=weight_decay, mask=kernels)


def one_cycle_schedule(total_steps: int, learning_rate: float = 3e-3) -> "optax.Schedule":
    """Return a learning rate as a function of the steps made: half a cosine up to ``learning_rate`` at 30 % of ``total_steps``,
    from a 25th of it, and half a cosine down to a ten-thousandth of that.

    Raises ValueError if ``total_steps`` is not positive. Source: Smith and Topin, arXiv 1708.07120.
    """
    if total_steps < 1:
        raise UserError(f"the schedule needs at least one step, got total_steps={total_steps}")
    end = max(total_steps, 4)  # each part divides by its steps, and a part of a shorter training would have none
    rates = learning_rate / 25, 1.0 * learning_rate, learning_rate / 250_000
    return jax.tree_util.Partial(_one_cycle, rates, float(int(0.3 * end)), float(end))


def _one_cycle(rates: Any, top: Any, end: Any, steps: Any) -> Any:
    """Return the rate of ``one_cycle_schedule`` after so many steps; ``rates`` are those after 0, ``top`` and ``end`` steps."""
    steps = jnp.asarray(steps, jnp.float32)
    first, highest, last = (jnp.asarray(rate, jnp.float32) for rate in rates)
    rising = _half_cosine(first, highest, steps / top)
    falling = _half_cosine(highest, last, (steps - top) / (end - top))
    return jnp.where(steps < top, rising, jnp.where(steps < end, falling, last))


def _half_cosine(begin: Any, end: Any, share: jax.Array) -> jax.Array:
    left = (1 + jnp.cos(jnp.pi * share)) / 2
    return left * begin + (1 - left) * end  # which is exact at both ends, however far they are apart


@functools.partial(jax.jit, compiler_options=QUICK_COMPILATION)
def rate_at(schedule: Any, steps: Any) -> Any:
    """Return the learning rate of a schedule of this module after so many steps, by one program for all of a kind."""
    return schedule(steps)


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
