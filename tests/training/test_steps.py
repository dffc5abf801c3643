"""One step of training, evaluation and prediction against plain formulas; the rule for the keys of the noise."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from drsn_jax.functional import signals
from drsn_jax.functional.noise import add_noise
from drsn_jax.nn.networks import blocked_layout, drsn_cw
from drsn_jax.training.optimizers import paper_optimizer, paper_schedule
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import balanced_class_weights, make_eval_step, make_predict_step, make_train_step, repeat_step

RATE = 0.05
CLASS_WEIGHTS = (0.5, 1.0, 5.0)
BATCH = tiny.batch(6, weights="unequal")
noise = functools.partial(add_noise, snr_db=3.0)
optimizer = optax.sgd(RATE)


paper = paper_optimizer(30, 0.1)


@functools.cache
def paper_state(seed):
    return create_state(tiny.network, paper, jax.random.key(seed), BATCH["windows"])


def state_of(seed):
    state = paper_state(seed)
    return dataclasses.replace(state, opt_state=optimizer.init(state.params))


@pytest.fixture(scope="module")
def state():
    return state_of(1)


@jax.jit
def logits_of(variables, windows):
    return tiny.network.apply(variables, windows, train=False)


@pytest.fixture(scope="module")
def full_step():
    """Noise, preparation, class weights."""
    options = {"noise": noise, "prepare": signals.standardise, "class_weights": CLASS_WEIGHTS}
    return make_train_step(tiny.network, optimizer, **options)


@pytest.fixture(scope="module")
def full(full_step):
    return jax.jit(full_step)


@pytest.fixture(scope="module")
def plain():
    """Nothing but the network, and the paper's optimizer."""
    return jax.jit(make_train_step(tiny.network, paper))


@pytest.fixture(scope="module")
def evaluation():
    return jax.jit(make_eval_step(tiny.network, noise=noise, prepare=signals.standardise))


def add(key, step, windows):
    """Noise by the rule, example by example."""
    of_step = jax.random.fold_in(key, step)
    return np.stack([noise(jax.random.fold_in(of_step, i), window) for i, window in enumerate(windows)])


def standardise(windows):
    windows = np.float64(windows)
    return np.float32((windows - windows.mean(1, keepdims=True)) / windows.std(1, keepdims=True))


def cross_entropies(logits, labels):
    logits = np.float64(logits)
    logits -= logits.max(1, keepdims=True)
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]


@jax.jit
def gradient(params, batch_stats, windows, labels, weights):
    """Gradient of the weighted mean loss, logits and new batch statistics, written anew."""

    def loss(params):
        variables = {"params": params, "batch_stats": batch_stats}
        logits, updates = tiny.network.apply(variables, windows, train=True, mutable=["batch_stats"])
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)[:, 0]
        return -jnp.dot(weights, chosen) / weights.sum(), (logits, updates["batch_stats"])

    return jax.grad(loss, has_aux=True)(params)


# --- optimizer and state


@pytest.mark.parametrize("total_steps", [2, 5, 10])
def test_paper_optimizer_is_the_formula(total_steps):
    rng = np.random.default_rng(total_steps)
    params = {
        "conv": {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)},
        "norm": {"scale": rng.normal(size=2), "bias": rng.normal(size=2)},
    }
    params = jax.tree.map(np.float32, params)
    made = paper_optimizer(total_steps, 0.2, momentum=0.8, weight_decay=0.3)
    update = jax.jit(made.update)
    expected = jax.tree.map(np.float64, params)
    velocity = jax.tree.map(np.zeros_like, expected)
    opt_state = made.init(params)
    for step in range(total_steps):
        grads = jax.tree.map(lambda w: rng.normal(size=w.shape).astype(np.float32), params)
        changes, opt_state = update(grads, opt_state, params)
        params = optax.apply_updates(params, changes)
        rate = 0.2 * (1 if step < 0.4 * total_steps else 0.1 if step < 0.8 * total_steps else 0.01)
        for layer, name in (("conv", "kernel"), ("conv", "bias"), ("norm", "scale"), ("norm", "bias")):
            decayed = grads[layer][name] + (0.3 * expected[layer][name] if name == "kernel" else 0)
            velocity[layer][name] = 0.8 * velocity[layer][name] + decayed
            expected[layer][name] = expected[layer][name] - rate * velocity[layer][name]
        tiny.assert_close(params, expected, 1e-5)


def test_paper_optimizer_has_the_papers_numbers():
    made = paper_optimizer(100)
    params: Any = {"kernel": np.ones(1, np.float32), "bias": np.ones(1, np.float32)}
    update: Any = jax.jit(made.update)
    first, opt_state = update(params, jax.jit(made.init)(params), params)
    second, _ = update(params, opt_state, params)
    np.testing.assert_allclose(first["bias"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(first["kernel"], -0.1 * (1 + 1e-4), rtol=1e-6)
    np.testing.assert_allclose(second["bias"], -0.1 * 1.9, rtol=1e-6)


def test_an_optimizer_that_asks_for_the_loss_is_given_it(mixing, state):  # optax mixes
    """The rate stays as long as the loss falls, and is halved after two steps without a better one."""
    plateau = optax.chain(optax.sgd(RATE), optax.contrib.reduce_on_plateau(patience=2, factor=0.5))
    step = jax.jit(make_train_step(tiny.network, plateau))
    for learns, scale in ((True, 1.0), (False, 0.5)):
        now = dataclasses.replace(state, opt_state=plateau.init(state.params))
        for _ in range(4):
            after, _ = step(now, BATCH)
            now = after if learns else dataclasses.replace(now, opt_state=after.opt_state)
        assert float(now.opt_state[-1].scale) == scale


def test_paper_optimizer_decays_kernels_of_convolutions_and_fc_layers_alone():
    params = jax.tree.map(np.ones_like, state_of(1).params)
    made = paper_optimizer(10, 1.0, weight_decay=0.5)
    changes, _ = jax.jit(made.update)(jax.tree.map(np.zeros_like, params), made.init(params), params)
    kernels = 0
    for path, change in jax.tree.leaves_with_path(changes):
        kernels += path[-1].key == "kernel"
        np.testing.assert_array_equal(change, -0.5 if path[-1].key == "kernel" else 0)
    assert kernels == 1 + 4 + 1  # first convolution, two convolutions and two FC layers of the unit, classifier


@pytest.mark.parametrize("total_steps", [0, -3])
def test_paper_optimizer_refuses_no_steps(total_steps):
    with pytest.raises(ValueError, match=f"total_steps={total_steps}"):
        paper_optimizer(total_steps)


def test_a_new_state():
    state = paper_state(2)
    init_key, noise_key = jax.random.split(jax.random.key(2))
    variables = jax.jit(functools.partial(tiny.network.init, train=False))(init_key, jnp.zeros((1, tiny.LENGTH, 1)))
    tiny.assert_close(state.variables, dict(variables), 1e-6)
    tiny.assert_equal(state.key, noise_key)
    assert jax.tree.structure(state.opt_state) == jax.tree.structure(paper.init(state.params))
    assert state.step == 0
    assert state.step.dtype == jnp.int32
    with_other_seed = paper_state(3)
    assert not np.array_equal(state.params["stem_conv"]["kernel"], with_other_seed.params["stem_conv"]["kernel"])
    assert not np.array_equal(jax.random.key_data(state.key), jax.random.key_data(with_other_seed.key))


def test_a_state_depends_on_the_shape_of_windows_alone():
    windows = np.full((2, tiny.LENGTH, 1), np.nan)
    assert len(BATCH["windows"]) != len(windows)
    tiny.assert_equal(create_state(tiny.network, paper, jax.random.key(1), windows), paper_state(1))


def test_an_optimiser_of_another_length_begins_without_the_network_compiled_again():
    """And one that keeps the parameters has arrays of its own, because a step uses up each array once."""
    create = functools.partial(create_state, tiny.network, key=jax.random.key(1), windows=BATCH["windows"])
    paper_state(1)
    keeping = optax.GradientTransformation(lambda params: params, lambda updates, state, params=None: (updates, state))
    with tiny.compilations() as names:
        tiny.assert_equal(create(optimizer=paper_optimizer(31, 0.1)).params, paper_state(1).params)
        state = create(optimizer=keeping)
    assert len(names) == 2
    tiny.assert_equal(state.opt_state, state.params)
    used = jax.jit(lambda state: dataclasses.replace(state, step=state.step + 1), donate_argnums=0)(state)
    tiny.assert_equal(used.opt_state, used.params)


class Unnormed(nn.Module):
    """A norm that does nothing and keeps no statistics."""

    @nn.compact
    def __call__(self, x):
        return x


def test_a_network_without_batch_statistics():
    network = tiny.network.clone(norm=Unnormed, units=(1,), widths=(2,), shrinkage=None)
    state = create_state(network, optimizer, jax.random.key(0), BATCH["windows"])
    assert state.batch_stats == {}
    after, metrics = jax.jit(make_train_step(network, optimizer))(state, BATCH)
    assert after.batch_stats == {}
    assert np.isfinite(metrics["loss"])


# --- a step of training


def test_steps_follow_the_formulas_and_the_rule_of_the_keys(full, state):
    """Two steps, so that the step's number is in the keys; everything recomputed without the step."""
    params, stats = state.params, state.batch_stats
    labels, weights = BATCH["labels"], BATCH["weights"]
    for number in range(2):
        windows = standardise(add(state.key, number, BATCH["windows"]))
        grads, (logits, stats) = gradient(params, stats, windows, labels, weights * np.array(CLASS_WEIGHTS, np.float32)[labels])
        params = jax.tree.map(lambda w, g: np.asarray(w) - RATE * np.asarray(g), params, grads)
        state, metrics = full(state, BATCH)
        tiny.assert_close(state.params, params, 1e-5)
        tiny.assert_close(state.batch_stats, stats, 1e-5)
        assert metrics.keys() == {"loss", "correct", "count", "gradient_norm"}
        squares = sum(float(np.sum(np.square(np.float64(g)))) for g in jax.tree.leaves(grads))
        np.testing.assert_allclose(metrics["gradient_norm"], np.sqrt(squares), rtol=1e-5)
        np.testing.assert_allclose(metrics["loss"], weights @ cross_entropies(logits, labels), rtol=1e-5)
        np.testing.assert_allclose(metrics["correct"], weights @ np.equal(np.argmax(logits, 1), labels), rtol=1e-6)
        np.testing.assert_allclose(metrics["count"], weights.sum(), rtol=1e-6)
        assert state.step == number + 1
    tiny.assert_equal(state.key, state_of(1).key)


def test_without_noise_the_windows_are_taken_as_they_are(plain):
    state = paper_state(2)
    grads, (_, stats) = jax.device_get(gradient(state.params, state.batch_stats, *BATCH.values()))
    after, _ = plain(state, BATCH)
    params, new_params = jax.device_get((state.params, after.params))
    for path, g in jax.tree.leaves_with_path(grads):
        w, new = (functools.reduce(lambda tree, p: tree[p.key], path, tree) for tree in (params, new_params))
        decay = 1e-4 * w if path[-1].key == "kernel" else 0
        np.testing.assert_allclose(new, w - 0.1 * (g + decay), atol=1e-6)
    tiny.assert_close(after.batch_stats, stats, 1e-6)


def test_running_statistics_keep_nine_tenths(plain):
    state = paper_state(2)
    after, _ = plain(state, BATCH)
    stem = jax.jit(functools.partial(tiny.network.apply, method=lambda m, x: m.stem_conv(x)))
    features: Any = np.asarray(stem(state.variables, BATCH["windows"]))
    before, stats = (each["stages_0_0"]["norm_1"] for each in jax.device_get((state.batch_stats, after.batch_stats)))
    np.testing.assert_allclose(stats["mean"], 0.9 * before["mean"] + 0.1 * np.mean(features, (0, 1)), atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 * before["var"] + 0.1 * np.var(features, (0, 1)), atol=1e-6)


def test_the_scale_of_the_weights_changes_metrics_and_no_gradient(plain):
    state = paper_state(2)
    once, metrics = plain(state, BATCH)
    twice, doubled = plain(state, {**BATCH, "weights": 2 * BATCH["weights"]})
    tiny.assert_close(twice.params, once.params, 1e-6)
    norm = metrics.pop("gradient_norm")
    np.testing.assert_allclose(doubled.pop("gradient_norm"), norm, rtol=1e-6)
    tiny.assert_close(doubled, jax.tree.map(lambda m: 2 * m, metrics), 1e-6)


def test_several_steps_in_one_call_are_the_steps(full_step, full, state):
    """To float32: compiled together, sums may be rounded in another order."""
    later = {name: np.ascontiguousarray(value[::-1]) for name, value in BATCH.items()}
    stacked = {name: np.stack([BATCH[name], later[name]]) for name in BATCH}
    together, metrics = jax.jit(repeat_step(full_step))(state, stacked)
    for number, batch in enumerate((BATCH, later)):
        state, own = full(state, batch)
        tiny.assert_close({name: value[number] for name, value in metrics.items()}, own, 1e-5)
    tiny.assert_close(together.params, state.params, 1e-5)
    assert together.step == 2


def test_more_arguments_reach_every_step():
    step: Any = lambda state, batch, factor: (state + factor * batch, {"loss": state})  # noqa: E731
    steps: Any = jax.jit(repeat_step(step))
    state, metrics = steps(1.0, np.array([1.0, 2.0], np.float32), 10.0)
    assert state == 31
    np.testing.assert_array_equal(metrics["loss"], [1, 11])


def test_the_schedule_is_that_of_the_optimizer():
    schedule = paper_schedule(10, 0.2)
    rates = np.array([schedule(step) for step in range(10)])
    np.testing.assert_allclose(rates, [0.2] * 4 + [0.02] * 4 + [0.002] * 2, rtol=1e-6)
    with pytest.raises(ValueError, match="at least one step, got total_steps=0"):
        paper_schedule(0)


def test_bfloat16_computes_and_nothing_is_kept_in_it():
    """Parameters, statistics, thresholds and loss are float32, and the numbers those of float32 to bfloat16's 8 bits."""
    network = tiny.network.clone(dtype=jnp.bfloat16)
    state = create_state(network, paper, jax.random.key(2), BATCH["windows"])
    after, metrics = jax.jit(make_train_step(network, paper))(state, BATCH)
    exact, expected = jax.jit(make_train_step(tiny.network, paper))(paper_state(2), BATCH)
    for leaf in jax.tree.leaves((after.params, after.batch_stats, metrics, after.opt_state)):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    assert metrics["loss"] != expected["loss"]
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=0.05)
    tiny.assert_close(after.batch_stats, exact.batch_stats, 0.02)

    @jax.jit
    def asked(variables, windows):
        return network.apply(variables, windows, train=False, mutable=["thresholds"]), network.bind(variables).stem_conv(windows)

    (logits, sown), unit = asked(state.variables, BATCH["windows"])
    assert logits.dtype == jnp.float32
    for leaf in jax.tree.leaves(sown):
        assert leaf.dtype == jnp.float32
    assert unit.dtype == jnp.bfloat16


def test_the_loss_falls_on_a_batch_seen_again_and_again():
    """With two units: one alone learns so few windows by heart from some seeds only."""
    network = tiny.network.clone(widths=(3, 4), units=(1, 1))
    state, batch = create_state(network, paper, jax.random.key(3), BATCH["windows"]), {**BATCH, "weights": np.ones(6, np.float32)}
    step = jax.jit(make_train_step(network, paper))
    losses, correct = [], []
    for _ in range(30):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]) / 6)
        correct.append(float(metrics["correct"]))
    assert losses[0] > 0.8
    assert losses[-1] < 0.3 * losses[0]
    assert correct[-1] == 6


def test_noise_is_fresh_in_every_step_and_the_same_when_repeated(full, state):
    frozen, _ = full(state, BATCH)
    again, _ = full(state, BATCH)
    tiny.assert_equal(frozen, again)
    later, _ = full(dataclasses.replace(state, step=state.step + 1), BATCH)
    assert not np.allclose(frozen.params["classifier"]["kernel"], later.params["classifier"]["kernel"], atol=1e-6)


def test_stacked_states_under_vmap_equal_each_alone(full_step, full):
    """Float32: the same sums in another order."""
    alone = [state_of(seed) for seed in (1, 2)]
    together = jax.tree.map(lambda *values: jnp.stack(values), *alone)
    mapped = jax.jit(jax.vmap(full_step, (0, None)))
    member_of = jax.jit(lambda tree, member: jax.tree.map(lambda values: values[member], tree))
    for _ in range(2):
        together, metrics = mapped(together, BATCH)
        pairs = [full(state, BATCH) for state in alone]
        alone = [state for state, _ in pairs]
        for member, (state, own) in enumerate(pairs):
            tiny.assert_close(member_of(together, member), jax.device_get(state), 2e-5)
            tiny.assert_close(member_of(metrics, member), jax.device_get(own), 2e-5)
    assert not np.allclose(*together.params["stem_conv"]["kernel"])


# --- evaluation and prediction


def test_evaluation_against_formulas(evaluation, state):
    key = jax.random.key(5)
    noisy = np.stack([noise(jax.random.fold_in(key, i), window) for i, window in enumerate(BATCH["windows"])])
    logits = logits_of(state.variables, standardise(noisy))
    labels, weights = BATCH["labels"], BATCH["weights"]
    metrics = evaluation(state.variables, BATCH, key)
    confusion = np.zeros((3, 3))
    for label, predicted, weight in zip(labels, np.argmax(logits, 1), weights, strict=True):
        confusion[label, predicted] += weight
    np.testing.assert_allclose(metrics["loss"], weights @ cross_entropies(logits, labels), rtol=1e-5)
    np.testing.assert_allclose(metrics["confusion"], confusion, rtol=1e-6)
    np.testing.assert_allclose(metrics["correct"], np.trace(confusion), rtol=1e-6)
    np.testing.assert_allclose(metrics["count"], weights.sum(), rtol=1e-6)


@pytest.mark.parametrize("filling", [0.0, np.nan, np.inf, 1e30])
def test_padding_may_hold_anything(evaluation, state, filling):
    weights = np.array([1, 1, 1, 1, 0, 0], np.float32)
    padded = {name: values.copy() for name, values in BATCH.items()} | {"weights": weights}
    expected = evaluation(state.variables, padded, state.key)
    padded["windows"][4:] = filling
    padded["labels"][4:] = 0
    metrics = evaluation(state.variables, padded, state.key)
    tiny.assert_equal(metrics, expected)
    assert metrics["confusion"].sum() == 4


def test_evaluation_with_noise_needs_a_key(evaluation, state):
    with pytest.raises(ValueError, match="so it needs a key"):
        evaluation(state.variables, BATCH)


def test_prediction_equals_the_network(state):
    predict = jax.jit(make_predict_step(tiny.network, prepare=signals.standardise))
    expected = logits_of(state.variables, standardise(BATCH["windows"]))
    np.testing.assert_allclose(predict(state.variables, BATCH["windows"]), expected, atol=1e-5)
    raw = jax.jit(make_predict_step(tiny.network))(state.variables, BATCH["windows"])
    np.testing.assert_allclose(raw, logits_of(state.variables, BATCH["windows"]), atol=1e-6)


# --- class weights and errors


@given(st.lists(st.integers(0, 2), min_size=9, max_size=9).map(lambda more: [0, 1, 2, *more]))
def test_balanced_class_weights_are_those_of_scikit_learn(labels):
    weights = balanced_class_weights(np.array(labels), 3)
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6)
    np.testing.assert_allclose(np.bincount(labels) * weights, len(labels) / 3, rtol=1e-6)


def test_a_class_without_examples_has_no_weight():
    with pytest.raises(ValueError, match="class 1 has no examples"):
        balanced_class_weights(np.array([0, 2, 2]), 3)


@pytest.mark.parametrize("make", [lambda: make_train_step(tiny.network, optimizer), lambda: make_eval_step(tiny.network)])
@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": np.zeros((6, 1), np.int32)},
        {"weights": np.ones((6, 3), np.float32)},
        {"labels": np.zeros(5, np.int32)},
        {"weights": np.ones(1, np.float32)},
    ],
)
def test_shapes_that_do_not_fit_are_refused_at_trace_time(make, wrong, state):
    with pytest.raises(AssertionError):
        jax.eval_shape(make(), state, {**BATCH, **wrong})


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_wrong_number_of_class_weights_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} class weights were given for 3 classes"):
        make_train_step(tiny.network, optimizer, class_weights=[1.0] * count)


def test_a_state_is_made_inside_any_transformation():
    """Also for a network whose fields are lists."""
    network = drsn_cw(classes=3, widths=[4], units=[1], kernel=[3])
    optimizer = optax.sgd(0.1)
    create = lambda key: create_state(network, optimizer, key, np.zeros((1, 16, 1)))  # noqa: E731
    keys = jax.random.split(jax.random.key(3), 2)
    eager = create(keys[0])
    shapes = jax.eval_shape(create, keys[0])
    assert jax.tree.map(jnp.shape, eager) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    stacked = jax.jit(jax.vmap(create))(keys)
    for one, both in zip(jax.tree.leaves(eager.params), jax.tree.leaves(stacked.params), strict=True):
        np.testing.assert_allclose(one, both[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(stacked.params["stem_conv"]["kernel"][0], stacked.params["stem_conv"]["kernel"][1])


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, 0, 1]])
def test_labels_that_are_no_class_have_no_weight(labels):
    with pytest.raises(ValueError, match="labels are integers from 0 to 1, got"):
        balanced_class_weights(labels, 2)


# --- what users of JAX give


def test_a_batch_without_any_weight_has_no_loss(state):
    step = jax.jit(make_train_step(tiny.network, optimizer))
    after, metrics = step(state, {**BATCH, "weights": np.zeros(6, np.float32)})
    assert metrics["loss"] == metrics["gradient_norm"] == metrics["count"] == 0
    tiny.assert_equal(after.params, state.params)


def test_a_batch_needs_its_three_parts(state):
    batch = {name: BATCH[name] for name in ("windows", "labels")}
    with pytest.raises(ValueError, match=r"a batch has windows, labels and weights .*: no weights given"):
        make_train_step(tiny.network, optimizer)(state, batch)


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.PRNGKey(3), jax.random.key(3, impl="rbg")], ids=str)
def test_flax_writes_and_reads_a_state(key):
    state = jax.device_get(create_state(tiny.network, tiny.optimizer, key, BATCH["windows"]))
    like = jax.tree.map(jnp.zeros_like, state)
    read: Any = flax.serialization.from_bytes(like, flax.serialization.to_bytes(state))
    tiny.assert_equal(read, state)
    assert read.key.dtype == state.key.dtype
    if key.dtype == jax.random.key(0).dtype:  # training goes on as it would have
        tiny.assert_equal(tiny.step(jax.tree.map(jnp.array, read), BATCH), tiny.step(jax.tree.map(jnp.array, state), BATCH))


def test_with_64_bits_a_state_is_float32_and_its_features_are_computed_in_blocks(x64):
    network = drsn_cw(classes=3)
    shapes = jax.eval_shape(lambda key: create_state(network, optimizer, key, np.zeros((1, 256, 1))), jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes.variables)} == {np.dtype(np.float32)}
    assert blocked_layout(network, shapes.variables, jax.ShapeDtypeStruct((8, 256, 1), jnp.float32)) is not None
