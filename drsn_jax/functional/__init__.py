"""Pure functions on arrays, which know nothing of networks or data sets.

- ``thresholding``: the rules of thresholding. Another rule: a function ``(x, threshold) -> y`` and its entry in
  ``thresholding.THRESHOLD_RULES``.
- ``noise``: noise at an exact signal-to-noise ratio. Another kind of noise: a generator ``(key, shape, dtype) -> noise`` and its
  entry in ``noise._MAKERS``.
- ``mel``: the log-mel front end, which a ``Network`` may hold inside.
- ``roadside``: horns, traffic, other voices and recorded noise behind a voice, at an exact SNR over the speech.
- ``signals``: the preparation of a window before a network sees it. Another preparation: a function ``window -> window``.
"""

from drsn_jax.functional.mel import LogMel as LogMel
from drsn_jax.functional.noise import NOISE_KINDS as NOISE_KINDS
from drsn_jax.functional.noise import Noise as Noise
from drsn_jax.functional.noise import add_mixed_noise as add_mixed_noise
from drsn_jax.functional.noise import add_noise as add_noise
from drsn_jax.functional.noise import add_noise_once as add_noise_once
from drsn_jax.functional.noise import measure_snr_db as measure_snr_db
from drsn_jax.functional.roadside import ROADSIDE_KINDS as ROADSIDE_KINDS
from drsn_jax.functional.roadside import Roadside as Roadside
from drsn_jax.functional.signals import remove_mean as remove_mean
from drsn_jax.functional.signals import standardise as standardise
from drsn_jax.functional.thresholding import THRESHOLD_RULES as THRESHOLD_RULES
from drsn_jax.functional.thresholding import firm_threshold as firm_threshold
from drsn_jax.functional.thresholding import garrote_threshold as garrote_threshold
from drsn_jax.functional.thresholding import hard_threshold as hard_threshold
from drsn_jax.functional.thresholding import soft_threshold as soft_threshold
from drsn_jax.functional.thresholding import threshold_rule as threshold_rule
