"""Votes of windows and ensembles of seeds: what a vote is made of, equal noise for the networks of an ensemble, the table."""

import csv
import functools
import math

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drsn_jax.functional.noise import Noise
from drsn_jax.studies import votes
from drsn_jax.studies.comparison_results import Trial
from drsn_jax.studies.trials import Result
from drsn_jax.studies.votes import KeptProbabilities

NOISE = Noise("gaussian", -5.0)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=20).flatmap(
        lambda numbers: st.tuples(st.just(np.array(numbers)), arrays(np.float64, (len(numbers), 3), elements=st.floats(0, 1)))
    ),
    st.integers(1, 4),
)
def test_a_vote_is_the_mean_of_consecutive_windows_of_one_recording(windows, count):
    recordings, probabilities = windows
    found, first = votes.running_votes(probabilities, recordings, count)
    sizes = np.bincount(recordings)
    assert len(found) == len(first) == np.maximum(sizes - count + 1, 0)[sizes > 0].sum()
    for vote, start in zip(found, first, strict=True):
        own = np.flatnonzero(recordings == recordings[start])
        own = own[own >= start][:count]
        assert len(own) == count
        np.testing.assert_allclose(vote, probabilities[own].mean(0), atol=1e-12)
    assert len(set(first.tolist())) == len(first)


def test_a_recording_of_fewer_windows_than_a_vote_is_named():
    """In whichever split it is tested; the recordings of the first have four, three and three windows."""
    folds = [functools.partial(tiny.fold, test=count) for count in (10, 5, 9)]
    votes.require_windows(folds, 0, [])
    votes.require_windows(folds[::2], 3, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"--vote 4 .* is tested, and b has 3, the fewest of 2 .*: give at most --vote 3"):
        votes.require_windows(folds[:1], 4, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"--vote 2 .* and c has 1: leave it out"):
        votes.require_windows(folds, 2, ["a", "b", "c"])


def sharp(labels, right):
    """Logits of windows that are surely right where ``right`` says so, and else a little wrong."""
    wrong = np.eye(tiny.CLASSES)[(labels + 1) % tiny.CLASSES]
    return np.where(np.asarray(right)[:, None], 9 * np.eye(tiny.CLASSES)[labels], wrong)


@pytest.fixture
def kept(tmp_path):
    """Two seeds, each right in its own draw in the first half of the windows of each recording, and in the other draw in the
    second; a method without probabilities."""
    fold = tiny.fold(test=12)
    # a recording has one class
    fold = fold._replace(test=fold.test._replace(recordings=np.sort(fold.test.labels), labels=np.sort(fold.test.labels)))
    keeper, half = KeptProbabilities(tmp_path, (0, 1)), np.arange(12) % 4 < 2
    rows = []
    for network, seed in (("band_energy", 0), ("band_energy", 1), ("minirocket", 0)):
        trial = Trial(network, NOISE, "other load", fold.name, seed)
        rows.append(trial.columns)

        def retest(trial, seed=seed, network=network):
            logits = sharp(fold.test.labels, half if trial.seed == seed else ~half)
            none = np.empty((0, 0))
            result = Result(1, none, none, logits.argmax(1), network=tiny.network)
            return result._replace(scores=logits if network == "band_energy" else none)

        keeper.keep([trial], fold, retest)
    with open(tmp_path / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "train_accuracy", "test_accuracy"], restval=0.5)
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def test_networks_of_an_ensemble_meet_the_same_noise(kept):
    """Alone each is right in half of the windows. Where one of two is sure, their mean is right: in one draw of the noise they
    are right in different windows; of each network's own draw, one would be right twice and wrong twice."""
    found = votes.read(kept)
    assert {own.row["network"] for own in found} == {"band_energy"}
    assert len(found) == 2
    np.testing.assert_allclose([p.sum(1) for own in found for p in own.of_draw.values()], 1, rtol=1e-6)
    assert votes.alone(found, 1).mean == pytest.approx(50)
    assert votes.ensemble(found, 1).mean == pytest.approx(100)
    # of three running votes of two windows the first two hold a window that is surely right
    assert votes.alone(found[:1], 2).mean == pytest.approx(100 * (2 / 3), abs=0.1)
    assert math.isnan(votes.alone(found[:1], 2).half_width)


def test_the_table_has_a_row_for_each_way_to_answer(kept):
    lines = votes.table(kept, 2).splitlines()
    assert lines[0] == "| method | answer of | gaussian -5 dB |"
    assert lines[2:6] == [
        "| band energies | one window | 50.0 ± 0.0 |",
        "| band energies | 2 windows | 66.7 ± 0.0 |",
        "| band energies | 2 networks | 100.0 ± 0.0 |",
        "| band energies | 2 networks, 2 windows | 100.0 ± 0.0 |",
    ]
    assert len(lines) == 8
    next((kept / votes.FOLDER).iterdir()).unlink()  # as of a training that diverged
    assert votes.table(kept, 2).splitlines()[4] == "| band energies | 2 networks | – |"
    (kept / votes.FOLDER / "x.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is damaged"):
        votes.table(kept, 2)
