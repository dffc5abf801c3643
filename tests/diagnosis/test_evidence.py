"""What physics says of a bearing: faults made by its geometry are found, noise is not taken for one, and bad input is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from drsn_jax.data.recordings import read_recordings
from drsn_jax.diagnosis import evidence
from drsn_jax.diagnosis.evidence import bearing_evidence
from drsn_jax.functional.orders import bearing_orders

RATE, SPEED = 12_000.0, 29.5
BEARING = bearing_orders(balls=9, ball_diameter=7.94, pitch_diameter=39.04)
ORDERS = {"inner race": BEARING.bpfi, "outer race": BEARING.bpfo, "ball": 2 * BEARING.bsf}
TABLES = Path(__file__).parents[2] / "experiments" / "recordings"


def struck(order, *, seconds=5.0, slip=0.004, noise=1.0, seed=0):
    """Strokes at an order, each a burst of 3 kHz, with a slip of the cage and some jitter, under tones of the shaft, in noise."""
    rng, length = np.random.default_rng(seed), int(seconds * RATE)
    count = int(seconds * SPEED * order)
    at = (np.arange(count) + 0.02 * rng.normal(size=count)) / (SPEED * order * (1 - slip))
    strokes = np.zeros(length)
    strokes[np.clip((at * RATE).astype(int), 0, length - 1)] = 1
    burst = np.exp(-np.arange(100) / 15) * np.cos(2 * np.pi * 3000 / RATE * np.arange(100))
    shaft = 5 * np.cos(2 * np.pi * SPEED * np.arange(length) / RATE) + 3 * np.cos(
        2 * np.pi * 4 * SPEED * np.arange(length) / RATE
    )
    return np.convolve(strokes, burst)[:length] + shaft + noise * rng.normal(size=length)


@pytest.mark.parametrize("fault", ORDERS)
def test_a_fault_that_geometry_made_is_found(fault):
    first, second, third = bearing_evidence(struck(ORDERS[fault], noise=0.3), RATE, SPEED, BEARING)
    assert (first.fault, first.sure) == (fault, True)
    assert first.order == ORDERS[fault]
    assert first.slip == pytest.approx(-0.004, abs=1e-3)
    assert first.decades > 2 * max(second.decades, third.decades)
    assert str(first).startswith("lines at 1×, 2×, 3× ")
    assert "as noise may do" not in str(first)


def test_noise_is_rarely_taken_for_a_fault():
    """Of 450 tries in noise about one in ten reaches one decade, and one in a hundred two: a promise of ``decades``."""
    rng = np.random.default_rng(0)
    found = np.array([[e.decades for e in bearing_evidence(rng.normal(size=24_000), RATE, SPEED, BEARING)] for _ in range(150)])
    for decades, share in ((1.0, 0.1), (2.0, 0.01)):
        assert stats.binomtest(int((found >= decades).sum()), found.size, share, alternative="greater").pvalue > 1e-3
    assert found.max() < evidence.SURE


def test_gain_and_offset_do_not_matter():
    signal = struck(BEARING.bpfo, seconds=2.0)
    for changed in (1e-4 * signal, signal[:, None] + 7):
        for one, other in zip(*(bearing_evidence(s, RATE, SPEED, BEARING) for s in (signal, changed)), strict=True):
            assert one.fault == other.fault
            assert one.decades == pytest.approx(other.decades, abs=0.05)


def test_the_chance_of_a_sum_is_that_of_scipy():
    for value, count in ((0.5, 1), (7.0, 3), (60.0, 4)):
        assert evidence._gamma_above(value, count) == pytest.approx(stats.gamma.sf(value, count))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signal": np.zeros((60_000, 2))}, r"one channel \(length, 1\), got the shape \(60000, 2\)"),
        ({"signal": np.zeros(60_000)}, "no vibration at all"),
        ({"signal": np.full(60_000, np.nan)}, "not finite"),
        ({"signal": np.ones(100)[::-1].cumsum()}, "0.246 revolutions of the shaft"),
        ({"speed": 0.0}, "positive numbers of Hz, got 0.0"),
        ({"sampling_rate": math.inf}, "positive numbers of Hz"),
        ({"harmonics": 40}, "40 lines of each fault reach"),
        ({"harmonics": 0}, "at least one"),
    ],
)
def test_bad_input(change, words):
    usual = {"signal": struck(BEARING.bpfi), "sampling_rate": RATE, "speed": SPEED, "bearing": BEARING}
    with pytest.raises(ValueError, match=words):
        bearing_evidence(**usual | change)


def test_the_recordings_of_case_western(data_folder):
    """27 of 36 faults come first and 22 surely; the ball faults and 0.014 inch at the outer race are known to show no lines, and
    three balls show lines of a race. The healthy machine is not accused."""
    rpm = {"0 hp": 1797, "1 hp": 1772, "2 hp": 1750, "3 hp": 1730}
    kinds = {"I": "inner race", "B": "ball", "O": "outer race"}
    recordings = read_recordings(TABLES / "cwru_drive_end_12k.csv", data_folder / "cwru" / "drive_end_12k")
    first = [bearing_evidence(np.asarray(r.signal), 12_000.0, rpm[r.condition] / 60, BEARING)[0] for r in recordings]
    right = [found.fault == kinds[r.label[0]] for found, r in zip(first, recordings, strict=True)]
    assert sum(right) >= 27
    assert sum(found.sure and good for found, good in zip(first, right, strict=True)) >= 22
    assert sum(found.sure and not good for found, good in zip(first, right, strict=True)) <= 3
    healthy = read_recordings(TABLES / "cwru_drive_end_48k_0hp.csv", data_folder / "cwru" / "drive_end_48k_0hp")
    (normal,) = (r for r in healthy if r.label == "normal")
    assert not any(e.sure for e in bearing_evidence(np.asarray(normal.signal), 48_000.0, rpm["0 hp"] / 60, BEARING))


def test_evidence_that_is_not_sure_says_so():
    (found, *_) = bearing_evidence(np.random.default_rng(1).normal(size=60_000), RATE, SPEED, BEARING)
    assert not found.sure
    assert str(found).endswith("as noise may do")
