"""Gears by their teeth: at which orders of the shaft they mesh, and how far their sidebands stand from that."""

from typing import NamedTuple

from drsn_jax.core.errors import UserError

LEAST_TEETH = 6  # a gear of a drive has no fewer, and a smaller number is another one, such as that of planets


class GearOrders(NamedTuple):
    """The orders of a gear on the shaft.

    Fields:
      mesh: how many teeth mesh in a revolution of the shaft. Its lines are multiples of that.
      tooth: how often one tooth is met in a revolution, by which a fault of it modulates the mesh: sidebands stand so far from
        each line. 1 for a gear that meets one other, higher for a sun.
    """

    mesh: float
    tooth: float


def named_gear(text: str) -> GearOrders:
    """Return the orders of a gear that is written as text: its number of teeth, or those of a planetary stage.

    A gear on the shaft with ``Z`` teeth, which meets one other, has ``mesh = Z`` and ``tooth = 1``. A planetary stage is written
    as the teeth of its sun, which is on the shaft, the teeth of its ring, which stands still, and the number of its planets::

        mesh = sun · ring / (sun + ring);   tooth = planets · ring / (sun + ring)

    Raises ValueError for numbers that are not whole, fewer than ``LEAST_TEETH`` teeth, another number of numbers, a ring that has
    no more teeth than the sun, and half as many planets as the sun has teeth, or more.

    Source: Feng and Zuo, J. Sound Vib. 331(22), 2012.

    Example::

        >>> named_gear("21")
        GearOrders(mesh=21.0, tooth=1.0)
        >>> print("{:.2f} {:.2f}".format(*named_gear("20 100 3")))
        16.67 2.50
    """
    parts = text.split()
    # int() takes "2_1" and digits of other scripts, which nobody means
    if len(parts) not in (1, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(
            "a gear is its whole number of teeth, or the teeth of a sun, the teeth of its ring and the number of its planets, "
            f"got {text!r}"
        )
    teeth, *rest = map(int, parts)
    if teeth < LEAST_TEETH:
        raise UserError(f"a gear has at least {LEAST_TEETH} teeth, got {teeth}")
    if not rest:
        return GearOrders(mesh=float(teeth), tooth=1.0)
    ring, planets = rest
    if ring <= teeth:
        raise UserError(f"the ring of a planetary stage has more teeth than its sun, got {ring} and {teeth}")
    if not 1 <= planets < teeth / 2:
        raise UserError(f"a sun of {teeth} teeth has from 1 to {(teeth - 1) // 2} planets, got {planets}")
    return GearOrders(mesh=teeth * ring / (teeth + ring), tooth=planets * ring / (teeth + ring))
