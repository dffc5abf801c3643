"""The arrays of the scikit-learn estimator: its signals as windows, their scale, and what is held out of a training."""

from typing import Any

import numpy as np

from drsn_jax.core.arrays import SWAPPED
from drsn_jax.core.errors import UserError

COARSEST = 2**16  # an offset so many times the deviation leaves float32 seven bits of it


def as_array(X: Any, channels_first: bool, *, y: Any = None, shape: tuple[int, int] | None = None) -> Any:
    """Return a table of signals in sktime's format ``pd-multiindex`` as an array, and everything else as it is.

    Such a table has a row for each sample, an index of signal and time, and a column for each channel. A table with a row for
    each signal may have such an index too: it has as many rows as there are labels ``y``, or a column for each sample of
    ``shape``, ``(length, channels)``. Raises UserError where the signals have different lengths.
    """
    if getattr(getattr(X, "index", None), "nlevels", 1) != 2 or (y is not None and len(X) == len(y)):
        return X
    if shape is not None and shape == (X.shape[1], 1):
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

    Raises UserError for another number of axes, and for arrays with ``SWAPPED`` times as many channels as samples, unless they
    are said to be ``channels_first``.
    """
    if X.ndim == 2:
        return X[..., None]
    if X.ndim != 3:
        raise UserError(f"signals are (n, length) or (n, length, channels), got an array of the shape {X.shape}")
    if min(X.shape[1:]) == 0:
        raise UserError(f"signals have at least one sample and one channel, got an array of the shape {X.shape}")
    if not channels_first and X.shape[2] >= SWAPPED * X.shape[1]:
        raise UserError(
            f"the signals have the shape {X.shape}, which looks like (n, channels, length): give channels_first=True; if they "
            f"are that short indeed, give numpy.moveaxis(X, 1, -1) and channels_first=True"
        )
    return np.moveaxis(X, 1, -1) if channels_first else X


def scale_of(windows: np.ndarray, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each channel over all windows ``(n, length, channels)``; 0 and 1 where the
    network scales every window itself. The deviation of a constant channel is 1."""
    channels = windows.shape[-1]
    if standardise:
        return np.zeros(channels), np.ones(channels)
    offset = windows.mean((0, 1), dtype=np.float64)
    # over the centred values, because a large level would leave nothing of the squares
    scale = np.sqrt(np.square(windows - offset).mean((0, 1)))
    return offset, np.where(scale > 1e-12 * np.maximum(np.abs(offset), 1e-300), scale, 1.0)


def scaled(windows: np.ndarray, offset: np.ndarray, scale: np.ndarray, *, without_mean: bool) -> np.ndarray:
    """Return windows ``(n, length, channels)`` less ``offset`` and divided by ``scale``, as float32; with ``without_mean`` the
    mean of each channel of each window is subtracted first. All of this is done in float64: float32 has seven digits, of which a
    large level would leave none."""
    windows = windows.astype(np.float64, copy=False)
    if without_mean:
        windows = windows - windows.mean(1, keepdims=True)
    return ((windows - offset) / scale).astype(np.float32)


def refuse_lost_digits(offset: np.ndarray, scale: np.ndarray) -> None:
    """Raise UserError where a bundle, which computes in float32, could not tell signals apart at their level."""
    for number in np.flatnonzero((np.abs(offset) > COARSEST * scale) | (scale < np.finfo(np.float32).tiny)):
        raise UserError(
            f"the signals of channel {number} lie around {offset[number]:.4g} and vary by {scale[number]:.4g}, of which the "
            "float32 of a bundle keeps too little: subtract their level before fit"
        )


def class_weights(given: Any, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the weight of each class, ``(n_classes,)``, for what scikit-learn calls ``class_weight``.

    Raises UserError for another kind, for a class that there is not, and for weights that are not finite numbers from 0 with one
    above it.
    """
    weights = np.ones(len(classes))
    if given is None:
        return weights
    if isinstance(given, str) and given == "balanced":
        from sklearn.utils import compute_class_weight

        present = np.unique(labels)
        weights[present] = compute_class_weight("balanced", classes=present, y=labels)
        return weights
    if not isinstance(given, dict):
        raise UserError(f"class_weight is None, 'balanced' or weights by class, got {given!r}")
    numbers = {label: number for number, label in enumerate(classes.tolist())}
    for label, weight in given.items():
        if label not in numbers:
            raise UserError(
                f"class_weight has a weight for {label!r}, which is not among the classes {', '.join(map(str, classes))}"
            )
        if not isinstance(weight, int | float | np.number) or not 0 <= weight < np.inf:
            raise UserError(f"the weight of a class is a finite number from 0, got {weight!r} for {label!r}")
        weights[numbers[label]] = weight
    if not weights.any():
        raise UserError("the weights of all classes are 0: give one of them a weight")
    return weights


def held_out(labels: np.ndarray, groups: Any, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the signals to train on and of those that are held out, about ``fraction`` of them.

    Without ``groups`` the classes have the same shares on both sides; with them all signals of a group are on one side. Raises
    UserError where no such split leaves signals of every class to train on.
    """
    from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

    if not isinstance(fraction, int | float | np.number) or not 0 < fraction < 1:
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
    if groups.shape != labels.shape or any(group is None for group in groups.tolist()):
        found = f"of the shape {groups.shape}" if groups.shape != labels.shape else "among which is None"
        raise UserError(f"{len(labels)} signals need a group each, got groups {found}")
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
    """Return the number of the class of each entry of ``y`` in ``classes``; raise UserError for one that is none."""
    found = {label: number for number, label in enumerate(classes.tolist())}
    given = np.asarray(y).tolist()
    for label in given:
        if label not in found:
            as_text = " (those are texts)" if not isinstance(label, str) and str(label) in found else ""
            raise UserError(f"y holds {label}, which is not among the classes {', '.join(map(str, classes))}{as_text}")
    return np.array([found[label] for label in given], np.int64)
