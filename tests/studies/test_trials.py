"""A trial: its noise, its training on one device and on two, one compilation for all levels of noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import tiny

from drsn_jax.core.arrays import named_leaves
from drsn_jax.core.distributed import choose_devices
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.functional.noise import Noise, add_noise, measure_snr_db
from drsn_jax.nn.networks import parameter_count
from drsn_jax.studies import trials
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import standardised, with_noise
from drsn_jax.studies.trials import Trainer, compile_steps
from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.optimizers import one_cycle_optimizer, paper_optimizer
from drsn_jax.training.progress import Diverged
from drsn_jax.training.state import KeyPurpose, create_state
from drsn_jax.training.steps import make_train_step

FOLD = tiny.fold(train=24, test=13)
EPOCHS, BATCH_SIZE = 3, 8
GAUSSIAN = Noise("gaussian", 5.0)


@functools.cache
def noisy_data(seed=0, noise=GAUSSIAN):
    return with_noise(FOLD, seed=seed, noise=noise)


def make(*, devices=(), init_from=None, examples=24, **config):
    config = TrainingConfig(**{"epochs": EPOCHS, "batch_size": BATCH_SIZE, **config})
    return Trainer(tiny.network, config, examples=examples, devices=devices, init_from=init_from)


@pytest.fixture(scope="module")
def fresh():
    """A trainer that draws new noise in every step."""
    return make()


@pytest.fixture(scope="module")
def fixed():
    """A trainer whose noise was added once."""
    return make(fixed_noise=True)


def run(trainer, data, seed=0, **options):
    """The result, the losses and the last confusion and parameters."""
    epochs = []

    def note(epoch, confusion):
        epochs.append((epoch.loss, confusion, jax.device_get(epoch.state.params)))

    result = trainer.run(data, seed=seed, on_epoch=note, **options)
    return result, np.array([loss for loss, _, _ in epochs]), epochs[-1][1:]


@pytest.fixture(scope="module")
def usual(fresh):
    """What the trainer of most tests makes of the data of most tests."""
    return run(fresh, noisy_data())


def epochs_of(trainer, data, **options):
    records = []
    return trainer.run(data, seed=0, on_epoch=lambda epoch, confusion: records.append((epoch, confusion)), **options), records


# --- noise


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "pink"])
def test_both_sides_have_the_asked_snr(kind):
    data = with_noise(FOLD, seed=3, noise=Noise(kind, -4.0))
    for clean, noisy in ((FOLD.train.windows, data.train_noisy), (FOLD.test.windows, data.test.windows)):
        assert noisy.shape == clean.shape
        assert noisy.dtype == np.float32
        np.testing.assert_allclose(jax.vmap(measure_snr_db)(clean, noisy - clean), -4, atol=0.01)
    assert data.noise == data.train_noise == Noise(kind, -4.0)
    np.testing.assert_array_equal(data.train.windows, FOLD.train.windows)
    np.testing.assert_array_equal(data.train.labels, FOLD.train.labels)
    np.testing.assert_array_equal(data.test.labels, FOLD.test.labels)


def test_the_keys_of_the_noise_are_told_apart_by_purpose():
    data, root = noisy_data(3), jax.random.key(3)
    for purpose, clean, noisy in (
        (KeyPurpose.TRAIN_NOISE, FOLD.train.windows, data.train_noisy),
        (KeyPurpose.TEST_NOISE, FOLD.test.windows, data.test.windows),
    ):
        for i in (0, 7):
            key = jax.random.fold_in(jax.random.fold_in(root, purpose), i)
            np.testing.assert_allclose(noisy[i], add_noise(key, clean[i], 5.0), atol=1e-6)


def test_noise_is_decided_by_the_seed():
    """So every network meets the same."""
    again = with_noise(FOLD, seed=0, noise=GAUSSIAN)
    np.testing.assert_array_equal(again.train_noisy, noisy_data().train_noisy)
    np.testing.assert_array_equal(again.test.windows, noisy_data().test.windows)
    assert not np.allclose(noisy_data(1).train_noisy, noisy_data().train_noisy)
    assert not np.allclose(noisy_data(1).test.windows, noisy_data().test.windows)


def test_no_noise_adds_nothing():
    data = with_noise(FOLD, seed=0, noise=Noise("gaussian", float("inf")))
    np.testing.assert_array_equal(data.train_noisy, FOLD.train.windows)
    np.testing.assert_array_equal(data.test.windows, FOLD.test.windows)


def test_standardised():
    scaled = standardised(3 * FOLD.test.windows + 1)
    np.testing.assert_allclose(scaled.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(1), 1, atol=1e-5)


def test_levels_of_the_training_are_drawn_from_the_range():
    """Of training and validation; the test keeps the level of the trial."""
    fold = FOLD._replace(validation=tiny.side(40, 7))
    noise, wide = Noise("gaussian", 2.0), Noise("gaussian", (-6.0, 6.0))
    data = with_noise(fold, seed=3, noise=noise, train_noise=wide)
    np.testing.assert_array_equal(data.test.windows, with_noise(fold, seed=3, noise=noise).test.windows)
    for clean, noisy in ((fold.validation.windows, data.validation.windows), (FOLD.train.windows, data.train_noisy)):
        levels = np.asarray(jax.vmap(measure_snr_db)(clean, noisy - clean))
        assert -6.1 < levels.min() < -2
        assert 2 < levels.max() < 6.1


# --- training


def test_a_result_fits_its_data(fresh, usual):
    data = noisy_data()
    result, losses, (last_confusion, params) = usual
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]
    assert result.predicted.shape == (13,)
    np.testing.assert_array_equal(result.test_confusion, confusion_matrix(data.test.labels, result.predicted, 3))
    np.testing.assert_array_equal(result.test_confusion, last_confusion)
    np.testing.assert_array_equal(result.train_confusion.sum(1), np.bincount(data.train.labels))
    assert result.seconds > 0
    assert result.parameters == parameter_count(params)
    assert fresh.steps == EPOCHS * 3


def test_equal_seeds_give_equal_bytes_and_others_do_not(fresh, usual):
    first, losses, (_, params) = usual
    second, same, (_, again) = run(fresh, noisy_data())
    tiny.assert_equal(params, again)
    np.testing.assert_array_equal(losses, same)
    np.testing.assert_array_equal(first.predicted, second.predicted)
    assert not np.array_equal(run(fresh, noisy_data(), seed=1)[1], losses)


def test_two_devices_give_the_result_of_one(usual, fresh, validated):
    """To float32, over nine steps of training; the noise and the validation included."""
    trainer = make(devices=choose_devices(2))
    result, losses, (_, params) = usual
    double, double_losses, (_, double_params) = run(trainer, noisy_data())
    np.testing.assert_allclose(double_losses, losses, rtol=1e-3)
    tiny.assert_close(double_params, params, 1e-3)
    np.testing.assert_array_equal(double.test_confusion, result.test_confusion)
    np.testing.assert_array_equal(double.train_confusion, result.train_confusion)
    _, one = epochs_of(fresh, validated)
    _, two = epochs_of(trainer, validated)
    for (epoch, _), (other, _) in zip(one, two, strict=True):
        assert other.validation_loss == pytest.approx(epoch.validation_loss, rel=1e-3)
        assert other.validation_accuracy == epoch.validation_accuracy


def test_fresh_noise_trains_on_clean_windows(fresh, usual):
    data, (_, losses, _) = noisy_data(), usual
    _, with_other_draw, _ = run(fresh, data._replace(train_noisy=np.zeros_like(data.train_noisy)))
    np.testing.assert_array_equal(losses, with_other_draw)
    _, more_noise, _ = run(fresh, data._replace(train_noise=Noise("gaussian", -10.0)))
    assert np.all(more_noise[-1] > losses[-1])


def test_fixed_noise_trains_on_the_one_draw(fixed):
    data = noisy_data()
    _, losses, _ = run(fixed, data)
    nothing = data.train._replace(windows=np.full_like(data.train.windows, np.nan))
    _, other_level, _ = run(fixed, data._replace(train=nothing, train_noise=Noise("gaussian", -10.0)))
    np.testing.assert_array_equal(losses, other_level)
    _, other_draw, _ = run(fixed, data._replace(train_noisy=noisy_data(1).train_noisy))
    assert not np.array_equal(losses, other_draw)


def test_training_accuracy_is_that_on_the_fixed_draw(fresh, usual):
    data = noisy_data()
    swapped = run(fresh, data._replace(train_noisy=data.train_noisy[::-1]))[0]
    labels = data.train.labels
    assert not np.array_equal(labels, labels[::-1])
    assert not np.array_equal(usual[0].train_confusion, swapped.train_confusion)
    np.testing.assert_array_equal(usual[0].predicted, swapped.predicted)


def test_all_levels_and_seeds_share_one_compilation(fresh, usual):
    with tiny.compilations() as names:
        run(fresh, noisy_data(1, Noise("gaussian", -5.0)), seed=1)
        run(fresh, noisy_data()._replace(train_noise=Noise("gaussian", 100.0)), seed=2)
    assert not [name for name in names if "train_step" in name or "(step)" in name], names


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_trainings_of_any_length_and_rate_share_one_compilation(optimizer):
    run(make(optimizer=optimizer), noisy_data())
    with tiny.compilations() as names:
        run(make(optimizer=optimizer, epochs=2, learning_rate=0.02), noisy_data())
    assert not names


@pytest.mark.parametrize(("optimizer", "plain"), [("sgd", paper_optimizer(9, 0.05)), ("adamw", one_cycle_optimizer(9, 0.05))])
def test_a_training_is_that_of_an_optimizer_that_knows_its_schedule(optimizer, plain, tmp_path):
    """To rounding; and its checkpoints hold the arrays of that optimiser, as those of earlier versions do."""
    trainer = make(optimizer=optimizer, learning_rate=0.05)
    _, losses, _ = run(trainer, noisy_data(), checkpoints=Checkpoints(tmp_path, seconds=0))
    network, key = trainer.network, jax.random.fold_in(jax.random.key(0), KeyPurpose.TRAINING)
    state = create_state(network, plain, key, FOLD.train.windows[:1])
    names = {name for name, _ in named_leaves({"state": jax.eval_shape(lambda: state)})}
    step, expected = jax.jit(make_train_step(network, plain, noise=GAUSSIAN)), []
    for number in range(1, EPOCHS + 1):
        sums = []
        for batch in Batches(FOLD.train.windows, FOLD.train.labels, BATCH_SIZE, seed=0).epoch(number):
            state, metrics = step(state, batch)
            sums.append(metrics["loss"])
        expected.append(np.sum(sums) / len(FOLD.train.labels))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    path = Checkpoints(tmp_path).newest()
    assert path is not None
    assert set(safetensors.numpy.load_file(path)) == names


def test_a_probe_compiles_everything():
    """Of another form of noise too: no noise, which needs a program of its own."""
    compile_steps.cache_clear()  # other tests may have compiled the same steps
    fresh, clean = make(), noisy_data(0, Noise())
    with tiny.compilations() as before:
        assert fresh.probe(clean) > 0
    assert [name for name in before if "train_step" in name]
    with tiny.compilations() as after:
        run(fresh, clean)
        run(make(), clean, seed=1)  # another trainer of the same network finds the steps
    assert not [name for name in after if "train_step" in name or "(step)" in name], after


def test_a_probe_that_diverges_stops_nothing():
    """The training itself says so, with its own step; an estimate there is none."""
    trainer = make(learning_rate=1e30)
    assert np.isnan(trainer.probe(noisy_data()))
    with pytest.raises(Diverged, match=r"step \d \(epoch 1\)"):
        run(trainer, noisy_data())


def test_devices_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="3 devices do not divide the batch size 8"):
        make(devices=choose_devices(3))


def test_a_trial_needs_an_epoch():
    with pytest.raises(ValueError, match="needs at least one step, got total_steps=0"):
        make(epochs=0).run(noisy_data(), seed=0)


def test_the_network_computes_as_the_options_say():
    trainer = make(dtype="bfloat16", standardise="none")
    assert (trainer.network.dtype, trainer.network.standardise) == (jnp.bfloat16, False)
    assert make().network.standardise


# --- validation, checkpoints, accelerators


@pytest.fixture(scope="module")
def validated():
    """A trial with validation windows."""
    return with_noise(FOLD._replace(validation=tiny.side(8, 7)), seed=0, noise=GAUSSIAN)


def test_validation_windows_have_their_own_noise(validated):
    clean, noisy = tiny.side(8, 7).windows, validated.validation.windows
    np.testing.assert_allclose(jax.vmap(measure_snr_db)(clean, noisy - clean), 5, atol=0.01)
    np.testing.assert_array_equal(validated.test.windows, noisy_data().test.windows)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), KeyPurpose.VALIDATION_NOISE), 1)
    np.testing.assert_allclose(noisy[1], add_noise(key, clean[1], 5.0), atol=1e-6)


def test_the_last_network_is_tested_and_validation_only_looked_at(fresh, usual, validated):
    result, records = epochs_of(fresh, validated)
    np.testing.assert_array_equal(result.predicted, usual[0].predicted)
    assert result.epoch == EPOCHS
    assert result.validation_logits.shape == (8, 3)
    for epoch, _ in records:
        assert 0 <= epoch.validation_accuracy <= 1
        assert epoch.validation_loss > 0


def with_losses(monkeypatch, *losses):
    """Validation losses that are made up: that of the probe, and one for each epoch."""
    values = iter(losses)
    monkeypatch.setattr(trials, "evaluate", lambda *_, **__: {"loss": next(values), "correct": 0, "count": 1})


def test_the_best_network_is_tested_where_it_is_asked_for(validated, monkeypatch):
    with_losses(monkeypatch, 1.0, 3.0, 1.0, 2.0)
    result, records = epochs_of(make(test_network="best"), validated)
    assert result.epoch == 2
    np.testing.assert_array_equal(result.test_confusion, records[1][1])
    assert not np.array_equal(records[1][1], records[2][1])


def test_patience_ends_a_training(validated, monkeypatch):
    with_losses(monkeypatch, 1.0, 3.0, 3.5, 2.0)
    result, records = epochs_of(make(patience=1), validated)
    assert len(records) == result.epoch == 2


def test_several_steps_in_one_call_give_the_same_trial(usual):
    result, losses, _ = usual
    trainer = make(steps_per_call=2)
    assert trainer.probe(noisy_data()) > 0
    with tiny.compilations() as names:  # three steps an epoch: calls of two and of one, both compiled by the probe
        other, other_losses, _ = run(trainer, noisy_data())
    assert not [name for name in names if "step" in name], names
    np.testing.assert_allclose(other_losses, losses, rtol=1e-3)
    np.testing.assert_array_equal(other.test_confusion, result.test_confusion)


def test_a_trial_goes_on_from_its_checkpoints(fresh, usual, tmp_path):
    """Stopped after the second epoch; the seconds of both parts add up."""
    whole, losses, (_, params) = usual

    class Stop(Exception):
        pass

    def stop(epoch, confusion):
        if epoch.number == 3:
            raise Stop

    with pytest.raises(Stop):
        fresh.run(noisy_data(), seed=0, on_epoch=stop, checkpoints=Checkpoints(tmp_path, seconds=0))
    result, records = epochs_of(fresh, noisy_data(), checkpoints=Checkpoints(tmp_path))
    assert [epoch.number for epoch, _ in records] == [3]
    assert records[0][0].loss == losses[2]
    np.testing.assert_array_equal(result.predicted, whole.predicted)
    tiny.assert_equal(jax.device_get(records[0][0].state.params), params)
    assert result.seconds == records[0][0].total_seconds > records[0][0].seconds


def scaled(data, factor):
    sides = {name: getattr(data, name)._replace(windows=factor * getattr(data, name).windows) for name in ("train", "test")}
    return data._replace(**sides, train_noisy=factor * data.train_noisy)


def test_standardised_windows_have_no_scale(fresh, usual):
    (one, losses, _), (other, again, _) = usual, run(fresh, scaled(noisy_data(), 8))
    np.testing.assert_allclose(again, losses, rtol=1e-4)
    np.testing.assert_array_equal(other.predicted, one.predicted)


def test_raw_windows_have_one(fixed):
    raw = make(fixed_noise=True, standardise="none")
    _, losses, _ = run(raw, noisy_data())
    assert not np.allclose(run(raw, scaled(noisy_data(), 8))[1], losses, rtol=1e-3)
    assert not np.allclose(run(fixed, noisy_data())[1], losses, rtol=1e-3)


# --- from a trained network


@pytest.fixture(scope="module")
def trained():
    """Parameters and statistics after another training, of a network with another number of classes."""
    network = tiny.network.clone(classes=5)
    init = jax.jit(functools.partial(network.init, train=False))
    return init(jax.random.key(8), np.zeros((1, tiny.LENGTH, 1)))


def first_epoch(trainer):
    states = []
    trainer.run(noisy_data(), seed=0, on_epoch=lambda epoch, _: states.append(jax.device_get(epoch.state)))
    return states[0]


def body(params):
    return {name: leaf for name, leaf in params.items() if name != "classifier"}


def test_a_frozen_body_stays_and_its_statistics_follow_the_data(trained):
    """And a trial does not use up what it starts from."""
    before = jax.device_get(trained)
    trainer = make(init_from=trained, body_rate=0.0)
    state = first_epoch(trainer)
    tiny.assert_equal(body(state.params), body(before["params"]))
    assert state.params["classifier"]["kernel"].shape[-1] == tiny.CLASSES
    begun = jax.device_get(trainer._create(noisy_data(), 0))
    assert not np.allclose(state.params["classifier"]["kernel"], begun.params["classifier"]["kernel"], atol=1e-4)
    for old, new in zip(tiny.leaves(trained["batch_stats"]), tiny.leaves(state.batch_stats), strict=True):
        assert not np.array_equal(old, new)
    tiny.assert_equal(jax.device_get(trained), before)


def test_a_body_learns_at_its_share_of_the_rate(trained):
    """One step: what it changes is the share of what a whole rate would change."""
    moved = []
    for rate in (0.5, 1.0):
        trainer = make(init_from=trained, body_rate=rate, epochs=1, batch_size=24)
        moved.append(jax.tree.map(np.subtract, body(first_epoch(trainer).params), jax.device_get(body(trained["params"]))))
    tiny.assert_close(jax.tree.map(lambda leaf: 2 * leaf, moved[0]), moved[1], 1e-5)
