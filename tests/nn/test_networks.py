"""The five networks equal their NumPy reference; sizes and parameters are those of the paper's table."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from drsn_jax.nn.networks import (
    NETWORKS,
    Network,
    convnet,
    drsn_cs,
    drsn_cw,
    parameter_count,
    resnet,
    senet,
)
from drsn_jax.nn.residual_unit import ResidualUnit, pad_channels, stride_positions

SMALL = {"classes": 3, "widths": (2, 5), "units": (1, 2)}  # an odd number of new channels, one unit without a stride


def values(*shape, seed=0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def _shapes(network: Any, shape: tuple[int, ...]) -> Any:
    return jax.eval_shape(lambda key: network.init(key, jnp.zeros(shape, jnp.float32), train=False), jax.random.key(0))


def shapes_of(network: Any, shape: tuple[int, ...]) -> Any:
    """The shapes of the variables; a network is traced once for all tests."""
    return _shapes(network, shape)


def variables_of(network, shape, seed=1):
    """Variables of ordinary size with nothing left at its initial zeros and ones."""
    leaves, tree = jax.tree.flatten_with_path(shapes_of(network, shape))
    rng = np.random.default_rng(seed)
    made = []
    for path, leaf in leaves:
        value = rng.normal(size=leaf.shape)
        match path[-1].key:
            case "kernel":
                value *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
            case "scale":
                value = 1 + 0.3 * value
            case "var":
                value = 0.5 + np.abs(value)
            case _:
                value *= 0.5
        made.append(value.astype(leaf.dtype))
    return jax.tree.unflatten(tree, made)


@functools.partial(jax.jit, static_argnums=0)
def both_modes(network, variables, x):
    """Logits in evaluation and in training with all that was stored."""
    evaluation = network.apply(variables, x, train=False, mutable=["thresholds"])
    training = network.apply(variables, x, train=True, mutable=["batch_stats", "thresholds"])
    return evaluation, training


def close(one, other, tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), one, other)


def compare(name, network, x, variables=None, tolerance=1e-5, **options):
    """Both modes against the reference: logits, running averages, thresholds."""
    variables = variables_of(network, x.shape) if variables is None else variables
    for train, (logits, stored) in zip((False, True), both_modes(network, variables, x), strict=True):
        expected = reference.forward(name, variables, x, train, **options)
        close(logits, expected["logits"], tolerance)
        if train:
            close(stored["batch_stats"], expected["batch_stats"], tolerance)
        sown = {unit: {k: v for k, (v,) in d["attention"].items()} for unit, d in stored.get("thresholds", {}).items()}
        assert set(sown) == set(expected["thresholds"])
        for unit, found in sown.items():
            close(found["threshold"], expected["thresholds"][unit], tolerance)
            close(found["alpha"], expected["alphas"][unit], tolerance)
            assert found["zeros"].shape == expected["outputs"][unit].shape[:: expected["outputs"][unit].ndim - 1]


# parity


@pytest.mark.parametrize(
    "name", ["drsn_cs", "drsn_cw"]
)  # the others are less of the same, and all are compared in double precision
def test_single_precision_equals_the_reference(name):
    network, x = NETWORKS[name](**SMALL), values(3, 64, 1)
    variables = variables_of(network, x.shape)
    logits = jax.jit(functools.partial(network.apply, train=False))(variables, x)
    assert logits.dtype == jnp.float32
    close(logits, reference.forward(name, variables, x, False)["logits"], 1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_double_precision_equals_the_reference(x64, name):
    network, x = NETWORKS[name](**SMALL), np.float64(values(3, 37, 2))  # odd lengths, several channels
    variables = jax.tree.map(np.float64, variables_of(network, x.shape))
    compare(name, network, x, variables, tolerance=1e-11)


@pytest.mark.parametrize(
    ("name", "kernel", "shape"),
    [
        ("drsn_cw", (3, 3), (2, 9, 12, 1)),
        ("drsn_cs", (2, 1, 3), (2, 4, 5, 6, 1)),
        ("drsn_cw", (4,), (2, 20, 2)),
    ],
)
def test_images_volumes_and_other_kernels_equal_the_reference(name, kernel, shape):
    compare(name, NETWORKS[name](**SMALL, kernel=kernel), values(*shape))


def test_projection_equals_the_reference():
    network = drsn_cw(**SMALL, shortcut="projection")
    compare("drsn_cw", network, values(2, 33, 1), shortcut="projection")
    params = shapes_of(network, (1, 33, 1))["params"]
    assert [unit for unit in sorted(params) if "projection" in params[unit]] == ["stages_0_0", "stages_1_0"]
    assert params["stages_1_0"]["projection"]["kernel"].shape == (1, 2, 5)


@pytest.mark.parametrize("name", ["drsn_cs", "drsn_cw"])
def test_batch_of_one(name):
    network, x = NETWORKS[name](**SMALL), values(1, 64, 1)
    variables = variables_of(network, x.shape)
    compare(name, network, x, variables)
    after = both_modes(network, variables, x)[1][1]["batch_stats"]
    for unit, stats in after.items():
        if unit != "last_norm":  # the sub-network saw one value a channel, the others many
            close(stats["attention"], variables["batch_stats"][unit]["attention"], 0)
            assert not np.allclose(stats["norm_1"]["mean"], variables["batch_stats"][unit]["norm_1"]["mean"])


@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_windows(length):
    compare("drsn_cw", drsn_cw(**SMALL), values(3, length, 1))


# the paper's table

PARAMETERS = {"convnet": 8416, "resnet": 8416, "senet": 11328, "drsn_cs": 10220, "drsn_cw": 11552}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_the_papers(name):
    variables = shapes_of(NETWORKS[name](classes=8), (1, 2048, 1))
    assert parameter_count(variables["params"]) == PARAMETERS[name]
    assert set(variables) == {"params", "batch_stats"}
    assert len([unit for unit in variables["params"] if unit.startswith("stages_")]) == 12
    kernels = [leaf.shape for path, leaf in jax.tree.leaves_with_path(variables["params"]) if leaf.ndim == 3]
    assert {shape[0] for shape in kernels} == {3}  # no 1×1 projection
    assert len(kernels) == 25


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_of_every_stage_are_the_papers(name):
    network = NETWORKS[name](classes=8)
    x = jax.ShapeDtypeStruct((2, 2048, 1), jnp.float32)

    def layers(variables, x):
        return network.apply(
            variables, x, train=False, mutable=["intermediates"],
            capture_intermediates=lambda module, method: method == "__call__" and isinstance(module, ResidualUnit | nn.Conv),
        )  # fmt: skip

    logits, stored = jax.eval_shape(layers, shapes_of(network, (1, 2048, 1)), x)
    assert (logits.shape, logits.dtype) == ((2, 8), jnp.float32)
    found = {key: value["__call__"][0].shape for key, value in stored["intermediates"].items() if "__call__" in value}
    expected = {"stem_conv": (2, 1024, 4)}
    for stage, (length, width) in enumerate(((512, 4), (256, 8), (128, 16))):
        expected |= {f"stages_{stage}_{number}": (2, length, width) for number in range(4)}
    assert found == expected


def test_presets_differ_by_their_shrinkage_and_shortcut_alone():
    assert list(NETWORKS.values()) == [convnet, resnet, senet, drsn_cs, drsn_cw]
    options = {name: (made.shrinkage, made.shortcut) for name, make in NETWORKS.items() if (made := make(classes=2))}
    assert options == {
        "convnet": (None, None),
        "resnet": (None, "zero_padding"),
        "senet": ("squeeze_excitation", "zero_padding"),
        "drsn_cs": ("channel_shared", "zero_padding"),
        "drsn_cw": ("channel_wise", "zero_padding"),
    }


# pieces


def test_shortcut_pieces():
    x = values(2, 7, 5, 3)
    assert np.array_equal(stride_positions(x, 2), x[:, ::2, ::2])
    assert np.array_equal(stride_positions(x, 1), x)
    y = pad_channels(x, 6)
    assert np.array_equal(y[..., 1:4], x)
    assert not y[..., [0, 4, 5]].any()  # the odd one behind
    assert np.array_equal(pad_channels(x, 3), x)


@pytest.mark.parametrize("name", ["resnet", "senet", "drsn_cs", "drsn_cw"])
@pytest.mark.parametrize("train", [False, True])
def test_a_unit_whose_last_convolution_is_zero_is_its_shortcut(name, train):
    # neither norm nor ReLU after the addition; a threshold of zero features is zero, not NaN
    unit = ResidualUnit(5, strides=2, shrinkage=NETWORKS[name](classes=2).shrinkage)
    x = values(3, 8, 2)
    variables = variables_of(unit, x.shape)
    variables["params"]["conv_2"] = jax.tree.map(np.zeros_like, variables["params"]["conv_2"])
    y, _ = jax.device_get(jax.jit(functools.partial(unit.apply, train=train, mutable=["batch_stats"]))(variables, x))
    assert np.array_equal(y[..., 1:3], x[:, ::2])
    assert not y[..., [0, 3, 4]].any()
    assert (y < 0).any()


@pytest.fixture(scope="module")
def small():
    network, x = drsn_cw(**SMALL), values(3, 64, 1)
    return network, variables_of(network, x.shape), x


def test_features_are_what_the_classifier_sees(small):
    network, variables, x = small
    features = jax.jit(functools.partial(network.apply, train=False, method="features"))(variables, x)
    expected = reference.forward("drsn_cw", variables, x, False)
    assert features.dtype == jnp.float32
    close(features, expected["features"], 1e-5)
    classifier = variables["params"]["classifier"]
    (logits, _), _ = both_modes(network, variables, x)
    close(np.asarray(features) @ classifier["kernel"] + classifier["bias"], logits, 1e-5)


def test_evaluation_treats_every_sample_alone_and_training_does_not(small):
    network, variables, x = small
    (evaluation, _), (training, _) = both_modes(network, variables, x)
    other = np.concatenate([x[:1], 3 * x[1:] + 1])
    (again, _), (changed, _) = both_modes(network, variables, other)
    close(again[0], evaluation[0], 1e-6)
    assert np.abs(again[1:] - evaluation[1:]).max() > 0.05
    assert np.abs(changed[0] - training[0]).max() > 0.05


def test_storing_changes_nothing_and_initialisation_stores_nothing(small):
    network, variables, x = small
    plain = jax.jit(functools.partial(network.apply, train=False))(variables, x)
    (logits, stored), _ = both_modes(network, variables, x)
    close(plain, logits, 1e-6)
    assert set(stored) == {"thresholds"}
    assert set(stored["thresholds"]) == {"stages_0_0", "stages_1_0", "stages_1_1"}
    shapes = {name: value.shape for name, (value,) in stored["thresholds"]["stages_1_0"]["attention"].items()}
    assert shapes == {"alpha": (3, 5), "threshold": (3, 5), "zeros": (3, 5)}


def test_bfloat16_computes_in_half_and_answers_in_single(small):
    _, variables, x = small
    network = drsn_cw(**SMALL, dtype=jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes_of(network, x.shape)))
    modes = both_modes(network, variables, x)
    for (logits, stored), (exact, _) in zip(modes, both_modes(drsn_cw(**SMALL), variables, x), strict=True):
        assert logits.dtype == jnp.float32
        assert np.isfinite(logits).all()
        assert 0 < np.abs(logits - exact).max() < 0.15
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(stored))
    unit = ResidualUnit(3, dtype=jnp.bfloat16)
    y = jax.eval_shape(functools.partial(unit.apply, train=False), shapes_of(unit, (1, 8, 2)), jnp.zeros((1, 8, 2), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16


def test_gradients_reach_every_parameter(small):
    network, variables, x = small

    # in training a norm takes away what some biases add, in evaluation every parameter counts
    def loss(params):
        logits = network.apply({**variables, "params": params}, x, train=False)
        return (logits * values(*logits.shape, seed=5)).sum()

    for path, leaf in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert np.isfinite(leaf).all(), name
        assert np.abs(leaf).max() > 1e-4, name


def test_replicas_that_share_statistics_equal_the_whole_batch(small):
    network, variables, _ = small
    x = values(8, 64, 1)
    replica = functools.partial(network.clone(axis_name="devices").apply, train=True, mutable=["batch_stats"])
    logits, updated = jax.pmap(replica, axis_name="devices", in_axes=(None, 0))(variables, x[:, None])
    expected = reference.forward("drsn_cw", variables, x, True)
    logits, updated = jax.device_get((logits, updated))
    close(logits[:, 0], expected["logits"], 1e-5)
    close(jax.tree.map(lambda a: a[3], updated["batch_stats"]), expected["batch_stats"], 1e-5)


def test_same_padding_is_another_graph_of_the_same_size(small):
    _, variables, x = small
    network = drsn_cw(**SMALL, padding="SAME")
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes_of(network, x.shape))
    (same, _), _ = both_modes(network, variables, x)
    (centred, _), _ = both_modes(drsn_cw(**SMALL), variables, x)
    assert np.abs(same - centred).max() > 0.01


def test_own_norm_and_convolution():
    grouped = functools.partial(nn.Conv, feature_group_count=1, use_bias=False)
    network = resnet(**SMALL, norm=functools.partial(nn.GroupNorm, num_groups=1), conv=grouped)
    variables = shapes_of(network, (1, 16, 1))
    assert set(variables) == {"params"}
    assert set(variables["params"]["stem_conv"]) == {"kernel"}


@pytest.mark.parametrize("rule", ["hard", "garrote", "firm"])
def test_other_rules_reach_the_units(small, rule):
    _, variables, x = small
    (soft, _), _ = both_modes(drsn_cw(**SMALL), variables, x)
    other = jax.jit(functools.partial(drsn_cw(**SMALL, threshold_rule=rule).apply, train=False))(variables, x)
    assert np.isfinite(other).all()
    assert np.abs(other - soft).max() > 1e-3


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "at least one class"),
        ({"widths": (4, 8)}, "one positive number for each stage"),
        ({"widths": (), "units": ()}, "one positive number for each stage"),
        ({"units": (1, 0, 1)}, "one positive number for each stage"),
        ({"widths": (8, 4, 2)}, "from 8 channels to 4.*projection"),
        ({"shrinkage": "channelwise"}, "unknown shrinkage 'channelwise'.*channel_wise, channel_shared"),
        ({"shortcut": "identity"}, "unknown shortcut 'identity'.*zero_padding, projection"),
        ({"threshold_rule": "sof"}, "unknown threshold rule 'sof'"),
        ({"padding": "VALID"}, "does not keep the positions"),
        ({"kernel": (3, 3)}, r"a kernel of 2 axes takes \(batch, positions, positions, channels\)"),
    ],
)
def test_fields_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(Network(**{"classes": 2, "units": (1, 1, 1), **options}), (1, 64, 1))
