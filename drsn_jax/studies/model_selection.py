"""Save the network with the lowest validation loss of a comparison as a bundle."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.data.windows import Fold
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import save
from drsn_jax.diagnosis.description import DESCRIPTION, read_description
from drsn_jax.diagnosis.diagnosis import COVERAGE
from drsn_jax.diagnosis.parts import root_mean_squares
from drsn_jax.evaluation.conformal import covered_share, fit_surprises
from drsn_jax.evaluation.metrics import cross_entropy, expected_calibration_error, fit_temperature, softmax
from drsn_jax.evaluation.novelty import fit_novelty
from drsn_jax.studies.comparison_results import Trial
from drsn_jax.studies.trial_data import TrialData
from drsn_jax.studies.trials import Result

USUAL = (0.001, 0.999)  # the RMS between these quantiles of the training windows is usual


@dataclasses.dataclass(frozen=True)
class BestModel:
    """The network with the lowest validation loss so far, which is kept as a bundle in a folder.

    Fields:
      folder: the folder of the bundle.
      facts: the fields of ``Bundle`` that are the same for all networks: ``classes``, ``window_length``, ``stride``,
        ``sampling_rate``, ``channel``, ``channels``, ``per_revolution``.
      recordings: what was taken from which files (``data.summary.taken``), kept among the facts about the training.
      shaft: what is known of it (``data.shaft.shaft_facts``, ``diagnosis.gears.gear_facts``), kept there too.
    """

    folder: Path
    facts: Mapping[str, Any]
    recordings: Sequence[Mapping[str, Any]] = ()
    shaft: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def offer(self, trial: Trial, data: TrialData, fold: Fold, result: Result, tests: Callable[[], Iterable[TrialData]]) -> bool:
        """Keep a trained network if its validation loss is lower than that of the network kept so far; return whether it is.

        ``tests`` makes the test windows under every noise of the comparison. Their accuracies are only stored in the bundle; the
        validation loss alone decides. Without validation windows no network is kept.
        """
        if result.network is None or not len(result.validation_logits):
            return False
        loss = cross_entropy(result.validation_logits, data.validation.labels)
        if not loss < self._kept_loss():
            return False
        temperature = fit_temperature(result.validation_logits, data.validation.labels)
        bundle = Bundle(
            network=result.network.clone(axis_name=None),
            variables=result.variables,
            temperature=temperature,
            rms_range=usual_rms(fold.train.windows),
            surprises=fit_surprises(softmax(result.validation_logits, temperature), data.validation.labels),
            **self.facts,
        )
        # how far pictures and clips of others may be was not measured, so that nothing is said of them
        if bundle.stride is not None:
            # in the noise of the training, on both sides
            features, held_out = (in_parts(bundle.features, side) for side in (data.train_noisy, data.validation.windows))
            bundle = dataclasses.replace(bundle, novelty=fit_novelty(features, data.train.labels, held_out))
        accuracy = [_tested(bundle, test) for test in tests()]
        # what decides the training; the noises of the tests are those of ``accuracy``
        columns = {name: value for name, value in trial.columns.items() if name not in ("noise", "snr_db")}
        columns["train_snr_db"] = str(columns["train_snr_db"])
        # means over all noises of the test; those of each noise stand in ``accuracy``
        errors: dict[str, Any] = {
            name: float(np.mean([entry[name] for entry in accuracy]))
            for name in ("calibration_error", "calibration_error_uncalibrated")
            if accuracy
        }
        training = {
            **columns,
            "epoch": result.epoch,
            "validation_loss": loss,
            **errors,
            **self.shaft,
            "recordings": list(self.recordings),
        }
        save(self.folder, dataclasses.replace(bundle, training=training, accuracy=accuracy), overwrite=True)
        return True

    def _kept_loss(self) -> float:
        if not (self.folder / DESCRIPTION).exists():
            return math.inf
        return float(read_description(self.folder)["training"]["validation_loss"])


def usual_rms(windows: np.ndarray) -> tuple[float, float]:
    """Return between which root mean squares nearly all windows ``(n, *positions, channels)`` lie."""
    # the positions of a picture one after another
    rms = in_parts(root_mean_squares, windows.reshape(len(windows), -1, windows.shape[-1]))
    return float(np.quantile(rms, USUAL[0])), float(np.quantile(rms, USUAL[1]))


def _tested(bundle: Bundle, test: TrialData) -> dict[str, Any]:
    """Return the accuracy of a network on the test windows in one noise, and its calibration errors with its temperature and
    with the temperature 1; where held-out windows allow it, also how often its prediction sets hold the true class, and how many
    classes they have."""
    logits, labels = bundle.logits(test.test.windows), test.test.labels
    probabilities = softmax(logits, bundle.temperature)
    sets: dict[str, float] = {}
    if bundle.surprises is not None:
        sets["covered"], sets["set_size"] = covered_share(probabilities, labels, bundle.surprises, COVERAGE)
    return {
        "noise": test.noise.kind,
        "snr_db": "inf" if test.noise.snr_db == math.inf else test.noise.snr_db,
        "accuracy": float(np.mean(logits.argmax(1) == labels)),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "calibration_error_uncalibrated": expected_calibration_error(softmax(logits), labels),
        **sets,
    }
