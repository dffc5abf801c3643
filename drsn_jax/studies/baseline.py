"""The baseline in every table of accuracies: it is no network, and shows whether the average spectrum alone solves the task."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.studies.trial_data import TrialData, standardised
from drsn_jax.studies.trials import Result
from drsn_jax.training.checkpoints import Checkpoints

BASELINE = "spectrum_logistic"  # the name of the baseline in the tables


def spectrum_features(windows: np.ndarray, segment: int = 128) -> np.ndarray:
    """Return the logarithm of Welch's power spectrum of windows ``(n, length, channels)``, ``(n, bins · channels)``.

    ``segment`` is the length of Welch's segments in samples. Needs scipy (extra ``experiments``).

    Source: Welch, IEEE Trans. Audio Electroacoust. 15(2), 1967.
    """
    from scipy.signal import welch

    def features(part: np.ndarray) -> np.ndarray:
        _, spectrum = welch(part, nperseg=min(segment, part.shape[1]), axis=1)
        # the smallest float32 is far below any spectrum and gives silence a finite logarithm
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
    """Logistic regression on the spectrum, trained and tested like a network.

    It is fitted to one fixed draw of noise in the training windows. Windows are scaled first, as the networks beside it do by
    ``TrainingConfig.standardise``.
    """

    collective = False  # only process 0 of a job takes part in a trial

    def __init__(self, classes: int, standardise: str) -> None:
        self._classes, self._standardise = classes, standardise

    def run(
        self,
        data: TrialData,
        *,
        seed: int,
        on_epoch: Callable[..., None] = lambda epoch, confusion: None,
        checkpoints: Checkpoints | None = None,
    ) -> Result:
        """Fit and test. The arguments are those of ``Trainer.run``; there are no epochs and no checkpoints."""
        del seed, on_epoch, checkpoints
        train = self._prepared(data.train_noisy)
        model, parameters = spectrum_classifier(train, data.train.labels)
        fitted = model.predict(spectrum_features(train))
        trained = confusion_matrix(data.train.labels, fitted, self._classes)
        return self.retest(Result(parameters, trained, trained, fitted, model=model), data)

    def retest(self, result: Result, data: TrialData) -> Result:
        """Test the model of a result on the test windows of ``data``."""
        predicted = result.model.predict(spectrum_features(self._prepared(data.test.windows)))
        return result._replace(test_confusion=confusion_matrix(data.test.labels, predicted, self._classes), predicted=predicted)

    def _prepared(self, windows: np.ndarray) -> np.ndarray:
        return standardised(windows, self._standardise)
