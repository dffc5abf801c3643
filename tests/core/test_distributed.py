"""The step on several devices is the step on one: same numbers to float32, same bytes on all replicas, one compilation."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.core.distributed import (
    AXIS_NAME,
    choose_devices,
    place_on,
    pmap_evaluate,
    pmap_predict,
    pmap_step,
    replicate,
    shard,
    shares,
)
from drsn_jax.evaluation.prediction import evaluate
from drsn_jax.functional import signals
from drsn_jax.functional.noise import add_noise
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_eval_step, make_predict_step, make_train_step

# float32: means over shards are rounded in another order, and three steps of training amplify it
TOLERANCE = 1e-4
BATCH_SIZE = 16
COUNTS = (2, 8)
optimizer = paper_optimizer(20, 0.1)
noise = functools.partial(add_noise, snr_db=0.0)
make_step = functools.partial(
    make_train_step, tiny.network, optimizer, noise=noise, prepare=signals.standardise, class_weights=(0.3, 1.0, 2.0)
)


@functools.cache
def made_once():
    return create_state(tiny.network, optimizer, jax.random.key(0), np.zeros((1, tiny.LENGTH, 1)))


def new_state():
    # a copy, for ``replicate`` may share the memory of its argument and the step uses it up
    return jax.tree.map(lambda array: array.copy(), made_once())


def batches(weights, count=3):
    return [tiny.batch(BATCH_SIZE, seed, weights) for seed in range(count)]


@pytest.fixture(scope="module")
def on_one():
    """The states and metrics of three steps on one device, for equal and unequal weights."""
    step, found = jax.jit(make_step()), {}
    for weights in ("equal", "unequal"):
        state, found[weights] = new_state(), []
        for batch in batches(weights):
            state, metrics = step(state, batch)
            found[weights].append((state, metrics))
    return found


@pytest.fixture(scope="module")
def mapped():
    """The step over so many devices, compiled once for all tests."""
    return functools.cache(lambda count: pmap_step(make_step(axis_name=AXIS_NAME), choose_devices(count)))


@pytest.mark.parametrize("weights", ["equal", "unequal"])
@pytest.mark.parametrize("count", COUNTS)
def test_shards_equal_the_whole_batch(mapped, on_one, count, weights):
    devices = choose_devices(count)
    state, place = replicate(new_state(), devices), place_on(devices)
    for batch, (expected, sums) in zip(batches(weights), on_one[weights], strict=True):
        state, metrics = mapped(count)(state, place(batch))
        tiny.assert_close(metrics, sums, TOLERANCE)
        tiny.assert_close(state.params, expected.params, TOLERANCE)
        tiny.assert_close(state.batch_stats, expected.batch_stats, TOLERANCE)
        tiny.assert_close(state.opt_state, expected.opt_state, TOLERANCE)
        assert state.step == expected.step
        tiny.assert_equal(state.key, expected.key)


def test_the_first_step_is_equal_to_rounding(mapped, on_one):
    """Nothing is amplified yet: a closer look than above, for the weights of the shards differ here."""
    devices = choose_devices(8)
    state, metrics = mapped(8)(replicate(new_state(), devices), shard(batches("unequal")[0], 8))
    expected, sums = on_one["unequal"][0]
    tiny.assert_close(state.params, expected.params, 2e-6)
    tiny.assert_close(state.batch_stats, expected.batch_stats, 2e-6)
    tiny.assert_close(metrics, sums, 5e-6)


def test_replicas_stay_equal_and_one_compilation_does(mapped):
    devices = choose_devices(8)
    state, place = replicate(new_state(), devices), place_on(devices)
    step = pmap_step(make_step(axis_name=AXIS_NAME), devices)
    with tiny.compilations() as names:
        for number in range(20):
            state, metrics = step(state, place(tiny.batch(BATCH_SIZE, number)))
            # many steps that nobody has read can leave too few threads for the devices to meet
            jax.block_until_ready(metrics)
            if number == 0:
                first = list(names)
    assert first
    assert len(set(first)) == len(first), "a function was compiled twice in the first step"
    assert names == first, "the second step compiled again"
    for leaf in jax.tree.leaves((state.params, state.batch_stats, state.opt_state, state.step, metrics)):
        copies = {np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}
        assert len(leaf.addressable_shards) == 8
        assert len(copies) == 1


def test_norms_that_stay_on_their_device_leave_the_mean_of_their_statistics():
    """A user's norm may know no axis; the state must be one and the same on all devices all the same."""
    local = functools.partial(BatchNorm, axis_name=None)
    network = tiny.network.clone(norm=local, widths=(2,), units=(1,), shrinkage=None)
    devices, batch = choose_devices(4), tiny.batch(8)
    state = create_state(network, optimizer, jax.random.key(0), batch["windows"])
    windows = batch["windows"].reshape(4, 2, *batch["windows"].shape[1:])
    apply = jax.jit(functools.partial(network.apply, train=True, mutable=["batch_stats"]))
    each: Any = [apply(state.variables, part)[1]["batch_stats"] for part in windows]
    expected = jax.tree.map(lambda *stats: np.mean(stats, axis=0), *each)
    after, _ = pmap_step(make_train_step(network, optimizer, axis_name=AXIS_NAME), devices)(
        replicate(state, devices), shard(batch, 4)
    )
    tiny.assert_close(after.batch_stats, expected, 1e-6)
    for leaf in jax.tree.leaves(after.batch_stats):
        assert len({np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}) == 1


def test_training_uses_up_the_state_and_evaluation_keeps_it():
    devices = choose_devices(2)
    state = replicate({"w": np.ones(3, np.float32)}, devices)
    step = lambda state, batch: (jax.tree.map(lambda w: w + 1, state), jax.lax.psum(batch["labels"].sum(), AXIS_NAME))  # noqa: E731
    batch = shard({"labels": np.arange(4)}, 2)
    kept, total = pmap_step(step, devices, donate=False)(state, batch)
    assert total == 6
    np.testing.assert_array_equal(kept["w"], 2)
    assert not state["w"].is_deleted()
    pmap_step(step, devices)(state, batch)
    assert state["w"].is_deleted()


def test_further_arguments_are_the_same_on_all_devices():
    step = lambda state, batch, factor: (state, jax.lax.psum(factor * batch["labels"].sum(), AXIS_NAME))  # noqa: E731
    devices = choose_devices(4)
    run = pmap_step(step, devices, donate=False, arguments=1)
    assert run(replicate(np.ones(1), devices), shard({"labels": np.arange(8)}, 4), 10)[1] == 280


# --- batches


def test_shards_follow_one_another():
    batch = tiny.batch(12, 0)
    parts = shard(batch, 4)
    assert parts.keys() == batch.keys()
    for name, values in batch.items():
        assert parts[name].shape == (4, 3, *values.shape[1:])
        np.testing.assert_array_equal(parts[name][2], values[6:9])


@pytest.mark.parametrize("size", [1, 7, 9, 15])
def test_a_batch_that_the_devices_do_not_divide_is_refused(size):
    message = f"a batch of {size} cannot be spread evenly over 8 devices: .* multiple of 8"
    with pytest.raises(ValueError, match=message):
        shard(tiny.batch(size), 8)
    with pytest.raises(ValueError, match=message):
        place_on(choose_devices(8))(tiny.batch(size))


# --- evaluation and prediction


def test_padded_evaluation_gives_the_sums_of_one_device():
    """13 windows in batches of 8 on one device, of 16 on eight: two paddings."""
    windows, labels = tiny.tones(13, 4)
    state, devices = new_state(), choose_devices(8)
    make = functools.partial(make_eval_step, tiny.network, prepare=signals.standardise)
    one = evaluate(jax.jit(make()), state.variables, windows, labels, batch_size=8)
    step = pmap_evaluate(make(axis_name=AXIS_NAME), devices)
    eight = evaluate(step, replicate(state.variables, devices), windows, labels, batch_size=16, place=place_on(devices))
    assert one["count"] == eight["count"] == 13
    np.testing.assert_array_equal(eight["confusion"], one["confusion"])
    np.testing.assert_array_equal(eight["correct"], one["correct"])
    np.testing.assert_allclose(eight["loss"], one["loss"], rtol=1e-5)


def test_predictions_come_in_order():
    windows, _ = tiny.tones(16, 5)
    state, devices = new_state(), choose_devices(8)
    step = make_predict_step(tiny.network, prepare=signals.standardise)
    predict = pmap_predict(step, devices)
    variables = replicate(state.variables, devices)
    logits = predict(variables, windows)
    assert logits.shape == (16, tiny.CLASSES)
    np.testing.assert_allclose(logits, jax.jit(step)(state.variables, windows), atol=1e-5)
    with pytest.raises(ValueError, match="a batch of 12 cannot be spread evenly over 8 devices"):
        predict(variables, windows[:12])


# --- devices


def test_choose_devices():
    assert choose_devices() == jax.local_devices()
    assert len(choose_devices()) == 8
    assert choose_devices(3) == jax.local_devices()[:3]


@pytest.mark.parametrize("count", [-1, 0, 9])
def test_devices_that_are_not_there(count):
    with pytest.raises(ValueError, match=f"{count} devices were asked for and 8 of kind 'cpu' are there; .*JAX_NUM_CPU_DEVICES"):
        choose_devices(count)


def test_replicate_keeps_the_dtype_of_what_was_made_with_64_bits():
    with jax.enable_x64(True):
        third = jax.numpy.ones(3, "float64") / 3
    assert replicate(third, jax.local_devices()[:2]).dtype == np.float64


def test_replicate_places_every_array_on_every_device():
    devices = choose_devices(4)
    for leaf in jax.tree.leaves(replicate(new_state(), devices)):
        assert [shard.device for shard in leaf.addressable_shards] == devices
        assert leaf.is_fully_replicated


def test_a_step_that_uses_up_the_copies_keeps_the_original():
    devices, tree = choose_devices(4), {"w": jax.numpy.ones(3), "key": jax.random.key(0)}
    step = lambda state, batch: (state, jax.lax.psum(batch["labels"].sum(), AXIS_NAME))  # noqa: E731
    pmap_step(step, devices)(replicate(tree, devices), shard({"labels": np.arange(4)}, 4))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(tree))


# --- shares


@pytest.mark.parametrize("count", [1, 3, 8])
def test_one_process_has_all_shards(count):
    assert shares(choose_devices(count)) == (count, list(range(count)))


def of_process_1(monkeypatch):
    """As process 1 of three with two devices each sees it; ``test_hosts`` has real ones."""

    class Device(NamedTuple):
        process_index: int

    everyone = [Device(index // 2) for index in range(6)]
    for name, value in {
        "process_count": 3,
        "process_index": 1,
        "local_device_count": 2,
        "device_count": 6,
        "devices": everyone,
    }.items():
        monkeypatch.setattr(jax, name, lambda value=value: value)
    return everyone[2:4]


def test_the_shards_of_one_of_several_processes(monkeypatch):
    mine = of_process_1(monkeypatch)
    assert shares(mine) == (6, [2, 3])
    with pytest.raises(ValueError, match="1 of 2 devices were chosen: with several processes each uses all it has"):
        shares(mine[:1])


def test_one_of_several_processes_keeps_its_shards_of_the_batch(monkeypatch):
    place, batch = place_on(of_process_1(monkeypatch)), tiny.batch(12, 0)
    placed = place(batch)
    assert placed.keys() == batch.keys()
    for name, values in batch.items():
        np.testing.assert_array_equal(placed[name], [values[4:6], values[6:8]])
    with pytest.raises(ValueError, match="a batch of 10 cannot be spread evenly over 6 devices"):
        place(tiny.batch(10))
