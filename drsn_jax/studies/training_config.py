"""How networks of a comparison are trained: every hyper-parameter once, with its default and its sentence of help."""

from dataclasses import dataclass
from typing import Literal

from drsn_jax.functional.noise import Noise


@dataclass(frozen=True)
class TrainingConfig:
    """How networks are trained. The fields are options of the main script, whose help these sentences are."""

    epochs: int = 20
    """Passes over the training windows."""
    batch_size: int = 32
    """Windows a step."""
    learning_rate: float = 0.1
    """At the start; a tenth of it after 40 % of the steps, a hundredth after 80 %."""
    train_snr_db: tuple[float, float] | None = None
    """Train on noise of levels drawn from this range in dB, for a network that is to meet any of them; --snr-db then is that of
    the test."""
    fixed_noise: bool = False
    """Add noise to the training windows once, instead of anew in every step."""
    standardise: bool = True
    """Scale every window to zero mean and unit variance after the noise."""
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

    def train_noise(self, noise: Noise) -> Noise:
        """Return the noise of training and validation where ``noise`` is that of the test."""
        return noise if noise.is_none or self.train_snr_db is None else Noise(noise.kind, self.train_snr_db)
