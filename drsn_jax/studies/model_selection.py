"""Which network of a comparison is kept: the best on validation windows, as a bundle in the run's folder."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.data.windows import Fold
from drsn_jax.diagnosis.bundle import Bundle, save
from drsn_jax.diagnosis.description import DESCRIPTION, read_description
from drsn_jax.diagnosis.diagnosis import root_mean_squares
from drsn_jax.evaluation.metrics import cross_entropy, expected_calibration_error, fit_temperature, softmax
from drsn_jax.nn.networks import Network
from drsn_jax.studies.trial_data import TrialData
from drsn_jax.studies.trials import Result

USUAL = (0.001, 0.999)  # quantiles of the RMS of training windows that count as usual


@dataclasses.dataclass(frozen=True)
class Keeper:
    """Keeps the network with the lowest validation loss.

    Fields:
      folder: of the bundle.
      facts: of all networks: the fields ``classes``, ``window_length``, ``stride``, ``sampling_rate``, ``channel``, ``channels``,
        ``standardise`` of ``Bundle``.
    """

    folder: Path
    facts: Mapping[str, Any]

    def offer(
        self,
        trial: Mapping[str, Any],
        network: Network,
        data: TrialData,
        fold: Fold,
        result: Result,
        tests: Callable[[], Sequence[TrialData]],
    ) -> bool:
        """Keep a trained network if it is better than the one that is kept; returns whether it is.

        ``tests`` makes the test windows under every noise of the comparison, on which the kept network is measured; what decides
        is the validation loss alone. Without validation windows nothing is chosen and nothing kept.
        """
        if not len(result.validation_logits):
            return False
        loss = cross_entropy(result.validation_logits, data.validation.labels)
        if not loss < self._kept_loss():
            return False
        temperature = fit_temperature(result.validation_logits, data.validation.labels)
        rms = in_parts(root_mean_squares, fold.train.windows)
        bundle = Bundle(
            network=network.clone(axis_name=None),
            variables=result.variables,
            temperature=temperature,
            rms_range=(float(np.quantile(rms, USUAL[0])), float(np.quantile(rms, USUAL[1]))),
            **self.facts,
        )
        accuracy, errors = [], {}
        for test in tests():
            logits = bundle.logits(test.test.windows)
            none = math.isinf(test.snr_db)
            entry = {"noise": "none" if none else test.kind, "snr_db": str(test.snr_db) if none else test.snr_db}
            accuracy.append({**entry, "accuracy": float(np.mean(logits.argmax(1) == test.test.labels))})
            if (entry["noise"], test.snr_db) == (trial["noise"], trial["snr_db"]):
                errors = {
                    "calibration_error": expected_calibration_error(softmax(logits, temperature), test.test.labels),
                    "calibration_error_uncalibrated": expected_calibration_error(softmax(logits), test.test.labels),
                }
        training = {**trial, "snr_db": str(trial["snr_db"]), "epoch": result.epoch, "validation_loss": loss, **errors}
        bundle = dataclasses.replace(bundle, training=training, accuracy=accuracy)
        save(self.folder, bundle, overwrite=True)
        return True

    def _kept_loss(self) -> float:
        if not (self.folder / DESCRIPTION).exists():
            return math.inf
        return float(read_description(self.folder)["training"]["validation_loss"])
