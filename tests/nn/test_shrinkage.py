"""Shrinkage: thresholds are the paper's, for every sample its own, and gradients flow through them."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from drsn_jax.functional.thresholding import THRESHOLD_RULES, threshold_rule
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.shrinkage import ChannelSharedShrinkage, ChannelWiseShrinkage, SqueezeExcitation

SHRINKAGES = [ChannelWiseShrinkage, ChannelSharedShrinkage]
BATCH, LENGTH, CHANNELS = 4, 10, 3


def values(*shape, seed=0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def variables_of(module, channels=CHANNELS, seed=1):
    """Variables with nothing left at its initial zeros and ones."""
    shapes = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), np.ones((1, 2, channels), np.float32))
    leaves, tree = jax.tree.flatten_with_path(shapes)
    rng = np.random.default_rng(seed)
    made = []
    for path, leaf in leaves:
        value = rng.normal(size=leaf.shape)
        made.append(np.float32(np.abs(value) + 0.5 if path[-1].key == "var" else value))
    return jax.tree.unflatten(tree, made)


def linear(params, x):
    return x @ np.float64(params["kernel"]) + np.float64(params["bias"])


def thresholds_of(variables, x, shared, train):
    """α and τ as the paper prints them, in NumPy."""
    params = variables["params"]
    average = np.abs(np.float64(x)).reshape(len(x), -1, x.shape[-1]).mean(1)
    hidden = linear(params["dense_1"], average)
    stats = variables["batch_stats"]["norm"]
    mean, var = (hidden.mean(0), hidden.var(0)) if train else (stats["mean"], stats["var"])
    hidden = (hidden - mean) / np.sqrt(var + 1e-5) * params["norm"]["scale"] + params["norm"]["bias"]
    alpha = 1 / (1 + np.exp(-linear(params["dense_2"], np.maximum(hidden, 0))))
    return alpha, alpha * (average.mean(1, keepdims=True) if shared else average)


def soft(x, threshold):
    threshold = threshold.reshape(len(x), *[1] * (x.ndim - 2), -1)
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def apply(module, variables, x, train):
    """The result, and all that was stored beside it."""
    return module.apply(variables, x, train=train, mutable=["batch_stats", "thresholds"])


run = jax.jit(apply, static_argnums=(0, 3))


def sown(updated):
    return {name: value for name, (value,) in updated["thresholds"].items()}


# values


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("train", [False, True])
def test_shrinkage_is_the_papers(kind, train):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    alpha, threshold = thresholds_of(variables, x, kind is ChannelSharedShrinkage, train)
    y, updated = run(module, variables, x, train)
    np.testing.assert_allclose(y, soft(x, threshold), rtol=1e-4, atol=1e-5)
    stored = sown(updated)
    np.testing.assert_allclose(stored["alpha"], alpha, rtol=1e-4)
    np.testing.assert_allclose(stored["threshold"], threshold, rtol=1e-4)
    np.testing.assert_allclose(stored["zeros"], np.mean(soft(x, threshold) == 0, axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 4, 5, 3), (2, 2, 3, 4, 3)])
def test_signals_images_and_volumes(kind, shape):
    module, x = kind(), values(*shape)
    variables = variables_of(module)
    _, threshold = thresholds_of(variables, x, kind is ChannelSharedShrinkage, False)
    y, _ = run(module, variables, x, False)
    np.testing.assert_allclose(y, soft(x, threshold), rtol=1e-4, atol=1e-5)


def test_squeeze_excitation_pools_x_itself_and_has_no_norm():
    module, x = SqueezeExcitation(), values(BATCH, 2, 5, CHANNELS)
    variables = variables_of(module)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"dense_1", "dense_2"}
    hidden = np.maximum(linear(variables["params"]["dense_1"], np.float64(x).mean((1, 2))), 0)
    weight = 1 / (1 + np.exp(-linear(variables["params"]["dense_2"], hidden)))
    for train in (False, True):
        y: Any = module.apply(variables, x, train=train)
        np.testing.assert_allclose(y, x * weight[:, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SHRINKAGES)
def test_layout_of_parameters(kind):
    outputs = 1 if kind is ChannelSharedShrinkage else CHANNELS
    shapes = jax.tree.map(np.shape, variables_of(kind()), is_leaf=lambda a: hasattr(a, "shape"))
    assert shapes["params"] == {
        "dense_1": {"kernel": (CHANNELS, CHANNELS), "bias": (CHANNELS,)},
        "norm": {"scale": (CHANNELS,), "bias": (CHANNELS,)},  # the norm that public implementations forget
        "dense_2": {"kernel": (CHANNELS, outputs), "bias": (outputs,)},  # and "channel-shared" has ONE output
    }
    assert shapes["batch_stats"] == {"norm": {"mean": (CHANNELS,), "var": (CHANNELS,)}}


# the three conditions on τ


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_positive_below_the_mean_and_per_sample(kind, seed):
    # samples of very different size, all values negative: a mean of x would turn the sign, a bare sigmoid ignore the size
    x = -np.abs(values(BATCH, LENGTH, CHANNELS, seed=seed)) * np.array([1e-3, 1, 30, 1e4], np.float32).reshape(-1, 1, 1)
    y, updated = run(kind(), variables_of(kind(), seed=seed), x, True)
    stored = sown(updated)
    average = np.abs(x).mean(1)
    if kind is ChannelSharedShrinkage:
        average = average.mean(1, keepdims=True)
    assert stored["threshold"].shape == stored["alpha"].shape == average.shape
    assert (stored["threshold"] > 0).all()
    assert (stored["threshold"] < average).all()
    assert (stored["threshold"] < np.abs(x).max((1, 2)).reshape(-1, 1)).all()
    np.testing.assert_allclose(stored["threshold"] / average, stored["alpha"], rtol=1e-5)
    assert (np.abs(y).max((1, 2)) > 0).all()  # not everything becomes zero


@pytest.mark.parametrize("kind", SHRINKAGES)
def test_a_sample_does_not_change_another_in_evaluation(kind):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    y, _ = run(module, variables, x, False)
    for i in range(BATCH):
        alone, _ = run(module, variables, x[i : i + 1], False)
        np.testing.assert_allclose(alone[0], y[i], rtol=1e-5, atol=1e-6)


def test_channel_wise_thresholds_differ_between_channels_and_shared_ones_cannot():
    x = values(BATCH, LENGTH, CHANNELS) * np.array([0.01, 1, 100], np.float32)
    wise = sown(run(ChannelWiseShrinkage(), variables_of(ChannelWiseShrinkage()), x, False)[1])
    shared = sown(run(ChannelSharedShrinkage(), variables_of(ChannelSharedShrinkage()), x, False)[1])
    assert (np.diff(wise["threshold"]) > 0).all()
    assert shared["threshold"].shape == (BATCH, 1)
    # with one threshold for all, the faint channel is gone
    assert (shared["zeros"][:, 0] == 1).all()
    assert (wise["zeros"][:, 0] < 1).all()


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("train", [False, True])
def test_shifting_or_turning_a_sample_keeps_its_thresholds(kind, train):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    y, updated = run(module, variables, x, train)
    turned, other = run(module, variables, -x[:, ::-1], train)
    np.testing.assert_allclose(turned, -y[:, ::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sown(other)["threshold"], sown(updated)["threshold"], rtol=1e-4)


# gradients


@pytest.mark.parametrize("kind", [*SHRINKAGES, SqueezeExcitation])
@pytest.mark.parametrize("train", [False, True])
def test_gradients_agree_with_differences(x64, kind, train):
    module, x = kind(), np.float64(values(BATCH, LENGTH, CHANNELS))
    variables = jax.tree.map(np.float64, variables_of(module))

    @jax.jit
    def loss(x, params):
        y, _ = module.apply({**variables, "params": params}, x, train=train, mutable=["batch_stats"])
        return (y * np.cos(np.arange(y.size)).reshape(y.shape)).sum()

    check_grads(loss, (x, variables["params"]), order=1, modes=["rev"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", SHRINKAGES)
def test_gradients_flow_through_the_thresholds(kind):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    stored = sown(run(module, variables, x, False)[1])
    outside = np.abs(x) > np.asarray(stored["threshold"])[:, None]
    gradient = jax.jit(jax.grad(lambda x: module.apply(variables, x, train=False).sum()))(x)
    assert np.abs(np.asarray(gradient) - outside).max() > 0.05  # a detached τ would give 1 outside and 0 inside
    # only features outside move τ; the bias of the last layer moves α: ∂Σy/∂b = -Σ sign(x) · α(1-α) · A
    params = jax.jit(jax.grad(lambda p: module.apply({**variables, "params": p}, x, train=False).sum()))(variables["params"])
    moved = -(np.sign(x) * outside).sum(1)
    slope = np.asarray(stored["threshold"] * (1 - stored["alpha"]))
    if kind is ChannelSharedShrinkage:
        moved = moved.sum(1, keepdims=True)
    np.testing.assert_allclose(params["dense_2"]["bias"], (moved * slope).sum(0), rtol=1e-4, atol=1e-4)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(params))


# edges


@pytest.mark.parametrize("kind", [*SHRINKAGES, SqueezeExcitation])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("silent", ["channel", "sample", "batch"])
def test_silent_channels_give_no_nan(kind, train, silent):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    x[{"channel": np.s_[..., 0], "sample": np.s_[0], "batch": np.s_[:]}[silent]] = 0
    variables = variables_of(module)

    def loss(x, params):
        y, updated = module.apply({**variables, "params": params}, x, train=train, mutable=["batch_stats"])
        return (y**2).sum() + y.sum(), (y, updated)

    gradients, (y, updated) = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, variables["params"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, y, updated)))
    assert not np.asarray(y)[x == 0].any()


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("train", [False, True])
def test_batch_of_one(kind, train):
    module, x = kind(), values(1, LENGTH, CHANNELS)
    variables = variables_of(module)
    y, updated = run(module, variables, x, train)
    _, threshold = thresholds_of(variables, x, kind is ChannelSharedShrinkage, train)
    np.testing.assert_allclose(y, soft(x, threshold), rtol=1e-4, atol=1e-5)
    # one value has no variance: the running averages stay
    for name, value in variables["batch_stats"]["norm"].items():
        assert np.array_equal(updated["batch_stats"]["norm"][name], value)
    gradient = jax.jit(jax.grad(lambda x: apply(module, variables, x, train)[0].sum()))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("kind", SHRINKAGES)
def test_running_averages_move_in_training_only(kind):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    hidden = linear(variables["params"]["dense_1"], np.abs(np.float64(x)).mean(1))
    before = variables["batch_stats"]["norm"]
    after = run(module, variables, x, True)[1]["batch_stats"]["norm"]
    np.testing.assert_allclose(after["mean"], 0.9 * before["mean"] + 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["var"], 0.9 * before["var"] + 0.1 * hidden.var(0), rtol=1e-4, atol=1e-6)
    kept = run(module, variables, x, False)[1]["batch_stats"]["norm"]
    assert all(np.array_equal(kept[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", SHRINKAGES)
def test_storing_thresholds_changes_nothing_and_happens_only_when_asked(kind):
    module, x = kind(), values(BATCH, LENGTH, CHANNELS)
    initial = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), x)
    assert set(initial) == {"params", "batch_stats"}
    variables = variables_of(module)
    plain = jax.jit(functools.partial(module.apply, train=False))(variables, x)
    stored, updated = jax.jit(functools.partial(module.apply, train=False, mutable=["thresholds"]))(variables, x)
    assert np.array_equal(plain, stored)
    assert set(updated) == {"thresholds"}
    train = functools.partial(module.apply, train=True, mutable=["batch_stats"])
    assert set(jax.eval_shape(train, variables, x)[1]) == {"batch_stats"}
    width = 1 if kind is ChannelSharedShrinkage else CHANNELS
    assert {name: value.shape for name, value in sown(updated).items()} == {
        "alpha": (BATCH, width),
        "threshold": (BATCH, width),
        "zeros": (BATCH, CHANNELS),
    }


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_every_rule_shrinks_by_the_same_thresholds(kind, rule):
    module, x = kind(rule=rule), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    y, updated = run(module, variables, x, False)
    expected = threshold_rule(rule)(x, np.asarray(sown(updated)["threshold"])[:, None])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="unknown threshold rule 'none'"):
        jax.eval_shape(
            functools.partial(ChannelWiseShrinkage(rule="none").init, train=False), jax.random.key(0), np.ones((1, 2, 1))
        )


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("batch", [8, 16])  # one and two samples a device
def test_replicas_that_share_statistics_equal_the_whole_batch(kind, batch):
    x = values(batch, LENGTH, CHANNELS)
    variables = variables_of(kind())
    shared = functools.partial(apply, kind(axis_name="devices"), train=True)
    y, updated = jax.pmap(shared, axis_name="devices", in_axes=(None, 0))(variables, x.reshape(8, -1, LENGTH, CHANNELS))
    whole, expected = run(kind(), variables, x, True)
    np.testing.assert_allclose(y.reshape(whole.shape), whole, rtol=1e-4, atol=1e-5)
    for name, value in expected["batch_stats"]["norm"].items():
        np.testing.assert_allclose(updated["batch_stats"]["norm"][name], np.tile(value, (8, 1)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", SHRINKAGES)
@pytest.mark.parametrize("norm", [nn.LayerNorm, functools.partial(nn.GroupNorm, num_groups=1)])
def test_own_norm_without_running_averages(kind, norm):
    module, x = kind(norm=norm), values(BATCH, LENGTH, CHANNELS)
    variables = jax.jit(functools.partial(module.init, train=True))(jax.random.key(0), x)
    assert set(variables) == {"params"}
    one, other = (jax.jit(functools.partial(module.apply, train=train))(variables, x) for train in (False, True))
    assert np.array_equal(one, other)


def test_own_batch_norm_with_fields():
    norm = functools.partial(BatchNorm, momentum=0.5)
    module, x = ChannelWiseShrinkage(norm=norm), values(BATCH, LENGTH, CHANNELS)
    variables = variables_of(module)
    hidden = linear(variables["params"]["dense_1"], np.abs(np.float64(x)).mean(1))
    after = run(module, variables, x, True)[1]["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(after, 0.5 * variables["batch_stats"]["norm"]["mean"] + 0.5 * hidden.mean(0), rtol=1e-4)


@pytest.mark.parametrize("kind", [*SHRINKAGES, SqueezeExcitation])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_in_and_out_attention_in_single(kind, dtype):
    module, x = kind(), jnp.asarray(values(BATCH, LENGTH, CHANNELS), dtype)
    variables = variables_of(module)
    y, updated = run(module, variables, x, False)
    assert y.dtype == dtype
    exact, _ = run(module, variables, np.float32(x), False)
    np.testing.assert_allclose(np.float32(y), exact, atol=4 * float(jnp.finfo(dtype).eps), rtol=4 * float(jnp.finfo(dtype).eps))
    if kind is not SqueezeExcitation:
        assert all(value.dtype == jnp.float32 for value in sown(updated).values())


@pytest.mark.parametrize("kind", [ChannelWiseShrinkage, ChannelSharedShrinkage])
def test_features_without_positions_are_refused(kind):
    with pytest.raises(ValueError, match="without positions"):
        jax.eval_shape(functools.partial(kind().init, train=False), jax.random.key(0), np.ones((3, 4)))
