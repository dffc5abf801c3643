"""What numbers look like, and the sampling rates that names and time axes tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.data.formats.axes import jump, of_axis, time_unit
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.looks import look
from drsn_jax.data.formats.rates import agreed, mentioned, same, surest

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(3000)
T = np.arange(3000) / 12000


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (NOISE, ""),
        (RNG.integers(-3, 4, 3000), ""),  # a quiet channel of a converter
        (RNG.integers(0, 1 << 16, 3000).astype(np.uint16), ""),
        (np.sin(np.arange(1000) / 50), ""),
        (np.clip(NOISE, -0.5, 0.5), ""),
        ([1.0, 2.0], ""),
        (np.full(50, 3.0), "constant"),
        (np.arange(50), "row numbers"),
        (np.arange(50, 0, -1), "row numbers"),
        (T, "a time axis"),
        (T.astype(np.float32), "a time axis"),
        (1.7e9 + T, "a time axis"),
        (np.round(T, 3), "rising numbers"),
        (1_700_000_000_000_000_000 + 83_333 * np.arange(3000), "a time axis"),
        (np.cumsum(RNG.integers(0, 3, 3000)), "rising numbers"),  # a counter
        (np.sort(NOISE), "rising numbers"),
        (np.arange(3000) % 4, "labels"),
        (RNG.integers(1, 11, 3000), "labels"),
        (np.repeat([3.0, 7.0, -1.0], 500), "labels"),
        (np.repeat(np.arange(12), 100), "labels"),
    ],
)
def test_looks(values, seen):
    assert look(np.asarray(values)) == seen


@pytest.mark.parametrize(
    ("name", "value", "hertz"),
    [
        ("fs", 48000, 48000),
        ("Fs", np.array([[25600.0]]), 25600),
        ("sampling_rate", "48 kHz", 48000),
        ("Sample Rate (Hz)", b"51200", 51200),
        ("bearing.sr", 97656.0, 97656),
        ("run1/fs_kHz", 12.8, 12800),
        ("dt", 1 / 48000, 48000),
        ("dt_ms", 0.1, 10000),
        ("wf_increment", 1.953125e-05, 51200),
        ("rate", 48000, 48000),
        ("rate", 25, None),  # the speed of MFPT's shaft
        ("Ts", 1 / 48000, 48000),
        ("Ts", 20, None),
        ("sampling rate in Hz", 8000, 8000),
        ("fs1", 48000, None),
        ("rpm", 1790, None),
        ("fs", -1, None),
        ("fs", np.nan, None),
        ("fs", "unknown", None),
        ("fs", [1, 2], None),
        ("dt", 1e-320, None),
    ],
)
def test_rates_that_names_mention(name, value, hertz):
    rate = mentioned(name, value, "here")
    assert (rate and rate.hertz) == (hertz and pytest.approx(hertz))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("t", 0),
        ("Time", 0),
        ("time (s)", 1),
        ("t_ms", 1e-3),
        ("Time [µs]", 1e-6),
        ("seconds", 1),
        ("s.t", 0),
        ("X097_DE_time", None),
        ("acc", None),
    ],
)
def test_names_of_times(name, unit):
    assert time_unit(name) == unit


RATES = st.sampled_from([1000.0, 8000.0, 12000.0, 12207.03125, 20480.0, 25600.0, 48000.0, 51200.0, 64000.0, 97656.0, 100000.0])
# a file's way to write a time
WRITTEN = {
    "as it is": lambda t: t,
    "six decimals": lambda t: np.round(t, 6),
    "six digits": lambda t: np.array([float(f"{value:.6g}") for value in t]),
    "float32": lambda t: t.astype(np.float32),
    "with jitter": lambda t: t + 0.1 * t[1] * np.random.default_rng(0).uniform(-1, 1, len(t)),
}


@pytest.mark.parametrize("written", WRITTEN)
@given(rate=RATES, length=st.integers(500, 4000), start=st.sampled_from([0.0, 0.25]))
def test_time_axes_tell_the_rate_as_their_rounding_allows(written, rate, length, start):
    found = of_axis("t", start + WRITTEN[written](np.arange(length) / rate), "here")
    assert found is not None
    assert same(found.hertz, rate, found.within)
    assert found.within < 1e-3


def test_axes_that_tell_no_rate():
    assert of_axis("t", np.arange(3000), "") is None  # counts the samples
    assert of_axis("time_ms", np.arange(3000), "") == (1000.0, "", 1e-5)
    assert of_axis("angle", T, "") is None
    assert of_axis("t", NOISE, "") is None
    assert of_axis("t", np.cumsum(RNG.uniform(0, 1, 3000)), "") is None
    assert of_axis("", T * 1000, "", unit=1e-3) == (12000.0, "", 1e-5)


def test_axes_whose_unit_is_not_written():
    epoch = 1_700_000_000 + np.arange(3000) / 8000
    for unit in (1, 1e3, 1e6, 1e9):
        found = of_axis("timestamp", epoch * unit if unit == 1 else np.round(epoch * unit).astype(np.int64), "here")
        assert found is not None
        assert same(found.hertz, 8000, found.within)
    assert of_axis("t", T, "its t") == (12000.0, "its t, read as seconds", 1e-5)
    assert of_axis("3", T, "") is not None
    assert of_axis("3", T * 1000, "") is None  # perhaps an angle
    assert of_axis("t", T * 1000, "") is None  # milliseconds
    assert of_axis("t", T / 86400, "") is None  # days
    assert of_axis("t", np.arange(3000) * 83, "") is None


def test_gaps_in_a_time_axis():
    rows = np.arange(3000)
    gap = T + 0.5 * (rows >= 1700)
    assert jump("t", gap, rows) == 1700
    assert of_axis("t", gap, "") is None
    for name, values in (
        ("t", T),
        ("t", np.round(T, 3)),
        ("angle", gap),
        ("t", NOISE),
        ("t", np.cumsum(RNG.exponential(1, 3000))),
    ):
        assert jump(name, values, rows) is None


def test_rates_that_agree_and_that_do_not():
    fs, coarse, other = (
        mentioned("fs", 97656, "its fs"),
        of_axis("t", np.round(np.arange(3000) / 97656, 6), "its t"),
        mentioned("dt", 1e-4, "its dt"),
    )
    assert agreed([None, fs, coarse], "a.mat") == (97656.0, "its fs")
    assert agreed([], "a.mat") == (None, "")
    assert surest([coarse], "") == coarse
    with pytest.raises(RecordingError, match=r"a\.mat mentions two sampling rates: 97656 Hz by its fs and 10000 Hz by its dt"):
        agreed([fs, other], "a.mat")
