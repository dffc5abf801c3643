"""The picture of a long recording: its memory does not grow with the recording."""

import tracemalloc

import numpy as np

from drsn_jax.diagnosis.diagnosis import Diagnosis
from drsn_jax.diagnosis.evidence import FaultEvidence
from drsn_jax.diagnosis.gears import GearEvidence
from drsn_jax.diagnosis.physics import GearPhysics, Physics
from drsn_jax.diagnosis.pictures import POINTS, Looked, diagnosis_figure, envelope


def peak_of_envelope(length, channels):
    """The most bytes that an envelope takes beside the signal, which is made block by block."""
    wave = np.ones((2**22 // channels, channels), np.float32)
    tracemalloc.start()
    made = envelope(lambda start, stop: wave[: stop - start], length, channels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.length == length
    return peak


def test_the_memory_of_an_envelope_does_not_grow_with_the_signal():
    for channels in (1, 32):
        short, long = (peak_of_envelope(length // channels, channels) for length in (2**23, 2**25))
        assert long < 1.1 * short


def test_many_windows_are_drawn_in_a_thousand_columns():
    count = 2 * POINTS + 1
    probabilities = np.tile([[0.25, 0.75], [0.75, 0.25]], (count, 1))[:count]
    starts = 100 * np.arange(count)
    found = Diagnosis("a", 0.5, 0.5, 1.0, (), (), False, probabilities, starts)
    signal = np.zeros((100 * count, 1), np.float32)
    line = envelope(lambda start, stop: signal[start:stop], len(signal), 1)
    zeros = np.arange(count)[:, None] / count
    _, mesh, share = diagnosis_figure(("a", "b"), found, line, 100.0, zeros, "x").axes[:3]
    colours = np.asarray(mesh.collections[0].get_array()).reshape(2, -1)
    assert colours.shape[1] == -(-count // 3)  # three windows a column
    np.testing.assert_allclose(colours[0, :2], [5 / 12, 7 / 12])
    times, heights = share.lines[0].get_data()
    assert (times[0], times[1], times[-1]) == (0, 3, count)  # seconds
    np.testing.assert_allclose(heights[:2], [100 / count, 400 / count])


def test_what_each_unit_sets_to_zero_is_drawn_with_the_mean():
    found = Diagnosis("a", 0.5, 0.5, 1.0, (), (), False, np.full((4, 2), 0.5), 100 * np.arange(4))
    line = envelope(lambda start, stop: np.zeros((stop - start, 1)), 400, 1)
    zeros = np.arange(12.0).reshape(4, 3) / 20
    *_, panel = diagnosis_figure(("a", "b"), found, line, 100.0, zeros, "x").axes[:3]
    mean, *units = (np.asarray(drawn.get_ydata()) for drawn in panel.lines)
    np.testing.assert_allclose(mean[:4], 100 * zeros.mean(1))
    np.testing.assert_allclose([unit[:4] for unit in units], 100 * zeros.T)
    texts = [text.get_text() for text in panel.get_legend().get_texts()]
    assert texts == ["mean of all units", "unit 1", "unit 3"]


def test_the_lines_of_each_fault_have_a_panel_of_their_own():
    found = Diagnosis("a", 0.5, 0.5, 1.0, (), (), False, np.full((4, 2), 0.5), 100 * np.arange(4))
    line = envelope(lambda start, stop: np.zeros((stop - start, 1)), 400, 1)
    faults = (FaultEvidence("ball", "2×BSF", 4.7, 0.01, (9.0, 8.0), 5.0), FaultEvidence("inner race", "BPFI", 5.4, 0, (1, 2), 0))
    physics = Physics(faults, np.linspace(0.5, 12, 50), np.linspace(-5, 20, 50))
    figure = diagnosis_figure(("a", "b"), found, line, 100.0, np.zeros((4, 1)), "x", physics=physics)
    time, *others, orders = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert all(axes.get_xlim() == time.get_xlim() == (0, 4) for axes in others)
    assert orders.get_xlim() == (0, 12)
    curve, _, *marks = orders.lines
    np.testing.assert_array_equal(curve.get_ydata(), physics.above_db)
    np.testing.assert_allclose([mark.get_xdata()[0] for mark in marks], [4.7 * 1.01, 9.4 * 1.01, 5.4, 10.8])
    assert [text.get_text() for text in orders.get_legend().get_texts()] == [
        "ball (1 to 2× 2×BSF), stands out",
        "inner race (1 to 2× BPFI)",
    ]


def test_the_lines_of_a_gear_have_a_panel_of_their_own():
    found = Diagnosis("a", 0.5, 0.5, 1.0, (), (), False, np.full((4, 2), 0.5), 100 * np.arange(4))
    line = envelope(lambda start, stop: np.zeros((stop - start, 1)), 400, 1)
    lines = GearEvidence(21.0, 1.0, 0.01, (30.0, 20.0), True, -9.0, None)
    gear = GearPhysics(lines, np.linspace(0.5, 45, 50), np.linspace(-5, 20, 50))
    physics = Physics((), np.zeros(0), np.zeros(0), gear=gear)
    figure = diagnosis_figure(("a", "b"), found, line, 100.0, np.zeros((4, 1)), "x", physics=physics)
    *others, orders = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert len(others) == 3  # no panel of a bearing
    assert orders.get_xlim() == (0, 45)
    curve, _, *marks = orders.lines
    np.testing.assert_array_equal(curve.get_ydata(), gear.above_db)
    places = [21, 19, 20, 22, 23, 42, 40, 41, 43, 44]
    np.testing.assert_allclose([mark.get_xdata()[0] for mark in marks], np.array(places) * 1.01)
    texts = [text.get_text() for text in orders.get_legend().get_texts()]
    assert texts == ["mesh (1 to 2× 21)", "sidebands (1 apart)"]


def test_what_the_network_looked_at_has_a_panel_of_its_own():
    """Over the same time as the classes; a window stands for those up to the next one that was looked at."""
    found = Diagnosis("a", 0.5, 0.5, 1.0, (), (), False, np.full((8, 2), 0.5), 100 * np.arange(8))
    line = envelope(lambda start, stop: np.zeros((stop - start, 1)), 800, 1)
    looked = Looked(np.array([0, 300, 700]), np.arange(-6, 6.0).reshape(3, 4))
    figure = diagnosis_figure(("a", "b"), found, line, 100.0, np.zeros((8, 1)), "x", looked=looked)
    time, classes, panel, zeros = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert time.get_xlim() == classes.get_xlim() == panel.get_xlim() == zeros.get_xlim() == (0, 8)
    (mesh,) = panel.collections
    edges = np.asarray(mesh.get_coordinates())
    np.testing.assert_allclose(edges[0, :, 0], [0, 3, 7, 8])  # seconds
    np.testing.assert_allclose(edges[:, 0, 1], np.array([0, 12.5, 25, 37.5, 50]) / 1000)  # kHz
    np.testing.assert_array_equal(mesh.get_array().reshape(4, 3), looked.speaks.T)
    low, high = mesh.get_clim()
    assert low == -high
    assert 4.5 < high <= 6
