"""Flax (Linen) modules: layers, shrinkage, residual units and the networks made of them."""

from drsn_jax.nn.band_energy import BAND_ENERGY_NETWORKS as BAND_ENERGY_NETWORKS
from drsn_jax.nn.band_energy import BandEnergyNetwork as BandEnergyNetwork
from drsn_jax.nn.band_energy import band_energy as band_energy
from drsn_jax.nn.band_energy import band_energy_tiny as band_energy_tiny
from drsn_jax.nn.image_networks import IMAGE_NETWORKS as IMAGE_NETWORKS
from drsn_jax.nn.image_networks import ImageNetwork as ImageNetwork
from drsn_jax.nn.image_networks import PostActivationUnit as PostActivationUnit
from drsn_jax.nn.image_networks import drsn18 as drsn18
from drsn_jax.nn.image_networks import drsn34 as drsn34
from drsn_jax.nn.image_networks import drsn50 as drsn50
from drsn_jax.nn.image_networks import resnet18 as resnet18
from drsn_jax.nn.image_networks import resnet34 as resnet34
from drsn_jax.nn.image_networks import resnet50 as resnet50
from drsn_jax.nn.layers import BatchNorm as BatchNorm
from drsn_jax.nn.networks import NETWORKS as NETWORKS
from drsn_jax.nn.networks import Network as Network
from drsn_jax.nn.networks import convnet as convnet
from drsn_jax.nn.networks import drsn_cs as drsn_cs
from drsn_jax.nn.networks import drsn_cw as drsn_cw
from drsn_jax.nn.networks import parameter_count as parameter_count
from drsn_jax.nn.networks import resnet as resnet
from drsn_jax.nn.networks import senet as senet
from drsn_jax.nn.residual_unit import ResidualUnit as ResidualUnit
from drsn_jax.nn.shrinkage import ChannelSharedShrinkage as ChannelSharedShrinkage
from drsn_jax.nn.shrinkage import ChannelWiseShrinkage as ChannelWiseShrinkage
from drsn_jax.nn.shrinkage import SqueezeExcitation as SqueezeExcitation
