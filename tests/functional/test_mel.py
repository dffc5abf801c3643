"""The log-mel front end: against librosa, under gains, in silence, in every dtype, and its gradient."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from drsn_jax.core.errors import UserError
from drsn_jax.functional.mel import LogMel, hertz_to_mel, mel_to_hertz

FRONT_END = LogMel(sampling_rate=8000.0, frame=256, hop=64, mels=40)
log_mel = jax.jit(FRONT_END)


def sweep(length=1000):
    """A rising tone and a steady one, ``(length, 1)``."""
    n = np.arange(length)
    return (np.sin(0.3 * n + 0.0004 * n * n) + 0.5 * np.cos(1.9 * n)).astype(np.float32)[:, None]


# librosa compiles for half a minute when it is imported for the first time
@pytest.mark.slow
@pytest.mark.parametrize(
    ("front_end", "length"),
    [(FRONT_END, 8000), (LogMel(16_000.0, frame=400, hop=150, mels=23, low=60.0, high=7000.0, range_db=60.0), 4001)],
)
def test_it_equals_librosa(front_end, length):
    librosa = pytest.importorskip("librosa")
    x = (sweep(length) + 0.01 * np.random.default_rng(0).normal(size=(length, 1))).astype(np.float32)
    expected = librosa.feature.melspectrogram(
        y=x[:, 0],
        sr=front_end.sampling_rate,
        n_fft=front_end.frame,
        hop_length=front_end.hop,
        n_mels=front_end.mels,
        fmin=front_end.low,
        fmax=front_end.highest,
    )
    power = jax.jit(front_end.power)(jnp.asarray(x))[..., 0].T
    np.testing.assert_allclose(power, expected, rtol=1e-4, atol=1e-6 * expected.max())
    decibels = librosa.power_to_db(expected, amin=1e-30, top_db=front_end.range_db)
    np.testing.assert_allclose(jax.jit(front_end)(x)[..., 0].T, decibels * np.log(10) / 10, atol=1e-4)


def test_it_equals_numbers_that_librosa_gave():
    """Those of ``librosa.feature.melspectrogram`` 0.11, which the slow test above asks itself."""
    power = jax.jit(FRONT_END.power)(jnp.asarray(sweep()))[..., 0]
    found = [float(power[t, m]) for t, m in ((0, 0), (3, 10), (8, 13), (15, 39))]
    np.testing.assert_allclose(found, [0.42634076, 29.566847, 5.0463133, 0.005964604], rtol=1e-4)


def test_channels_are_independent_but_for_the_floor():
    window = np.concatenate([sweep(), 0.5 * sweep()[::-1]], 1)
    both = log_mel(window)
    assert both.shape == (16, 40, 2)
    np.testing.assert_allclose(both[..., 0], log_mel(window[:, :1])[..., 0], atol=1e-4)


@pytest.mark.parametrize("gain", [1e-30, 1e-3, 1e25])
def test_a_gain_adds_a_constant(gain):
    louder = log_mel(sweep() * np.float32(gain))
    np.testing.assert_allclose(louder - log_mel(sweep()), 2 * np.log(gain), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_dtype_stays_and_the_quiet_lies_at_the_floor(dtype):
    window = jnp.asarray(np.concatenate([np.zeros((2000, 1)), sweep()]), dtype)
    y = log_mel(window)
    assert y.dtype == dtype
    y = np.asarray(y, np.float64)
    np.testing.assert_allclose(y[:20], y.max() - 8 * np.log(10), rtol=0.02)


def test_silence_is_constant_and_has_a_gradient():
    assert np.ptp(log_mel(np.zeros((500, 1), np.float32))) == 0
    assert np.isfinite(jax.jit(jax.grad(lambda x: jnp.sum(FRONT_END(x))))(jnp.zeros((500, 1)))).all()


@pytest.mark.usefixtures("x64")
def test_gradient_in_float64():
    small = jax.jit(LogMel(100.0, frame=16, hop=8, mels=3))
    check_grads(small, (np.random.default_rng(0).normal(size=(40, 1)),), order=1, modes=["rev"], rtol=1e-4)


def test_it_is_hashable_and_mapped_as_one_by_one():
    assert {FRONT_END: 1}[LogMel(8000.0, 256, 64, 40)] == 1
    windows = np.random.default_rng(0).normal(size=(2, 1000, 1)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(jax.vmap(FRONT_END))(windows)[0], log_mel(windows[0]), atol=1e-4)


def test_the_scale_is_inverted():
    hertz = np.array([0, 440, 999, 1000, 3999.0])
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(hertz)), hertz, atol=1e-9)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"frame": 255}, "even number"),
        ({"frame": 2**20}, "up to 16384"),
        ({"hop": 7}, "a hop from 1/32"),
        ({"hop": 512}, "a hop from 1/32"),
        ({"frame": 256.0}, "even number"),
        ({"mels": 0}, "from 1 to 512"),
        ({"mels": 513}, "from 1 to 512"),
        ({"sampling_rate": float("nan")}, "positive numbers"),
        ({"range_db": 0.0}, "positive numbers"),
        ({"high": 5000.0}, "half of the sampling rate, 4000 Hz"),
        ({"low": 4000.0}, "half of the sampling rate, 4000 Hz"),
        ({"frame": 64, "hop": 32}, "mel bands hold no frequency"),
    ],
)
def test_fields_out_of_range(fields, said):
    with pytest.raises(UserError, match=re.escape(said)):
        LogMel(**fields)


def test_what_is_no_waveform_is_refused():
    with pytest.raises(ValueError, match="waveform"):
        FRONT_END(np.zeros((8, 8, 1)))
