"""A comparison: the trials folds × noises × seeds × networks, whose results go into one run folder; trials done are skipped."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drsn_jax.core.distributed import Device, is_main_process
from drsn_jax.data.windows import Fold
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.evaluation.inspection import pooled_features
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.networks import NETWORKS
from drsn_jax.studies.baseline import BASELINE, SpectrumBaseline
from drsn_jax.studies.comparison_results import Trial, epoch_record, feature_files, trial_key, write_features, write_result
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import TrialData, tested_in, training_scale, with_noise
from drsn_jax.studies.trials import Result, Trainer
from drsn_jax.studies.votes import KeptProbabilities
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.progress import Diverged, Epoch

MOST_FEATURES = 400  # at most so many windows have their pooled features kept; t-SNE takes some seconds for them


def noises(kinds: Sequence[str], levels_db: Sequence[float]) -> list[Noise]:
    """Return the noises of all kinds at all levels in dB; the level ``inf`` gives one noise for all kinds, ``Noise()``."""
    return list(dict.fromkeys(Noise(kind, snr_db) for kind in kinds for snr_db in levels_db))


@dataclass(eq=False)
class Comparison:
    """What is compared, and how it is trained.

    Fields:
      networks: names of presets.
      classes: the names of the classes.
      noises: the noises of the tests, or other disturbances (see ``Disturbance``), and of the trainings too if ``config`` has no
        range of SNRs. With such a range one training serves all tests of its kind (``TrainingConfig.trainings``).
      seeds: each decides initial parameters, the order of windows and the draws of noise.
      protocol: the name of the way in which the folds were made, for the tables.
      config: how each network is trained.
      size: fields of the networks that differ from those of the presets, for example ``{"units": (1, 1)}``.
      devices: devices of this process over which batches are spread.
      init_from: a trained network from which all trainings start, with a new classifier; ``networks`` then holds only its name.
      checkpoint_seconds: how many seconds of work may be lost; None makes no checkpoints.
      best_model: keeps the best network; None keeps none.
      kept: keeps the probabilities of all trainings for their test windows; None keeps none.
      kinds: the kinds of noise of the trainings on a range of SNRs; by default those of ``noises``.
      plan: the disturbance of each training, with those in which its network is tested, in place of those that ``noises`` and
        ``config`` make; all trainings have the same number of tests.
      baselines: the methods that are tested beside the networks, by name; each has the methods ``run`` and ``retest`` of
        ``SpectrumBaseline``. By default logistic regression on the spectrum.
      presets: makes a network from ``classes`` and the fields in ``size``, by name.
      diverged: the trials that stopped because their numbers were no longer finite, each with the reason; ``run`` adds to it.
    """

    networks: Sequence[str]
    classes: Sequence[str]
    noises: Sequence[Disturbance]
    seeds: Sequence[int]
    protocol: str
    config: TrainingConfig = TrainingConfig()  # noqa: RUF009
    size: dict[str, Any] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    init_from: Bundle | None = None
    checkpoint_seconds: float | None = 30.0
    best_model: BestModel | None = None
    kept: KeptProbabilities | None = None
    kinds: Sequence[str] = ()
    plan: Sequence[tuple[Disturbance, Sequence[Disturbance]]] | None = None
    baselines: Mapping[str, Any] | None = None
    presets: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: NETWORKS)
    diverged: list[tuple[str, str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.baselines is None:
            self.baselines = {BASELINE: SpectrumBaseline(len(self.classes), self.config.standardise)}
        self.trainer = functools.cache(self._trainer)

    @property
    def trials(self) -> int:
        """The number of trainings of one fold."""
        return len(self.networks) * len(self.trainings) * len(self.seeds)

    @property
    def trainings(self) -> Sequence[tuple[Disturbance, Sequence[Disturbance]]]:
        """The noise of each training, with the noises in which its network is tested."""
        return self.config.trainings(self.noises, self.kinds) if self.plan is None else self.plan

    def missing(self, folder: RunFolder, folds: int) -> int:
        """Return how many trainings of ``folds`` folds the folder lacks."""
        return max(0, folds * self.trials - _complete(self, folder.rows("results")))

    def estimate(self, fold: Fold) -> Iterator[tuple[str, float]]:
        """Compile each network and yield its name and the seconds that one training on this fold will take, measured on a few
        steps."""
        train_noise, tests = self.trainings[0]
        data = with_noise(fold, seed=self.seeds[0], noise=tests[0], train_noise=train_noise)
        for network in self.networks:
            yield network, self._method(network, data).probe(data)

    def run(
        self, fold: Fold, folder: RunFolder, recordings: Sequence[str], on_epoch: Callable[[str, Epoch], None]
    ) -> Iterator[dict[str, Any]]:
        """Run the trials of one fold that ``results.csv`` lacks and yield its new rows.

        A training that was interrupted goes on from its last checkpoint. A training that diverges gets no row but an entry in
        ``diverged``, and the other trials go on. ``recordings`` are the names of the recordings; ``on_epoch(network, epoch)`` is
        called after every epoch.
        """
        done = {trial_key(row) for row in folder.rows("results")}
        for train_noise, tests in self.trainings:
            for seed in self.seeds:
                data = functools.cache(functools.partial(with_noise, fold, seed=seed, noise=tests[0], train_noise=train_noise))
                for network in (*(self.baselines or ()), *self.networks):
                    trials = [Trial(network, noise, self.protocol, fold.name, seed, train_noise) for noise in tests]
                    missing = [trial for trial in trials if trial.key not in done]
                    if not missing:
                        self.checkpoints(folder, trials[0]).remove()
                        continue
                    try:
                        result = self._result(folder, trials[0], data, on_epoch)
                    except Diverged as error:
                        self.diverged.append((str(trials[0]), str(error)))
                        continue
                    if result is not None and is_main_process():
                        self._keep(folder, trials, data(), fold, result)
                        for trial in missing:
                            tested = result if trial is trials[0] else self._retest(trial, data(), fold, result)
                            yield write_result(folder, trial, tested, fold, recordings, self.classes)
                        self.checkpoints(folder, trials[0]).remove()
        if is_main_process():
            with contextlib.suppress(OSError):  # it is not empty if a training diverged, whose checkpoints are kept
                (folder.path / "checkpoints").rmdir()

    def checkpoints(self, folder: RunFolder, trial: Trial) -> Checkpoints:
        """Return the checkpoints of the training of a trial, in a folder of its own whose name says which training it is."""
        key = trial.training_key
        return Checkpoints(folder.checkpoints_of("-".join(key), key), seconds=self.checkpoint_seconds or 0.0)

    def _trainer(self, network: str, examples: int, scale: float = 1.0) -> Trainer:
        """Make the trainer of one network, whose compiled steps all noises and seeds share; ``scale`` divides the windows."""
        base = self.init_from.network if self.init_from else self.presets[network](classes=len(self.classes), **self.size)
        return Trainer(
            base.clone(classes=len(self.classes)),
            self.config,
            examples=examples,
            devices=self.devices,
            init_from=self.init_from.variables if self.init_from else None,
            scale=scale,
        )

    def _result(
        self, folder: RunFolder, trial: Trial, data: Callable[[], TrialData], on_epoch: Callable[[str, Epoch], None]
    ) -> Result | None:
        """Train and test the network or the baseline of a trial; return None on a process that has no part in it."""
        method = self._method(trial.network, data())
        if not method.collective and not is_main_process():
            return None
        begun = False

        def log(epoch: Epoch, confusion: np.ndarray) -> None:
            nonlocal begun
            if not begun:  # the epochs that were logged after the last checkpoint are made again
                folder.forget(trial.record, from_epoch=epoch.number)
                begun = True
            if is_main_process():
                folder.log(epoch_record(trial, epoch, confusion))
            on_epoch(trial.network, epoch)

        checkpoints = None if self.checkpoint_seconds is None else self.checkpoints(folder, trial)
        return method.run(data(), seed=trial.seed, on_epoch=log, checkpoints=checkpoints)

    def _method(self, network: str, data: TrialData) -> Any:
        """Return what trains and tests a network or the baseline on these data."""
        if self.baselines and network in self.baselines:
            return self.baselines[network]
        if self.config.standardise != "training":
            return self.trainer(network, len(data.train.windows))
        # one that was trained before keeps the scale that its weights know
        known = float(self.init_from.network.scale) if self.init_from else 1.0  # pyright: ignore[reportArgumentType]
        return self.trainer(network, len(data.train.windows), known if known != 1.0 else training_scale(data.train.windows))

    def _retest(self, trial: Trial, data: TrialData, fold: Fold, result: Result) -> Result:
        """Test what a training has left in the noise of another trial of that training."""
        other = tested_in(data, fold, seed=trial.seed, noise=trial.noise)
        return self._method(trial.network, data).retest(result, other)

    def _keep(self, folder: RunFolder, trials: Sequence[Trial], data: TrialData, fold: Fold, result: Result) -> None:
        """Keep what a training says of its tests, the pooled features of a network's first trial, and the best network so far."""
        if self.kept is not None:
            self.kept.keep(trials, fold, functools.partial(self._retest, data=data, fold=fold, result=result))
        trial = trials[0]
        if result.network is None:
            return
        if trial.network not in feature_files(folder.path) and len(data.test.windows):
            numbers = np.unique(np.linspace(0, len(data.test.windows) - 1, MOST_FEATURES).astype(int))
            features = pooled_features(result.network, result.variables, data.test.windows[numbers])
            write_features(folder.path, trial.network, features, data.test.labels[numbers], self.classes)
        if self.best_model is not None:
            # a function, so that the noises are drawn only for a network that is kept
            tests = lambda: (tested_in(data, fold, seed=trial.seed, noise=noise) for noise in self.noises)  # noqa: E731
            self.best_model.offer(trial, data, fold, result, tests)


def tell_diverged(comparisons: Sequence[Comparison], trials: int) -> None:
    """Raise ArithmeticError if one of ``trials`` trainings stopped; the message lists those that did."""
    if diverged := [pair for comparison in comparisons for pair in comparison.diverged]:
        raise ArithmeticError(
            f"{len(diverged)} of {trials} trainings stopped and have no row in the tables; the same command with --out tries "
            "them again:" + "".join(f"\n  {trial}: {why}" for trial, why in diverged)
        )


def _complete(comparison: Comparison, rows: Sequence[Mapping[str, str]]) -> int:
    """Return how many trainings of a comparison have all their rows, of whatever fold."""
    planned = {
        Trial(network, noise, comparison.protocol, "", seed, train_noise).key
        for network in comparison.networks
        for train_noise, tests in comparison.trainings
        for noise in tests
        for seed in comparison.seeds
    }
    # all trainings have the same number of tests, each of which is a row
    tests = len(comparison.trainings[0][1])
    names = ("network", "train_noise", "train_snr_db", "fold", "seed")
    own = [row for row in rows if trial_key({**row, "fold": ""}) in planned]
    return sum(count >= tests for count in Counter(tuple(row[name] for name in names) for row in own).values())
