"""What a ``Network`` refuses: fields that do not fit together, and windows that it cannot compute."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_float

Implementation = Literal["modules", "blocked"]


def check_fields(network: Any) -> None:
    """Raise ValueError for fields of a network that do not fit together."""
    if network.implementation not in (None, *get_args(Implementation)):
        choices = ", ".join(get_args(Implementation))
        raise ValueError(f"unknown implementation {network.implementation!r}: choose one of {choices} or None")
    if network.standardise not in (True, False, "together"):
        raise ValueError(f"standardise is True, False or 'together', got {network.standardise!r}")
    if not all(map(math.isfinite, _numbers(network.offset))) or not all(0 < s < math.inf for s in _numbers(network.scale)):
        raise ValueError(
            "offset is a finite and scale a positive number, or one for each channel, got "
            f"{network.offset!r} and {network.scale!r}"
        )
    if network.classes < 1:
        raise ValueError(f"a network needs at least one class, got classes={network.classes}")
    if network.stem < 1:
        raise ValueError(f"stem is the stride of the first convolution, from 1, got {network.stem}")
    widths, units = tuple(network.widths), tuple(network.units)
    if not widths or len(widths) != len(units) or min(*units, *widths) < 1:
        raise ValueError(f"widths and units give one positive number for each stage, got widths={widths} and units={units}")


def check_lengths(network: Any, lengths: Sequence[Any]) -> None:
    """Raise ValueError for a window without positions, and for a symbolic length that the shortcuts cannot halve."""
    strides = network.stem * 2 ** len(network.units)
    for length in lengths:
        if isinstance(length, int):
            if length == 0:
                raise ValueError(f"a window has at least one position along each axis, got the positions {tuple(lengths)}")
        elif network.shortcut is not None and length % strides != 0:
            what = "length" if network.front_end is None else "number of frames behind the front end"
            raise ValueError(
                f"a symbolic {what} must be a multiple of {strides}, the product of all strides: write {strides}*n, got {length}"
            )


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    """Return the numbers of a field that has one, or one for each channel."""
    return tuple(value) if isinstance(value, Sequence) else (value,)


def by_channel(network: Any, field: str, x: jax.Array) -> jax.Array:
    """Return the numbers of ``offset`` or ``scale`` as they are combined with windows ``x`` ``(batch, *positions, channels)``.

    Raises ValueError where there is neither one number nor one for each channel.
    """
    numbers = _numbers(getattr(network, field))
    if len(numbers) not in (1, x.shape[-1]):
        raise ValueError(f"{field} has {len(numbers)} numbers for windows of {x.shape[-1]} channels: give one for each, or one")
    return jnp.asarray(numbers, x.dtype)


def as_waveforms(x: ArrayLike) -> jax.Array:
    """Return waveforms ``(batch, length, channels)`` as floats; raise ValueError for another number of axes and no samples."""
    windows = as_float(x)
    if windows.ndim != 3:
        raise ValueError(f"a network with a front end takes waveforms (batch, length, channels), got the shape {windows.shape}")
    if windows.shape[1] == 0:
        raise ValueError(f"a window has at least one position along each axis, got the shape {windows.shape}")
    return windows
