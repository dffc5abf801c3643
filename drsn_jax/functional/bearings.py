"""Bearings by name: the geometry of some that stand in many test rigs, so that nobody has to look it up.

A name is a designation such as ``6205``; what stands around it (``SKF 6205-2RS JEM``) names seals and cages, which change no
frequency. Makers differ by a fraction of one per cent in a bearing of one designation, which is less than its balls slip.
"""

import re
from typing import NamedTuple

from drsn_jax.core.errors import UserError
from drsn_jax.functional.orders import BearingOrders, bearing_orders


class Geometry(NamedTuple):
    """What fixes the characteristic orders of a bearing.

    Fields:
      balls: number of rolling elements in a row.
      ball_diameter: in mm.
      pitch_diameter: in mm.
      contact_angle: in degrees.
    """

    balls: int
    ball_diameter: float
    pitch_diameter: float
    contact_angle: float = 0.0


INCH = 25.4  # mm

# each is published by those who recorded data with it; another is added with its source
BEARINGS: dict[str, Geometry] = {
    # SKF 6203-2RS, the fan end of Case Western: bearing information of their data center. The 6203 of Paderborn has a pitch
    # diameter of 28.55 mm (FAG) or 29.05 mm (IBU, MTK): Lessmeier et al., European Conference of the PHM Society 2016
    "6203": Geometry(8, 0.2656 * INCH, 1.122 * INCH),
    # MOCHU 6204 of the University of Seoul: Lee et al., Data in Brief 57, 2024, table 2
    "6204": Geometry(8, 7.94, 34.57),
    # SKF 6205-2RS JEM, the drive end of Case Western: bearing information of their data center
    "6205": Geometry(9, 0.3126 * INCH, 1.537 * INCH),
    # Rexnord ZA-2115 of the IMS set: Qiu et al., J. Sound Vib. 289, 2006
    "ZA-2115": Geometry(16, 0.331 * INCH, 2.815 * INCH, 15.17),
    # LDK UER204 of the XJTU-SY set: the table of parameters of its authors
    "UER204": Geometry(8, 7.92, 34.55),
    # MB ER-10K: apparatus of the PHM challenge of 2009
    "ER-10K": Geometry(8, 0.3125 * INCH, 1.319 * INCH),
    # MB ER-16K: Huang and Baddour, Data in Brief 21, 2018
    "ER-16K": Geometry(9, 7.94, 38.52),
}


def named_bearing(text: str) -> BearingOrders:
    """Return the characteristic orders of a bearing that is written as text: a name, or its geometry in numbers.

    The numbers are those of ``bearing_orders``, with blanks between: number of balls, ball diameter, pitch diameter in the same
    unit and, if it is not 0, the contact angle in degrees.

    Raises ValueError for a name that is not in ``BEARINGS``, another number of numbers, and as ``bearing_orders``.

    Example::

        >>> print(f"{named_bearing('SKF 6205-2RS').bpfi:.3f} {named_bearing('9 7.94 39.04').bpfi:.3f}")
        5.415 5.415
    """
    numbers = _numbers(text)
    if numbers is None:
        return bearing_orders(*_known(text))
    if len(numbers) not in (3, 4) or not numbers[0].is_integer():
        raise UserError(
            "a bearing is its name, or its number of balls, ball diameter, pitch diameter and, if it is not 0, contact angle in "
            f"degrees, got {text!r}"
        )
    return bearing_orders(int(numbers[0]), *numbers[1:])


def _numbers(text: str) -> list[float] | None:
    """Return the numbers of a text; None for a name. A number alone is a designation, such as 6205."""
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return None
    return None if len(numbers) == 1 else numbers


def _known(name: str) -> Geometry:
    """Return the geometry of the bearing whose designation stands in a name."""

    def stands(designation: str) -> bool:
        # some write it without the hyphen; NU205 is not 205, and 62051 not 6205
        pattern = re.escape(designation).replace(r"\-", "-?")
        return re.search(rf"(?<![A-Z0-9]){pattern}(?![0-9])", name.upper()) is not None

    found = [geometry for designation, geometry in BEARINGS.items() if stands(designation)]
    if len(found) != 1:
        raise UserError(
            f"{name!r} is no bearing whose geometry is known here ({', '.join(BEARINGS)}): give its number of balls, ball "
            "diameter, pitch diameter and, if it is not 0, contact angle in degrees"
        )
    return found[0]
