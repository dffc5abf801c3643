"""A bundle that knows what its training looked like: kept, read, told in a diagnosis, and refused where it does not fit."""

import dataclasses
import hashlib
import json

import jax
import numpy as np
import pytest
import safetensors.numpy
import tiny

from drsn_jax.diagnosis import weights
from drsn_jax.diagnosis.answer_lines import file_answer
from drsn_jax.diagnosis.asking import ask
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.description import DESCRIPTION, BundleError, encode_description, read_description
from drsn_jax.evaluation.novelty import fit_novelty

RATE = 8000.0


@pytest.fixture(scope="module")
def bundle():
    """Untrained, with the novelty of noise of one level; the network does not scale its windows."""
    network = tiny.network.clone(standardise=False)
    known = Bundle(network, tiny.variables(network), ("a", "b", "c"), tiny.LENGTH, RATE, tiny.LENGTH)
    windows = np.random.default_rng(0).normal(size=(600, tiny.LENGTH, 1)).astype(np.float32)
    features = known.features(windows)
    assert features.shape[0] == 600
    novelty = fit_novelty(features[:300], np.arange(300) % 3, features[300:])
    return dataclasses.replace(known, novelty=novelty)


def signal(level, windows=10, seed=5):
    return (level * np.random.default_rng(seed).normal(size=windows * tiny.LENGTH)).astype(np.float32)


def test_it_is_kept_and_read_again(bundle, tmp_path):
    save(tmp_path / "model", bundle)
    again = load(tmp_path / "model")
    assert again.novelty is not None
    for one, other in zip(again.novelty, bundle.novelty, strict=True):
        np.testing.assert_array_equal(one, other)
    windows = signal(1.0).reshape(-1, tiny.LENGTH, 1)
    for one, other in zip(again.answer(windows), bundle.answer(windows), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5)


def test_the_answer_is_that_of_a_model_without_and_the_novelty_that_of_its_features(bundle):
    windows = signal(1.0).reshape(-1, tiny.LENGTH, 1)
    without = dataclasses.replace(bundle, novelty=None)
    assert without.answer(windows)[1] is None
    for count in (10, 1, 0):  # a single window has a program of its own
        probabilities, novelty = bundle.answer(windows[:count])
        assert (probabilities.shape, novelty.shape) == ((count, 3), (count,))
        np.testing.assert_allclose(bundle.logits(windows[:count]), without.logits(windows[:count]), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(probabilities, without.predict_proba(windows[:count]), rtol=1e-5)
        if count:
            np.testing.assert_allclose(novelty, bundle.novelty.of(bundle.features(windows[:count])), rtol=1e-4)
    spread = dataclasses.replace(bundle)
    spread.spread(jax.devices()[:2])
    np.testing.assert_allclose(spread.answer(windows)[1], bundle.answer(windows)[1], rtol=1e-5)


def test_a_class_without_training_windows_has_no_centre(bundle, tmp_path):
    some = dataclasses.replace(bundle, novelty=bundle.novelty._replace(centres=bundle.novelty.centres[:2]))
    save(tmp_path / "model", some)
    again = load(tmp_path / "model").novelty
    assert again is not None
    assert np.shape(again.centres) == np.shape(some.novelty.centres)


def test_a_novelty_that_is_set_later_is_used(bundle):
    late = dataclasses.replace(bundle, novelty=None)
    windows = signal(1.0).reshape(-1, tiny.LENGTH, 1)
    for count in (10, 1):
        assert late.answer(windows[:count])[1] is None
    late.novelty = bundle.novelty
    for count in (10, 1):
        np.testing.assert_allclose(late.answer(windows[:count])[1], bundle.answer(windows[:count])[1], rtol=1e-5)
    assert late.features(windows[:0]).shape == (0, late.features(windows).shape[1])


def test_the_probabilities_of_a_subclass_are_asked(bundle):
    class Other(Bundle):
        def predict_proba(self, windows):
            return np.tile([0.0, 0.0, 1.0], (len(windows), 1))

    other = Other(**{field.name: getattr(bundle, field.name) for field in dataclasses.fields(bundle)})
    assert other.diagnose(signal(1.0), RATE).label == "c"


def test_a_recording_that_is_unlike_the_training_is_not_named(bundle):
    usual, loud = (bundle.diagnose(signal(level), RATE) for level in (1.0, 30.0))
    assert usual.novelty < 1.5
    assert "unlike" not in " ".join(usual.doubts + usual.warnings)
    assert loud.novelty > 3
    assert not loud.sure
    assert "it is unlike all that the network was trained on" in loud.doubts
    (told,) = (warning for warning in loud.warnings if "unlike" in warning)
    assert f"half of them are {loud.novelty:.3g} times as far" in told
    assert dataclasses.replace(bundle, novelty=None).diagnose(signal(30.0), RATE).novelty is None


def test_it_stands_in_the_record(bundle, tmp_path):
    np.save(tmp_path / "x.npy", signal(30.0))
    record, text = file_answer("x.npy", ask(bundle, tmp_path / "x.npy", sampling_rate=RATE), set(), unasked=False)
    assert json.loads(json.dumps(record, allow_nan=False))["novelty"] > 3
    assert "  not sure because " in text


def test_a_model_from_before_is_read(bundle, tmp_path):
    save(tmp_path / "model", dataclasses.replace(bundle, novelty=None))
    facts = read_description(tmp_path / "model")
    facts["format"] = 3
    (tmp_path / "model" / DESCRIPTION).write_text(encode_description(facts))
    assert read_description(tmp_path / "model")["format"] == 3
    assert load(tmp_path / "model").novelty is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": np.zeros((2, 1), np.float32)}, "its novelty does not fit the network"),
        ({"limit": np.float32(0)}, "a spread or a limit that is not positive"),
        ({"spread": None}, "its novelty does not fit the network"),
        ({"centres": np.nan}, "its novelty does not fit the network"),
        ({"more": np.zeros(1, np.float32)}, "its novelty does not fit the network"),
        ({"limit": np.float64(1)}, "its novelty does not fit the network"),
        ({"axes": np.float32(1)}, "its novelty does not fit the network"),
        ({"centres": np.zeros((0, 4), np.float32)}, "its novelty does not fit the network"),
        ({"centres": np.zeros((4, 4), np.float32)}, "its novelty does not fit the network"),
    ],
)
def test_what_does_not_fit_is_refused(bundle, tmp_path, change, words):
    save(tmp_path / "model", bundle)
    facts = read_description(tmp_path / "model")
    arrays = weights.read_weights(tmp_path / "model", facts)
    for name, value in change.items():
        full = weights.NOVELTY + name
        if value is None:
            del arrays[full]
        else:
            arrays[full] = np.full_like(arrays[full], value) if type(value) is float else np.asarray(value)
    content = safetensors.numpy.save(arrays)
    name = weights.name_of(content)
    (tmp_path / "model" / name).write_bytes(content)

    facts |= {"weights": name, "weights_sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "model" / DESCRIPTION).write_text(encode_description(facts))
    with pytest.raises(BundleError, match=words):
        load(tmp_path / "model")


def test_a_novelty_of_another_network_is_not_saved(bundle, tmp_path):
    other = bundle.novelty._replace(centres=bundle.novelty.centres[:, :2])
    with pytest.raises(BundleError, match="the model: its novelty does not fit the network"):
        save(tmp_path / "model", dataclasses.replace(bundle, novelty=other))
    assert not (tmp_path / "model").exists()
