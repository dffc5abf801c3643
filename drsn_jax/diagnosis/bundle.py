"""A trained network on disk, with all that is needed to use it: a folder with ``model.json`` and the weights that it names.

Nothing in it is executed when it is loaded.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drsn_jax.core.arrays import check_finite, rounded
from drsn_jax.core.distributed import Device
from drsn_jax.data.resampling import in_revolutions
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.diagnosis.diagnosis import Diagnosis, diagnose, require_signals
from drsn_jax.diagnosis.export import export
from drsn_jax.diagnosis.programs import Programs
from drsn_jax.evaluation.attribution import BANDS
from drsn_jax.evaluation.conformal import prediction_sets
from drsn_jax.evaluation.inspection import has_thresholds
from drsn_jax.evaluation.metrics import softmax
from drsn_jax.evaluation.novelty import Novelty
from drsn_jax.nn.networks import Network
from drsn_jax.nn.presets import preset_name


def window_shape(length: int | Sequence[int], channels: int) -> tuple[int, ...]:
    """Return the shape of a window whose description has this length and so many channels."""
    return (*((length,) if isinstance(length, int) else map(int, length)), channels)


@dataclass(eq=False, repr=False)
class Bundle:
    """A trained network, and the facts about its data that are needed to use it.

    Fields:
      network: a ``Network`` with flax's convolution and this package's norm. If it was trained on standardised windows, it
        standardises them itself (``Network.standardise``).
      variables: ``{"params", "batch_stats"}``. To change weights, set another tree: programs for up to eight windows hold
        those of this one, and do not see what is changed within it.
      classes: the names of the classes.
      window_length: the length of the training windows in samples; for pictures ``(height, width)``.
      stride: the step from one window to the next, in samples; None for what was not cut from longer signals.
      sampling_rate: the sampling rate of the training data, in Hz, or ``per_revolution`` the samples in a revolution of the
        shaft; None for pictures.
      channel: the names of the signals of a file that it was trained on (see ``data.formats.channels``), for readers.
      channels: the number of these signals.
      temperature: divides the logits, so that probabilities are calibrated.
      rms_range: the lowest and the highest root mean square (RMS) that is usual among the training windows, in their own unit.
      training: facts about the training, for readers.
      accuracy: the accuracy on test data, one entry for each kind and level of noise.
      novelty: what is known of the features of the training windows, by which a recording of something else is told; None for a
        model without.
      surprises: how surprising the true classes of held-out windows were, ``(m,)``, by which the sets of ``prediction_sets`` are
        made (``evaluation.conformal``); None for a model without.
      per_revolution: whether its windows lie at equal angles of the shaft, so that a recording must be brought to them by its
        speed, as ``diagnose`` does (``data.resample_to_revolutions``).
      remove_mean: whether the mean of each channel is removed from every window, as it is of what was trained on by the scripts;
        false where the level of a window tells something, as that of an accelerometer which feels gravity.

    Raises BundleError unless the names of the classes are different and as many as the network's classes.
    """

    network: Network
    variables: Mapping[str, Any]
    classes: Sequence[str]
    window_length: Any  # a number, or the two of a picture
    sampling_rate: Any = None
    stride: Any = None
    channel: str = ""
    channels: int = 1
    temperature: float = 1.0
    rms_range: tuple[float, float] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Sequence[Mapping[str, Any]] = ()
    novelty: Novelty | None = None
    surprises: np.ndarray | None = None
    per_revolution: bool = False
    remove_mean: bool = True

    def __post_init__(self) -> None:
        if len(self.classes) != self.network.classes or len(set(self.classes)) < len(self.classes):
            raise BundleError(f"{self.network.classes} classes need as many different names, got {list(self.classes)}")

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the fields, without compiled functions and devices."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @property
    def window_shape(self) -> tuple[int, ...]:
        """The shape of a window: ``(length, channels)``, or ``(height, width, channels)`` of a picture."""
        return window_shape(self.window_length, self.channels)

    @property
    def standardise(self) -> bool | str:
        """Whether the network scales windows to unit variance; "together" for all channels by one number."""
        return self.network.standardise

    def logits(self, windows: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Return the logits ``(n, classes)`` of windows ``(n, window_length, channels)``, as they were recorded.

        The mean of the windows is removed here unless ``remove_mean`` is false, and the network scales them if it was trained so.
        ``batch_size`` windows are computed at a time, by default 256 or as many as memory should be given to. Raises BundleError
        for windows of another shape, and ValueError for windows that are not finite.
        """
        return self._outputs(windows, None, batch_size)

    def answer(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the calibrated probabilities ``(n, classes)`` of windows and the novelty of each, ``(n,)``.

        The novelty is None for a model that cannot tell it; of windows like those of the training one in a hundred has a novelty
        above 1 (``evaluation.novelty``). Arguments and errors as ``logits``.
        """
        outputs, count = self._outputs(windows, self.novelty, None), len(self.classes)
        own = type(self).predict_proba is Bundle.predict_proba  # and not that of a subclass
        probabilities = softmax(outputs[:, :count], self.temperature) if own else self.predict_proba(windows)
        return probabilities, None if self.novelty is None else outputs[:, count]

    def _outputs(self, windows: np.ndarray, novelty: Novelty | None, batch_size: int | None) -> np.ndarray:
        """Return the logits of windows and, behind them, their novelty where that is given; see ``logits``."""
        windows = self._checked(windows)
        if len(windows) == 0:
            return np.empty((0, len(self.classes) + (novelty is not None)), np.float32)
        return self._programs.outputs(self.variables, novelty, windows, batch_size)

    def _checked(self, windows: np.ndarray) -> np.ndarray:
        """Return windows as float32; raise the errors of ``logits``."""
        if (windows := rounded(windows) if self.remove_mean else np.asarray(windows, np.float32)).shape[1:] != self.window_shape:
            wanted = f"(n, {', '.join(map(str, self.window_shape))})"
            raise BundleError(f"the model takes windows of the shape {wanted}, got {windows.shape}")
        check_finite(windows)
        return windows

    def spread(self, devices: Sequence[Device]) -> None:
        """Spread batches of windows over these devices from now on.

        Their number must divide the batch size of ``logits``. On a CPU whose cores are devices (``runtime.prepare``) this is
        faster than one device with all cores.
        """
        self._programs.spread(devices)

    def __repr__(self) -> str:
        """Return a line: what it answers and for which windows; the arrays are left out."""
        return _in_words(self)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Return the name of the most probable class of each window, ``(n,)``; arguments and errors as ``logits``."""
        return np.asarray(self.classes)[self.logits(windows).argmax(1)]

    def predict_proba(self, windows: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities ``(n, classes)`` of windows; arguments and errors as ``logits``."""
        return softmax(self.logits(windows), self.temperature)

    def prediction_sets(self, windows: np.ndarray, coverage: float = 0.95) -> list[tuple[str, ...]]:
        """Return for each window the classes that it may be of, a set that holds the true one as often as ``coverage`` says.

        This holds on average for windows like those that were held out in the training, and not for another machine, load or
        noise (``evaluation.conformal``). Raises BundleError for a model without held-out windows, ValueError for a coverage that
        is not above 0 and below 1, and as ``logits``.
        """
        if self.surprises is None:
            raise BundleError("the model has no held-out windows to compare with: train it with --validation 0.2")
        inside = prediction_sets(self.predict_proba(windows), self.surprises, coverage)
        return [tuple(label for label, there in zip(self.classes, row, strict=True) if there) for row in inside]

    def diagnose(self, signal: np.ndarray, sampling_rate: float, speed: float | None = None) -> Diagnosis:
        """Diagnose a signal ``(length,)`` or ``(length, channels)``, recorded at ``sampling_rate`` Hz.

        A model whose windows are ``per_revolution`` needs the ``speed`` of the shaft in revolutions a second, constant over the
        signal; ``starts`` of the answer are samples of the signal at equal angles. Errors as ``diagnosis.diagnose``, and
        BundleError for such a model without a speed.
        """
        return diagnose(self, *brought(self, signal, sampling_rate, speed))

    def zeros(self, windows: np.ndarray, *, by_unit: bool = False) -> np.ndarray | None:
        """Return for each window the share of features that the thresholds set to zero, the mean over all channels and units
        ``(n,)``, or with ``by_unit`` that of each unit in their order ``(n, units)``; None for a network without thresholds.
        Errors as ``logits``."""
        if not has_thresholds(self.network):
            return None
        shares = self._programs.zeros(self.variables, self._checked(windows))
        return shares if by_unit else shares.mean(1)

    def attributions(self, windows: np.ndarray, label: str) -> np.ndarray:
        """Return how much each band of frequencies of windows speaks for a class, ``(n, bands)``: ``BANDS`` bands of equal width
        up to half the sampling rate, or as many as a short window has (``evaluation.attribution``). Raises BundleError for a
        class that the model does not have or that is its only one, UserError for a model of pictures, and as ``logits``."""
        require_signals(self)
        if label not in self.classes or len(self.classes) < 2:
            raise BundleError(f"one of several classes is asked for, the model has {', '.join(self.classes)}, got {label!r}")
        windows = self._checked(windows)
        if len(windows) == 0:
            return np.empty((0, min(BANDS, self.window_length // 2)), np.float32)
        return self._programs.attributions(self.variables, windows, list(self.classes).index(label))

    def features(self, windows: np.ndarray) -> np.ndarray:
        """Return the features in front of the classifier, ``(n, features)``, of windows; arguments and errors as ``logits``."""
        return self._programs.features(self.variables, self._checked(windows))

    def export(self, path: str | os.PathLike[str], *, batch: int | None = None, overwrite: bool = False) -> None:
        """Write the model as one file that runs without this package: ``NAME.onnx`` or ``NAME.stablehlo``.

        The file answers as ``predict_proba`` does, ``batch`` windows at a time or any number. Arguments and errors as
        ``export.export``."""
        export(self, path, batch=batch, overwrite=overwrite)

    @functools.cached_property
    def _programs(self) -> Programs:
        return Programs(self.network, self.window_shape, self.remove_mean)


def _in_words(model: Bundle) -> str:
    positions = " × ".join(map(str, model.window_shape[:-1]))
    per = "samples a revolution" if model.per_revolution else "Hz"
    rate = "" if model.sampling_rate is None else f" at {model.sampling_rate:g} {per}"
    unit, plural = "samples" if rate else "pixels", "s" * (model.channels > 1)
    return (
        f"Bundle({preset_name(model.network) or 'network'}, {len(model.classes)} classes ({', '.join(model.classes)[:80]}), "
        f"windows of {positions} {unit} × {model.channels} channel{plural}{rate})"
    )


def brought(model: Bundle, signal: np.ndarray, sampling_rate: float, speed: float | None) -> tuple[np.ndarray, float]:
    """Return a signal and its sampling rate as a model takes them, by ``speed`` at equal angles of the shaft where its
    windows are; errors as ``Bundle.diagnose``."""
    if not model.per_revolution:
        if speed is not None:
            raise BundleError("the windows of this model are in seconds, so that it has no use for a speed: leave it out")
        return signal, sampling_rate
    if speed is None:
        raise BundleError(
            "the windows of this model are revolutions of the shaft, so that it needs the speed of every recording: give it "
            "by --speed-rpm"
        )
    return in_revolutions(signal, sampling_rate, speed, model.sampling_rate), model.sampling_rate
