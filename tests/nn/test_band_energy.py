"""The network of band energies: its size, what it does not mind, that it learns, and how it is kept."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.description import DESCRIPTION, encode_description, read_description
from drsn_jax.evaluation.inspection import thresholds
from drsn_jax.nn.band_energy import BAND_ENERGY_NETWORKS, BandEnergyNetwork, band_energy, band_energy_tiny
from drsn_jax.nn.image_networks import IMAGE_NETWORKS
from drsn_jax.nn.networks import blocked_layout, for_platform, parameter_count, resnet
from drsn_jax.nn.presets import SIGNAL_NETWORKS, preset_name
from drsn_jax.training.optimizers import one_cycle_optimizer
from drsn_jax.training.state import create_state
from drsn_jax.training.steps import make_train_step

SMALL = {"widths": (4,), "units": (1,), "bands": 8, "frame": 16, "hop": 4}
network = band_energy(classes=tiny.CLASSES, standardise=True, **SMALL)
WINDOWS = np.random.default_rng(0).normal(size=(4, tiny.LENGTH, 1)).astype(np.float32)
apply = jax.jit(functools.partial(network.apply, train=False))


@pytest.mark.parametrize(
    ("name", "most"), [("band_energy", 300_000), ("band_energy_tiny", 20_000), ("band_energy_linear", 6_000)]
)
def test_the_presets_are_as_small_as_they_promise(name, most):
    made = BAND_ENERGY_NETWORKS[name](classes=10)
    shapes = jax.eval_shape(lambda key: made.init(key, jnp.zeros((1, 2048, 1)), train=False), jax.random.key(0))
    assert parameter_count(shapes["params"]) <= most


@pytest.mark.parametrize("shape", [(0, 64, 1), (2, 64, 2), (1, 17, 1), (3, 5, 1), (2, 131, 3)])
def test_any_length_and_number_of_channels(shape):
    windows = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    logits, variables = jax.jit(network.init_with_output, static_argnames="train")(jax.random.key(0), windows, train=False)
    assert logits.shape == (len(windows), tiny.CLASSES)
    assert np.isfinite(logits).all()
    shares = np.asarray(variables["params"]["rhythm"]["shares"])
    assert np.ptp(shares, 1).min() > 0.01, "views that begin alike stay alike"
    frames = max(1, 1 + (shape[1] - 16) // 4)
    features = jax.eval_shape(lambda: network.apply(variables, windows, train=False, method="features"))
    assert features.shape == (len(windows), 8 * shape[2] + 4 * max(1, frames // 2) + 4)


def test_a_gain_does_not_matter_and_a_window_with_nan_is_nan_alone():
    variables = tiny.variables(network)
    logits = apply(variables, WINDOWS)
    np.testing.assert_allclose(apply(variables, 1e3 * WINDOWS), logits, atol=1e-4)
    # without standardisation a gain moves the mean level alone, which stands first among the features
    plain = jax.jit(functools.partial(network.clone(standardise=False).apply, train=False, method="features"))
    soft, loud = plain(variables, WINDOWS), plain(variables, 1e3 * WINDOWS)
    np.testing.assert_allclose(loud[:, :8] - soft[:, :8], 2 * np.log(1e3), rtol=1e-3)
    spoiled = WINDOWS.copy()
    spoiled[1, 7] = np.nan
    found = np.asarray(apply(variables, spoiled))
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2, 3]], logits[np.array([0, 2, 3])], atol=1e-5)
    assert np.isfinite(apply(variables, np.zeros_like(WINDOWS))).all()


def test_it_learns():
    windows, labels = tiny.tones(48)
    batch = {"windows": windows, "labels": labels, "weights": np.ones(48, np.float32)}
    optimizer = one_cycle_optimizer(20, 1e-2)
    chosen = for_platform(network, "cpu")
    state = create_state(chosen, optimizer, jax.random.key(0), windows[:1])
    step = jax.jit(make_train_step(chosen, optimizer))
    for _ in range(20):
        state, metrics = step(state, batch)
    assert metrics["correct"] / metrics["count"] > 0.9


def test_it_is_kept_and_read_again(tmp_path):
    variables = tiny.variables(network)
    bundle = Bundle(network, variables, ("a", "b", "c"), tiny.LENGTH, 12_000.0, stride=32)
    save(tmp_path / "model", bundle)
    again = load(tmp_path / "model")
    assert again.network == network
    np.testing.assert_array_equal(again.logits(WINDOWS), bundle.logits(WINDOWS))
    assert repr(again).startswith("Bundle(network")  # eight bands are those of no preset
    assert repr(Bundle(network.clone(bands=64), {}, ("a", "b", "c"), 64, 1.0)).startswith("Bundle(band_energy,")


def test_without_residual_units_the_two_spectra_are_left(tmp_path):
    linear = network.clone(over_time=False, shrinkage=None)
    variables = tiny.variables(linear)
    assert not any(name.startswith(("stages", "stem_conv", "band_norm")) for name in variables["params"])
    features = functools.partial(linear.apply, train=False, method="features")
    assert jax.eval_shape(features, variables, WINDOWS).shape == (4, 8 + 4 * ((1 + (tiny.LENGTH - 16) // 4) // 2))
    bundle = Bundle(linear, variables, ("a", "b", "c"), tiny.LENGTH, 12_000.0, stride=32)
    save(tmp_path / "model", bundle)
    again = load(tmp_path / "model")
    assert again.network == linear
    assert again.zeros(WINDOWS) is None
    np.testing.assert_array_equal(again.logits(WINDOWS), bundle.logits(WINDOWS))
    with pytest.raises(ValueError, match=r"there is nothing to shrink: shrinkage=None, got 'channel_wise'"):
        network.clone(over_time=False).init(jax.random.key(0), WINDOWS, train=False)


def test_a_description_from_before_the_field_over_time_is_read(tmp_path):
    variables = tiny.variables(network)
    save(tmp_path / "model", Bundle(network, variables, ("a", "b", "c"), tiny.LENGTH, 12_000.0, stride=32))
    facts = read_description(tmp_path / "model")
    del facts["network"]["over_time"], facts["format"]
    (tmp_path / "model" / DESCRIPTION).write_text(encode_description(facts))
    assert load(tmp_path / "model").network == network


def test_every_preset_knows_its_name():
    for name, made in {**SIGNAL_NETWORKS, **IMAGE_NETWORKS}.items():
        assert preset_name(made(classes=2)) == name
    assert preset_name(resnet(classes=2, widths=(5,), units=(1,))) == "resnet"
    assert preset_name(resnet(classes=2, shortcut="projection")) == ""


def test_it_is_exported_for_any_number_of_windows_of_one_length():
    variables = tiny.variables(network)
    (batch,) = jax.export.symbolic_shape("batch")
    exported = jax.export.export(apply)(variables, jax.ShapeDtypeStruct((batch, tiny.LENGTH, 1), jnp.float32))
    np.testing.assert_allclose(exported.call(variables, WINDOWS), apply(variables, WINDOWS), atol=1e-5)
    (length,) = jax.export.symbolic_shape("l")
    with pytest.raises(ValueError, match="windows of one length, got the symbolic l"):
        jax.export.export(apply)(variables, jax.ShapeDtypeStruct((2, length, 1), jnp.float32))


def test_the_thresholds_of_its_units_are_read():
    two = network.clone(widths=(3, 4), units=(1, 1))
    assert [found.unit for found in thresholds(two, tiny.variables(two), WINDOWS)] == ["stages_0_0", "stages_1_0"]


def test_it_is_never_computed_in_blocks():
    """``blocked_layout`` would otherwise describe another network, and ensembles would choose their order by it."""
    for made in SIGNAL_NETWORKS.values():
        chosen = made(classes=2, implementation="blocked")
        chosen = chosen.clone(units=[1] * len(chosen.units))  # whose number the layout does not ask for
        shape = jax.ShapeDtypeStruct((2, 2048, 1), jnp.float32)
        variables = jax.eval_shape(lambda key, n=chosen: n.init(key, jnp.zeros((1, 2048, 1)), train=False), jax.random.key(0))
        assert (blocked_layout(chosen, variables, shape) is None) == isinstance(chosen, BandEnergyNetwork)


def test_fields_that_do_not_fit_are_refused():
    refused: list[tuple[dict[str, Any], str]] = [
        ({"kernel": (3, 3)}, "a kernel of one axis"),
        ({"hop": 0}, "numbers from 1"),
        ({"views": 0}, "numbers from 1"),
        ({"frame": 100_000}, "the first two up to 4096"),
        ({"widths": (4,), "units": (1, 1)}, "one positive number for each stage"),
    ]
    for wrong, words in refused:
        with pytest.raises(ValueError, match=words):
            jax.eval_shape(
                lambda key, wrong=wrong: BandEnergyNetwork(classes=2, **wrong).init(key, jnp.zeros((1, 64, 1)), train=False),
                jax.random.key(0),
            )
    with pytest.raises(ValueError, match=r"takes waveforms \(batch, length, channels\)"):
        band_energy_tiny(classes=2).init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
