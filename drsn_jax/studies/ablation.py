"""Trained in one noise, tested in others: the trainings of a plan made and tested, and the rows that are written of them."""

import functools
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from drsn_jax.core.distributed import Device
from drsn_jax.core.files import write_atomically
from drsn_jax.data.windows import Fold
from drsn_jax.evaluation.inspection import has_thresholds, shrinkages, thresholds
from drsn_jax.evaluation.noise_grids import NoiseGrid, noise_grid
from drsn_jax.functional.noise import add_noise
from drsn_jax.functional.signals import standardise
from drsn_jax.nn.networks import Network
from drsn_jax.studies.ablation_plan import TRAINING_COLUMNS, Training, build
from drsn_jax.studies.runs import RunFolder
from drsn_jax.training.ensembles import Ensemble, EnsembleEpoch
from drsn_jax.training.steps import KeyPurpose

LOOKED_AT = 512  # windows, for what the thresholds do


@dataclass(frozen=True)
class Ablation:
    """How trainings are made and tested.

    Fields:
      classes, units: of the networks; ``shared`` takes one threshold for all channels.
      epochs, batch_size: of each training.
      kinds, levels: of the test's noise.
      repeats: draws of the test's noise.
      seed: of the test's noise.
      devices: over which trainings and tests are spread.
    """

    classes: int
    kinds: Sequence[str]
    levels: Sequence[float]
    epochs: int = 20
    batch_size: int = 32
    units: tuple[int, ...] = (4, 4, 4)
    shared: bool = False
    repeats: int = 3
    seed: int = 0
    devices: Sequence[Device] | None = None
    _ensembles: dict[tuple[Training, ...], Ensemble] = field(default_factory=dict, init=False, repr=False, compare=False)

    def estimate(self, trainings: Sequence[Training], fold: Fold, folder: RunFolder) -> Iterator[float]:
        """Compile what each rule needs and yield the seconds of its trainings and tests, measured on a few steps and a test."""
        for rule, missing in self._missing(trainings, folder):
            ensemble = self._ensemble(rule, missing, len(fold.train.windows))
            training = ensemble.probe(np.asarray(fold.train.windows), fold.train.labels)
            variables = jax.device_get(jax.tree.map(lambda leaf: leaf[0], ensemble.create(fold.train.windows).variables))
            self._test(ensemble.network, variables, fold)
            start = time.perf_counter()
            self._test(ensemble.network, variables, fold)
            yield training + len(missing) * (time.perf_counter() - start)

    def run(
        self,
        trainings: Sequence[Training],
        fold: Fold,
        folder: RunFolder,
        on_epoch: Callable[[str, EnsembleEpoch, int], None] = lambda rule, epoch, members: None,
    ) -> Iterator[Mapping[str, Any]]:
        """Make the trainings that the folder lacks, test them and write their rows; yields a row of each, at its lowest level.

        The trainings of a rule are members of one ensemble. One that diverges gets no rows; it is yielded with
        ``accuracy`` None.
        """
        for rule, missing in self._missing(trainings, folder):
            yield from self._train(rule, missing, fold, folder, on_epoch)

    def _missing(self, trainings: Sequence[Training], folder: RunFolder) -> Iterator[tuple[str, list[Training]]]:
        """The trainings of each rule that the folder lacks."""
        done = {tuple(row[name] for name in TRAINING_COLUMNS) for row in folder.rows("results")}
        for rule in dict.fromkeys(training.rule for training in trainings):
            missing = [t for t in trainings if t.rule == rule and tuple(map(str, t.key.values())) not in done]
            if missing:
                yield rule, missing

    def _ensemble(self, rule: str, trainings: Sequence[Training], examples: int) -> Ensemble:
        """Of the trainings of a rule, compiled once."""
        key = tuple(trainings)
        if key not in self._ensembles:
            self._ensembles[key] = Ensemble(
                build(rule, self.classes, self.units, self.shared),
                [training.member for training in trainings],
                examples=examples,
                epochs=self.epochs,
                batch_size=self.batch_size,
                devices=self.devices if len(trainings) > 1 else None,
            )
        return self._ensembles[key]

    def _test(self, network: Network, variables: Any, fold: Fold) -> NoiseGrid:
        return noise_grid(
            network,
            variables,
            fold.test.windows,
            fold.test.labels,
            self.kinds,
            self.levels,
            self.repeats,
            self._key(),
            devices=self.devices,
        )

    def _train(
        self,
        rule: str,
        trainings: Sequence[Training],
        fold: Fold,
        folder: RunFolder,
        on_epoch: Callable[[str, EnsembleEpoch, int], None],
    ) -> Iterator[Mapping[str, Any]]:
        ensemble = self._ensemble(rule, trainings, len(fold.train.windows))
        network = ensemble.network
        epoch = None
        for epoch in ensemble.run(np.asarray(fold.train.windows), fold.train.labels):
            on_epoch(rule, epoch, len(trainings))
        assert epoch is not None
        variables = jax.device_get(epoch.variables)
        for number, training in enumerate(trainings):
            if epoch.diverged[number]:
                yield {**training.key, "accuracy": None}
                continue
            one = jax.tree.map(lambda leaf: leaf[number], variables)  # noqa: B023
            grid = self._test(network, one, fold)
            if has_thresholds(network):
                folder.add_rows("thresholds", list(self._threshold_rows(network, one, fold, training)), key=TRAINING_COLUMNS)
                if training.member.noise == self.kinds[0] and isinstance(training.member.snr_db, tuple):
                    self._keep_window(network, one, fold, folder)
            rows = list(grid_rows(training, grid))
            folder.add_rows("results", rows, key=TRAINING_COLUMNS)
            yield min(rows, key=lambda row: row["test_snr_db"])

    def _key(self) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self.seed), KeyPurpose.TEST_NOISE)

    def _noisy(self, fold: Fold, count: int, level: float) -> np.ndarray:
        """``count`` of the test windows, spread over all, as the test's first draw meets them."""
        chosen = np.linspace(0, len(fold.test.windows) - 1, min(count, len(fold.test.windows))).astype(int)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(self._key(), 0), chosen)
        noisy = jax.vmap(functools.partial(add_noise, snr_db=level, kind=self.kinds[0]))(keys, fold.test.windows[chosen])
        return np.asarray(jax.vmap(standardise)(noisy))

    def _threshold_rows(self, network: Network, variables: Any, fold: Fold, training: Training) -> Iterator[dict[str, Any]]:
        for level in self.levels:
            for unit in thresholds(network, variables, self._noisy(fold, LOOKED_AT, level)):
                yield {
                    **training.key,
                    "test_noise": self.kinds[0],
                    "test_snr_db": float(level),
                    "unit": unit.unit,
                    "alpha": _rounded(unit.alpha.mean()),
                    "zeros": _rounded(unit.zeros.mean()),
                    "collapsed": _rounded(unit.collapsed),
                }

    def _keep_window(self, network: Network, variables: Any, fold: Fold, folder: RunFolder) -> None:
        """One window at the lowest level, before and after every shrinkage, in ``shrinkage.npz``; of the first seed."""
        if (folder.path / "shrinkage.npz").exists():
            return
        window = self._noisy(fold, 1, min(self.levels))[0]
        arrays = {"window": window}
        for unit in shrinkages(network, variables, window):
            arrays |= {f"{unit.unit}.before": unit.before, f"{unit.unit}.after": unit.after}
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
        write_atomically(folder.path / "shrinkage.npz", content.getvalue())


def grid_rows(training: Training, grid: NoiseGrid) -> Iterator[dict[str, Any]]:
    """A row for every kind and level of the test, means over its repeats."""
    windows = int(grid.confusion[0, 0, 0].sum())
    for k, kind in enumerate(grid.kinds):
        for s, level in enumerate(grid.snr_db):
            yield {
                **training.key,
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
