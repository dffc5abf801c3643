"""Convolutions sit where the shortcut samples, batch statistics are those of the whole batch, means are exact."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drsn_jax.nn.layers import (
    BatchNorm,
    batch_statistics,
    centred_padding,
    convolution,
    dense,
    normalisation,
    normalise,
    position_mean,
)


def values(*shape, seed=0, scale=1.0, offset=0.0) -> Any:
    return (offset + scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def apply(module: nn.Module, variables, x, *rest, **options) -> Any:
    """What ``apply`` gives, whether a result alone or with its mutated variables."""
    return jax.jit(lambda variables, x: module.apply(variables, x, *rest, **options))(variables, x)


def close(one, other, rtol=1e-5, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), one, other)


# convolution


def test_centred_padding():
    assert centred_padding((1,)) == [(0, 0)]
    assert centred_padding((3, 4, 5)) == [(1, 1), (1, 2), (2, 2)]


def impulse(kernel, channels):
    """A kernel that copies: 1 at its centre, from each channel to itself."""
    weights = np.zeros((*kernel, channels, channels), np.float32)
    weights[tuple((k - 1) // 2 for k in kernel)] = np.eye(channels)
    return {"params": {"kernel": weights, "bias": np.zeros(channels, np.float32)}}


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kernel", [(1,), (2,), (3,), (4,), (5,)])
@pytest.mark.parametrize("length", [8, 9])
def test_centred_convolution_sits_on_the_sample_of_the_shortcut(length, kernel, strides):
    x = values(2, length, 3)
    y = apply(convolution(3, kernel, strides), impulse(kernel, 3), x)
    assert np.array_equal(y, x[:, ::strides])


def test_centred_convolution_in_two_and_three_dimensions():
    x = values(1, 6, 7, 2)
    assert np.array_equal(apply(convolution(2, (3, 4), 2), impulse((3, 4), 2), x), x[:, ::2, ::2])
    x = values(1, 4, 5, 6, 1)
    assert np.array_equal(apply(convolution(1, (3, 3, 3), 2), impulse((3, 3, 3), 1), x), x[:, ::2, ::2, ::2])


def test_same_padding_is_half_a_step_off():
    x = values(1, 8, 1)
    y = apply(convolution(1, (3,), 2, padding="SAME"), impulse((3,), 1), x)
    assert np.array_equal(y, x[:, 1::2])
    assert apply(convolution(1, (3,), padding="VALID"), impulse((3,), 1), x).shape == (1, 6, 1)


def test_convolution_runs_over_positions_and_sums_over_channels():
    x, kernel, bias = values(2, 5, 3), values(3, 3, 4, seed=1), values(4, seed=2)
    y = apply(convolution(4, (3,)), {"params": {"kernel": kernel, "bias": bias}}, x)
    wide = np.pad(x, [(0, 0), (1, 1), (0, 0)])
    for position in range(5):
        expected = np.einsum("bkc,kco->bo", wide[:, position : position + 3], kernel) + bias
        np.testing.assert_allclose(y[:, position], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layer", "shape", "fan_in"), [(convolution(64, (5,)), (1, 4, 32), 160), (dense(256), (1, 128), 128)])
def test_weights_are_he_normal_by_fan_in_and_biases_zero(layer, shape, fan_in):
    params = jax.jit(layer.init)(jax.random.key(0), jnp.zeros(shape))["params"]
    assert np.std(params["kernel"]) == pytest.approx(np.sqrt(2 / fan_in), rel=0.03)
    assert np.mean(params["kernel"]) == pytest.approx(0, abs=0.005)
    assert not params["bias"].any()


def test_own_convolution_is_used():
    grouped = functools.partial(nn.Conv, feature_group_count=2)
    params = jax.eval_shape(convolution(4, (3,), conv=grouped).init, jax.random.key(0), jnp.zeros((1, 5, 4)))["params"]
    assert params["kernel"].shape == (3, 2, 4)


# batch normalisation


@pytest.fixture(scope="module")
def norms():
    """Ours and Flax's, with the same parameters and statistics."""
    x = values(6, 5, 3, scale=2, offset=1)
    variables = {
        "params": {"scale": values(3, seed=1), "bias": values(3, seed=2)},
        "batch_stats": {"mean": values(3, seed=3), "var": np.abs(values(3, seed=4)) + 0.5},
    }
    return x, variables, BatchNorm(), nn.BatchNorm(momentum=0.9, epsilon=1e-5, use_fast_variance=False)


def test_batch_norm_has_the_names_and_start_of_flax(norms):
    x, _, ours, flax = norms
    init = lambda m: jax.jit(functools.partial(m.init, use_running_average=False))(jax.random.key(0), x)  # noqa: E731
    close(init(ours), init(flax), atol=0)


def test_batch_norm_equals_flax(norms):
    x, variables, ours, flax = norms
    close(*(apply(m, variables, x, use_running_average=True) for m in (ours, flax)))
    one, other = (apply(m, variables, x, use_running_average=False, mutable=["batch_stats"]) for m in (ours, flax))
    close(one, other)


def test_batch_norm_gradients_equal_flax(norms):
    x, variables, ours, flax = norms

    def loss(module, x, params):
        y, _ = module.apply({**variables, "params": params}, x, use_running_average=False, mutable=["batch_stats"])
        return (y**3).sum()

    gradients = [jax.jit(jax.grad(functools.partial(loss, m), (0, 1)))(x, variables["params"]) for m in (ours, flax)]
    close(*gradients, rtol=1e-3, atol=1e-3)


def test_batch_norm_formula_with_biased_variance(norms):
    x, variables, ours, _ = norms
    params, stats = variables["params"], variables["batch_stats"]
    flat = x.reshape(-1, 3).astype(np.float64)
    y, updated = ours.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
    mean, var = flat.mean(0), ((flat - flat.mean(0)) ** 2).sum(0) / len(flat)
    close(y, (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"], atol=1e-5)
    close(updated["batch_stats"], {"mean": 0.9 * stats["mean"] + 0.1 * mean, "var": 0.9 * stats["var"] + 0.1 * var})


def test_batch_norm_keeps_its_statistics_in_evaluation(norms):
    x, variables, ours, _ = norms
    _, updated = ours.apply(variables, x, use_running_average=True, mutable=["batch_stats"])
    close(updated["batch_stats"], variables["batch_stats"], rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(4, 32, 32, 3), (3, 1100, 2), (1, 1025, 2), (7, 9, 3)])
def test_staged_sums_change_nothing(x64, shape):
    """In stages of eight, of four, and in one where nothing divides the positions or there are few."""
    rng = np.random.default_rng(0)
    x, of_y = rng.normal(3, 2, size=(2, *shape))
    params = {"scale": rng.normal(size=shape[-1]), "bias": rng.normal(size=shape[-1])}
    variables = {"params": params, "batch_stats": {"mean": np.zeros(shape[-1]), "var": np.ones(shape[-1])}}

    def found(staged):
        def norm(params, x):
            y, updated = apply(BatchNorm(staged=staged), {**variables, "params": params}, x, False, mutable=["batch_stats"])
            return y, updated["batch_stats"]

        y, pullback = jax.vjp(norm, params, x)
        tangents = jax.jvp(norm, (params, x), (params, of_y))[1]
        return y, tangents, pullback((of_y, {"mean": params["scale"], "var": params["bias"]}))

    found = jax.jit(found, static_argnums=0)
    close(found(True), found(False), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axis_name", [None, "replicas"])
def test_staged_sums_of_members_and_of_replicas(axis_name):
    """Mapped over, and with the statistics of two devices."""
    x = values(2, 4, 300, 3, offset=1)
    variables = {
        "params": {"scale": values(3, seed=1), "bias": values(3, seed=2)},
        "batch_stats": {"mean": np.zeros(3, np.float32), "var": np.ones(3, np.float32)},
    }
    mapped: Any = jax.vmap if axis_name is None else functools.partial(jax.pmap, axis_name=axis_name, devices=jax.devices()[:2])

    def gradients(staged):
        norm = BatchNorm(axis_name=axis_name, staged=staged)
        loss = lambda x: (norm.apply(variables, x, False, mutable=["batch_stats"])[0] ** 3).sum()  # noqa: E731
        return np.asarray(jax.jit(mapped(jax.grad(loss)))(x))

    close(gradients(True), gradients(False), rtol=1e-4, atol=1e-3)


def test_batch_norm_survives_a_large_mean():
    x = values(64, 16, 1, offset=3000)
    y = apply(BatchNorm(), *init_and(x), use_running_average=False, mutable=["batch_stats"])[0]
    flat = x.ravel().astype(np.float64)
    np.testing.assert_allclose(np.ravel(y), (flat - flat.mean()) / flat.std(), atol=2e-3)
    assert jax.jit(batch_statistics)(x)[1] == pytest.approx(flat.var(), rel=1e-3)


def init_and(x):
    return jax.jit(functools.partial(BatchNorm().init, use_running_average=True))(jax.random.key(0), x), x


def test_batch_norm_of_one_value_keeps_the_running_averages_and_gives_the_bias(norms):
    _, variables, ours, _ = norms
    for shape in ((1, 3), (1, 1, 3)):
        y, updated = apply(ours, variables, values(*shape, seed=9), use_running_average=False, mutable=["batch_stats"])
        assert np.array_equal(np.ravel(y), variables["params"]["bias"])
        close(updated["batch_stats"], variables["batch_stats"], rtol=0, atol=0)
    # one sample with several positions does have a variance
    _, updated = apply(ours, variables, values(1, 4, 3), use_running_average=False, mutable=["batch_stats"])
    assert not np.allclose(updated["batch_stats"]["var"], variables["batch_stats"]["var"])


def test_batch_norm_gradient_of_one_value_is_finite(norms):
    _, variables, ours, _ = norms
    loss = lambda x: ours.apply(variables, x, use_running_average=False, mutable=["batch_stats"])[0].sum()  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(np.ones((1, 3), np.float32))
    assert np.array_equal(gradient, np.zeros((1, 3)))


@pytest.mark.parametrize("shape", [(8, 2, 5, 3), (8, 1, 3)])  # (devices, batch, …, channels); one sample a device
def test_batch_norm_over_replicas_equals_the_whole_batch(norms, shape):
    _, variables, ours, _ = norms
    x = values(*shape, scale=2) + np.arange(8, dtype=np.float32).reshape(8, *[1] * (len(shape) - 1))
    shared = BatchNorm(axis_name="devices")
    weights = values(*shape, seed=5)

    def loss(module, variables, x, weights):
        y, updated = module.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
        return (y * weights).sum(), (y, updated)

    def replica(variables, x, weights):
        gradient, (y, updated) = jax.grad(functools.partial(loss, shared), 1, has_aux=True)(variables, x, weights)
        return gradient, y, updated

    got = jax.pmap(replica, axis_name="devices", in_axes=(None, 0, 0))(variables, x, weights)
    whole = (x.reshape(-1, *shape[2:]), weights.reshape(-1, *shape[2:]))
    gradient, (y, updated) = jax.jit(jax.grad(functools.partial(loss, ours), 1, has_aux=True))(variables, *whole)
    close(got[0].reshape(whole[0].shape), gradient, rtol=1e-4, atol=1e-4)
    close(got[1].reshape(whole[0].shape), y, atol=1e-5)
    for device in range(8):
        close(jax.tree.map(lambda a, i=device: a[i], got[2]), updated)
    assert not np.allclose(updated["batch_stats"]["mean"], variables["batch_stats"]["mean"])


def test_batch_norm_initialises_without_its_axis():
    module = BatchNorm(axis_name="devices")
    close(module.init(jax.random.key(0), jnp.ones((2, 3)), use_running_average=False)["batch_stats"]["mean"], np.zeros(3))


def test_batch_norm_in_half_precision(norms):
    x, variables, ours, _ = norms
    half = jnp.asarray(x * 300, jnp.float16)  # squares beyond the range of float16
    y, updated = ours.apply(variables, half, use_running_average=False, mutable=["batch_stats"])
    assert y.dtype == jnp.float16
    assert updated["batch_stats"]["var"].dtype == jnp.float32
    exact = ours.apply(variables, np.float32(half), use_running_average=False, mutable=["batch_stats"])
    close((y.astype(jnp.float32), updated), exact, rtol=2e-3, atol=2e-3)
    assert apply(BatchNorm(dtype=jnp.bfloat16), variables, x, use_running_average=True).dtype == jnp.bfloat16


# norms of any kind


class Own(nn.Module):
    """A norm that knows neither axes nor types."""

    @nn.compact
    def __call__(self, x):
        return 2 * x


def test_normalisation_offers_only_what_a_norm_knows():
    made = normalisation(BatchNorm, axis_name="devices", dtype=jnp.bfloat16)
    assert (made.axis_name, made.dtype) == ("devices", jnp.bfloat16)
    made = normalisation(functools.partial(BatchNorm, axis_name="mine", momentum=0.5), axis_name="devices")
    assert (made.axis_name, made.momentum) == ("mine", 0.5)
    assert normalisation(nn.LayerNorm, axis_name=None, dtype=jnp.bfloat16).dtype == jnp.bfloat16
    made = normalisation(Own, axis_name="devices", dtype=jnp.float16)
    assert nn.apply(lambda m: normalise(m, jnp.array(3.0), True), made)({}) == 6


@pytest.mark.parametrize("train", [True, False])
def test_normalise_tells_a_norm_whether_to_use_running_averages(norms, train):
    x, variables, ours, flax = norms
    for module in (ours, flax):
        made = nn.apply(lambda m, x: normalise(m, x, train), module, mutable=["batch_stats"])
        y, _ = jax.jit(made)(variables, x)
        expected, _ = apply(module, variables, x, use_running_average=not train, mutable=["batch_stats"])
        assert np.array_equal(y, expected)
    layer = nn.LayerNorm()
    own = jax.jit(layer.init)(jax.random.key(0), x)
    expected: Any = apply(layer, own, x)
    assert np.array_equal(jax.jit(nn.apply(lambda m, x: normalise(m, x, train), layer))(own, x), expected)


# mean over positions


def test_position_mean():
    for shape in ((2, 5, 3), (2, 4, 5, 3), (2, 3, 4, 5, 1)):
        x = values(*shape)
        np.testing.assert_allclose(jax.jit(position_mean)(x), x.reshape(2, -1, shape[-1]).mean(1), rtol=1e-4, atol=1e-6)


def test_position_mean_of_half_precision_is_summed_in_single():
    ones = jnp.full((1, 4096, 1), 100, jnp.float16)  # a sum beyond the range of float16
    assert position_mean(ones) == 100
    assert position_mean(ones.astype(jnp.bfloat16)).dtype == jnp.float32
    assert position_mean(jnp.arange(4)[None, :, None]) == 1.5
