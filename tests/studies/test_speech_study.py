"""In which noise the networks of a speech comparison train and test, and whose voices are behind the voice."""

import math

import numpy as np
import pytest
import tiny

from drsn_jax.data.windows import Fold
from drsn_jax.functional.roadside import as_voices
from drsn_jax.studies.speech_study import plan

FOLD = Fold("0", tiny.side(12, 1), tiny.side(6, 2), tiny.side(6, 3))


@pytest.mark.parametrize("trained", [(-5.0, 20.0), None])
def test_trainings_and_their_tests(trained):
    made = plan(("horn", "babble"), (0.0, 10.0, math.inf), trained, FOLD, 64.0)
    tests = [(str(train), [str(test) for test in found]) for train, found in made]
    if trained is None:
        assert tests == [("no noise", ["horn 0 dB", "horn 10 dB", "babble 0 dB", "babble 10 dB", "no noise"])]
    else:
        assert tests == [(f"{k} -5..20 dB", [f"{k} 0 dB", f"{k} 10 dB", "no noise"]) for k in ("horn", "babble")]
    assert len({len(found) for _, found in made}) == 1


def test_voices_of_the_training_are_not_those_of_the_test():
    ((train, tests),) = plan(("babble",), (0.0,), (-5.0, 5.0), FOLD, 64.0)
    np.testing.assert_array_equal(train.sounds, as_voices(FOLD.train.windows))
    np.testing.assert_array_equal(tests[0].sounds, as_voices(FOLD.validation.windows))


def test_recorded_noise_is_cut_in_two():
    recorded = np.random.default_rng(0).normal(size=(1, 300, 1)).astype(np.float32)
    ((train, tests),) = plan(("recorded",), (0.0,), (-5.0, 5.0), FOLD, 64.0, recorded)
    np.testing.assert_array_equal(np.concatenate([train.sounds, tests[0].sounds], 1), recorded)
    ((train, tests),) = plan(("recorded",), (0.0,), (-5.0, 5.0), FOLD, 64.0, recorded[:, :100])
    np.testing.assert_array_equal(train.sounds, tests[0].sounds)
