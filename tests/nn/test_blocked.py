"""The blocked view equals convolution, normalisation, thresholds and shortcut as the modules compute them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drsn_jax.functional.thresholding import soft_threshold
from drsn_jax.nn import blocked, blocked_layers
from drsn_jax.nn.layers import batch_statistics, centred_padding, position_mean
from drsn_jax.nn.residual_unit import pad_channels, stride_positions
from drsn_jax.training.state import QUICK_COMPILATION

TOLERANCE = 1e-12  # float64: to rounding
EPSILON = 1e-5
pytestmark = pytest.mark.usefixtures("x64")


def values(*shape, seed=0):
    return jax.device_put(np.random.default_rng(seed).normal(size=shape))  # asarray compiles a program for every shape


def convolution(x, kernel, strides):
    padding = centred_padding(kernel.shape[:1])
    return jax.lax.conv_general_dilated(x, kernel, (strides,), padding, dimension_numbers=("NWC", "WIO", "NWC"))


def shape_of(length, kernel, strides, channels, features, width=12):
    positions = blocked.positions_of(length // strides, features, width)
    return blocked.Shape(length // strides // positions, kernel, strides, positions, channels, features)


def with_gradients(function, *arguments):
    """Results and the gradients of a random combination of them for all arguments."""

    @functools.partial(jax.jit, compiler_options=QUICK_COMPILATION)
    def run(arguments):
        results, back = jax.vjp(function, *arguments)
        cotangents = [values(*leaf.shape, seed=9 + n) for n, leaf in enumerate(jax.tree.leaves(results))]
        return results, back(jax.tree.unflatten(jax.tree.structure(results), cotangents))

    return run(arguments)


def assert_same(one, other, tolerance=TOLERANCE):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), one, other)


CASES = [  # length, kernel, strides, channels, features
    (24, 3, 1, 4, 4),
    (24, 1, 2, 3, 3),
    (15, 2, 1, 3, 4),  # an odd length, blocks of three
    (22, 2, 2, 1, 5),
    (13, 5, 1, 2, 1),  # a prime length: blocks of one or all
    (36, 5, 2, 1, 2),
    (24, 7, 1, 6, 5),  # the halo of three positions spans two blocks
    (8, 7, 2, 6, 6),
    (6, 9, 1, 12, 12),  # it reaches beyond the ends
    (2, 3, 2, 1, 1),
]


@pytest.mark.parametrize(("length", "kernel", "strides", "channels", "features"), CASES)
def test_norm_relu_and_convolution_with_every_gradient(length, kernel, strides, channels, features, monkeypatch):
    """The convolution alone as for many rows, the other as for few."""
    shape = shape_of(length, kernel, strides, channels, features)
    x, weights, bias = values(3, length, channels), values(kernel, channels, features, seed=1), values(channels, seed=2)
    scale, offset = 1 + values(channels, seed=3), values(channels, seed=4)

    def plain(x, bias, scale, offset, weights):
        bias, scale, offset = bias[None, None], scale[None, None], offset[None, None]
        mean, var = batch_statistics(x + bias)
        normed = (x + bias - mean[None, None]) * scale * jax.lax.rsqrt(var[None, None] + EPSILON) + offset
        return convolution(jax.nn.relu(normed), weights, strides), convolution(x, weights, strides), mean, var

    def fast(x, bias, scale, offset, weights):
        matrix = blocked.matrix(weights, shape, True)
        y, mean, var = blocked_layers.norm_relu_convolve(shape.to_blocks(x), bias, scale, offset, matrix, shape, EPSILON)
        with monkeypatch.context() as patched:
            patched.setattr(blocked, "FEW_ROWS", 0)
            alone = blocked.convolve(x, blocked.matrix(weights, shape), shape)
        return *(a.reshape(3, -1, features) for a in (y, alone)), mean, var

    arguments = (x, bias, scale, offset, weights)
    assert_same(with_gradients(fast, *arguments), with_gradients(plain, *arguments))


def test_the_picture():
    """Three samples, two channels, four positions: as drawn in the module's docstring."""
    k, shape = values(3, 2, 2), blocked.Shape(5, 3, 1, 4, 2, 2)
    matrix = blocked.matrix(k, shape)
    expected = np.zeros((4, 2, 6, 2))  # outputs of the own block, then the first of the block after and the last of that before
    for position in range(4):
        for sample in range(3):
            if 0 <= position + sample - 1 < 4:
                expected[position + sample - 1, :, position] = k[sample]
    expected[3, :, 4], expected[0, :, 5] = k[0], k[2]
    np.testing.assert_array_equal(matrix, expected.reshape(8, 12))
    after, before = shape.neighbours()
    assert (after.away, after.columns, before.away, before.columns) == (1, slice(0, 2), -1, slice(6, 8))


@pytest.mark.parametrize(("length", "kernel", "strides", "channels", "features"), CASES)
def test_collecting_is_the_transpose_of_spreading(length, kernel, strides, channels, features):
    shape = shape_of(length, kernel, strides, channels, features)
    if not shape.neighbours():
        assert shape.blocks == 1 or kernel <= strides
        return
    y = values(3 * shape.blocks, shape.own)
    edges = values(len(y), shape.neighbours()[-1].edge.stop, seed=1)

    @jax.jit
    def products(y, edges):
        added, collected = blocked.spread(jnp.zeros_like(y), edges, shape), blocked.collect(y, shape, False)
        return jnp.sum(added * y), jnp.sum(edges * collected), blocked.collect(y, shape, True), jnp.concatenate([y, collected], 1)

    one, other, beside, expected = products(y, edges)
    np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_array_equal(beside, expected)


def test_replicas_that_share_statistics():
    shape, names = shape_of(12, 3, 1, 2, 3), ("x", "bias", "scale", "offset", "matrix")
    vectors = values(2, seed=3), 1 + values(2, seed=1), values(2, seed=2)
    matrix = blocked.matrix(values(3, 2, 3), shape)
    arguments: dict[str, Any] = dict(zip(names, (values(4, 12, 2), *vectors, matrix), strict=True))

    def loss(arguments, axis_name=None):
        y, mean, var = blocked_layers.norm_relu_convolve(
            shape.to_blocks(arguments["x"]), *(arguments[n] for n in names[1:]), shape, EPSILON, axis_name
        )
        return jnp.sum(jnp.sin(y)), (mean, var)

    expected, statistics = jax.jit(jax.grad(loss, has_aux=True))(arguments)

    def replica(x):
        grads, statistics = jax.grad(loss, has_aux=True)({**arguments, "x": x}, "devices")
        return grads["x"], {n: jax.lax.psum(grads[n], "devices") for n in names[1:]}, statistics

    of_x, grads, found = jax.pmap(replica, axis_name="devices", devices=jax.local_devices()[:2])(
        arguments["x"].reshape(2, 2, 12, 2)
    )
    assert_same(of_x.reshape(4, 12, 2), expected.pop("x"))
    for device in range(2):
        assert_same(jax.tree.map(lambda a, d=device: a[d], (grads, found)), (expected, statistics))


def test_thresholds_with_their_gradients():
    shape = shape_of(12, 3, 1, 3, 3)
    x, alpha = values(4, 12, 3).at[1, :, 0].set(0), jax.nn.sigmoid(values(4, 3, seed=1))

    def plain(x, alpha):
        average = position_mean(jnp.abs(x))
        return soft_threshold(x, (alpha * average)[:, None]), average

    def fast(x, alpha):
        y = shape.to_blocks(x)
        average = blocked_layers.mean_magnitude(y, shape.blocks, 3)
        return blocked_layers.soft_threshold_blocks(y, alpha * average).reshape(x.shape), average

    assert_same(with_gradients(fast, x, alpha), with_gradients(plain, x, alpha))


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_thresholds_at_the_kinks(threshold):
    # one example, two blocks, two channels
    x = np.array([[-np.inf, -2.0, -1.0, 0.0], [np.nan, 1.0, 2.0, np.inf]], jnp.result_type(float))
    tau = np.full((1, 2), threshold, x.dtype)

    @functools.partial(jax.jit, static_argnums=0)
    def with_ones(function, *arguments):
        y, back = jax.vjp(function, *arguments)
        return y, back(jnp.ones_like(y))

    y, (of_x, of_tau) = jax.device_get(with_ones(blocked_layers.soft_threshold_blocks, x, tau))
    expected, (plain_x, plain_tau) = jax.device_get(with_ones(soft_threshold, x.reshape(1, 4, 2), tau[:, None]))
    np.testing.assert_array_equal(y, expected.reshape(2, 4))
    finite = ~np.isnan(x)
    np.testing.assert_array_equal(of_x[finite], plain_x.reshape(2, 4)[finite])
    np.testing.assert_array_equal(of_tau[0, 1], plain_tau[0, 0, 1])


@pytest.mark.parametrize(("strides", "features"), [(1, 2), (2, 2), (1, 5), (2, 5)])
def test_shortcut(strides, features):
    shape, x = shape_of(12, 3, strides, 2, features), values(3, 12, 2)
    expected = pad_channels(stride_positions(x, strides), features)
    np.testing.assert_array_equal(blocked_layers.shortcut(shape.to_blocks(x), shape).reshape(expected.shape), expected)


def test_channels_and_blocks():
    vector, x = values(2, 3), values(6, 12)
    jit = lambda function: jax.jit(function, static_argnums=tuple(range(1, function.__code__.co_argcount)))  # noqa: E731
    for rows, training in ((1, False), (1, True), (2, True)):  # in training one vector is widened in another way than several
        np.testing.assert_array_equal(blocked.widen(vector[:rows], 12, training), np.tile(vector[:rows], 4))
    x, weight = np.asarray(x), np.asarray(values(2, 3, seed=1))
    assert_same(blocked.narrow(x, 3), x.reshape(6, 4, 3).sum(1))
    assert_same(blocked.narrow(x[0], 3, True), x[0].reshape(4, 3).sum(0))
    assert_same(jit(blocked_layers.mean_of_positions)(x, 3, 3), x.reshape(2, 12, 3).mean(1))
    assert_same(jax.jit(blocked_layers.scale)(x, weight), (x.reshape(2, 12, 3) * weight[:, None]).reshape(6, 12))


@pytest.mark.parametrize(
    ("length", "channels", "positions"), [(512, 4, 8), (128, 16, 2), (125, 16, 1), (125, 4, 5), (13, 4, 1), (64, 48, 1)]
)
def test_positions_of_a_block(length, channels, positions):
    assert blocked.positions_of(length, channels) == positions
