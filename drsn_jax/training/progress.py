"""The position of a training: the sums of the current epoch, the record of the last one, and checks for finite numbers."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from drsn_jax.core.arrays import named_leaves
from drsn_jax.core.errors import UserError
from drsn_jax.training.checkpoints import place_like


class Diverged(ArithmeticError):
    """The loss, the gradient or a parameter is no longer finite; ``step`` (from 1) is the first step where that was seen."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class NotFinite(ArithmeticError):
    """A number of a training is not finite; the message says which one and what it became."""


@dataclasses.dataclass
class TrainingProgress:
    """The position of a training, apart from its arrays. A checkpoint holds it as facts.

    Every number of an ensemble's training is an array with one value for each member.

    Fields:
      members: how many trainings are stacked; None for a single one.
      epoch: the number of epochs that are complete.
      step: the number of steps made in the current epoch.
      loss, correct, count: the sums of the metrics over those steps.
      seconds, timed: the seconds of those steps without the calls that compiled, and the number of windows they took.
      total_seconds: the seconds of the complete epochs.
      best_epoch, best_loss: the epoch with the lowest validation loss, and that loss; epoch 0 before the first validation.
      record: the results of the last complete epoch, None before there is one.
    """

    members: int | None = None
    epoch: int = 0
    step: int = 0
    loss: Any = 0.0
    correct: Any = 0.0
    count: Any = 0.0
    seconds: float = 0.0
    timed: int = 0
    total_seconds: float = 0.0
    best_epoch: Any = 0
    best_loss: Any = math.inf
    record: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        shape = () if self.members is None else (self.members,)
        for name in ("loss", "correct", "count", "best_loss"):
            setattr(self, name, np.broadcast_to(np.asarray(getattr(self, name), float), shape))
        self.best_epoch = np.broadcast_to(np.asarray(self.best_epoch, int), shape)

    def facts(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them; ``TrainingProgress(**facts)`` is equal."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def add(self, metrics: Mapping[str, Any], steps: int) -> None:
        """Read the metrics of a call that made ``steps`` steps and add them up.

        Raises NotFinite at the first step whose loss or gradient is not finite; ``step`` then is its number, from 0.
        """
        values = {name: self._by_step(value, steps) for name, value in jax.device_get(dict(metrics)).items()}
        for i in range(steps):
            for name, what in (("loss", "loss"), ("gradient_norm", "norm of the gradient")):
                if name in values and not np.all(np.isfinite(values[name][i])):
                    raise NotFinite(f"the {what} became {values[name][i]}")
            self.loss, self.correct, self.count = (
                total + values[name][i] for name, total in (("loss", self.loss), ("correct", self.correct), ("count", self.count))
            )
            self.step += 1

    def _by_step(self, value: Any, steps: int) -> np.ndarray:
        """Return one number for each step, ``(steps,)``, or one for each step and member, ``(steps, members)``.

        The values of members may be spread over devices and be followed by those of copies that fill the devices up.
        """
        rows = np.asarray(value, float).reshape(steps, -1)
        return rows[:, 0] if self.members is None else rows[:, : self.members]

    def validated(self, sums: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the validation loss and accuracy of the current epoch, and whether its loss is the lowest so far.

        ``sums`` holds the sums ``loss``, ``correct`` and ``count`` over the validation set. Raises UserError without examples.
        """
        loss, correct, count = (self._by_step(sums[name], 1)[0] for name in ("loss", "correct", "count"))
        if not np.all(count > 0):
            raise UserError("the validation counted no examples: give it some, with positive weights")
        loss, accuracy = loss / count, correct / count
        # a first loss counts as the best even if it is not finite; a later one that is not finite is never better
        improved = (self.best_epoch == 0) | (loss < self.best_loss)
        self.best_epoch = np.where(improved, self.epoch + 1, self.best_epoch)
        self.best_loss = np.where(improved, np.where(np.isfinite(loss), loss, math.inf), self.best_loss)
        return loss, accuracy, improved

    def epochs_without_improvement(self) -> int:
        """Return how many epochs have passed since the validation loss of any member last reached a new minimum."""
        return int(np.min(self.epoch - self.best_epoch))

    def end_epoch(self, **more: Any) -> None:
        """Put the results of the current epoch, with the facts ``more``, into ``record`` and begin the next epoch."""
        total = self.total_seconds + self.seconds
        with np.errstate(invalid="ignore"):  # a member that has diverged counts nothing
            loss, accuracy = self.loss / self.count, self.correct / self.count
        record = {
            "number": self.epoch + 1,
            "loss": loss,
            "accuracy": accuracy,
            "seconds": self.seconds,
            "total_seconds": total,
            "windows_per_second": self.timed / self.seconds if self.timed and self.seconds else math.nan,
            "best_epoch": np.where(self.best_epoch == 0, self.epoch + 1, self.best_epoch),
            **more,
        }
        self.record = {name: _plain(value) for name, value in record.items()}
        nothing = np.zeros_like(self.loss)
        self.epoch, self.step, self.loss, self.correct, self.count = self.epoch + 1, 0, nothing, nothing, nothing
        self.seconds, self.timed, self.total_seconds = 0.0, 0, total


class Epoch(NamedTuple):
    """The results of one epoch. In the training of an ensemble the numbers are arrays with one value for each member.

    Fields:
      number: the number of the epoch, from 1.
      state: the state after the epoch. It may be used until the next epoch is asked for, which reuses its memory.
      loss, accuracy: means over the windows of the epoch's batches, in training mode.
      seconds: the time of the epoch's training steps, without validation, checkpoints and calls that compiled.
      total_seconds: the same for all epochs so far, including those before an interruption.
      windows_per_second: windows trained on in ``seconds``, a second; NaN if all calls compiled.
      best_epoch: the epoch with the lowest validation loss so far; without validation this epoch.
      learning_rate: the rate of the last step; None if ``fit`` was given no schedule.
      validation_loss, validation_accuracy: means over the validation set; None without one.
      memory: the most bytes that were in use on the first device so far; None if the device does not tell.
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
        """The params and batch_stats after this epoch; for an ensemble they are stacked, ``(members, ...)``."""
        return self.state.variables

    @property
    def best_variables(self) -> Any:
        """The params and batch_stats after the best epoch, placed on the devices of ``state``."""
        if self.best is None or np.all(self.best_epoch == self.number):
            return self.variables
        return jax.tree.map(place_like, self.best, self.variables)

    def record(self) -> dict[str, float]:
        """Return the numbers of this epoch under the names of ``metrics.jsonl``, as a logger takes them.

        Those of an ensemble have the number of the member behind their name, ``train_loss/0``. What is not known is left out.
        """
        values = {
            "epoch": self.number,
            "train_loss": self.loss,
            "train_accuracy": self.accuracy,
            "validation_loss": self.validation_loss,
            "validation_accuracy": self.validation_accuracy,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
            "windows_per_second": self.windows_per_second,
            "device_memory_bytes": self.memory,
        }
        named = [
            (name if np.ndim(value) == 0 else f"{name}/{i}", number)
            for name, value in values.items()
            if value is not None
            for i, number in enumerate(np.ravel(value).tolist())
        ]
        return {name: number for name, number in named if math.isfinite(number)}

    @property
    def diverged(self) -> np.ndarray:
        """For an ensemble, whether each member has stopped because its loss, gradient or a parameter was not finite. Such a
        member keeps the parameters from before that step."""
        return self.state.diverged


class Logger(Protocol):
    """What takes records: a run of wandb or trackio, or a class of one's own with ``log``."""

    def log(self, record: dict[str, float], /) -> object: ...


def log_to(run: Logger, epochs: Iterable[Epoch]) -> Iterator[Epoch]:
    """Yield the epochs of a training, and call ``run.log`` with the ``record`` of each before it is yielded.

    A training that goes on from a checkpoint logs the epochs that are still made; one that had ended logs its last one again.
    """
    for epoch in epochs:
        run.log(epoch.record())
        yield epoch


def check_state(state: Any) -> None:
    """Raise NotFinite if a parameter or statistic is not finite, as a step with a finite gradient can still make it."""
    for name, leaf in named_leaves(jax.device_get(state.variables)):
        if not np.all(np.isfinite(leaf)):
            raise NotFinite(f"{name} is no longer finite")


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
