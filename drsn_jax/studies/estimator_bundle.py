"""From a fitted estimator to a bundle, and what an estimator takes from one."""

import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.nn.networks import Network
from drsn_jax.studies.estimator_data import refuse_lost_digits


def bundle_of(fitted: Any, source: Bundle | None, sampling_rate: float | None) -> Bundle:
    """Return a fitted ``DRSNClassifier`` as a bundle; arguments and errors as ``DRSNClassifier.to_bundle``.

    ``source`` is the bundle that it came from: its facts are kept, and where the weights were trained further, not what was
    measured with the earlier ones.
    """
    if sampling_rate is not None and not (isinstance(sampling_rate, numbers.Real) and 0 < sampling_rate < math.inf):
        raise UserError(f"sampling_rate is a positive number of Hz, got {sampling_rate!r}")
    network, (length, channels) = fitted.network_, fitted.window_shape_
    if not network.standardise and network.front_end is None:
        refuse_lost_digits(fitted.offset_, fitted.scale_)
        plain = not fitted.offset_.any() and (fitted.scale_ == 1).all()
        if not plain:
            offset, scale = (tuple(map(float, numbers_)) for numbers_ in (fitted.offset_, fitted.scale_))
            network = network.clone(offset=offset, scale=scale)
    facts: dict[str, Any] = {"network": network, "variables": fitted.variables_, "surprises": fitted._surprises}
    facts |= {"temperature": fitted.temperature_, "novelty": fitted._novelty, "rms_range": fitted._rms_range}
    if sampling_rate is not None:
        facts |= {"sampling_rate": sampling_rate, "stride": length}  # recordings are cut one window behind the other
    if source is not None:
        if fitted.variables_ is not source.variables:
            facts |= {"accuracy": (), "training": {}}
        return dataclasses.replace(source, **facts)
    classes = tuple(map(str, fitted.classes_.tolist()))
    return Bundle(classes=classes, window_length=length, channels=channels, remove_mean=fitted._without_mean, **facts)


def apart(bundle: Bundle) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return the network of a bundle without its offset and scale, and these for each channel.

    Behind a front end they are those of what the network sees, and stay with it.
    """
    network, channels = bundle.network, bundle.channels
    if network.standardise or network.front_end is not None:
        return network, np.zeros(channels), np.ones(channels)
    offset, scale = (np.broadcast_to(np.asarray(value, float), channels).copy() for value in (network.offset, network.scale))
    return network.clone(offset=0.0, scale=1.0), offset, scale
