"""The blocked implementation of a network equals its modules, which take over what it does not cover."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax.errors import ModifyScopeVariableError, ScopeParamShapeError
from test_networks import variables_of

from drsn_jax.core.distributed import AXIS_NAME, choose_devices, pmap_step, replicate, shard
from drsn_jax.nn import blocked_network
from drsn_jax.nn.layers import BatchNorm
from drsn_jax.nn.networks import NETWORKS, Network, blocked_layout, drsn_cw, resnet
from drsn_jax.nn.variable_shapes import variable_shapes
from drsn_jax.training.state import QUICK_COMPILATION, create_state
from drsn_jax.training.steps import make_train_step

DOUBLE, SINGLE = 1e-11, 2e-5  # relative, absolute below 1; float32 sums in another order through five convolutions
jit = functools.partial(jax.jit, compiler_options=QUICK_COMPILATION)
SMALL = {"classes": 3, "widths": (2, 5), "units": (1, 1)}
SINGLE_UNIT = {"widths": (3,), "units": (1,)}


def windows(*shape, seed=0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def loss(network: Network, variables, params, x, train):
    logits, updated = network.apply({**variables, "params": params}, x, train=train, mutable=["batch_stats"])
    return jnp.sum(jnp.sin(logits + jnp.arange(3, dtype=logits.dtype)[None])), (logits, updated)


def everything(network, variables, x, evaluation_gradients=False):
    """Logits, statistics and the gradients of parameters and windows in training, and logits in evaluation.

    The gradients in evaluation come on request: they take as long to compile as the rest.
    """
    alone = functools.partial(loss, network, variables)
    run = jax.value_and_grad(alone, argnums=(0, 1), has_aux=True)
    return run(variables["params"], x, True), (run if evaluation_gradients else alone)(variables["params"], x, False)


compiled = jit(everything, static_argnums=(0, 3))


def is_blocked(network, variables, x, train=True, **options):
    """Whether nothing but matrix products is left, where the modules have convolutions."""
    options = {"mutable": ["batch_stats"], **options}
    program = jax.make_jaxpr(lambda v, x: network.apply(v, x, train=train, **options))(variables, x)
    return "conv_general_dilated" not in str(program)


def compare(network, x, dtype: Any = np.float32, tolerance=SINGLE, evaluation_gradients=False):
    variables = jax.tree.map(dtype, variables_of(network, x.shape))
    network = network.clone(implementation="blocked")
    assert blocked_layout(network, variables, dtype(x))
    found, expected = (
        compiled(made, variables, dtype(x), evaluation_gradients) for made in (network, network.clone(implementation="modules"))
    )
    tiny.assert_close(found, expected, tolerance)


# equality


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("convnet", (3, 24, 1), {"kernel": (2,), **SINGLE_UNIT}),
        ("resnet", (3, 40, 2), {"kernel": (5,)}),  # a last stage of five positions
        ("senet", (2, 24, 1), {"stem": 1, **SINGLE_UNIT}),
        ("drsn_cs", (3, 24, 1), {"kernel": (1,), **SINGLE_UNIT}),
        ("drsn_cw", (3, 56, 3), {"kernel": (7,)}),
        ("drsn_cw", (2, 16, 1), {"widths": (2,), "units": (3,)}),  # the second and the third unit are one program
        ("drsn_cw", (2, 40, 1), {"shortcut": "projection", "widths": (5,), "units": (1,)}),
    ],
)
def test_double_precision_equals_the_modules(x64, name, shape, options):
    compare(NETWORKS[name](**{**SMALL, **options}), windows(*shape), np.float64, DOUBLE, "projection" in options.values())


def test_single_precision_equals_the_modules():
    compare(drsn_cw(**SMALL), windows(1, 40, 1))


def test_statistics_of_a_large_mean_do_not_cancel():
    network = resnet(**SMALL)
    variables = variables_of(network, (1, 40, 1))
    variables["params"]["stem_conv"]["bias"] += 1000
    stats = [
        jit(functools.partial(network.clone(implementation=implementation).apply, train=True, mutable=["batch_stats"]))(
            variables, windows(4, 40, 1)
        )
        for implementation in ("blocked", "modules")
    ]
    var = [s[1]["batch_stats"]["stages_0_0"]["norm_1"]["var"] for s in stats]
    np.testing.assert_allclose(var[0], var[1], rtol=1e-3)


def test_second_derivatives_in_reverse_mode(x64):
    network = drsn_cw(classes=3, widths=(3,), units=(1,))
    variables = jax.tree.map(np.float64, variables_of(network, (2, 24, 1)))
    x = np.float64(windows(2, 24, 1))

    @functools.partial(jit, static_argnums=0)
    def penalty(implementation, params):
        def slope(params, x):
            grads = jax.grad(lambda x: loss(network.clone(implementation=implementation), variables, params, x, True)[0])(x)
            return jnp.sum(grads**2)

        return jax.grad(slope)(params, x)

    tiny.assert_close(penalty("blocked", variables["params"]), penalty("modules", variables["params"]), DOUBLE)


def test_forward_mode_needs_the_modules():
    network, x = drsn_cw(**SMALL), windows(2, 24, 1)
    variables = variables_of(network, x.shape)

    @functools.partial(jit, static_argnums=0)
    def along(implementation):
        apply = functools.partial(network.clone(implementation=implementation).apply, variables, train=False)
        return jax.jvp(apply, (x,), (x,))

    assert np.isfinite(along("modules")[1]).all()
    with pytest.raises(TypeError, match="forward-mode"):
        along("blocked")


# transformations


@pytest.fixture(scope="module")
def small():
    network = tiny.network.clone(implementation=None, platform="cpu")
    x = windows(4, tiny.LENGTH, 1)
    return network, variables_of(network, x.shape), x


def test_members_and_draws_of_noise_under_vmap(small):
    network, variables, x = small
    members = jax.tree.map(lambda a: np.stack([a, 0.9 * a]), variables)
    draws = np.stack([x, x + 1])
    run = functools.partial(everything, network)
    each = [compiled(network, jax.tree.map(lambda a, i=i: a[i], members), draws[i]) for i in range(2)]
    together = jit(jax.vmap(run))(members, draws)
    tiny.assert_close(together, jax.tree.map(lambda *a: np.stack(a), *each), SINGLE)
    logits = functools.partial(network.apply, variables, train=False)
    noisy = jit(jax.vmap(logits))(draws)
    np.testing.assert_allclose(noisy[1], jit(logits)(draws[1]), rtol=SINGLE, atol=SINGLE)


def test_training_over_two_devices_equals_the_modules_on_one():
    """The platform chooses the blocked implementation for the two."""
    optimizer, devices, batch = tiny.optimizer, choose_devices(2), tiny.batch(8, 0, "unequal")
    network = tiny.network.clone(implementation=None)
    state, other = (create_state(made, optimizer, jax.random.key(0), batch["windows"]) for made in (network, tiny.network))
    tiny.assert_equal(state, other)  # checkpoints are interchangeable
    step = pmap_step(make_train_step(network, optimizer, axis_name=AXIS_NAME), devices, donate=False)
    found = step(replicate(state, devices), shard(batch, 2))
    tiny.assert_close(found, jit(make_train_step(tiny.network, optimizer))(other, batch), SINGLE)


def test_several_steps_in_a_loop_equal_one_after_another(small):
    network, variables, x = small
    run = functools.partial(network.apply, train=True, mutable=["batch_stats"])

    def step(stats, x):
        y, updated = run({"params": variables["params"], "batch_stats": stats}, x)
        return updated["batch_stats"], y

    stats, outputs = jit(functools.partial(jax.lax.scan, step))(variables["batch_stats"], np.stack([x, 2 * x]))
    first, _ = jit(step)(variables["batch_stats"], x)
    second, y = jit(step)(first, 2 * x)
    tiny.assert_close((stats, outputs[1]), (second, y), SINGLE)


# choice


def test_the_platform_chooses_when_the_program_is_compiled(small):
    network, variables, x = small
    network = network.clone(platform=None)
    apply = jit(functools.partial(network.apply, train=False))
    convolutions = {p: "stablehlo.convolution" in apply.trace(variables, x).lower(lowering_platforms=(p,)).as_text()
                    for p in ("cpu", "cuda", "tpu")}  # fmt: skip
    assert convolutions == {"cpu": False, "cuda": True, "tpu": True}
    exported = jax.export.export(apply, platforms=("cuda", "cpu"))(variables, x)
    assert exported.platforms == ("cuda", "cpu")
    again = jax.export.deserialize(exported.serialize())
    plain = jit(functools.partial(network.clone(implementation="modules").apply, train=False))(variables, x)
    np.testing.assert_allclose(again.call(variables, x), plain, rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"widths": (65,), "units": (1,)}, (2, 64, 1)),  # wide
        ({}, (2, 8 * 13, 1)),  # a last stage of a prime length: blocks of one position
    ],
)
def test_what_does_not_pay_goes_by_the_modules_unless_told(options, shape):
    network = resnet(**{**SMALL, **options}, platform="cpu")
    variables = variables_of(network, shape)
    assert not is_blocked(network, variables, windows(*shape))
    assert is_blocked(network.clone(implementation="blocked"), variables, windows(*shape))


def test_images_train_on_a_cpu_by_the_modules_with_staged_norms(x64):
    network = drsn_cw(**SMALL, kernel=(3, 3), platform="cpu")
    x = windows(4, 34, 32, 2).astype(np.float64)
    variables = jax.tree.map(np.float64, variables_of(network, x.shape))
    found, plain = compiled(network, variables, x), compiled(network.clone(implementation="modules"), variables, x)
    tiny.assert_close(found, plain, DOUBLE)

    def stages(network):
        apply = lambda v, x: network.apply(v, x, train=True, mutable=["batch_stats"])  # noqa: E731
        return str(jax.make_jaxpr(apply)(variables, x)).count("optimization_barrier")

    assert stages(network) > 0
    others: Any = ({"implementation": "modules"}, {"implementation": "blocked"}, {"platform": None})
    assert [stages(network.clone(**fields)) for fields in others] == [0, 0, 0]
    assert stages(network.clone(norm=OwnNorm)) == 0


class OwnNorm(BatchNorm):
    """A norm of the user's own."""


@pytest.mark.parametrize(
    "options",
    [
        {"threshold_rule": "hard"},
        {"kernel": (3, 3)},
        {"padding": "SAME"},
        {"dtype": jnp.bfloat16},
        {"conv": functools.partial(nn.Conv, use_bias=False)},
        {"norm": OwnNorm},
        {"norm": functools.partial(BatchNorm, momentum=0.5)},
    ],
)
def test_what_is_not_covered_goes_by_the_modules(options):
    network = drsn_cw(**SMALL, **options, implementation="blocked")
    x = windows(2, *(24,) * len(network.kernel), 1)
    assert not is_blocked(network, variables_of(network, x.shape), x)


@pytest.mark.parametrize("length", [1, 7, 28, 36])
def test_lengths_that_a_stride_does_not_divide_go_by_the_modules(length):
    network, x = drsn_cw(**SMALL, implementation="blocked"), windows(2, length, 1)
    assert not is_blocked(network, variables_of(network, x.shape), x)


def test_what_is_asked_for_beside_the_logits_the_modules_give(small):
    network, variables, x = small
    assert is_blocked(network, variables, x)
    assert is_blocked(network, variables, x, train=False, mutable=False)
    assert not is_blocked(network, variables, x, mutable=["batch_stats", "thresholds"])
    assert not is_blocked(network, variables, x, train=False, mutable=True)
    with pytest.raises(ModifyScopeVariableError):
        network.apply(variables, x, train=True)


def test_variables_of_another_network_are_refused_as_by_the_modules(mixing, small):
    network, variables, x = small
    other = variables_of(network.clone(widths=(5,)), x.shape)
    with pytest.raises(ScopeParamShapeError):
        network.apply(other, x, train=False)
    apply = functools.partial(network.apply, train=False)
    assert jax.eval_shape(apply, variables, np.float64(x)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert jax.eval_shape(apply, variables, np.float64(x)).dtype == jnp.float64  # parameters are single


def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="unknown implementation 'fast': choose one of modules, blocked or None"):
        tiny.network.clone(implementation="fast").init(jax.random.key(0), np.zeros((1, 64, 1)), train=False)


def test_the_papers_network_is_covered_and_pays():
    for name, make in NETWORKS.items():
        network = make(classes=8)
        variables = jax.eval_shape(lambda key, n=network: n.init(key, jnp.zeros((1, 2048, 1)), train=False), jax.random.key(0))
        layout = blocked_network.layout_of(network, variables, jax.ShapeDtypeStruct((128, 2048, 1), jnp.float32))  # pyright: ignore[reportArgumentType]
        assert layout is not None, name
        assert layout.positions == (8, 4, 2)
        assert layout.pays(True)
        assert layout.pays(False)


@pytest.mark.parametrize(
    ("widths", "kernel", "expected"),
    [
        ((16, 32), 7, (True, True)),
        ((16, 64), 3, (True, False)),
        ((16, 64), 7, (False, False)),
        ((64, 80), 3, (False, False)),
        ((4, 10), 3, (True, True)),
        ((5, 8), 3, (True, True)),
    ],
)
def test_wider_networks_pay_in_training(widths, kernel, expected):
    network = drsn_cw(classes=2, widths=widths, units=(1, 1), kernel=(kernel,), platform="cpu")
    shape: Any = jax.ShapeDtypeStruct((8, 2048, 1), jnp.float32)
    variables = variable_shapes(network, (2048, 1))
    assert tuple(blocked_layout(network, variables, shape, train) is not None for train in (True, False)) == expected
    if expected == (True, False):
        by_modules = lambda train: not is_blocked(network, variables, shape, train)  # noqa: E731
        assert (by_modules(True), by_modules(False)) == (False, True)
