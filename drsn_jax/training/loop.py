"""The loop around the step: epochs as a generator of records, to which callers attach progress, logging and figures.

With ``Checkpoints`` a training that was killed goes on where it was, to the same bytes as one that was not. The step may train a
single network or a whole ensemble: ``ensembles.Ensemble`` hands its stacked step to the same ``fit``.
"""

import functools
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.runtime import CompilationCount
from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import CheckpointError, Checkpoints, place_like
from drsn_jax.training.progress import Diverged, NotFinite, TrainingProgress, check_state


class Epoch(NamedTuple):
    """What an epoch ended with. Of an ensemble's training, numbers are arrays with one value for each member.

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
    state: Any
    loss: Any
    accuracy: Any
    seconds: float
    total_seconds: float
    windows_per_second: float
    best_epoch: Any
    learning_rate: float | None = None
    validation_loss: Any = None
    validation_accuracy: Any = None
    memory: int | None = None
    best: Any = None

    @property
    def variables(self) -> Any:
        """The params and batch_stats after this epoch; of an ensemble stacked, ``(members, ...)``."""
        return self.state.variables

    @property
    def best_variables(self) -> Any:
        """The params and batch_stats after the best epoch, placed as those of ``state`` are."""
        if self.best is None or np.all(self.best_epoch == self.number):
            return self.variables
        return jax.tree.map(place_like, self.best, self.variables)

    @property
    def diverged(self) -> np.ndarray:
        """Of an ensemble: the members that stopped because a loss, a gradient or a parameter was not finite. They keep the
        parameters before that step."""
        return self.state.diverged


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
      state: where to start, used up if the step donates it; with a checkpoint its shapes and place alone are used.
      batches: the training set.
      epochs: how often every example is seen.
      steps_per_call: steps of one call; the last call of an epoch may be shorter, and is then compiled too.
      learning_rate: the schedule, for the records alone.
      validate: ``state -> {"loss", "correct", "count"}``, sums over the validation set, after every epoch.
      patience: stop after so many epochs without a lower validation loss.
      checkpoints: where to go on from and to write to: whenever the last one is ``checkpoints.seconds`` old, in the middle of an
        epoch too, and after the last one. A training that had ended yields its last epoch again, for its state.
      about: what decides the training and is not seen in its arrays (noise, learning rate, data …), as JSON can hold it. It is
        kept in the checkpoints, and a checkpoint with another ``about`` is refused.

    The same bytes come out only with the same number of devices and the same ``steps_per_call``: others sum in another order. An
    epoch is yielded before a checkpoint covers it: a caller that is killed then may be given that epoch again.

    Raises (all at the first ``next``):
      ValueError: for options that cannot be, and for patience without validation.
      CheckpointError: for a checkpoint of another network, optimiser, batch size, seed or ``about``, or one that is further than
        ``epochs``.
      Diverged: when the loss or the gradient of a step is not finite, or a parameter after an epoch. The last checkpoint is of
        a step before.
    """
    if epochs < 1 or steps_per_call < 1:
        raise UserError(f"a training has at least one epoch and one step a call, got {epochs} and {steps_per_call}")
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
    with CompilationCount() as training.compilations:
        while not ended():
            training.train_epoch()
            rate = None if learning_rate is None else float(learning_rate((progress.epoch + 1) * batches.steps - 1))
            training.end_epoch(validate, rate)
            yield training.epoch()
            if checkpoints is not None and (checkpoints.due or ended()):
                training.save()


class _Training:
    """A training under way: its state and progress, and how they are moved on by an epoch, saved and restored."""

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
        """Go to the newest checkpoint, where there is one; CheckpointError if it is further than ``epochs``."""
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
        """Make the steps of the epoch that are not made yet; Diverged as ``fit``."""
        progress, batches, made = self.progress, self._batches, self.progress.step
        self._clock, unread = time.perf_counter(), None
        for batch in batches.epoch(progress.epoch + 1, first_step=made, steps_per_call=self._steps_per_call):
            steps = min(self._steps_per_call, batches.steps - made)
            metrics, made = self._call(batch, steps), made + steps
            # one call late, so that the device has the next before it is asked about the last
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
        """Make one call of the step; a call that compiles is left out of the time."""
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
            pass  # it shows in the next loss or at the end of the epoch, and then to all processes
        self._clock = time.perf_counter()

    def _diverged(self, error: NotFinite, step: int) -> Diverged:
        """The error of step ``step`` (from 0) of the epoch, with what to do."""
        advice = self._batches.describe_bad(self.progress.epoch + 1, step) or (
            "lower the learning rate, standardise the windows, look for extreme values in the recordings, or check that the "
            f"network has the classes 0 to {int(np.max(self._batches.labels))}"
        )
        kept = "" if self._checkpoints is None else f"; the last good checkpoint: {self._checkpoints.newest()}"
        number = self.progress.epoch * self._batches.steps + step + 1
        return Diverged(f"{error} in step {number} (epoch {self.progress.epoch + 1}): {advice}{kept}", number)


def _where(chosen: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """``new`` where ``chosen``, else ``old``; ``chosen`` is one value, or one for each element of the first axis."""
    return np.where(np.reshape(chosen, (*np.shape(chosen), *(1,) * (np.ndim(new) - np.ndim(chosen)))), new, old)
