"""What is said about a recording: from windows to a class, whole and in parts, sure and not sure, with warnings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis import parts, pictures
from drsn_jax.diagnosis.diagnosis import diagnose, diagnose_parts, summarise
from drsn_jax.diagnosis.parts import root_mean_squares
from drsn_jax.diagnosis.pictures import diagnosis_picture, envelope

WINDOW = 8


@dataclass
class Level:
    """A model that tells classes by the level of a window: the nearer to 1, 2, 3 or 4, the more probable."""

    classes: Sequence[str] = ("one", "two", "three", "four")
    window_length: int = WINDOW
    sampling_rate: float = 100.0
    channels: int = 1
    rms_range: tuple[float, float] | None = (1.0, 4.0)

    def predict_proba(self, windows: np.ndarray) -> np.ndarray:
        assert windows.shape[1:] == (WINDOW, self.channels)
        assert windows.dtype == np.float32
        nearness = np.exp(-4 * np.abs(root_mean_squares(windows)[:, None] - np.arange(1, 5)))
        return nearness / nearness.sum(1, keepdims=True)


def signal(*levels):
    """A window of each level."""
    return np.concatenate([level * np.tile([1.0, -1.0], WINDOW // 2) for level in levels])


def ask(*levels, rate=100.0, **model):
    return diagnose(Level(**model), signal(*levels), rate)


def test_the_mean_over_the_windows_decides():
    found = ask(2, 2, 2, 3, 2, 2)
    assert (found.label, found.sure) == ("two", True)
    assert found.agreement == pytest.approx(5 / 6)
    assert found.probability == pytest.approx(found.probabilities[:, 1].mean())
    assert [name for name, _ in found.best] == ["two", "three", "one"]
    assert found.best[0].probability == found.probability
    np.testing.assert_array_equal(found.starts, WINDOW * np.arange(6))
    assert found.probabilities.shape == (6, 4)
    assert found.warnings == ()


def test_what_is_left_after_the_last_window_is_dropped():
    longer = np.append(signal(1, 1, 1, 1, 1), [9.0, -9.0])
    assert diagnose(Level(), longer, 100.0).label == "one"
    assert len(diagnose(Level(), longer, 100.0).starts) == 5


def test_entropy_is_a_share_of_the_highest():
    assert ask(1, 1, 1, 1, 1).entropy < 0.2
    even = ask(1, 2, 3, 4, 1, 2, 3, 4)
    assert 0.9 < even.entropy <= 1


@pytest.mark.parametrize(
    ("levels", "sure"), [((1, 1, 1, 1, 1), True), ((1, 1, 1, 2, 2), False), ((1.2,) * 5, True), ((1.4,) * 5, False)]
)
def test_not_sure_rather_than_guess(levels, sure):
    """By the share of windows that agree, and by the probability where all are of one mind."""
    assert ask(*levels).sure is sure


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (lambda: ask(1, 1, 1, 1, 1, rate=50.0), "sampled at 50 Hz and the training data at 100 Hz"),
        (lambda: ask(*[20] * 5), "RMS of 20 is far from the training data's, 1 to 4"),
        (lambda: ask(*[0.1] * 5), "RMS of 0.1 is far"),
        (lambda: ask(0, 0, 0, 0, 0), "silent: a dead channel"),
        (lambda: ask(1, 1), "only 2 windows long"),
        (lambda: ask(1), "only 1 window long"),
    ],
)
def test_warnings(found, warning):
    (told,) = found().warnings
    assert warning in told


@pytest.mark.parametrize(
    ("levels", "options", "doubts"),
    [
        ((1, 1, 1, 1, 1), {}, ()),
        ((1, 1, 1, 2, 2), {}, ("its probability is below 80 %", "less than 80 % of its windows agree")),
        ((0.1,) * 5, {}, ("its level is far from that of the training data",)),
        ((1, 1, 1, 1, 1), {"rate": 50.0}, ("its sampling rate is not that of the training data",)),
        ((0, 0, 0, 0, 0), {}, ("it is silent",)),
        ((1, 1, 0, 0, 1, 1, 1), {}, ("the signal drops out",)),
        ((1,) * 9 + (0,), {}, ()),  # a window in ten is told and leaves the class
        ((1, 1), {}, ()),
    ],
)
def test_what_is_unlike_the_training_data_is_not_named(levels, options, doubts):
    """By its scores or by what the warnings find; the reasons stand beside it."""
    found = ask(*levels, **options)
    assert found.doubts == doubts
    assert found.sure is (not doubts)


def test_a_dead_channel_among_others_is_found():
    both = np.stack([signal(*[2] * 6), np.full(6 * WINDOW, 7.0)], 1)
    found = diagnose(Level(channels=2, classes=("one",) * 1 + ("two", "three", "four")), both, 100.0)
    assert "channel 2 is dead" in found.doubts
    assert "channel 2 of 2 is constant in 100 % of the windows: a loose contact?" in found.warnings


def test_a_level_within_twice_the_usual_is_no_warning():
    assert ask(*[7.9] * 5).warnings == ask(*[0.51] * 5).warnings == ()
    assert ask(*[100] * 5, rms_range=None).warnings == ()


@given(windows=st.integers(1, 30), part=st.integers(1, 12), rest=st.integers(0, WINDOW - 1), seed=st.integers(0, 99))
def test_in_parts_it_is_the_same(windows, part, rest, seed):
    """However many windows are read at a time; never more than so many, and each once."""
    whole = np.random.default_rng(seed).normal(size=(windows * WINDOW + rest, 2)).astype(np.float32)
    model, read, told = Level(channels=2), [], []

    def reader(start, stop):
        read.append((start, stop))
        return whole[start:stop]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART", part)
        found = diagnose_parts(model, len(whole), 2, 100.0, reader, on_part=lambda done, total: told.append((done, total)))
    expected = model.predict_proba(whole[: windows * WINDOW].reshape(windows, WINDOW, 2))
    np.testing.assert_allclose(found.probabilities, expected)
    assert [start for start, _ in read] == list(range(0, windows * WINDOW, part * WINDOW))
    assert read[-1][1] == windows * WINDOW
    assert told[-1] == (windows, windows)


def test_what_cannot_be_diagnosed():
    with pytest.raises(ValueError, match="has 7 samples, less than a window of the model, 8: record for longer"):
        diagnose(Level(), np.ones(7), 100.0)
    with pytest.raises(ValueError, match="takes signals of 1 channels, this one has 2: choose the channel"):
        diagnose(Level(), np.ones((80, 2)), 100.0)
    broken = signal(1, 1, 1)
    broken[WINDOW + 3] = np.nan
    with pytest.raises(ValueError, match=f"sample {WINDOW + 3} is not a finite number"):
        diagnose(Level(), broken, 100.0)
    overflowed = np.full((6, 4), np.nan)
    with pytest.raises(ValueError, match="the network's numbers overflow on it"):
        summarise(Level(), overflowed, np.ones(6), np.zeros((6, 1), bool), 100.0, np.arange(6))
    with pytest.raises(ValueError, match=r"has the shape \(1, 80\), expected \(length, 1\): transpose it"):
        diagnose(Level(), np.ones((1, 80)), 100.0)
    with pytest.raises(ValueError, match=r"has the shape \(2, 80\), expected \(length, 2\): transpose it"):
        diagnose(Level(channels=2), np.ones((80, 2)).T, 100.0)
    with pytest.raises(ValueError, match="this one has 1: name all of them, by channel=NAME"):
        diagnose(Level(channels=2), np.ones(80), 100.0)


def test_levels_are_without_the_mean():
    windows = np.stack([signal(2)[:, None] + 100, signal(5)[:, None] - 3])
    np.testing.assert_allclose(root_mean_squares(windows), [2, 5])


@pytest.mark.parametrize(("channels", "length"), [(1, 43), (6, 9043)])
def test_the_picture_holds_the_answer_and_all_of_the_data(tmp_path, monkeypatch, channels, length):
    """At most four channels, each with a panel; the axis of time ends with the data."""
    rng, kept = np.random.default_rng(0), []
    monkeypatch.setattr(pictures, "save_figure", lambda figure, file: kept.append(figure) or file)
    recorded = 20 * rng.normal(size=(length, channels))
    found = diagnose(Level(channels=channels), recorded, 100.0)
    line = envelope(lambda start, stop: recorded[start:stop], length, channels)
    diagnosis_picture(tmp_path / "x.png", Level.classes, found, line, 100.0, None, "x.mat")
    (figure,) = kept
    waveforms, classes = figure.axes[:-2], figure.axes[-2]
    assert len(waveforms) == min(channels, 4)
    assert classes.get_xlim() == (0, length / 100)
    last = [panel.dataLim.x1 for panel in waveforms]
    assert last == pytest.approx([length / 100] * len(last), rel=0.03)
    title = " ".join(figure.get_suptitle().split())
    assert title.startswith("x.mat not sure (perhaps four): probability ")
    assert "not sure because" in title
    assert "warning: its RMS of" in title
    assert all("recorded unit" in panel.get_ylabel() for panel in waveforms)


@pytest.mark.parametrize("read", [1, 100, 10_000])
def test_parts_are_counted_by_bytes(monkeypatch, read):
    """Long windows, or windows of many channels, are read one by one."""
    monkeypatch.setattr(parts, "READ", read)
    whole = np.random.default_rng(0).normal(size=(10 * WINDOW, 2)).astype(np.float32)
    sizes = []

    def reader(start, stop):
        sizes.append(4 * 2 * (stop - start))
        return whole[start:stop]

    found = diagnose_parts(Level(channels=2), len(whole), 2, 100.0, reader)
    np.testing.assert_allclose(found.probabilities, Level(channels=2).predict_proba(whole.reshape(10, WINDOW, 2)))
    one = 4 * 2 * WINDOW
    assert max(sizes) == max(one, read // one * one if read < 10 * one else 10 * one)
    assert sum(sizes) == 10 * one


@pytest.mark.parametrize("block", [1, 40, 1000, 2**24])
def test_the_rms_is_the_same_in_stretches(monkeypatch, block):
    monkeypatch.setattr("drsn_jax.core.storage.BLOCK", block)
    windows = np.random.default_rng(1).normal(3, 2, size=(7, 11, 3)).astype(np.float32)
    expected = (windows - windows.mean(1, keepdims=True, dtype=np.float64)).std((1, 2))
    np.testing.assert_allclose(root_mean_squares(windows), expected, rtol=1e-6)
    assert root_mean_squares(windows[:0]).shape == (0,)


@given(length=st.integers(1, 30_000), seed=st.integers(0, 9))
def test_an_envelope_holds_the_extremes(length, seed):
    """However it is read; four channels are drawn."""
    whole = np.random.default_rng(seed).normal(size=(length, 5)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drsn_jax.core.storage.BLOCK", 1000)
        found = envelope(lambda start, stop: whole[start:stop], length, 5)
    assert (found.length, found.channels) == (length, 5)
    edges = np.arange(0, length, found.step)
    assert len(edges) <= 4000
    np.testing.assert_array_equal(found.low, np.minimum.reduceat(whole[:, :4], edges))
    np.testing.assert_array_equal(found.high, np.maximum.reduceat(whole[:, :4], edges))


def clip_model() -> Any:
    """A model of clips, which answers with the loudness of the middle of the window against that of its ends."""
    import types

    def predict_proba(windows):
        assert windows.shape[1:] == (100, 1)
        middle = np.abs(windows[:, 40:60]).mean() > 2 * np.abs(windows[:, :20]).mean()
        return np.full((len(windows), 2), 0.01) + np.eye(2)[int(middle)] * 0.98

    return types.SimpleNamespace(
        classes=("ends", "middle"), window_length=100, sampling_rate=100.0, channels=1, rms_range=None, stride=None,
        predict_proba=predict_proba,
    )  # fmt: skip


def test_a_clip_is_one_window_whatever_its_length():
    for length, label in ((20, "middle"), (30, "middle"), (100, "ends"), (250, "ends")):
        found = diagnose(clip_model(), np.resize([1.0, -1.0], length), 100.0)
        assert (len(found.starts), found.label, found.warnings) == (1, label, ())


@pytest.mark.parametrize("length", [0, 1001])
def test_what_is_no_clip_is_refused(length):
    with pytest.raises(UserError, match=r"the model is for clips of 1 s, and this one lasts (0|10) s: cut it"):
        diagnose(clip_model(), np.ones(length), 100.0)
