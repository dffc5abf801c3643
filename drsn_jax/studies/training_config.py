"""How the networks of a comparison are trained: every hyper-parameter in one place, with its default and its help text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drsn_jax.functional.noise import Noise
from drsn_jax.studies.disturbance import Disturbance

_RATES = {"sgd": 0.1, "adamw": 3e-3}


@dataclass(frozen=True)
class TrainingConfig:
    """How networks are trained. The fields are options of the main script, whose help these sentences are."""

    epochs: int = 20
    """Passes over the training windows."""
    batch_size: int = 32
    """Windows a step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd: as in the paper, with momentum, a tenth of the learning rate after 40 % of the steps, a hundredth after 80 %; adamw:
    AdamW with a learning rate that rises for 30 % of the steps and then falls, which needs fewer epochs."""
    learning_rate: float | None = None
    """The highest one; by default 0.1 for sgd and 0.003 for adamw."""
    train_snr_db: tuple[float, float] | None = None
    """Train once for each kind of noise, on levels drawn from this range in dB, for a network that is to meet any of them; it is
    then tested at every level of --snr-db."""
    fixed_noise: bool = False
    """Add noise to the training windows once, instead of anew in every step."""
    standardise: Literal["window", "together", "training", "none"] = "window"
    """How amplitudes are scaled, after the noise. window: each channel of each window to unit variance, which hides a class that
    is only louder; together: all channels of a window by one number, which keeps their ratios, as those of the phases of a motor;
    training: all windows by the RMS of the training data, which keeps amplitude; none: not at all, as in the paper."""
    body_rate: float = 1.0
    """With --from: the share of the learning rate that the rest of the network gets; 0 freezes it."""
    test_network: Literal["last", "best"] = "last"
    """Which network of a training is tested: after the last epoch, or with the lowest loss on the validation windows."""
    patience: int | None = None
    """Stop a training after so many epochs without a lower validation loss."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' computation; parameters, statistics, thresholds and loss stay float32."""
    steps_per_call: int = 1
    """Steps of one call of the compiled program, for accelerators."""

    @property
    def schedule(self) -> tuple[str, float]:
        """The name of the optimiser and its highest learning rate."""
        return self.optimizer, _RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def trainings(self, noises: Sequence[Disturbance], kinds: Sequence[str] = ()) -> list[tuple[Disturbance, list[Disturbance]]]:
        """Return the noise of each training, with the noises in which its network is tested; those are ``noises`` in all.

        Without a range of levels there is one training for each noise of the tests, which has that noise. With ``train_snr_db``
        there is one for each kind, on that range; it is tested at all levels of its kind, and without noise where that is asked
        for. ``kinds`` are the kinds then; by default those among ``noises``.
        """
        if self.train_snr_db is None:
            return [(noise, [noise]) for noise in noises]
        kinds = kinds or list(dict.fromkeys(noise.kind for noise in noises if not noise.is_none)) or ("gaussian",)
        return [(Noise(kind, self.train_snr_db), [n for n in noises if n.is_none or n.kind == kind]) for kind in kinds]
