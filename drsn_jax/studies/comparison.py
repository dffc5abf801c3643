"""Many trials into one run folder: folds × conditions of noise × seeds × networks, those that are done skipped."""

import contextlib
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from drsn_jax.core.distributed import Device, is_main_process
from drsn_jax.data.windows import Fold
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.evaluation.inspection import pooled_features
from drsn_jax.evaluation.metrics import confusion_matrix
from drsn_jax.nn.networks import NETWORKS, Network
from drsn_jax.studies.baseline import spectrum_classifier, spectrum_features
from drsn_jax.studies.comparison_results import epoch_record, feature_files, trial_key, trial_record, write_features, write_result
from drsn_jax.studies.comparison_tables import BASELINE
from drsn_jax.studies.model_selection import Keeper
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.trial_data import TrialData, standardised, with_noise
from drsn_jax.studies.trials import Result, Trainer
from drsn_jax.training.checkpoints import Checkpoints
from drsn_jax.training.loop import Epoch
from drsn_jax.training.progress import Diverged

NO_NOISE = "none"


MOST_FEATURES = 400  # windows whose pooled features are kept; t-SNE takes some seconds for so many


class NoiseCondition(NamedTuple):
    """A kind of noise and its SNR in dB; ``("none", inf)`` adds none."""

    noise: str
    snr_db: float


def noise_conditions(kinds: Sequence[str], levels_db: Sequence[float]) -> list[NoiseCondition]:
    """All pairs; an infinite SNR is one condition, whatever the kinds."""
    found = [NoiseCondition(NO_NOISE if math.isinf(snr_db) else kind, snr_db) for kind in kinds for snr_db in levels_db]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how it is trained.

    Fields:
      networks: names of presets in ``NETWORKS``.
      classes: the names of the classes.
      conditions: of noise, the same in training and test.
      seeds: of initial parameters, order of windows and noise.
      epochs, batch_size, learning_rate: of each training.
      fixed_noise: noise in training is added once instead of anew in every step.
      standardise: windows are standardised after the noise.
      units: of each stage of the networks; two numbers make networks of the first two stages.
      protocol: how the folds were made, for the tables.
      devices: of this process, to spread batches over.
      dtype: of the networks' computation, ``"float32"`` or ``"bfloat16"``.
      steps_per_call: steps of one call, for accelerators.
      train_snr_db: a range of SNR in training and validation; the conditions then are those of the test alone.
      start: a trained network from which all trainings start, with a new classifier; ``networks`` then is its name alone.
      body_rate: the share of the learning rate that the parameters of ``start`` get; 0 freezes them.
      best: the network of the epoch with the lowest validation loss is tested, and not the last.
      patience: stop a training after so many epochs without a lower validation loss.
      checkpoint_seconds: how much work of a training may be lost; None makes no checkpoints.
      keeper: keeps the best network; None keeps none.
      diverged: the trials that stopped because their numbers were no longer finite, each with the reason; ``run`` adds to it.
    """

    networks: Sequence[str]
    classes: Sequence[str]
    conditions: Sequence[NoiseCondition]
    seeds: Sequence[int]
    protocol: str
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 0.1
    fixed_noise: bool = False
    standardise: bool = True
    units: tuple[int, ...] = (4, 4, 4)
    devices: tuple[Device, ...] = ()
    dtype: str = "float32"
    steps_per_call: int = 1
    train_snr_db: tuple[float, float] | None = None
    start: Bundle | None = None
    body_rate: float = 1.0
    best: bool = False
    patience: int | None = None
    checkpoint_seconds: float | None = 30.0
    keeper: Keeper | None = None
    diverged: list[tuple[str, str]] = field(default_factory=list, init=False, compare=False)
    _trainers: dict[tuple[Any, ...], Trainer] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def trials(self) -> int:
        """Trainings of one fold."""
        return len(self.networks) * len(self.conditions) * len(self.seeds)

    def missing(self, folder: RunFolder, folds: int) -> int:
        """How many trainings of ``folds`` folds the folder lacks."""
        return folds * self.trials - sum(row["network"] in self.networks for row in folder.rows("results"))

    def trainer(self, network: str, noise: str, examples: int) -> Trainer:
        """The compiled steps of one network; all SNRs and, with fixed noise, all kinds share them."""
        fresh = None if self.fixed_noise or noise == NO_NOISE else noise
        key = (network, fresh, examples)
        if key not in self._trainers:
            fields: dict[str, Any] = {"classes": len(self.classes), "dtype": jnp.dtype(self.dtype)}
            stages = {"widths": Network.widths[: len(self.units)], "units": self.units}
            self._trainers[key] = Trainer(
                self.start.network.clone(**fields) if self.start else NETWORKS[network](**stages, **fields),
                examples=examples,
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                noise=fresh,
                standardise=self.standardise,
                devices=self.devices,
                steps_per_call=self.steps_per_call,
                train_snr_db=self.train_snr_db,
                start=self.start.variables if self.start else None,
                body_rate=self.body_rate,
                best=self.best,
                patience=self.patience,
            )
        return self._trainers[key]

    def estimate(self, fold: Fold) -> Iterator[tuple[str, float]]:
        """Compile each network and yield its name and the seconds of one training on this fold, measured on a few steps."""
        condition = self.conditions[0]
        data = self._data(fold, condition, self.seeds[0])
        for network in self.networks:
            yield network, self.trainer(network, condition.noise, len(fold.train)).probe(data)

    def run(
        self, fold: Fold, folder: RunFolder, recordings: Sequence[str], on_epoch: Callable[[str, Epoch], None]
    ) -> Iterator[dict[str, Any]]:
        """Make the trials of one fold that ``results.csv`` lacks and yield its new rows; a training that was interrupted goes
        on from its last checkpoint.

        ``recordings`` names the recordings; ``on_epoch(network, epoch)`` is told of every epoch. A training that diverges gets no
        row, stands in ``diverged``, and the others go on.
        """
        done = {trial_key(row) for row in folder.rows("results")}
        for condition in self.conditions:
            for seed in self.seeds:
                data = None
                for network in (BASELINE, *self.networks):
                    trial = {
                        "network": network,
                        "noise": condition.noise,
                        "snr_db": float(condition.snr_db),
                        "protocol": self.protocol,
                        "fold": fold.name,
                        "seed": seed,
                    }
                    if trial_key(trial) in done:
                        self._checkpoints(folder, trial).remove()
                        continue
                    if network == BASELINE and not is_main_process():
                        continue
                    data = data or self._data(fold, condition, seed)
                    try:
                        parameters, result = (
                            self._baseline(data) if network == BASELINE else self._train(folder, trial, data, on_epoch)
                        )
                    except Diverged as error:
                        title = f"{network}, {condition.noise} {condition.snr_db:g} dB, fold {fold.name}, seed {seed}"
                        self.diverged.append((title, str(error)))
                        continue
                    if is_main_process():
                        if network != BASELINE:
                            self._keep_features(folder, trial, data, result)
                            if self.keeper is not None:
                                self._offer(trial, data, fold, result)
                        row = write_result(folder, trial, parameters, result, fold, recordings, self.classes)
                        self._checkpoints(folder, trial).remove()
                        yield row
        if is_main_process():
            with contextlib.suppress(OSError):  # those that diverged keep theirs
                (folder.path / "checkpoints").rmdir()

    def _trainer(self, trial: dict[str, Any], data: TrialData) -> Trainer:
        return self.trainer(trial["network"], trial["noise"], len(data.train))

    def _train(
        self, folder: RunFolder, trial: dict[str, Any], data: TrialData, on_epoch: Callable[[str, Epoch], None]
    ) -> tuple[int, Result]:
        trainer = self._trainer(trial, data)
        begun = False

        def log(epoch: Epoch, confusion: np.ndarray) -> None:
            nonlocal begun
            if not begun:  # what was logged after the last checkpoint comes again
                folder.forget(trial_record(trial), from_epoch=epoch.number)
                begun = True
            if is_main_process():
                folder.log(epoch_record(trial, epoch, confusion))
            on_epoch(trial["network"], epoch)

        checkpoints = None if self.checkpoint_seconds is None else self._checkpoints(folder, trial)
        result = trainer.run(data, seed=trial["seed"], on_epoch=log, checkpoints=checkpoints)
        return trainer.parameters, result

    def _keep_features(self, folder: RunFolder, trial: dict[str, Any], data: TrialData, result: Result) -> None:
        """Of the first trial of a network, of windows spread over all, for the figure."""
        if trial["network"] in feature_files(folder.path) or len(data.test) == 0 or not result.variables:
            return
        chosen = np.unique(np.linspace(0, len(data.test) - 1, MOST_FEATURES).astype(int))
        windows = standardised(data.test[chosen]) if self.standardise else data.test[chosen]
        network = self._trainer(trial, data).network
        found = pooled_features(network, result.variables, windows)
        write_features(folder.path, trial["network"], found, data.test_labels[chosen], self.classes)

    def _offer(self, trial: dict[str, Any], data: TrialData, fold: Fold, result: Result) -> None:
        assert self.keeper is not None
        network = self._trainer(trial, data).network
        one = len(self.conditions) == 1
        # drawn only for a network that is kept
        tests = lambda: [data] if one else [self._data(fold, each, trial["seed"]) for each in self.conditions]  # noqa: E731
        self.keeper.offer(trial, network, data, fold, result, tests)

    def _checkpoints(self, folder: RunFolder, trial: dict[str, Any]) -> Checkpoints:
        """Of one trial, in a folder with a name that people can read and no other trial has."""
        key = trial_key(trial)
        name = re.sub(r"[^A-Za-z0-9.+-]+", "_", "-".join(key))
        number = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
        return Checkpoints(folder.path / "checkpoints" / f"{name}-{number}", seconds=self.checkpoint_seconds or 0.0)

    def _data(self, fold: Fold, condition: NoiseCondition, seed: int) -> TrialData:
        kind = "gaussian" if condition.noise == NO_NOISE else condition.noise
        return with_noise(fold, seed=seed, snr_db=condition.snr_db, kind=kind, train_snr_db=self.train_snr_db)

    def _baseline(self, data: TrialData) -> tuple[int, Result]:
        train, test = ((standardised(w) if self.standardise else w) for w in (data.train_noisy, data.test))
        model, parameters = spectrum_classifier(train, data.train_labels)
        predicted = model.predict(spectrum_features(test))
        train_confusion = self._confusion(data.train_labels, model.predict(spectrum_features(train)))
        return parameters, Result(train_confusion, self._confusion(data.test_labels, predicted), predicted, math.nan)

    def _confusion(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return confusion_matrix(labels, predicted, len(self.classes))
