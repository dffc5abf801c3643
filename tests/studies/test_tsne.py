"""Pooled features: those of the network, kept once for each network, drawn by class."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from matplotlib.backends.backend_agg import FigureCanvasAgg

from drsn_jax.evaluation import inspection
from drsn_jax.evaluation.inspection import pooled_features
from drsn_jax.studies import feature_figure
from drsn_jax.studies.comparison_results import feature_files, write_features


def groups(count=20):
    """Two classes far from each other in two of four channels, one channel of large numbers and one of none."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    features = np.column_stack([labels * 20.0, -labels * 20.0, np.full(count, 1e6), np.zeros(count)])
    return features + rng.normal(size=(count, 4)) * [1, 1, 1e5, 0], labels


def test_the_classifier_of_pooled_features_gives_the_logits(monkeypatch):
    monkeypatch.setattr(inspection, "PART", 3)  # computed in parts, the last one shorter
    windows, _ = tiny.tones(5)
    variables: Any = tiny.variables()
    found = pooled_features(tiny.network, variables, windows)
    classifier = variables["params"]["classifier"]
    logits: Any = jax.jit(functools.partial(tiny.network.apply, train=False))(variables, windows)
    np.testing.assert_allclose(found @ classifier["kernel"] + classifier["bias"], logits, rtol=1e-4, atol=1e-5)


def test_every_network_has_a_panel_with_all_classes(tmp_path, drawn):
    features, labels = groups()
    for network in ("drsn_cw", "resnet"):
        write_features(tmp_path, network, features, labels, ["healthy", "inner $race"])
    assert list(feature_files(tmp_path)) == ["drsn_cw", "resnet"]
    (file,) = feature_figure.tsne_figure(tmp_path)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert [panel.get_title() for panel in drawn["features.png"].axes] == ["ResNet", "DRSN-CW"]
    for panel in drawn["features.png"].axes:
        assert [len(points.get_offsets()) for points in panel.collections] == [10, 10]


def test_forty_classes_differ_in_colour_or_marker(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(feature_figure, "tsne", lambda features, iterations: features)
    write_features(tmp_path, "resnet", np.random.default_rng(0).normal(size=(40, 2)), np.arange(40), [str(i) for i in range(40)])
    feature_figure.tsne_figure(tmp_path)
    (panel,) = drawn["features.png"].axes
    styles = [(*points.get_facecolor()[0], points.get_paths()[0].vertices.tobytes()) for points in panel.collections]
    assert len(set(styles)) == len(styles) == 40


@pytest.mark.parametrize("count", [3, 70])
def test_the_legend_names_all_classes_that_can_be_told_apart(tmp_path, drawn, monkeypatch, count):
    """Also those whose names begin with ``_``, which matplotlib leaves out by itself. What controls a terminal is shown."""
    monkeypatch.setattr(feature_figure, "tsne", lambda features, iterations: features)
    names = ["_healthy", "inner\x1b race", *(f"class {number}" for number in range(2, count))]
    write_features(tmp_path, "resnet", np.random.default_rng(0).normal(size=(count, 2)), np.arange(count), names)
    feature_figure.tsne_figure(tmp_path)
    (legend,) = drawn["features.png"].legends
    assert [text.get_text() for text in legend.get_texts()] == ["_healthy", r"inner\x1b race", *names[2:64]]
    assert legend.get_title().get_text() == ("the first 64 of 70 classes" if count == 70 else "")


def test_groups_stay_apart():
    features, labels = groups()
    places = feature_figure.tsne(features)
    centres = np.stack([places[labels == label].mean(0) for label in (0, 1)])
    inside = max(np.linalg.norm(places[labels == label] - centres[label], axis=1).mean() for label in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * inside
    np.testing.assert_array_equal(places, feature_figure.tsne(features))


def test_nothing_to_draw(tmp_path):
    assert feature_figure.tsne_figure(tmp_path) == []
    write_features(tmp_path, "resnet", np.ones((2, 4)), np.array([0, 1]), ["a", "b"])
    assert feature_figure.tsne_figure(tmp_path) == []
    write_features(tmp_path, "resnet", np.ones((5, 4)), np.zeros(5, int), ["a", "b"])  # all alike
    assert len(feature_figure.tsne_figure(tmp_path)) == 1


def test_without_windows():
    with pytest.raises(ValueError, match="no windows"):
        pooled_features(tiny.network, {}, np.empty((0, 8, 1)))


@pytest.mark.parametrize("names", [9 * ("a long name of a class",), tuple("abcdefg"), 20 * ("OR007@6",)])
def test_the_legend_fits_into_the_figure(tmp_path, monkeypatch, names):
    """One network, whose figure is narrow, and many classes."""
    labels = np.arange(60) % len(names)
    unlike = [f"{name}{number}" for number, name in enumerate(names)]
    write_features(tmp_path, "drsn_cw", np.random.default_rng(0).normal(size=(60, 4)), labels, unlike)
    monkeypatch.setattr(feature_figure, "tsne", lambda features, iterations: features[:, :2])
    kept = []
    monkeypatch.setattr(feature_figure, "save_figure", lambda figure, file: kept.append(figure) or file)
    feature_figure.tsne_figure(tmp_path)
    (figure,) = kept
    FigureCanvasAgg(figure).draw()
    legend, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert whole.x0 <= legend.x0
    assert legend.x1 <= whole.x1
    assert legend.y0 >= whole.y0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == unlike
