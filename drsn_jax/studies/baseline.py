"""The row of every accuracy table that is not a network: is the task solved by the average spectrum already?"""

from collections.abc import Callable
from typing import Any

import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.studies.trial_data import TrialData, standardised
from drsn_jax.studies.trials import Result
from drsn_jax.training.checkpoints import Checkpoints

BASELINE = "spectrum_logistic"  # its name in the tables


def spectrum_features(windows: np.ndarray, segment: int = 128) -> np.ndarray:
    """Return the logarithm of Welch's power spectrum with segments of ``segment`` samples: ``(n, length, channels)`` →
    ``(n, bins · channels)``. Needs scipy (extra ``experiments``).

    Source: Welch, IEEE Trans. Audio Electroacoust. 15(2), 1967.
    """
    from scipy.signal import welch

    def features(part: np.ndarray) -> np.ndarray:
        _, spectrum = welch(part, nperseg=min(segment, part.shape[1]), axis=1)
        # a floor far under what 32 bits resolve, so that silence has a logarithm
        return np.log(spectrum + np.finfo(np.float32).tiny).reshape(len(part), -1)

    return in_parts(features, windows)


def spectrum_classifier(windows: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Fit logistic regression on standardised ``spectrum_features``; needs scikit-learn (extra ``experiments``).

    Returns:
      The fitted pipeline, with ``predict(spectrum_features(windows))``, and its number of parameters.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(max_iter=2000)
    model = make_pipeline(StandardScaler(), regression)
    model.fit(spectrum_features(windows), labels)
    return model, sum(np.size(array) for array in (regression.coef_, regression.intercept_))


class SpectrumBaseline:
    """The spectrum with logistic regression, trained and tested like a network.

    It is fitted to the one fixed draw of noise in the training windows. ``standardise`` scales every window first, as the
    networks beside it do.
    """

    collective = False  # one process is enough

    def __init__(self, classes: int, standardise: bool) -> None:
        self._classes, self._standardise = classes, standardise

    def run(
        self,
        data: TrialData,
        *,
        seed: int,
        on_epoch: Callable[..., None] = lambda epoch, confusion: None,
        checkpoints: Checkpoints | None = None,
    ) -> Result:
        """Fit and test, with the arguments of ``Trainer.run``; there are no epochs and nothing to go on from."""
        del seed, on_epoch, checkpoints
        train, test = (
            standardised(windows) if self._standardise else windows for windows in (data.train_noisy, data.test.windows)
        )
        model, parameters = spectrum_classifier(train, data.train.labels)
        predicted = model.predict(spectrum_features(test))
        fitted = model.predict(spectrum_features(train))
        return Result(
            parameters=parameters,
            train_confusion=confusion_matrix(data.train.labels, fitted, self._classes),
            test_confusion=confusion_matrix(data.test.labels, predicted, self._classes),
            predicted=predicted,
        )
