"""Batches of an epoch and the loop around the step."""

import itertools
import math
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.fitting import Diverged, epoch_batches, fit, steps_per_epoch
from drsn_jax.training import create_state, make_train_step, paper_optimizer

EXAMPLES, BATCH_SIZE = 20, 8
optimizer = paper_optimizer(6, 0.1)
sizes = {"examples": st.integers(1, 50), "batch_size": st.integers(1, 60)}


def batches(examples, batch_size, seed=0, epoch=1):
    windows = np.arange(examples, dtype=np.float32)[:, None, None]
    return list(epoch_batches(windows, np.arange(examples), batch_size, seed=seed, epoch=epoch))


def order(examples, batch_size, seed=0, epoch=1):
    return np.concatenate([batch["labels"] for batch in batches(examples, batch_size, seed, epoch)])


# --- batches


@given(**sizes, seed=st.integers(0, 2**32), epoch=st.integers(1, 1000))
def test_an_epoch_holds_every_example_in_batches_of_one_shape(examples, batch_size, seed, epoch):
    made = batches(examples, batch_size, seed, epoch)
    assert len(made) == steps_per_epoch(examples, batch_size)
    for batch in made:
        assert batch["windows"].shape == (batch_size, 1, 1)
        np.testing.assert_array_equal(batch["windows"][:, 0, 0], batch["labels"])
        np.testing.assert_array_equal(batch["weights"], np.ones(batch_size, np.float32))
        assert batch["weights"].dtype == np.float32
    flat = order(examples, batch_size, seed, epoch)
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
    orders = {tuple(order(40, 8, seed, epoch)) for seed in range(10) for epoch in range(1, 11)}
    assert len(orders) == 100
    assert tuple(range(40)) not in orders


# --- the loop


@pytest.fixture(scope="module")
def step():
    return jax.jit(make_train_step(tiny.network, optimizer))


def train(step, seed=0, windows=None, **changed):
    made, labels = tiny.tones(EXAMPLES, 1)
    state = create_state(tiny.network, optimizer, jax.random.key(seed), made)
    options: dict[str, Any] = {"epochs": 2, "batch_size": BATCH_SIZE, "seed": seed} | changed
    return list(fit(step, state, made if windows is None else windows, labels, **options))


def test_records_are_those_of_the_steps(step):
    """The same training by hand."""
    windows, labels = tiny.tones(EXAMPLES, 1)
    state = create_state(tiny.network, optimizer, jax.random.key(0), windows)
    records = train(step)
    assert [record.number for record in records] == [1, 2]
    for record in records:
        loss = correct = count = 0
        for batch in epoch_batches(windows, labels, BATCH_SIZE, seed=0, epoch=record.number):
            state, metrics = step(state, batch)
            loss, correct = loss + float(metrics["loss"]), correct + float(metrics["correct"])
            count += BATCH_SIZE
        assert record.loss == pytest.approx(loss / count)
        assert record.accuracy == pytest.approx(correct / count)
        assert record.seconds > 0
        tiny.assert_equal(record.state, state)
    assert records[-1].state.step == 2 * steps_per_epoch(EXAMPLES, BATCH_SIZE)


def test_equal_seeds_give_equal_bytes_and_others_do_not(step):
    one, same, other = train(step)[-1], train(step)[-1], train(step, seed=1)[-1]
    tiny.assert_equal(one.state, same.state)
    assert (one.loss, one.accuracy) == (same.loss, same.accuracy)
    assert tiny.leaves(one.state.params)[-1].tobytes() != tiny.leaves(other.state.params)[-1].tobytes()


def test_the_seed_decides_the_order_alone(step):
    windows, labels = tiny.tones(EXAMPLES, 1)
    ends = []
    for seed in (0, 1):
        state = create_state(tiny.network, optimizer, jax.random.key(0), windows)
        ends.append(list(fit(step, state, windows, labels, epochs=1, batch_size=BATCH_SIZE, seed=seed))[-1].loss)
    assert ends[0] != ends[1]


def test_every_batch_is_placed(step):
    seen = []

    def place(batch):
        seen.append(batch["windows"].shape)
        return batch

    train(step, place=place)
    assert seen == [(BATCH_SIZE, tiny.LENGTH, 1)] * 6


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_training(step, value):
    windows = tiny.tones(EXAMPLES, 1)[0].copy()
    windows[7, 3] = value
    message = r"the loss became nan in epoch 1 \(by step 3\): .*extreme values.*lower the learning rate"
    with pytest.raises(Diverged, match=message) as raised:
        train(step, windows=windows)
    assert isinstance(raised.value, ArithmeticError)


def test_a_memory_map_serves(step, tmp_path):
    windows, _ = tiny.tones(EXAMPLES, 1)
    np.save(tmp_path / "windows.npy", windows)
    mapped = np.load(tmp_path / "windows.npy", mmap_mode="r")
    tiny.assert_equal(train(step, windows=mapped, epochs=1)[-1].state, train(step, epochs=1)[-1].state)


@pytest.mark.parametrize("count", [0, EXAMPLES - 1])
def test_windows_and_labels_must_be_there_and_as_many(step, count):
    windows = tiny.tones(EXAMPLES, 1)[0][:count]
    with pytest.raises(ValueError, match=f"as many windows as labels, and some: got {count} and {EXAMPLES}"):
        train(step, windows=windows)
    with pytest.raises(ValueError, match="got 0 and 0"):
        list(fit(step, None, windows[:0], np.empty(0, int), epochs=1))  # pyright: ignore[reportArgumentType]
