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


def few_at_a_time(features: Callable[[np.ndarray], np.ndarray], windows: np.ndarray, most: int) -> np.ndarray:
    """Return ``features(windows)`` for a function that works row by row, at most ``most`` windows at a time: what it makes
    on the way may be larger than windows and features."""
    return np.concatenate([in_parts(features, windows[start : start + most]) for start in range(0, len(windows), most)])


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
    return fit_standardised(regression(), spectrum_features(windows), labels)


def fit_standardised(classifier: Any, features: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Fit a classifier of scikit-learn to features ``(n, features)``, each scaled to mean 0 and variance 1 over the examples.

    Returns:
      The fitted pipeline, with ``predict(features)``, and how many numbers the classifier has learned.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), classifier)
    model.fit(features, labels)
    return model, learned_numbers(classifier)


def learned_numbers(classifier: Any) -> int:
    """Return how many numbers a classifier has learned; the support vectors of a support vector machine are among them."""
    names = ("coef_", "support_vectors_", "dual_coef_", "intercept_")
    # the coefficients of a support vector machine are made of the others, and only a linear one has them
    machine = hasattr(classifier, "support_vectors_")
    return sum(np.size(getattr(classifier, name)) for name in names[machine:] if hasattr(classifier, name))


class FittedMethod:
    """A method that is no network: features of the windows and a classifier of scikit-learn, trained and tested like a network.

    It is fitted to one fixed draw of noise in the training windows.

    Args:
      classes: the number of classes.
      features: ``(n, *positions, channels) -> (n, features)``.
      classifier: makes the classifier, with ``fit`` and ``predict``, which is given standardised features.
    """

    collective = False  # only process 0 of a job takes part in a trial

    def __init__(self, classes: int, features: Callable[[np.ndarray], np.ndarray], classifier: Callable[[], Any]) -> None:
        self.features = features
        self._classes, self._classifier = classes, classifier

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
        features = self.features(data.train_noisy)
        model, parameters = fit_standardised(self._classifier(), features, data.train.labels)
        return self._tested(model, parameters, features, data)

    def fit(self, model: Any, data: TrialData) -> Result:
        """Fit a classifier that scales its features itself, and test it."""
        features = self.features(data.train_noisy)
        model.fit(features, data.train.labels)
        return self._tested(model, 0, features, data)

    def _tested(self, model: Any, parameters: int, features: np.ndarray, data: TrialData) -> Result:
        fitted = model.predict(features)
        trained = confusion_matrix(data.train.labels, fitted, self._classes)
        return self.retest(Result(parameters, trained, trained, fitted, model=model), data)

    def retest(self, result: Result, data: TrialData) -> Result:
        """Test the model of a result on the test windows of ``data``."""
        features = self.features(data.test.windows)
        if hasattr(result.model, "predict_proba"):
            # a class without training windows has no column there
            scores = np.zeros((len(features), self._classes))
            scores[:, result.model.classes_] = result.model.predict_proba(features)
            predicted = np.argmax(scores, 1)
            if np.isin(scores, (0, 1)).all():  # decisions in the place of probabilities, as of ridge regression in aeon
                scores = np.empty((0, 0))
        else:
            predicted, scores = result.model.predict(features), np.empty((0, 0))
        confusion = confusion_matrix(data.test.labels, predicted, self._classes)
        return result._replace(test_confusion=confusion, predicted=predicted, scores=scores)


class SpectrumBaseline(FittedMethod):
    """Logistic regression on the spectrum. Windows are scaled first, as the networks beside it do by
    ``TrainingConfig.standardise``."""

    def __init__(self, classes: int, standardise: str) -> None:
        super().__init__(classes, lambda windows: spectrum_features(standardised(windows, standardise)), regression)


def regression() -> Any:
    """Make a logistic regression of scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000)
