"""Pure functions on arrays, which know nothing of networks or data sets.

- ``thresholding``: the rules of thresholding. Another rule: a function ``(x, threshold) -> y`` and its entry in
  ``thresholding.THRESHOLD_RULES``.
- ``noise``: noise at an exact signal-to-noise ratio. Another kind of noise: a generator ``(key, shape, dtype) -> noise`` and its
  entry in ``noise._MAKERS``.
- ``roadside``: the noise of a road behind a voice: horns, traffic, other voices, recordings.
- ``clutter``: pictures on a larger canvas with fragments of other pictures and pixel noise.
- ``band_energies``: the energy of a signal in frequency bands over time, and its rhythm.
- ``mel``: the log-mel spectrogram of a waveform.
- ``envelopes``, ``orders``: the physics of a machine: how strong a vibration is at each time and how regularly that comes,
  frequencies as multiples of the speed of a shaft, those of bearings and gears. ``bearings`` and ``gears`` take these as text.
- ``signals``: the preparation of a window before a network sees it. Another preparation: a function ``window -> window``.
"""

from drsn_jax.functional.band_energies import log_band_energies as log_band_energies
from drsn_jax.functional.band_energies import modulation_power as modulation_power
from drsn_jax.functional.bearings import named_bearing as named_bearing
from drsn_jax.functional.clutter import Clutter as Clutter
from drsn_jax.functional.envelopes import analytic_signal as analytic_signal
from drsn_jax.functional.envelopes import envelope as envelope
from drsn_jax.functional.envelopes import prewhiten as prewhiten
from drsn_jax.functional.envelopes import ringing_band as ringing_band
from drsn_jax.functional.envelopes import spectral_kurtosis as spectral_kurtosis
from drsn_jax.functional.envelopes import squared_envelope_spectrum as squared_envelope_spectrum
from drsn_jax.functional.gears import named_gear as named_gear
from drsn_jax.functional.mel import LogMel as LogMel
from drsn_jax.functional.noise import NOISE_KINDS as NOISE_KINDS
from drsn_jax.functional.noise import Noise as Noise
from drsn_jax.functional.noise import add_mixed_noise as add_mixed_noise
from drsn_jax.functional.noise import add_noise as add_noise
from drsn_jax.functional.noise import add_noise_once as add_noise_once
from drsn_jax.functional.noise import measure_snr_db as measure_snr_db
from drsn_jax.functional.noise_mixture import NoiseMixture as NoiseMixture
from drsn_jax.functional.orders import at_orders as at_orders
from drsn_jax.functional.orders import bearing_orders as bearing_orders
from drsn_jax.functional.orders import gear_orders as gear_orders
from drsn_jax.functional.orders import resample_to_angle as resample_to_angle
from drsn_jax.functional.random_filter import random_filter as random_filter
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
