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


@given(st.integers(1, 3000), st.integers(1, 300), st.sets(st.integers(1, 300), min_size=1, max_size=8), st.integers(0, 1000))
def test_a_program_is_compiled_where_more_would_be_computed_in_vain_than_is_spared(count, most, compiled, spare):
    sizes = cover(count, most, compiled, spare)
    assert sizes == cover(count, most, compiled) or sum(sizes) <= count + spare
    assert sum(sizes) - sizes[-1] < count <= sum(sizes)
    # a program that is there suffices, and takes the time that is spared
    if any(count <= size <= min(most, count + spare) for size in compiled):
        assert set(sizes) <= compiled


@pytest.mark.parametrize("devices", [1, 2])
def test_short_files_pay_for_a_long_one_only_so_long(devices):
    """First 10 windows alone, then a long file, short ones of another length, and what is compiled for them."""
    called = []

    def step(state, windows):
        called.append(len(windows))
        return windows[:, 0]

    ask = InSizes(step, 256, devices=devices, spare=610)
    for count in (10, 10, 300, 60, 60, 60, 60, 10):
        windows = np.arange(count, dtype=np.float32)[:, None]
        np.testing.assert_array_equal(ask(None, windows), windows[:, 0])
    assert called == [10, 10, 256, 256, 256, 256, 60, 60, 10]


def test_what_is_spared_is_not_spent_where_small_programs_suffice():
    assert cover(5, 128, {3, 104}, 4000) == [3, 3]
    assert cover(5, 128, {1, 104}, 4000) == [104]


def test_devices_share_evenly():
    with pytest.raises(ValueError, match="a batch of 7 cannot be spread evenly over 2 devices"):
        InSizes(lambda state, windows: windows, 8, devices=2)(None, np.zeros((2, 2, 1)), 7)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 16), st.sampled_from([1, 3]))
def test_rows_come_in_order(counts, shares, devices):
    def tripled(state, windows):
        assert len(windows) % devices == 0
        return state * windows[:, :, 0]

    step = InSizes(tripled, shares * devices, devices=devices, spare=30)
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
