"""Resampling keeps what both rates can show and removes the rest."""

import numpy as np
import pytest
from signal_files import PAIR

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import Recording
from drsn_jax.data.resampling import resample


def tone(frequency, rate, length, offset=0.0):
    return (offset + np.sin(2 * np.pi * frequency * np.arange(length) / rate)).astype(np.float32)


def amplitudes(signal):
    """The amplitude at each whole number of Hz, of the middle second of three."""
    third = len(signal) // 3
    return 2 * np.abs(np.fft.rfft(signal[third : 2 * third])) / third


@pytest.mark.parametrize(("old", "new"), [(12000, 8000), (8000, 12000), (48000, 12000), (44100, 48000), (12000, 12800)])
def test_resampling_keeps_frequency_and_amplitude(old, new):
    frequencies = (50, 1000, int(0.35 * min(old, new)))
    signal = np.stack([tone(f, old, 3 * old) for f in frequencies], 1)
    (changed,) = resample([Recording(signal, "a", old, "c", "g", "n")], new)
    assert changed.sampling_rate == new
    assert (changed.label, changed.condition, changed.group, changed.name) == ("a", "c", "g", "n")
    assert changed.rate_from == f"resampled from {old} Hz"
    assert changed.signal.shape == (3 * new, 3)
    assert changed.signal.dtype == np.float32
    for column, frequency in zip(changed.signal.T, frequencies, strict=True):
        found = amplitudes(column)
        assert np.argmax(found) == frequency
        assert found[frequency] == pytest.approx(1, abs=0.01)
        found[frequency] = 0
        assert found.max() < 0.005
        np.testing.assert_allclose(column[new : 2 * new], tone(frequency, new, 3 * new)[new : 2 * new], atol=0.01)


@pytest.mark.parametrize("share", [0.65, 0.8, 1.0, 1.4])
def test_nothing_aliases(share):
    """Tones above what the new rate can show are gone."""
    signal = tone(int(share * 8000), 48000, 3 * 48000)[:, None]
    (changed,) = resample([Recording(signal, "a", 48000)], 8000)
    assert amplitudes(changed.signal[:, 0]).max() < 0.01


def test_an_offset_does_not_ring_at_the_ends():
    signal = tone(50, 12000, 12000, offset=100.0)[:, None]
    (changed,) = resample([Recording(signal, "a", 12000)], 8000)
    np.testing.assert_allclose(changed.signal[:, 0], tone(50, 8000, 8000, offset=100.0), atol=0.2)


def test_rates_that_do_not_go_together():
    recordings = [Recording(PAIR, "a", 8000.0, name="x"), Recording(PAIR, "a", 20_011 * 8000.0, name="y")]
    with pytest.raises(RecordingError, match=r"y at .* cannot be resampled to 8000 Hz"):
        resample(recordings, 8000)
    for rate in (0, -1, np.nan, np.inf):
        with pytest.raises(RecordingError, match="positive number of Hz"):
            resample(recordings, rate)
    (same,) = resample(recordings[:1], 8000)
    np.testing.assert_array_equal(same.signal, PAIR)


@pytest.mark.parametrize(
    ("old", "new", "up", "down"),
    [
        (97656.0, 12800.0, 1600, 12207),
        (48828.0, 12800.0, 3200, 12207),
        (97656.25, 12800.0, 2048, 15625),
        (12000.0048, 8000.0, 2, 3),
        (51199.869, 12800.0, 1, 4),
        (8000.0 * np.pi, 8000.0, 113, 355),
    ],
)
def test_rates_as_they_are_measured(old, new, up, down):
    """scipy's own filter of the exact ratio; of small numbers where a rate was measured."""
    from scipy.signal import resample_poly

    signal = tone(50, old, 20_000)[:, None]
    (changed,) = resample([Recording(signal, "a", old)], new)
    assert changed.sampling_rate == new
    np.testing.assert_allclose(changed.signal, resample_poly(signal.astype(np.float64), up, down, padtype="mean"), atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(12000.0048, 12000.0), (25600.0, 25600.02), (97656.25, 97656.2)])
def test_a_rate_written_with_other_digits_is_no_other_rate(old, new):
    (same,) = resample([Recording(PAIR, "a", old)], new)
    assert same.signal is PAIR
    assert same.sampling_rate == new
