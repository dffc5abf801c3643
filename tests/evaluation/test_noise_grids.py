"""A grid of noise in one call is what a loop over its cells gives, whatever fits the memory at once."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.evaluation.noise_grids import noise_grid
from drsn_jax.functional.noise import add_noise_once
from drsn_jax.functional.signals import standardise

WINDOWS, LABELS = tiny.tones(11)
LEVELS, REPEATS = (-5.0, 0.0, math.inf), 2
KEY = jax.random.key(3)


@functools.cache
def trained():
    """Parameters that tell the classes apart a little: the classifier is made by hand from the features."""
    variables = tiny.variables()
    windows, labels = tiny.tones(60, seed=7)
    features_of = jax.jit(lambda w: tiny.network.apply(variables, jax.vmap(standardise)(w), train=False, method="features"))
    features = np.asarray(features_of(windows))
    kernel, *_ = np.linalg.lstsq(features - features.mean(0), np.eye(tiny.CLASSES)[labels] - 1 / 3, rcond=None)
    bias = -features.mean(0) @ kernel
    classifier = {"kernel": jnp.asarray(5 * kernel, jnp.float32), "bias": jnp.asarray(5 * bias, jnp.float32)}
    return {**variables, "params": {**variables["params"], "classifier": classifier}}


@functools.cache
def looped():
    """Confusion and loss of each cell, one after another, by the library's other functions."""
    apply = jax.jit(lambda w: tiny.network.apply(trained(), jax.vmap(standardise)(w), train=False))
    confusion, loss = np.zeros((3, 3, 2, 3, 3), int), np.zeros((3, 3, 2))
    for k, kind in enumerate(("gaussian", "laplacian", "pink")):
        for s, level in enumerate(LEVELS):
            for r in range(REPEATS):
                noisy = add_noise_once(jax.random.fold_in(KEY, r), WINDOWS, level, kind)
                logits = np.asarray(apply(noisy), np.float64)
                confusion[k, s, r] = confusion_matrix(LABELS, logits.argmax(-1), tiny.CLASSES)
                loss[k, s, r] = np.mean(np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(LABELS)), LABELS])
    return confusion, loss


@pytest.mark.parametrize("how", [{}, {"memory_limit": 10_000}, {"devices": 4, "memory_limit": 30_000}])
def test_a_grid_is_a_loop_over_its_cells(how):
    """Whole, in chunks of cells, in chunks of windows that do not divide them, over devices that do not divide the cells."""
    if "devices" in how:
        how = {**how, "devices": jax.devices()[: how["devices"]]}
    grid = noise_grid(
        tiny.network, trained(), WINDOWS, LABELS, snr_db=LEVELS, repeats=REPEATS, key=KEY, prepare=standardise, **how
    )
    confusion, loss = looped()
    np.testing.assert_array_equal(grid.confusion, confusion)
    np.testing.assert_allclose(grid.loss, loss, rtol=1e-4)
    np.testing.assert_allclose(grid.accuracy, np.trace(confusion, axis1=-2, axis2=-1) / len(LABELS))
    np.testing.assert_allclose(grid.concentration, confusion.sum(-2).max(-1) / len(LABELS))
    assert (grid.kinds, grid.snr_db) == (("gaussian", "laplacian", "pink"), LEVELS)


def test_without_noise_all_kinds_and_repeats_agree_and_with_it_they_do_not():
    grid = noise_grid(tiny.network, trained(), WINDOWS, LABELS, snr_db=LEVELS, repeats=REPEATS, key=KEY, prepare=standardise)
    assert np.all(grid.confusion[:, -1] == grid.confusion[0, -1, 0])
    assert np.unique(grid.loss[:, 0]).size == 6
    assert grid.accuracy[:, -1].min() > 0.6


def test_a_window_larger_than_the_usual_limit():
    """One window is always computed, by default."""
    long = np.random.default_rng(0).normal(size=(2, 2**20, 1)).astype(np.float32)
    with pytest.raises(ValueError, match="the memory limit is 16 MiB"):
        noise_grid(tiny.network, trained(), long, LABELS[:2], kinds=("gaussian",), snr_db=(0.0,), memory_limit=2**24)
    grid = noise_grid(tiny.network, trained(), long, LABELS[:2], kinds=("gaussian",), snr_db=(0.0,))
    assert grid.confusion.sum() == 2


def test_a_grid_is_compiled_once():
    grid = functools.partial(noise_grid, tiny.network, trained(), WINDOWS, LABELS, repeats=REPEATS)
    grid(snr_db=(1.0, 2.0))
    with tiny.compilations() as compiled:
        grid(snr_db=(3.0, math.inf), key=jax.random.key(9))
    assert "evaluate" not in compiled


def test_a_network_with_a_list_among_its_fields():
    listed = tiny.network.clone(widths=[4])
    grid = noise_grid(
        listed, trained(), WINDOWS, LABELS, kinds=("gaussian",), snr_db=LEVELS, repeats=REPEATS, key=KEY, prepare=standardise
    )
    np.testing.assert_array_equal(grid.confusion[0], looped()[0][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snr_db": ()}, "at least one level, got no snr_db"),
        ({"snr_db": (math.nan,)}, "an SNR is from -100 to 100 dB, or inf for no noise, got nan"),
        ({"snr_db": (-math.inf,)}, "got -inf"),
        ({"kinds": ()}, "different kinds of noise, at least one"),
        ({"kinds": ("gaussian", "gaussian")}, "different kinds"),
        ({"kinds": ("brown",)}, "unknown kind of noise 'brown'"),
        ({"repeats": 0}, "at least one repeat, got 0"),
        ({"memory_limit": 100}, "a single window takes about .* MiB, and the memory limit is .* MiB: raise it"),
        ({"windows": WINDOWS[:0], "labels": LABELS[:0]}, "needs windows"),
        ({"windows": np.where(np.arange(11)[:, None, None] == 4, np.nan, WINDOWS)}, "1 windows hold NaN .* is number 4"),
        ({"devices": []}, "at least one device"),
        ({"labels": LABELS[:3]}, "11 windows need a label each"),
        ({"labels": LABELS.astype(np.int64) + 2**32}, "labels are integers"),
        ({"labels": LABELS + 1}, "labels are integers from 0 to 2, got int32 from 1 to 3"),
        ({"labels": LABELS.astype(float)}, "labels are integers"),
    ],
)
def test_what_is_no_grid(change, message):
    given = {"windows": WINDOWS, "labels": LABELS, **change}
    with pytest.raises(ValueError, match=message):
        noise_grid(tiny.network, trained(), **given)
