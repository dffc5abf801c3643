"""A model of healthy recordings: what is like them is as before, what is not has changed."""

import collections
import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from drsn_jax.cli import console
from drsn_jax.data.drivetrain import drivetrain_recordings
from drsn_jax.data.recording import Recording
from drsn_jax.diagnosis.answer_lines import title
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.evaluation.novelty import FEWEST
from drsn_jax.functional.gears import named_gear
from drsn_jax.studies import healthy
from drsn_jax.studies.healthy import learn_healthy

RATE, LENGTH = 8000.0, 512


def machine(seed, *, strokes=0.0, noise=1.0, seconds=6.0, channels=1, label="healthy"):
    """A shaft in noise whose level it turns up and down, and strokes of a fault that ring at 2.5 kHz."""
    rng, count = np.random.default_rng(seed), int(seconds * RATE)
    time = np.arange(count) / RATE
    at = (time * 97.0) % 1 < 97.0 / RATE
    ringing = np.convolve(at, np.exp(-np.arange(60) / 15) * np.cos(2 * np.pi * 2500 / RATE * np.arange(60)))[:count]
    one = np.cos(2 * np.pi * 30 * time) + noise * (1 + 0.5 * np.cos(2 * np.pi * 60 * time)) * rng.normal(size=count)
    signal = np.stack([(one + strokes * ringing) * (1 + number) for number in range(channels)], 1)
    return Recording(signal.astype(np.float32), label, RATE, name=f"{label} {seed}")


def test_a_model_knows_the_gear_and_its_sidebands():
    geared = [dataclasses.replace(machine(seed), speed=30.0, gear=named_gear("12")) for seed in range(2)]
    known = healthy._known(geared)
    assert known["gear"] == {"mesh": 12.0, "tooth": 1.0}
    assert known["speed_rpm"] == [1800.0, 1800.0]
    assert "gear" not in healthy._known([*geared, machine(2)])


@pytest.fixture(scope="module")
def model():
    return learn_healthy([machine(seed) for seed in range(3)], window_length=LENGTH)


def test_what_is_as_before_and_what_has_changed(model):
    for seed in range(10, 15):
        found = model.diagnose(machine(seed, seconds=2).signal, RATE)
        assert (found.changed, found.sure, title(found)) == (False, True, "healthy")
    for changed in (machine(20, seconds=2, strokes=6.0), machine(20, seconds=2, noise=0.2)):
        found = model.diagnose(changed.signal, RATE)
        assert (found.changed, found.sure, title(found)) == (True, False, "changed (unlike healthy)")
        assert "it is unlike the recordings of 'healthy'" in found.doubts
        assert any(f"{found.novelty:.3g} times as far from the recordings of 'healthy'" in told for told in found.warnings)


def test_one_in_a_hundred_windows_of_new_recordings_is_beyond_the_limit(model):
    windows = np.concatenate([machine(seed).signal[: 90 * LENGTH].reshape(-1, LENGTH, 1) for seed in range(30, 40)])
    novelty = model.answer(windows)[1]
    # the limit is set by about fifty windows, of which the farthest counts
    assert np.mean(novelty > 1) < 0.06
    assert np.median(novelty) < 0.9


def test_it_is_kept_with_several_channels_and_scales(tmp_path):
    recordings = [machine(seed, channels=2) for seed in range(2)]
    for number, standardise in enumerate(("together", "training", "none")):
        made = learn_healthy(recordings, window_length=LENGTH, standardise=standardise)
        save(tmp_path / str(number), made)
        again = load(tmp_path / str(number))
        signal = machine(9, channels=2).signal
        assert again.diagnose(signal, RATE).novelty == pytest.approx(made.diagnose(signal, RATE).novelty, rel=1e-4)
        # a loud machine has changed, unless each window is scaled
        loud = made.diagnose(20 * signal, RATE)
        assert loud.novelty is not None
        assert (loud.novelty > 1) == (standardise != "together")
        assert not loud.sure


def test_the_script_makes_and_keeps_it(tmp_path, monkeypatch, capsys):
    script = tiny.load_script(Path(__file__).parents[2] / "experiments" / "fault_diagnosis.py")
    asked = ["--recordings", tmp_path / "data", "--sampling-rate", RATE, "--window-length", LENGTH, "--plain-runtime"]

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["fault_diagnosis.py", "--healthy-only", *map(str, (*asked, *options))])
        code = None
        try:
            console.run(script.main)
        except SystemExit as end:
            code = end.code
        return code, "".join(capsys.readouterr())

    for folder, seed in (("good", 0), ("good", 1), ("worn", 2)):
        (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "data" / folder / f"{seed}.npy", machine(seed).signal)
    assert "made of one class, got good, worn" in str(call("--out", tmp_path / "run")[0])
    shutil.rmtree(tmp_path / "data" / "worn")
    code, told = call("--out", tmp_path / "run")
    assert code is None
    assert "a model of 'good' alone is kept, it tells what has changed" in told
    kept = load(tmp_path / "run" / "model")
    assert (kept.classes, kept.window_length, kept.sampling_rate) == (("good",), LENGTH, RATE)
    assert kept.diagnose(machine(5).signal, RATE).changed is False
    assert "nothing is overwritten" in str(call("--out", tmp_path / "run")[0])
    assert "nothing to start --from" in str(call("--from", tmp_path / "run" / "model")[0])


@pytest.mark.slow
def test_the_simulated_gearbox():
    """Known from two healthy recordings of nine conditions: nine others are as before, all 63 with a fault have changed."""
    seen, known, asked = collections.Counter(), [], []
    for recording in drivetrain_recordings(recordings=3, windows=20):
        seen[recording.label, recording.condition] += 1
        last = seen[recording.label, recording.condition] == 3
        if last or recording.label == "healthy":
            (asked if last else known).append(recording)
    model = learn_healthy(known)
    found = [(r.label, model.diagnose(np.asarray(r.signal), r.sampling_rate)) for r in asked]
    healthy = [one.novelty or 0.0 for label, one in found if label == "healthy"]
    faulty = [one.novelty or 0.0 for label, one in found if label != "healthy"]
    assert (len(healthy), len(faulty)) == (9, 63)
    assert max(healthy) < 1 < min(faulty)


def test_what_it_cannot_be_made_of():
    with pytest.raises(ValueError, match="made of one class, got healthy, worn: give the folder of the healthy recordings alone"):
        learn_healthy([machine(0), machine(1, label="worn")], window_length=LENGTH)
    with pytest.raises(ValueError, match=rf"to know and \d+ to hold out, and each takes {FEWEST}"):
        learn_healthy([machine(0, seconds=1)], window_length=LENGTH)
    with pytest.raises(ValueError, match="have 0 windows to know and 1 to hold out"):
        learn_healthy([machine(0, seconds=1)], window_length=6000)
