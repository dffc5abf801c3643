"""Trained in one noise, tested in others: networks, their trainings, and the rows that are written of them."""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from drsn_jax.data.folds import Fold
from drsn_jax.diagnostics import has_thresholds, shrinkages, thresholds
from drsn_jax.ensembles import Ensemble, EnsembleEpoch
from drsn_jax.files import write_atomically
from drsn_jax.members import Member
from drsn_jax.networks import Network, drsn_cs, drsn_cw, resnet
from drsn_jax.noise import add_noise_once
from drsn_jax.noise_grids import NoiseGrid, noise_grid
from drsn_jax.parallel import Device
from drsn_jax.runs import RunFolder
from drsn_jax.signals import standardise
from drsn_jax.thresholding import THRESHOLD_RULES

NO_RULE = "none"
RULES = (*THRESHOLD_RULES, NO_RULE)
CLEAN = math.inf
TRAINING = ("rule", "train_noise", "train_snr_db", "seed")  # the columns that tell trainings apart
TEST = 1  # purpose of the key of the test noise
LOOKED_AT = 512  # windows, for what the thresholds do


@dataclass(frozen=True)
class Training:
    """What is trained: the rule of the thresholds (``"none"``: a plain residual network) and the noise it meets."""

    rule: str
    member: Member

    @property
    def key(self) -> dict[str, Any]:
        """The columns of its rows that tell it from others."""
        noise = "none" if self.member.snr_db == CLEAN else self.member.noise
        return dict(zip(TRAINING, (self.rule, noise, level_name(self.member.snr_db), self.member.seed), strict=True))


def level_name(snr_db: float | tuple[float, float]) -> str:
    """A level of training as tables say it: ``-5``, ``inf`` (clean) or ``-5..5``."""
    return f"{snr_db[0]:g}..{snr_db[1]:g}" if isinstance(snr_db, tuple) else f"{snr_db:g}"


def plan(
    kinds: Sequence[str],
    levels: Sequence[float],
    *,
    rules: Sequence[str],
    rule_levels: Sequence[float],
    ranges: bool = True,
    seeds: Sequence[int] = (0,),
    learning_rate: float = 0.1,
) -> list[Training]:
    """The trainings that answer the questions: soft thresholds at every level of every kind, clean, and on a range of levels
    (with ``ranges``, from the lowest to the highest finite one); every rule at ``rule_levels`` of the first kind.

    A training that answers two questions is made once. Raises ValueError without kinds, levels or seeds.
    """
    if not (kinds and levels and seeds):
        raise ValueError(f"an ablation has kinds of noise, levels and seeds, got {list(kinds)}, {list(levels)}, {list(seeds)}")
    finite = [level for level in levels if math.isfinite(level)]
    found: list[Training] = []
    for seed in seeds:
        of = lambda rule, kind, level: Training(rule, Member(seed, kind, level, learning_rate))  # noqa: E731, B023
        found += [of("soft", kinds[0] if level == CLEAN else kind, level) for kind in kinds for level in levels]
        if ranges and len(finite) > 1:
            found.append(of("soft", kinds[0], CLEAN))
            found += [of("soft", kind, (min(finite), max(finite))) for kind in kinds]
        found += [of(rule, kinds[0], level) for rule in rules for level in rule_levels]
    return list(dict.fromkeys(found))


def build(rule: str, classes: int, units: tuple[int, ...], shared: bool = False) -> Network:
    """The network of a rule; with ``shared`` one threshold for all channels."""
    if rule == NO_RULE:
        return resnet(classes=classes, units=units)
    return (drsn_cs if shared else drsn_cw)(classes=classes, units=units, threshold_rule=rule)


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
        done = {tuple(row[name] for name in TRAINING) for row in folder.rows("results")}
        for rule in dict.fromkeys(training.rule for training in trainings):
            missing = [t for t in trainings if t.rule == rule and tuple(map(str, t.key.values())) not in done]
            if missing:
                yield from self._train(rule, missing, fold, folder, on_epoch)

    def _train(
        self,
        rule: str,
        trainings: Sequence[Training],
        fold: Fold,
        folder: RunFolder,
        on_epoch: Callable[[str, EnsembleEpoch, int], None],
    ) -> Iterator[Mapping[str, Any]]:
        network = build(rule, self.classes, self.units, self.shared)
        members = [training.member for training in trainings]
        ensemble = Ensemble(
            network,
            members,
            examples=len(fold.train),
            epochs=self.epochs,
            batch_size=self.batch_size,
            devices=self.devices if len(members) > 1 else None,
        )
        epoch = None
        for epoch in ensemble.run(np.asarray(fold.train), fold.train_labels):
            on_epoch(rule, epoch, len(members))
        assert epoch is not None
        variables = jax.device_get(epoch.variables)
        for number, training in enumerate(trainings):
            if epoch.diverged[number]:
                yield {**training.key, "accuracy": None}
                continue
            one = jax.tree.map(lambda leaf: leaf[number], variables)  # noqa: B023
            grid = noise_grid(
                network,
                one,
                fold.test,
                fold.test_labels,
                self.kinds,
                self.levels,
                self.repeats,
                self._key(),
                devices=self.devices,
            )
            if has_thresholds(network):
                folder.add_rows("thresholds", list(self._threshold_rows(network, one, fold, training)), key=TRAINING)
                if isinstance(training.member.snr_db, tuple):
                    self._keep_window(network, one, fold, folder)
            rows = list(grid_rows(training, grid))
            folder.add_rows("results", rows, key=TRAINING)
            yield min(rows, key=lambda row: row["test_snr_db"])

    def _key(self) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self.seed), TEST)

    def _noisy(self, fold: Fold, count: int, level: float) -> np.ndarray:
        """The first ``count`` test windows as the test's first draw meets them."""
        chosen = np.linspace(0, len(fold.test) - 1, min(count, len(fold.test))).astype(int)
        key = jax.random.fold_in(self._key(), 0)
        noisy = add_noise_once(key, fold.test[chosen], level, self.kinds[0])
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
        """One window at the lowest level, before and after every shrinkage, in ``shrinkage.npz``."""
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
