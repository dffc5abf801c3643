"""The methods beside the networks of a speech comparison, which a user would try first; they are no networks.

Both look at log-mel spectrograms (``functional.mel.LogMel``) and need scikit-learn (extra ``experiments``).
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from drsn_jax.core.storage import in_parts
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.functional.mel import LogMel
from drsn_jax.studies.trial_data import TrialData
from drsn_jax.studies.trials import Result
from drsn_jax.training.checkpoints import Checkpoints

MEL_LOGISTIC, MFCC_SVM = "mel_logistic", "mfcc_svm"  # their names in the tables
COEFFICIENTS, STRETCHES = 13, 10  # of the cepstrum, and stretches of time whose means are features


class Peer:
    """Features of a spectrogram with a classifier of scikit-learn, trained and tested like a network.

    It is fitted to one fixed draw of noise in the training windows.

    Args:
      classes: the number of classes.
      front_end: makes the spectrogram of a waveform.
      features: ``(n, frames, mels, channels) -> (n, features)``.
      classifier: makes the classifier, with ``fit`` and ``predict``, which follows a standardisation of the features.
    """

    collective = False  # only process 0 of a job takes part in a trial

    def __init__(
        self, classes: int, front_end: LogMel, features: Callable[[np.ndarray], np.ndarray], classifier: Callable[[], Any]
    ) -> None:
        self._classes, self._features, self._classifier = classes, features, classifier
        self._spectrograms = jax.jit(jax.vmap(front_end))

    def run(
        self,
        data: TrialData,
        *,
        seed: int,
        on_epoch: Callable[..., None] = lambda epoch, confusion: None,
        checkpoints: Checkpoints | None = None,
    ) -> Result:
        """Fit and test. The arguments are those of ``Trainer.run``; there are no epochs and no checkpoints."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        del seed, on_epoch, checkpoints
        classifier = self._classifier()
        model, features = make_pipeline(StandardScaler(), classifier), self.features(data.train_noisy)
        model.fit(features, data.train.labels)
        fitted = model.predict(features)
        trained = confusion_matrix(data.train.labels, fitted, self._classes)
        return self.retest(Result(learned_numbers(classifier), trained, trained, fitted, model=model), data)

    def retest(self, result: Result, data: TrialData) -> Result:
        """Test the model of a result on the test windows of ``data``."""
        predicted = result.model.predict(self.features(data.test.windows))
        return result._replace(test_confusion=confusion_matrix(data.test.labels, predicted, self._classes), predicted=predicted)

    def features(self, windows: np.ndarray) -> np.ndarray:
        """Return the features ``(n, features)`` of windows ``(n, length, channels)``."""
        parts = [
            in_parts(lambda part: self._features(np.asarray(self._spectrograms(part))), windows[start : start + 300])
            for start in range(0, len(windows), 300)
        ]
        return np.concatenate(parts)


def learned_numbers(classifier: Any) -> int:
    """Return how many numbers a classifier has learned; the support vectors of a support vector machine are among them."""
    names = ("coef_", "support_vectors_", "dual_coef_", "intercept_")
    linear = hasattr(classifier, "support_vectors_")
    return sum(np.size(getattr(classifier, name)) for name in names[linear:] if hasattr(classifier, name))


def statistics(spectrograms: np.ndarray) -> np.ndarray:
    """Return the mean and the standard deviation over time of each band, ``(n, 2 · mels · channels)``."""
    both = np.concatenate([spectrograms.mean(1), spectrograms.std(1)], 1)
    return both.reshape(len(both), -1)


def cepstrum(spectrograms: np.ndarray, coefficients: int = COEFFICIENTS, stretches: int = STRETCHES) -> np.ndarray:
    """Return the mean mel-frequency cepstral coefficients (MFCC) of equal stretches of time, ``(n, stretches · coefficients ·
    channels)``. Source: Davis and Mermelstein, IEEE Trans. ASSP 28(4), 1980."""
    from scipy.fft import dct

    cepstra = np.asarray(dct(spectrograms, axis=2, norm="ortho"))[:, :, :coefficients]
    return np.concatenate([part.mean(1).reshape(len(part), -1) for part in np.array_split(cepstra, stretches, axis=1)], 1)


def peers(classes: int, front_end: LogMel) -> dict[str, Peer]:
    """Return the methods by name: log-mel statistics with logistic regression, MFCC with a support vector machine."""

    def regression() -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=2000)

    def machine() -> Any:
        from sklearn.svm import SVC

        return SVC(C=10.0)

    return {
        MEL_LOGISTIC: Peer(classes, front_end, statistics, regression),
        MFCC_SVM: Peer(classes, front_end, cepstrum, machine),
    }
