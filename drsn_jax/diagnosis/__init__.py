"""Diagnosis: a trained network on disk, and what it says about a recording."""

from drsn_jax.diagnosis.bundle import Bundle as Bundle
from drsn_jax.diagnosis.bundle import load as load
from drsn_jax.diagnosis.bundle import save as save
from drsn_jax.diagnosis.description import BundleError as BundleError
from drsn_jax.diagnosis.diagnosis import Diagnosis as Diagnosis
from drsn_jax.diagnosis.diagnosis import diagnose as diagnose
from drsn_jax.diagnosis.diagnosis import diagnose_parts as diagnose_parts
