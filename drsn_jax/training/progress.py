"""Where a training stands: the sums of its epoch, the record of the last one, and what must be finite to go on."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from drsn_jax.core.arrays import named_leaves
from drsn_jax.core.errors import UserError


class Diverged(ArithmeticError):
    """The loss, the gradient or a parameter is no longer finite; ``step`` (from 1) is the first where it was seen."""

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
      epoch: whole epochs made.
      step: steps made of the next epoch, whose metrics are in the sums.
      loss, correct, count: sums over those steps.
      seconds, timed: seconds of those steps, and how many windows they took.
      total_seconds: seconds of the whole epochs.
      best_epoch, best_loss: the epoch with the lowest validation loss, and that loss; epoch 0 before there is one.
      record: what the last whole epoch ended with.
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

        Raises NotFinite at the first step whose loss or gradient is not finite; ``step`` then is the number of that step.
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
        """One number, or one for each member, for each step; members may lie on several devices, with more to fill these up."""
        rows = np.asarray(value, float).reshape(steps, -1)
        return rows[:, 0] if self.members is None else rows[:, : self.members]

    def validated(self, sums: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return validation loss and accuracy of the epoch whose steps are all made, and whether it is the best so far.

        Raises UserError where no example was counted.
        """
        loss, correct, count = (self._by_step(sums[name], 1)[0] for name in ("loss", "correct", "count"))
        if not np.all(count > 0):
            raise UserError("the validation counted no examples: give it some, with positive weights")
        loss, accuracy = loss / count, correct / count
        # a loss that is not finite is better than nothing and never better than another
        improved = (self.best_epoch == 0) | (loss < self.best_loss)
        self.best_epoch = np.where(improved, self.epoch + 1, self.best_epoch)
        self.best_loss = np.where(improved, np.where(np.isfinite(loss), loss, math.inf), self.best_loss)
        return loss, accuracy, improved

    def epochs_without_improvement(self) -> int:
        """Return how many epochs have passed since the validation loss of any member was at its lowest."""
        return int(np.min(self.epoch - self.best_epoch))

    def end_epoch(self, **more: Any) -> None:
        """Begin the next epoch; ``record`` then is what the last one ended with, and ``more``."""
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


def check_state(state: Any) -> None:
    """Raise NotFinite for a parameter or statistic that is not finite: a finite gradient can still carry one to infinity."""
    for name, leaf in named_leaves(jax.device_get(state.variables)):
        if not np.all(np.isfinite(leaf)):
            raise NotFinite(f"{name} is no longer finite")


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
