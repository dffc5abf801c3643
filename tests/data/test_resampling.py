"""Resampling keeps what both rates can show and removes the rest."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from signal_files import PAIR

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import Recording
from drsn_jax.data.resampling import empty_orders, in_revolutions, lost_power, resample, resample_to_revolutions


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


@pytest.mark.parametrize("speed", [20.0, 29.95, 45.0, 1796.8432 / 60])
def test_an_order_is_the_same_tone_at_every_speed(speed):
    signal = tone(3 * speed, 12_000, 24_000)[:, None]
    (turned,) = resample_to_revolutions([Recording(signal, "a", 12_000, speed=speed, rate_from="the table")], 100)
    assert (turned.sampling_rate, turned.per_revolution, turned.speed) == (100, True, speed)
    assert turned.rate_from == "the table, resampled from 12000 Hz by the speed"
    assert len(turned.signal) == pytest.approx(2 * speed * 100, abs=1)
    np.testing.assert_allclose(turned.signal[100:-100, 0], tone(3, 100, len(turned.signal))[100:-100], atol=0.01)


def test_nothing_aliases_into_revolutions():
    signal = tone(20 * 80, 12_000, 36_000)[:, None]  # the order 80 of 20 Hz, and 100 samples show less than 50
    (turned,) = resample_to_revolutions([Recording(signal, "a", 12_000, speed=20.0)], 100)
    assert np.abs(turned.signal[100:-100]).max() < 0.01


def test_windows_of_one_length_are_as_many_revolutions():
    """Two speeds and rates: after the resampling the recordings have one rate, and can be one data set."""
    given = [Recording(PAIR, label, rate, speed=speed) for label, rate, speed in (("a", 12_000, 20.0), ("b", 64_000, 25.0))]
    turned = resample_to_revolutions(given, 128)
    assert [r.sampling_rate for r in turned] == [128, 128]
    assert [len(r.signal) for r in turned] == [-(-len(PAIR) * 16 // 75), -(-len(PAIR) // 20)]


def test_what_cannot_be_brought_to_revolutions():
    def refused(message, samples=100, **facts):
        with pytest.raises(RecordingError, match=message):
            resample_to_revolutions([Recording(PAIR, "a", 8000.0, name="x", **facts)], samples)

    refused("the speed of x is not known, and windows in revolutions need it: give it in the column speed_rpm")
    refused("x holds windows already cut", speed=20.0, unit=64)
    refused("x is at equal angles of the shaft already", speed=20.0, per_revolution=True)
    odd: Any = 2.5
    for samples in (0, 1, odd):
        refused("a revolution has a whole number of samples from 2", samples, speed=20.0)
    refused("cannot be resampled to 100 samples in a revolution at 6e-08 rpm", speed=1e-9)


@pytest.mark.parametrize("rpm", [1800.05, 1799.97, 900.03, 1797.01, 12.345, 0.7])
@pytest.mark.parametrize("rate", [12_000.0, 25_600.0, 51_200.0])
def test_a_speed_as_it_was_measured_is_brought_to_revolutions(rate, rpm):
    """Its ratio to the rate is seldom one of whole numbers; within a ten-thousandth there is one."""
    given = Recording(np.ones((2000, 1)), "a", rate, name="x", speed=rpm / 60)
    (found,) = resample_to_revolutions([given], 400)
    assert abs(len(found.signal) - 2000 * 400 * rpm / 60 / rate) < 2


def test_empty_orders_are_told():
    given = [Recording(PAIR, "a", 12_000.0, name=f"at {speed}", speed=speed) for speed in (20.0, 29.95, 40.0, 50.0)]
    assert empty_orders(given, 240) == []
    (told,) = empty_orders(given, 400)
    assert told == (
        "at 50.0 has 240 samples in a revolution (so have 2 of 4 recordings), so that of 400 the orders above 120 are empty, by "
        "which a class with a speed or rate of its own gives itself away: --samples-per-revolution 240 leaves none empty"
    )


def test_an_array_is_brought_to_revolutions():
    signal = tone(3 * 20, 12_000, 24_000)
    turned = in_revolutions(signal, 12_000, 20.0, 100)
    assert turned.shape == (4000, 1)
    np.testing.assert_array_equal(turned, in_revolutions(signal[:, None], 12_000, 20.0, 100))
    signal[7] = np.nan
    with pytest.raises(RecordingError, match="sample 7 is not a finite number"):
        in_revolutions(signal, 12_000, 20.0, 100)


def two_tones(low, high, offset=0.0):
    """Two seconds at 12 kHz of a tone of 100 Hz and one of 4 kHz, of these powers, around an offset."""
    time = np.arange(24_000) / 12_000
    wave = np.sqrt(2 * low) * np.sin(200 * np.pi * time) + np.sqrt(2 * high) * np.sin(8000 * np.pi * time) + offset
    return Recording(wave[:, None].astype(np.float32), "worn", 12_000.0, name=f"{high} at 4 kHz", speed=30.0)


@pytest.mark.parametrize(
    ("resampled", "highest", "option"),
    [
        (lambda found: resample(found, 6000), "3000 Hz", "--resample"),
        (lambda found: resample_to_revolutions(found, 100), "1500 Hz", "--samples-per-revolution"),
    ],
)
def test_power_that_resampling_takes_away_is_told(resampled, highest, option):
    found = [two_tones(1, 0.05), two_tones(1, 1, offset=7), two_tones(1, 3, offset=-7)]
    (told,) = lost_power(found, resampled(found))
    assert told.startswith(
        "resampling takes 75 % of the power of 3 at 4 kHz away (and more than a tenth of that of 2 of 3 record"
    )
    assert f"above {highest}" in told
    assert f"a training with a higher {option} keeps more" in told
    assert lost_power(found[:1], resampled(found[:1])) == []


def test_a_channel_of_large_numbers_hides_no_loss():
    one, other = two_tones(1, 3), two_tones(1e6, 0)
    both = dataclasses.replace(one, signal=np.concatenate([other.signal, one.signal, np.ones_like(one.signal)], 1))
    assert "75 %" in lost_power([both], resample([both], 6000))[0]


def test_no_power_is_lost_where_nothing_rings_or_the_rate_rises():
    still = Recording(np.full((24_000, 1), 3, np.float32), "worn", 12_000.0)
    found = [still, two_tones(1, 3)]
    assert lost_power(found, resample(found, 24_000)) == []
    assert lost_power([still], resample([still], 100)) == []
