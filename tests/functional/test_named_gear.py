"""Gears by their teeth: their orders, and what is no gear."""

import pytest

from drsn_jax.data import drivetrain_faults
from drsn_jax.functional.gears import GearOrders, named_gear


def test_the_orders_of_a_gear_and_of_a_planetary_stage():
    assert named_gear("21") == named_gear(" 21 ") == GearOrders(21.0, 1.0)
    sun = drivetrain_faults  # a stage of 20 and 100 teeth with three planets, by another way
    mesh, tooth = named_gear("20 100 3")
    assert mesh == pytest.approx(sun.RING_TEETH * sun.CARRIER)
    assert tooth == pytest.approx(sun.SUN_TOOTH)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a gear is its whole number of teeth, or the teeth of a sun"),
        ("21.5", "whole number of teeth, .* got '21.5'"),
        ("-21", "whole number of teeth"),
        ("nan", "whole number of teeth"),
        ("2_1", "whole number of teeth"),
        ("20 100", "whole number of teeth"),
        ("20 100 3 1", "whole number of teeth"),
        ("5", "at least 6 teeth, got 5"),
        ("0", "at least 6 teeth, got 0"),
        ("20 20 3", "has more teeth than its sun, got 20 and 20"),
        ("20 100 0", "from 1 to 9 planets, got 0"),
        ("20 100 10", "from 1 to 9 planets, got 10"),
    ],
)
def test_what_is_no_gear(text, message):
    with pytest.raises(ValueError, match=message):
        named_gear(text)
