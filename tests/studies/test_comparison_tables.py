"""The paper's table from hand-written files."""

import csv
import math

import numpy as np
import pytest
from scipy import stats

from drsn_jax.studies.comparison_tables import BASELINE, markdown, summarise

RESNET = {("0", 0): (0.80, 0.90), ("0", 1): (0.70, 0.80), ("1", 0): (0.60, 0.80)}  # (fold, seed): accuracy of two conditions
DRSN = {("0", 0): (0.86, 0.92), ("0", 1): (0.71, 0.85), ("1", 0): (0.70, 0.80)}


def write(file, rows):
    with open(file, "w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def results(network, parameters, accuracies):
    return [
        {
            "network": network,
            "parameters": parameters,
            "noise": "gaussian",
            "snr_db": snr_db,
            "fold": fold,
            "seed": seed,
            "train_accuracy": accuracy + 0.05,
            "test_accuracy": accuracy,
        }
        for (fold, seed), pair in accuracies.items()
        for snr_db, accuracy in zip((-5.0, 5.0), pair, strict=True)
    ]


@pytest.fixture
def several(tmp_path):
    """Three trials of two conditions."""
    write(tmp_path / "results.csv", [*results("resnet", 8416, RESNET), *results("drsn_cw", 11552, DRSN)])
    timings = [{"network": "resnet", "training_seconds": s} for s in (10, 20, 30)]
    write(tmp_path / "timings.csv", [*timings, {"network": "drsn_cw", "training_seconds": 40.4}])
    return tmp_path


@pytest.fixture
def single(tmp_path):
    """One trial, three test recordings of unequal length."""
    write(
        tmp_path / "results.csv",
        [
            *results(BASELINE, 195, {("0", 0): (0.5, 0.5)}),
            *results("resnet", 8416, {("0", 0): (0.7, 0.7)}),
            *results("drsn_cw", 11552, {("0", 0): (0.8, 0.8)}),
        ],
    )
    correct = {BASELINE: (10, 20, 20), "resnet": (10, 30, 30), "drsn_cw": (18, 32, 30)}
    rows = [
        # two conditions, each with half of what is right
        {
            "network": network,
            "noise": "gaussian",
            "snr_db": snr_db,
            "fold": "0",
            "seed": 0,
            "recording": name,
            "windows": windows,
            "correct": right // 2,
        }
        for network, numbers in correct.items()
        for snr_db in (-5.0, 5.0)
        for name, windows, right in zip("abc", (10, 20, 20), numbers, strict=True)
    ]
    write(tmp_path / "by_recording.csv", rows)
    return tmp_path


def test_means_and_spreads_over_trials(several):
    resnet, drsn = summarise(several)
    assert (resnet.network, resnet.parameters, resnet.trials) == ("resnet", 8416, 3)
    assert (drsn.network, drsn.parameters, drsn.trials) == ("drsn_cw", 11552, 3)
    # conditions first, then trials: 85, 75, 70 and 89, 78, 75 per cent
    assert resnet.test == pytest.approx(np.mean([85, 75, 70]))
    assert resnet.test_spread == pytest.approx(np.std([85, 75, 70], ddof=1))
    assert resnet.train == pytest.approx(np.mean([85, 75, 70]) + 5)
    assert drsn.test == pytest.approx(np.mean([89, 78, 75]))
    assert drsn.train_spread == pytest.approx(np.std([89, 78, 75], ddof=1))
    assert (resnet.seconds, drsn.seconds) == (20, 40.4)


def test_the_difference_is_paired(several):
    resnet, drsn = summarise(several)
    assert math.isnan(resnet.difference.mean)
    differences = [4, 3, 5]
    low, high = stats.t.interval(0.95, 2, loc=4, scale=stats.sem(differences))
    assert drsn.difference == pytest.approx((4, (high - low) / 2))
    assert not drsn.over_recordings


def test_the_order_of_the_rows_does_not_pair(several):
    """A network's trials in another order are the same trials."""
    reordered = dict(reversed(DRSN.items()))
    write(several / "results.csv", [*results("resnet", 8416, RESNET), *results("drsn_cw", 11552, reordered)])
    assert summarise(several)[1].difference.mean == pytest.approx(4)
    assert summarise(several)[1].difference.half_width == pytest.approx(stats.t.ppf(0.975, 2) / math.sqrt(3))


def test_another_reference(several):
    resnet, drsn = summarise(several, reference="drsn_cw")
    assert resnet.difference.mean == pytest.approx(-4)
    assert math.isnan(drsn.difference.mean)
    resnet, drsn = summarise(several, reference="convnet")
    assert math.isnan(resnet.difference.mean)
    assert math.isnan(drsn.difference.mean)


def test_only_common_conditions_are_compared(several):
    """In an interrupted run one network may have made a condition that another still lacks."""
    rows = [*results("resnet", 8416, RESNET), *results("drsn_cw", 11552, DRSN)][:-1]  # DRSN lacks fold 1 at 5 dB
    write(several / "results.csv", rows)
    difference = summarise(several)[1].difference
    assert difference.mean == pytest.approx(np.mean([4, 3, 10]))


def test_markdown_of_several_trials(several):
    lines = markdown(summarise(several)).splitlines()
    assert lines[0] == (
        "| network | parameters | train accuracy, % (mean of 2 noises) | test, gaussian -5 dB, % | test, gaussian 5 dB, % | "
        "test accuracy, % (mean of 2 noises) | test − ResNet, points (mean of 2 noises) | training, s |"
    )
    # at -5 dB 80, 70, 60 and at 5 dB 90, 80, 80 per cent
    assert lines[2] == "| ResNet | 8,416 | 81.67 ± 7.64 | 70.00 ± 10.00 | 83.33 ± 5.77 | 76.67 ± 7.64 | – | 20 |"
    assert lines[3].startswith(
        "| DRSN-CW | 11,552 | 85.67 ± 7.37 | 75.67 ± 8.96 | 85.67 ± 6.03 | 80.67 ± 7.37 | +4.00 [+1.52, +6.48] |"
    )
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert lines[-1].startswith("± is the standard deviation over 3 trials (seeds × folds)")
    assert "Student t" in lines[-1]


def test_one_trial_gives_a_bootstrap_over_recordings_and_says_so(single):
    baseline, resnet, drsn = summarise(single)
    assert math.isnan(drsn.test_spread)
    assert math.isnan(drsn.train_spread)
    assert (baseline.over_recordings, resnet.over_recordings, drsn.over_recordings) == (True, False, True)
    # correct of windows, two conditions together: a +8 of 20, b +2 of 40, c +0 of 40
    assert drsn.difference.mean == pytest.approx(100 * 10 / 100)
    # the 27 samples of three recordings: more than 2.5 % of them are "a" alone, as many "c" alone
    assert drsn.difference.half_width == pytest.approx((40 - 0) / 2, abs=0.01)
    assert baseline.difference.mean == pytest.approx(-20)
    text = markdown([baseline, resnet, drsn])
    assert "One trial: no spread over seeds" in text
    assert "bootstrap over test recordings" in text
    assert "±" not in text
    assert "| spectrum + logistic regression | 195 | 55.00 | 50.00 | 50.00 | 50.00 |" in text
    assert "| +10.00 [-10.00, +30.00] | – |" in text


def ranged(network, levels, kind="gaussian"):
    """Rows of one training on a range of levels, tested at each; ``inf`` is without noise."""
    return [
        {
            "network": network,
            "parameters": 9,
            "noise": "none" if level == math.inf else kind,
            "snr_db": level,
            "train_noise": kind,
            "train_snr_db": "-5..5",
            "fold": "0",
            "seed": 0,
            "train_accuracy": 0.9,
            "test_accuracy": accuracy,
        }
        for level, accuracy in levels.items()
    ]


def test_a_training_on_a_range_has_a_column_for_each_level(tmp_path):
    """Nothing is averaged unsaid, and the note tells that one training served all levels."""
    levels = {-5.0: 0.5, 0.0: 0.75, math.inf: 1.0}
    write(tmp_path / "results.csv", [*ranged(BASELINE, dict.fromkeys(levels, 0.4)), *ranged("drsn_cw", levels)])
    head, _, spectrum, drsn, _, told = markdown(summarise(tmp_path)).splitlines()
    assert head == (
        "| network | parameters | train accuracy, % | test, gaussian -5 dB, % | test, gaussian 0 dB, % | test, clean, % | "
        "test accuracy, % (mean of 3 noises) | test − spectrum, points (mean of 3 noises) | training, s |"
    )
    assert spectrum.startswith("| spectrum + logistic regression | 9 | 90.00 | 40.00 | 40.00 | 40.00 | 40.00 | – |")
    assert drsn.startswith("| DRSN-CW | 9 | 90.00 | 50.00 | 75.00 | 100.00 | 75.00 | ")
    assert "trained once, in noise of gaussian -5..5 dB, and tested at every level" in told


def test_the_note_speaks_of_what_the_table_has(tmp_path):
    """Without noise, without a difference and with one network there is little to say."""
    rows = [{**row, "noise": "none", "snr_db": "inf"} for row in results(BASELINE, 9, {("0", 0): (0.5, 0.5)})[:1]]
    write(tmp_path / "results.csv", rows)
    text = markdown(summarise(tmp_path))
    assert text.splitlines()[0] == (
        "| network | parameters | train accuracy, % | test accuracy, % | test − spectrum, points | training, s |"
    )
    assert text.splitlines()[-1] == "One trial: no spread over seeds."


def test_of_many_noises_the_table_has_the_mean_alone_and_says_so(tmp_path):
    write(tmp_path / "results.csv", ranged("resnet", {float(level): 0.5 for level in range(11)}))
    head = markdown(summarise(tmp_path)).splitlines()[0]
    assert head.count("|") == 7
    assert "test accuracy, % (mean of 11 noises)" in head


def test_an_empty_folder_has_no_lines(tmp_path):
    assert summarise(tmp_path) == []
