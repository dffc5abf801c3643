"""The row of every accuracy table that is no network: is the task already solved by the average spectrum?"""

from typing import Any

import numpy as np

from drsn_jax.core.storage import in_parts


def spectrum_features(windows: np.ndarray, segment: int = 128) -> np.ndarray:
    """The logarithm of Welch's power spectrum with segments of ``segment`` samples: ``(n, length, channels)`` →
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
    """Logistic regression on standardised ``spectrum_features``; needs scikit-learn (extra ``experiments``).

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
