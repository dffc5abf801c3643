"""What is told of the thresholds is what they did."""

from typing import Any

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.evaluation.inspection import pooled_features, shrinkages, thresholds, zeros_by_unit
from drsn_jax.evaluation.prediction import predict
from drsn_jax.functional.thresholding import soft_threshold
from drsn_jax.nn.networks import drsn_cs, resnet

WINDOWS, _ = tiny.tones(5)
WISE = tiny.network.clone(widths=(3, 4), units=(1, 1))
SHARED = drsn_cs(classes=3, widths=(3, 4), units=(1, 2))


@pytest.fixture(scope="module", params=["channel_wise", "channel_shared"])
def network(request):
    network = WISE if request.param == "channel_wise" else SHARED
    return network, tiny.variables(network)


def test_units_stand_in_their_order_with_their_shapes(network):
    network, variables = network
    found = thresholds(network, variables, WINDOWS)
    shared = network.shrinkage == "channel_shared"
    names = ["stages_0_0", "stages_1_0"] + (["stages_1_1"] if shared else [])
    assert [unit.unit for unit in found] == names
    for unit, channels in zip(found, (3, 4, 4), strict=False):
        assert unit.alpha.shape == unit.threshold.shape == (5, 1 if shared else channels)
        assert unit.zeros.shape == (5, channels)
        assert ((unit.alpha > 0) & (unit.alpha < 1)).all()


def test_before_and_after_fit_the_threshold_and_the_zeros(network):
    """After is the soft threshold of before; its zeros are those that are counted, its α·mean is the threshold."""
    network, variables = network
    told = thresholds(network, variables, WINDOWS)
    for number in (0, 3):
        for unit, of_all in zip(shrinkages(network, variables, WINDOWS[number]), told, strict=True):
            assert unit.unit == of_all.unit
            np.testing.assert_allclose(unit.threshold, of_all.threshold[number], rtol=1e-5)
            np.testing.assert_allclose(unit.after, soft_threshold(unit.before, unit.threshold), atol=1e-6)
            np.testing.assert_allclose(np.mean(unit.after == 0, 0), of_all.zeros[number], atol=1e-6)
            mean = np.abs(unit.before).mean(0 if network.shrinkage == "channel_wise" else None)
            np.testing.assert_allclose(unit.threshold, of_all.alpha[number] * mean, rtol=1e-4)


def test_many_windows_are_computed_in_parts(network, monkeypatch):
    network, variables = network
    whole = thresholds(network, variables, WINDOWS)
    monkeypatch.setattr("drsn_jax.evaluation.inspection.PART", 2)
    for one, other in zip(whole, thresholds(network, variables, WINDOWS), strict=True):
        np.testing.assert_allclose(one.zeros, other.zeros, atol=1e-6)
    mean = np.stack([unit.zeros.mean(1) for unit in whole], 1)
    np.testing.assert_allclose(jax.jit(zeros_by_unit(network))(variables, WINDOWS), mean, atol=1e-6)


@pytest.mark.parametrize(("bias", "expected"), [(0, 0), (30, 1), (-30, 1)])
def test_collapse_is_a_number(bias, expected):
    """A bias that drives every sigmoid to an end; none in one that was just made."""
    variables = tiny.variables()
    drive = lambda path, leaf: leaf + bias if jax.tree_util.keystr(path).endswith("['dense_2']['bias']") else leaf  # noqa: E731
    params = jax.tree.map_with_path(drive, variables["params"])
    units = thresholds(tiny.network, {**variables, "params": params}, WINDOWS)
    assert [unit.collapsed for unit in units] == [expected] * len(units)


def test_what_has_no_thresholds():
    variables = tiny.variables()
    for ask in (thresholds, lambda network, variables, windows: shrinkages(network, variables, windows[0])):
        with pytest.raises(ValueError, match="shrinkage None has no thresholds: take drsn_cs or drsn_cw"):
            ask(resnet(classes=3), variables, WINDOWS)
    with pytest.raises(ValueError, match="no windows to look at"):
        thresholds(tiny.network, variables, WINDOWS[:0])


def test_batches_without_windows_and_windows_that_are_not_finite():
    windows = np.zeros((3, tiny.LENGTH, 1), np.float32)
    sizes: Any = (0, -1, 2.5)
    for size in sizes:
        with pytest.raises(ValueError, match=f"a batch has at least one window, got a batch size of {size}"):
            predict(lambda variables, windows: windows, {}, windows, size)
    with pytest.raises(ValueError, match="there are no windows to predict"):
        predict(lambda variables, windows: windows, {}, windows[:0])
    for look in (thresholds, pooled_features):
        with pytest.raises(ValueError, match="3 windows hold NaN or infinity"):
            look(tiny.network, {}, windows * np.nan)
