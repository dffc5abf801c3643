"""Where a training stands: the sums of its epoch, the record of the last, and what must be finite to go on."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from drsn_jax.core.arrays import named_leaves
from drsn_jax.training.steps import TrainState


class Diverged(ArithmeticError):
    """The loss, the gradient or a parameter is no longer finite; ``step`` (from 1) is the first where it was seen."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


@dataclasses.dataclass
class TrainingProgress:
    """A training's position, apart from its arrays: what a checkpoint holds as facts.

    Fields:
      epoch: whole epochs made.
      step: steps made of the next, whose metrics are in the sums.
      loss, correct, count: sums over those steps.
      seconds, timed: of those steps, and the windows that they were measured on.
      total_seconds: of the whole epochs.
      best_epoch, best_loss: of the lowest validation loss; epoch 0 before there is one.
      record: what the last whole epoch ended with.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    count: float = 0.0
    seconds: float = 0.0
    timed: int = 0
    total_seconds: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    record: dict[str, Any] | None = None

    def add(self, metrics: Mapping[str, Any]) -> str | None:
        """Read the metrics of a call, of one step or several, and add them up; returns what is not finite in the step that
        would be next, if something is."""
        values = {name: np.atleast_1d(value).tolist() for name, value in jax.device_get(metrics).items()}
        norms = values.get("gradient_norm", [0.0] * len(values["loss"]))
        for loss, correct, count, norm in zip(values["loss"], values["correct"], values["count"], norms, strict=True):
            for what, value in (("loss", loss), ("norm of the gradient", norm)):
                if not math.isfinite(value):
                    return f"the {what} became {value}"
            self.loss, self.correct, self.count = self.loss + loss, self.correct + correct, self.count + count
            self.step += 1
        return None

    def validated(self, sums: Mapping[str, Any]) -> tuple[float, float, bool]:
        """The validation loss and accuracy of the epoch whose steps are all made, and whether it is the best so far."""
        if not float(sums["count"]) > 0:
            raise ValueError("the validation counted no examples: give it some, with positive weights")
        loss, accuracy = (float(sums[name]) / float(sums["count"]) for name in ("loss", "correct"))
        # a loss that is not finite is better than nothing and never better than another
        best = self.best_epoch == 0 or loss < self.best_loss
        if best:
            self.best_epoch, self.best_loss = self.epoch + 1, loss if math.isfinite(loss) else math.inf
        return loss, accuracy, best

    def end_epoch(self, **more: Any) -> dict[str, Any]:
        """Begin the next epoch; returns the record of the one that ended, with ``more`` in it."""
        total = self.total_seconds + self.seconds
        self.record = {
            "number": self.epoch + 1,
            "loss": self.loss / self.count,
            "accuracy": self.correct / self.count,
            "seconds": self.seconds,
            "total_seconds": total,
            "windows_per_second": self.timed / self.seconds if self.timed and self.seconds else math.nan,
            "best_epoch": self.best_epoch or self.epoch + 1,
            **more,
        }
        self.epoch, self.step, self.loss, self.correct, self.count = self.epoch + 1, 0, 0.0, 0.0, 0.0
        self.seconds, self.timed, self.total_seconds = 0.0, 0, total
        return self.record


def not_finite(state: TrainState) -> str | None:
    """Which parameter or statistic is not finite, if any: a finite gradient can still carry one to infinity."""
    for name, leaf in named_leaves(jax.device_get(state.variables)):
        if not np.all(np.isfinite(leaf)):
            return f"{name} is no longer finite"
    return None
