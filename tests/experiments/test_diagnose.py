"""The script that asks a trained network, as its users run it: files and a stream in, lines out, errors in one sentence."""

import contextlib
import dataclasses
import gc
import io
import json
import math
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny

from drsn_jax.cli import console
from drsn_jax.diagnosis import asking
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import save
from drsn_jax.functional.bearings import named_bearing
from drsn_jax.functional.gears import named_gear

SCRIPT = Path(__file__).parents[2] / "experiments" / "diagnose.py"
RATE = 8000


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(SCRIPT)


@pytest.fixture(scope="module")
def bundle():
    variables = tiny.variables()
    return Bundle(tiny.network, variables, ("a", "b", "c"), tiny.LENGTH, float(RATE), tiny.LENGTH, rms_range=(0.05, 0.3))


@pytest.fixture(scope="module")
def model(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    save(folder, bundle)
    return folder


@pytest.fixture
def call(script, monkeypatch, capsys):
    """Run the script in this process; its code, its lines and its errors."""

    def call(*arguments, stdin=None):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments), "--plain-runtime"])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = None
        try:
            console.run(script.main, interrupted="interrupted")
        except SystemExit as exit:
            code = exit.code
        return code, capsys.readouterr().out.splitlines()

    return call


def tone(windows=10, level=0.2, seed=0):
    rng = np.random.default_rng(seed)
    clean = level * np.sin(0.7 * np.arange(windows * tiny.LENGTH))
    return (clean + 0.01 * rng.normal(size=len(clean))).astype(np.float32)


def test_a_line_for_every_file(call, model, bundle, tmp_path):
    soundfile.write(tmp_path / "one.wav", tone(), RATE, "FLOAT")
    np.save(tmp_path / "two.npy", tone(seed=1))
    code, lines = call(model, tmp_path / "one.wav", tmp_path / "two.npy", "--sampling-rate", RATE, "--json")
    assert code is None
    for line, name, seed in zip(lines, ("one.wav", "two.npy"), (0, 1), strict=True):
        found, expected = json.loads(line), bundle.diagnose(tone(seed=seed), RATE)
        assert found["file"] == str(tmp_path / name)
        assert (found["class"], found["sure"], found["windows"]) == (expected.label, expected.sure, 10)
        assert found["probability"] == pytest.approx(expected.probability, rel=1e-5)
        assert [entry["class"] for entry in found["best"]] == [name for name, _ in expected.best]
        assert found["warnings"] == []
        assert found["times_real_time"] > 0


def test_text_says_not_sure_and_warns(call, model, bundle, tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.clip(50 * tone(3), -1, 1), RATE // 2, "FLOAT")
    code, lines = call(model, tmp_path / "loud.wav")
    assert code is None
    expected = bundle.diagnose(np.clip(50 * tone(3), -1, 1), RATE // 2)
    assert not expected.sure
    assert f"loud.wav: not sure (perhaps {expected.label}), probability" in lines[0]
    assert "of 3 windows agree; then " in lines[0]
    assert lines[1].startswith("  not sure because its probability is below 80 %")
    assert ", and its sampling rate is not that of the training data, and its level is far from" in lines[1]
    assert len(lines) == 5
    for line, warning in zip(lines[2:], ("sampled at 4000 Hz", "its RMS of", "only 3 windows"), strict=True):
        assert line.startswith("  warning: ")
        assert warning in line


def test_physics_is_told_beside_the_class(call, model, tmp_path):
    """Strokes at the inner race's order in one file, noise in the next, and one that is too short for lines."""
    rng, seconds, rpm = np.random.default_rng(0), 4, 1770
    time = np.arange(seconds * RATE) / RATE
    strokes = (time * rpm / 60 * 5.415) % 1 < 0.01
    np.save(tmp_path / "inner.npy", 0.1 * rng.normal(size=len(time)) + strokes)
    np.save(tmp_path / "noise.npy", 0.1 * rng.normal(size=len(time)))
    np.save(tmp_path / "short.npy", 0.1 * rng.normal(size=RATE // 4))
    files = [tmp_path / f"{name}.npy" for name in ("inner", "noise", "short")]
    asked = (*files, "--sampling-rate", RATE, "--speed-rpm", rpm, "--bearing", 9, 7.94, 39.04)
    code, lines = call(model, *asked)
    assert code is None
    told = [line for line in lines if line.startswith("  physics: ")]
    assert told[0].startswith("  physics: inner race: lines at 1×, 2×, 3× BPFI stand ")
    assert told[1] == "  physics: no fault of this bearing has lines above the noise"
    assert told[2].startswith("  physics: nothing, because the recording has 7.38 revolutions")
    _, lines = call(model, *asked, "--json")
    inner, noise, short = (json.loads(line)["physics"] for line in lines)
    assert [(one["fault"], one["sure"]) for one in inner[:1]] == [("inner race", True)]
    assert not any(one["sure"] for one in noise)
    assert short is None
    assert "physics" not in json.loads(call(model, files[1], "--sampling-rate", RATE, "--json")[1][0])


def test_a_bearing_has_a_name_or_is_that_of_the_training(call, model, bundle, tmp_path):
    rng, time = np.random.default_rng(0), np.arange(4 * RATE) / RATE
    np.save(tmp_path / "inner.npy", 0.1 * rng.normal(size=len(time)) + ((time * 29.5 * 5.415) % 1 < 0.01))
    asked = tmp_path / "inner.npy", "--sampling-rate", RATE, "--speed-rpm", 1770
    code, named = call(model, *asked, "--bearing", "6205-2RS")
    assert code is None
    assert any(line.startswith("  physics: inner race: lines at") for line in named)
    assert call(model, *asked, "--bearing", "SKF", "6205")[1] == named
    knowing = dataclasses.replace(bundle, training={"bearing": named_bearing("6205")._asdict()})
    save(tmp_path / "knowing", knowing)
    assert call(tmp_path / "knowing", *asked) == (None, named)


def test_the_mesh_of_a_gear_is_told_beside_the_class(call, model, bundle, tmp_path):
    """Beside that of healthy recordings where the model knows them, in the text, in JSON and in the report."""
    rng, turns = np.random.default_rng(0), 29.5 * np.arange(4 * RATE) / RATE
    mesh = (1 + 0.5 * np.cos(2 * np.pi * turns)) * np.cos(2 * np.pi * 21 * turns)
    np.save(tmp_path / "worn.npy", 0.1 * rng.normal(size=len(turns)) + mesh)
    asked = tmp_path / "worn.npy", "--sampling-rate", RATE, "--speed-rpm", 1770
    code, lines = call(model, *asked, "--teeth", 21)
    assert code is None
    (told,) = (line for line in lines if line.startswith("  physics: "))
    assert told.startswith("  physics: gear: lines of the mesh at 21×, 42×, 63× the shaft stand ")
    assert told.endswith("and the sidebands 1× beside them are together 9 dB below them")
    knowing = dataclasses.replace(bundle, training={"gear": {"mesh": 21, "tooth": 1}, "healthy_sidebands_db": [-25, -21.4]})
    save(tmp_path / "knowing", knowing)
    code, lines = call(tmp_path / "knowing", *asked, "--json", "--report", tmp_path / "report")
    assert code is None
    gear = json.loads(lines[0])["gear"]
    assert (gear["mesh"], gear["tooth"], gear["sun"], gear["healthy_sidebands_db"]) == (21.0, 1.0, None, [-25.0, -21.4])
    assert gear["sidebands_db"] == pytest.approx(-9, abs=0.3)
    assert json.loads(lines[0])["physics"] == []
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "that is more than in 2 healthy recordings of the training (-25 to -21 dB)" in page
    assert "Gears in good order have sidebands too" in page
    assert page.count("data:image/png;base64,") == 1
    # another gear has other healthy recordings
    code, lines = call(tmp_path / "knowing", *asked, "--teeth", 20, 100, 3, "--json")
    assert code is None
    assert json.loads(lines[0])["gear"]["healthy_sidebands_db"] == []


@pytest.mark.parametrize(
    "training",
    [
        {"gear": 21},
        {"gear": {"mesh": 21}},
        {"gear": {"mesh": "21", "tooth": 1}},
        {"gear": {"mesh": 21, "tooth": -1}},
        {"gear": {"mesh": 21, "tooth": 20}},
        {"gear": {"mesh": math.inf, "tooth": 1}},
    ],
)
def test_facts_about_a_gear_that_make_no_sense_are_passed_over(bundle, training):
    assert asking.trained_gear(dataclasses.replace(bundle, training=training)) is None


@pytest.mark.parametrize("told", ["-20", None, -20, [None, "x", math.nan]])
def test_healthy_sidebands_that_make_no_sense_are_passed_over(bundle, told):
    knowing = dataclasses.replace(bundle, training={"gear": {"mesh": 21, "tooth": 1}, "healthy_sidebands_db": told})
    assert asking.trained_sidebands(knowing, named_gear("21")) == ()


def test_a_model_in_revolutions_needs_the_speed_of_a_file(call, bundle, tmp_path):
    turning = dataclasses.replace(bundle, sampling_rate=64, per_revolution=True)
    save(tmp_path / "model", turning)
    np.save(tmp_path / "x.npy", tone())
    asked = tmp_path / "model", tmp_path / "x.npy", "--sampling-rate", RATE
    code, lines = call(*asked, "--speed-rpm", 1800, "--json", "--report", tmp_path / "report")
    assert code is None
    found, expected = json.loads(lines[0]), turning.diagnose(tone(), RATE, 30.0)
    assert (found["class"], found["windows"], found["sampling_rate"]) == (expected.label, 2, 1920.0)
    assert found["probability"] == pytest.approx(expected.probability, rel=1e-5)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "64 samples, 1 revolutions of the shaft at 64 samples in each" in page
    assert call(*asked, "--speed-rpm", 1800, "--bearing", "6205")[0] is None
    for arguments, message in (
        (asked, "the model's windows are revolutions of the shaft: give its speed in the files by --speed-rpm"),
        (
            (tmp_path / "model", "-", "--speed-rpm", 1800),
            "the model's windows are revolutions of the shaft, for files of a",
        ),
        ((tmp_path / "model", "-"), "it takes no stream"),
        ((*asked, "--bearing", "6205"), "--bearing and --teeth go together with --speed-rpm or --speed-range-rpm"),
        ((*asked, "--speed-rpm", 0), "--speed-rpm must be a positive number of revolutions a minute"),
        ((*asked, "--speed-rpm", "nan"), "--speed-rpm must be a positive number of revolutions a minute"),
    ):
        assert message in str(call(*arguments, stdin=b"")[0])


def test_lines_that_speak_against_the_class_make_it_not_sure_in_the_report_too(call, bundle, tmp_path):
    named = dataclasses.replace(bundle, classes=("outer race", "healthy", "OR 2"), rms_range=None, temperature=1e-3)
    save(tmp_path / "model", named)
    rng, time = np.random.default_rng(0), np.arange(4 * RATE) / RATE
    np.save(tmp_path / "inner.npy", 0.1 * rng.normal(size=len(time)) + ((time * 29.5 * 5.415) % 1 < 0.01))
    asked = tmp_path / "inner.npy", "--sampling-rate", RATE, "--speed-rpm", 1770, "--bearing", 9, 7.94, 39.04
    code, lines = call(tmp_path / "model", *asked, "--report", tmp_path / "report")
    assert code is None
    assert lines[0].startswith(f"{tmp_path / 'inner.npy'}: not sure (perhaps ")
    (because,) = (line for line in lines if line.startswith("  not sure because "))
    assert "the lines of the inner race stand out" in because
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "the lines of the inner race stand out" in page
    assert page.count("data:image/png;base64,") == 1
    assert not list((tmp_path / "report").glob("*.png"))


def test_no_file_stays_open(call, script, model, tmp_path, monkeypatch):
    """Neither without a report nor with one: an answer keeps nothing that reads."""
    kept, usual = [], asking.ask

    def ask(*given, **options):
        asked = usual(*given, **options)
        kept.append(weakref.ref(asked.signal))
        return asked

    monkeypatch.setattr(script, "ask", ask)
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", tone())
    files = [tmp_path / f"{name}.npy" for name in "abc"]
    for options in ((), ("--report", tmp_path / "report")):
        kept.clear()
        assert call(model, *files, "--sampling-rate", RATE, *options)[0] is None
        gc.collect()
        assert len(kept) == 3
        assert not any(reference() for reference in kept)


def test_a_picture_that_fails_leaves_the_answer(call, script, model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(script, "picture_of", full)
    np.save(tmp_path / "a.npy", tone())
    code, lines = call(model, tmp_path / "a.npy", "--sampling-rate", RATE, "--json", "--report", tmp_path / "report")
    assert code is None
    assert [json.loads(line)["file"] for line in lines] == [str(tmp_path / "a.npy")]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "There is no picture: [Errno 28] No space left on device" in page
    assert "could not be read" not in page


def test_what_was_taken_unasked_is_told(call, model, tmp_path, monkeypatch):
    """With its rate, and where that is from, in the line of JSON."""
    np.save(tmp_path / "one.npy", tone())
    usual = asking.open_signal
    facts = {"channel": "vibration", "sampling_rate": float(RATE), "rate_from": "its fs"}
    monkeypatch.setattr(asking, "open_signal", lambda *given: dataclasses.replace(usual(*given), **facts))
    _, lines = call(model, tmp_path / "one.npy")
    assert lines[1:] == ["  taken: channel vibration, the only signal", "  not sure because its probability is below 80 %"]
    (line,) = call(model, tmp_path / "one.npy", "--json")[1]
    assert json.loads(line).items() >= facts.items()
    _, (line,) = call(model, tmp_path / "one.npy", "--sampling-rate", 2 * RATE)
    assert "one.npy: error: it says that it is sampled at 8000 Hz, not at 16000 Hz (by its fs)" in line
    _, lines = call(model, tmp_path / "one.npy", "--sampling-rate", 2 * RATE, "--overrule-rate")
    assert "sampled at 16000 Hz and the training data at 8000 Hz" in lines[-1]


def test_files_that_are_broken_do_not_stop_the_others(call, model, tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(), RATE, "FLOAT")
    (tmp_path / "bad.wav").write_bytes(b"RIFF nothing")
    np.save(tmp_path / "short.npy", tone()[:10])
    np.save(tmp_path / "nan.npy", np.append(tone(), np.full(64, np.nan, np.float32)))
    files = [tmp_path / name for name in ("bad.wav", "short.npy", "none.npy", "nan.npy", "good.wav")]
    code, lines = call(model, *files, "--sampling-rate", RATE)
    assert str(code) == "error: 4 of 5 files could not be diagnosed"
    told = ("damaged or no", "10 samples, less than a window", "does not exist", "sample 640 is not a finite", "prob")
    assert len(lines) == 5 + 1
    for line, file, part in zip(lines, files, told, strict=False):
        assert line.startswith(f"{file}: ")
        assert part in line
        assert line.count(str(file)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name at least one file"),
        (("x.wav",), "holds no model"),
        (("-", "x.wav"), "- goes alone"),
        (("x.wav", "--sampling-rate", "0"), "--sampling-rate must be a positive number of Hz, got 0.0"),
        (("x.wav", "--sampling-rate", "nan"), "--sampling-rate"),
        (("-", "--plot", "pictures"), "--plot, --report and --channel go with files"),
        (("x.wav", "--bearing", "9", "7.94", "39.04"), "--bearing and --teeth go together with --speed-rpm or --speed-range-rpm"),
        (("x.wav", "--speed-rpm", "0", "--bearing", "9", "8", "39"), "--speed-rpm must be a positive number of revolutions"),
        (("x.wav", "--speed-rpm", "1770", "--bearing", "9", "8"), "a bearing is its name, or its number of balls, ball diam"),
        (("x.wav", "--speed-rpm", "1770", "--bearing", "6206"), "'6206' is no bearing whose geometry is known here (6203, "),
        (("x.wav", "--speed-rpm", "1770", "--speed-range-rpm", "600", "3600", "--bearing", "6205"), "take one of them"),
        (("x.wav", "--speed-range-rpm", "3600", "600", "--bearing", "6205"), "the lowest and the highest speed in rpm, got 3600"),
        (
            ("x.wav", "--speed-range-rpm", "600", "3600"),
            "--bearing and --teeth go together with --speed-rpm or --speed-range-rpm",
        ),
        (("x.wav", "--speed-rpm", "1770"), "--bearing and --teeth go together with --speed-rpm or --speed-range-rpm"),
        (("x.wav", "--speed-rpm", "1770", "--bearing", "9", "40", "39"), "smaller than that of the pitch circle"),
        (("x.wav", "--teeth", "21"), "--bearing and --teeth go together with --speed-rpm or --speed-range-rpm"),
        (("x.wav", "--speed-rpm", "1770", "--teeth", "21.5"), "a gear is its whole number of teeth"),
        (("x.wav", "--speed-rpm", "1770", "--teeth", "5"), "a gear has at least 6 teeth, got 5"),
        (("-", "--speed-rpm", "1770", "--teeth", "21"), "--bearing, --teeth and --speed-rpm go with files"),
        (("-", "--speed-rpm", "1770", "--bearing", "9", "8", "39"), "--bearing, --teeth and --speed-rpm go with files"),
        (("x.wav", "--dry-run"), "--dry-run makes a model and files of its own"),
    ],
)
def test_what_cannot_be_asked(call, model, tmp_path, arguments, message):
    code, lines = call(tmp_path if message == "holds no model" else model, *arguments)
    assert str(code).startswith("error: ")
    assert message in str(code)
    assert lines == []


def test_a_fault_of_the_program_is_no_error_of_a_file(call, model, tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", tone())

    def planted(*arguments):
        raise ValueError("planted")

    monkeypatch.setattr(asking, "diagnose_parts", planted)
    code, lines = call(model, tmp_path / "a.npy", "--sampling-rate", RATE)
    first, *rest = str(code).splitlines()
    assert first.startswith("fault: ValueError inside the program")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: planted"
    assert lines == []


def test_a_stream_is_answered_window_by_window(call, model, bundle):
    samples = tone(3)
    code, lines = call(model, "-", "--json", stdin=samples.tobytes() + b"\0" * 10)
    assert code is None
    records = [json.loads(line) for line in lines]
    assert [record["seconds"] for record in records] == [0.0, 64 / RATE, 128 / RATE]
    expected = bundle.predict_proba(samples.reshape(3, -1, 1))
    assert [record["class"] for record in records] == ["abc"[i] for i in expected.argmax(1)]
    np.testing.assert_allclose([record["probability"] for record in records], expected.max(1), rtol=1e-5)
    assert all(record["latency_ms"] > 0 for record in records)


def test_a_stream_with_numbers_that_are_not_finite_goes_on(call, model):
    samples = tone(3)
    samples[70] = np.inf
    _, lines = call(model, "-", stdin=samples.tobytes())
    assert len(lines) == 3
    assert "error: samples that are not finite" in lines[1]


def test_a_stream_of_less_than_a_window(call, model):
    code, _ = call(model, "-", stdin=b"\0" * 40)
    assert str(code) == "error: standard input ended before a window of 64 samples was there"


def test_an_assumed_rate_is_told(call, model, tmp_path):
    np.save(tmp_path / "one.npy", tone())
    """Once for all files."""
    np.save(tmp_path / "two.npy", tone(seed=1))
    _, lines = call(model, tmp_path / "one.npy", tmp_path / "two.npy")
    warning = "it holds no sampling rate: 8000 Hz, that of the training data, is assumed, --sampling-rate says otherwise"
    assert [line for line in lines if "warning" in line] == [f"  warning: {warning}"]
    assert lines[2] == f"  warning: {warning}"
    _, lines = call(model, tmp_path / "one.npy", tmp_path / "two.npy", "--json")
    assert [json.loads(line)["warnings"] for line in lines] == [[warning], [warning]]


def test_a_stream_warns_once_of_each_kind(call, model):
    samples = np.concatenate([tone(2), 50 * tone(2), np.zeros(64, np.float32)])
    _, lines = call(model, "-", "--sampling-rate", 2 * RATE, stdin=samples.tobytes())
    warnings = [line.partition("warning: ")[2] for line in lines if "warning" in line]
    assert [warning.split(" ")[2] for warning in warnings] == ["sampled", "of", "silent:"]
    _, lines = call(model, "-", "--json", "--sampling-rate", 2 * RATE, stdin=samples.tobytes())
    assert [len(json.loads(line)["warnings"]) for line in lines] == [1, 1, 2, 2, 2]


def test_numbers_near_the_largest(call, model, tmp_path):
    """Standardised they are numbers like others, and the level is told; where their sum overflows, that is told."""
    noise = np.random.default_rng(0).uniform(-1, 1, 640)
    np.save(tmp_path / "large.npy", (1e36 * noise).astype(np.float32))
    np.save(tmp_path / "huge.npy", (3e38 * noise).astype(np.float32))
    code, lines = call(model, tmp_path / "large.npy", "--sampling-rate", RATE, "--json")
    assert code is None
    assert [warning[:7] for warning in json.loads(lines[0])["warnings"]] == ["its RMS"]
    code, lines = call(model, tmp_path / "huge.npy", "--sampling-rate", RATE, "--json")
    assert code == "error: 1 of 1 files could not be diagnosed"
    assert json.loads(lines[0])["error"] == "the network's numbers overflow on it: is it in the training data's unit?"


def sure(script, monkeypatch, bundle, probabilities):
    """Let the model answer every window with these probabilities."""
    monkeypatch.setattr(type(bundle), "answer", lambda self, windows: (np.tile(probabilities, (len(windows), 1)), None))


def test_what_was_never_trained_on_is_not_named(call, script, model, bundle, tmp_path, monkeypatch):
    """However sure the network is: another level, a dead signal."""
    sure(script, monkeypatch, bundle, [1.0, 0.0, 0.0])
    for name, signal in (("usual", tone()), ("quiet", 1e-3 * tone()), ("dead", np.zeros(640, np.float32))):
        np.save(tmp_path / f"{name}.npy", signal)
    files = [tmp_path / f"{name}.npy" for name in ("usual", "quiet", "dead")]
    _, lines = call(model, *files, "--sampling-rate", RATE)
    assert lines[0].endswith("usual.npy: a, probability 100.0 %, 100 % of 10 windows agree")  # no "then b 0.0 %"
    assert "quiet.npy: not sure (perhaps a), probability 100.0 %" in lines[1]
    assert lines[2] == "  not sure because its level is far from that of the training data"
    assert "dead.npy: not sure (perhaps a)" in lines[4]
    assert lines[5] == "  not sure because it is silent"
    found = [json.loads(line) for line in call(model, *files, "--sampling-rate", RATE, "--json")[1]]
    assert [entry["sure"] for entry in found] == [True, False, False]
    assert [len(entry["doubts"]) for entry in found] == [0, 1, 1]


def test_just_below_the_limit_is_not_shown_as_the_limit(call, script, model, bundle, tmp_path, monkeypatch):
    sure(script, monkeypatch, bundle, [0.7999, 0.2001, 0.0])
    np.save(tmp_path / "one.npy", tone())
    _, lines = call(model, tmp_path / "one.npy", "--sampling-rate", RATE)
    assert "not sure (perhaps a), probability 79.9 %, 100 % of 10 windows agree; then b 20.0 %" in lines[0]
    assert lines[1] == "  not sure because its probability is below 80 %"


def test_what_is_meant_is_understood(call, model, tmp_path):
    """The run in place of its model, a folder of files, the model behind a file: each gives the same answers."""
    run, files = tmp_path / "run", tmp_path / "files"
    shutil.copytree(model, run / "model")
    (files / "deeper").mkdir(parents=True)
    np.save(files / "a.npy", tone())
    np.save(files / "deeper" / "b.npy", tone(seed=1))
    for name in ("readme.txt", "notes.pdf", ".hidden.npy"):
        (files / name).write_text("no signal")
    rate = ("--sampling-rate", RATE)
    answers = lambda lines: [line for line in lines if not line.startswith(" ")]  # noqa: E731
    expected = answers(call(model, files / "a.npy", files / "deeper" / "b.npy", *rate)[1])
    assert len(expected) == 2
    for arguments in ((run, files), (model, files), (model / "model.json", files), (files / "a.npy", run, files / "deeper")):
        code, lines = call(*arguments, *rate)
        assert (code, answers(lines)) == (None, expected)
    (tmp_path / "empty").mkdir()
    assert "holds no recordings: name files" in str(call(model, tmp_path / "empty", *rate)[0])


def test_a_stream_says_what_it_expects(call, script, model, monkeypatch):
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        call(model, "-", stdin=tone(1).tobytes())
    assert told.getvalue() == (
        "listening: raw float32 samples, little-endian, 1 channel, 8000 Hz; windows of 64 samples, 0.008 s; a line for each "
        "window\n"
    )


@pytest.mark.parametrize("kind", ["<i2", "<i4", "<f8"])
@pytest.mark.parametrize("level", [0.001, 0.2, 0.9])
def test_a_stream_of_another_type_is_refused(call, model, kind, level):
    """Its bytes are some float32 numbers, but not those of a signal."""
    scale = 1 if kind == "<f8" else np.iinfo(kind).max
    samples = (tone(20, level / 2) * scale).astype(kind)
    code, lines = call(model, "-", stdin=b"\0" * 512 + samples.tobytes())
    assert "these are no float32 samples" in str(code)
    assert "error" not in "".join(lines)


def test_a_stream_is_answered_every_so_many_seconds(call, model, bundle):
    samples = tone(7)
    _, lines = call(model, "-", "--json", "--every", 3 * 64 / RATE, stdin=samples.tobytes())
    found = [json.loads(line) for line in lines]
    assert [(entry["seconds"], entry["windows"]) for entry in found] == [(0.0, 3), (3 * 64 / RATE, 3), (6 * 64 / RATE, 1)]
    expected = bundle.predict_proba(samples.reshape(7, -1, 1))[:3].mean(0)
    assert found[0]["probability"] == pytest.approx(expected.max(), rel=1e-5)
    samples[100] = np.nan  # the second window: what was kept is told before it
    _, lines = call(model, "-", "--json", "--every", 3 * 64 / RATE, stdin=samples.tobytes())
    found = [json.loads(line) for line in lines]
    assert [entry.get("windows", "error") for entry in found] == [1, "error", 3, 2]


def test_pictures(call, model, tmp_path):
    """One for each file, also of files with one name, and whatever the name."""
    odd = os.fsdecode(b"\xff $\\frac{$ ") + 200 * "x" + ".npy"
    files = [tmp_path / "a" / "one.npy", tmp_path / "b" / "one.npy", tmp_path / odd]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        np.save(file, tone())
    code, lines = call(model, *files, "--sampling-rate", RATE, "--plot", tmp_path / "pictures")
    assert code is None, lines
    pictures = sorted(file.name for file in (tmp_path / "pictures").iterdir())
    assert pictures[:2] == ["one.npy-2.png", "one.npy.png"]
    assert len(pictures) == 3
    for name in pictures:
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_a_dry_run(call, tmp_path):
    code, lines = call("--dry-run", "--out", tmp_path / "run")
    assert code is None
    assert len([line for line in lines if "probability" in line and "because" not in line]) == 2
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        "model",
        "one.npy",
        "two.npy",
        "one.npy.png",
        "two.npy.png",
        "report.html",
    }
    code, _ = call("--dry-run", "--out", tmp_path / "run")
    assert "nothing is overwritten" in str(code)


@pytest.mark.process
def test_processes_of_their_own(model, tmp_path):
    """A reader that has seen enough after a line is no error; no standard input, where a stream is asked, is one."""
    soundfile.write(tmp_path / "one.wav", tone(), RATE, "PCM_16")
    asked = f"{sys.executable} {SCRIPT} {model}"
    files = 3 * f" {tmp_path / 'one.wav'}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; ({asked}{files} | head -n 1) && {asked} - <&-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("\n") == 1
    assert ": not sure" in done.stdout or ", probability" in done.stdout
    assert done.stderr == "error: standard input is closed\n"
    assert done.returncode == 1


def test_a_model_of_several_kinds_of_files_asks_each_for_its_own_channel(call, bundle, tmp_path):
    """As a table names them; of a file that has none of the names, or two, the choice is the user's."""
    sources = [{"channel": name, "files": ["x"]} for name in ("b", "vibration")]
    save(tmp_path / "model", dataclasses.replace(bundle, training={"recordings": sources}))
    names = {"one": ("a", "b"), "other": ("a", "vibration"), "both": ("b", "vibration"), "none": ("a", "c")}
    for name, (first, second) in names.items():
        columns: dict[str, Any] = {first: tone(seed=1), second: tone()}
        np.savez(tmp_path / f"{name}.npz", **columns)
    files = [tmp_path / f"{name}.npz" for name in names]
    _, lines = call(tmp_path / "model", *files, "--sampling-rate", RATE, "--json")
    found = [json.loads(line) for line in lines]
    assert [entry.get("channel") for entry in found[:2]] == ["b", "vibration"]
    assert all("it holds 2 signals" in entry["error"] for entry in found[2:])
