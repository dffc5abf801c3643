"""Batches: the order of an epoch, the layouts of a step, windows on the device, in memory and in a file, made ahead."""

import itertools
import math
import threading

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.distributed import choose_devices, shard
from drsn_jax.core.storage import prefetch
from drsn_jax.training.batches import Batches, epoch_order, steps_per_epoch

sizes = {"examples": st.integers(1, 50), "batch_size": st.integers(1, 60)}
WINDOWS = np.arange(20, dtype=np.float32)[:, None, None]
LABELS = np.arange(20, dtype=np.int32)


def order(examples, batch_size, seed=0, epoch=1):
    return epoch_order(examples, batch_size, seed=seed, epoch=epoch)


# --- the order


@given(**sizes, seed=st.integers(0, 2**32), epoch=st.integers(1, 1000))
def test_an_epoch_holds_every_example_in_batches_of_one_shape(examples, batch_size, seed, epoch):
    made = order(examples, batch_size, seed, epoch)
    assert made.shape == (steps_per_epoch(examples, batch_size), batch_size)
    flat = made.ravel()
    times = np.bincount(flat, minlength=examples)
    assert len(times) == examples
    assert times.min() >= 1
    assert times.max() - times.min() <= 1
    # the beginning fills up the last batch, several times where the batch is larger than the set
    np.testing.assert_array_equal(flat, list(itertools.islice(itertools.cycle(flat[:examples]), len(flat))))


@given(**sizes)
def test_steps_per_epoch(examples, batch_size):
    assert steps_per_epoch(examples, batch_size) == math.ceil(examples / batch_size)


@given(**sizes, seed=st.integers(0, 9), epoch=st.integers(1, 9))
def test_the_order_is_decided_by_seed_and_epoch(examples, batch_size, seed, epoch):
    np.testing.assert_array_equal(order(examples, batch_size, seed, epoch), order(examples, batch_size, seed, epoch))


def test_epochs_and_seeds_differ():
    orders = {tuple(order(40, 8, seed, epoch).ravel()) for seed in range(10) for epoch in range(1, 11)}
    assert len(orders) == 100
    assert tuple(range(40)) not in orders


# --- the batches


def check(batch, examples):
    assert {name: np.shape(value) for name, value in batch.items()} == {
        "windows": (*examples.shape, 1, 1),
        "labels": examples.shape,
        "weights": examples.shape,
    }
    np.testing.assert_array_equal(batch["windows"][..., 0, 0], examples)
    np.testing.assert_array_equal(batch["labels"], examples)
    np.testing.assert_array_equal(batch["weights"], np.ones(examples.shape))
    assert (batch["windows"].dtype, batch["labels"].dtype, batch["weights"].dtype) == (np.float32, np.int32, np.float32)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("first_step", [0, 2])
@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_batches_follow_the_order(on_device, first_step, steps_per_call):
    """Five steps: with two a call, the last is shorter."""
    made = list(
        Batches(WINDOWS, LABELS, 4, seed=3, on_device=on_device).epoch(2, first_step=first_step, steps_per_call=steps_per_call)
    )
    wanted = order(20, 4, 3, 2)[first_step:]
    calls = [wanted[i : i + steps_per_call] for i in range(0, len(wanted), steps_per_call)]
    assert len(made) == len(calls)
    for batch, examples in zip(made, calls, strict=True):
        check(batch, examples[0] if steps_per_call == 1 else examples)
        assert isinstance(batch["windows"], jax.Array if on_device else np.ndarray)


@pytest.mark.parametrize("on_device", [False, True])
def test_shards_of_devices(on_device):
    """The layout of ``shard``, with the steps of a call behind the devices."""
    devices = choose_devices(2)
    (one, *_), wanted = list(Batches(WINDOWS, LABELS, 4, devices=devices, on_device=on_device).epoch(1)), order(20, 4)
    check(one, wanted[0].reshape(2, 2))
    np.testing.assert_array_equal(one["windows"], shard({"windows": WINDOWS[wanted[0]]}, 2)["windows"])
    two, _, last = Batches(WINDOWS, LABELS, 4, devices=devices, on_device=on_device).epoch(1, steps_per_call=2)
    check(two, wanted[:2].reshape(2, 2, 2).swapaxes(0, 1))
    check(last, wanted[4].reshape(2, 1, 2))
    if on_device:
        assert {shard.device for shard in one["windows"].addressable_shards} == set(devices)
        assert {shard.data.shape for shard in one["windows"].addressable_shards} == {(1, 2, 1, 1)}


def test_a_memory_map_serves(tmp_path):
    """Its batches are made ahead, and hold the same."""
    np.save(tmp_path / "windows.npy", WINDOWS)
    mapped = np.load(tmp_path / "windows.npy", mmap_mode="r")
    batches = list(Batches(mapped, LABELS, 4).epoch(1))
    assert len(batches) == 5
    for batch, examples in zip(batches, order(20, 4), strict=True):
        check(batch, examples)


def test_a_memory_map_that_is_put_on_the_device(tmp_path):
    np.save(tmp_path / "windows.npy", WINDOWS)
    mapped = np.load(tmp_path / "windows.npy", mmap_mode="r")
    check(next(Batches(mapped, LABELS, 4, on_device=True).epoch(1)), order(20, 4)[0])


def test_one_compilation_picks_all_batches():
    batches = Batches(WINDOWS, LABELS, 4, on_device=True)
    next(batches.epoch(1))
    with tiny.compilations() as names:
        for epoch in (1, 2):
            list(batches.epoch(epoch))
    assert not names


@pytest.mark.parametrize("count", [0, 19])
def test_windows_and_labels_must_be_there_and_as_many(count):
    with pytest.raises(ValueError, match=f"as many windows as labels, and some: got {count} and 20"):
        Batches(WINDOWS[:count], LABELS, 4)
    with pytest.raises(ValueError, match="got 0 and 0"):
        Batches(WINDOWS[:0], LABELS[:0], 4)


@pytest.mark.parametrize(("batch_size", "devices"), [(6, 4), (3, 2)])
def test_devices_that_do_not_divide_the_batch_are_refused(batch_size, devices):
    with pytest.raises(ValueError, match=f"{devices} devices do not divide the batch size {batch_size}: choose a multiple"):
        Batches(WINDOWS, LABELS, batch_size, devices=choose_devices(devices))


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="at least one example, got a batch size of 0"):
        Batches(WINDOWS, LABELS, 0)


@pytest.mark.parametrize("on_device", [False, True])
def test_the_byte_order_of_a_file_is_understood(on_device):
    """Compiled for native numbers before, a function would take the bytes as they are."""
    double = jax.jit(lambda batch: (2 * batch["windows"][:, 0, 0], batch["labels"]))
    for kind in ("=", ">", "<"):
        batches = Batches(WINDOWS.astype(f"{kind}f4"), LABELS.astype(f"{kind}i4"), 4, on_device=on_device)
        windows, labels = double(next(batches.epoch(1)))
        np.testing.assert_array_equal(windows, 2 * order(20, 4)[0])
        np.testing.assert_array_equal(labels, order(20, 4)[0])


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (LABELS - 1, "labels are integers from 0, got int32 from -1"),
        (LABELS.astype(float), "labels are integers from 0, got float64 from 0"),
        (LABELS[:, None], r"20 windows need a label each, an array .20,., got the shape .20, 1."),
        (LABELS > 3, "labels are integers from 0, got bool False"),
    ],
)
def test_labels_are_numbers_of_classes(labels, found):
    with pytest.raises(ValueError, match=found):
        Batches(WINDOWS, labels, 4)


@pytest.mark.parametrize("windows", [WINDOWS.astype(complex), WINDOWS.astype(str), WINDOWS.astype(object)])
def test_windows_are_real_numbers(windows):
    with pytest.raises(ValueError, match="windows are real numbers, got the type"):
        Batches(windows, LABELS, 4)


def test_other_options_that_cannot_be():
    with pytest.raises(ValueError, match=r"got a batch size of 2\.5"):
        Batches(WINDOWS, LABELS, 2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="empty list of devices"):
        Batches(WINDOWS, LABELS, 4, devices=[])
    with pytest.raises(ValueError, match="not negative, got -1"):
        Batches(WINDOWS, LABELS, 4, seed=-1)


def test_bad_windows_of_a_batch_are_named():
    windows = WINDOWS.copy()
    chosen = order(20, 8)[1]
    windows[chosen[3]] = np.nan
    batches = Batches(windows, LABELS, 8)
    assert batches.describe_bad(1, 0) == ""
    assert batches.describe_bad(1, 1) == f"window {chosen[3]} of the training set, in its batch, holds NaN or infinity"
    windows[:] = np.inf
    assert batches.describe_bad(1, 0).endswith("and 3 more of the training set, in its batch, hold NaN or infinity")


# --- ahead


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_the_same_items_come_in_order(count):
    assert list(prefetch(iter(range(7)), count)) == list(range(7))
    assert list(prefetch(iter(()), count)) == []


def test_items_are_made_before_they_are_asked_for():
    """After the first is given, two more are made, by another thread; and no more than that."""
    made, reached = [], threading.Event()

    def items():
        for number in range(6):
            made.append(threading.current_thread())
            if number == 2:
                reached.set()
            yield number

    given = prefetch(items(), 2)
    assert made == []
    assert next(given) == 0
    assert reached.wait(10)
    given.close()  # waits for what is being made
    assert len(made) == 3
    assert threading.current_thread() not in made


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise OSError("the disk is gone")

    given = prefetch(items(), 2)
    assert next(given) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(given)


def test_no_thread_stays():
    before = threading.active_count()
    given = prefetch(iter(range(100)), 2)
    next(given)
    given.close()
    list(prefetch(iter(range(5)), 2))
    assert threading.active_count() == before
