"""The arrays of the scikit-learn estimator: its signals as windows, their scale, and what is held out of a training."""

from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError


def as_array(X: Any, channels_first: bool) -> Any:
    """Return a table of signals in sktime's format ``pd-multiindex`` as an array, and everything else as it is.

    Such a table has a row for each sample, an index of signal and time, and a column for each channel. Raises UserError where
    the signals have different lengths.
    """
    if getattr(getattr(X, "index", None), "nlevels", 1) != 2:
        return X
    signals = [signal.to_numpy() for _, signal in X.groupby(level=0, sort=False)]
    lengths = {len(signal) for signal in signals}
    if len(lengths) > 1:
        raise UserError(
            f"the signals have different lengths, from {min(lengths)} to {max(lengths)} samples: make them equal first"
        )
    array = np.stack(signals)
    return np.moveaxis(array, -1, 1) if channels_first else array


def as_signals(X: np.ndarray, channels_first: bool) -> np.ndarray:
    """Return signals ``(n, length)``, ``(n, length, channels)`` or ``(n, channels, length)`` as ``(n, length, channels)``.

    Raises UserError for another number of axes, and for three-dimensional arrays that look like the other order.
    """
    if X.ndim == 2:
        return X[..., None]
    if X.ndim != 3:
        raise UserError(f"signals are (n, length) or (n, length, channels), got an array of the shape {X.shape}")
    if min(X.shape[1:]) == 0:
        raise UserError(f"signals have at least one sample and one channel, got an array of the shape {X.shape}")
    return np.moveaxis(X, 1, -1) if channels_first else X


def scale_of(windows: np.ndarray, standardize: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each channel over all windows ``(n, length, channels)``; 0 and 1 where the
    network scales every window itself. The deviation of a constant channel is 1."""
    channels = windows.shape[-1]
    if standardize == "window":
        return np.zeros(channels), np.ones(channels)
    offset = windows.mean((0, 1), dtype=np.float64)
    # over the centred values, because a large level would leave nothing of the squares
    scale = np.sqrt(np.square(windows - offset).mean((0, 1)))
    return offset, np.where(scale > 1e-12 * np.maximum(np.abs(offset), 1e-300), scale, 1.0)


def scaled(windows: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return windows ``(n, length, channels)`` less ``offset`` and divided by ``scale``, as float32."""
    return ((windows.astype(np.float64, copy=False) - offset) / scale).astype(np.float32)


def held_out(labels: np.ndarray, groups: Any, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the signals to train on and of those that are held out, about ``fraction`` of them.

    Without ``groups`` the classes have the same shares on both sides; with them all signals of a group are on one side. Raises
    UserError where no such split leaves signals of every class to train on.
    """
    from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

    if not 0 < fraction < 1:
        raise UserError(f"validation_fraction is above 0 and below 1, got {fraction}")
    if groups is None:
        classes = len(np.unique(labels))
        count = max(round(fraction * len(labels)), classes)
        if np.bincount(labels)[np.unique(labels)].min() < 2 or len(labels) - count < classes:
            raise UserError(
                f"early_stopping holds signals of every class out, for which {len(labels)} signals of {classes} classes are too "
                "few: give more, or early_stopping=False"
            )
        splitter: Any = StratifiedShuffleSplit(1, test_size=count, random_state=seed)
        return next(splitter.split(labels, labels))
    groups = np.asarray(groups)
    if groups.shape != labels.shape:
        raise UserError(f"{len(labels)} signals need a group each, got groups of the shape {groups.shape}")
    if len(np.unique(groups)) > 1:
        for attempt in range(20):  # a class may have only few groups
            splitter = GroupShuffleSplit(1, test_size=fraction, random_state=(seed + attempt) % 2**31)
            known, out = next(splitter.split(labels, labels, groups))
            if len(np.unique(labels[known])) == len(np.unique(labels)):
                return known, out
    raise UserError(
        f"no choice of about {fraction:.0%} of {len(np.unique(groups))} groups leaves signals of every class to train on: give "
        "more groups, another validation_fraction, or early_stopping=False"
    )


def codes_of(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the number of the class of each entry of ``y`` in the sorted ``classes``; raise UserError for one that is none."""
    codes = np.searchsorted(classes, y)
    codes = np.minimum(codes, len(classes) - 1)
    if not (wrong := classes[codes] != y).any():
        return codes
    raise UserError(f"y holds {y[wrong][0]}, which is not among the classes {', '.join(map(str, classes))}")
