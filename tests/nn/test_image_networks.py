"""Networks of the sizes of ResNet-18, 34 and 50: as many parameters as torchvision's, shrinkage before the addition."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.evaluation.inspection import shrinkages, thresholds, zero_maps
from drsn_jax.nn.image_networks import ALL_NETWORKS, IMAGE_NETWORKS, ImageNetwork, PostActivationUnit, drsn18, resnet18, resnet50
from drsn_jax.nn.networks import NETWORKS, Network, for_platform, parameter_count
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import QUICK_COMPILATION, create_state
from drsn_jax.training.steps import make_train_step

SIZE = {"classes": 3, "widths": (4, 6), "units": (1, 2)}
PICTURES = np.random.default_rng(0).normal(size=(3, 18, 21, 2)).astype(np.float32)


def shapes(network, shape):
    return jax.eval_shape(lambda key: network.init(key, jnp.zeros(shape), train=False), jax.random.key(0))


@pytest.mark.parametrize(("name", "count"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)])
def test_plain_ones_have_the_parameters_of_torchvision(name, count):
    """The figures are those of torchvision.models for 1,000 classes."""
    assert parameter_count(shapes(IMAGE_NETWORKS[name](classes=1000), (1, 64, 64, 3))["params"]) == count


@pytest.mark.parametrize("size", ["18", "50"])
def test_shrinkage_adds_its_sub_networks(size):
    """Two layers C → C with biases and a norm of 2 C numbers for each unit of C channels."""
    plain, shrunk = (shapes(IMAGE_NETWORKS[f"{kind}{size}"](classes=5), (1, 64, 64, 3)) for kind in ("resnet", "drsn"))
    network = IMAGE_NETWORKS[f"drsn{size}"](classes=5)
    wider = 4 if network.bottleneck else 1
    added = sum(units * (2 * (wider * c) ** 2 + 4 * wider * c) for c, units in zip(network.widths, network.units, strict=True))
    assert parameter_count(shrunk["params"]) - parameter_count(plain["params"]) == added
    assert shrunk["params"]["classifier"]["kernel"].shape == (wider * 512, 5)


def test_positions_are_halved_five_times():
    def positions(network, shape):
        keep = lambda module, _: module.name in ("stem_norm", "stages_0_0", "stages_1_0", "stages_3_1")  # noqa: E731
        run = lambda key: network.init_with_output(key, jnp.zeros(shape), train=False, capture_intermediates=keep)  # noqa: E731
        kept = jax.eval_shape(run, jax.random.key(0))[1]["intermediates"]
        return {name: value["__call__"][0].shape[1:] for name, value in kept.items()}

    assert positions(resnet18(classes=2), (1, 224, 224, 3)) == {
        "stem_norm": (112, 112, 64),
        "stages_0_0": (56, 56, 64),
        "stages_1_0": (28, 28, 128),
        "stages_3_1": (7, 7, 512),
    }
    assert positions(resnet50(classes=2), (1, 34, 60, 1))["stages_3_1"] == (2, 2, 2048)


def reference_unit(unit, variables, x):
    """The layers of a unit one by one, by functions of JAX alone, with the running statistics."""

    def normed(y, number):
        conv, norm = ("projection", "projection_norm") if number == 0 else (f"conv_{number}", f"norm_{number}")
        kernel = variables["params"][conv]["kernel"]
        size, strides = kernel.shape[0], unit.strides if number in (0, 2 if unit.bottleneck else 1) else 1
        pads = [((size - 1) // 2, size // 2)] * 2
        y = jax.lax.conv_general_dilated(y, kernel, (strides, strides), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        held, stats = variables["params"][norm], variables["batch_stats"][norm]
        return (y - stats["mean"]) / jnp.sqrt(stats["var"] + 1e-5) * held["scale"] + held["bias"]

    y, count = x, 3 if unit.bottleneck else 2
    for number in range(1, count + 1):
        y = normed(y if number == 1 else jnp.maximum(y, 0), number)
    shortcut = normed(x, 0) if "projection" in variables["params"] else x
    return jnp.maximum(y + shortcut, 0)


@pytest.mark.parametrize(
    ("fields", "channels"), [({"strides": 2}, 2), ({}, 4), ({"bottleneck": True, "strides": 2}, 2), ({"bottleneck": True}, 16)]
)
def test_a_unit_is_its_layers(fields, channels):
    unit = PostActivationUnit(4, **fields)
    x = np.random.default_rng(1).normal(size=(2, 7, 6, channels)).astype(np.float32)

    @functools.partial(jax.jit, compiler_options=QUICK_COMPILATION)
    def both(key):
        variables = unit.init(key, x, train=False)
        variables = jax.tree.map(
            lambda leaf: leaf + 0.1 * jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape) / leaf.size, variables
        )
        return unit.apply(variables, x, train=False), reference_unit(unit, variables, x)

    ours, theirs = both(jax.random.key(0))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert ("projection" in shapes(unit, x.shape)["params"]) == (
        channels != (16 if unit.bottleneck else 4) or "strides" in fields
    )


@pytest.fixture(scope="module", params=[False, True], ids=["basic", "bottleneck"])
def shrinking(request):
    """A small network with thresholds and its variables."""
    network = drsn18(**SIZE, bottleneck=request.param)
    return network, tiny.variables(network, PICTURES.shape)


def test_where_features_are_zeroed_is_what_the_shrinkage_did(shrinking):
    network, variables = shrinking
    maps, told = zero_maps(network, variables, PICTURES), thresholds(network, variables, PICTURES)
    assert [found.unit for found in maps] == [unit.unit for unit in told] == ["stages_0_0", "stages_1_0", "stages_1_1"]
    assert [found.share.shape for found in maps] == [(3, 5, 6), (3, 3, 3), (3, 3, 3)]
    for found, unit in zip(maps, told, strict=True):
        np.testing.assert_allclose(found.share.mean((1, 2)), unit.zeros.mean(1), atol=1e-6)
        assert 0 < found.share.mean() < 1
    for found, unit in zip(maps, shrinkages(network, variables, PICTURES[1]), strict=True):
        np.testing.assert_allclose((np.abs(unit.before) <= unit.threshold).mean(-1), found.share[1], atol=1e-6)
        np.testing.assert_allclose(
            unit.after, np.sign(unit.before) * np.maximum(np.abs(unit.before) - unit.threshold, 0), atol=1e-5
        )


def test_maps_of_signals_and_in_parts(monkeypatch):
    """The networks of the paper too; windows in parts give the same."""
    windows, _ = tiny.tones(3)
    whole = zero_maps(tiny.network, tiny.variables(), windows)
    assert [found.share.shape for found in whole] == [(3, 16)]
    monkeypatch.setattr("drsn_jax.evaluation.inspection.PART", 2)
    for one, other in zip(whole, zero_maps(tiny.network, tiny.variables(), windows), strict=True):
        np.testing.assert_array_equal(one.share, other.share)
    with pytest.raises(ValueError, match="has no thresholds"):
        zero_maps(resnet18(**SIZE), tiny.variables(), PICTURES)


def test_a_step_of_training_changes_every_parameter():
    network = for_platform(drsn18(**SIZE, standardise=True), "cpu")
    optimizer = paper_optimizer(4, 0.1)
    state = create_state(network, optimizer, jax.random.key(0), PICTURES)
    before = jax.device_get(state.params)
    batch = {"windows": PICTURES, "labels": np.arange(3), "weights": np.ones(3, np.float32)}
    after, metrics = jax.jit(make_train_step(network, optimizer), compiler_options=QUICK_COMPILATION)(state, batch)
    assert np.isfinite(metrics["loss"])
    changed = jax.tree.map(lambda one, other: bool(np.any(one != np.asarray(other))), before, after.params)
    assert all(jax.tree.leaves(changed))


def test_other_numbers_of_axes():
    """The kernel decides: a signal, a volume."""
    for kernel, shape in (((3,), (1, 200, 2)), ((3, 3, 3), (1, 20, 20, 20, 1))):
        network = resnet18(classes=4, kernel=kernel, widths=(2,), units=(1,))
        found = jax.eval_shape(functools.partial(network.init_with_output, train=False), jax.random.key(0), jnp.zeros(shape))
        assert found[0].shape == (1, 4)
        assert found[1]["params"]["stem_conv"]["kernel"].shape[:-2] == (7,) * len(kernel)


def test_names_and_types():
    assert set(ALL_NETWORKS) == {*NETWORKS, *IMAGE_NETWORKS}
    assert isinstance(resnet18(classes=2), Network)
    fields = {field.name for field in dataclasses.fields(ImageNetwork)} - {field.name for field in dataclasses.fields(Network)}
    assert fields == {"bottleneck"}
    assert hash(resnet18(classes=2)) == hash(resnet18(classes=2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": 0}, "a network needs at least one class"),
        ({"units": (1,)}, "widths and units give one positive number for each stage"),
        ({"shrinkage": "other"}, "unknown shrinkage 'other'"),
        ({"shortcut": "zero_padding"}, "unknown shortcut 'zero_padding': choose projection or None"),
        ({"kernel": (3,)}, "a kernel of 1 axes takes"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: Any, message):
    with pytest.raises(ValueError, match=message):
        shapes(resnet18(**{**SIZE, **fields}), PICTURES.shape)


def test_a_norm_without_statistics_of_the_batch():
    network = resnet18(**SIZE, norm=functools.partial(nn.GroupNorm, num_groups=2))
    assert "batch_stats" not in shapes(network, PICTURES.shape)
