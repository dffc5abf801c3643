"""Whole clips of any length as windows of one length."""

import numpy as np


def fitted(signal: np.ndarray, length: int) -> np.ndarray:
    """Return a signal ``(any length, channels)`` without its mean and with ``length`` samples, float32.

    A shorter one lies in the middle with zeros around, of a longer one the stretch with the highest power is kept. The mean is
    removed before the zeros are added, so that they stay zeros in windows without a mean.
    """
    if len(signal) > length:
        centred = signal - signal.mean(0, dtype=np.float64)
        energy = np.concatenate([[0.0], np.cumsum(np.square(centred).sum(1))])
        start = int(np.argmax(energy[length:] - energy[:-length]))
        signal = signal[start : start + length]
    window = np.zeros((length, signal.shape[1]), np.float32)
    start = (length - len(signal)) // 2
    window[start : start + len(signal)] = signal - signal.mean(0, dtype=np.float64)
    return window
