"""Variables from one draw equal those that the modules draw."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.functional.mel import LogMel
from drsn_jax.nn.initial_variables import draw, initialisation
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.networks import NETWORKS, drsn_cw, resnet
from drsn_jax.training.state import QUICK_COMPILATION

KEY = jax.random.key(3)


@pytest.mark.parametrize(
    ("network", "window"),
    [
        (NETWORKS["convnet"](classes=2, widths=(2,), units=(2,)), (16, 3)),
        (NETWORKS["drsn_cs"](classes=3, widths=(4, 5), units=(1, 2), kernel=(5,)), (16, 1)),
        (NETWORKS["senet"](classes=2, widths=(4, 2), units=(1, 1), shortcut="projection"), (16, 1)),
        (drsn_cw(classes=2, widths=(4,), units=(1,), kernel=(3, 3), front_end=LogMel(16000)), (4000, 1)),
    ],
)
def test_variables_equal_those_of_the_modules(network, window):
    plan = initialisation(network, KEY, window)
    assert plan is not None
    found = plan.variables(np.asarray(jax.jit(draw, static_argnums=2)(KEY, plan.numbers, plan.size)))
    init = functools.partial(network.init, train=False)
    expected = jax.jit(init, compiler_options=QUICK_COMPILATION)(KEY, jnp.zeros((1, *window)))
    tiny.assert_close(found, expected, 1e-6)
    assert {leaf.dtype for leaf in tiny.leaves(found)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("network", "key"),
    [
        (resnet(classes=2, conv=functools.partial(nn.Conv, use_bias=False)), KEY),
        (resnet(classes=2, norm=functools.partial(BatchNorm, momentum=0.5)), KEY),
        (resnet(classes=2), jax.random.key(3, impl="rbg")),
    ],
)
def test_what_only_the_modules_can_tell(network, key):
    assert initialisation(network, key, (16, 1)) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"standardise": "both"}, "standardise is True, False or 'together', got 'both'"),
        ({"scale": (1.0, 2.0)}, "scale has 2 numbers for windows of 1 channels"),
    ],
)
def test_fields_that_do_not_change_the_shapes_are_checked(fields, message):
    with pytest.raises(ValueError, match=message):
        initialisation(resnet(classes=2, **fields), KEY, (16, 1))
