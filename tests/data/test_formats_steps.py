"""The sampling rate of a step that was written with few digits, and of the times of samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.data.formats.steps import rate_of_step, rate_of_times, written_step

RATES = [
    51200,
    25600,
    12800,
    97656,
    65536,
    44100,
    48000,
    20000,
    8192,
    16384,
    102400,
    12000,
    2560,
    1000,
    50000,
    131072,
    262144,
    22050,
    7,
]


@pytest.mark.parametrize("rate", RATES)
def test_six_digits_of_a_step_give_the_rate_back(rate):
    step = float(f"{1 / rate:.5e}")
    assert rate_of_step(step, written_step(step, 6)) == rate
    assert rate_of_step(1 / rate) == rate


@given(st.integers(1, 200_000), st.integers(6, 12))
def test_the_rate_of_a_written_step_is_one_that_is_written_alike(rate, digits):
    step = float(f"{1 / rate:.{digits - 1}e}")
    found = rate_of_step(step, written_step(step, digits))
    assert abs(1 / found - step) <= 1.01 * written_step(step, digits)
    # a rate of few digits is found exactly
    if rate % 100 == 0 and rate < 100_000:
        assert found == rate


@pytest.mark.parametrize("rate", [97656.25, 0.1, 1 / 3, 5000 / 3, 12000.48])
def test_a_rate_that_is_no_whole_number_stays(rate):
    assert rate_of_step(1 / rate) == pytest.approx(rate, rel=1e-12)


@given(
    st.sampled_from([100, 1000, 2560, 12800, 25600, 51200]), st.integers(3, 2000), st.floats(0, 5), st.sampled_from([7, 9, 12])
)
def test_times_that_were_rounded_give_the_rate_back(rate, count, start, decimals):
    times = np.round(start + np.arange(count) / rate, decimals)
    assert rate_of_times(times) == pytest.approx(rate, rel=3 * 10.0**-decimals * rate / (count - 1) + 1e-9)


@given(st.integers(5, 500), st.data())
def test_a_missing_or_doubled_sample_leaves_no_rate(count, data):
    times = np.arange(count) / 12800
    place = data.draw(st.integers(1, count - 2))
    assert rate_of_times(np.delete(times, place)) is None
    assert rate_of_times(np.insert(times, place, times[place])) is None
    assert rate_of_times(times[::-1]) is None


@pytest.mark.parametrize("times", [[], [0.0, 1.0], [0, np.nan, 2], [1, 1, 1]])
def test_too_few_times_or_none(times):
    assert rate_of_times(np.array(times, float)) is None
