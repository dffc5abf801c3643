"""Deep Residual Shrinkage Networks in JAX and Flax: recognise signals in heavy noise."""

from drsn_jax.batches import Batches as Batches
from drsn_jax.bundle import Bundle as Bundle
from drsn_jax.bundle import load as load
from drsn_jax.bundle import save as save
from drsn_jax.checkpoints import Checkpoints as Checkpoints
from drsn_jax.ensembles import Ensemble as Ensemble
from drsn_jax.fitting import Epoch as Epoch
from drsn_jax.fitting import fit as fit
from drsn_jax.layers import BatchNorm as BatchNorm
from drsn_jax.members import Member as Member
from drsn_jax.networks import Network as Network
from drsn_jax.networks import ResidualUnit as ResidualUnit
from drsn_jax.networks import convnet as convnet
from drsn_jax.networks import drsn_cs as drsn_cs
from drsn_jax.networks import drsn_cw as drsn_cw
from drsn_jax.networks import parameter_count as parameter_count
from drsn_jax.networks import resnet as resnet
from drsn_jax.networks import senet as senet
from drsn_jax.noise import add_noise as add_noise
from drsn_jax.noise import add_noise_once as add_noise_once
from drsn_jax.noise import measure_snr_db as measure_snr_db
from drsn_jax.noise_grids import noise_grid as noise_grid
from drsn_jax.progress import Diverged as Diverged
from drsn_jax.shrinkage import ChannelSharedShrinkage as ChannelSharedShrinkage
from drsn_jax.shrinkage import ChannelWiseShrinkage as ChannelWiseShrinkage
from drsn_jax.shrinkage import SqueezeExcitation as SqueezeExcitation
from drsn_jax.signals import remove_mean as remove_mean
from drsn_jax.signals import standardise as standardise
from drsn_jax.thresholding import firm_threshold as firm_threshold
from drsn_jax.thresholding import garrote_threshold as garrote_threshold
from drsn_jax.thresholding import hard_threshold as hard_threshold
from drsn_jax.thresholding import soft_threshold as soft_threshold
from drsn_jax.training import TrainState as TrainState
from drsn_jax.training import balanced_class_weights as balanced_class_weights
from drsn_jax.training import create_state as create_state
from drsn_jax.training import make_eval_step as make_eval_step
from drsn_jax.training import make_predict_step as make_predict_step
from drsn_jax.training import make_train_step as make_train_step
from drsn_jax.training import paper_optimizer as paper_optimizer
from drsn_jax.training import paper_schedule as paper_schedule
from drsn_jax.training import repeat_step as repeat_step
from drsn_jax.uncertainty import ensemble_predict as ensemble_predict

__version__ = "0.1.0"
