"""A model as a file that runs without this package: it answers as the model does, and says what its user must know."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import exported
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

from drsn_jax.core.errors import MissingExtra
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.diagnosis.export import PLATFORMS, deployed, metadata, stablehlo
from drsn_jax.diagnosis.trial_windows import in_float32, noise, padded

# what runs where this package is not: jax and numpy alone
ELSEWHERE = """
import sys
sys.modules |= {"drsn_jax": None, "flax": None}
import jax.export, json, numpy
with open("model.stablehlo", "rb") as file:
    model = jax.export.deserialize(bytearray(file.read()))
with open("model.stablehlo.json") as file:
    facts = json.load(file)
windows = numpy.load("windows.npy")
assert windows.shape[1:] == (facts["window_length"], facts["channels"])
numpy.save("found.npy", model.call(windows))
"""


def unusual(windows):
    """The same windows, but with a silent one, a constant one, a loud one and three that are broken."""
    windows = windows.copy()
    windows[0], windows[1], windows[2] = 0, 7, 1e12 * windows[2]
    for number, value in enumerate((np.nan, np.inf, -np.inf), 3):
        windows[number].ravel()[5] = value
    return windows


@pytest.mark.parametrize("kind", exported.KINDS)
def test_the_function_that_is_converted_answers_as_the_model(kind):
    model = in_float32(exported.model(kind))
    windows = unusual(noise(model, 16))
    found = np.asarray(jax.jit(deployed(model))(windows))
    whole = np.isfinite(windows).all(tuple(range(1, windows.ndim)))
    np.testing.assert_allclose(found[whole], model.predict_proba(windows[whole]), atol=1e-5)
    assert found[whole].std(0).min() > 1e-3, "the answers differ between windows"
    assert np.isnan(found[~whole]).all()


@pytest.mark.parametrize("kind", ["drsn_cw", "band_energy"])
def test_gains_of_both_signs_stay_in_front_of_their_relu(kind):
    model = exported.model(kind, negative=True)
    windows = noise(model, 16)
    np.testing.assert_allclose(jax.jit(deployed(model))(windows), model.predict_proba(windows), atol=1e-5)


@pytest.mark.process
def test_stablehlo_runs_without_this_package(tmp_path):
    model = exported.model("drsn_cw")
    model.export(tmp_path / "model.stablehlo")
    windows = unusual(noise(model, 16))
    np.save(tmp_path / "windows.npy", windows)
    ran = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found, whole = np.load(tmp_path / "found.npy"), np.isfinite(windows).all((1, 2))
    np.testing.assert_allclose(found[whole], model.predict_proba(windows[whole]), atol=1e-5)
    assert np.isnan(found[~whole]).all()


@pytest.mark.parametrize(
    ("kind", "batch"), [("bfloat16", None), ("band_energy not scaled", 4), ("drsn_cw with levels", None), ("images", None)]
)
def test_stablehlo_answers_as_the_model(kind, batch):
    model = exported.model(kind)
    opened = jax_export.deserialize(bytearray(stablehlo(model, batch)))
    assert opened.platforms == PLATFORMS
    windows = noise(model, 6)
    windows[0] *= 1e12
    found = np.concatenate([opened.call(part) for part in padded(windows, batch)])[:6]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, in_float32(model).predict_proba(windows), atol=1e-5)


def test_gradients_of_what_is_exported_are_those_of_the_network():
    """The derivatives at the kinks of the thresholds are a rule of their own, which a symbolic batch must keep."""
    model = exported.model("drsn_cw 16")
    network: Any = model.network

    def logits(windows):
        return network.apply(model.variables, windows, train=False)

    shape = jax.ShapeDtypeStruct((*jax_export.symbolic_shape("b"), *model.window_shape), jnp.float32)
    kept = jax_export.export(jax.jit(logits))(shape).serialize(vjp_order=1)
    opened = jax_export.deserialize(kept)
    windows = jnp.asarray(noise(model, 4)).at[0].set(0)  # all features of a silent window lie at a kink
    wanted = jax.jit(jax.grad(lambda x: jnp.sum(jnp.square(logits(x)))))(windows)
    assert np.abs(wanted).max() > 1e-3
    found = jax.jit(jax.grad(lambda x: jnp.sum(jnp.square(opened.call(x)))))(windows)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))


def test_the_facts_beside_it(tmp_path):
    model = exported.model("senet", channel="x + y")
    model.export(tmp_path / "new" / "model.stablehlo", batch=2)
    facts = json.loads((tmp_path / "new" / "model.stablehlo.json").read_text(encoding="utf-8"))
    assert facts == {**metadata(model), "batch": 2, "platforms": list(PLATFORMS)}
    wanted = {"classes": list(exported.CLASSES), "window_length": 64, "channels": 2, "channel": "x + y", "temperature": 1.7}
    assert {name: facts[name] for name in wanted} == wanted
    assert (facts["sampling_rate"], facts["samples_per_revolution"]) == (12_000.0, None)
    turns = metadata(dataclasses.replace(model, per_revolution=True))
    assert (turns["sampling_rate"], turns["samples_per_revolution"]) == (None, 12_000.0)
    pictures = metadata(exported.model("images"))
    assert (pictures["window_length"], pictures["sampling_rate"]) == ([8, 8], None)


def test_what_is_refused(tmp_path, monkeypatch):
    model = exported.model("convnet")
    with pytest.raises(BundleError, match=r"end it with \.onnx or \.stablehlo, got model\.pt"):
        model.export(tmp_path / "model.pt")
    with pytest.raises(BundleError, match="from 1 to 1048576, or None for any number, got 0"):
        model.export(tmp_path / "model.onnx", batch=0)
    network = model.network.clone(classes=1)
    healthy = dataclasses.replace(model, network=network, classes=("healthy",))
    with pytest.raises(BundleError, match="only class is healthy, its answer is the novelty"):
        healthy.export(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(BundleError, match=r"model\.onnx exists: choose another name"):
        model.export(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(MissingExtra, match=r"writing ONNX needs jax2onnx: pip install 'drsn-jax\[onnx\]'"):
        model.export(tmp_path / "folder" / "model.onnx")
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(MissingExtra, match=r"writing StableHLO needs flatbuffers: pip install 'drsn-jax\[onnx\]'"):
        model.export(tmp_path / "folder" / "model.stablehlo")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"], "nothing is left behind"
