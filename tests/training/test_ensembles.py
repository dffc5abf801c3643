"""Members of an ensemble are what they would be alone, however they are computed, and do not touch each other."""

import functools
import math

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.data.windows import Fold, Side
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.evaluation.prediction import ensemble_predict
from drsn_jax.functional.signals import standardise
from drsn_jax.studies.trial_data import with_noise
from drsn_jax.studies.trials import Trainer
from drsn_jax.training import ensembles
from drsn_jax.training.ensembles import Ensemble, Member

WINDOWS, LABELS = tiny.tones(20, 1)
EPOCHS, BATCH = 3, 8
MEMBERS = (
    Member(0, "gaussian", 0.0, 0.1),
    Member(1, "pink", -5.0, 0.05),
    Member(2, "gaussian", (-5.0, 5.0), 0.1),
    Member(5, "gaussian", math.inf, 0.1),
)


def run(members, **how):
    ensemble = Ensemble(tiny.network, members, examples=len(WINDOWS), epochs=EPOCHS, batch_size=BATCH, **how)
    return list(ensemble.run(WINDOWS, LABELS))


@functools.cache
def trainer(noise, drawn, learning_rate):
    """``trials.Trainer``, as the other scripts train."""
    options = {"examples": len(WINDOWS), "epochs": EPOCHS, "batch_size": BATCH, "learning_rate": learning_rate}
    return Trainer(tiny.network, **options, noise=noise, train_snr_db=drawn)


@functools.cache
def alone(member):
    """The parameters of a member that is trained without others, and its losses by epoch."""
    drawn, level = (member.snr_db, 0.0) if isinstance(member.snr_db, tuple) else (None, member.snr_db)
    side = Side(WINDOWS, LABELS, np.zeros(len(WINDOWS), np.int32))
    fold = Fold("0", side, side)
    data = with_noise(fold, seed=member.seed, snr_db=level, kind=member.noise)
    losses = []
    log = lambda epoch, _: losses.append(epoch.loss)  # noqa: E731
    result = trainer(member.noise, drawn, member.learning_rate).run(data, seed=member.seed, on_epoch=log)
    return result.variables, losses


@pytest.mark.parametrize("how", [{"order": "vmap"}, {"order": "map"}, {"order": "unroll"}, {"devices": 3}])
def test_a_member_is_what_it_would_be_alone(how):
    if "devices" in how:
        how = {"devices": jax.devices()[: how["devices"]]}
    epochs = run(MEMBERS, **how)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert not epochs[-1].diverged.any()
    for i, member in enumerate(MEMBERS):
        variables, losses = alone(member)
        found = jax.tree.map(lambda leaf: leaf[i], epochs[-1].variables)  # noqa: B023
        tiny.assert_close(found, variables, 2e-4)
        np.testing.assert_allclose([epoch.loss[i] for epoch in epochs], losses, rtol=2e-4)


def test_a_probe_compiles_the_step_of_the_training_and_scales_what_it_measured(monkeypatch):
    """A clock that ticks a second a look: a step takes one, the training as many as it has steps."""
    ensemble = Ensemble(tiny.network, MEMBERS, examples=len(WINDOWS), epochs=EPOCHS, batch_size=BATCH)
    ticks = iter(range(100))
    with monkeypatch.context() as clock:
        clock.setattr(ensembles.time, "perf_counter", lambda: next(ticks))
        assert ensemble.probe(WINDOWS, LABELS, steps=4) == EPOCHS * 3
    with tiny.compilations() as names:
        epochs = list(ensemble.run(WINDOWS, LABELS))
    assert not [name for name in names if "map" in name or "unroll" in name], names
    np.testing.assert_array_equal(epochs[-1].loss, run(MEMBERS)[-1].loss)


def test_a_member_that_diverges_stops_alone():
    wild = Member(1, "gaussian", 0.0, 1e20)
    epochs = run((MEMBERS[0], wild, MEMBERS[3]))
    assert epochs[-1].diverged.tolist() == [False, True, False]
    for leaf in jax.tree.leaves(epochs[-1].variables):
        assert np.isfinite(leaf).all()
    for i, member in ((0, MEMBERS[0]), (2, MEMBERS[3])):
        tiny.assert_close(jax.tree.map(lambda leaf: leaf[i], epochs[-1].variables), alone(member)[0], 2e-4)  # noqa: B023
    assert np.isnan(epochs[-1].loss[1])
    assert np.isfinite(epochs[-1].loss[[0, 2]]).all()


def test_other_members_use_the_compiled_step():
    ensemble = Ensemble(tiny.network, MEMBERS[:1], examples=len(WINDOWS), epochs=EPOCHS, batch_size=BATCH)
    list(ensemble.run(WINDOWS, LABELS))
    with tiny.compilations() as compiled:
        last = list(ensemble.with_members([Member(7, "gaussian", 3.0)]).run(WINDOWS, LABELS))[-1]
    assert compiled == []
    assert last.loss[0] != list(ensemble.run(WINDOWS, LABELS))[-1].loss[0]
    for wrong in (MEMBERS[:2], MEMBERS[1:2]):
        with pytest.raises(ValueError, match="made for 1 members with the noise"):
            ensemble.with_members(wrong)


def test_members_are_asked_together():
    variables = run(MEMBERS[:2])[-1].variables
    found = ensemble_predict(tiny.network, variables, WINDOWS, batch_size=8)
    prepared = jax.vmap(standardise)(WINDOWS)
    for i in range(2):
        one = jax.tree.map(lambda leaf: leaf[i], variables)  # noqa: B023
        expected = softmax(np.asarray(tiny.network.apply(one, prepared, train=False)))
        np.testing.assert_allclose(found.members[i], expected, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, found.members.mean(0))
    assert (found.disagreement >= 0).all()
    assert found.disagreement.max() > 0
    twins = jax.tree.map(lambda leaf: np.stack([leaf[0], leaf[0]]), variables)
    assert ensemble_predict(tiny.network, twins, WINDOWS).disagreement.max() < 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: run(()), "at least one member, got none"),
        (lambda: run(MEMBERS, order="spiral"), "unknown order 'spiral': choose vmap, map or unroll"),
        (lambda: Member(noise="brown"), "unknown kind of noise 'brown'"),
        (lambda: Member(snr_db=math.nan), "snr_db is from -100 to 100 dB"),
        (lambda: Member(snr_db=(0.0, math.inf)), "snr_db is from -100 to 100 dB"),
        (lambda: Member(snr_db=(5.0, -5.0)), "or a range \\(low, high\\), got \\(5.0, -5.0\\)"),
        (lambda: Member(snr_db=(5.0, 6.0, 7.0)), "or a range"),  # pyright: ignore[reportArgumentType]
        (lambda: Member(snr_db=[5.0, 6.0]), "or a range"),  # pyright: ignore[reportArgumentType]
        (lambda: Member(learning_rate=0), "a positive learning rate"),
        (lambda: Member(seed=-1), "a seed from 0"),
        (lambda: list(Ensemble(tiny.network, MEMBERS, examples=9, epochs=1).run(WINDOWS, LABELS)), "made for 9 windows, got 20"),
        (lambda: Ensemble(tiny.network, MEMBERS, examples=9, epochs=0), "at least one epoch"),
        (lambda: Ensemble(tiny.network, MEMBERS, examples=0, epochs=1), "at least one window"),
        (lambda: Ensemble(tiny.network, MEMBERS, examples=9, epochs=1, devices=[]), "one device where devices are given"),
        (lambda: Ensemble(tiny.network, MEMBERS, examples=20, epochs=1).probe(WINDOWS, LABELS - 1), "got int32 from -1 to 1"),
        (lambda: Ensemble(tiny.network, MEMBERS, examples=20, epochs=1).probe(WINDOWS, LABELS, steps=0), "at least one step"),
        (lambda: ensemble_predict(tiny.network, {"x": WINDOWS}, WINDOWS * np.inf), "20 windows hold NaN or infinity"),
    ],
)
def test_what_is_no_ensemble(make, message):
    with pytest.raises(ValueError, match=message):
        make()
