"""Checks of single options that several scripts share. Each names the option as it is typed: ``--batch-size`` for ``batch_size``.

The first argument is always the dataclass of options, the last ones are names of its fields. An option that is None was not
given and passes. All checks raise UserError.
"""

import math
from typing import Any

from drsn_jax.core.errors import UserError


def typed(name: str) -> str:
    """Return an option as the user types it: ``--batch-size`` for the field ``batch_size``."""
    return f"--{name.replace('_', '-')}"


def at_least(options: Any, lowest: float, *names: str, unit: str = "") -> None:
    """Require numbers, or all numbers of a tuple, of ``lowest`` or more; ``unit`` follows it in the message."""
    for name in names:
        value = getattr(options, name)
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        for number in numbers:
            if not number >= lowest:  # NaN is refused too
                raise UserError(f"{typed(name)} must be at least {lowest}{unit and f' {unit}'}, got {number}")


def positive(options: Any, *names: str, unit: str = "") -> None:
    """Require positive finite numbers; ``unit`` follows them in the message: "a positive number of Hz"."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{typed(name)} must be a positive number{unit and f' of {unit}'}, got {value}")


def different(options: Any, *names: str, empty: bool = False) -> None:
    """Require tuples without repetition, and with at least one value unless ``empty`` allows none."""
    for name in names:
        values = getattr(options, name)
        if not values and not empty:
            raise UserError(f"{typed(name)} needs at least one value")
        if len(set(values)) < len(values):
            raise UserError(f"{typed(name)} needs different values, got {list(values)}")


def snr(options: Any, *names: str) -> None:
    """Require signal-to-noise ratios from -100 to 100 dB, or infinity, which adds no noise."""
    for name in names:
        for level in getattr(options, name):
            if not (abs(level) <= 100 or level == math.inf):
                raise UserError(
                    f"{typed(name)} {level} is no usable ratio: give numbers from -100 to 100 dB, or inf for no noise"
                )


def seeds(options: Any) -> None:
    """Require that all of ``--seed``, ``--seed`` + 1, … (``--seeds`` of them) are unsigned 32-bit numbers."""
    if options.seed < 0 or options.seed + options.seeds > 2**32:
        raise UserError(f"--seed must be from 0 to 2**32 - 1, got {options.seed}")


def snr_range(options: Any, name: str) -> None:
    """Require a range of signal-to-noise ratios, from a lower to a higher one within -100 to 100 dB."""
    value = getattr(options, name)
    if value is not None and not -100 <= value[0] < value[1] <= 100:
        raise UserError(f"{typed(name)} is a range from low to high within -100 to 100 dB, got {value}")


def spread(options: Any) -> None:
    """Require that the devices of this process, where they are given, divide the batch size."""
    if options.devices is not None and (options.devices < 1 or options.batch_size % options.devices):
        raise UserError(f"--devices must divide --batch-size {options.batch_size}, got {options.devices}")


def stages(options: Any) -> None:
    """Require as many numbers of units as widths: one for each stage of a network."""
    if len(options.widths) != len(options.units):
        raise UserError(f"--widths and --units have one number for each stage, got {options.widths} and {options.units}")
