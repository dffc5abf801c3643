"""What several windows of one recording are worth together, and what several networks are, that differ in the seed alone.

A vote of windows is the mean of their probabilities, as ``diagnosis.diagnosis.summarise`` takes it: an answer to a longer stretch
of the signal. An ensemble is the mean of the probabilities of all networks for the same windows. The noise of a test is drawn by
the seed of a trial, so that networks of several seeds have not met the same windows: for an ensemble each of them is tested once
more, in the draws of all seeds.
"""

import dataclasses
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drsn_jax.core.errors import UserError
from drsn_jax.core.files import read_arrays, write_arrays
from drsn_jax.data.windows import Fold
from drsn_jax.evaluation.metrics import Interval, confusion_matrix, scores, softmax, t_interval
from drsn_jax.studies.comparison_results import TRIAL, Trial
from drsn_jax.studies.comparison_tables import TITLES, noise_name
from drsn_jax.studies.figure_titles import results_of
from drsn_jax.studies.robustness_report import cell
from drsn_jax.studies.tables import unique
from drsn_jax.studies.trials import Result

FOLDER = "probabilities"  # within that of the run


@dataclass(frozen=True)
class KeptProbabilities:
    """Keeps the probabilities of each training for its test windows, in a file of its own within the folder of a run.

    Fields:
      folder: of the run.
      draws: the seeds of the draws of the test noise.
    """

    folder: Path
    draws: Sequence[int]

    def keep(self, trials: Sequence[Trial], fold: Fold, retest: Callable[[Trial], Result]) -> None:
        """Test a training in all draws of the noise of its ``trials``; ``retest(trial)`` tests it in the noise that the seed of
        that trial draws. Nothing is kept of a method that has no probabilities."""
        for trial in trials:
            found = [_probabilities(retest(dataclasses.replace(trial, seed=draw))) for draw in self.draws]
            if all(map(len, found)):
                number = hashlib.sha256(repr(trial.key).encode()).hexdigest()[:16]
                (self.folder / FOLDER).mkdir(exist_ok=True)
                write_arrays(
                    self.folder / FOLDER / f"{number}.npz",
                    {
                        "probabilities": np.stack(found).astype(np.float32),
                        "draws": np.asarray(self.draws),
                        "labels": fold.test.labels,
                        "recordings": fold.test.recordings,
                        **{name: np.asarray(str(value)) for name, value in trial.columns.items()},
                    },
                )


def _probabilities(result: Result) -> np.ndarray:
    """Return the probabilities ``(n, classes)`` of the test windows; empty where there are none."""
    if result.network is None or not len(result.scores):
        return result.scores
    return softmax(result.scores)


def require_windows(folds: Sequence[Callable[[], Fold]], count: int, names: Sequence[str]) -> None:
    """Raise UserError if a recording, one of ``names`` by its number, has fewer than ``count`` windows to test in one of the
    splits, each of which is cut into windows for that; with a ``count`` of 0 none is."""
    fewest: dict[int, int] = {}
    for cut in folds if count else ():
        for number, windows in zip(*np.unique(cut().test.recordings, return_counts=True), strict=True):
            fewest[int(number)] = min(int(windows), fewest.get(int(number), int(windows)))
    short = sorted((windows, names[number]) for number, windows in fewest.items() if windows < count)
    if short:
        windows, name = short[0]
        others = f", the fewest of {len(short)} recordings with too few" if len(short) > 1 else ""
        advice = f"give at most --vote {windows}" if windows > 1 else "leave it out"
        raise UserError(
            f"--vote {count} needs as many windows of each recording that is tested, and {name} has {windows}{others}: {advice}"
        )


def running_votes(probabilities: np.ndarray, recordings: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the probabilities ``(n, classes)`` of each ``count`` consecutive windows of one recording,
    ``(votes, classes)``, with the first window of each vote, ``(votes,)``.

    ``recordings`` ``(n,)`` is the number of the recording of each window; windows of a recording stand in their order.
    """
    votes, firsts = [np.empty((0, probabilities.shape[1]))], [np.empty(0, int)]
    for number in np.unique(recordings):
        (own,) = np.nonzero(recordings == number)
        if len(own) >= count:
            seen = np.lib.stride_tricks.sliding_window_view(probabilities[own], count, axis=0)
            votes.append(seen.mean(-1, dtype=np.float64))
            firsts.append(own[: len(seen)])
    return np.concatenate(votes), np.concatenate(firsts)


class Kept(NamedTuple):
    """What one training gives for its test windows in one noise.

    Fields:
      row: the columns of its trial, as in ``results.csv``.
      of_draw: the probabilities ``(n, classes)`` by the seed of the draw of the noise.
      labels, recordings: of the test windows, ``(n,)``.
    """

    row: dict[str, str]
    of_draw: dict[int, np.ndarray]
    labels: np.ndarray
    recordings: np.ndarray

    def accuracy(self, probabilities: np.ndarray, count: int) -> float:
        """Return the balanced accuracy in per cent of running votes of ``count`` windows."""
        votes, first = running_votes(probabilities, self.recordings, count)
        counts = confusion_matrix(self.labels[first], np.argmax(votes, 1), votes.shape[1])
        return 100 * scores(counts).balanced_accuracy


def read(folder: Path) -> list[Kept]:
    """Return what ``KeptProbabilities`` has kept in the folder of a run."""
    found = []
    for file in (folder / FOLDER).glob("*.npz"):
        kept = read_arrays(file)
        of_draw = dict(zip(kept["draws"].tolist(), kept["probabilities"], strict=True))
        found.append(Kept({name: str(kept[name]) for name in TRIAL}, of_draw, kept["labels"], kept["recordings"]))
    return found


def alone(kept: Sequence[Kept], count: int) -> Interval:
    """Return the balanced accuracy in per cent of votes of ``count`` windows, each network in its own draw of the noise, with the
    95 % interval over seeds; folds are averaged first."""
    return _mean((own.row["seed"], own.accuracy(own.of_draw[int(own.row["seed"])], count)) for own in kept)


def ensemble(kept: Sequence[Kept], count: int) -> Interval:
    """Return the same for the ensemble of all seeds, with the interval over draws of the noise: there is only one ensemble. It is
    NaN where a training of a seed is missing, because it diverged: of fewer networks it would be another ensemble."""
    of_fold = defaultdict(list)
    for own in kept:
        of_fold[own.row["fold"]].append(own)
    if any(len(members) != len(members[0].of_draw) for members in of_fold.values()):
        return Interval(math.nan, math.nan)
    return _mean(
        (str(draw), members[0].accuracy(np.mean([own.of_draw[draw] for own in members], 0), count))
        for members in of_fold.values()
        for draw in members[0].of_draw
    )


def _mean(values: Iterable[tuple[str, float]]) -> Interval:
    """Return the mean of numbers with its interval over their seeds; those of one seed are averaged first."""
    of_seed = defaultdict(list)
    for seed, value in values:
        of_seed[seed].append(value)
    return t_interval([float(np.mean(own)) for own in of_seed.values()])


def table(folder: str | Path, count: int) -> str:
    """Return what votes of ``count`` windows and ensembles are worth as a Markdown table, in the order of ``results.csv``: four
    rows for each method that gives probabilities, two where there is one seed; empty text without such a method."""
    rows, kept = results_of(folder), read(Path(folder))
    noises, seeds = list(dict.fromkeys(map(noise_name, rows))), len(unique(rows, "seed"))
    head = ["method", "answer of", *noises]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    kinds: list[tuple[str, Callable[..., Interval], int]] = [("one window", alone, 1), (f"{count} windows", alone, count)]
    if seeds > 1:
        kinds += [(f"{seeds} networks", ensemble, 1), (f"{seeds} networks, {count} windows", ensemble, count)]
    for method in [name for name in unique(rows, "network") if any(own.row["network"] == name for own in kept)]:
        for title, value, windows in kinds:
            own = [[one for one in kept if one.row["network"] == method and noise_name(one.row) == noise] for noise in noises]
            cells = [cell(value(found, windows)) if found else "–" for found in own]
            lines.append(f"| {' | '.join([TITLES.get(method, method), title, *cells])} |")
    told = (
        f"Balanced accuracy in per cent of every {count} consecutive windows of one recording, {count} times as much signal as "
    )
    told += "one window, and of the mean of the probabilities of all seeds. "
    if seeds > 1:
        told += (
            "± is the 95 % interval over seeds; for several networks, of which there is one ensemble, over draws of the noise."
        )
    return "\n".join([*lines, "", told.rstrip()]) if kept else ""
