"""What tells a training of an ensemble from the others: seed, noise, level, learning rate."""

import functools
import math
from dataclasses import dataclass

import jax
import numpy as np

from drsn_jax.noise import add_mixed_noise, add_noise, noise_maker
from drsn_jax.training import Noise

Form = tuple[str, bool]  # the kind of a noise, and whether levels are drawn from a range


@dataclass(frozen=True)
class Member:
    """What tells a training from the others.

    Fields:
      seed: of initial parameters, order of the windows and noise.
      noise: its kind.
      snr_db: its level in dB, ``inf`` for none, or a range from which each window's is drawn.
      learning_rate: at the start.
    """

    seed: int = 0
    noise: str = "gaussian"
    snr_db: float | tuple[float, float] = 0.0
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        noise_maker(self.noise)
        if isinstance(self.snr_db, tuple):
            usable = len(self.snr_db) == 2 and -100 <= self.snr_db[0] <= self.snr_db[1] <= 100
        else:
            usable = np.ndim(self.snr_db) == 0 and (abs(self.snr_db) <= 100 or self.snr_db == math.inf)
        if not usable:
            raise ValueError(f"a member's snr_db is from -100 to 100 dB, or inf, or a range (low, high), got {self.snr_db}")
        if not (0 < self.learning_rate < math.inf) or self.seed < 0:
            raise ValueError(f"a member has a positive learning rate and a seed from 0, got {self.learning_rate} and {self.seed}")

    @property
    def form(self) -> Form:
        """What of its noise is decided when the step is compiled: the kind, and whether levels are drawn."""
        return self.noise, isinstance(self.snr_db, tuple)


def noise_of_form(form: Form, low: jax.Array, high: jax.Array) -> Noise:
    """The noise of a form from ``low`` to ``high`` dB, which are equal where no levels are drawn."""
    kind, drawn = form
    if drawn:
        return functools.partial(add_mixed_noise, low_db=low, high_db=high, kind=kind)
    return functools.partial(add_noise, snr_db=low, kind=kind)
