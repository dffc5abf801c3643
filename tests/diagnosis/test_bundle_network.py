"""The description of a network in a bundle: what is saved of it, and descriptions from before a field existed."""

import json

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis import description
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import FIELDS, load, save
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.diagnosis.labelled import labelled_windows
from drsn_jax.diagnosis.streams import expected
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
    assert set(fields) == set(FIELDS)
    assert not {"conv", "norm", "axis_name", "implementation", "platform", "parent", "name"} & set(FIELDS)
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
