"""The description of a network in a bundle: what is saved of it, and descriptions from before a field existed."""

import json

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.diagnosis import description
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import FIELDS, load, save


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
