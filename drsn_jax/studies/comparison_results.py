"""What is written about a trial: the records of its epochs, and its rows in the tables of the run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.files import read_arrays, write_arrays
from drsn_jax.data.windows import Fold
from drsn_jax.evaluation.metrics import macro_auroc, scores, softmax
from drsn_jax.functional.noise import NO_NOISE, NOISE_KINDS
from drsn_jax.studies.cells import COUNT, NUMBER, POSITIVE, SHARE, SNR, SNR_OR_RANGE, TEXT, Kind, one_of
from drsn_jax.studies.disturbance import Disturbance
from drsn_jax.studies.runs import METRICS, RunFolder, read_config
from drsn_jax.studies.tables import Table
from drsn_jax.studies.trials import Result
from drsn_jax.training.progress import Epoch

# the columns that identify a trial: noise and snr_db are those of the test
TRIAL = ("network", "noise", "snr_db", "train_noise", "train_snr_db", "protocol", "fold", "seed")
_FEATURES = "features_"


def tables(
    classes: Sequence[str] = (), recordings: Sequence[str] = (), noise_kinds: Sequence[str] = NOISE_KINDS
) -> dict[str, Table]:
    """Return what the tables of a comparison hold, and its records, by name.

    ``classes`` and ``recordings`` are the names that may stand in them; without names any text may. ``noise_kinds`` are the kinds
    of its disturbances.
    """
    noise = one_of((*noise_kinds, NO_NOISE))
    trial = dict(zip(TRIAL, (TEXT, noise, SNR, noise, SNR_OR_RANGE, TEXT, TEXT, COUNT), strict=True))

    def named(names: Sequence[str]) -> Kind:
        return one_of(names) if names else TEXT

    distinct = 0 < len(set(recordings)) == len(recordings)
    accuracies = dict.fromkeys(("train_accuracy", "test_accuracy", "balanced_accuracy", "macro_f1"), SHARE)
    shares = ("train_accuracy", "validation_accuracy", "test_accuracy")
    true = {"true": named(classes), "predicted": named(classes), "windows": COUNT}
    recording = {"recording": named(recordings), "windows": POSITIVE, "correct": COUNT}
    return {
        "results": Table({**trial, "parameters": COUNT, **accuracies}, TRIAL),
        "timings": Table({**trial, "training_seconds": NUMBER}, TRIAL),
        "ranking": Table({**trial, "macro_auroc": NUMBER}, TRIAL),
        "confusion": Table({**trial, **true}, (*TRIAL, "true", "predicted")),
        # recordings of a public set may share a name
        "by_recording": Table({**trial, **recording}, (*TRIAL, "recording") if distinct else ()),
        METRICS: Table({**trial, "epoch": COUNT, **dict.fromkeys(shares, SHARE)}, optional=shares),
    }


def config_of(folder: str | Path) -> dict[str, Any]:
    """Return the configuration of a run; an empty one where there is none."""
    file = Path(folder) / "config.json"
    return read_config(file) if file.exists() else {}


def tables_of(folder: str | Path, classes: Sequence[str] = ()) -> dict[str, Table]:
    """Return what the tables of the run in a folder hold, by name; its configuration knows the kinds of noise."""
    return tables(classes, noise_kinds=config_of(folder).get("noise_kinds", NOISE_KINDS))


@dataclass(frozen=True)
class Trial:
    """One training and one test of it in a comparison, of a network or of the baseline.

    Fields:
      network: the name of a preset, or the name of the baseline.
      noise: the noise of the test.
      protocol, fold: the way in which the windows were split, and the name of the fold.
      seed: decides initial parameters, the order of windows and the draws of noise.
      trained_in: the noise of the training, where it is another than that of the test.
    """

    network: str
    noise: Disturbance
    protocol: str
    fold: str
    seed: int
    trained_in: Disturbance | None = None

    @property
    def train_noise(self) -> Disturbance:
        """The noise of the training."""
        return self.noise if self.trained_in is None else self.trained_in

    @property
    def columns(self) -> dict[str, Any]:
        """The values of the columns ``TRIAL`` in the rows of this trial, by column."""
        noises = [value for noise in (self.noise, self.train_noise) for value in (noise.kind, _level(noise))]
        values = (self.network, *noises, self.protocol, self.fold, self.seed)
        return dict(zip(TRIAL, values, strict=True))

    @property
    def key(self) -> tuple[str, ...]:
        """The values of the columns as text, equal to ``trial_key`` of a row of this trial in a table."""
        return trial_key(self.columns)

    @property
    def record(self) -> dict[str, Any]:
        """The values by column for ``metrics.jsonl``, where the SNR ``inf`` is text because JSON has no infinity."""
        return {name: "inf" if value == math.inf else value for name, value in self.columns.items()}

    @property
    def training_key(self) -> tuple[str, ...]:
        """What identifies the training, as text: the same for all tests of one training."""
        noise = self.train_noise
        return tuple(map(str, (self.network, noise.kind, _level(noise), self.protocol, self.fold, self.seed)))

    def __str__(self) -> str:
        return f"{self.network}, {self.train_noise}, fold {self.fold}, seed {self.seed}"


def _level(noise: Disturbance) -> float | str:
    """Return the SNR of a noise for a table: a number, or ``-5..5`` for a range."""
    return noise.level if noise.is_range else noise.snr_db


def trial_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that identify a trial as strings, so that a trial and its row in a CSV file compare equal."""
    return tuple(str(row[name]) for name in TRIAL)


def epoch_record(trial: Trial, epoch: Epoch, confusion: np.ndarray) -> dict[str, Any]:
    """Return the record for ``metrics.jsonl`` of an epoch of a trial; ``confusion`` is the matrix of the test windows."""
    record: dict[str, Any] = {
        **trial.record,
        "epoch": epoch.number,
        "learning_rate": None if epoch.learning_rate is None else float(f"{epoch.learning_rate:.6g}"),
        "train_loss": _rounded(epoch.loss),
        "train_accuracy": _rounded(epoch.accuracy),
        "test_accuracy": _rounded(scores(confusion).accuracy),
        "seconds": round(epoch.seconds, 3),
        "windows_per_second": round(epoch.windows_per_second) if math.isfinite(epoch.windows_per_second) else None,
    }
    if epoch.validation_loss is not None:
        record["validation_loss"] = _rounded(epoch.validation_loss) if math.isfinite(epoch.validation_loss) else None
        record["validation_accuracy"] = _rounded(epoch.validation_accuracy or 0.0)
    if epoch.memory is not None:
        record["device_memory_bytes"] = epoch.memory
    return record


def write_result(
    folder: RunFolder,
    trial: Trial,
    result: Result,
    fold: Fold,
    recordings: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Write the rows of a complete trial into all tables and return its row of ``results.csv``.

    ``recordings`` and ``classes`` are the names for the numbers of recordings and classes in ``fold``.
    """
    if not math.isnan(result.seconds):
        folder.add_rows("timings", [{**trial.columns, "training_seconds": round(result.seconds, 2)}], key=TRIAL)
    named = [
        {"true": classes[i], "predicted": classes[j], "windows": int(count)}
        for (i, j), count in np.ndenumerate(result.test_confusion)
    ]
    folder.add_rows("confusion", [{**trial.columns, **row} for row in named], key=TRIAL)
    correct = result.predicted == fold.test.labels
    folder.add_rows(
        "by_recording",
        [
            {
                **trial.columns,
                "recording": recordings[index],
                "windows": int((fold.test.recordings == index).sum()),
                "correct": int(correct[fold.test.recordings == index].sum()),
            }
            for index in np.unique(fold.test.recordings)
        ],
        key=TRIAL,
    )
    if len(result.scores) and np.isfinite(result.scores).all():
        area = _rounded(macro_auroc(result.scores if result.network is None else softmax(result.scores), fold.test.labels))
        folder.add_rows("ranking", [{**trial.columns, "macro_auroc": area}], key=TRIAL)
    test = scores(result.test_confusion)
    row = {
        "network": trial.network,
        "parameters": result.parameters,
        **{name: trial.columns[name] for name in TRIAL[1:]},
        "train_accuracy": _rounded(scores(result.train_confusion).accuracy),
        "test_accuracy": _rounded(test.accuracy),
        "balanced_accuracy": _rounded(test.balanced_accuracy),
        "macro_f1": _rounded(test.macro_f1),
    }
    # this table comes last, because its row says that the trial is complete
    folder.add_rows("results", [row], key=TRIAL)
    return row


def write_features(folder: str | Path, network: str, features: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Write pooled features ``(n, channels)`` of test windows in a network's first trial, with their labels ``(n,)`` and the
    names of the classes, into the run's folder."""
    file = Path(folder) / f"{_FEATURES}{network}.npz"
    write_arrays(file, {"features": features, "labels": labels, "classes": np.asarray(classes, dtype=str)})


def read_features(file: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the features, labels and names of the classes that ``write_features`` wrote into a file.

    Raises UserError for a file that is damaged, as an earlier version could leave it behind.
    """
    arrays = read_arrays(file)
    if missing := {"features", "labels", "classes"} - arrays.keys():
        raise UserError(f"{file} is damaged (it has no {', '.join(sorted(missing))}): take it away")
    features, labels, classes = arrays["features"], arrays["labels"], arrays["classes"]
    fits = features.ndim == 2 and labels.shape == features.shape[:1] and classes.ndim == 1
    if not fits or not np.isin(labels, np.arange(len(classes))).all() or not np.isfinite(features).all():
        raise UserError(f"{file} is damaged (its arrays do not fit each other): take it away")
    return features, labels, [str(name) for name in classes]


def feature_files(folder: str | Path) -> dict[str, Path]:
    """Return the files that ``write_features`` wrote, by the name of the network."""
    return {file.stem.removeprefix(_FEATURES): file for file in sorted(Path(folder).glob(f"{_FEATURES}*.npz"))}


def _rounded(value: float) -> float:
    return round(float(value), 6)
