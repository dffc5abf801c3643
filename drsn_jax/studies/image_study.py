"""What a comparison on pictures has of its own: its disturbances, logistic regression on pixels, and maps of what was zeroed."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.files import read_arrays, write_arrays
from drsn_jax.data.windows import Fold, Side
from drsn_jax.evaluation.inspection import has_thresholds, zero_maps
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.functional.clutter import Clutter
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.comparison_results import Trial
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.trial_data import TrialData, standardised, tested_in
from drsn_jax.studies.trials import Result
from drsn_jax.training.checkpoints import Checkpoints

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


class PixelBaseline:
    """Logistic regression on the standardised pixels of the canvas, trained and tested like a network.

    It is fitted to one fixed draw of the clutter. Needs scikit-learn (extra ``experiments``).
    """

    collective = False  # only process 0 of a job takes part in a trial

    def __init__(self, classes: int, standardise: str) -> None:
        self._classes, self._standardise = classes, standardise

    def run(
        self,
        data: TrialData,
        *,
        seed: int,
        on_epoch: Callable[..., None] = lambda epoch, confusion: None,
        checkpoints: Checkpoints | None = None,
    ) -> Result:
        """Fit and test. The arguments are those of ``Trainer.run``; there are no epochs and no checkpoints."""
        del seed, on_epoch, checkpoints
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        train = self._pixels(data.train_noisy)
        # there are more pixels than pictures: a weak regularisation would only fit their noise
        regression = LogisticRegression(C=0.001, max_iter=500)
        model = make_pipeline(StandardScaler(), regression).fit(train, data.train.labels)
        fitted = model.predict(train)
        trained = confusion_matrix(data.train.labels, fitted, self._classes)
        parameters = sum(np.size(array) for array in (regression.coef_, regression.intercept_))
        return self.retest(Result(parameters, trained, trained, fitted, model=model), data)

    def retest(self, result: Result, data: TrialData) -> Result:
        """Test the model of a result on the test pictures of ``data``."""
        predicted = result.model.predict(self._pixels(data.test.windows))
        return result._replace(test_confusion=confusion_matrix(data.test.labels, predicted, self._classes), predicted=predicted)

    def _pixels(self, pictures: np.ndarray) -> np.ndarray:
        return standardised(pictures, self._standardise).reshape(len(pictures), -1)


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
    logits = result.network.apply(result.variables, some.windows, train=False)
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
