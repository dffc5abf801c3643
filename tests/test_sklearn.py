"""The estimator: scikit-learn's own checks, its tools, layouts of arrays, what is held out, and the way to a bundle and back."""

import dataclasses
import functools
import pickle
import sys
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import sklearn
import tiny
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import drsn_jax
from drsn_jax.core.errors import MissingExtra
from drsn_jax.diagnosis import Bundle, load, save
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.signals import remove_mean
from drsn_jax.nn.image_networks import drsn18
from drsn_jax.nn.networks import drsn_cw
from drsn_jax.sklearn import DRSNClassifier
from drsn_jax.studies import estimator, estimator_data
from drsn_jax.training.batches import Batches
from drsn_jax.training.optimizers import one_cycle_optimizer
from drsn_jax.training.state import KeyPurpose, create_state
from drsn_jax.training.steps import make_train_step

SMALL = "drsn_cw:widths=16,units=1,stem=1,kernel=3"
SIGNALS, CODES = tiny.tones(48)
NAMES = np.array(["low", "middle", "high"])[CODES]


def small(**parameters):
    """An estimator that is trained in a moment."""
    chosen: Any = {"network": SMALL, "epochs": 60, "learning_rate": 0.01, "random_state": 0, **parameters}
    return DRSNClassifier(**chosen)


@pytest.fixture(scope="module")
def fitted():
    return small(early_stopping=True, validation_fraction=0.25, n_iter_no_change=60).fit(SIGNALS, NAMES)


@parametrize_with_checks([DRSNClassifier(network=SMALL, epochs=100)])
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([DRSNClassifier()])
def test_scikit_learn_s_checks_of_the_default(estimator, check):
    check(estimator)


def test_it_learns_names_and_says_how_sure_it_is(fitted):
    windows, codes = tiny.tones(24, seed=1)
    probabilities = fitted.predict_proba(windows)
    assert fitted.classes_.tolist() == ["high", "low", "middle"]
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert (fitted.predict(windows) == fitted.classes_[probabilities.argmax(1)]).all()
    assert fitted.score(windows, np.array(["low", "middle", "high"])[codes]) > 0.9


def test_all_layouts_are_one():
    two = np.stack([SIGNALS[..., 0], SIGNALS[:, ::-1, 0] + 3], -1)
    last = small(epochs=2).fit(two, CODES)
    first = small(epochs=2, channels_first=True).fit(np.moveaxis(two, -1, 1), CODES)
    np.testing.assert_array_equal(last.predict_proba(two), first.predict_proba(np.moveaxis(two, -1, 1)))
    flat, deep = small(epochs=2).fit(SIGNALS[..., 0], CODES), small(epochs=2).fit(SIGNALS, CODES)
    np.testing.assert_array_equal(flat.predict_proba(SIGNALS[..., 0]), deep.predict_proba(SIGNALS))
    for other in (two[:, :, :1], two[:, :32]):
        with pytest.raises(ValueError, match=r"samples|features"):
            last.predict(other)
    with pytest.raises(ValueError, match=r"signals are \(n, length\)"):
        small().fit(SIGNALS[..., None], CODES)


def test_a_table_as_sktime_has_it(fitted):
    pandas = pytest.importorskip("pandas")
    index = pandas.MultiIndex.from_product([range(len(SIGNALS)), range(SIGNALS.shape[1])])
    table = pandas.DataFrame(SIGNALS.reshape(-1, 1), index=index)
    np.testing.assert_array_equal(fitted.predict_proba(table), fitted.predict_proba(SIGNALS))
    with pytest.raises(ValueError, match="different lengths, from 63 to 64 samples"):
        fitted.predict(table[:-1])
    assert fitted.clone().get_params() == fitted.get_params()


def test_what_it_says_of_a_signal_does_not_depend_on_those_beside_it(fitted):
    windows = tiny.tones(70, seed=2)[0]
    np.testing.assert_array_equal(fitted.predict_proba(windows)[-3:], fitted.predict_proba(windows[-3:]))


@pytest.mark.parametrize("standardize", ["global", "window"])
def test_constant_rows_and_rows_of_one_sample(standardize):
    X = np.repeat(np.arange(20.0)[:, None] > 9, 5, 1)
    model = small(standardize=standardize).fit(X, X[:, 0])
    assert np.isfinite(model.predict_proba(X)).all()
    if standardize == "global":
        assert model.score(X, X[:, 0]) == 1
        assert small().fit(X[:, :1], X[:, 0]).score(X[:, :1], X[:, 0]) == 1
        assert small().fit(np.full((20, 3), 7.0), X[:, 0]).scale_ == 1


def test_a_copy_by_pickle_answers_alike_and_a_clone_is_not_fitted(fitted):
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(SIGNALS), fitted.predict_proba(SIGNALS))
    for use in (lambda model: model.predict(SIGNALS), lambda model: model.to_bundle()):
        with pytest.raises(NotFittedError):
            use(clone(fitted))


def test_attributes_that_others_set_stay():
    """scikit-learn puts some of its own on an estimator while it fits."""
    model, mark = small(epochs=1), object()
    vars(model)["_parent_callback_ctx"] = mark
    model.fit(SIGNALS, CODES).partial_fit(SIGNALS, CODES)
    assert vars(model)["_parent_callback_ctx"] is mark


def test_a_network_of_one_s_own():
    network = drsn_cw(classes=7, widths=(4,), units=(1,), implementation="modules")
    model = small(network=network, epochs=1).fit(SIGNALS, CODES)
    assert (model.network_.classes, model.network_.widths) == (3, (4,))


def test_seeds_decide(fitted):
    one, same, other = (small(epochs=1, random_state=seed).fit(SIGNALS, CODES).loss_curve_ for seed in (3, 3, 4))
    assert one == same != other


def test_fits_of_one_size_share_what_is_compiled():
    first = small(epochs=2).fit(SIGNALS, CODES)
    first.predict(SIGNALS)
    first.partial_fit(SIGNALS, CODES)
    with tiny.compilations() as names:
        small(epochs=2, random_state=5, noise_snr_db=None, class_weight="balanced").fit(SIGNALS * 3 + 1, CODES).predict(SIGNALS)
    assert not names
    # of another length or learning rate too, and that of ``partial_fit`` is constant
    with tiny.compilations() as names:
        model = small(epochs=3, learning_rate=0.02, noise_snr_db=None).fit(SIGNALS, CODES)
        model.partial_fit(SIGNALS, CODES)
    assert not names


def test_the_learning_rate_that_a_step_is_given_is_that_of_one_cycle():
    """The losses are those of a plain training, whose optimiser knows its schedule."""
    network = tiny.network.clone(standardise=True)
    weights, optimizer = np.ones(3, np.float32), one_cycle_optimizer(6, 0.05)
    nobody = SIGNALS[:0], CODES[:0]
    trained = estimator.Training(3, 24, 0.05, Noise(), weights, seed=1).run(network, SIGNALS, CODES, nobody)
    state = create_state(network, optimizer, jax.random.fold_in(jax.random.key(1), KeyPurpose.TRAINING), SIGNALS[:1])
    classifier = {**state.params["classifier"], "bias": np.log(np.full(3, 1 / 3, np.float32))}
    state = dataclasses.replace(state, params={**state.params, "classifier": classifier})
    step, losses = jax.jit(make_train_step(network, optimizer, class_weights=(1.0, 1.0, 1.0))), []
    for number in (1, 2, 3):
        sums = []
        for batch in Batches(SIGNALS, CODES, 24, seed=1).epoch(number):
            state, metrics = step(state, batch)
            sums.append(jax.device_get(metrics))
        losses.append(sum(one["loss"] for one in sums) / sum(one["count"] for one in sums))
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-5)


def test_in_scikit_learn_s_tools():
    groups = np.arange(len(CODES)) // 6
    assert cross_val_score(small(), SIGNALS, CODES, cv=GroupKFold(2), groups=groups).mean() > 0.8
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), small()), {"drsnclassifier__standardize": ["global", "window"]}, cv=2
    ).fit(SIGNALS[..., 0], CODES)
    assert search.best_score_ > 0.8
    calibrated = CalibratedClassifierCV(small(), cv=2).fit(SIGNALS[..., 0], CODES)
    assert calibrated.score(SIGNALS[..., 0], CODES) > 0.8


@pytest.mark.slow
def test_a_search_in_two_processes():
    search = GridSearchCV(small(), {"standardize": ["global", "window"]}, cv=2, n_jobs=2).fit(SIGNALS, NAMES)
    assert search.best_score_ > 0.8


def test_early_stopping_keeps_the_best_and_says_what_was_held_out(fitted):
    assert fitted.n_iter_ == len(fitted.loss_curve_) == len(fitted.validation_scores_) == 60
    assert fitted.temperature_ != 1
    # a learning rate that ruins: after one epoch without a lower loss it ends
    stopped = small(learning_rate=10.0, early_stopping=True, n_iter_no_change=1, validation_fraction=0.25)
    assert stopped.fit(SIGNALS, NAMES).n_iter_ < 60


@hypothesis.given(st.integers(0, 2**31 - 1), st.floats(0.1, 0.5))
def test_a_group_is_on_one_side(seed, fraction):
    labels, groups = np.arange(60) % 3, np.arange(60) // 6
    known, out = estimator_data.held_out(labels, groups, fraction, seed)
    assert len(known)
    assert len(out)
    assert not set(groups[known]) & set(groups[out])
    assert sorted([*known, *out]) == list(range(60))
    assert set(labels[known]) == {0, 1, 2}
    known, out = estimator_data.held_out(labels, None, fraction, seed)
    assert set(labels[known]) == set(labels[out]) == {0, 1, 2}
    assert sorted([*known, *out]) == list(range(60))


def test_groups_of_a_search_reach_the_split_where_they_are_routed(monkeypatch):
    """As the page on scikit-learn says: with routing, and where they are asked for; without routing never."""
    groups, split = np.arange(len(CODES)) // 6, estimator_data.held_out
    given: list[Any] = []
    monkeypatch.setattr(estimator_data, "held_out", lambda y, own, *how: given.append(own) or split(y, own, *how))
    model = small(epochs=1, early_stopping=True, validation_fraction=0.3)
    search: Any = {"param_grid": {"learning_rate": [0.01]}, "cv": GroupKFold(2), "refit": False}
    GridSearchCV(model, **search).fit(SIGNALS, CODES, groups=groups)
    assert given == [None, None]
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError):
            GridSearchCV(model, **search).fit(SIGNALS, CODES, groups=groups)
        GridSearchCV(model.set_fit_request(groups=True), **search).fit(SIGNALS, CODES, groups=groups)
    assert [len(own) for own in given[2:]] == [len(CODES) // 2] * 2


def test_groups_reach_the_split():
    groups = np.arange(len(CODES)) // 6
    with pytest.raises(ValueError, match="a group each"):
        small(early_stopping=True).fit(SIGNALS, CODES, groups=groups[:-1])
    with pytest.raises(ValueError, match="leaves signals of every class"):
        small(early_stopping=True).fit(SIGNALS, CODES, groups=CODES)


def test_weights_of_classes_move_the_answers():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 8)), np.arange(60) % 2
    unsure = {weight: small(epochs=3, class_weight={"a": weight, "b": 1}).fit(X, np.where(y, "b", "a")) for weight in (0.01, 100)}
    assert (unsure[100].predict(X) == "a").mean() > 0.8
    assert (unsure[0.01].predict(X) == "b").mean() > 0.8


def test_noise_is_added_at_its_level_around_the_mean():
    """The level of a signal is no part of its power; and a training in strong noise cannot reach the loss of one without."""
    window = 100 + SIGNALS[0]
    noise = Noise("gaussian", -5.0)
    added = np.asarray(estimator.disturbed(noise, jax.random.key(0), window)) - window
    measured = 10 * np.log10(np.square(np.asarray(remove_mean(window))).mean() / np.square(added).mean())
    assert measured == pytest.approx(-5, abs=1e-3)
    clean, noisy = (small(noise_snr_db=level).fit(100 + SIGNALS, CODES).loss_curve_[-1] for level in (None, (-20, -15)))
    assert noisy > clean + 0.3


def test_a_bundle_answers_as_the_estimator_and_comes_back(tmp_path, fitted):
    kept = fitted.to_bundle(sampling_rate=1000.0)
    save(tmp_path / "model", kept)
    for bundle in (kept, load(tmp_path / "model"), DRSNClassifier.from_bundle(load(tmp_path / "model"))):
        np.testing.assert_allclose(bundle.predict_proba(SIGNALS + 1), fitted.predict_proba(SIGNALS + 1), atol=1e-5)
    assert not kept.remove_mean
    assert kept.diagnose(np.tile(SIGNALS[0], (4, 1)), 1000.0).label in fitted.classes_
    back = DRSNClassifier.from_bundle(kept)
    assert (back.predict(SIGNALS) == fitted.predict(SIGNALS)).all()
    assert back.partial_fit(SIGNALS, NAMES).n_iter_ == 1
    # the scripts train on windows without their mean, and so does what goes on from there
    scripted = DRSNClassifier.from_bundle(dataclasses.replace(kept, remove_mean=True)).set_params(random_state=0)
    np.testing.assert_allclose(scripted.predict_proba(SIGNALS + 9), scripted.predict_proba(SIGNALS), atol=1e-4)
    losses = [pickle.loads(pickle.dumps(scripted)).partial_fit(SIGNALS + level, NAMES).loss_curve_[0] for level in (0, 9)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    window = small(epochs=1, standardize="window").fit(SIGNALS + 5, CODES)
    assert window.to_bundle().remove_mean
    np.testing.assert_allclose(window.to_bundle().predict_proba(SIGNALS), window.predict_proba(SIGNALS), atol=1e-5)


def test_a_bundle_tells_what_is_unlike_its_training():
    many, codes = tiny.tones(120, seed=3)
    model = small(early_stopping=True, validation_fraction=0.25, n_iter_no_change=60).fit(many, codes)
    bundle = model.to_bundle(1000.0)
    low, high = bundle.rms_range or (0, 0)
    assert 0.65 < low < high < 0.8
    noise = np.random.default_rng(0).normal(size=(20 * tiny.LENGTH, 1))
    assert bundle.novelty is not None
    assert not bundle.diagnose(noise, 1000.0).sure
    loud = bundle.diagnose(50 * np.tile(many[0], (8, 1)), 1000.0)
    assert any("level" in warning or "loud" in warning or "RMS" in warning for warning in loud.warnings), loud.warnings
    again = DRSNClassifier.from_bundle(bundle)
    assert again.to_bundle().novelty is bundle.novelty
    assert again.partial_fit(many, codes.astype(str)).to_bundle().novelty is None


def test_training_goes_on_with_more_signals():
    model = small(learning_rate=0.03)
    for _ in range(12):
        model.partial_fit(SIGNALS, NAMES, classes=["low", "middle", "high"])
    assert model.score(SIGNALS, NAMES) > 0.8
    assert model.n_iter_ == len(model.loss_curve_) == 12
    copy = pickle.loads(pickle.dumps(model))
    assert copy.partial_fit(SIGNALS, NAMES).loss_curve_ == model.partial_fit(SIGNALS, NAMES).loss_curve_
    # one class is enough, and after fit it goes on from there
    assert model.partial_fit(SIGNALS[:2], NAMES[:2]).n_iter_ == 14
    before = small().fit(SIGNALS, NAMES)
    loss = before.loss_curve_[-1]
    assert before.partial_fit(SIGNALS, NAMES).loss_curve_[-1] < loss + 0.1


def test_what_comes_from_a_bundle_goes_back_into_one():
    """Whoever scaled: the estimator, a network of one's own, or nobody; and with the facts of the bundle."""
    far = 50 + 10 * SIGNALS
    model = small().fit(far, NAMES)
    bundle = dataclasses.replace(model.to_bundle(1000.0), stride=7, channel="x", per_revolution=True)
    again = DRSNClassifier.from_bundle(bundle).to_bundle()
    np.testing.assert_allclose(again.predict_proba(far), model.predict_proba(far), atol=1e-5)
    assert (again.channel, again.per_revolution, again.stride, again.sampling_rate) == ("x", True, 7, 1000.0)
    scaled = drsn_cw(classes=2, widths=(16,), units=(1,), stem=1, offset=np.array([50.0]), scale=[10.0])
    own = small(network=scaled, epochs=1).fit(far, NAMES)
    np.testing.assert_allclose(own.to_bundle().predict_proba(far), own.predict_proba(far), atol=1e-5)
    assert (own.network_.offset, own.network_.scale) == (0.0, 1.0)
    refitted: Any = DRSNClassifier.from_bundle(bundle).set_params(epochs=60, learning_rate=0.01, random_state=0)
    assert refitted.fit(1e-3 * far + 900, NAMES).score(1e-3 * far + 900, NAMES) > 0.9


def test_labels_of_a_bundle_as_they_were():
    model = small(epochs=1).fit(SIGNALS, CODES)
    texts = DRSNClassifier.from_bundle(model.to_bundle())
    assert texts.predict(SIGNALS).tolist() == [str(code) for code in model.predict(SIGNALS)]
    with pytest.raises(ValueError, match=r"y holds 1, which is not among the classes 0, 1, 2 \(those are texts\)"):
        texts.partial_fit(SIGNALS, CODES)
    numbers = DRSNClassifier.from_bundle(model.to_bundle(), classes=[0, 1, 2])
    assert numbers.predict(SIGNALS).tolist() == model.predict(SIGNALS).tolist()
    with pytest.raises(ValueError, match="in this order, 0, 1, 2, got"):
        DRSNClassifier.from_bundle(model.to_bundle(), classes=[0, 2, 1])
    # in the order of the bundle, whatever that is
    backwards = dataclasses.replace(model.to_bundle(), classes=("normal", "ball", "outer"))
    learner = DRSNClassifier.from_bundle(backwards)
    learner.partial_fit(SIGNALS, np.array(["normal", "ball", "outer"])[CODES], classes=["ball", "normal", "outer"])
    assert learner.classes_.tolist() == ["normal", "ball", "outer"]


@pytest.mark.parametrize("standardize", ["global", "window"])
def test_a_large_level_loses_no_digits(standardize):
    far = SIGNALS.astype(np.float64) + 1e9
    model = small(standardize=standardize).fit(far, NAMES)
    assert model.score(far, NAMES) > 0.9
    if standardize == "window":
        np.testing.assert_allclose(model.to_bundle().predict_proba(far), model.predict_proba(far), atol=1e-4)
    else:
        with pytest.raises(ValueError, match=r"channel 0 lie around 1e\+09 and vary by 0.7"):
            model.to_bundle()


def test_a_fit_that_fails_leaves_nothing_that_answers():
    model = small(epochs=1).fit(SIGNALS, CODES)
    with pytest.raises(ValueError, match="validation_fraction"):
        model.set_params(early_stopping=True, validation_fraction=2).fit(SIGNALS[:, :32], CODES)
    with pytest.raises(NotFittedError):
        model.predict(SIGNALS[:, :32])
    fresh = small()
    with pytest.raises(ValueError, match="y holds 2"):
        fresh.partial_fit(SIGNALS, CODES, classes=[0, 1])
    with pytest.raises(NotFittedError):
        fresh.predict(SIGNALS)


def test_more_channels_than_samples():
    """The order of the axes is said, so that nothing is guessed and nothing is warned of."""
    wide = np.random.default_rng(0).normal(size=(12, 40, 6))
    assert small(channels_first=True, epochs=1).fit(wide, CODES[:12]).predict(wide).shape == (12,)
    with pytest.raises(ValueError, match="give channels_first=True"):
        small().fit(np.moveaxis(wide, 1, -1), CODES[:12])


def test_a_table_with_two_indices_and_a_row_for_each_signal(fitted):
    pandas = pytest.importorskip("pandas")
    index = pandas.MultiIndex.from_product([range(8), range(6)], names=["machine", "recording"])
    table = pandas.DataFrame(SIGNALS[..., 0], index=index)
    model = small(epochs=1).fit(table, CODES)
    np.testing.assert_array_equal(model.predict_proba(table), model.predict_proba(table.to_numpy()))


def test_what_a_bundle_is_told_is_checked(fitted):
    for rate in (-5.0, np.nan, "fast"):
        with pytest.raises(ValueError, match="sampling_rate is a positive number of Hz"):
            fitted.to_bundle(rate)
    with pytest.raises(ValueError, match="the model does not know the sampling rate of its windows"):
        fitted.to_bundle().diagnose(SIGNALS[0], 1000.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"class_weight": {"lwo": 50}}, "class_weight has a weight for 'lwo', which is not among the classes high, low, middle"),
        ({"class_weight": {"low": -1}}, "the weight of a class is a finite number from 0, got -1 for 'low'"),
        ({"class_weight": dict.fromkeys(("high", "low", "middle"), 0)}, "the weights of all classes are 0"),
        ({"class_weight": "even"}, "class_weight is None, 'balanced' or weights by class, got 'even'"),
        ({"learning_rate": "0.1"}, "learning_rate is a positive number, got '0.1'"),
        ({"early_stopping": True, "validation_fraction": None}, "validation_fraction is above 0 and below 1, got None"),
        ({"epochs": True}, "epochs is a whole number from 1, got True"),
        ({"network": "drsn_cw:units=1,widths=4,stem=0"}, "stem is the stride of the first convolution, from 1, got 0"),
        ({"epochs": 0}, "epochs is a whole number from 1, got 0"),
        ({"batch_size": 2.5}, "batch_size is a whole number from 1, got 2.5"),
        ({"learning_rate": -1}, "learning_rate is a positive number, got -1"),
        ({"standardize": "none"}, "standardize is one of 'global', 'window', got 'none'"),
        ({"network": "cnn"}, "there is no network 'cnn': choose among convnet"),
        ({"network": "drsn_cw:units=many"}, "changes no field of drsn_cw"),
        ({"network": None}, "network is 'auto', a Network or one of"),
        ({"noise": "white", "noise_snr_db": 0}, "white"),
        ({"noise_snr_db": (5, -5)}, "low"),
        ({"early_stopping": True, "validation_fraction": 0}, "validation_fraction is above 0 and below 1, got 0"),
        ({"n_iter_no_change": 0}, "n_iter_no_change is a whole number from 1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: Any, message):
    with pytest.raises(ValueError, match=message):
        DRSNClassifier(**parameters).fit(SIGNALS, NAMES)


def test_data_that_cannot_be_learnt_from_is_refused():
    with pytest.raises(ValueError, match="the first partial_fit needs classes"):
        small().partial_fit(SIGNALS, CODES)
    model = small().partial_fit(SIGNALS, CODES, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="differ from those of the first call"):
        model.partial_fit(SIGNALS, CODES, classes=[0, 1])
    with pytest.raises(ValueError, match="y holds 8, which is not among the classes 0, 1, 2"):
        model.partial_fit(SIGNALS, CODES + 7)
    with pytest.raises(ValueError, match="one class only"):
        small().fit(SIGNALS, np.zeros(48))
    with pytest.raises(ValueError, match="too few"):
        small(early_stopping=True).fit(SIGNALS[:4], CODES[:4])
    with pytest.raises(ValueError, match="NaN"):
        small().fit(np.where(SIGNALS > 0.9, np.nan, SIGNALS), CODES)
    with pytest.raises(ValueError, match="an estimator takes signals"):
        DRSNClassifier.from_bundle(Bundle(drsn18(classes=2), {}, ("a", "b"), (8, 8)))


def test_progress_is_told_where_it_is_asked_for(capsys):
    small(epochs=2, verbose=1).fit(SIGNALS, CODES)
    assert capsys.readouterr().out.count("epoch 2: loss") == 1
    small(epochs=2).fit(SIGNALS, CODES)
    assert capsys.readouterr().out == ""


def test_the_missing_extra_is_named(monkeypatch):
    assert drsn_jax.DRSNClassifier is DRSNClassifier
    monkeypatch.delitem(sys.modules, "drsn_jax.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"pip install 'drsn-jax\[sklearn\]'"):
        _ = drsn_jax.DRSNClassifier


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BasicMotions", "JapaneseVowels"])
def test_official_splits(name):
    """The default is within two points of MiniRocket, by the mean of three seeds."""
    datasets = pytest.importorskip("aeon.datasets")
    rocket = pytest.importorskip("aeon.classification.convolution_based").MiniRocketClassifier
    sides = [datasets.load_classification(name, split=split) for split in ("train", "test")]
    X, Z = (stack(signals) for signals, _ in sides)
    length = max(X.shape[2], Z.shape[2])
    X, Z = (np.pad(signals, ((0, 0), (0, 0), (0, length - signals.shape[2]))) for signals in (X, Z))
    makers = functools.partial(DRSNClassifier, channels_first=True), rocket
    means = [np.mean([make(random_state=seed).fit(X, sides[0][1]).score(Z, sides[1][1]) for seed in range(3)]) for make in makers]
    print(f"{name}: {means[0]:.1%}, MiniRocket {means[1]:.1%}")
    assert means[0] >= means[1] - 0.02


def stack(signals):
    """Signals of several lengths as an array, with zeros behind the shorter ones."""
    longest = max(signal.shape[1] for signal in signals)
    return np.stack([np.pad(signal, ((0, 0), (0, longest - signal.shape[1]))) for signal in signals])
