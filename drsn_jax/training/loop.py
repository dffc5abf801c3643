"""The loop around the step: epochs as a generator of records, to which callers attach progress, logging, figures.

With ``Checkpoints`` a training that was killed goes on where it was, to the same bytes as one that was not.
"""

import contextlib
import dataclasses
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import CheckpointError, Checkpoints, place_like
from drsn_jax.training.progress import Diverged, TrainingProgress, not_finite
from drsn_jax.training.steps import TrainState


class Epoch(NamedTuple):
    """What an epoch ended with.

    Fields:
      number: from 1.
      state: may be used until the next epoch is asked for: its memory is reused then.
      loss, accuracy: means over the epoch's batches, in training mode.
      seconds: of its training steps, without validation, checkpoints and the calls that compiled.
      total_seconds: the same of all epochs so far, those before an interruption too.
      windows_per_second: in those seconds (NaN where all calls compiled).
      best_epoch: the one of the lowest validation loss so far; without validation this one.
      learning_rate: of the last step; None if ``fit`` was not told.
      validation_loss, validation_accuracy: None without validation.
      memory: bytes in use at most on the first device so far; None where the device does not tell.
      best: params and batch_stats after the best epoch, in host memory; None without validation.
    """

    number: int
    state: TrainState
    loss: float
    accuracy: float
    seconds: float
    total_seconds: float
    windows_per_second: float
    best_epoch: int
    learning_rate: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    memory: int | None = None
    best: Any = None

    @property
    def best_state(self) -> TrainState:
        """The state with the parameters and statistics of the best epoch, placed as ``state`` is."""
        if self.best is None or self.best_epoch == self.number:
            return self.state
        return dataclasses.replace(self.state, **jax.tree.map(place_like, self.best, self.state.variables))


def fit(
    step: Callable[..., tuple[TrainState, Any]],
    state: TrainState,
    batches: Batches,
    *,
    epochs: int,
    steps_per_call: int = 1,
    learning_rate: Callable[[int], Any] | None = None,
    validate: Callable[[TrainState], Mapping[str, Any]] | None = None,
    patience: int | None = None,
    checkpoints: Checkpoints | None = None,
    about: Mapping[str, Any] | None = None,
) -> Generator[Epoch, None, None]:
    """Train, yielding after every epoch.

    Args:
      step: a compiled training step, for example ``jax.jit(make_train_step(...), donate_argnums=0)``; with ``steps_per_call``
        above 1 that of ``repeat_step(make_train_step(...))``.
      state: where to start, used up if the step donates it; with a checkpoint its shapes and its place are all that is used.
      batches: the training set.
      epochs: how often every example is seen.
      steps_per_call: steps of one call; the last call of an epoch may be shorter, and is then compiled too.
      learning_rate: the schedule, for the records alone.
      validate: ``state -> {"loss", "correct", "count"}`` as sums over the validation set, for example ``prediction.evaluate`` on
        a ``make_eval_step``; called after every epoch.
      patience: stop after so many epochs without a lower validation loss.
      checkpoints: where to go on from and to write to: whenever the last one is ``checkpoints.seconds`` old, in the middle of an
        epoch too, and after the last one. A training that had ended yields its last epoch again, so that the caller has its
        state.
      about: what decides the training and is not seen in its arrays (noise, learning rate, data …), as JSON can hold it: it is
        kept in the checkpoints, and one with another ``about`` is refused. ``fit`` itself only knows the shapes, the labels, the
        batch size and the seed.

    The same bytes come out only with the same number of devices and the same ``steps_per_call``; with others, sums are rounded
    in another order. An epoch is yielded before a checkpoint covers it: a caller that logs, and is killed, may be given that
    epoch again.

    Raises (all at the first ``next``):
      ValueError: for options that cannot be, and for patience without validation.
      CheckpointError: for a checkpoint of another network, optimiser, batch size, seed or ``about``, or one that is further than
        ``epochs``.
      Diverged: when the loss or the gradient of a step is not finite, or a parameter after an epoch. The last checkpoint is of
        a step before.
    """
    if epochs < 1 or steps_per_call < 1:
        raise ValueError(f"a training has at least one epoch and one step a call, got {epochs} and {steps_per_call}")
    if patience is not None and (validate is None or patience < 1):
        raise ValueError(f"patience counts epochs without a lower validation loss, from 1: got {patience}; it goes with validate")
    state = jax.tree.map(jnp.asarray, state)
    about = {**_about(batches, validation=validate is not None), **(about or {})}
    progress, best = TrainingProgress(), jax.device_get(state.variables) if validate else None
    if checkpoints is not None and (found := checkpoints.restore({"state": state, "best": best}, about)) is not None:
        tree, facts = found
        state, best, progress = tree["state"], tree["best"], TrainingProgress(**facts["progress"])
        if (progress.epoch, progress.step) > (epochs, 0):
            raise CheckpointError(
                f"the checkpoint in {checkpoints.folder} is {progress.step} steps beyond epoch {progress.epoch}, further than "
                f"the {epochs} epochs that are asked for: ask for more, or choose another folder"
            )

    def ended() -> bool:
        if progress.epoch >= epochs:
            return True
        without = progress.epoch - progress.best_epoch
        return patience is not None and progress.epoch > 0 and progress.step == 0 and without >= patience

    if progress.record is not None and progress.step == 0 and ended():
        yield Epoch(state=state, best=best, **progress.record)
        return

    def require(trouble: str | None, behind: int = 0) -> None:
        if trouble is not None:
            raise _diverged(trouble, progress, progress.step - behind, batches, checkpoints)

    def save() -> None:
        assert checkpoints is not None
        facts = {"about": about, "progress": dataclasses.asdict(progress)}
        checkpoints.save(progress.epoch * batches.steps + progress.step, {"state": state, "best": best}, facts)

    with _compilations() as compilations:
        while not ended():
            clock, waiting, started = time.perf_counter(), None, progress.step
            for batch in batches.epoch(progress.epoch + 1, first_step=started, steps_per_call=steps_per_call):
                called, compiled = time.perf_counter(), len(compilations)
                state, metrics = step(state, batch)
                steps = min(steps_per_call, batches.steps - started)
                started += steps
                if len(compilations) > compiled:
                    jax.block_until_ready(metrics)
                    clock += time.perf_counter() - called
                else:
                    progress.timed += steps * batches.batch_size
                # one call late, so that the device has the next before it is asked about the last
                if waiting is not None:
                    require(progress.add(waiting))
                waiting = metrics
                if checkpoints is not None and checkpoints.due:
                    require(progress.add(waiting))
                    waiting = None
                    progress.seconds += time.perf_counter() - clock
                    # what is wrong with it shows in the next loss or at the end of the epoch, and then to all processes
                    if not_finite(state) is None:
                        save()
                    clock = time.perf_counter()
            if waiting is not None:
                require(progress.add(waiting))
            progress.seconds += time.perf_counter() - clock
            require(not_finite(state), behind=1)

            more: dict[str, Any] = {"memory": (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")}
            if learning_rate is not None:
                more["learning_rate"] = float(learning_rate((progress.epoch + 1) * batches.steps - 1))
            if validate is not None:
                more["validation_loss"], more["validation_accuracy"], improved = progress.validated(validate(state))
                best = jax.device_get(state.variables) if improved else best
            record = progress.end_epoch(**more)
            yield Epoch(state=state, best=best, **record)
            if checkpoints is not None and (checkpoints.due or ended()):
                save()


def _about(batches: Batches, *, validation: bool) -> dict[str, Any]:
    """What tells trainings apart that have the same arrays. Of the windows only their shape: simulated ones differ in their last
    bits from one machine to another."""
    return {
        "examples": batches.examples,
        "window": list(batches.windows.shape[1:]),
        "labels": zlib.crc32(np.asarray(batches.labels, np.int64).tobytes()),
        "batch_size": batches.batch_size,
        "seed": batches.seed,
        "validation": validation,
    }


def _diverged(what: str, progress: TrainingProgress, step: int, batches: Batches, checkpoints: Checkpoints | None) -> Diverged:
    """The error of step ``step`` (from 0) of the epoch."""
    bad = batches.describe_bad(progress.epoch + 1, step)
    advice = bad or (
        "lower the learning rate, standardise the windows, look for extreme values in the recordings, or check that the network "
        f"has the classes 0 to {int(np.max(batches.labels))}"
    )
    kept = "" if checkpoints is None else f"; the last good checkpoint: {checkpoints.newest()}"
    number = progress.epoch * batches.steps + step + 1
    return Diverged(f"{what} in step {number} (epoch {progress.epoch + 1}): {advice}{kept}", number)


@contextlib.contextmanager
def _compilations() -> Iterator[list[str]]:
    """A list that grows with every compilation."""
    found: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
