"""What a comparison on pictures has of its own: its disturbances, logistic regression on pixels, and maps of what was zeroed."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.files import read_arrays, write_arrays
from drsn_jax.data.windows import Fold, Side
from drsn_jax.evaluation.inspection import has_thresholds, zero_maps
from drsn_jax.functional.clutter import Clutter
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.baseline import FittedMethod
from drsn_jax.studies.comparison_results import Trial
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.trial_data import TrialData, standardised, tested_in
from drsn_jax.studies.trials import Result

PIXELS = "pixels_logistic"  # the name of the method beside the networks in the tables
PARTS = 100  # the test pictures are put into so many parts at random, over which intervals are made
SHOWN = 4  # pictures whose maps are drawn
_MAPS = "zeros_"


@dataclass(frozen=True)
class Plan:
    """In which clutter the networks are trained, and in which they are tested.

    Fields:
      bank: the training pictures, from which the distractors are cut in tests too.
      canvas, patch: as in ``Clutter``.
      kinds: the kinds of pixel noise; there is one training for each.
      trained: the range of the number of distractors in training.
      trained_db: the range of SNRs in training; None trains without pixel noise.
      distractors: the numbers of distractors of the tests.
      snr_db: the SNRs of the tests; ``inf`` adds no pixel noise.
    """

    bank: np.ndarray
    canvas: tuple[int, int]
    patch: int
    kinds: Sequence[str]
    trained: tuple[int, int]
    trained_db: tuple[float, float] | None
    distractors: Sequence[int]
    snr_db: Sequence[float]

    def trainings(self) -> list[tuple[Disturbance, list[Disturbance]]]:
        """Return the clutter of each training, with those of its tests: every number of distractors at every SNR."""
        make = self._maker()
        return [
            (
                make(self.trained, Noise() if self.trained_db is None else Noise(kind, self.trained_db)),
                [make(number, Noise(kind, level)) for number in self.distractors for level in self.snr_db],
            )
            for kind in self.kinds
        ]

    def shown(self) -> Disturbance:
        """Return the clutter of the pictures whose maps are drawn: the second largest number of distractors and the best SNR."""
        numbers, levels = sorted(self.distractors), sorted(self.snr_db)
        return self._maker()(numbers[max(0, len(numbers) - 2)], Noise(self.kinds[0], levels[-1]))

    def noise_kinds(self) -> list[str]:
        """Return the kinds of all disturbances, as the tables of the run name them."""
        trainings = self.trainings()
        return list(dict.fromkeys(noise.kind for train, tests in trainings for noise in (train, *tests)))

    def _maker(self) -> Callable[[Any, Noise], Disturbance]:
        bank, most = jnp.asarray(self.bank), max(self.trained[1], *self.distractors)
        return lambda number, noise: Clutter(number, noise, bank, self.canvas, self.patch, most)


def distractors_of(noise: str) -> str:
    """Return the number of distractors of a test by its name in the column ``noise``: ``4`` of ``gaussian + 4 distractors``."""
    match = re.fullmatch(r"(?:\w+ \+ )?(\d+(?:\.\.\d+)?) distractors", noise)
    if match is None:
        raise UserError(f"a test in {noise!r} has no number of distractors: this is no run of image_classification.py")
    return match[1]


def in_parts_of_the_test(fold: Fold, seed: int = 0) -> Fold:
    """Number the test pictures by ``PARTS`` random parts of equal size in place of one by one.

    The bootstrap of a single trial resamples these parts. The pictures are independent, so the interval is that over single
    pictures, and the table ``by_recording`` stays short.
    """
    count = len(fold.test.labels)
    parts = np.random.default_rng(seed).permutation(count) % min(PARTS, count)
    nothing = [np.zeros(len(side.labels), np.int32) for side in (fold.train, fold.validation)]
    return fold._replace(
        train=fold.train._replace(recordings=nothing[0]),
        validation=fold.validation._replace(recordings=nothing[1]),
        test=fold.test._replace(recordings=parts.astype(np.int32)),
    )


class PixelBaseline(FittedMethod):
    """Logistic regression on the pixels of the canvas, which are scaled first as by the networks beside it."""

    def __init__(self, classes: int, standardise: str) -> None:
        def pixels(pictures: np.ndarray) -> np.ndarray:
            return standardised(pictures, standardise).reshape(len(pictures), -1)

        super().__init__(classes, pixels, _regression_of_many)


def _regression_of_many() -> Any:
    from sklearn.linear_model import LogisticRegression

    # there are more pixels than pictures: a weak regularisation would only fit their noise
    return LogisticRegression(C=0.001, max_iter=500)


@dataclasses.dataclass(frozen=True)
class PictureModels(BestModel):
    """Keeps the best network, and for each network with thresholds the maps of what it zeroed in a few test pictures.

    Fields as in ``BestModel``, and
      shown: the clutter of these pictures.
    """

    shown: Disturbance | None = None

    def offer(self, trial: Trial, data: TrialData, fold: Fold, result: Result, tests: Callable[[], Iterable[TrialData]]) -> bool:
        """Keep the maps of the first trial of a network, and the network as ``BestModel`` does."""
        file = self.folder.parent / f"{_MAPS}{trial.network}.npz"
        if result.network is not None and has_thresholds(result.network) and self.shown is not None and not file.exists():
            some = tested_in(data, fold, seed=trial.seed, noise=self.shown).test.select(_one_of_each_class(fold.test))
            write_maps(file, result, some)
        return super().offer(trial, data, fold, result, tests)


def write_maps(file: Path, result: Result, some: Side) -> None:
    """Write pictures with their true and predicted labels, and where each unit of the network of ``result`` zeroed features."""
    assert result.network is not None
    maps = zero_maps(result.network, result.variables, some.windows)
    logits = jax.jit(functools.partial(result.network.apply, train=False))(result.variables, some.windows)
    arrays = {"pictures": some.windows, "labels": some.labels, "predicted": np.argmax(np.asarray(logits), -1)}
    write_arrays(file, {**arrays, **{found.unit: found.share for found in maps}})


def read_maps(file: Path) -> tuple[Mapping[str, np.ndarray], dict[str, np.ndarray]]:
    """Return pictures, labels and predicted labels by name, and the maps by unit; raise UserError for a damaged file."""
    arrays = read_arrays(file)
    units = {name: array for name, array in arrays.items() if name.startswith("stages_")}
    if not {"pictures", "labels", "predicted"} <= arrays.keys() or not units:
        raise UserError(f"{file} is damaged: take it away")
    return arrays, units


def map_files(folder: str | Path) -> dict[str, Path]:
    """Return the files that ``PictureModels`` wrote into the folder of a run, by the name of the network."""
    return {file.stem.removeprefix(_MAPS): file for file in sorted(Path(folder).glob(f"{_MAPS}*.npz"))}


def _one_of_each_class(side: Side) -> np.ndarray:
    """Return the numbers of the first picture of each class, of ``SHOWN`` classes at most."""
    return np.unique(side.labels, return_index=True)[1][:SHOWN]
