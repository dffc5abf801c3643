"""The loop around the step: its records, validation, early stopping, several steps a call, checkpoints, numbers that explode."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from drsn_jax.evaluation.prediction import evaluate
from drsn_jax.training.batches import Batches, steps_per_epoch
from drsn_jax.training.checkpoints import CheckpointError, Checkpoints
from drsn_jax.training.loop import fit
from drsn_jax.training.optimizers import paper_optimizer, paper_schedule
from drsn_jax.training.progress import Diverged
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_eval_step, make_train_step, repeat_step

EXAMPLES, BATCH_SIZE, STEPS = 20, 8, 3
optimizer = paper_optimizer(6, 0.1)
CLOCK = ("seconds", "total_seconds", "windows_per_second")


@pytest.fixture(scope="module")
def step():
    return jax.jit(make_train_step(tiny.network, optimizer))


@pytest.fixture(scope="module")
def validate():
    """On seven windows that are in no other set; the batch is filled up."""
    eval_step = jax.jit(make_eval_step(tiny.network))
    return lambda state: evaluate(eval_step, state.variables, *tiny.tones(7, 5), batch_size=BATCH_SIZE)


def begin(seed=0):
    return create_state(tiny.network, optimizer, jax.random.key(seed), np.zeros((1, tiny.LENGTH, 1)))


def start(step, seed=0, windows=None, labels=None, examples=EXAMPLES, **changed):
    made, own = tiny.tones(examples, 1)
    windows, labels = made if windows is None else windows, own if labels is None else labels
    options: dict[str, Any] = {"epochs": 2} | changed
    return fit(step, begin(seed), Batches(windows, labels, BATCH_SIZE, seed=seed), **options)


def train(step, seed=0, **changed):
    return list(start(step, seed, **changed))


def numbers(epoch):
    """A record without its arrays and without what is measured by the clock."""
    return {name: value for name, value in epoch._asdict().items() if name not in ("state", "best", *CLOCK)}


# --- records


def test_records_are_those_of_the_steps(step):
    """The same training by hand."""
    batches, state = Batches(*tiny.tones(EXAMPLES, 1), BATCH_SIZE), begin()
    records = train(step, learning_rate=paper_schedule(6, 0.1))
    assert [record.number for record in records] == [1, 2]
    for record in records:
        loss = correct = count = 0
        for batch in batches.epoch(record.number):
            state, metrics = step(state, batch)
            loss, correct = loss + float(metrics["loss"]), correct + float(metrics["correct"])
            count += BATCH_SIZE
        assert record.loss == pytest.approx(loss / count)
        assert record.accuracy == pytest.approx(correct / count)
        tiny.assert_equal(record.state, state)
        tiny.assert_equal(record.best_variables, state.variables)
        assert record.best_epoch == record.number
        assert (record.validation_loss, record.best, record.memory) == (None, None, None)
    assert records[-1].state.step == 2 * steps_per_epoch(EXAMPLES, BATCH_SIZE)
    # 0.1, and a tenth of it after two and a hundredth after five of the six steps
    assert [r.learning_rate for r in records] == pytest.approx([0.01, 0.001])


def test_equal_seeds_give_equal_bytes_and_others_do_not(step):
    one, same, other = train(step)[-1], train(step)[-1], train(step, seed=1)[-1]
    tiny.assert_equal(one.state, same.state)
    assert numbers(one) == numbers(same)
    assert tiny.leaves(one.state.params)[-1].tobytes() != tiny.leaves(other.state.params)[-1].tobytes()


def test_the_seed_of_the_batches_decides_the_order_alone(step):
    ends = []
    for seed in (0, 1):
        batches = Batches(*tiny.tones(EXAMPLES, 1), BATCH_SIZE, seed=seed)
        ends.append(list(fit(step, begin(), batches, epochs=1))[-1].loss)
    assert ends[0] != ends[1]


def test_times_leave_compilations_out():
    """A step that takes seconds to compile; of three steps of an epoch two are timed."""
    fresh = jax.jit(make_train_step(tiny.network, paper_optimizer(7, 0.1)))
    with tiny.compilations() as names:
        first, second = train(fresh)
    assert len([name for name in names if "step" in name]) == 1
    for record, windows in ((first, 2 * BATCH_SIZE), (second, 3 * BATCH_SIZE)):
        assert 0 < record.seconds < 1
        assert record.windows_per_second == pytest.approx(windows / record.seconds)
    assert second.total_seconds == pytest.approx(first.seconds + second.seconds)


def test_an_epoch_of_nothing_but_compilation_has_no_speed():
    fresh = jax.jit(make_train_step(tiny.network, paper_optimizer(8, 0.1)))
    (record,) = train(fresh, examples=BATCH_SIZE, epochs=1)
    assert math.isnan(record.windows_per_second)


def test_a_memory_map_and_the_device_give_the_same_bytes(step, tmp_path):
    windows, labels = tiny.tones(EXAMPLES, 1)
    np.save(tmp_path / "windows.npy", windows)
    mapped = np.load(tmp_path / "windows.npy", mmap_mode="r")
    (usual,) = train(step, epochs=1)
    tiny.assert_equal(train(step, windows=mapped, epochs=1)[-1].state, usual.state)
    on_device = Batches(windows, labels, BATCH_SIZE, on_device=True)
    tiny.assert_equal(list(fit(step, begin(), on_device, epochs=1))[-1].state, usual.state)


@pytest.mark.parametrize("steps_per_call", [2, pytest.param(3, marks=pytest.mark.slow), 7])
def test_several_steps_in_one_call_give_the_same_training(step, steps_per_call):
    """Also where the last call of an epoch is shorter, and where one call is the whole epoch."""
    calls = []
    several = jax.jit(repeat_step(make_train_step(tiny.network, optimizer)))

    def counted(state, batch):
        calls.append(len(batch["labels"]))
        return several(state, batch)

    records = train(counted, steps_per_call=steps_per_call)
    assert calls == {2: [2, 1], 3: [3], 7: [3]}[steps_per_call] * 2
    for record, usual in zip(records, train(step), strict=True):
        assert record.loss == pytest.approx(usual.loss, rel=1e-4)
        tiny.assert_close(record.state.params, usual.state.params, 1e-4)


# --- validation


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(step):
    """By losses of a list; what the state of that epoch was is known from a training without validation."""
    losses = [3.0, 1.0, math.nan, 2.0, 1.0]
    given = iter(losses)
    records = train(step, epochs=5, validate=lambda state: {"loss": 4 * next(given), "correct": 1, "count": 4})
    assert [record.best_epoch for record in records] == [1, 2, 2, 2, 2]
    np.testing.assert_equal([record.validation_loss for record in records], losses)
    assert {record.validation_accuracy for record in records} == {0.25}
    second = train(step, epochs=2)[-1].state
    best = records[-1].best_variables
    tiny.assert_equal(best, second.variables)
    for leaf, placed in zip(jax.tree.leaves(best), jax.tree.leaves(records[-1].variables), strict=True):
        assert leaf.sharding == placed.sharding


def test_a_validation_loss_that_is_not_finite_is_never_better(step):
    given = iter([math.nan, 5.0, 7.0])
    records = train(step, epochs=3, validate=lambda state: {"loss": next(given), "correct": 0, "count": 1})
    assert [record.best_epoch for record in records] == [1, 2, 2]


def test_validation_is_that_of_the_network(step, validate):
    record = train(step, validate=validate)[-1]
    windows, labels = tiny.tones(7, 5)
    logits: Any = jax.jit(functools.partial(tiny.network.apply, train=False))(record.state.variables, windows)
    expected = jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, labels).mean()
    assert record.validation_loss == pytest.approx(float(expected), rel=1e-5)
    assert record.validation_accuracy == pytest.approx(float(np.mean(np.argmax(logits, 1) == labels)))


def test_validation_does_not_change_the_training(step, validate):
    tiny.assert_equal(train(step, validate=validate)[-1].state, train(step)[-1].state)


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (3, 7)])
def test_early_stopping(step, patience, epochs):
    """Stops after so many epochs that were not the best."""
    given = iter([3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 1.1])
    told = train(step, epochs=7, patience=patience, validate=lambda state: {"loss": next(given), "correct": 0, "count": 1})
    assert len(told) == epochs


@pytest.mark.parametrize("patience", [0, 2])
def test_patience_needs_validation(step, patience):
    with pytest.raises(ValueError, match=f"from 1: got {patience}; it goes with validate"):
        train(step, patience=patience)


# --- checkpoints


@pytest.mark.parametrize("stop", range(1, 3 * STEPS))
def test_a_training_that_was_stopped_ends_with_the_same_bytes(step, validate, tmp_path, stop):
    """Stopped before any of its steps, also in the middle of an epoch; validation, best and records included."""
    whole = train(step, epochs=3, validate=validate)

    class Stop(Exception):
        pass

    def stopping():
        made = itertools.count()

        def stopped(state, batch):
            if next(made) == stop:
                raise Stop
            return step(state, batch)

        return stopped

    seen = []
    training = start(stopping(), epochs=3, validate=validate, checkpoints=Checkpoints(tmp_path, seconds=0))
    with pytest.raises(Stop):
        seen.extend(map(numbers, training))
    rest = train(step, epochs=3, validate=validate, checkpoints=Checkpoints(tmp_path))
    assert rest[0].number in (len(seen), len(seen) + 1)
    tiny.assert_equal(rest[-1].state, whole[-1].state)
    tiny.assert_equal(rest[-1].best, whole[-1].best)
    seen = [record for record in seen if record["number"] < rest[0].number]
    assert seen + [numbers(epoch) for epoch in rest] == [numbers(epoch) for epoch in whole]


def test_a_training_that_ended_gives_its_last_epoch_again(step, validate, tmp_path):
    whole = train(step, validate=validate, checkpoints=Checkpoints(tmp_path))

    def refuse(state, batch):
        raise AssertionError("a step was made")

    (again,) = train(refuse, validate=validate, checkpoints=Checkpoints(tmp_path))
    assert again._replace(state=None, best=None) == whole[-1]._replace(state=None, best=None)  # times included
    tiny.assert_equal((again.state, again.best), (whole[-1].state, whole[-1].best))


def test_an_early_stop_is_remembered(step, tmp_path):
    validate = lambda state: {"loss": 1.0, "correct": 0, "count": 1}  # noqa: E731
    options: dict[str, Any] = {"epochs": 9, "patience": 2, "validate": validate, "checkpoints": Checkpoints(tmp_path)}
    assert [epoch.number for epoch in train(step, **options)] == [1, 2, 3]
    assert [epoch.number for epoch in train(step, **options)] == [3]


def test_more_epochs_go_on(step, tmp_path):
    """The schedule is the optimizer's, so it is the same training only if that is the same."""
    train(step, epochs=1, checkpoints=Checkpoints(tmp_path))
    rest = train(step, epochs=2, checkpoints=Checkpoints(tmp_path))
    assert [epoch.number for epoch in rest] == [2]
    tiny.assert_equal(rest[-1].state, train(step, epochs=2)[-1].state)


def test_checkpoints_are_made_when_they_are_due_and_at_the_end(step, tmp_path):
    train(step, checkpoints=Checkpoints(tmp_path / "rare", seconds=1e6))
    assert [file.name for file in (tmp_path / "rare").iterdir()] == ["step-0000000006.safetensors"]
    train(step, checkpoints=Checkpoints(tmp_path / "often", seconds=0, keep=100))
    assert sorted(int(file.name[5:15]) for file in (tmp_path / "often").iterdir()) == [1, 2, 3, 4, 5, 6]


def test_a_record_is_given_before_a_checkpoint_covers_it(step, tmp_path):
    """Who logs it and is killed then gets it again, and never loses it."""
    training = start(step, checkpoints=Checkpoints(tmp_path, seconds=1e6), epochs=1)
    assert next(training).number == 1
    assert list(tmp_path.iterdir()) == []
    training.close()
    assert [epoch.number for epoch in train(step, checkpoints=Checkpoints(tmp_path), epochs=1)] == [1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"examples": 16}, "examples: 20 there, 16 here"),
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"windows": np.ones((EXAMPLES, tiny.LENGTH + 1, 1), np.float32)}, r"window: \[64, 1\] there, \[65, 1\] here"),
        ({"labels": np.zeros(EXAMPLES, np.int32)}, r"labels: \d+ there, \d+ here"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(step, tmp_path, changed, message):
    train(step, epochs=1, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(CheckpointError, match=f"{message}.*choose another folder"):
        train(step, checkpoints=Checkpoints(tmp_path), **changed)


def test_validation_is_part_of_what_a_checkpoint_is_of(step, validate, tmp_path):
    train(step, epochs=1, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(CheckpointError, match=r"another training \(validation: False there, True here\)"):
        train(step, validate=validate, checkpoints=Checkpoints(tmp_path))


def test_the_caller_says_what_else_decides(step, tmp_path):
    """The noise, the rate: nothing of them is seen in the arrays."""
    about = {"snr_db": -5.0, "kinds": ("pink", "gaussian")}
    train(step, epochs=1, checkpoints=Checkpoints(tmp_path), about=about)
    assert len(train(step, epochs=2, checkpoints=Checkpoints(tmp_path), about=about)) == 1
    for other in ({**about, "snr_db": 20.0}, None, {**about, "rate": 0.1}):
        with pytest.raises(CheckpointError, match=r"snr_db: -5\.0 there, (20\.0|None) here|rate: None there, 0\.1"):
            train(step, checkpoints=Checkpoints(tmp_path), about=other)


def test_more_patience_goes_on(step, tmp_path):
    validate = lambda state: {"loss": 1.0, "correct": 0, "count": 1}  # noqa: E731
    options: dict[str, Any] = {"epochs": 5, "validate": validate, "checkpoints": Checkpoints(tmp_path)}
    assert [epoch.number for epoch in train(step, patience=1, **options)] == [1, 2]
    assert [epoch.number for epoch in train(step, patience=3, **options)] == [3, 4]
    assert [epoch.number for epoch in train(step, **options)] == [5]


@pytest.mark.parametrize(("made", "asked"), [(6, 1), (5, 1), (4, 1)])
def test_a_checkpoint_beyond_what_is_asked_for_is_refused(step, tmp_path, made, asked):
    """Its state is not the one after that epoch."""
    train(step, checkpoints=Checkpoints(tmp_path, seconds=0, keep=9))
    for file in sorted(tmp_path.iterdir())[made:]:
        file.unlink()
    with pytest.raises(CheckpointError, match=r"further than the 1 epochs that are asked for: ask for more"):
        train(step, epochs=asked, checkpoints=Checkpoints(tmp_path))


def test_numbers_that_are_no_arrays_yet_come_back(step, tmp_path):
    """A state by hand, its step a Python number."""
    batches = Batches(*tiny.tones(EXAMPLES, 1), BATCH_SIZE)
    for epochs in (1, 2):
        state = dataclasses.replace(begin(), step=0)
        last = list(fit(step, state, batches, epochs=epochs, checkpoints=Checkpoints(tmp_path)))[-1]
    tiny.assert_equal(last.state, train(step)[-1].state)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"epochs": 0}, "got 0 and 1"), ({"steps_per_call": 0}, "got 2 and 0"), ({"epochs": 1.5}, "got 1.5 and 1")],
)
def test_a_training_has_epochs_and_steps(step, changed, message):
    with pytest.raises(ValueError, match=f"at least one epoch and one step a call, as integers, {message}"):
        train(step, **changed)


def test_a_validation_of_nothing_is_refused(step):
    with pytest.raises(ValueError, match="validation counted no examples"):
        train(step, validate=lambda state: {"loss": 0.0, "correct": 0, "count": 0})


# --- numbers that explode


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_window_that_is_not_finite_is_named_with_its_step(step, tmp_path, value):
    windows = tiny.tones(EXAMPLES, 1)[0].copy()
    batches = Batches(windows, tiny.tones(EXAMPLES, 1)[1], BATCH_SIZE)
    order = [batch["windows"][:, :, 0] for batch in batches.epoch(1)]
    # an example of the second batch that is not in the first or the third
    chosen = next(i for i in range(EXAMPLES) if [any((windows[i, :, 0] == w).all() for w in b) for b in order] == [0, 1, 0])
    windows[chosen, 3] = value
    message = rf"the loss became nan in step 2 \(epoch 1\): window {chosen} of the training set.*holds NaN or infinity.*none"
    with pytest.raises(Diverged, match=message) as raised:
        train(step, windows=windows, checkpoints=Checkpoints(tmp_path))
    assert isinstance(raised.value, ArithmeticError)
    assert raised.value.step == 2


def exploding(at, what):
    """A step whose metrics or parameters are no longer finite from a step on."""

    def step(state, batch):
        late = state.step >= at
        bad = lambda name, value: jnp.where(late & (what == name), jnp.nan, value)  # noqa: E731
        metrics = {"loss": bad("loss", 8.0), "correct": 4.0, "count": 8.0, "gradient_norm": bad("gradient", 1.0)}
        params = jax.tree.map(lambda leaf: bad("params", leaf), state.params)
        return state.replace(step=state.step + 1, params=params), metrics

    return jax.jit(step)


@pytest.mark.parametrize(
    ("what", "at", "seen", "message"),
    [
        ("loss", 0, 1, "the loss became nan in step 1 .epoch 1."),
        ("loss", 4, 5, "the loss became nan in step 5 .epoch 2."),
        ("loss", 5, 6, "the loss became nan in step 6 .epoch 2."),
        ("gradient", 4, 5, "the norm of the gradient became nan in step 5 .epoch 2."),
        ("params", 5, 6, "params/.* is no longer finite in step 6 .epoch 2."),
    ],
)
def test_it_stops_at_the_step(tmp_path, what, at, seen, message):
    told = []
    with pytest.raises(Diverged, match=f"{message}: lower the learning rate.* the classes 0 to 2") as raised:
        told.extend(epoch.number for epoch in start(exploding(at, what), epochs=3))
    assert raised.value.step == seen
    assert told == [1][: at // STEPS]


@pytest.mark.parametrize("what", ["loss", "gradient", "params"])
def test_the_last_good_checkpoint_stays(tmp_path, what):
    """Checkpoints are written after every step until the one that is bad; what is kept is finite and is named."""
    checkpoints = Checkpoints(tmp_path, seconds=0)
    with pytest.raises(Diverged, match=r"last good checkpoint: .*step-0000000004\.safetensors"):
        train(exploding(4, what), checkpoints=checkpoints)
    found = checkpoints.restore({"state": begin(), "best": None})
    assert found is not None
    assert found[0]["state"].step == 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found[0]["state"].params))


def test_a_bad_step_within_a_call_of_several(tmp_path):
    several = jax.jit(repeat_step(exploding(4, "loss")))
    with pytest.raises(Diverged, match="step 5") as raised:
        train(several, steps_per_call=3, checkpoints=Checkpoints(tmp_path, seconds=0))
    assert raised.value.step == 5
    assert [file.name for file in tmp_path.iterdir()] == ["step-0000000003.safetensors"]
