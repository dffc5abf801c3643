"""The trainings of a script's comparison: what is said before them and while they run is the same in all scripts."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from drsn_jax.cli import console, run_options
from drsn_jax.data.windows import Fold
from drsn_jax.studies.comparison import Comparison
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.runs import RunFolder

TOLD = {"train": "train_accuracy", "test": "test_accuracy"}
Split = tuple[Comparison, Callable[[], Fold]]  # a comparison, and what cuts the windows on which it is run


def train(
    splits: Sequence[Split],
    folder: RunFolder,
    recordings: Sequence[str],
    trials: int,
    options: run_options.RunOptions,
    *,
    epochs: int,
    told: Mapping[str, str] = TOLD,
    then: str = "",
) -> None:
    """Make the trainings that the folder lacks, and tell on the console how far they are.

    Args:
      splits: the splits in their order. All comparisons have the same networks.
      folder: the run's.
      recordings: the names of the recordings.
      trials: how many trainings the folder lacks, by ``Comparison.missing``.
      options: those of the script.
      epochs: of each training.
      told: what is told of each test: words, with the column of ``results.csv`` for each.
      then: what else takes time, behind the expected time of the trainings.
    """
    comparison, cut = splits[0]
    if trials:
        _announce(comparison, cut(), trials, then)
        run_options.advise(options)
    with console.ProgressBar(trials * epochs, epochs=epochs) as progress:
        for comparison, cut in splits:
            fold = cut()
            where = f", fold {fold.name}" if len(splits) > 1 else ""
            on_epoch = lambda network, epoch: progress.epoch(f"{network}{where}", epoch.number)  # noqa: E731, B023
            for row in comparison.run(fold, folder, recordings, on_epoch):
                level = "" if row["snr_db"] == math.inf else f" {row['snr_db']:g} dB"
                scores = "  ".join(f"{words} {100 * row[column]:6.2f} %" for words, column in told.items())
                progress.say(f"{row['network']:>18}  {row['noise']}{level}{where}  seed {row['seed']}:  {scores}")


def _announce(comparison: Comparison, fold: Fold, trials: int, then: str = "") -> None:
    """Compile each network, time a few of its steps, and say how long so many trainings will take."""
    estimates, count, seconds = comparison.estimate(fold), len(comparison.networks), []
    for number, network in enumerate(comparison.networks, 1):
        console.say(f"compiling {number} of {count}, {TITLES.get(network, network)}, and timing a few of its steps …")
        seconds += [value for _, value in itertools.islice(estimates, 1) if math.isfinite(value)]
    if seconds:
        console.say(f"expected time: about {console.duration(sum(seconds) * trials / len(seconds))} of training and tests{then}")
