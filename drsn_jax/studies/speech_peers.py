"""The methods beside the networks of a speech comparison, which a user would try first; they are no networks.

Both look at log-mel spectrograms (``functional.mel.LogMel``) and need scikit-learn (extra ``experiments``).
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from drsn_jax.functional.mel import LogMel
from drsn_jax.studies.baseline import FittedMethod, few_at_a_time, regression

MEL_LOGISTIC, MFCC_SVM = "mel_logistic", "mfcc_svm"  # their names in the tables
AT_ONCE = 300  # windows whose spectrograms are in memory at a time
COEFFICIENTS, STRETCHES = 13, 10  # of the cepstrum, and stretches of time whose means are features


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


def peers(classes: int, front_end: LogMel) -> dict[str, FittedMethod]:
    """Return the methods by name: log-mel statistics with logistic regression, MFCC with a support vector machine.

    ``front_end`` makes the spectrogram of a waveform.
    """

    def machine() -> Any:
        from sklearn.svm import SVC

        return SVC(C=10.0)

    return {
        MEL_LOGISTIC: FittedMethod(classes, of_spectrograms(front_end, statistics), regression),
        MFCC_SVM: FittedMethod(classes, of_spectrograms(front_end, cepstrum), machine),
    }


def of_spectrograms(front_end: LogMel, features: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return ``features`` of spectrograms ``(n, frames, mels, channels)`` as a function of windows ``(n, length, channels)``."""
    spectrograms = jax.jit(jax.vmap(front_end))

    return lambda windows: few_at_a_time(lambda part: features(np.asarray(spectrograms(part))), windows, AT_ONCE)
