"""Deep Residual Shrinkage Networks in JAX and Flax: recognise signals in heavy noise."""

import importlib.metadata
import typing

import drsn_jax.core.interruption  # noqa: F401  # before what takes time to import
from drsn_jax import data as data
from drsn_jax import diagnosis as diagnosis
from drsn_jax import evaluation as evaluation
from drsn_jax import functional as functional
from drsn_jax import nn as nn
from drsn_jax import pretrained as pretrained
from drsn_jax import training as training
from drsn_jax.diagnosis import Bundle as Bundle
from drsn_jax.diagnosis import load as load
from drsn_jax.diagnosis import save as save
from drsn_jax.evaluation import ensemble_predict as ensemble_predict
from drsn_jax.evaluation import noise_grid as noise_grid
from drsn_jax.functional import Noise as Noise
from drsn_jax.functional import add_noise as add_noise
from drsn_jax.functional import add_noise_once as add_noise_once
from drsn_jax.functional import firm_threshold as firm_threshold
from drsn_jax.functional import garrote_threshold as garrote_threshold
from drsn_jax.functional import hard_threshold as hard_threshold
from drsn_jax.functional import measure_snr_db as measure_snr_db
from drsn_jax.functional import remove_mean as remove_mean
from drsn_jax.functional import soft_threshold as soft_threshold
from drsn_jax.functional import standardise as standardise
from drsn_jax.nn import BatchNorm as BatchNorm
from drsn_jax.nn import ChannelSharedShrinkage as ChannelSharedShrinkage
from drsn_jax.nn import ChannelWiseShrinkage as ChannelWiseShrinkage
from drsn_jax.nn import Network as Network
from drsn_jax.nn import ResidualUnit as ResidualUnit
from drsn_jax.nn import SqueezeExcitation as SqueezeExcitation
from drsn_jax.nn import band_energy as band_energy
from drsn_jax.nn import band_energy_linear as band_energy_linear
from drsn_jax.nn import band_energy_tiny as band_energy_tiny
from drsn_jax.nn import convnet as convnet
from drsn_jax.nn import drsn_cs as drsn_cs
from drsn_jax.nn import drsn_cw as drsn_cw
from drsn_jax.nn import parameter_count as parameter_count
from drsn_jax.nn import resnet as resnet
from drsn_jax.nn import senet as senet
from drsn_jax.training import Batches as Batches
from drsn_jax.training import Checkpoints as Checkpoints
from drsn_jax.training import Diverged as Diverged
from drsn_jax.training import Ensemble as Ensemble
from drsn_jax.training import Epoch as Epoch
from drsn_jax.training import Member as Member
from drsn_jax.training import TrainState as TrainState
from drsn_jax.training import balanced_class_weights as balanced_class_weights
from drsn_jax.training import create_state as create_state
from drsn_jax.training import fit as fit
from drsn_jax.training import make_eval_step as make_eval_step
from drsn_jax.training import make_predict_step as make_predict_step
from drsn_jax.training import make_train_step as make_train_step
from drsn_jax.training import one_cycle_optimizer as one_cycle_optimizer
from drsn_jax.training import one_cycle_schedule as one_cycle_schedule
from drsn_jax.training import paper_optimizer as paper_optimizer
from drsn_jax.training import paper_schedule as paper_schedule
from drsn_jax.training import repeat_step as repeat_step

if typing.TYPE_CHECKING:
    from drsn_jax.sklearn import DRSNClassifier as DRSNClassifier


def __getattr__(name: str) -> typing.Any:
    """Return what needs an extra when it is asked for; raises MissingExtra where that is not installed."""
    if name == "DRSNClassifier":
        from drsn_jax.sklearn import DRSNClassifier

        return DRSNClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


try:
    __version__ = importlib.metadata.version("drsn-jax")
except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
    __version__ = "unknown"
