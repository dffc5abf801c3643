"""What speaks against an answer: in what a recording is unlike the data that its model was trained on."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from drsn_jax.data.formats import rates

SURE_PROBABILITY = 0.8  # below it a model that has no held-out windows to compare with is "not sure"
SURE_AGREEMENT = 0.8  # below it a recording holds more than one thing, or the model wavers
NOVEL = 2.0  # a median novelty above it is unlike all that the network was trained on; above 1 another load of the machine can be
CHANGED = 1.0  # and above it unlike the only class of a model, which is to be watched as it was recorded
RMS_FACTOR = 2.0  # an RMS this many times outside the usual range is unlike the training data
DEAD = 0.2  # a channel that is constant in a larger share of the windows throws doubt on the class


class Trained(Protocol):
    """What is known of the training data of a model."""

    classes: Sequence[str]
    sampling_rate: float
    rms_range: tuple[float, float] | None


def doubts_of_classes(label: str, probability: float, agreement: float, possible: tuple[str, ...] | None) -> Iterator[str]:
    """Yield what speaks against a class in the probabilities of the windows.

    Args:
      label: the class.
      probability: its mean probability.
      agreement: the share of windows in which it is the most probable one.
      possible: the classes that the recording may be of; None for a model that cannot tell them, where the probability decides.
    """
    if possible is None and not probability >= SURE_PROBABILITY:
        yield f"its probability is below {100 * SURE_PROBABILITY:.0f} %"
    if possible == ():
        yield "no class fits more than half of its windows as well as held-out windows of the training fitted theirs"
    elif possible is not None and possible != (label,):
        others = [other for other in possible if other != label]
        yield f"its windows fit {' and '.join(others)}{' as well' if label in possible else ' and not this class'}"
    if not agreement >= SURE_AGREEMENT:
        yield f"less than {100 * SURE_AGREEMENT:.0f} % of its windows agree"


def warnings_of(
    model: Trained, rms: np.ndarray, constant: np.ndarray, sampling_rate: float, novelty: float | None, few: int
) -> Iterator[tuple[str, str]]:
    """Yield each warning with the doubt that it throws on the class, which is empty where it throws none.

    Args:
      model: the model that was asked.
      rms: the root mean square of each window, ``(n,)``.
      constant: whether each channel of each window is constant, ``(n, channels)``.
      sampling_rate: of the recording, in Hz.
      novelty: the median novelty of its windows; None where the model cannot tell it.
      few: fewer windows than this are worth a warning.
    """
    if not rates.same(sampling_rate, model.sampling_rate):
        yield (
            "its sampling rate is not that of the training data",
            f"it is sampled at {sampling_rate:.9g} Hz and the training data at {model.sampling_rate:.9g} Hz: the network sees "
            "all frequencies shifted",
        )
    usual = float(np.median(rms))
    if usual == 0:
        yield "it is silent", "it is silent: a dead channel"
    elif model.rms_range is not None:
        low, high = model.rms_range
        if not low / RMS_FACTOR <= usual <= high * RMS_FACTOR:
            yield (
                "its level is far from that of the training data",
                f"its RMS of {usual:.3g} is far from the training data's, {low:.3g} to {high:.3g}: another unit or gain?",
            )
    for number, share in enumerate(constant.mean(0), 1):
        if usual > 0 and share > 0:
            doubt = f"channel {number} is dead" if constant.shape[1] > 1 else "the signal drops out"
            where = f"channel {number} of {constant.shape[1]}" if constant.shape[1] > 1 else "it"
            yield doubt if share > DEAD else "", f"{where} is constant in {100 * share:.0f} % of the windows: a loose contact?"
    if len(rms) < few:
        yield "", f"it is only {len(rms)} {'window' if len(rms) == 1 else 'windows'} long"
    yield from _unlike(model, novelty)


def _unlike(model: Trained, novelty: float | None) -> Iterator[tuple[str, str]]:
    """Yield the warning of a recording whose features are far from those of the training, with its doubt."""
    if novelty is None:
        return
    only = repr(model.classes[0]) if len(model.classes) == 1 else ""
    if only and not novelty <= CHANGED:
        yield (
            f"it is unlike the recordings of {only}",
            f"half of its windows are {novelty:.3g} times as far from the recordings of {only} as all but one in a "
            "hundred of the windows held out there: the machine has changed, or its load, speed, sensor or noise",
        )
    elif not novelty <= NOVEL:
        yield (
            "it is unlike all that the network was trained on",
            f"to the network its windows look unlike all of the training: half of them are {novelty:.3g} times as far from it as "
            "all but one in a hundred of the windows held out there: another machine, or a state that was never trained?",
        )
