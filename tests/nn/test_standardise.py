"""A network that standardises its windows equals the plain network on standardised windows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_networks import variables_of

from drsn_jax.functional import signals
from drsn_jax.training.state import QUICK_COMPILATION

EXACT, ROUNDED = 1e-6, 1e-4  # relative, absolute below 1; standardised in float32, from other numbers
WINDOWS = np.random.default_rng(0).normal(2, 3, (4, tiny.LENGTH, 1)).astype(np.float32)
VARIABLES = variables_of(tiny.network, WINDOWS.shape)


@functools.partial(jax.jit, static_argnums=0, compiler_options=QUICK_COMPILATION)
def everything(network, x):
    """Logits, statistics and the gradient of the parameters, in training and in evaluation, and the pooled features."""

    def loss(params, train):
        logits, updated = network.apply({**VARIABLES, "params": params}, x, train=train, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(logits + jnp.arange(tiny.CLASSES, dtype=logits.dtype)[None])), (logits, updated)

    modes = [jax.value_and_grad(loss, has_aux=True)(VARIABLES["params"], train) for train in (True, False)]
    return modes, network.apply(VARIABLES, x, train=False, method="features")


@pytest.mark.parametrize("implementation", ["modules", "blocked"])
def test_a_network_standardises_each_window(implementation):
    plain = tiny.network.clone(implementation=implementation)
    standardising = plain.clone(standardise=True)
    expected = everything(plain, np.asarray(jax.vmap(signals.standardise)(WINDOWS)))
    tiny.assert_close(everything(standardising, WINDOWS), expected, EXACT)
    scales = np.array([1e-3, 1, 7, 1e4], np.float32)[:, None, None]
    tiny.assert_close(everything(standardising, scales * (WINDOWS + 5)), expected, ROUNDED)


def test_either_implementation_takes_windows_that_are_standardised_once():
    """Where the compiler of the program chooses, too."""
    network = tiny.network.clone(implementation=None, standardise=True)
    programs = str(jax.make_jaxpr(lambda x: network.apply(VARIABLES, x, train=False))(WINDOWS))
    modules = network.clone(implementation="modules")
    # the standardisation of a window divides by the largest magnitude, which nothing else in a network computes
    assert programs.count("reduce_max") == 1
    found, expected = (jax.jit(functools.partial(n.apply, train=False))(VARIABLES, WINDOWS) for n in (network, modules))
    tiny.assert_close(found, expected, 2e-5)


def test_thresholds_are_those_of_standardised_windows():
    x = np.asarray(jax.vmap(signals.standardise)(WINDOWS))
    run = jax.jit(lambda network, x: network.apply(VARIABLES, x, train=False, mutable=["thresholds"]), static_argnums=0)
    tiny.assert_close(run(tiny.network.clone(standardise=True), WINDOWS), run(tiny.network, x), EXACT)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_the_dtype_of_the_windows_stays(mixing, dtype):
    x = jax.ShapeDtypeStruct(WINDOWS.shape, dtype)
    programs = [
        jax.eval_shape(lambda x, n=network: n.apply(VARIABLES, x, train=False, capture_intermediates=True), x)
        for network in (tiny.network, tiny.network.clone(standardise=True))
    ]
    assert programs[0] == programs[1]


def test_the_papers_network_does_not_standardise():
    logits = jax.jit(functools.partial(tiny.network.apply, train=False))
    assert not tiny.network.standardise
    assert not np.allclose(logits(VARIABLES, WINDOWS), logits(VARIABLES, 2 * WINDOWS), rtol=1e-3)


@pytest.mark.parametrize(
    ("implementation", "changed"),
    [("blocked", {"standardise": "together"}), ("modules", {"scale": [3.0]}), ("blocked", {"offset": (2.0,), "scale": 3.0})],
)
def test_amplitude_that_is_kept(implementation, changed):
    """All channels of a window by one number, or all windows by the same numbers."""
    plain = tiny.network.clone(implementation=implementation)
    made = jax.vmap(signals.standardise_together) if "standardise" in changed else lambda x: (x - 2 * ("offset" in changed)) / 3
    tiny.assert_close(everything(plain.clone(**changed), WINDOWS), everything(plain, np.asarray(made(WINDOWS))), EXACT)


def test_what_is_no_way_to_scale_is_refused():
    wrongs: list[dict[str, Any]] = [{"scale": 0.0}, {"scale": np.inf}, {"scale": (1.0, -1.0)}, {"offset": np.nan}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="offset is a finite and scale a positive number, or one for each channel, got"):
            tiny.network.clone(**wrong).apply(VARIABLES, WINDOWS, train=False)
    with pytest.raises(ValueError, match="standardise is True, False or 'together', got 'channel'"):
        tiny.network.clone(standardise="channel").apply(VARIABLES, WINDOWS, train=False)
    with pytest.raises(ValueError, match="scale has 2 numbers for windows of 1 channels: give one for each, or one"):
        tiny.network.clone(scale=(1.0, 2.0)).apply(VARIABLES, WINDOWS, train=False)


def test_every_channel_has_its_own_offset_and_scale():
    network = tiny.network.clone(implementation="modules")
    windows = np.random.default_rng(0).normal(size=(5, 64, 2)).astype(np.float32)
    variables = tiny.variables(network, (1, 64, 2))
    made = (windows - np.array([1, -2], np.float32)) / np.array([2, 0.5], np.float32)
    scaling = network.clone(offset=(1.0, -2.0), scale=(2.0, 0.5))
    found, expected = (
        jax.jit(functools.partial(n.apply, train=False))(variables, x) for n, x in ((scaling, windows), (network, made))
    )
    tiny.assert_close(found, expected, EXACT)
