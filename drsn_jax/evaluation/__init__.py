"""Evaluation: how good a trained network is, and what it does inside.

- ``metrics``: numbers from labels, predictions and probabilities, in NumPy, and their intervals. A new metric goes here.
- ``prediction``: metrics or logits of a network for an array of windows, batch by batch, and the prediction of an ensemble.
- ``noise_grids``: a network under many kinds and levels of noise in one compiled call.
- ``conformal``: sets of classes that hold the true one as often as was asked for.
- ``novelty``: how far a window is from all that a network was trained on.
- ``attribution``: how much each frequency of a window speaks for a class.
- ``inspection``: thresholds, features before and after the shrinkage, and pooled features. Another look inside goes here.
"""

from drsn_jax.evaluation.attribution import band_attributions as band_attributions
from drsn_jax.evaluation.conformal import fit_surprises as fit_surprises
from drsn_jax.evaluation.conformal import majority_set as majority_set
from drsn_jax.evaluation.conformal import prediction_sets as prediction_sets
from drsn_jax.evaluation.inspection import pooled_features as pooled_features
from drsn_jax.evaluation.inspection import shrinkages as shrinkages
from drsn_jax.evaluation.inspection import thresholds as thresholds
from drsn_jax.evaluation.inspection import zero_maps as zero_maps
from drsn_jax.evaluation.metrics import Interval as Interval
from drsn_jax.evaluation.metrics import bootstrap_interval as bootstrap_interval
from drsn_jax.evaluation.metrics import confusion_matrix as confusion_matrix
from drsn_jax.evaluation.metrics import expected_calibration_error as expected_calibration_error
from drsn_jax.evaluation.metrics import fit_temperature as fit_temperature
from drsn_jax.evaluation.metrics import macro_auroc as macro_auroc
from drsn_jax.evaluation.metrics import scores as scores
from drsn_jax.evaluation.metrics import t_interval as t_interval
from drsn_jax.evaluation.noise_grids import NoiseGrid as NoiseGrid
from drsn_jax.evaluation.noise_grids import noise_grid as noise_grid
from drsn_jax.evaluation.novelty import Novelty as Novelty
from drsn_jax.evaluation.novelty import fit_novelty as fit_novelty
from drsn_jax.evaluation.prediction import ensemble_predict as ensemble_predict
from drsn_jax.evaluation.prediction import evaluate as evaluate
from drsn_jax.evaluation.prediction import predict as predict
