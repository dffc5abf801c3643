"""The main ways through the library where JAX refuses to mix ranks and dtypes, as users set it to find their own mistakes.

Both settings act while a function is traced, so nothing here is compiled.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.functional import signals
from drsn_jax.functional.noise import NOISE_KINDS, Noise, add_noise_once, measure_snr_db
from drsn_jax.functional.thresholding import THRESHOLD_RULES
from drsn_jax.nn.networks import drsn_cw
from drsn_jax.nn.presets import SIGNAL_NETWORKS
from drsn_jax.training.members import NoiseForms, make_member_evaluation, make_member_step, over_members
from drsn_jax.training.optimizers import paper_optimizer
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_eval_step, make_predict_step, make_train_step

KEY = jax.random.key(0)
BATCH = tiny.batch(4)
WINDOWS = BATCH["windows"]
optimizer = paper_optimizer(10)


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def trace(function, *arguments):
    return jax.eval_shape(function, *arguments)


def state_of(network):
    return trace(lambda key: create_state(network, optimizer, key, WINDOWS), KEY)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_noise(kind):
    for dtype in (jnp.float32, jnp.bfloat16, jnp.int16):
        window = jnp.ones((64, 2), dtype)
        trace(Noise(kind, -5.0), KEY, window)
        trace(Noise(kind, (-5.0, 5.0)), KEY, window)
    trace(lambda: add_noise_once(KEY, WINDOWS, -5.0, kind))


def test_functions():
    for dtype in (jnp.float32, jnp.bfloat16, jnp.int16):
        for function in (signals.remove_mean, signals.standardise):
            trace(function, jnp.ones((64, 2), dtype))
            trace(function, jnp.ones((8, 8, 2), dtype))
    for dtype in (jnp.float32, jnp.bfloat16, jnp.int16):
        trace(measure_snr_db, jnp.ones((64, 2), dtype), jnp.ones((64, 2), dtype))
    for rule in THRESHOLD_RULES.values():
        for tau in (0.1, np.ones(WINDOWS.shape[-1], np.float32)):
            trace(jax.grad(lambda x, tau, rule=rule: rule(x, tau).sum(), (0, 1)), WINDOWS, tau)
        trace(rule, np.ones((3, 2), np.int32), np.ones(2, np.int32))


# the network of the paper in every way, the others in the way that has most code of this package
@pytest.mark.parametrize(
    ("name", "implementation"), [*((name, "blocked") for name in SIGNAL_NETWORKS), ("drsn_cw", "modules"), ("drsn_cw", None)]
)
def test_networks(name, implementation):
    network = SIGNAL_NETWORKS[name](classes=3, widths=(4, 8), units=(1, 1), implementation=implementation, standardise=True)
    state = state_of(network)
    trace(make_train_step(network, optimizer, noise=Noise("gaussian", 0.0), class_weights=[1.0, 2.0, 1.0]), state, BATCH)
    trace(make_eval_step(network), state.variables, BATCH)
    trace(make_predict_step(network, prepare=signals.standardise), state.variables, WINDOWS)


@pytest.mark.parametrize(
    "fields", [{"dtype": jnp.bfloat16}, {"shortcut": "projection", "threshold_rule": "garrote"}, {"platform": "cpu"}], ids=str
)
def test_other_fields(fields):
    network = drsn_cw(classes=3, widths=(4,), units=(1,), kernel=(3, 3), **fields)
    images = jnp.ones((4, 64, 64, 1))
    trace(lambda key: network.init_with_output(key, images, train=True), KEY)
    state = trace(lambda key: create_state(network, optimizer, key, images), KEY)
    trace(make_train_step(network, optimizer), state, {**BATCH, "windows": images})


def test_members_of_an_ensemble():
    forms = NoiseForms([Noise("gaussian", 0.0), Noise("pink", (0.0, 5.0))])
    step = over_members(make_member_step(tiny.network, optimizer, forms, signals.standardise), "vmap")
    states = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), state_of(tiny.network))
    noises = forms.of([Noise("gaussian", 0.0), Noise("pink", (0.0, 5.0))])
    examples = jnp.zeros((2, 4), jnp.int32)
    trace(step, (states, jnp.ones(2, bool)), (jnp.asarray(WINDOWS), jnp.asarray(BATCH["labels"])), (examples, noises))
    evaluation = over_members(make_member_evaluation(tiny.network, forms, None), "map")
    batch = {**BATCH, "start": np.int32(0)}
    trace(evaluation, states.variables, batch, (jax.random.split(KEY, 2), noises))
