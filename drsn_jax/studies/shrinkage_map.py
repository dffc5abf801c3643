"""Where shrinkage pays: the same network with thresholds and without, on three representations and with few or many windows.

For each representation of a window and each number of labelled windows two ensembles are trained, one with thresholds and one
without. Their members differ in the seed, which decides initial parameters, the windows that are labelled, their order and the
noise; equal seeds of the two ensembles make a pair. All members are trained in a mixture of noises and tested in each of them.
"""

import contextlib
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from drsn_jax.data.windows import Fold, some_of_each_class
from drsn_jax.evaluation.inspection import thresholds
from drsn_jax.evaluation.metrics import confusion_matrix, scores
from drsn_jax.evaluation.prediction import predict
from drsn_jax.functional.noise import NO_NOISE, NOISE_KINDS, Noise
from drsn_jax.functional.noise_mixture import NoiseMixture
from drsn_jax.nn.networks import Network
from drsn_jax.studies.cells import COUNT, NUMBER, SHARE, SNR, TEXT, one_of
from drsn_jax.studies.representations import REPRESENTATIONS
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.tables import Table
from drsn_jax.studies.trial_data import noisy_test
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.ensembles import Ensemble
from drsn_jax.training.members import Member
from drsn_jax.training.optimizers import one_cycle_optimizer
from drsn_jax.training.progress import Epoch

ROUND = 512  # training sets are filled up to a multiple of it, so that folds of nearly equal size share one compiled step
TRAINED_DB = (-10.0, 10.0)  # the levels of the noise in training
LOOKED_AT_DB = (math.inf, 5.0, 0.0, -5.0, -10.0)  # the levels at which thresholds are looked at
INSPECTED = 256  # test windows whose thresholds are looked at
NONE = "none"
CELL = ("representation", "labelled", "shrinkage", "fold", "seed")
_KINDS = dict(zip(CELL, (one_of(tuple(REPRESENTATIONS)), COUNT, TEXT, TEXT, COUNT), strict=True))
TABLES = {
    "results": Table(
        {
            **_KINDS,
            "noise": one_of((*NOISE_KINDS, NO_NOISE)),
            "snr_db": SNR,
            "balanced_accuracy": SHARE,
        },
        (*CELL, "noise", "snr_db"),
    ),
    "thresholds": Table(
        {
            **_KINDS,
            "unit": TEXT,
            "snr_db": SNR,
            **dict.fromkeys(("alpha", "spread", "zeros", "collapsed"), NUMBER),
        },
        (*CELL, "unit", "snr_db"),
    ),
}


@dataclass(frozen=True)
class Cell:
    """What one pair of ensembles is trained on.

    Fields:
      representation: a name of ``REPRESENTATIONS``.
      labelled: how many windows of each class are labelled; 0 means all.
    """

    representation: str
    labelled: int

    def __str__(self) -> str:
        return f"{self.representation}, {self.labelled or 'all'} labelled"


@dataclass(eq=False)
class ShrinkageMap:
    """How the pairs of a map are trained and tested.

    Fields:
      classes: the number of classes.
      kinds: the kinds of noise in the trainings and in the tests.
      snr_db: the level of the tests in dB.
      seeds: of the members.
      shrinkage: the kind of thresholds, ``"channel_wise"`` or ``"channel_shared"``.
      steps, batch_size: of each training, about so many steps. All numbers of labelled windows get the same.
      learning_rate: the highest one of AdamW.
      checkpoint_seconds: how many seconds of work an interruption may cost.
      size: fields of all networks that differ from those of ``REPRESENTATIONS``, for a dry run.
      diverged: the members that stopped because their numbers were no longer finite; ``run`` adds to it.
    """

    classes: int
    kinds: Sequence[str]
    snr_db: float
    seeds: Sequence[int]
    shrinkage: str = "channel_wise"
    steps: int = 600
    batch_size: int = 32
    learning_rate: float = 3e-3
    checkpoint_seconds: float = 30.0
    size: dict[str, Any] = field(default_factory=dict)
    diverged: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._ensemble = functools.cache(self._new_ensemble)

    @property
    def tests(self) -> list[Noise]:
        """The noises of the tests: none, and each kind at the level."""
        return [Noise(), *(Noise(kind, self.snr_db) for kind in self.kinds)]

    def missing(self, cells: Sequence[Cell], fold: Fold, folder: RunFolder) -> int:
        """Return how many epochs of ensembles the folder lacks for a fold."""
        done = _complete(folder, len(self.tests))
        lacking = sum(not self._keys(*pair, fold.name) <= done for pair in self._pairs(cells))
        return lacking * self.epochs(fold)

    def epochs(self, fold: Fold) -> int:
        """Return how many epochs each training of a fold has."""
        return max(1, round(self.steps * self.batch_size / _filled(len(fold.train.labels))))

    def run(
        self,
        cells: Sequence[Cell],
        fold: Fold,
        folder: RunFolder,
        on_epoch: Callable[[str, Epoch], None] = lambda name, epoch: None,
    ) -> Iterator[tuple[str, float]]:
        """Train and test the ensembles that the folder lacks; yield the name of each with its mean balanced accuracy over noises
        and seeds. ``on_epoch(name, epoch)`` is called after every epoch.

        An ensemble that was interrupted goes on from its last checkpoint. A member whose numbers are no longer finite gets no
        rows but an entry in ``diverged``. Thresholds are looked at in the networks with the most labelled windows.
        """
        done = _complete(folder, len(self.tests))
        most = max(cells, key=lambda cell: cell.labelled or math.inf).labelled
        for cell, shrinkage in self._pairs(cells):
            if self._keys(cell, shrinkage, fold.name) <= done:
                continue
            name = f"{cell}, {shrinkage}, {fold.name}"
            checkpoints = Checkpoints(folder.checkpoints_of(name, name), seconds=self.checkpoint_seconds)
            network, variables, diverged = self.train(cell, shrinkage, fold, functools.partial(on_epoch, name), checkpoints)
            accuracies = []
            for number, seed in enumerate(self.seeds):
                if diverged[number]:
                    self.diverged.append(f"{name}, seed {seed}")
                    continue
                member = jax.tree.map(lambda leaf: leaf[number], variables)  # noqa: B023
                own = dict(zip(CELL, (cell.representation, cell.labelled, shrinkage, fold.name, seed), strict=True))
                if shrinkage != NONE and cell.labelled == most:
                    look = self._look(network, member, fold, cell, seed)
                    folder.add_rows("thresholds", [{**own, **row} for row in look], key=CELL)
                tested = self.test(network, member, fold, cell, seed)
                accuracies += [row["balanced_accuracy"] for row in tested]
                folder.add_rows("results", [{**own, **row} for row in tested], key=CELL)
            checkpoints.remove()
            yield name, float(np.mean(accuracies)) if accuracies else math.nan
        with contextlib.suppress(OSError):
            (folder.path / "checkpoints").rmdir()

    def train(
        self,
        cell: Cell,
        shrinkage: str,
        fold: Fold,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        checkpoints: Checkpoints | None = None,
    ) -> tuple[Network, Any, np.ndarray]:
        """Train the members of an ensemble; returns their network, their variables, stacked ``(seeds, ...)``, and whether the
        numbers of each stopped being finite, ``(seeds,)``."""
        labels, last = fold.train.labels, None
        size = _filled(len(labels))
        members = [self._member(seed, _taken(labels, cell.labelled, seed, size)) for seed in self.seeds]
        # no member takes what fills the windows up: it makes equal shapes of folds of nearly equal size
        shared = np.resize(np.arange(len(labels)), size)
        windows = np.asarray(fold.train.windows)[shared]
        ensemble = self._ensemble(cell.representation, shrinkage, windows.shape, self.epochs(fold)).with_members(members)
        for last in ensemble.fit(windows, labels[shared], checkpoints=checkpoints):
            on_epoch(last)
        assert last is not None, "fit yields at least one"
        return ensemble.network, jax.device_get(last.variables), last.diverged

    def network(self, representation: str, shrinkage: str) -> Network:
        """Return the network for a representation, with thresholds or without."""
        fields = {**REPRESENTATIONS[representation][1], **self.size}
        return Network(classes=self.classes, shrinkage=None if shrinkage == NONE else shrinkage, **fields)

    def _new_ensemble(self, representation: str, shrinkage: str, shape: tuple[int, ...], epochs: int) -> Ensemble:
        return Ensemble(
            self.network(representation, shrinkage),
            [self._member(seed, np.arange(shape[0])) for seed in self.seeds],
            examples=shape[0],
            epochs=epochs,
            batch_size=self.batch_size,
            prepare=REPRESENTATIONS[representation][0],
            optimizer=one_cycle_optimizer,
        )

    def _member(self, seed: int, windows: np.ndarray) -> Member:
        return Member(seed, NoiseMixture(self.kinds, TRAINED_DB), self.learning_rate, windows)

    def _pairs(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, str]]:
        return itertools.product(cells, (NONE, self.shrinkage))

    def test(self, network: Network, variables: Any, fold: Fold, cell: Cell, seed: int) -> list[dict[str, Any]]:
        """Return the balanced accuracy of a member in each noise of the tests, as rows of a table."""
        step, rows = _predicting(network, cell.representation), []  # pyright: ignore[reportArgumentType]
        for noise in self.tests:
            test = noisy_test(fold, seed, noise)
            predicted = np.argmax(predict(step, variables, np.asarray(test.windows)), -1)
            accuracy = scores(confusion_matrix(test.labels, predicted, self.classes)).balanced_accuracy
            rows.append({"noise": noise.kind, "snr_db": noise.snr_db, "balanced_accuracy": round(accuracy, 6)})
        return rows

    def _look(self, network: Network, variables: Any, fold: Fold, cell: Cell, seed: int) -> Iterator[dict[str, Any]]:
        """Yield rows about the thresholds of a member: of each unit, at each level of Gaussian noise."""
        chosen = np.linspace(0, len(fold.test.labels) - 1, min(INSPECTED, len(fold.test.labels))).astype(int)
        some = fold._replace(test=fold.test.select(chosen))
        for level in LOOKED_AT_DB:
            noise = Noise() if level == math.inf else Noise("gaussian", level)
            seen = _prepared(cell.representation)(np.asarray(noisy_test(some, seed, noise).windows))
            for unit in thresholds(network, variables, np.asarray(seen)):
                values = unit.alpha.mean(), unit.alpha.mean(-1).std(), unit.zeros.mean(), unit.collapsed
                names = ("alpha", "spread", "zeros", "collapsed")
                found = {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}
                yield {"unit": unit.unit, "snr_db": level, **found}

    def _keys(self, cell: Cell, shrinkage: str, fold: str) -> set[tuple[str, ...]]:
        return {(cell.representation, str(cell.labelled), shrinkage, fold, str(seed)) for seed in self.seeds}


def _filled(count: int) -> int:
    """Return the next multiple of ``ROUND``."""
    return -(-count // ROUND) * ROUND


def _taken(labels: np.ndarray, labelled: int, seed: int, size: int) -> np.ndarray:
    """Return the windows that a member takes in an epoch, so many of them: those that are labelled, again and again.

    An epoch of few windows is thus as long as one of all, and one compiled step serves both. The order is random, because those
    at its beginning are taken once more than the others, and must not be all of one class.
    """
    chosen = np.arange(len(labels)) if labelled == 0 else some_of_each_class(labels, labelled, seed)
    return np.resize(np.random.default_rng(seed).permutation(chosen), size)


def _complete(folder: RunFolder, tests: int) -> set[tuple[str, ...]]:
    """Return the members that were tested in all noises."""
    counts = Counter(tuple(row[name] for name in CELL) for row in folder.rows("results"))
    return {key for key, count in counts.items() if count >= tests}


@functools.cache
def _prepared(representation: str) -> Callable[..., jax.Array]:
    return jax.jit(jax.vmap(REPRESENTATIONS[representation][0]))


@functools.lru_cache(maxsize=8)
def _predicting(network: Any, representation: str) -> Callable[..., jax.Array]:
    prepare = jax.vmap(REPRESENTATIONS[representation][0])
    return jax.jit(lambda variables, windows: network.apply(variables, prepare(windows), train=False))
