"""A mixture of kinds of noise: the SNR drawn is the SNR measured, all kinds and the absence of noise come equally often."""

import jax
import numpy as np
import pytest
import tiny

from drsn_jax.functional.noise import Noise, measure_snr_db
from drsn_jax.functional.noise_mixture import NoiseMixture

KINDS = ("gaussian", "impulsive")
WINDOWS = np.random.default_rng(0).normal(size=(600, 64, 1)).astype(np.float32)


@jax.jit
def disturbed(noise, windows):
    keys = jax.random.split(jax.random.key(1), len(windows))
    noisy = jax.vmap(noise)(keys, windows)
    return noisy, jax.vmap(measure_snr_db)(windows, noisy - windows)


def test_kinds_and_levels_are_drawn_evenly():
    noisy, snr_db = map(np.asarray, disturbed(NoiseMixture(KINDS, (-10.0, 10.0)), WINDOWS))
    without = (noisy == WINDOWS).all((1, 2))
    assert 150 < without.sum() < 250
    drawn = snr_db[~without]
    assert drawn.min() > -10.01
    assert drawn.max() < 10.01
    assert abs(drawn.mean()) < 1
    # impulses lie far beyond what Gaussian noise has; half of the windows are impulsive, and 1 % of entries strike 47 % of these
    noise = (noisy - WINDOWS)[~without]
    peak = np.abs(noise).max((1, 2)) / np.sqrt(np.square(noise).mean((1, 2)))
    assert 0.15 < np.mean(peak > 4.5) < 0.3


def test_the_range_is_data_and_the_kinds_are_static():
    disturbed(NoiseMixture(KINDS, (-10.0, 10.0)), WINDOWS)
    with tiny.compilations() as again:
        disturbed(NoiseMixture(list(KINDS), (-3.0, 4.0)), WINDOWS)
    assert "disturbed" not in " ".join(again)
    mixture = NoiseMixture(KINDS, (-10, 10))
    assert (mixture.kind, mixture.level, mixture.is_range, mixture.is_none) == ("mixture", "-10..10", True, False)
    assert str(mixture) == "mixture -10..10 dB"
    assert jax.tree.unflatten(jax.tree.structure(mixture), jax.tree.leaves(mixture)) == mixture


def test_a_range_may_be_traced_and_nothing_is_compiled_twice():
    made = jax.jit(lambda low, key, window: NoiseMixture(KINDS, (low, low + 5))(key, window))
    assert made(-5.0, jax.random.key(0), WINDOWS[0]).shape == (64, 1)
    mixture = NoiseMixture(KINDS, (-10, 10))
    mixture(jax.random.key(0), WINDOWS[0])
    with tiny.compilations() as again:
        mixture(jax.random.key(1), WINDOWS[0])
    assert again == []


def test_bad_mixtures_are_refused():
    with pytest.raises(ValueError, match="several kinds of noise, such as"):
        NoiseMixture("gaussian", (-10, 10))
    with pytest.raises(ValueError, match="at least one kind"):
        NoiseMixture((), (-10, 10))
    with pytest.raises(ValueError, match="unknown kind of noise 'brown'"):
        NoiseMixture(("brown",), (-10, 10))
    with pytest.raises(ValueError, match=r"a range of SNRs \(low, high\), got -5"):
        NoiseMixture(KINDS, -5.0)
    with pytest.raises(ValueError, match="low"):
        NoiseMixture(KINDS, (3, 3))
    assert Noise("gaussian", (-5, 5)).is_range  # of one kind there is a noise already
