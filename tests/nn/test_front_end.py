"""A network with a log-mel front end inside: what it sees, NaN, its layout, symbolic shapes, and its bundle on disk."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax import export

from drsn_jax.diagnosis import description
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.evaluation.inspection import pooled_features, shrinkages, thresholds
from drsn_jax.functional.mel import LogMel
from drsn_jax.nn.networks import blocked_layout, drsn_cw

MEL = LogMel(1000.0, frame=32, hop=16, mels=8)
PLAIN = drsn_cw(classes=3, widths=(4,), units=(1,), kernel=(3, 3), standardise=True)
NETWORK = PLAIN.clone(front_end=MEL)
X = np.random.default_rng(0).normal(size=(3, 240, 1)).astype(np.float32)
apply = jax.jit(NETWORK.apply, static_argnames=("train", "method"))


@pytest.fixture(scope="module")
def variables():
    return tiny.variables(NETWORK, (1, 240, 1))


def test_it_sees_the_spectrogram(variables):
    seen = jax.vmap(MEL)(X)
    assert seen.shape == (3, 16, 8, 1)
    expected = jax.jit(PLAIN.apply, static_argnames="train")(variables, seen, train=False)
    np.testing.assert_allclose(apply(variables, X, train=False), expected, atol=1e-5)
    # a gain adds a constant to the logarithm, which the network takes away by standardising
    np.testing.assert_allclose(apply(variables, 50 * X, train=False), expected, atol=1e-4)
    assert apply(variables, X, train=False, method="features").shape == (3, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_window_that_is_not_finite_has_nan(variables, bad):
    windows = X.copy()
    windows[1, 100] = bad
    assert np.isnan(apply(variables, windows, train=False)).all(1).tolist() == [False, True, False]


def test_it_is_inspected(variables):
    assert thresholds(NETWORK, variables, X)[0].zeros.shape == (3, 4)
    assert shrinkages(NETWORK, variables, X[0])[0].after.shape == (4, 2, 4)
    assert pooled_features(NETWORK, variables, X).shape == (3, 4)
    assert blocked_layout(NETWORK.clone(platform="cpu"), variables, X) is None
    assert blocked_layout(NETWORK.clone(implementation="blocked"), variables, X) is None


def test_windows_of_another_shape():
    for shape in ((2, 16, 8, 1), (2, 240)):
        with pytest.raises(ValueError, match="waveforms"):
            jax.eval_shape(lambda shape=shape: NETWORK.init(jax.random.key(0), jnp.zeros(shape), train=False))
    with pytest.raises(ValueError, match="at least one position"):
        jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), jnp.zeros((2, 0, 1)), train=False))
    with pytest.raises(ValueError, match="a kernel of 1 axes"):
        jax.eval_shape(lambda: NETWORK.clone(kernel=(3,)).init(jax.random.key(0), X, train=False))


def test_symbolic_shapes_count_frames(variables):
    def exported(shape):
        given = jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)
        return export.export(jax.jit(lambda x: NETWORK.apply(variables, x, train=False)))(given)

    # 1 + (64n - 16) // 16 frames are a multiple of 4
    np.testing.assert_allclose(exported("b, 64*n-16, 1").call(X), apply(variables, X, train=False), atol=1e-5)
    with pytest.raises(ValueError, match="a symbolic number of frames behind the front end must be a multiple of 4"):
        exported("b, 64*n, 1")


@pytest.fixture
def saved(tmp_path, variables):
    save(tmp_path / "model", Bundle(NETWORK, variables, ("a", "b", "c"), 240, 1000.0, 240))
    return tmp_path / "model"


def test_a_bundle_answers_to_waveforms(saved, variables):
    model = load(saved)
    assert model.network == NETWORK
    centred = X - X.mean(1, keepdims=True)
    np.testing.assert_allclose(model.logits(X), apply(variables, centred, train=False), atol=1e-4)
    assert np.asarray(model.zeros(X)).shape == (3,)
    assert model.diagnose(np.tile(X[0, :, 0], 5), 1000.0).label == model.predict(X)[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"mels": 10**9},
        {"mels": True, "window": 3},
        {"frame": 2**30, "hop": 2**30},
        {"hop": 0},
        {"sampling_rate": "8000"},
        {"high": 1e9},
        {"range_db": -1},
        "LogMel",
        [],
    ],
)
def test_hostile_front_ends_are_refused(saved, changed):
    file = saved / "model.json"
    facts = json.loads(file.read_text())
    del facts["sha256"]
    network = facts["network"]
    network["front_end"] = {**network["front_end"], **changed} if isinstance(changed, dict) else changed
    facts["sha256"] = description._checksum(facts)
    file.write_text(json.dumps(facts))
    with pytest.raises(BundleError, match="expected the fields of a log-mel front end, or null"):
        load(saved)


def test_descriptions_without_the_field_are_of_networks_without_a_front_end(tmp_path):
    network = tiny.network.clone(implementation=None)
    bundle = Bundle(network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 12_000.0, 32)
    save(tmp_path / "model", bundle)
    file = tmp_path / "model" / "model.json"
    facts = json.loads(file.read_text())
    del facts["network"]["front_end"], facts["sha256"]
    facts["sha256"] = description._checksum(facts)
    file.write_text(json.dumps(facts))
    assert load(tmp_path / "model").network == network
