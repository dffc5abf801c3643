"""The classes that remain possible: kept with a model, told in an answer, and why a class is not named."""

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny

from drsn_jax.core.errors import UserError
from drsn_jax.diagnosis import weights
from drsn_jax.diagnosis.answer_lines import file_answer, title
from drsn_jax.diagnosis.asking import ask
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.description import DESCRIPTION, BundleError, encode_description, read_description
from drsn_jax.diagnosis.diagnosis import summarise
from drsn_jax.diagnosis.picture_answers import answer_picture
from drsn_jax.evaluation.attribution import BANDS
from drsn_jax.evaluation.conformal import MOST, surprises

RATE = 8000.0
# of true classes on held-out windows, one in ten had a probability of 5 % and the others 90 %
HELD_OUT = np.sort(surprises(np.repeat([0.05, 0.9], [10, 90])))


class Sets:
    """A model of three classes with held-out windows."""

    classes = ("a", "b", "c")
    window_length, sampling_rate, channels, rms_range = 8, 100.0, 1, None

    def __init__(self, held_out):
        self.surprises = held_out

    def predict_proba(self, windows):
        raise AssertionError("the probabilities are given")


def found(*probabilities, held_out: Any = HELD_OUT):
    rows, count = np.array(probabilities), len(probabilities)
    model: Any = Sets(held_out)
    return summarise(model, rows, np.ones(count), np.zeros((count, 1), bool), 100.0, np.arange(count) * 8)


@pytest.mark.parametrize(
    ("windows", "possible", "doubts"),
    [
        # 97.5 % of windows: whatever is above 5 %
        ([[0.95, 0.04, 0.01]] * 10, ("a",), ()),
        ([[0.6, 0.38, 0.02]] * 10, ("a", "b"), ("its windows fit b as well",)),
        ([[0.4, 0.3, 0.3]] * 10, ("a", "b", "c"), ("its windows fit b and c as well",)),
        # a class that is sure in six windows of ten: the others count too
        ([[0.98, 0.01, 0.01]] * 6 + [[0.01, 0.98, 0.01]] * 4, ("a",), ("less than 80 % of its windows agree",)),
        # a few very sure windows make the mean, most fit another class
        ([[0.999, 0.001, 0.0]] * 4 + [[0.04, 0.48, 0.48]] * 3 + [[0.04, 0.04, 0.92]] * 3, ("c",),
         ("its windows fit c and not this class", "less than 80 % of its windows agree")),
    ],
)  # fmt: skip
def test_a_class_is_named_where_it_is_the_only_possible_one(windows, possible, doubts):
    answer = found(*windows)
    assert (answer.label, answer.possible, answer.doubts) == ("a", possible, doubts)
    assert answer.sure is (not doubts)


def test_no_class_fits_where_all_are_less_likely_than_true_classes_were():
    answer = found(*[[0.6, 0.3, 0.1]] * 10, held_out=np.sort(surprises(np.full(100, 0.97))))
    assert answer.possible == ()
    told = "no class fits more than half of its windows as well as held-out windows of the training fitted theirs"
    assert answer.doubts == (told,)
    assert title(answer) == "not sure (perhaps a)"
    half = found(*[[0.98, 0.01, 0.01]] * 5, *[[0.01, 0.98, 0.01]] * 5)  # two things, one after the other
    assert (half.possible, half.doubts) == ((), (told, "less than 80 % of its windows agree"))


def test_a_model_without_held_out_windows_goes_by_its_probability():
    answer = found(*[[0.79, 0.2, 0.01]] * 10, held_out=None)
    assert (answer.possible, answer.doubts) == (None, ("its probability is below 80 %",))


def test_all_possible_classes_are_told():
    assert title(found(*[[0.6, 0.38, 0.02]] * 10)) == "not sure (perhaps a or b)"


@pytest.fixture(scope="module")
def bundle():
    network = tiny.network
    return Bundle(network, tiny.variables(network), ("a", "b", "c"), tiny.LENGTH, RATE, tiny.LENGTH, surprises=HELD_OUT)


def test_it_is_kept_read_and_told(bundle, tmp_path):
    save(tmp_path / "model", bundle)
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.surprises, bundle.surprises)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=10 * tiny.LENGTH).astype(np.float32))
    asked = ask(again, tmp_path / "x.npy", sampling_rate=RATE)
    record, _ = file_answer("x.npy", asked, set(), unasked=False)
    assert json.loads(json.dumps(record))["possible"] == list(asked.found.possible or ())


def test_sets_of_windows(bundle):
    windows = np.random.default_rng(0).normal(size=(20, tiny.LENGTH, 1)).astype(np.float32)
    probabilities = bundle.predict_proba(windows)
    sets = bundle.prediction_sets(windows, 0.85)  # so much of the held-out windows had 90 %
    assert sets == [tuple(name for name, p in zip("abc", row, strict=True) if p >= 0.9) for row in probabilities]
    sets = bundle.prediction_sets(windows)
    assert sets == [tuple(name for name, p in zip("abc", row, strict=True) if p >= 0.05) for row in probabilities]
    assert bundle.prediction_sets(windows[:0]) == []
    with pytest.raises(UserError, match="a coverage is a share above 0 and below 1, got 95"):
        bundle.prediction_sets(windows, 95)
    with pytest.raises(BundleError, match="no held-out windows to compare with: train it with validation"):
        dataclasses.replace(bundle, surprises=None).prediction_sets(windows)


def test_a_model_from_before_is_read(bundle, tmp_path):
    save(tmp_path / "model", dataclasses.replace(bundle, surprises=None))
    facts = read_description(tmp_path / "model")
    facts["format"] = 4
    (tmp_path / "model" / DESCRIPTION).write_text(encode_description(facts))
    assert load(tmp_path / "model").surprises is None


@pytest.mark.parametrize(
    "array",
    [
        *(np.full(shape, 0.5, np.float32) for shape in ((2, 2), (0,), (), (MOST + 1,))),
        *(np.full(3, value, np.float32) for value in (np.nan, -1)),
        np.full(3, 0.5),
    ],
)
def test_what_is_no_list_of_surprises_is_refused(bundle, tmp_path, array):
    save(tmp_path / "model", bundle)
    facts = read_description(tmp_path / "model")
    arrays = weights.read_weights(tmp_path / "model", facts) | {weights.SURPRISES: array}
    content = safetensors.numpy.save(arrays)
    name = weights.name_of(content)
    (tmp_path / "model" / name).write_bytes(content)
    facts |= {"weights": name, "weights_sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "model" / DESCRIPTION).write_text(encode_description(facts))
    with pytest.raises(BundleError, match="its surprises are no list of numbers from 0"):
        load(tmp_path / "model")
    if array.dtype == np.float32:
        with pytest.raises(BundleError, match="the model: its surprises"):
            save(tmp_path / "other", dataclasses.replace(bundle, surprises=array))


def test_a_picture_is_named_where_its_set_has_one_class():
    class Pictures:
        classes, window_shape, surprises = ("a", "b", "c"), (4, 4, 1), HELD_OUT

        def __init__(self, *probabilities):
            self.probabilities = np.array([probabilities])

        def predict_proba(self, windows):
            return self.probabilities

    picture = np.zeros((4, 4, 1), np.float32)
    assert answer_picture(Pictures(0.9, 0.04, 0.06), picture).sure is False  # pyright: ignore[reportArgumentType]
    assert answer_picture(Pictures(0.92, 0.04, 0.04), picture).sure is True  # pyright: ignore[reportArgumentType]


def test_which_frequencies_speak_for_a_class(bundle):
    windows = np.random.default_rng(0).normal(size=(5, tiny.LENGTH, 1)).astype(np.float32)
    found = bundle.attributions(windows, "b")
    assert found.shape == (5, BANDS)
    alone = np.concatenate([bundle.attributions(one[None], "b") for one in windows])
    np.testing.assert_allclose(found, alone, rtol=1e-3, atol=1e-4 * np.abs(found).max())
    of_mean = bundle.attributions(windows + 7, "b")  # the mean of a window is removed, as for its answer
    np.testing.assert_allclose(of_mean, found, atol=1e-3 * np.abs(found).max())
    assert bundle.attributions(windows[:0], "b").shape == (0, BANDS)
    short = dataclasses.replace(bundle, window_length=32)
    assert short.attributions(windows[:, :32], "b").shape == (5, 16)  # as many bands as there are
    pictures: Any = dataclasses.replace(bundle, window_length=(8, 8))
    with pytest.raises(UserError, match="the model is for pictures of 8 × 8 pixels, not for signals"):
        pictures.attributions(np.zeros((1, 8, 8, 1), np.float32), "b")
    with pytest.raises(BundleError, match="one of several classes is asked for, the model has a, b, c, got 'd'"):
        bundle.attributions(windows, "d")
