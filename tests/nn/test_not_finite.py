"""NaN and infinity in a window of a full batch: its answer is NaN, and the other windows' answers are as without it.

The batches are large: XLA for CPUs loses NaN only in sums and maxima of 4,096 numbers or more, and only in compiled functions.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.nn.layers import relu_mean
from drsn_jax.nn.networks import drsn_cw
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_eval_step, make_predict_step, make_train_step

COUNT, LENGTH = 64, 512
BROKEN = {3: np.nan, 8: np.inf, 60: -np.inf}  # number of the window: what one of its samples is
WINDOWS = np.random.default_rng(0).standard_normal((COUNT, LENGTH, 1)).astype(np.float32)
DAMAGED = WINDOWS.copy()
for number, value in BROKEN.items():
    DAMAGED[number, 2 * number + 1] = value
OTHERS = np.setdiff1d(np.arange(COUNT), list(BROKEN))
LABELS = np.arange(COUNT) % 3
BATCH = {"windows": DAMAGED, "labels": LABELS, "weights": np.ones(COUNT, np.float32)}


def network_of(implementation, **fields):
    return drsn_cw(classes=3, widths=(4,), units=(1,), implementation=implementation, **fields)


class Own(nn.Module):
    """A network of the user's own, whose ReLU and mean XLA may fuse."""

    classes: int
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.classes)(nn.relu(nn.Conv(4, (3,))(x)).mean(1))


def assert_answers(damaged, whole):
    """The answers ``(n, classes)`` are NaN for the broken windows and those of whole windows for the others."""
    damaged, whole = np.asarray(damaged), np.asarray(whole)
    assert np.isnan(damaged[list(BROKEN)]).all()
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(damaged[OTHERS], whole[OTHERS], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", ["modules", "blocked", None])
@pytest.mark.parametrize("standardise", [False, True])
def test_network(implementation, standardise):
    network = network_of(implementation, standardise=standardise)
    variables = tiny.variables(network_of("modules"), (1, LENGTH, 1))
    apply = jax.jit(lambda x: network.apply(variables, x, train=False))
    assert_answers(apply(DAMAGED), apply(WINDOWS))


@pytest.mark.parametrize("implementation", ["modules", "blocked"])
def test_numbers_that_overflow_inside(implementation):
    variables = tiny.variables(network_of("modules"), (1, LENGTH, 1))
    large = WINDOWS.copy()
    large[5] *= 1e38  # finite itself
    logits = jax.jit(lambda x: network_of(implementation).apply(variables, x, train=False))(large)
    assert not np.isfinite(logits[5]).any()


@pytest.mark.parametrize("network", [network_of("modules"), network_of("blocked"), Own(3)], ids=["modules", "blocked", "own"])
def test_steps(network):
    state = create_state(network, tiny.optimizer, jax.random.key(0), WINDOWS)
    predict = jax.jit(make_predict_step(network))
    whole = np.asarray(predict(state.variables, WINDOWS))
    assert_answers(predict(state.variables, DAMAGED), whole)

    metrics = jax.jit(make_eval_step(network))(state.variables, BATCH)
    assert np.isnan(metrics["loss"])
    assert metrics["count"] == COUNT
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (LABELS[OTHERS], whole.argmax(1)[OTHERS]), 1)
    np.testing.assert_array_equal(metrics["confusion"], confusion)  # a broken window is neither right nor wrong
    assert metrics["correct"] == np.trace(confusion)

    _, metrics = jax.jit(make_train_step(network, tiny.optimizer))(state, BATCH)
    assert np.isnan(metrics["loss"])


def test_maps():
    network, axes = network_of("modules"), (4, COUNT // 4)
    variables = tiny.variables(network, (1, LENGTH, 1))
    step = make_predict_step(network)
    parts = DAMAGED.reshape(*axes, LENGTH, 1)
    whole = jax.jit(step)(variables, WINDOWS)
    for mapped in (jax.jit(jax.vmap(step, (None, 0))), jax.pmap(step, in_axes=(None, 0), devices=jax.local_devices()[:4])):
        assert_answers(mapped(variables, parts).reshape(COUNT, -1), whole)


def test_mean_of_relu():
    x = np.random.default_rng(1).normal(size=(COUNT, LENGTH, 4)).astype(np.float32)
    x[0, 0] = 0
    np.testing.assert_allclose(jax.jit(relu_mean)(x), np.maximum(x, 0).mean(1), rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda x: relu_mean(x).sum()))(x)
    np.testing.assert_allclose(gradient, (x > 0) / LENGTH, rtol=1e-6)  # at 0 it is 0, as that of ReLU
    x[7, 5, 2] = jnp.nan
    assert np.argwhere(np.isnan(jax.jit(relu_mean)(x))).tolist() == [[7, 2]]
