"""Orders: those of known bearings, spectra at orders, and windows resampled to equal angles, in which a chirp is a line."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsn_jax.functional.orders import at_orders, bearing_orders, gear_orders, resample_to_angle

to_angle = jax.jit(resample_to_angle, static_argnums=(2, 3))


# orders that the makers or the Bearing Data Center at Case Western Reserve University give for these bearings
@pytest.mark.parametrize(
    ("geometry", "orders"),
    [
        ((9, 0.3126, 1.537), (0.39828, 3.5848, 5.4152, 4.7135 / 2)),
        ((8, 0.2656, 1.122), (0.3817, 3.0530, 4.9469, 3.9874 / 2)),
    ],
)
def test_orders_of_known_bearings(geometry, orders):
    found = bearing_orders(*geometry)
    np.testing.assert_allclose(found, orders, rtol=2e-3)


@given(
    balls=st.integers(2, 30),
    ratio=st.floats(0.02, 0.09),
    angle=st.floats(0, 60),
)
def test_orders_belong_together(balls, ratio, angle):
    found = bearing_orders(balls, ratio, 1.0, angle)
    assert found.bpfo + found.bpfi == pytest.approx(balls)
    assert found.bpfo == pytest.approx(balls * found.ftf)
    assert found.bpfi > found.bpfo


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ((1, 1, 10), "a whole number of balls from 2, got 1"),
        ((8.5, 1, 10), "a whole number of balls"),
        ((8, 10, 1), "smaller than that of the pitch circle, got 10 and 1: give both in one unit"),
        ((8, 0, 1), "smaller than"),
        ((8, float("nan"), 1), "smaller than"),
        ((40, 1, 10), "40 balls of 1 have no room on a pitch circle of 10"),
        ((8, 1, 10, 90), "from 0 to below 90 degrees, got 90"),
    ],
)
def test_what_is_no_bearing_is_refused(geometry, message):
    with pytest.raises(ValueError, match=message):
        bearing_orders(*geometry)


def test_gears_mesh_between_their_sidebands():
    assert gear_orders(20, sidebands=2).tolist() == [18, 19, 20, 21, 22]
    with pytest.raises(ValueError, match="at least two teeth"):
        gear_orders(1)


def test_a_spectrum_at_orders():
    spectrum = np.zeros((1025, 1), np.float32)  # of 2048 samples
    spectrum[48] = 6
    speed = 16 / 2048  # 16 revolutions in the window: a bin is a sixteenth of an order
    orders = np.array([0, 2, 3, 3 + 1 / 32, 63.9, 70])
    np.testing.assert_allclose(jax.jit(at_orders)(spectrum, orders, speed)[:, 0], [0, 0, 6, 3, 0, 0], atol=1e-4)
    both = jax.jit(jax.vmap(at_orders, (None, None, 0)))(spectrum, orders, np.array([speed, 2 * speed]))
    np.testing.assert_allclose(both[1, :, 0], [0, 0, 0, 0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(jax.jit(at_orders)(spectrum, orders / 2, 2 * speed)[:, 0], [0, 0, 6, 3, 0, 0], atol=1e-4)


@settings(max_examples=10)
@given(start=st.floats(0.002, 0.01), ratio=st.floats(0.5, 2), order=st.integers(2, 9))
def test_a_chirp_becomes_a_line(start, ratio, order):
    length, revolutions, samples = 4096, 8, 64
    speed = np.linspace(start, start * ratio, length)
    angle = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    if angle[-1] < revolutions:
        return
    window = np.cos(2 * np.pi * order * angle)[:, None].astype(np.float32)
    resampled = to_angle(window, speed, revolutions, samples)
    spectrum = np.abs(np.fft.rfft(np.asarray(resampled)[:, 0])) / (revolutions * samples / 2)
    assert spectrum.argmax() == order * revolutions
    assert spectrum.max() > 0.97
    assert np.delete(spectrum, order * revolutions).max() < 0.03


def test_a_constant_speed_keeps_the_signal():
    window = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    np.testing.assert_allclose(to_angle(window, 0.125, 4, 8), window[:32], atol=1e-5)


def test_what_the_window_does_not_hold_is_nan():
    resampled = np.asarray(to_angle(np.ones((65, 1), np.float32), 1 / 16, 5, 8))
    assert np.isfinite(resampled[:33]).all()
    assert np.isnan(resampled[33:]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 1)), 0.1, 1, 8), "at least 4 samples"),
        ((np.zeros((64, 1)), 0.0, 1, 8), "positive number of revolutions per sample"),
        ((np.zeros((64, 1)), np.full(64, np.nan), 1, 8), "positive number of revolutions per sample"),
        ((np.zeros((64, 1)), np.ones(63), 1, 8), r"one for each of 64 samples, got the shape \(63,\)"),
        ((np.zeros((64, 1)), 0.1, 0, 8), "got 0 revolutions of 8 samples"),
    ],
)
def test_what_cannot_be_resampled_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resample_to_angle(*arguments)


def test_a_spectrum_needs_a_speed():
    with pytest.raises(ValueError, match="divided by the sampling rate"):
        at_orders(np.zeros((9, 1)), np.ones(1), -1.0)
    with pytest.raises(ValueError, match="at least two bins"):
        at_orders(np.zeros((1, 1)), np.ones(1), 1.0)
