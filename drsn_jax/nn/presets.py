"""All networks by name, and the name of a network."""

from typing import Any

from drsn_jax.nn.band_energy import BAND_ENERGY_NETWORKS, BandEnergyNetwork
from drsn_jax.nn.image_networks import IMAGE_NETWORKS, ImageNetwork
from drsn_jax.nn.networks import NETWORKS, Network

SIGNAL_NETWORKS: dict[str, Any] = {**NETWORKS, **BAND_ENERGY_NETWORKS}
# the fields by which the presets of a kind differ, the others being its size
_TELLING: dict[type[Network], tuple[dict[str, Any], tuple[str, ...]]] = {
    Network: (NETWORKS, ("shrinkage", "shortcut")),
    ImageNetwork: (IMAGE_NETWORKS, ("units", "bottleneck", "shrinkage")),
    BandEnergyNetwork: (BAND_ENERGY_NETWORKS, ("bands", "shrinkage", "over_time")),
}


def preset_name(network: Network) -> str:
    """Return the name of the preset that a network is, whatever its size; an empty text for a network that is none."""
    kind = type(network)
    presets, telling = _TELLING.get(kind, ({}, ()))
    for name, made in presets.items():
        wanted = {field: made.keywords.get(field, getattr(kind, field)) for field in telling}
        if all(getattr(network, field) == value for field, value in wanted.items()):
            return name
    return ""


def kind_of(fields: Any) -> type[Network]:
    """Return the class of a network by the names of its fields."""
    if "bottleneck" in fields:
        return ImageNetwork
    return BandEnergyNetwork if "bands" in fields else Network
