"""Members of an ensemble are what they would be alone, however they are computed, and do not touch each other."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.evaluation.metrics import softmax
from drsn_jax.evaluation.prediction import ensemble_predict
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.noise_mixture import NoiseMixture
from drsn_jax.nn.networks import resnet
from drsn_jax.training import ensembles
from drsn_jax.training.batches import Batches
from drsn_jax.training.checkpoints import CheckpointError, Checkpoints
from drsn_jax.training.ensembles import Ensemble
from drsn_jax.training.loop import fit
from drsn_jax.training.members import Member
from drsn_jax.training.optimizers import one_cycle_optimizer, paper_optimizer
from drsn_jax.training.state import KeyPurpose, create_state
from drsn_jax.training.steps import make_eval_step, make_train_step

WINDOWS, LABELS = tiny.tones(20, 1)
UNSEEN = tiny.tones(11, 2)
EPOCHS, BATCH = 3, 8
MEMBERS = (Member(0, Noise("gaussian", 0.0)), Member(1, Noise("gaussian", (-5.0, 5.0)), 0.05), Member(5, Noise()))
network = resnet(classes=tiny.CLASSES, widths=(3,), units=(1,), implementation="modules", standardise=True)


@functools.cache
def made(**how):
    how = how | ({"devices": jax.devices()[: how["devices"]]} if "devices" in how else {})
    return Ensemble(network, MEMBERS, examples=len(WINDOWS), epochs=EPOCHS, batch_size=BATCH, **how)


@functools.cache
def whole(**how):
    """The epochs of a whole training, with variables in host memory."""
    return [(epoch, jax.device_get(epoch.variables)) for epoch in made(**how).fit(WINDOWS, LABELS, validation=UNSEEN)]


def number(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@functools.cache
def alone(member):
    """The epochs of a member that is trained without others, by the plain step."""
    optimizer = paper_optimizer(EPOCHS * 3, member.learning_rate)
    step = jax.jit(make_train_step(network, optimizer, noise=member.noise))
    look = jax.jit(make_eval_step(network, noise=member.noise))
    root = jax.random.key(member.seed)

    def validate(state):
        """Eight windows and then three, under one draw of the member's noise."""
        windows, labels = UNSEEN
        sums = []
        for start in (0, 8):
            batch = {"windows": windows[start : start + 8], "labels": labels[start : start + 8]}
            batch["weights"] = np.ones(len(batch["labels"]), np.float32)
            key = jax.random.fold_in(jax.random.fold_in(root, KeyPurpose.VALIDATION_NOISE), start)
            sums.append(look(state.variables, batch, key))
        return {name: sums[0][name] + sums[1][name] for name in ("loss", "correct", "count")}

    state = create_state(network, optimizer, jax.random.fold_in(root, KeyPurpose.TRAINING), WINDOWS)
    batches = Batches(WINDOWS, LABELS, BATCH, seed=member.seed)
    return list(fit(step, state, batches, epochs=EPOCHS, validate=validate))


@pytest.mark.parametrize(
    "how",
    [{"order": "vmap"}, {"order": "map"}, pytest.param({"order": "unroll"}, marks=pytest.mark.slow), {"devices": 2}],
    ids=str,
)
def test_a_member_is_what_it_would_be_alone(how):
    """In parameters, losses and validation. Two devices are filled up with a fourth member."""
    epochs = whole(**how)
    assert [epoch.number for epoch, _ in epochs] == [1, 2, 3]
    assert epochs[-1][0].diverged.tolist() == [False] * 3
    for i, member in enumerate(MEMBERS):
        expected = alone(member)
        tiny.assert_close(number(epochs[-1][1], i), jax.device_get(expected[-1].variables), 2e-4)
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "best_epoch"):
            together = [getattr(epoch, name)[i] for epoch, _ in epochs]
            np.testing.assert_allclose(together, [getattr(epoch, name) for epoch in expected], rtol=2e-4)
        best = epochs[-1][0].best_epoch[i]
        tiny.assert_close(number(epochs[-1][0].best, i), number(epochs[best - 1][1], i), 0)


@pytest.mark.parametrize("how", [{"order": "vmap"}, {"devices": 2}], ids=str)
def test_an_ensemble_that_is_interrupted_goes_on_to_the_same_bytes(tmp_path, how):
    """Stopped in its second epoch, after a checkpoint at every step."""
    ensemble, expected = made(**how), whole(**how)
    stopped = ensemble.fit(WINDOWS, LABELS, validation=UNSEEN, checkpoints=Checkpoints(tmp_path, seconds=0))
    next(stopped)
    next(stopped)
    stopped.close()
    assert sorted(tmp_path.glob("*.safetensors"))[-1].name == "step-0000000006.safetensors"
    (tmp_path / "step-0000000006.safetensors").unlink()
    rest = list(ensemble.fit(WINDOWS, LABELS, validation=UNSEEN, checkpoints=Checkpoints(tmp_path)))
    assert [epoch.number for epoch in rest] == [2, 3]
    tiny.assert_equal(jax.device_get(rest[-1].variables), expected[-1][1])
    tiny.assert_equal(rest[-1].best, expected[-1][0].best)
    for name in ("loss", "accuracy", "validation_loss", "best_epoch"):
        np.testing.assert_array_equal(getattr(rest[-1], name), getattr(expected[-1][0], name))
    again = list(ensemble.fit(WINDOWS, LABELS, validation=UNSEEN, checkpoints=Checkpoints(tmp_path)))
    assert [epoch.number for epoch in again] == [3]
    other = ensemble.with_members([MEMBERS[0], MEMBERS[1], Member(6, Noise())])
    with pytest.raises(CheckpointError, match="another training"):
        next(other.fit(WINDOWS, LABELS, validation=UNSEEN, checkpoints=Checkpoints(tmp_path)))


def test_patience_waits_for_the_member_that_improved_last(monkeypatch):
    """The losses of two members: one never gets better, the other until the second epoch."""
    losses = iter([[1.0, 5.0, 5.0], [2.0, 4.0, 5.0], [3.0, 4.5, 5.0]])
    monkeypatch.setattr(
        ensembles, "_summed", lambda *_: {"loss": np.array(next(losses)), "correct": np.ones(3), "count": np.ones(3)}
    )
    epochs = list(made(order="vmap").fit(WINDOWS, LABELS, validation=UNSEEN, patience=1))
    assert [epoch.best_epoch.tolist() for epoch in epochs] == [[1, 1, 1], [1, 2, 1], [1, 2, 1]]


def test_a_probe_compiles_the_step_of_the_training_and_scales_what_it_measured(monkeypatch):
    """A clock that ticks a second a look: a step takes one, the training as many as it has steps."""
    ensemble, ticks = made(order="vmap"), iter(range(100))
    with monkeypatch.context() as clock:
        clock.setattr(ensembles.time, "perf_counter", lambda: next(ticks))
        assert ensemble.probe(WINDOWS, LABELS, steps=4) == EPOCHS * 3
    with tiny.compilations() as names:
        epochs = list(ensemble.fit(WINDOWS, LABELS))
    assert not [name for name in names if "step" in name], names
    np.testing.assert_array_equal(epochs[-1].loss, whole(order="vmap")[-1][0].loss)


def test_members_take_windows_of_their_own_see_another_shape_and_have_another_optimiser(tmp_path):
    """Each is trained as alone on its windows, by AdamW, on the spectra of noisy windows, in a mixture of noises. Losses are
    compared, because AdamW makes large steps of the rounding in gradients that are zero."""
    noise = NoiseMixture(("gaussian", "pink"), (-5.0, 5.0))
    members = [Member(0, noise, 1e-2, windows=(0, 5, 7, 11, 13)), Member(3, noise, 3e-3, windows=np.array([1, 2, 4, 10, 19]))]

    def prepare(window):
        return jnp.abs(jnp.fft.rfft(window, axis=0))[:24]

    how: Any = {"examples": len(WINDOWS), "epochs": 2, "batch_size": 4, "prepare": prepare, "order": "vmap"}
    ensemble = Ensemble(network, members, **how, optimizer=one_cycle_optimizer)
    assert ensemble.steps == 2
    *_, last = ensemble.fit(WINDOWS, LABELS, checkpoints=Checkpoints(tmp_path))
    others = ensemble.with_members([dataclasses.replace(m, windows=(0, 1, 2, 3, 4)) for m in members])
    with pytest.raises(CheckpointError, match="another training"):
        next(others.fit(WINDOWS, LABELS, checkpoints=Checkpoints(tmp_path)))
    for i, member in enumerate(members):
        optimizer = one_cycle_optimizer(4, member.learning_rate)
        step = jax.jit(make_train_step(network, optimizer, noise=noise, prepare=prepare))
        key = jax.random.fold_in(jax.random.key(member.seed), KeyPurpose.TRAINING)
        state = create_state(network, optimizer, key, np.zeros((1, 24, 1), np.float32))
        taken = np.array(member.windows)
        batches = Batches(WINDOWS[taken], LABELS[taken], 4, seed=member.seed)
        *_, expected = fit(step, state, batches, epochs=2)
        np.testing.assert_allclose(last.loss[i], expected.loss, rtol=1e-3)
    for taken, words in (((1, 2, 3), "5 windows, got some that take 3"), (None, "5 windows, got some that take 20")):
        with pytest.raises(ValueError, match=words):
            ensemble.with_members([Member(0, noise, windows=taken)] * 2)


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (((0, 1), (2,)), r"equally many windows, got \[1, 2\]"),
        (((0, 20), (1, 2)), "takes window 20, and there are 20"),
        (((), (1, 2)), "at least one window"),
        (((-1,), (2,)), "numbered from 0"),
        (((0.5, 1), (2, 3)), "numbered from 0"),
    ],
)
def test_windows_that_members_cannot_take(windows, words):
    with pytest.raises(ValueError, match=words):
        Ensemble(network, [Member(windows=taken) for taken in windows], examples=20, epochs=1)


def test_a_member_that_diverges_stops_alone():
    members = [MEMBERS[0], Member(1, MEMBERS[1].noise, 1e20), MEMBERS[2]]
    last = list(made(order="vmap").with_members(members).fit(WINDOWS, LABELS))[-1]
    assert last.diverged.tolist() == [False, True, False]
    variables = jax.device_get(last.variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    for i in (0, 2):
        tiny.assert_close(number(variables, i), number(whole(order="vmap")[-1][1], i), 2e-4)
    assert np.isnan(last.loss).tolist() == [False, True, False]


def test_a_member_whose_parameters_overflow_has_diverged():
    """Its loss was finite: the update itself carried a parameter beyond float32."""
    state = made(order="vmap").create(WINDOWS)
    params = jax.jit(functools.partial(jax.tree.map, lambda leaf: leaf.at[1].set(math.inf)))(state.members.params)
    state = dataclasses.replace(state, members=dataclasses.replace(state.members, params=params))
    assert state.diverged.tolist() == [False, True, False]


def test_other_members_use_the_compiled_step():
    ensemble = made(order="vmap")
    list(ensemble.fit(WINDOWS, LABELS))
    members = [Member(7, Noise("gaussian", 3.0)), Member(8, Noise("gaussian", -3.0)), MEMBERS[2]]
    with tiny.compilations() as names:
        last = list(ensemble.with_members(members).fit(WINDOWS, LABELS))[-1]
    assert not [name for name in names if "step" in name], names
    assert last.loss[0] != whole(order="vmap")[-1][0].loss[0]
    for wrong in (MEMBERS[:2], (*MEMBERS[:2], Member(5, Noise("pink", 0.0)))):
        with pytest.raises(ValueError, match="made for 3 members with noise of the forms"):
            ensemble.with_members(wrong)


def test_members_are_asked_together():
    variables = whole(order="vmap")[-1][1]
    answer = ensemble_predict(network, variables, WINDOWS, batch_size=8)
    for i in range(3):
        expected = softmax(np.asarray(jax.jit(functools.partial(network.apply, train=False))(number(variables, i), WINDOWS)))
        np.testing.assert_allclose(answer.members[i], expected, atol=1e-5)
    np.testing.assert_allclose(answer.probabilities, answer.members.mean(0))
    assert (answer.disagreement >= 0).all()
    assert answer.disagreement.max() > 0
    twins = jax.tree.map(lambda leaf: np.stack([leaf[0], leaf[0]]), variables)
    assert ensemble_predict(network, twins, WINDOWS, batch_size=8).disagreement.max() < 1e-9


def build(*members, **how):
    return Ensemble(network, members or MEMBERS, **{"examples": len(WINDOWS), "epochs": 1, **how})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble(network, (), examples=20, epochs=1), "at least one member, got none"),
        (lambda: build(order="spiral"), "unknown order 'spiral': choose vmap, map or unroll"),
        (lambda: Member(learning_rate=0), "a positive learning rate"),
        (lambda: Member(seed=-1), "a seed from 0"),
        (lambda: build(examples=9).fit(WINDOWS, LABELS), "made for 9 windows, got 20"),
        (lambda: build(epochs=0), "at least one epoch"),
        (lambda: build(examples=0), "at least one window"),
        (lambda: build(devices=[]), "one device where devices are given"),
        (lambda: build().probe(WINDOWS, LABELS - 1), "got int32 from -1 to 1"),
        (lambda: build().probe(WINDOWS, LABELS, steps=0), "at least one step"),
        (lambda: next(build().fit(WINDOWS, LABELS, patience=2)), "it goes with validate"),
        (lambda: ensemble_predict(network, {"x": WINDOWS}, WINDOWS * np.inf), "20 windows hold NaN or infinity"),
    ],
)
def test_what_is_no_ensemble(make, message):
    with pytest.raises(ValueError, match=message):
        make()
