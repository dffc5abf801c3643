"""Orders: frequencies as multiples of the speed of a shaft, in which a machine looks the same at every speed.

A line at order 3 comes three times a revolution. A speed is given in revolutions per sample, which is the speed in Hz divided by
the sampling rate: 30 Hz (1,800 rpm) at 12,000 Hz is 0.0025. A window is ``(length, channels)``; map over several windows with
``jax.vmap``. The functions of windows are pure and can be compiled and differentiated.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from drsn_jax.core.arrays import as_window, in_one_program, wide_dtype
from drsn_jax.core.errors import UserError


class BearingOrders(NamedTuple):
    """The characteristic orders of a rolling bearing whose inner ring turns with the shaft.

    Fields:
      ftf: fundamental train frequency: the cage.
      bpfo: ball pass frequency, outer race: a fault of the outer race is passed so many times a revolution.
      bpfi: ball pass frequency, inner race.
      bsf: ball spin frequency. A fault of a ball strikes both races, so that its lines are multiples of twice this order.
    """

    ftf: float
    bpfo: float
    bpfi: float
    bsf: float


def bearing_orders(balls: int, ball_diameter: float, pitch_diameter: float, contact_angle: float = 0.0) -> BearingOrders:
    """Return the characteristic orders of a bearing with ``balls`` rolling elements that do not slip::

        r = ball_diameter / pitch_diameter · cos(contact_angle)
        FTF = (1 - r) / 2;   BPFO = balls · (1 - r) / 2;   BPFI = balls · (1 + r) / 2
        BSF = pitch_diameter / (2 · ball_diameter) · (1 - r²)

    In a machine they are up to two per cent off, because balls slip. ``contact_angle`` is in degrees; both diameters have the
    same unit.

    Raises ValueError for what is no bearing: fewer than two balls, a ball that is not smaller than the pitch circle, more balls
    than have room on it, an angle that is not from 0 to below 90 degrees.

    Source: Randall and Antoni, Mech. Syst. Signal Process. 25(2), 2011.

    Example::

        >>> deep_groove = bearing_orders(balls=9, ball_diameter=7.94, pitch_diameter=39.04)
        >>> print(f"{deep_groove.bpfo:.3f} {deep_groove.bpfi:.3f}")
        3.585 5.415
    """
    if not isinstance(balls, int | np.integer) or balls < 2:
        raise UserError(f"a bearing has a whole number of balls from 2, got {balls}")
    if not 0 < ball_diameter < pitch_diameter < math.inf:
        raise UserError(
            f"the diameter of a ball is smaller than that of the pitch circle, got {ball_diameter} and {pitch_diameter}: give "
            "both in one unit"
        )
    if balls * ball_diameter > math.pi * pitch_diameter:
        raise UserError(f"{balls} balls of {ball_diameter} have no room on a pitch circle of {pitch_diameter}")
    if not 0 <= contact_angle < 90:
        raise UserError(f"a contact angle is from 0 to below 90 degrees, got {contact_angle}")
    ratio = ball_diameter / pitch_diameter * math.cos(math.radians(contact_angle))
    cage = (1 - ratio) / 2
    spin = pitch_diameter / (2 * ball_diameter) * (1 - ratio**2)
    return BearingOrders(ftf=cage, bpfo=balls * cage, bpfi=balls * (1 + ratio) / 2, bsf=spin)


def gear_orders(teeth: int, sidebands: int = 2) -> np.ndarray:
    """Return the order at which the teeth of a gear on the shaft mesh, in the middle of so many sidebands on each side,
    ``(2 · sidebands + 1,)``: a fault of one tooth is met once a revolution.

    Raises ValueError for fewer than two teeth and for a negative number of sidebands.
    """
    if teeth < 2 or sidebands < 0:
        raise UserError(f"a gear has at least two teeth, and from 0 sidebands, got {teeth} and {sidebands}")
    return np.arange(teeth - sidebands, teeth + sidebands + 1, dtype=np.float64)


def at_orders(spectrum: ArrayLike, orders: ArrayLike, speed: ArrayLike) -> jax.Array:
    """Return a spectrum ``(bins, channels)`` at some orders, ``(orders, channels)``, by linear interpolation between its bins.

    Args:
      spectrum: that of a real window of an even length, as ``squared_envelope_spectrum`` gives it, with bins from 0 to half the
        sampling rate.
      orders: ``(orders,)``, multiples of the speed.
      speed: of the shaft, in revolutions per sample, a scalar, which may be traced.

    Orders beyond half the sampling rate have 0. A bin is ``1 / (length · speed)`` orders wide, so lines that are closer than that
    are one line.

    Raises ValueError for a spectrum of fewer than two bins or another number of axes, and for a speed that is not positive.
    """
    spectrum = as_window(spectrum)
    if spectrum.ndim != 2 or len(spectrum) < 2:
        raise UserError(f"a spectrum is (bins, channels) with at least two bins, got the shape {spectrum.shape}")
    _check_speed(speed)
    return _at_orders(spectrum, jnp.asarray(orders), speed)


@in_one_program()
def _at_orders(spectrum: jax.Array, orders: jax.Array, speed: ArrayLike) -> jax.Array:
    dtype = wide_dtype(spectrum.dtype)
    values = spectrum.astype(dtype)
    place = jnp.asarray(orders, dtype) * jnp.asarray(speed, dtype) * (2 * (len(values) - 1))
    low = jnp.clip(jnp.floor(place), 0, len(values) - 2).astype(jnp.int32)
    share = (place - low.astype(dtype))[:, None]
    between = values[low] * (1 - share) + values[low + 1] * share
    inside = (place >= 0) & (place <= len(values) - 1)
    return jnp.where(inside[:, None], between, 0).astype(spectrum.dtype)


def resample_to_angle(window: ArrayLike, speed: ArrayLike, revolutions: float, samples_per_revolution: int) -> jax.Array:
    """Resample a window to equal angles of the shaft, from its first sample on.

    Args:
      window: ``(length, channels)``.
      speed: of the shaft, in revolutions per sample: a scalar, or ``(length,)`` where it changes, as from a tachometer. It may be
        traced.
      revolutions: how many revolutions are returned.
      samples_per_revolution: how many samples there are in each. Frequencies above half as many orders fold back, as in every
        sampling: remove them first where the speed is so low that this happens.

    Returns:
      ``(round(revolutions · samples_per_revolution), channels)``. It is NaN beyond the end of the window, where the shaft turns
      less than that in it.

    Between samples a cubic polynomial is taken (Catmull-Rom); up to a fifth of the sampling rate it is within 5 % of the signal.

    Raises ValueError for a window that is not ``(length, channels)`` with at least four samples, a speed of another shape, a
    speed that is not positive and finite, and numbers of revolutions or samples below 1.
    """
    window = as_window(window)
    if window.ndim != 2 or len(window) < 4:
        raise UserError(f"a window is (length, channels) with at least 4 samples, got the shape {window.shape}")
    length = len(window)
    if jnp.shape(speed) not in ((), (length,)):
        raise UserError(f"a speed is one number, or one for each of {length} samples, got the shape {jnp.shape(speed)}")
    _check_speed(speed)
    if not 0 < revolutions < math.inf or samples_per_revolution < 1 or round(revolutions * samples_per_revolution) < 1:
        raise UserError(
            f"at least one sample of at least a part of a revolution is resampled, got {revolutions} revolutions of "
            f"{samples_per_revolution} samples"
        )
    return _resampled(window, jnp.asarray(speed), float(revolutions), samples_per_revolution)


@in_one_program("revolutions", "samples_per_revolution")
def _resampled(window: jax.Array, speed: jax.Array, revolutions: float, samples_per_revolution: int) -> jax.Array:
    length = len(window)
    dtype = wide_dtype(window.dtype)
    values, turning = window.astype(dtype), jnp.broadcast_to(jnp.asarray(speed, dtype), (length,))
    # the angle of each sample in revolutions, by the trapezium rule
    angle = jnp.concatenate([jnp.zeros(1, dtype), jnp.cumsum((turning[1:] + turning[:-1]) / 2)])
    wanted = jnp.arange(round(revolutions * samples_per_revolution), dtype=dtype) / samples_per_revolution
    place = jnp.interp(wanted, angle, jnp.arange(length, dtype=dtype))
    resampled = _between(values, place)
    # the last sample may lie a rounding beyond the last angle
    held = wanted <= angle[-1] * (1 + 4 * float(jnp.finfo(dtype).eps)) + turning[-1] * 1e-3
    return jnp.where(held[:, None], resampled, jnp.nan).astype(window.dtype)


def _between(values: jax.Array, place: jax.Array) -> jax.Array:
    """Return ``(length, channels)`` at places between its samples, by the cubic of Catmull and Rom."""
    low = jnp.clip(jnp.floor(place), 0, len(values) - 2).astype(jnp.int32)
    t = (place - low.astype(place.dtype))[:, None]
    # beyond its ends the signal goes on in a straight line
    wide = jnp.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    before, first, second, after = (wide[low + shift] for shift in range(4))
    slopes = (second - before) / 2, (after - first) / 2
    return (
        (2 * t**3 - 3 * t**2 + 1) * first
        + (t**3 - 2 * t**2 + t) * slopes[0]
        + (3 * t**2 - 2 * t**3) * second
        + (t**3 - t**2) * slopes[1]
    )


def _check_speed(speed: Any) -> None:
    if not isinstance(speed, Tracer) and not np.all((np.asarray(speed) > 0) & np.isfinite(np.asarray(speed))):
        raise UserError("a speed is a positive number of revolutions per sample: the speed in Hz divided by the sampling rate")
