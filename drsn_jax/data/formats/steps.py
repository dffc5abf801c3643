"""The sampling rate of a step in seconds that a file wrote with few digits, or of the times of its samples."""

import math
from decimal import Decimal

import numpy as np


def rate_of_step(step: float, half_unit: float = 0.0) -> float:
    """Return the sampling rate in Hz of a step in seconds.

    A step written with few digits stands for all rates that are written alike: 1.95313e-05 s is any from 51,199.8 to 51,200.1 Hz.
    The rate with the fewest digits among these is returned, 51,200 Hz, where it is a whole number; else the inverse of the step.

    Args:
      step: above 0.
      half_unit: half a unit of the last digit of the step as it was written. What double precision loses is allowed for anyway.
    """
    rate = 1 / step
    off = rate * max(1.001 * half_unit / step, 1e-9)
    for digits in range(1, math.floor(math.log10(rate)) + 2) if rate >= 1 else ():
        candidate = round(rate, digits - 1 - math.floor(math.log10(rate)))
        if abs(candidate - rate) <= off:
            return float(candidate)
    return rate


def written_step(step: float, digits: int) -> float:
    """Return half a unit of the last digit of a step that was written with at least ``digits`` digits.

    Digits beyond these count where the number has them: 1.953125e-05 was written with seven.
    """
    number = Decimal(repr(step)).normalize()
    return 0.5 * 10.0 ** (number.adjusted() + 1 - max(digits, len(number.as_tuple().digits)))


def rate_of_times(times: np.ndarray) -> float | None:
    """Return the sampling rate of samples at ``times``, in seconds, rising; None where these are not evenly spaced.

    Every step must be within a half of the usual one. So a sample that is missing is found, and times that were rounded to half a
    step or less are allowed.
    """
    times = np.asarray(times, np.float64).ravel()
    if times.size < 3 or not np.isfinite(times).all() or times[-1] <= times[0]:
        return None
    step = (times[-1] - times[0]) / (times.size - 1)
    steps = np.diff(times)
    usual = np.partition(steps, (steps.size - 1) // 2)[(steps.size - 1) // 2]
    line = times[0] + step * np.arange(times.size)
    if np.abs(steps - usual).max() > usual / 2 or np.abs(times - line).max() > step / 2:
        return None
    # the rounding of the first and the last time, of which the other steps show the size
    return rate_of_step(step, 2 * np.abs(steps - step).max() / (times.size - 1))
