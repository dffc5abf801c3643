"""The diagnosis of a recording: the classes of its windows, one answer for all of them, and whether to believe it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from drsn_jax.core.arrays import rounded
from drsn_jax.core.errors import UserError
from drsn_jax.core.storage import prefetch
from drsn_jax.data.clips import fitted
from drsn_jax.data.formats import rates
from drsn_jax.diagnosis.doubts import CHANGED, doubts_of_classes, warnings_of
from drsn_jax.diagnosis.parts import ahead_of, measured_parts, read_parts
from drsn_jax.evaluation.conformal import majority_set, prediction_sets

FEW = 5  # fewer windows than this are worth a warning
COVERAGE = 0.95  # of stretches like those held out, so many have their true class among the possible ones
LONGEST_CLIP = 10  # times the length of a window: what a model of clips takes for a clip


class Model(Protocol):
    """What a diagnosis needs of a model; ``bundle.Bundle`` has it.

    A model that can tell the novelty of windows has ``answer(windows)`` too, which returns their probabilities and novelty and is
    asked in place of ``predict_proba``. One with ``surprises`` names the classes that are possible (``evaluation.conformal``).
    """

    classes: Sequence[str]
    window_length: int
    sampling_rate: float
    channels: int
    rms_range: tuple[float, float] | None

    def predict_proba(self, windows: np.ndarray) -> np.ndarray:
        """Return the probabilities ``(n, classes)`` of windows ``(n, window_length, channels)``."""
        ...


def is_of_pictures(model: Model) -> bool:
    """Return whether a model was trained on pictures, whose window has a height and a width, and not on signals."""
    return not isinstance(model.window_length, int)


def require_signals(model: Model) -> None:
    """Raise UserError for a model of pictures, which cannot be asked about a signal."""
    if is_of_pictures(model):
        sides: Any = model.window_length
        size = " × ".join(map(str, sides))
        raise UserError(f"the model is for pictures of {size} pixels, not for signals: ask it with Bundle.predict")


def is_of_clips(model: Model) -> bool:
    """Return whether a model was trained on whole clips, each of them a window, and not on windows of longer signals."""
    return not is_of_pictures(model) and getattr(model, "stride", 0) is None


def clip_window(model: Model, signal: np.ndarray, sampling_rate: float) -> np.ndarray:
    """Return a clip ``(length, channels)`` as the window ``(window_length, channels)`` that a model of clips was trained on, see
    ``clips.fitted``. Errors as ``check_clip``."""
    check_clip(model, len(signal), sampling_rate)
    return fitted(rounded(signal[None])[0], model.window_length)


def check_clip(model: Model, length: int, sampling_rate: float) -> None:
    """Raise UserError for a clip of no samples, and for one so long that it is no clip."""
    if not 0 < length <= LONGEST_CLIP * model.window_length:
        raise UserError(
            f"the model is for clips of {model.window_length / model.sampling_rate:g} s, and this one lasts "
            f"{length / sampling_rate:.3g} s: cut it so that it holds one of them"
        )


class Ranked(NamedTuple):
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a network says about a recording of n windows.

    Fields:
      label: the class with the highest mean probability.
      probability: its mean probability over the windows, calibrated.
      agreement: the share of windows in which this class is the most probable one.
      entropy: the entropy of the mean probabilities, as a share of the highest possible entropy, 0 to 1.
      best: the three classes with the highest mean probabilities.
      warnings: sentences that say in what the recording is unlike the training data. No warning is no guarantee.
      sure: whether the class is named, which is where nothing in ``doubts`` speaks against it.
      novelty: how far its windows are from those of the training, the median: 1 is the distance that one in a hundred held-out
        windows of the training exceeded. None for a model that cannot tell it.
      doubts: why it is not sure, each a short clause, such as "its windows fit ball as well"; empty where it is sure.
      possible: the classes in the prediction sets of more than half of the windows. Of further stretches of the recordings that
        were trained on, of which windows were held out, at least 95 in a hundred have their true class among them; of other
        recordings nothing is promised. With none, no class fits. None for a model without held-out windows.
      probabilities: the probabilities of each window, ``(n, classes)``.
      starts: the number of the first sample of each window, ``(n,)``.
    """

    label: str
    probability: float
    agreement: float
    entropy: float
    best: tuple[Ranked, ...]
    warnings: tuple[str, ...]
    sure: bool
    probabilities: np.ndarray
    starts: np.ndarray
    doubts: tuple[str, ...] = ()
    novelty: float | None = None
    possible: tuple[str, ...] | None = None

    @property
    def changed(self) -> bool | None:
        """Whether the recording is unlike the only class of a model of healthy recordings; None for other models."""
        return None if len(self.best) > 1 or self.novelty is None else not self.novelty <= CHANGED


def diagnose(
    model: Model, signal: np.ndarray, sampling_rate: float, *, on_part: Callable[[int, int], None] = lambda done, total: None
) -> Diagnosis:
    """Diagnose a signal ``(length,)`` or ``(length, channels)``, sampled at ``sampling_rate`` Hz.

    ``on_part(done, total)`` is called after every part with the numbers of windows. Raises ValueError for another number of
    channels than the model's, a signal shorter than a window, samples that are not finite, and a sampling rate that is not a
    positive number.
    """
    require_signals(model)
    signal = np.asarray(signal)
    signal = signal[:, None] if signal.ndim == 1 else signal
    if is_of_clips(model) and signal.ndim == 2 and signal.shape[1] == model.channels:
        signal = clip_window(model, signal, sampling_rate)
    if signal.ndim != 2 or (signal.shape[1] != model.channels and signal.shape[0] == model.channels):
        raise UserError(
            f"the signal has the shape {signal.shape}, expected (length, {model.channels})"
            + (": transpose it, signal.T" if signal.ndim == 2 else "")
        )
    return diagnose_parts(
        model, len(signal), signal.shape[1], sampling_rate, lambda start, stop: signal[start:stop], on_part=on_part
    )


def diagnose_parts(
    model: Model,
    length: int,
    channels: int,
    sampling_rate: float,
    read: Callable[[int, int], np.ndarray],
    *,
    on_part: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:
    """Diagnose a signal ``(length, channels)`` that is read in parts by ``read(start, stop) -> (stop - start, channels)``.

    One part, as ``parts.read_parts`` cuts them, is computed while the next is read, so that a long signal need not fit into
    memory. ``on_part`` and errors as ``diagnose``.
    """
    require_signals(model)
    if model.sampling_rate is None:
        raise UserError("the model does not know the sampling rate of its windows: give it one, to_bundle(sampling_rate=…)")
    if channels != model.channels:
        raise UserError(
            f"the model takes signals of {model.channels} channels, this one has {channels}: {_advice(channels, model.channels)}"
        )
    if not (isinstance(sampling_rate, int | float | np.integer | np.floating) and 0 < sampling_rate < math.inf):
        raise UserError(f"a diagnosis needs the sampling rate of the signal, a positive number of Hz, got {sampling_rate}")
    if getattr(model, "per_revolution", False) and not rates.same(sampling_rate, model.sampling_rate):
        raise UserError(
            "the windows of this model are revolutions of the shaft: ask it by Bundle.diagnose(signal, rate, speed), which "
            "brings a signal to them"
        )
    window = model.window_length
    count = length // window
    if count == 0:
        raise UserError(f"the signal has {length} samples, less than a window of the model, {window}: record for longer")
    probabilities, novelty, rms, constant = [], [], [], []
    kept = not getattr(model, "remove_mean", True)
    parts = measured_parts(read_parts(read, count, window, channels, kept))
    for windows, levels, still in prefetch(parts, ahead_of(window, channels)):
        found, new = answered(model, windows)
        probabilities.append(found)
        novelty.append(new)
        rms.append(levels)
        constant.append(still)
        on_part(sum(map(len, rms)), count)
    levels = np.concatenate(rms), np.concatenate(constant)
    few = 1 if is_of_clips(model) else FEW
    new = None if novelty[0] is None else np.concatenate(novelty)
    starts = np.arange(count) * window
    return summarise(model, np.concatenate(probabilities), *levels, sampling_rate, starts, novelty=new, few=few)


def answered(model: Model, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the probabilities of windows ``(n, classes)`` and, where the model can tell it, the novelty of each ``(n,)``."""
    answer = getattr(model, "answer", None)
    return (model.predict_proba(windows), None) if answer is None else answer(windows)


def summarise(
    model: Model,
    probabilities: np.ndarray,
    rms: np.ndarray,
    constant: np.ndarray,
    sampling_rate: float,
    starts: np.ndarray,
    *,
    novelty: np.ndarray | None = None,
    few: int = FEW,
) -> Diagnosis:
    """Make a diagnosis from the probabilities ``(n, classes)``, RMS ``(n,)``, ``constant_channels`` ``(n, channels)``, first
    samples ``(n,)`` and novelty ``(n,)`` of n windows.

    It has a warning if there are fewer than ``few`` windows. Raises ValueError for probabilities that are not finite.
    """
    if not np.isfinite(probabilities).all():
        raise UserError("the network's numbers overflow on it: is it in the training data's unit?")
    mean = probabilities.mean(0)
    order = [int(i) for i in np.argsort(-mean, kind="stable")]
    top = order[0]
    agreement = float(np.mean(probabilities.argmax(1) == top))
    entropy = -float(np.sum(mean * np.log(np.maximum(mean, 1e-300)))) / np.log(max(len(mean), 2))
    new = None if novelty is None else float(np.median(novelty))
    told = list(warnings_of(model, rms, constant, sampling_rate, new, few))
    possible = possible_classes(model, probabilities)
    doubts = list(doubts_of_classes(model.classes[top], float(mean[top]), agreement, possible))
    # the scores say nothing of a signal that is unlike all that the network was trained on
    doubts += [doubt for doubt, _ in told if doubt]
    return Diagnosis(
        label=model.classes[top],
        probability=float(mean[top]),
        agreement=agreement,
        entropy=entropy,
        best=tuple(Ranked(model.classes[i], float(mean[i])) for i in order[:3]),
        warnings=tuple(warning for _, warning in told),
        sure=not doubts,
        probabilities=probabilities,
        starts=starts,
        doubts=tuple(doubts),
        novelty=new,
        possible=possible,
    )


def possible_classes(model: Model, probabilities: np.ndarray) -> tuple[str, ...] | None:
    """Return the classes that a recording may be of, by the probabilities of its windows ``(n, classes)``; see ``Diagnosis``."""
    held_out = getattr(model, "surprises", None)
    if held_out is None:
        return None
    # half of the risk for each window, so that the majority has all of it
    inside = majority_set(prediction_sets(probabilities, held_out, 1 - (1 - COVERAGE) / 2))
    return tuple(label for label, there in zip(model.classes, inside, strict=True) if there)


def _advice(channels: int, wanted: int) -> str:
    """Return what to do where a signal has another number of channels than the model."""
    if channels > wanted:
        return "choose the channel, by --channel NAME"
    return "name all of them, by --channel NAME+NAME, in the order of the training"
