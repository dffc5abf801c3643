"""Test a kept network on labelled recordings: the confusion of its classes at chosen levels of noise."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import in_parts
from drsn_jax.data.duplicates import COUNT, refuse_duplicates, refuse_equal_windows
from drsn_jax.data.formats import rates
from drsn_jax.data.recording import Recording, title
from drsn_jax.data.splits import Segment
from drsn_jax.data.windows import Side, cut_windows, remove_means
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.diagnosis import COVERAGE, require_signals
from drsn_jax.evaluation.conformal import covered_share
from drsn_jax.evaluation.metrics import Scores, confusion_matrix, expected_calibration_error, scores, softmax
from drsn_jax.functional.noise import Noise, add_noise_once


class NoiseTest(NamedTuple):
    """How a network does in one noise.

    Fields:
      noise: that was added.
      confusion: counts of true × predicted class, ``(classes, classes)``.
      scores: accuracy, balanced accuracy and macro F1.
      calibration_error: expected calibration error of its probabilities.
      covered: the share of windows whose prediction set at 95 % holds their true class; None for a model without such sets.
      set_size: the mean number of classes in a set; None likewise.
    """

    noise: Noise
    confusion: np.ndarray
    scores: Scores
    calibration_error: float
    covered: float | None = None
    set_size: float | None = None


def labelled_windows(model: Bundle, recordings: Sequence[Recording]) -> Side:
    """Cut recordings into windows for a model, one behind the other, without their mean where the model removes it.

    Raises UserError for recordings whose class, sampling rate, number of channels or length does not fit the model, and for two
    recordings of the same samples.
    """
    require_signals(model)
    for number, r in enumerate(recordings):
        if r.label not in model.classes:
            raise UserError(
                f"{title(recordings, number)} is of the class {r.label!r}, which the model does not know, expected one of "
                f"{', '.join(model.classes)}: leave it out, or correct its label"
            )
        if r.per_revolution != model.per_revolution:
            kinds = {True: "at equal angles of the shaft", False: "in Hz"}
            raise UserError(
                f"{title(recordings, number)} is sampled {kinds[r.per_revolution]} and the training data "
                f"{kinds[model.per_revolution]}: read it as for the training, see data.resample_to_revolutions"
            )
        if not rates.same(r.sampling_rate, model.sampling_rate):
            raise UserError(
                f"{title(recordings, number)} is sampled at {r.sampling_rate:.9g} Hz and the training data at "
                f"{model.sampling_rate:.9g} Hz: give --resample {model.sampling_rate:.9g}"
            )
        if r.signal.shape[1] != model.channels:
            raise UserError(
                f"{title(recordings, number)} has {r.signal.shape[1]} channels and the model takes {model.channels}: choose "
                "them by --channel"
            )
    titles, labels = [title(recordings, number) for number in range(len(recordings))], [r.label for r in recordings]
    refuse_duplicates([r.signal for r in recordings], titles, labels, COUNT)
    refuse_equal_windows([r.signal for r in recordings], [r.unit for r in recordings], titles, labels)
    segments = [Segment(number, 0, len(r.signal)) for number, r in enumerate(recordings)]
    cut = cut_windows(recordings, segments, model.window_length, model.window_length, tuple(model.classes))
    return Side(remove_means(cut.windows) if model.remove_mean else cut.windows, cut.labels, cut.recordings)


def evaluate_labelled(model: Bundle, side: Side, noises: Sequence[Noise], seed: int = 0) -> Iterator[NoiseTest]:
    """Yield how a model does on labelled windows in each noise, of which ``seed`` decides one draw."""
    key = jax.random.key(seed)
    for noise in noises:

        def add(part: np.ndarray, numbers: np.ndarray, noise: Noise = noise) -> np.ndarray:
            # the level of a window is no part of its power
            varying = np.asarray(remove_means(part))
            noisy = np.asarray(add_noise_once(key, varying, noise.snr_db, noise.kind, first=numbers[0]))
            return part + (noisy - varying) if not model.remove_mean else noisy

        numbers = np.arange(len(side.windows), dtype=np.int32)
        windows = side.windows if noise.is_none else in_parts(add, side.windows, numbers)
        logits = model.logits(windows)
        confusion = confusion_matrix(side.labels, logits.argmax(1), len(model.classes))
        probabilities = softmax(logits, model.temperature)
        error = expected_calibration_error(probabilities, side.labels)
        covered, size = None, None
        if model.surprises is not None:
            covered, size = covered_share(probabilities, side.labels, model.surprises, COVERAGE)
        yield NoiseTest(noise, confusion, scores(confusion), error, covered, size)
