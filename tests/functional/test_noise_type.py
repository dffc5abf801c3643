"""``Noise``: one value for a kind and an SNR or a range, what it adds, and how it is compiled."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.functional.noise import NOISE_KINDS, Noise, add_mixed_noise, add_noise

KEY = jax.random.key(3)
WINDOW = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_it_adds_what_the_functions_add(kind):
    np.testing.assert_array_equal(Noise(kind, -5.0)(KEY, WINDOW), add_noise(KEY, WINDOW, -5.0, kind))
    np.testing.assert_array_equal(Noise(kind, (-5, 5))(KEY, WINDOW), add_mixed_noise(KEY, WINDOW, -5, 5, kind))


def test_no_noise_is_one_value():
    ways = [Noise(), Noise("none"), Noise("pink", math.inf), Noise("gaussian", np.float32(np.inf))]
    assert len(set(ways)) == 1
    np.testing.assert_array_equal(ways[2](KEY, WINDOW), WINDOW)
    assert ways[0](KEY, np.ones((4, 1), np.int16)).dtype == jnp.float32


def test_equal_levels_are_equal_however_they_are_written():
    assert len({Noise("pink", 0), Noise("pink", 0.0), Noise("pink", -0.0), Noise("pink", np.float32(0))}) == 1
    assert len({Noise("pink", (-5, 5)), Noise("pink", [-5.0, 5.0]), Noise("pink", (np.int32(-5), 5))}) == 1
    assert len({Noise("pink", 0), Noise("gaussian", 0), Noise("pink", (0, 1)), Noise("pink", 1)}) == 4


@pytest.mark.parametrize(
    ("noise", "level", "text"),
    [
        (Noise("pink", -5.0), "-5", "pink -5 dB"),
        (Noise("gaussian", 0.1), "0.1", "gaussian 0.1 dB"),
        (Noise("laplacian", (-5, 2.5)), "-5..2.5", "laplacian -5..2.5 dB"),
        (Noise(), "inf", "no noise"),
    ],
)
def test_its_names(noise, level, text):
    assert (noise.level, str(noise)) == (level, text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("brown", 0.0), "unknown kind of noise 'brown'"),
        (("pink", math.nan), "an SNR is from -100 to 100 dB, or inf for no noise, got nan"),
        (("pink", -math.inf), "an SNR is from -100 to 100 dB"),
        (("pink", 101), "an SNR is from -100 to 100 dB"),
        (("pink", np.zeros(2)), "an SNR is from -100 to 100 dB"),
        (("pink", (5, -5)), "a range of SNRs is"),
        (("pink", (5, 5)), "a range of SNRs is"),
        (("pink", (0, math.inf)), "a range of SNRs is"),
        (("pink", (0, 1, 2)), "a range of SNRs is"),
        (("none", 3.0), "the kind 'none' has no SNR"),
        (("none", (0, 1)), "the kind 'none' has no SNR"),
    ],
)
def test_what_is_no_noise_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Noise(*arguments)


def test_as_an_argument_it_is_compiled_once_for_a_kind():
    """All levels share a program; a range, another kind and no noise have one of their own."""
    add = jax.jit(lambda noise, key, window: noise(key, window))
    with tiny.compilations() as compiled:
        for noise in (Noise("gaussian", -5), Noise("gaussian", 3.0), Noise("gaussian", (0, 1)), Noise("gaussian", (2, 9))):
            np.testing.assert_allclose(add(noise, KEY, WINDOW), noise(KEY, WINDOW), atol=1e-5)
        names = [name for name in compiled if "lambda" in name]
    assert len(names) == 2


def test_levels_map():
    levels = np.array([-5.0, 0.0, 5.0], np.float32)
    noisy = jax.vmap(lambda snr_db: Noise("gaussian", snr_db)(KEY, WINDOW))(levels)
    for one, level in zip(np.asarray(noisy), levels, strict=True):
        np.testing.assert_allclose(one, add_noise(KEY, WINDOW, level), atol=1e-5)


def test_it_is_a_tree_of_its_levels():
    noise = Noise("pink", (-5.0, 5.0))
    assert jax.tree.leaves(noise) == [-5.0, 5.0]
    assert jax.tree.map(lambda level: level + 1, noise) == Noise("pink", (-4.0, 6.0))
    assert jax.tree.structure(noise) != jax.tree.structure(Noise("pink", 0.0))
