"""The benchmark of robustness: nothing of a test part is trained on, its noises, the peers and the table."""

import csv
import dataclasses
import importlib.util
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.data.recordings import Recording
from drsn_jax.evaluation.metrics import Interval
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.noise_mixture import NoiseMixture
from drsn_jax.studies import robustness, robustness_peers, robustness_report, trial_data
from drsn_jax.studies.comparison_results import TRIAL
from drsn_jax.studies.wdcnn import WideFirstKernelNetwork

TABLES = Path(__file__).parents[2] / "experiments" / "recordings"


def test_no_part_is_on_both_sides(data_folder):
    asked = robustness.protocol("other_part", TABLES, data_folder / "cwru", dry_run=True)
    fold = asked.folds[0]()
    trained, tested = ({asked.recordings[i].group for i in np.unique(side.recordings)} for side in (fold.train, fold.test))
    assert len(trained) == 6
    assert tested == {"IR007", "B007", "OR007@6"}
    assert {r.label for r in asked.recordings} == {"inner race", "ball", "outer race"}


def test_the_protocols_of_case_western(data_folder):
    """The last fifth of each recording is tested, and a load; a window lies between the sides."""
    later = robustness.protocol("later", TABLES, data_folder / "cwru", dry_run=True)
    fold = later.folds[-1]()
    assert len(np.unique(fold.test.recordings)) == 10
    number = 0
    signal = later.recordings[number].signal
    sides = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    ends = {name: [_place(signal, window) for window in side.windows[side.recordings == number]] for name, side in sides.items()}
    assert min(ends["test"]) >= 0.79 * len(signal)
    assert max(ends["train"]) + 2 * 2048 <= min(ends["validation"])
    assert max(ends["validation"]) + 2 * 2048 <= min(ends["test"])
    load = robustness.protocol("other_load", TABLES, data_folder / "cwru" / "drive_end_12k", dry_run=True)
    (cut,) = load.folds
    fold = cut()
    assert {load.recordings[i].condition for i in np.unique(fold.test.recordings)} == {"3 hp"}
    assert {load.recordings[i].condition for i in np.unique(fold.train.recordings)} == {"0 hp", "1 hp", "2 hp"}


def test_a_network_is_chosen_without_the_test(data_folder):
    """The load and, fold by fold, the size that are tested at the end are on no side of the validation."""
    load = robustness.protocol("other_load", TABLES, data_folder / "cwru", validation=True, dry_run=True)
    fold = load.folds[0]()
    assert {r.condition for r in load.recordings} == {"0 hp", "1 hp", "2 hp"}
    assert {load.recordings[i].condition for i in np.unique(fold.test.recordings)} == {"0 hp"}
    assert {load.recordings[i].condition for i in np.unique(fold.train.recordings)} == {"1 hp", "2 hp"}
    recordings = [robustness.by_size(r) for r in load.recordings]
    cuts = robustness._pairs(recordings, {"window_length": 2048, "train_stride": 2048})
    names = set()
    for cut in cuts:
        fold = cut()
        names.add(fold.name)
        tested, left_out = fold.name.split(" without ")
        sides = [{recordings[i].condition for i in np.unique(side.recordings)} for side in (fold.train, fold.test)]
        assert sides[1] == {tested}
        assert sides[0] == {"0.007 in", "0.014 in", "0.021 in"} - {tested, left_out}
        assert all(recordings[i].label == fold_label(recordings, fold, i) for i in np.unique(fold.test.recordings))
    assert len(names) == len(cuts) == 6
    with pytest.raises(ValueError, match="later has no split for validation: choose --protocols other_load or other_part"):
        robustness.protocol("later", TABLES, data_folder, validation=True)


def fold_label(recordings, fold, number):
    """The name of the class that the windows of a recording have in a fold."""
    classes = list(dict.fromkeys(r.label for r in recordings))
    (label,) = np.unique(fold.test.labels[fold.test.recordings == number])
    return classes[label]


def test_windows_at_equal_angles():
    asked = robustness.protocol("other_speed", TABLES, None, samples_per_revolution=320, dry_run=True)
    assert (asked.title, asked.orders_per_bin) == ("other speed, 320 samples a revolution", 320 / 2048)
    assert {(r.sampling_rate, r.per_revolution, r.condition) for r in asked.recordings} == {
        (320, True, f"{speed} Hz") for speed in (20, 30, 40)
    }


def test_variants_of_a_network():
    make = robustness.variant("band_energy:shrinkage=none,units=1+1,bands=32")
    network = make(classes=3)
    assert (network.shrinkage, network.units, network.bands, network.widths) == (None, (1, 1), 32, (48, 48))
    assert robustness.variant("drsn_cw:threshold_rule=garrote")(classes=2).threshold_rule == "garrote"
    assert robustness.variant("wdcnn")(classes=2) == WideFirstKernelNetwork(classes=2)
    for name, words in (
        ("resnext", "there is no network 'resnext': choose among"),
        ("resnet:bands=3", "'bands=3' in 'resnet:bands=3' changes no field of resnet"),
        ("resnet:units=1,units=2", "'units=2' in .* each once"),
        ("band_energy:", "write FIELD=VALUE"),
        ("band_energy:bands=16+32", "'bands=16.32' in"),
        ("band_energy:hop=2.5", "'hop=2.5' in"),
        ("resnet:kernel=none", "'kernel=none' in"),
        ("resnet:units", "write FIELD=VALUE"),
        ("resnet:units=", "write FIELD=VALUE"),
    ):
        with pytest.raises(ValueError, match=words):
            robustness.variant(name)
    robustness.check_networks(["resnet:units=1+1+1", "wdcnn", "band_energy:pool=4"], 3, channels=2)
    for name, words in (
        ("resnet:threshold_rule=hard", "a network without thresholds has no rule"),
        ("drsn_cw:threshold_rule=foo", "drsn_cw:threshold_rule=foo: "),
        ("resnet:widths=16", "resnet:widths=16: "),
    ):
        with pytest.raises(ValueError, match=words):
            robustness.check_networks([name], 3, channels=1)


def _place(signal, window):
    """Where a window was cut from a signal: its mean was removed, so that differences of samples are compared."""
    steps, wanted = np.diff(signal[:, 0]), np.diff(window[:, 0])
    starts = np.flatnonzero(np.isclose(steps[: len(steps) - len(wanted) + 1], wanted[0], atol=1e-6))
    (start,) = [s for s in starts if np.allclose(steps[s : s + len(wanted)], wanted, atol=1e-5)]
    return start


def test_kind_and_size_of_a_fault_are_told_by_its_name():
    recording = Recording(np.zeros((8, 1), np.float32), "OR014@6", 12_000.0, "1 hp", name="x")
    found = robustness.by_size(recording)
    assert (found.label, found.condition, found.group) == ("outer race", "0.014 in", "OR014@6")
    for label in ("normal", "IR", "XY007"):
        with pytest.raises(ValueError, match=f"the class '{label}' names no fault and size"):
            robustness.by_size(dataclasses.replace(recording, label=label))


def test_plans():
    tested = robustness.noises_of_tests(("gaussian", "pink"))
    assert tested == [Noise(), *(Noise("gaussian", level) for level in (0, -5, -10)), Noise("pink", -5), Noise("pink", -10)]
    assert robustness.noises_of_tests(("pink",), (3.0, np.inf)) == [Noise(), Noise("pink", 3.0)]
    ((train, tests),) = robustness.plan("robust", tested, ("gaussian", "pink"))
    assert train == NoiseMixture(("gaussian", "pink"), (-10, 10))
    assert tests == tested
    ((train, _),) = robustness.plan("robust", tested, ("gaussian", "pink"), 8.0)
    assert isinstance(train, NoiseMixture)
    assert (train.kinds, train.filter_db) == (("gaussian", "pink"), 8.0)
    assert robustness.plan("matched", tested, ("gaussian",)) == [(noise, [noise]) for noise in tested]


def pulses(count, turns, seed):
    """Noise whose loudness jumps ``turns`` times in a window of 1,024 samples, at any phase."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(size=(count, 1))
    loud = 1 + 4 * (((np.arange(1024) * turns / 1024 + phase) % 1) < 0.2)
    return (loud * rng.normal(size=(count, 1024)))[..., None].astype(np.float32)


def test_an_envelope_is_read_at_its_orders():
    """Pulses 15 times in a window that holds 5 revolutions are order 3."""
    found = robustness_peers.envelope_features(pulses(8, 15, 0), orders_per_bin=1 / 5).mean(0)
    orders = np.arange(0.5, 16.05, 0.1)
    assert found.shape == orders.shape
    assert abs(orders[found.argmax()] - 3) < 0.11


def test_peers_learn_what_the_spectrum_does_not_show():
    windows = np.concatenate([pulses(40, 8, 1), pulses(40, 13, 2)])
    labels = np.repeat([0, 1], 40).astype(np.int32)
    side = tiny.side(80)._replace(windows=windows, labels=labels, recordings=np.zeros(80, np.int32))
    fold = tiny.fold()._replace(train=side, test=side)
    data = trial_data.with_noise(fold, seed=0, noise=Noise("gaussian", 20.0))
    names = ["spectrum_strict", "envelope_logistic", "both_spectra_logistic"]
    found = {name: method.run(data, seed=0) for name, method in robustness_peers.peers(names, 2, 0.2, "window").items()}
    assert np.trace(found["envelope_logistic"].test_confusion) > 76
    assert np.trace(found["both_spectra_logistic"].test_confusion) > 76
    assert found["both_spectra_logistic"].parameters > found["envelope_logistic"].parameters


@pytest.mark.parametrize("shape", [(3, 100, 1), (2, 1024, 2)])
def test_wavelet_features_are_finite(shape):
    pytest.importorskip("pywt")
    windows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    windows[0] = 0  # silence
    found = robustness_peers.wavelet_features(windows)
    assert found.shape[0] == len(windows)
    assert np.isfinite(found).all()
    assert not np.allclose(found[0], found[1])


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    names = ["spectrum_strict", "wavelet_boosting", "quant"]
    assert robustness_peers.missing(names) == {"wavelet_boosting": "PyWavelets", "quant": "aeon torch"}


def test_a_classifier_of_series_is_trained_and_tested_like_a_network(monkeypatch):
    """Without aeon: one that has its shape of windows, (n, channels, length)."""

    class Loudest:
        def fit(self, windows, labels):
            assert windows.shape[1:] == (1, tiny.LENGTH)
            self.classes = np.stack([np.abs(np.fft.rfft(windows[labels == c, 0])).mean(0) for c in range(tiny.CLASSES)])

        def predict(self, windows):
            return (np.abs(np.fft.rfft(windows[:, 0])) @ self.classes.T).argmax(1)

    monkeypatch.setattr(robustness_peers, "_series_classifier", lambda name, seed: Loudest())
    fold = tiny.fold(60, 30)
    data = trial_data.with_noise(fold, seed=0, noise=Noise("gaussian", 20.0))
    (method,) = robustness_peers.peers(["quant"], tiny.CLASSES, 0.2, "window").values()
    result = method.run(data, seed=0)
    assert np.trace(result.test_confusion) >= 27
    worse = method.retest(result, trial_data.tested_in(data, fold, seed=0, noise=Noise("gaussian", -20.0)))
    assert np.trace(worse.test_confusion) < np.trace(result.test_confusion)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minirocket", "multirocket_hydra", "quant"])
def test_classifiers_of_aeon(name):
    for package in robustness_peers.PEERS[name]:
        pytest.importorskip(package)
    data = trial_data.with_noise(tiny.fold(60, 30), seed=0, noise=Noise("gaussian", 20.0))
    (method,) = robustness_peers.peers([name], tiny.CLASSES, 0.2, "window").values()
    assert np.trace(method.run(data, seed=0).test_confusion) >= 27


def test_wdcnn_is_the_network_of_its_paper():
    network = WideFirstKernelNetwork(classes=10)
    run = lambda key: network.init_with_output(key, jnp.zeros((2, 2048, 1)), train=False)  # noqa: E731
    logits, variables = jax.eval_shape(run, jax.random.key(0))
    assert logits.shape == (2, 10)
    kernels = {name: leaf["kernel"].shape for name, leaf in variables["params"].items() if "kernel" in leaf}
    assert kernels["convolutions_0"] == (64, 1, 16)
    assert kernels["convolutions_4"] == (3, 64, 64)
    assert kernels["hidden"] == (256, 100)  # 2,048 / 16 / 2^5 positions of 64 channels
    with pytest.raises(ValueError, match="at least 512 samples, got 100"):
        jax.eval_shape(lambda key: network.init(key, jnp.zeros((2, 100, 1)), train=False), jax.random.key(0))


def write(folder, rows, confusion):
    folder.mkdir()
    usual = {"train_noise": "none", "train_snr_db": "inf", "protocol": "other load", "fold": "3 hp"}
    full = [
        {**usual, **row, "parameters": row.get("parameters", 9), "train_accuracy": 1.0, "test_accuracy": row["balanced_accuracy"]}
        for row in rows
    ]
    for name, table in (("results", full), ("confusion", [{**usual, **row} for row in confusion])):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    ranked = [{**row, "macro_auroc": area} for row, area in zip(full, (0.6, 0.7, 0.8, 0.9), strict=True)]
    with open(folder / "ranking.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*TRIAL, "macro_auroc"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(ranked)
    timed = dict.fromkeys(TRIAL, "") | usual | {"network": "resnet", "noise": "none", "snr_db": "inf", "seed": 0}
    with open(folder / "timings.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*timed, "training_seconds"])
        writer.writeheader()
        writer.writerow({**timed, "training_seconds": 7.0})


def test_differences_have_one_sign():
    assert robustness_report.signed(Interval(-0.04, 1.26)) == "+0.0 ± 1.3"
    assert robustness_report.signed(Interval(-0.06, math.nan)) == "-0.1"
    assert robustness_report.signed(Interval(math.nan, math.nan)) == "–"


def test_the_table_holds_means_intervals_and_paired_differences(tmp_path):
    scores = {"spectrum_strict": (0.5, 0.6), "resnet": (0.7, 0.9)}
    rows = [
        {"network": network, "noise": "none", "snr_db": "inf", "seed": seed, "balanced_accuracy": value, "macro_f1": value}
        for network, values in scores.items()
        for seed, value in enumerate(values)
    ]
    confusion = [
        {"network": "resnet", "noise": "none", "snr_db": "inf", "seed": 0, "true": "a", "predicted": predicted, "windows": count}
        for predicted, count in (("a", 30), ("b", 10))
    ]
    write(tmp_path / "run", rows, confusion)
    text = robustness_report.table(tmp_path / "run", {"quant": "aeon"})
    lines = text.splitlines()
    assert lines[0] == "| method | parameters | clean | − ResNet | − best other method | AUROC | one class, % | training, s |"
    # Student's t of two values: 12.706 × half of their distance
    assert lines[3] == "| ResNet | 9 | 80.0 ± 127.1 | – | +25.0 ± 63.5 | 85.0 ± 63.5 | 75 | 7 |"
    assert lines[2].startswith("| spectrum + logistic regression, C = 0.01 | 9 | 55.0 ± 63.5 | -25.0 ± 63.5 | – |")
    assert lines[4] == "| QUANT | not installed: aeon |"
    assert "2 seeds" in text
    assert re.search("best method that is no network is spectrum", text)
    assert robustness_report.curves({"other load": tmp_path / "run"}, tmp_path).read_bytes().startswith(b"\x89PNG")
