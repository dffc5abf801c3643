"""Networks trained in one noise and tested in others: how the trainings of a plan are run and tested, and their rows written."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from drsn_jax.core.distributed import Device
from drsn_jax.core.files import write_arrays
from drsn_jax.data.windows import Fold
from drsn_jax.evaluation.inspection import has_thresholds, shrinkages, thresholds
from drsn_jax.evaluation.noise_grids import NoiseGrid, noise_grid
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.networks import Network
from drsn_jax.studies.ablation_plan import TRAINING_COLUMNS, Training, build
from drsn_jax.studies.runs import RunFolder
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.ensembles import Ensemble
from drsn_jax.training.progress import Epoch
from drsn_jax.training.state import KeyPurpose

INSPECTED = 512  # number of test windows on which the thresholds are inspected


@dataclass(eq=False)
class Ablation:
    """How the trainings of an ablation are run and tested.

    Fields:
      classes: the number of classes.
      kinds, levels: the kinds and levels (in dB) of the noise of the test.
      epochs, batch_size: those of each training.
      size: fields of the networks that differ from those of the presets, for example ``{"units": (1, 1)}``.
      shared: whether all channels of a unit share one threshold.
      repeats: the number of draws of the noise of the test.
      seed: decides these draws.
      test_best: whether the network of the epoch with the lowest validation loss is tested, instead of the last one.
      checkpoint_seconds: how many seconds of work may be lost; None makes no checkpoints.
      devices: devices over which trainings and tests are spread.
      sampling_rate: that of the windows in Hz, for the figure of a window; None where it is not known.
    """

    classes: int
    kinds: Sequence[str]
    levels: Sequence[float]
    epochs: int = 20
    batch_size: int = 32
    size: dict[str, Any] = field(default_factory=dict)
    shared: bool = False
    repeats: int = 3
    seed: int = 0
    test_best: bool = False
    checkpoint_seconds: float | None = 30.0
    devices: Sequence[Device] | None = None
    sampling_rate: float | None = None

    def __post_init__(self) -> None:
        self._ensemble = functools.cache(self._new_ensemble)

    def estimate(
        self,
        trainings: Sequence[Training],
        fold: Fold,
        folder: RunFolder,
        on_rule: Callable[[str, int, int], None] = lambda rule, number, count: None,
    ) -> Iterator[float]:
        """For each rule compile its programs and yield the seconds that its missing trainings and their tests will take.

        They are measured on a few steps and one test; the look at the thresholds, whose program is compiled later, is taken to
        compile as long as a test. ``on_rule(rule, number, count)`` is called before each rule is compiled.
        """
        rules = [(of_rule, missing) for of_rule, missing in by_rule(trainings, folder) if missing]
        for number, (of_rule, missing) in enumerate(rules, 1):
            on_rule(of_rule[0].rule, number, len(rules))
            ensemble = self._ensemble(of_rule, len(fold.train.windows))
            training = ensemble.probe(np.asarray(fold.train.windows), fold.train.labels)
            variables = jax.tree.map(lambda leaf: leaf[0], jax.device_get(ensemble.create(fold.train.windows).variables))
            begun = time.perf_counter()
            self._test(ensemble.network, variables, fold)
            start = time.perf_counter()
            self._test(ensemble.network, variables, fold)
            test = time.perf_counter() - start
            look = max(0.0, start - begun - test) if has_thresholds(ensemble.network) else 0.0
            yield training + len(missing) * test + look

    def run(
        self,
        trainings: Sequence[Training],
        fold: Fold,
        folder: RunFolder,
        on_epoch: Callable[[str, Epoch, int], None] = lambda rule, epoch, members: None,
    ) -> Iterator[Mapping[str, Any]]:
        """Run the trainings that the folder lacks, test them and write their rows; yield for each its row at the lowest level.

        The trainings of a rule are members of one ensemble, which goes on from its last checkpoint if it was interrupted.
        ``on_epoch(rule, epoch, members)`` is called after every epoch with the number of members. A training that diverges gets
        no rows; its columns are yielded with ``accuracy`` None.
        """
        for of_rule, missing in by_rule(trainings, folder):
            if missing:
                yield from self._train(of_rule, missing, fold, folder, on_epoch)
            if not by_rule(of_rule, folder)[0][1]:
                self.checkpoints(of_rule, folder).remove()
        with contextlib.suppress(OSError):  # rules with a training that diverged keep theirs
            (folder.path / "checkpoints").rmdir()

    def checkpoints(self, trainings: Sequence[Training], folder: RunFolder) -> Checkpoints:
        """Return the checkpoints of one ensemble, in a folder of its own whose name begins with its rule."""
        own = folder.checkpoints_of(trainings[0].rule, [training.key for training in trainings])
        return Checkpoints(own, seconds=self.checkpoint_seconds or 0.0)

    def noisy_windows(self, fold: Fold, count: int, level: float) -> np.ndarray:
        """Return ``count`` evenly spaced test windows with exactly the noise of the first repeat of the test."""
        windows, key = fold.test.windows, jax.random.fold_in(self._key(), 0)
        numbers = np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(int)
        return np.asarray(_add_noise_of(Noise(self.kinds[0], level), key, numbers, windows[numbers]))

    def threshold_rows(self, training: Training, network: Network, variables: Any, fold: Fold) -> Iterator[dict[str, Any]]:
        """Yield a row about the thresholds of each unit at each level of the first kind of noise."""
        for level in self.levels:
            for unit in thresholds(network, variables, self.noisy_windows(fold, INSPECTED, level)):
                yield {
                    **training.columns,
                    "test_noise": self.kinds[0],
                    "test_snr_db": float(level),
                    "unit": unit.unit,
                    "alpha": _rounded(unit.alpha.mean()),
                    "zeros": _rounded(unit.zeros.mean()),
                    "collapsed": _rounded(unit.collapsed),
                }

    def _new_ensemble(self, trainings: tuple[Training, ...], examples: int) -> Ensemble:
        """Make the ensemble whose members are the trainings of a rule; its step is compiled once."""
        return Ensemble(
            build(trainings[0].rule, self.classes, self.shared, **self.size),
            [training.member for training in trainings],
            examples=examples,
            epochs=self.epochs,
            batch_size=self.batch_size,
            devices=self.devices if len(trainings) > 1 else None,
        )

    def _train(
        self,
        trainings: tuple[Training, ...],
        missing: set[Training],
        fold: Fold,
        folder: RunFolder,
        on_epoch: Callable[[str, Epoch, int], None],
    ) -> Iterator[Mapping[str, Any]]:
        ensemble = self._ensemble(trainings, len(fold.train.windows))
        checkpoints = None if self.checkpoint_seconds is None else self.checkpoints(trainings, folder)
        validation = (fold.validation.windows, fold.validation.labels) if len(fold.validation.windows) else None
        windows, epoch, first = np.asarray(fold.train.windows), None, True
        for epoch in ensemble.fit(windows, fold.train.labels, validation=validation, checkpoints=checkpoints):
            for number, training in enumerate(trainings):
                if first:  # the epochs that were logged after the last checkpoint are made again
                    folder.forget(training.columns, from_epoch=epoch.number)
                folder.log(epoch_record(training, epoch, number))
            on_epoch(trainings[0].rule, epoch, len(trainings))
            first = False
        assert epoch is not None, "fit yields at least one"
        diverged = epoch.diverged
        variables = epoch.best if self.test_best and epoch.best is not None else jax.device_get(epoch.variables)
        for number, training in enumerate(trainings):
            if diverged[number]:
                yield {**training.columns, "accuracy": None}
            elif training in missing:
                own = jax.tree.map(lambda leaf: leaf[number], variables)  # noqa: B023
                yield self._write(training, ensemble.network, own, fold, folder)

    def _write(self, training: Training, network: Network, variables: Any, fold: Fold, folder: RunFolder) -> Mapping[str, Any]:
        """Test one network, write its rows and return the row at the lowest level."""
        grid = self._test(network, variables, fold)
        if has_thresholds(network):
            folder.add_rows("thresholds", list(self.threshold_rows(training, network, variables, fold)), key=TRAINING_COLUMNS)
            noise = training.member.noise
            if noise.is_range and noise.kind == self.kinds[0] and not (folder.path / "shrinkage.npz").exists():
                write_shrinkage(folder, network, variables, self.noisy_windows(fold, 1, min(self.levels))[0], self.sampling_rate)
        rows = list(grid_rows(training, grid))
        folder.add_rows("results", rows, key=TRAINING_COLUMNS)
        return min(rows, key=lambda row: row["test_snr_db"])

    def _test(self, network: Network, variables: Any, fold: Fold) -> NoiseGrid:
        asked = (fold.test.windows, fold.test.labels, self.kinds, self.levels, self.repeats, self._key())
        return noise_grid(network, variables, *asked, devices=self.devices)

    def _key(self) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self.seed), KeyPurpose.TEST_NOISE)


@jax.jit
def _add_noise_of(noise: Noise, key: jax.Array, numbers: ArrayLike, windows: ArrayLike) -> jax.Array:
    """Add to each window the noise that it gets by its number in the whole set."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    return jax.vmap(lambda key, window: noise(key, window))(keys, windows)


def by_rule(trainings: Sequence[Training], folder: RunFolder) -> list[tuple[tuple[Training, ...], set[Training]]]:
    """Group the trainings by their rule; return for each rule its trainings, and those among them that the folder lacks."""
    done = {tuple(row[name] for name in TRAINING_COLUMNS) for row in folder.rows("results")}
    rules: dict[str, list[Training]] = {}
    for training in trainings:
        rules.setdefault(training.rule, []).append(training)
    return [(tuple(of_rule), {training for training in of_rule if training.key not in done}) for of_rule in rules.values()]


def epoch_record(training: Training, epoch: Epoch, number: int) -> dict[str, Any]:
    """Return the record for ``metrics.jsonl`` of an epoch of one training, which is member ``number`` of its ensemble."""
    values = {"train_loss": epoch.loss, "train_accuracy": epoch.accuracy}
    values |= {"validation_loss": epoch.validation_loss, "validation_accuracy": epoch.validation_accuracy}
    own = {name: float(value[number]) for name, value in values.items() if value is not None}
    record = {name: _rounded(value) if math.isfinite(value) else None for name, value in own.items()}
    return {**training.columns, "epoch": epoch.number, **record, "seconds": round(epoch.seconds, 3)}


def write_shrinkage(
    folder: RunFolder, network: Network, variables: Any, window: np.ndarray, sampling_rate: float | None = None
) -> None:
    """Write one window ``(*positions, channels)``, and its features before and after every shrinkage, into ``shrinkage.npz``,
    with the sampling rate in Hz where it is known."""
    arrays = {"window": window} | ({} if sampling_rate is None else {"sampling_rate": np.float64(sampling_rate)})
    for unit in shrinkages(network, variables, window):
        arrays |= {f"{unit.unit}.before": unit.before, f"{unit.unit}.after": unit.after}
    write_arrays(folder.path / "shrinkage.npz", arrays, compressed=True)


def grid_rows(training: Training, grid: NoiseGrid) -> Iterator[dict[str, Any]]:
    """Yield a row of ``results.csv`` for every kind and level of the test, with means over its repeats."""
    windows = int(grid.confusion[0, 0, 0].sum())
    for k, kind in enumerate(grid.kinds):
        for s, level in enumerate(grid.snr_db):
            yield {
                **training.columns,
                "test_noise": kind,
                "test_snr_db": level,
                "windows": windows,
                "repeats": grid.accuracy.shape[2],
                "accuracy": _rounded(grid.accuracy[k, s].mean()),
                "loss": _rounded(grid.loss[k, s].mean()),
                "concentration": _rounded(grid.concentration[k, s].mean()),
            }


def _rounded(value: Any) -> float:
    return round(float(value), 6)
