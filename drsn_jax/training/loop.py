"""The loop around the step: a generator that yields a record of every epoch, from which callers log, draw and report progress.

With ``Checkpoints`` a training that was killed goes on where it was and ends in the same bytes as one that was not. The step may
train a single network or a whole ensemble: ``ensembles.Ensemble`` hands its stacked step to the same ``fit``.
"""

import functools
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.runtime import CompilationCount
from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import CheckpointError, Checkpoints
from drsn_jax.training.progress import Diverged, Epoch, NotFinite, TrainingProgress, check_state


def fit(
    step: Callable[..., tuple[Any, Any]],
    state: Any,
    batches: Batches,
    *,
    epochs: int,
    steps_per_call: int = 1,
    learning_rate: Callable[[int], Any] | None = None,
    validate: Callable[[Any], Mapping[str, Any]] | None = None,
    patience: int | None = None,
    checkpoints: Checkpoints | None = None,
    about: Mapping[str, Any] | None = None,
) -> Generator[Epoch, None, None]:
    """Train, yielding an ``Epoch`` after every epoch.

    Args:
      step: a compiled training step, for example ``jax.jit(make_train_step(...), donate_argnums=0)``; with ``steps_per_call``
        above 1 that of ``repeat_step(make_train_step(...))``.
      state: where to start. It is used up if the step donates it. If there is a checkpoint, only its shapes and devices count.
      batches: the training set.
      epochs: how often every example is seen.
      steps_per_call: how many steps one call makes. The last call of an epoch may make fewer, and is then compiled separately.
      learning_rate: the schedule; it is only recorded.
      validate: ``state -> {"loss", "correct", "count"}`` as sums over the validation set, for example by ``evaluation.evaluate``;
        called after every epoch.
      patience: stop after so many epochs without a lower validation loss.
      checkpoints: where checkpoints are read from and written to. One is written whenever the last is ``checkpoints.seconds``
        old, even in the middle of an epoch, and one after the last epoch. A training that had ended yields its last epoch again,
        so that its state can be used.
      about: what decides the training and cannot be seen in its arrays (noise, learning rate, data …), as JSON can hold it. It is
        stored in the checkpoints, and a checkpoint with another ``about`` is refused. By itself ``fit`` compares only the shapes,
        the labels, the batch size and the seed.

    Two trainings end in the same bytes only with the same number of devices and the same ``steps_per_call``, because these decide
    the order of summation. An epoch is yielded before a checkpoint holds it: if the caller is killed in between, it may be given
    that epoch again.

    Raises (nothing before the first ``next``, because this is a generator):
      ValueError: for options below 1, and for patience without validation.
      CheckpointError: for a checkpoint of another network, optimiser, batch size, seed or ``about``, and for one that is beyond
        ``epochs``.
      Diverged: if the loss or the gradient of a step, or a parameter after an epoch, is not finite. The last checkpoint is from
        before that step.
    """
    if not all(isinstance(number, int | np.integer) and number >= 1 for number in (epochs, steps_per_call)):
        raise UserError(f"a training has at least one epoch and one step a call, as integers, got {epochs} and {steps_per_call}")
    if patience is not None and (validate is None or patience < 1):
        raise UserError(f"patience counts epochs without a lower validation loss, from 1: got {patience}; it goes with validate")
    about = {**batches.facts(), "validation": validate is not None, **(about or {})}
    training = _Training(step, state, batches, steps_per_call, checkpoints, about, keep_best=validate is not None)
    training.restore(epochs)
    progress = training.progress

    def ended() -> bool:
        out_of_patience = patience is not None and progress.epoch > 0 and progress.epochs_without_improvement() >= patience
        return progress.step == 0 and (progress.epoch >= epochs or out_of_patience)

    if progress.record is not None and ended():
        yield training.epoch()
    with training.compilations:
        while not ended():
            training.train_epoch()
            rate = None if learning_rate is None else float(learning_rate((progress.epoch + 1) * batches.steps - 1))
            training.end_epoch(validate, rate)
            yield training.epoch()
            if checkpoints is not None and (checkpoints.due or ended()):
                training.save()


class _Training:
    """A training under way: its state and progress, and the methods that train an epoch, save and restore."""

    def __init__(
        self,
        step: Callable[..., tuple[Any, Any]],
        state: Any,
        batches: Batches,
        steps_per_call: int,
        checkpoints: Checkpoints | None,
        about: Mapping[str, Any],
        *,
        keep_best: bool,
    ) -> None:
        self._step, self._batches, self._steps_per_call = step, batches, steps_per_call
        self._checkpoints, self._about = checkpoints, about
        self.state = jax.tree.map(jnp.asarray, state)
        self.best = jax.device_get(state.variables) if keep_best else None
        self.progress = TrainingProgress(members=batches.members)
        self.compilations = CompilationCount()

    def restore(self, epochs: int) -> None:
        """Go on from the newest checkpoint, if there is one; raise CheckpointError if it is beyond ``epochs``."""
        if self._checkpoints is None:
            return
        newest = self._checkpoints.restore({"state": self.state, "best": self.best}, self._about)
        if newest is None:
            return
        tree, facts = newest
        self.state, self.best, self.progress = tree["state"], tree["best"], TrainingProgress(**facts["progress"])
        if (self.progress.epoch, self.progress.step) > (epochs, 0):
            raise CheckpointError(
                f"the checkpoint in {self._checkpoints.folder} is {self.progress.step} steps beyond epoch {self.progress.epoch}, "
                f"further than the {epochs} epochs that are asked for: ask for more, or choose another folder"
            )

    def save(self) -> None:
        """Write a checkpoint."""
        assert self._checkpoints is not None
        facts = {"about": self._about, "progress": self.progress.facts()}
        number = self.progress.epoch * self._batches.steps + self.progress.step
        self._checkpoints.save(number, {"state": self.state, "best": self.best}, facts)

    def train_epoch(self) -> None:
        """Make the steps of the current epoch that are not made yet; raise Diverged as ``fit``."""
        progress, batches, made = self.progress, self._batches, self.progress.step
        self._clock, unread = time.perf_counter(), None
        for batch in batches.epoch(progress.epoch + 1, first_step=made, steps_per_call=self._steps_per_call):
            steps = min(self._steps_per_call, batches.steps - made)
            metrics, made = self._call(batch, steps), made + steps
            # results are read one call late, so that the device has the next call before it is asked about the last one
            self._read(unread)
            unread = metrics, steps
            if self._checkpoints is not None and self._checkpoints.due:
                self._read(unread)
                unread = None
                self._save_meanwhile()
        self._read(unread)
        progress.seconds += time.perf_counter() - self._clock
        try:
            self._check_state()
        except NotFinite as error:
            raise self._diverged(error, progress.step - 1) from error

    def end_epoch(self, validate: Callable[[Any], Mapping[str, Any]] | None, learning_rate: float | None) -> None:
        """Validate, keep the best variables, and begin the next epoch."""
        facts: dict[str, Any] = {"memory": (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")}
        if learning_rate is not None:
            facts["learning_rate"] = learning_rate
        if validate is not None:
            facts["validation_loss"], facts["validation_accuracy"], improved = self.progress.validated(validate(self.state))
            if np.any(improved):
                choose = functools.partial(_where, improved)
                self.best = jax.tree.map(choose, jax.device_get(self.state.variables), self.best)
        self.progress.end_epoch(**facts)

    def epoch(self) -> Epoch:
        """Return the epoch that ended last."""
        assert self.progress.record is not None
        record: dict[str, Any] = {
            name: np.asarray(value) if isinstance(value, list) else value for name, value in self.progress.record.items()
        }
        return Epoch(state=self.state, best=self.best, **record)

    def _call(self, batch: Any, steps: int) -> Any:
        """Make one call of the step and return its metrics; a call that compiles does not count in the time."""
        called, compiled = time.perf_counter(), self.compilations.count
        self.state, metrics = self._step(self.state, batch)
        if self.compilations.count > compiled:
            jax.block_until_ready(metrics)
            self._clock += time.perf_counter() - called
        else:
            self.progress.timed += steps * self._batches.windows_per_step
        return metrics

    def _read(self, call: tuple[Any, int] | None) -> None:
        if call is None:
            return
        try:
            self.progress.add(*call)
        except NotFinite as error:
            raise self._diverged(error, self.progress.step) from error

    def _check_state(self) -> None:
        if self._batches.members is None:  # a member of an ensemble stops alone
            check_state(self.state)

    def _save_meanwhile(self) -> None:
        """Write a checkpoint in the middle of an epoch, without counting its time."""
        self.progress.seconds += time.perf_counter() - self._clock
        try:
            self._check_state()
            self.save()
        except NotFinite:
            pass  # the next loss or the end of the epoch shows it, and then to all processes of a job, not just to this one
        self._clock = time.perf_counter()

    def _diverged(self, error: NotFinite, step: int) -> Diverged:
        """Return the error for step ``step`` (from 0) of the epoch, with advice on what to do."""
        advice = self._batches.describe_bad(self.progress.epoch + 1, step) or (
            "lower the learning rate, standardise the windows, look for extreme values in the recordings, or check that the "
            f"network has the classes 0 to {self._batches.highest_label}"
        )
        kept = "" if self._checkpoints is None else f"; the last good checkpoint: {self._checkpoints.newest()}"
        number = self.progress.epoch * self._batches.steps + step + 1
        return Diverged(f"{error} in step {number} (epoch {self.progress.epoch + 1}): {advice}{kept}", number)


def _where(chosen: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Return ``new`` where ``chosen``, else ``old``; ``chosen`` is one value, or one for each element of the first axis."""
    return np.where(np.reshape(chosen, (*np.shape(chosen), *(1,) * (np.ndim(new) - np.ndim(chosen)))), new, old)
