"""The description of a network in a bundle: what is saved of it, and descriptions from before a field existed."""

import dataclasses
import json

import flax.linen as nn
import jax
import numpy as np
import pytest
import tiny

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis import description
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import fields_of, load, save
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.diagnosis.labelled import labelled_windows
from drsn_jax.diagnosis.streams import expected
from drsn_jax.nn.image_networks import IMAGE_NETWORKS, drsn18
from drsn_jax.nn.networks import Network


@pytest.fixture
def saved(tmp_path):
    network = tiny.network.clone(implementation=None, platform="cpu", axis_name="devices", standardise=True)
    initialise = jax.jit(lambda key, x: tiny.network.init(key, x, train=False))
    variables = initialise(jax.random.key(0), np.zeros((1, tiny.LENGTH, 1), np.float32))
    save(tmp_path / "model", Bundle(network, variables, ("a", "b", "c"), tiny.LENGTH, 12_000.0, 32))
    return tmp_path / "model"


def test_fields_that_make_the_network_are_saved(saved):
    fields = json.loads((saved / "model.json").read_text())["network"]
    assert set(fields) == set(fields_of(Network))
    assert not {"conv", "norm", "axis_name", "implementation", "platform", "parent", "name"} & set(fields_of(Network))
    assert load(saved).network == tiny.network.clone(implementation=None, standardise=True)


@pytest.mark.parametrize("standardise", [True, False])
def test_the_first_bundles_said_of_themselves_whether_they_standardise(saved, standardise):
    """And not of their network."""
    file = saved / "model.json"
    facts = json.loads(file.read_text())
    del facts["network"]["standardise"], facts["sha256"]
    facts["standardise"] = standardise
    facts["sha256"] = description._checksum(facts)
    file.write_text(json.dumps(facts))
    assert load(saved).network == tiny.network.clone(implementation=None, standardise=standardise)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_network_of_the_size_of_resnet_is_saved_whole(tmp_path, bottleneck):
    network = drsn18(classes=2, widths=(2, 3), units=(1, 1), bottleneck=bottleneck, standardise=True)
    picture = np.random.default_rng(0).normal(size=(1, 12, 12, 1)).astype(np.float32)
    bundle = Bundle(network, tiny.variables(network, picture.shape), ("cat", "dog"), (12, 12))
    save(tmp_path / "model", bundle)
    again = load(tmp_path / "model")
    assert again.network == network
    np.testing.assert_array_equal(again.logits(picture), bundle.logits(picture))
    with pytest.raises(BundleError, match="a convolution or norm of your own"):
        save(tmp_path / "other", dataclasses.replace(bundle, network=network.clone(conv=nn.Conv)))


def test_the_name_of_a_network_is_that_of_its_preset():
    named = lambda network: repr(Bundle(network, {}, ("cat", "dog"), (12, 12))).split(",")[0]  # noqa: E731
    for name, made in IMAGE_NETWORKS.items():
        assert named(made(classes=2)) == f"Bundle({name}"
    assert named(drsn18(classes=2, units=(1, 1, 1, 1))) == "Bundle(network"


def test_a_model_of_pictures_has_a_height_and_a_width(tmp_path):
    network = Network(classes=2, widths=(2,), units=(1,), kernel=(3, 3))
    variables = jax.jit(lambda key: network.init(key, np.zeros((1, 8, 12, 1), np.float32), train=False))(jax.random.key(0))
    bundle = Bundle(network, variables, ("cat", "dog"), (8, 12))
    save(tmp_path / "model", bundle)
    again, picture = load(tmp_path / "model"), np.zeros((1, 8, 12, 1), np.float32)
    assert (again.window_shape, again.sampling_rate, again.stride) == ((8, 12, 1), None, None)
    assert repr(again) == "Bundle(drsn_cw, 2 classes (cat, dog), windows of 8 × 12 pixels × 1 channel)"
    assert np.array_equal(again.predict_proba(picture), bundle.predict_proba(picture))
    with pytest.raises(BundleError, match=r"\(n, 8, 12, 1\), got \(1, 12, 8, 1\)"):
        again.logits(picture.swapaxes(1, 2))
    for ask in (
        lambda: again.diagnose(np.zeros(99), 1.0),
        lambda: expected(again, 1.0, None),
        lambda: labelled_windows(again, []),
    ):
        with pytest.raises(UserError, match="for pictures of 8 × 12 pixels"):
            ask()
