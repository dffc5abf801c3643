"""All networks by name, with other fields where those are asked for, and the name of a network."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from drsn_jax.core.errors import UserError
from drsn_jax.nn.band_energy import BAND_ENERGY_NETWORKS, BandEnergyNetwork
from drsn_jax.nn.image_networks import IMAGE_NETWORKS, ImageNetwork
from drsn_jax.nn.networks import NETWORKS, Network

SIGNAL_NETWORKS: dict[str, Any] = {**NETWORKS, **BAND_ENERGY_NETWORKS}
# what ``variant`` may change of a preset
_CHANGED = (
    "widths",
    "units",
    "kernel",
    "stem",
    "shrinkage",
    "threshold_rule",
    "shortcut",
    "bands",
    "frame",
    "hop",
    "pool",
    "views",
    "over_time",
)
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


def variant(name: str, presets: Mapping[str, Any] = SIGNAL_NETWORKS) -> Callable[..., Any]:
    """Return what makes the network of a name: a preset, or one with other fields, as ``band_energy:shrinkage=none,units=1+1``.

    Several fields are joined by commas, the numbers of one field by ``+``; ``none`` stands for None. Raises UserError for a name
    that is no preset, and for a field that is not among ``_CHANGED``, not one of that preset, or given twice.
    """
    preset, colon, changes = name.partition(":")
    if preset not in presets:
        raise UserError(f"there is no network {preset!r}: choose among {', '.join(presets)}")
    make, fields = presets[preset], {}
    has = {field.name for field in dataclasses.fields(getattr(make, "func", make))}
    known = [field for field in _CHANGED if field in has]
    for change in changes.split(",") if colon else ():
        field, _, text = change.partition("=")
        value = _value(field, text) if field in known and field not in fields else None
        if value is None:
            raise UserError(
                f"{change!r} in {name!r} changes no field of {preset}: write FIELD=VALUE, each once, numbers joined by +, one of "
                f"{', '.join(known)}"
            )
        fields[field] = None if value == "none" else value
    return functools.partial(make, **fields)


def _value(field: str, text: str) -> Any:
    """Return the value of a field by its text: whole numbers, one of them, or a word; None for another text."""
    parts = text.split("+")
    if field in ("shrinkage", "threshold_rule", "shortcut"):
        return text if text.isidentifier() else None
    if field == "over_time":
        return {"yes": True, "no": False}.get(text)
    if not all(part.isdecimal() for part in parts):
        return None
    numbers = tuple(int(part) for part in parts)
    if field in ("widths", "units", "kernel"):
        return numbers
    return numbers[0] if len(numbers) == 1 else None
