"""The loop around the step: epochs as a generator of records, to which callers attach progress, logging, figures."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from drsn_jax.training import Step, TrainState

Place = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Diverged(ArithmeticError):
    """The loss is no longer finite."""


class Epoch(NamedTuple):
    """What an epoch ended with. ``state`` may be used until the next epoch is asked for: its memory is reused then."""

    number: int
    state: TrainState
    loss: float
    accuracy: float
    seconds: float


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """How many batches hold every example once; the last is filled up."""
    return -(-examples // batch_size)


def epoch_batches(
    windows: np.ndarray, labels: np.ndarray, batch_size: int, *, seed: int, epoch: int
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of one epoch, all of one shape: a permutation of the examples decided by (seed, epoch), whose beginning
    fills up the last batch."""
    order = np.random.default_rng((seed, epoch)).permutation(len(windows))
    order = np.resize(order, steps_per_epoch(len(windows), batch_size) * batch_size)
    weights = np.ones(batch_size, np.float32)
    for chosen in order.reshape(-1, batch_size):
        yield {"windows": windows[chosen], "labels": labels[chosen], "weights": weights}


def fit(
    step: Step,
    state: TrainState,
    windows: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    batch_size: int = 128,
    seed: int = 0,
    place: Place = dict,
) -> Iterator[Epoch]:
    """Train, yielding after every epoch.

    Args:
      step: a compiled training step, for example ``jax.jit(make_train_step(...), donate_argnums=0)``.
      state: where to start; used up if the step donates it.
      windows: ``(n, *positions, channels)`` in host memory (an array or a memory map).
      labels: ``(n,)`` integers.
      epochs: how often every example is seen.
      batch_size: examples a step.
      seed: of the order of the examples.
      place: what is done with a batch before the step, for example ``parallel.place_on(devices)``.

    Raises:
      ValueError: without examples.
      Diverged: when the loss of an epoch is not finite.
    """
    if len(windows) == 0 or len(windows) != len(labels):
        raise ValueError(f"training needs as many windows as labels, and some: got {len(windows)} and {len(labels)}")
    for number in range(1, epochs + 1):
        start = time.perf_counter()
        sums = []
        for batch in epoch_batches(windows, labels, batch_size, seed=seed, epoch=number):
            state, metrics = step(state, place(batch))
            sums.append(metrics)
        # read at the end: a wait after every step would leave the device idle
        loss, correct, count = (sum(float(m[name]) for m in jax.device_get(sums)) for name in ("loss", "correct", "count"))
        if not np.isfinite(loss):
            raise Diverged(
                f"the loss became {loss} in epoch {number} (by step {int(state.step)}): look for extreme values in the "
                "recordings, standardise the windows, or lower the learning rate"
            )
        yield Epoch(number, state, loss / count, correct / count, time.perf_counter() - start)
