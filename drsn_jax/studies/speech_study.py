"""In which noise the networks of a speech comparison are trained and tested."""

import math
from collections.abc import Sequence

import numpy as np

from drsn_jax.data.speech import bank_of_voices
from drsn_jax.data.windows import Fold
from drsn_jax.functional.roadside import Roadside


def plan(
    kinds: Sequence[str],
    levels_db: Sequence[float],
    trained_db: tuple[float, float] | None,
    fold: Fold,
    sampling_rate: float,
    recorded: np.ndarray | None = None,
) -> list[tuple[Roadside, list[Roadside]]]:
    """Return the noise of each training with the noises of its tests, as ``Comparison.plan``.

    With a range ``trained_db`` in dB there is a training for each of the ``kinds``, which is tested at all ``levels_db`` of its
    kind. Without a range there is one training, without noise, which is tested in all kinds.

    The voices behind the voice are clips of the training side in training. In tests they are clips of the validation side, which
    no network was trained on. Recorded noise ``(1, samples, channels)`` is cut in two: the first two thirds are for training, the
    rest for tests, unless a window is longer than that rest.
    """
    voices = bank_of_voices(fold.train), bank_of_voices(fold.validation)
    pieces = _in_two(recorded, fold.train.windows.shape[1])

    def noise(kind: str, testing: bool) -> Roadside:
        return Roadside(kind, 0.0, sampling_rate, (pieces if kind == "recorded" else voices)[testing])

    tested = {kind: noise(kind, True) for kind in kinds}
    # the absence of noise is one test, however many kinds there are
    quiet, noisy = [Roadside()] * (math.inf in levels_db), [level for level in levels_db if level != math.inf]
    if trained_db is None:
        return [(Roadside(), [*(tested[kind].at(level) for kind in kinds for level in noisy), *quiet])]
    return [(noise(kind, False).at(trained_db), [*(tested[kind].at(level) for level in noisy), *quiet]) for kind in kinds]


def _in_two(recorded: np.ndarray | None, length: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the stretches of recorded noise for training and for tests; the same one where it is short."""
    if recorded is None:
        return None, None
    cut = 2 * recorded.shape[1] // 3
    return (recorded, recorded) if recorded.shape[1] - cut < length else (recorded[:, :cut], recorded[:, cut:])
