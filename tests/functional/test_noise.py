"""Noise: the SNR asked for is the SNR measured, every kind is what its name says, one function maps over everything."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drsn_jax.functional.noise import NOISE_KINDS, add_mixed_noise, add_noise, add_noise_once, measure_snr_db, noise_maker

SHAPES = [(1, 2), (2, 1), (64, 1), (33, 2), (8, 9, 2), (4, 3, 5, 1)]


def windows(shape, scale=1.0, batch=None) -> Any:
    rng = np.random.default_rng(7)
    return (scale * rng.normal(size=shape if batch is None else (batch, *shape))).astype(np.float32)


def snr(signal, noisy):
    """The SNR in dB in double precision, from what came out."""
    signal, noise = np.float64(signal), np.float64(noisy) - np.float64(signal)
    return 10 * np.log10(np.mean(signal**2) / np.mean(noise**2))


compiled = jax.jit(add_noise, static_argnames="kind")


@functools.partial(jax.jit, static_argnames="kind")
def noisy_grid(window, levels, kind):
    """One window at many levels."""
    return jax.vmap(functools.partial(add_noise, kind=kind), (None, None, 0))(jax.random.key(3), window, levels)


@pytest.fixture(scope="module")
def long():
    """Much noise of each kind, from a silent-looking but not silent window."""
    window = np.full((2**17, 2), 1e-3, np.float32)
    window[::2] *= -1
    return {kind: np.float64(compiled(jax.random.key(11), window, -60.0, kind)) - window for kind in NOISE_KINDS}


# the SNR


# one position has no frequencies for pink noise
@pytest.mark.parametrize(("kind", "shape"), [(k, s) for k in NOISE_KINDS for s in SHAPES if (k, s) != ("pink", (1, 2))])
def test_snr_is_exact_for_every_window(kind, shape):
    levels = np.array([-20, -1.5, 10], np.float32)
    window = windows(shape)
    noisy = noisy_grid(window, levels, kind)
    assert noisy.shape == (3, *shape)
    assert noisy.dtype == jnp.float32
    np.testing.assert_allclose([snr(window, y) for y in np.asarray(noisy)], levels, atol=1e-3)


@pytest.mark.parametrize("kind", NOISE_KINDS)
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-3, 1e4, 1e15, 1e30])
def test_snr_is_exact_at_every_scale(kind, scale):
    window, levels = windows((64, 1), scale), np.array([-20, 0, 20], np.float32)
    noisy = np.asarray(noisy_grid(window, levels, kind))
    assert np.isfinite(noisy).all()
    np.testing.assert_allclose([snr(window, y) for y in np.asarray(noisy)], levels, atol=1e-3)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_snr_counts_the_whole_window_not_each_channel(kind):
    window = windows((2048, 2)) * np.array([10, 0.1], np.float32)
    noise = np.asarray(noisy_grid(window, np.zeros(1, np.float32), kind))[0] - window
    first, second = np.mean(noise**2, axis=0)
    assert first == pytest.approx(second, rel=0.5)  # one level of noise in both channels
    assert np.mean(noise**2) == pytest.approx(np.mean(window**2), rel=1e-4)


def test_snr_counts_the_mean_as_signal():
    window = 3 + windows((64, 1))
    assert snr(window, np.asarray(noisy_grid(window, np.zeros(3, np.float32), "gaussian"))[0]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("level", [0, 0.0, np.float32(0), jnp.zeros(()), jnp.int32(0)])
def test_snr_may_be_any_scalar(level):
    window = windows((64, 1))
    assert snr(window, compiled(jax.random.key(0), window, level)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_infinite_snr_adds_nothing_and_silence_stays_silent(kind):
    window, key = windows((64, 1)), jax.random.key(0)
    assert np.array_equal(compiled(key, window, np.inf, kind), window)
    assert np.array_equal(np.asarray(noisy_grid(window, np.array([np.inf, 0, 5], np.float32), kind))[0], window)
    silent = np.zeros((64, 1), np.float32)
    assert np.array_equal(compiled(key, silent, -5.0, kind), silent)


# kinds


def kurtosis(x):
    return np.mean((x - x.mean()) ** 4) / np.var(x) ** 2


def test_gaussian_is_gaussian_and_laplacian_laplacian(long):
    for channel in range(2):
        assert kurtosis(long["gaussian"][:, channel]) == pytest.approx(3, abs=0.1)
        assert kurtosis(long["laplacian"][:, channel]) == pytest.approx(6, abs=0.6)
        assert kurtosis(long["pink"][:, channel]) == pytest.approx(3, abs=0.3)


def test_salt_and_pepper_is_one_amplitude_on_a_twentieth_of_the_entries(long):
    noise = long["salt_and_pepper"]
    amplitude = np.abs(noise).max()
    hit = np.abs(noise) > 0.5 * amplitude
    np.testing.assert_allclose(np.abs(noise[hit]), amplitude, rtol=1e-3)
    assert np.abs(noise[~hit]).max() < 1e-6 * amplitude
    assert hit.mean() == pytest.approx(0.05, abs=0.002)
    assert (noise[hit] > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_salt_and_pepper_hits_a_window_of_few_entries():
    """A share of 5 % of three entries is none; the SNR needs one."""
    make = jax.jit(jax.vmap(lambda key: noise_maker("salt_and_pepper")(key, (3, 1), jnp.float32)))
    noise = np.asarray(make(jax.random.split(jax.random.key(0), 100)))
    assert np.all(np.abs(noise).sum((1, 2)) >= 1)
    assert set(np.unique(noise)) == {-1, 0, 1}


def test_impulsive_is_gaussian_and_thirty_times_as_strong_on_a_hundredth_of_the_entries(long):
    noise = long["impulsive"] / np.median(np.abs(long["impulsive"])) * 0.6745  # the background has a deviation of 1
    struck = np.abs(noise) > 5
    # of the struck entries those within 5 of 0 cannot be told apart, a share of 13 %
    assert struck.mean() == pytest.approx(0.01 * 0.868, rel=0.1)
    assert np.sum(noise[struck] ** 2) / np.sum(noise**2) == pytest.approx(0.9, abs=0.02)
    assert kurtosis(noise[~struck]) == pytest.approx(3, abs=0.15)


def slope(frequency, power, bins=24):
    """Slope of log power over log frequency, power averaged in bins of equal width on the logarithmic axis."""
    edges = np.geomspace(frequency.min(), frequency.max() * (1 + 1e-9), bins + 1)
    place = np.digitize(frequency, edges)
    filled = [i for i in range(1, bins + 1) if (place == i).sum() >= 16]
    # the power times the frequency is averaged, so that a wide bin brings no slope of its own
    level = [np.log(np.mean((power * frequency)[place == i])) for i in filled]
    middle = [np.log(np.mean(frequency[place == i])) for i in filled]
    return np.polyfit(middle, level, 1, w=[np.sqrt((place == i).sum()) for i in filled])[0] - 1


@pytest.mark.parametrize(
    ("kind", "expected"), [("gaussian", 0), ("laplacian", 0), ("pink", -1), ("salt_and_pepper", 0), ("impulsive", 0)]
)
def test_spectra_of_long_windows(long, kind, expected):
    power = np.abs(np.fft.rfft(long[kind], axis=0)[1:]) ** 2
    frequency = np.fft.rfftfreq(len(long[kind]))[1:, None] + np.zeros(2)
    if expected == 0:
        middle = len(power) // 2
        assert power[:middle].mean() == pytest.approx(power[middle:].mean(), rel=0.02)
    else:
        assert slope(frequency.ravel(), power.ravel()) == pytest.approx(expected, abs=0.05)
        # every octave has the same power
        octaves = [power[(frequency >= f) & (frequency < 2 * f)].sum() for f in 0.5 ** np.arange(2, 9)]
        np.testing.assert_allclose(octaves, np.mean(octaves), rtol=0.1)


@pytest.mark.parametrize("shape", [(128, 96), (63, 65), (24, 25, 26)])
def test_pink_is_radial_over_several_axes(shape):
    pink = jax.jit(noise_maker("pink"), static_argnums=(1, 2))
    noise = np.moveaxis(np.asarray(pink(jax.random.key(3), (*shape, 8), jnp.float32), np.float64), -1, 0)  # eight draws
    axes = tuple(range(1, len(shape) + 1))
    power = np.mean(np.abs(np.fft.fftn(noise, axes=axes)) ** 2, axis=0)
    grid = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    frequency = np.sqrt(sum(f**2 for f in grid))
    inside = (frequency > 0) & (frequency < 0.5)
    assert slope(frequency[inside], power[inside]) == pytest.approx(-1, abs=0.05)
    # no axis is special: along each, at the same frequencies, the same power
    for axis in grid:
        along = inside & (np.abs(axis) > 0.9 * frequency)
        assert np.mean((power * frequency)[along]) == pytest.approx(np.mean((power * frequency)[inside]), rel=0.15)


@pytest.mark.parametrize("shape", [(2,), (5,), (64,), (9, 8)])
def test_pink_has_no_mean_in_any_channel(shape):
    pink = jax.jit(noise_maker("pink"), static_argnums=(1, 2))
    noise = np.float64(pink(jax.random.key(5), (*shape, 2), jnp.float32))
    assert np.abs(noise).max() > 0.1
    assert np.abs(noise.mean(axis=tuple(range(len(shape))))).max() < 1e-6 * np.abs(noise).max() * noise.size


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_channels_are_independent(long, kind):
    spectrum = np.fft.rfft(long[kind], axis=0)[1:]
    spectrum /= np.abs(spectrum)  # every frequency counts the same
    assert np.abs(np.mean(spectrum[:, 0] * np.conj(spectrum[:, 1]))) < 4 / np.sqrt(len(spectrum))


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_same_key_same_noise_other_key_other_noise(kind):
    window = windows((64, 1))
    once, again, other = (np.asarray(compiled(jax.random.key(seed), window, 0.0, kind)) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert np.abs(np.corrcoef(np.ravel(once - window), np.ravel(other - window))[0, 1]) < 0.6


def test_kinds():
    assert NOISE_KINDS == ("gaussian", "laplacian", "pink", "salt_and_pepper", "impulsive")


# transformations


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_vmap_over_keys_windows_and_levels_equals_one_by_one(kind):
    keys, batch, levels = (
        jax.random.split(jax.random.key(0), 3),
        windows((64, 1), batch=3),
        np.array([-5.0, 0.0, 5.0], np.float32),
    )
    together = jax.jit(jax.vmap(functools.partial(add_noise, kind=kind)))(keys, batch, levels)
    for i in range(3):
        alone = compiled(keys[i], batch[i], levels[i], kind)
        np.testing.assert_allclose(together[i], alone, rtol=1e-4, atol=1e-5)


def test_nested_vmap_makes_a_grid_of_windows_and_levels():
    keys, batch, levels = (
        jax.random.split(jax.random.key(0), 3),
        windows((64, 1), batch=3),
        np.array([-5.0, 0.0, 5.0], np.float32),
    )
    grid = jax.jit(jax.vmap(jax.vmap(add_noise, (None, None, 0)), (0, 0, None)))(keys, batch, levels)
    assert grid.shape == (3, 3, 64, 1)
    np.testing.assert_allclose(grid[1, 2], compiled(keys[1], batch[1], levels[2], "gaussian"), rtol=1e-4, atol=1e-5)


def test_noise_that_stays_belongs_to_the_index_of_its_window():
    key, batch = jax.random.key(9), windows((64, 1), batch=3)
    once = jax.jit(add_noise_once)(key, batch, -5.0)
    for i in range(3):
        alone = compiled(jax.random.fold_in(key, i), batch[i], -5.0, "gaussian")
        np.testing.assert_allclose(once[i], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(add_noise_once)(key, batch[:2], -5.0), once[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_jit_equals_eager(kind):
    window, key = windows((64, 1)), jax.random.key(4)
    np.testing.assert_allclose(compiled(key, window, 2.0, kind), add_noise(key, window, 2.0, kind), rtol=1e-4, atol=1e-5)


def test_pmap_equals_one_by_one():
    keys, batch = jax.random.split(jax.random.key(0), 8), windows((64, 1), batch=8)
    together = jax.pmap(functools.partial(add_noise, kind="pink"), in_axes=(0, 0, None))(keys, batch, 0.0)
    alone = [compiled(key, window, 0.0, "pink") for key, window in zip(keys, batch, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


# types and errors


@pytest.mark.parametrize("kind", NOISE_KINDS)
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_computed_in_single(kind, dtype):
    window = jnp.asarray(windows((64, 1), scale=3000), dtype)  # squares and sums that no half holds
    noisy = compiled(jax.random.key(0), window, 0.0, kind)
    assert noisy.dtype == dtype
    assert snr(window, noisy) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_double_precision(x64, kind):
    window = np.random.default_rng(0).normal(size=(65, 2))
    noisy = compiled(jax.random.key(0), window, -3.0, kind)
    assert noisy.dtype == jnp.float64
    assert snr(window, noisy) == pytest.approx(-3, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, bool])
def test_integers_become_floats(dtype):
    window = (np.arange(64)[:, None] % 7 > 3).astype(dtype) * dtype(1)
    noisy = compiled(jax.random.key(0), window, 0.0)
    assert noisy.dtype == jnp.float32
    assert snr(window, noisy) == pytest.approx(0, abs=1e-3)


def test_unknown_kind_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"unknown kind of noise 'white'.*gaussian, laplacian, pink"):
        add_noise(jax.random.key(0), windows((8, 1)), 0.0, "white")
    with pytest.raises(ValueError, match="gaussian, laplacian, pink"):
        noise_maker("brown")


@pytest.mark.parametrize("shape", [(), (64,), (0, 1), (64, 0)])
def test_windows_without_positions_or_values_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(\*positions, channels\)"):
        add_noise(jax.random.key(0), np.zeros(shape, np.float32), 0.0)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 2)])
def test_pink_noise_on_one_position_is_refused(shape):
    with pytest.raises(ValueError, match="more than one position"):
        add_noise(jax.random.key(0), np.ones(shape, np.float32), 0.0, "pink")


@pytest.mark.parametrize("levels", [np.zeros(3, np.float32), np.zeros((64, 1), np.float32)])
def test_several_levels_at_once_are_refused(levels):
    # they would broadcast against channels or positions, and no window would have the SNR asked for
    with pytest.raises(ValueError, match=r"snr_db"):
        add_noise(jax.random.key(0), windows((64, 3)), levels)


# measuring


def test_measure_snr_db():
    signal, noise = windows((64, 2)), windows((64, 2), 0.1)
    assert measure_snr_db(signal, noise) == pytest.approx(20, abs=1e-3)
    assert measure_snr_db(noise, signal) == pytest.approx(-20, abs=1e-3)
    assert measure_snr_db(signal * np.float32(1e-25), noise * np.float32(1e-25)) == pytest.approx(20, abs=1e-3)
    assert measure_snr_db(signal * np.float32(1e25), noise * np.float32(1e25)) == pytest.approx(20, abs=1e-3)
    assert measure_snr_db(signal, 0 * noise) == np.inf
    assert measure_snr_db(0 * signal, noise) == -np.inf
    assert measure_snr_db(np.array([[3], [-3]]), np.array([[1], [1]])) == pytest.approx(20 * np.log10(3))


def test_one_level_for_each_window():
    windows = np.random.default_rng(0).normal(size=(3, 256, 1)).astype(np.float32)
    levels = np.array([-5.0, 0.0, 20.0], np.float32)
    noisy = jax.jit(add_noise_once)(jax.random.key(0), windows, levels)
    np.testing.assert_allclose(jax.jit(jax.vmap(measure_snr_db))(windows, noisy - windows), levels, atol=0.01)
    for i, level in enumerate(levels):
        np.testing.assert_allclose(noisy[i], compiled(jax.random.fold_in(jax.random.key(0), i), windows[i], level), atol=1e-5)


def test_mixed_noise_draws_its_level_from_the_range():
    window = np.random.default_rng(0).normal(size=(256, 1)).astype(np.float32)
    keys = jax.random.split(jax.random.key(1), 200)
    noisy = jax.jit(jax.vmap(lambda key: add_mixed_noise(key, window, -4.0, 8.0, "laplacian")))(keys)
    levels = np.sort(jax.jit(jax.vmap(lambda noise: measure_snr_db(window, noise)))(noisy - window[None]))
    assert -4.01 < levels[0] < levels[-1] < 8.01
    np.testing.assert_allclose(levels, np.linspace(-4, 8, 200), atol=1.5)  # uniform


# --- keys, offsets and narrow dtypes


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("mixed", [False, True])
def test_noise_does_not_depend_on_how_many_windows_are_given_at_once(impl, mixed):
    key = jax.random.key(0, impl=impl)
    windows = np.tile(np.random.default_rng(0).normal(size=(1, 16, 1)).astype(np.float32), (4, 1, 1))
    add = (
        (lambda key, window: add_mixed_noise(key, window, -5.0, 5.0))
        if mixed
        else lambda key, window: add_noise(key, window, 0.0)
    )
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(4))
    add = jax.jit(add)
    whole = jax.vmap(add)(keys, windows)
    single = np.stack([add(jax.random.fold_in(key, i), windows[i]) for i in range(4)])
    np.testing.assert_allclose(whole, single, atol=1e-5)
    assert len({value.tobytes() for value in single}) == 4


def test_keys_of_every_kind_give_noise_of_their_own():
    window = jnp.asarray(np.random.default_rng(0).normal(size=(16, 1)), jnp.float32)
    numbers = [jax.random.key(seed, impl="rbg") for seed in (0, 1)] + [jax.random.key(0), jax.random.PRNGKey(1)]
    assert len({np.asarray(add_noise(key, window, 0.0)).tobytes() for key in numbers}) == 4


def test_float16_that_overflows_is_refused():
    counts = (30_000 * np.sin(np.arange(2048.0) * 0.1))[:, None].astype("float16")
    with pytest.raises(ValueError, match="float16 cannot hold the noisy window, it ends at 65,504"):
        add_noise(jax.random.key(0), counts, -10.0)
    assert jnp.isinf(jax.jit(lambda x: add_noise(jax.random.key(0), x, -10.0))(counts)).any()  # no number can be checked there


def test_an_offset_that_counts_as_signal_is_said():
    window = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    add_noise(jax.random.key(0), window + 3, 0.0)
    with pytest.warns(UserWarning, match="the window's offset counts as signal"):
        noisy = add_noise(jax.random.key(0), window + 30, 0.0)
    np.testing.assert_allclose(measure_snr_db(window + 30, noisy - (window + 30)), 0, atol=1e-3)
