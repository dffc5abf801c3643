"""Any number of windows is answered with little waste, in order, by few compiled programs."""

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drsn_jax.evaluation.batch_sizes import WASTE, InSizes, cover, round_up


def test_the_sizes_that_are_compiled():
    sizes = sorted({round_up(count) for count in range(1, 257)})
    assert sizes[:24] == [*range(1, 17), *range(18, 33, 2)]
    assert len(sizes) == 48
    assert all(count <= round_up(count) <= 1.125 * count for count in range(1, 5000))


@given(st.integers(1, 3000), st.integers(1, 300), st.sets(st.integers(1, 300), max_size=8))
@example(99, 100, {110})  # compiled by a call that allowed more windows at a time
def test_the_programs_suffice_and_waste_little(count, most, compiled):
    sizes = cover(count, most, compiled)
    assert sum(sizes) >= count
    assert max(sizes) <= most
    assert sum(sizes) - sizes[-1] < count  # none of them is idle
    assert sum(sizes) <= WASTE * count


@pytest.mark.parametrize("seed", range(3))
def test_many_numbers_of_windows_need_few_programs(seed):
    rng, compiled = random.Random(seed), set()
    for _ in range(100):
        compiled |= set(cover(rng.randint(1, 256), 256, compiled))
    assert len(compiled) <= 12


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 16))
def test_rows_come_in_order(counts, most):
    step = InSizes(lambda state, windows: state * windows[:, :, 0], most)
    for count in counts:
        windows = np.arange(2 * count, dtype=np.float32).reshape(count, 2, 1)
        np.testing.assert_array_equal(step(3, windows), 3 * windows[:, :, 0])


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_a_size_may_be_a_number_of_numpy(kind):
    windows = np.arange(7, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(InSizes(lambda state, windows: windows[:, 0], 8)(None, windows, kind(4)), windows[:, 0])


def test_a_batch_has_a_window():
    with pytest.raises(ValueError, match="a batch has at least one window, got a batch size of 0"):
        InSizes(lambda state, windows: windows, 8)(None, np.zeros((2, 2, 1)), 0)
