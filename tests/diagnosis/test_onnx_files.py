"""Models as ONNX, run in onnxruntime. Skipped without the extra ``onnx``, which the tests do not install."""

import dataclasses
import json
import subprocess
import sys

import exported
import numpy as np
import pytest

from drsn_jax.diagnosis import export as export_module
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.diagnosis.export import deployed, metadata
from drsn_jax.diagnosis.trial_windows import in_float32, noise

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("jax2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from drsn_jax.diagnosis.onnx_files import CLOSE, onnx_check, run, session, to_onnx  # noqa: E402


def read(model, file, **options):
    """Export a model and return the content of the file."""
    model.export(file, **options)
    return file.read_bytes()


@pytest.mark.parametrize("kind", exported.KINDS)
def test_it_answers_as_the_model(kind, tmp_path):
    model = exported.model(kind)
    content = read(model, tmp_path / "model.onnx")
    windows = noise(model, 16)
    opened = session(content)
    wanted = in_float32(model).predict_proba(windows)
    found = run(opened, windows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=CLOSE)
    # every number of windows, each answered alone as among others
    np.testing.assert_allclose(run(opened, windows[:1]), wanted[:1], atol=CLOSE)
    for value in (np.nan, np.inf, -np.inf):
        for place in (0, -1):
            broken = windows.copy()
            broken[3].ravel()[place] = value
            answer = run(opened, broken)
            assert np.isnan(answer[3]).all(), "it never names a class"
            np.testing.assert_allclose(np.delete(answer, 3, 0), np.delete(wanted, 3, 0), atol=CLOSE)


@pytest.mark.parametrize("kind", ["drsn_cw", "band_energy"])
def test_a_thousand_windows_in_a_fixed_batch(kind, tmp_path):
    model = exported.model(kind, rms_range=(100.0, 300.0))
    content = read(model, tmp_path / "model.onnx", batch=7)
    opened = session(content)
    assert opened.get_inputs()[0].shape == [7, *model.window_shape]
    assert onnx_check(model, content, 1000) <= CLOSE
    windows = noise(model, 14)
    windows[4], windows[9] = 0, 5  # silent, and constant
    np.testing.assert_allclose(run(opened, windows), model.predict_proba(windows), atol=CLOSE)


@pytest.mark.parametrize("kind", ["drsn_cw", "band_energy"])
def test_a_symbolic_batch_costs_no_operation(kind, tmp_path):
    model = exported.model(kind)
    graphs = [onnx.load_from_string(read(model, tmp_path / f"{batch}.onnx", batch=batch)).graph for batch in (None, 1)]
    kinds = [[node.op_type for node in graph.node] for graph in graphs]
    assert kinds[0] == kinds[1]
    assert not {"Shape", "Gather", "Expand", "BatchNormalization", "Cast"} & set(kinds[0])


def test_the_facts_are_in_it(tmp_path):
    model = exported.model("drsn_cw", channel="DE")
    opened = session(read(model, tmp_path / "model.onnx"))
    stored = {name: json.loads(text) for name, text in opened.get_modelmeta().custom_metadata_map.items()}
    assert stored == {**metadata(model), "batch": None}
    assert stored["classes"] == list(exported.CLASSES)
    assert ([taken.name for taken in opened.get_inputs()], [given.name for given in opened.get_outputs()]) == (
        ["windows"],
        ["probabilities"],
    )
    written = onnx.load_from_string((tmp_path / "model.onnx").read_bytes())
    assert (written.opset_import[0].version, written.ir_version) == (18, 8), (
        "docs/export.md says from which runtime on it is read"
    )


@pytest.mark.process
def test_its_packages_are_not_imported_before_they_are_needed():
    asked = "import sys, drsn_jax.diagnosis.export as e; print({'jax2onnx', 'onnx', 'onnxruntime'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "set()\n"


def test_a_file_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    model = exported.model("drsn_cw")
    other = dataclasses.replace(model, temperature=3.0)
    monkeypatch.setattr(export_module, "deployed", lambda _: deployed(other))
    with pytest.raises(BundleError, match=r"would answer otherwise than the model, by up to 0\.\d+: nothing was written"):
        model.export(tmp_path / "model.onnx")
    monkeypatch.setattr(export_module, "deployed", lambda _: lambda windows: deployed(model)(_whole(windows)))
    with pytest.raises(BundleError, match="would name a class for a window that holds NaN"):
        model.export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def _whole(windows):
    import jax.numpy as jnp

    return jnp.where(windows == windows, windows, 0)


def test_what_cannot_be_converted_is_one_sentence(tmp_path):
    import jax

    with pytest.raises(BundleError, match=r"jax2onnx cannot convert this network \(.+\): export it as \.stablehlo"):
        to_onnx(lambda x: jax.lax.top_k(jax.random.normal(jax.random.key(0), x.shape), 1)[0], (4, 1), None, {}, ("a", "b"))
