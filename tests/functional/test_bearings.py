"""Bearings by name: the geometry behind a designation gives the orders that were published for it."""

import pytest

from drsn_jax.functional.bearings import BEARINGS, named_bearing
from drsn_jax.functional.orders import bearing_orders


@pytest.mark.parametrize(
    ("name", "bpfo", "bpfi", "bsf", "ftf"),
    [  # Case Western's bearing information (its rolling element is twice BSF); the ER-16K of Huang and Baddour
        ("6205", 3.5848, 5.4152, 4.7135 / 2, 0.39828),
        ("SKF 6205-2RS JEM", 3.5848, 5.4152, 4.7135 / 2, 0.39828),
        ("6203-2rs", 3.0530, 4.9469, 3.9874 / 2, 0.3817),
        ("MB ER16K", 3.572, 5.43, 2.322, 0.397),
    ],
)
def test_a_name_means_the_published_orders(name, bpfo, bpfi, bsf, ftf):
    found = named_bearing(name)
    assert (found.bpfo, found.bpfi, found.bsf, found.ftf) == pytest.approx((bpfo, bpfi, bsf, ftf), rel=1e-3)


def test_numbers_are_those_of_the_geometry():
    assert named_bearing("9 7.94 39.04") == bearing_orders(9, 7.94, 39.04)
    assert named_bearing(" 16 8.4 71.5  15.17 ") == bearing_orders(16, 8.4, 71.5, 15.17)


def test_every_bearing_is_one_and_found_by_its_name():
    assert all(named_bearing(name) == bearing_orders(*geometry) for name, geometry in BEARINGS.items())


@pytest.mark.parametrize("name", ["NU205", "76205", "62051", "ball", "6206"])
def test_an_unknown_name_is_told_with_those_that_are_known(name):
    with pytest.raises(ValueError, match=rf"'{name}' is no bearing whose geometry is known here \(6203, .*give its number"):
        named_bearing(name)


@pytest.mark.parametrize("text", ["", "9 7.94", "9.5 7.94 39.04", "nan 7.94 39.04", "9 7.94 39.04 0 0"])
def test_other_numbers_are_no_bearing(text):
    with pytest.raises(ValueError, match="a bearing is its name, or its number of balls"):
        named_bearing(text)


def test_impossible_geometry_is_refused():
    with pytest.raises(ValueError, match="smaller than that of the pitch circle"):
        named_bearing("9 39.04 7.94")
