"""Messages of samples: windows that grow over messages, what an answer holds, and payloads that are no samples."""

import datetime
import json

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.diagnosis import Bundle, Listener, diagnose_windows, fingerprint, save
from drsn_jax.diagnosis.messages import read_samples

CLASSES = ("low", "middle", "high")
SIGNAL = tiny.tones(3)[0].reshape(-1, 1)  # three windows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that was never trained, and is made sure of itself by its temperature."""
    folder = tmp_path_factory.mktemp("messages") / "model"
    save(folder, Bundle(tiny.network, tiny.variables(), CLASSES, tiny.LENGTH, 100.0, tiny.LENGTH, temperature=1e-3))
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return Listener(folder)


@pytest.fixture
def listener(model):
    model.forget()
    return model


def said(listener, payload, form, sensor="pump"):
    """Kind and record of a reply."""
    reply = listener.reply(sensor, payload, form)
    assert reply is not None
    return reply


def raw(samples):
    return np.asarray(samples, "<f4").tobytes()


def text(samples):
    return json.dumps(np.asarray(samples).tolist()).encode()


def test_a_window_is_answered(listener, folder):
    before = datetime.datetime.now(datetime.UTC)
    kind, record = said(listener, raw(SIGNAL[:64]), "float32")
    json.dumps(record, allow_nan=False)
    expected = listener.model.predict_proba(SIGNAL[None, :64])[0]
    assert kind == "diagnosis"
    assert record["class"] == CLASSES[expected.argmax()]
    assert list(record["probabilities"]) == list(CLASSES)
    np.testing.assert_allclose(list(record["probabilities"].values()), expected, rtol=1e-5)
    assert (record["model"], record["temperature"], record["windows"]) == (fingerprint(folder), 1e-3, 1)
    assert (record["doubts"], record["warnings"]) == ([], [])
    assert datetime.datetime.fromisoformat(record["time"]) - before < datetime.timedelta(minutes=1)


def test_doubts_are_told(folder):
    kind, record = said(Listener(folder, sampling_rate=50.0), raw(SIGNAL[:64]), "float32")
    assert (kind, record["class"]) == ("diagnosis", "not sure")
    assert record["doubts"] == ["its sampling rate is not that of the training data"]


@given(cuts=st.lists(st.integers(1, 191), unique=True, max_size=8).map(sorted), other=st.booleans())
def test_windows_grow_over_messages(model, cuts, other):
    """Whole windows are answered with the message that completes them, whatever other sensors send between."""
    model.forget()
    answered, before = 0, 0
    for part in np.split(SIGNAL, cuts):
        if other:
            model.reply("fan", raw(np.ones(5)), "float32")
        reply = model.reply("pump", raw(part), "float32")
        before += len(part)
        new = before // 64 - answered
        assert (0 if reply is None else reply[1]["windows"]) == new
        if reply is not None:
            expected = model.model.predict_proba(SIGNAL[64 * answered : 64 * (answered + new)].reshape(new, 64, 1)).mean(0)
            np.testing.assert_allclose(list(reply[1]["probabilities"].values()), expected, rtol=1e-4, atol=1e-6)
        answered += new
    assert answered == 3


def test_forms_say_the_same(listener):
    wanted = said(listener, raw(SIGNAL), "float32")[1]["probabilities"]
    for payload in (text(SIGNAL), text(SIGNAL[:, 0]), b'{"unit": "g", "samples": ' + text(SIGNAL[:, 0]) + b"}"):
        found = said(listener, payload, "json")[1]["probabilities"]
        assert found == pytest.approx(wanted)


WRONG = [
    ("float32", raw(SIGNAL)[:-1], "a message of 767 bytes is no float32 samples of 1 channel: buffer size must be"),
    ("float32", b"", "the message is empty, expected float32 samples"),
    ("float32", raw(np.where(np.arange(64) == 7, np.nan, 1)), "samples that are not finite"),
    ("float32", np.arange(-99, 99, dtype="<i2").tobytes(), "these are no float32 samples"),
    ("json", b"hello", "is no json samples of 1 channel: Expecting value"),
    ("json", b"\xff\xfe", "is no json"),
    ("json", b"[]", "the message is empty"),
    ("json", b'{"sample": [1]}', "is no json samples of 1 channel: 'samples'"),
    ("json", b"[1, NaN]", "not finite"),
    ("json", b"[1, null]", "not finite"),
    ("json", b"[1, 1e300]", "not finite"),
    ("json", b"[1" + b"0" * 400 + b"]", "is no json samples"),
    ("json", b'[1, "a"]', "is no json samples"),
    ("json", b'[1, {"a": 2}]', "is no json samples"),
    ("json", b"[[1, 2], [3, 4]]", r"an array of the shape \(2, 2\)"),
    ("json", b"[[1], [1, 2]]", "is no json samples"),
    ("json", b"[" * 100_000, "is no json samples"),
    ("json", b"3", None),
]


@pytest.mark.parametrize(("form", "payload", "found"), WRONG)
def test_what_is_no_samples_is_told_and_the_window_begins_anew(listener, form, payload, found):
    listener.reply("pump", raw(np.ones(60)), "float32")
    reply = listener.reply("pump", payload, form)
    if found is None:  # a single number is a sample
        assert reply is None
        return
    assert reply[0] == "error"
    assert reply[1].keys() == {"error", "time"}
    with pytest.raises(ValueError, match=found):
        read_samples(payload, form, 1)
    assert listener.reply("pump", raw(SIGNAL[:63]), "float32") is None
    assert said(listener, raw(SIGNAL[63:64]), "float32")[0] == "diagnosis"


@given(st.binary(max_size=300), st.sampled_from(["float32", "json"]), st.integers(1, 3))
def test_no_payload_is_a_fault(payload, form, channels):
    try:
        samples = read_samples(payload, form, channels)
    except ValueError:
        return
    assert samples.shape[1] == channels
    assert np.isfinite(samples).all()


def test_channels_are_interleaved():
    np.testing.assert_array_equal(read_samples(raw([1, 2, 3, 4]), "float32", 2), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_samples(b"[[1, 2], [3, 4]]", "json", 2), [[1, 2], [3, 4]])


def test_windows_are_diagnosed_together(listener):
    windows = SIGNAL.reshape(3, 64, 1)
    found = diagnose_windows(listener.model, windows, 100.0)
    np.testing.assert_allclose(found.probabilities, listener.model.predict_proba(windows), rtol=1e-4, atol=1e-6)
    assert found.warnings == ()  # though they are few
    for wrong in (windows[:0], windows[:, :60], windows[0]):
        with pytest.raises(ValueError, match=r"takes windows of the shape \(n, 64, 1\), got"):
            diagnose_windows(listener.model, wrong, 100.0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        diagnose_windows(listener.model, np.where(windows > 1, np.inf, windows) * np.nan, 100.0)


def test_models_that_take_no_messages(tmp_path):
    save(
        tmp_path / "turns",
        Bundle(tiny.network, tiny.variables(), CLASSES, tiny.LENGTH, 16.0, tiny.LENGTH, per_revolution=True),
    )
    with pytest.raises(ValueError, match="revolutions of the shaft"):
        Listener(tmp_path / "turns")
