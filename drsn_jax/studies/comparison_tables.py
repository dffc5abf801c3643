"""The table of a comparison, as in the paper: accuracy with its spread, the paired difference to ResNet, the training time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drsn_jax.evaluation.metrics import Interval, bootstrap_interval, t_interval
from drsn_jax.studies.baseline import BASELINE
from drsn_jax.studies.comparison_results import tables
from drsn_jax.studies.tables import read_rows

TITLES = {
    "convnet": "ConvNet",
    "resnet": "ResNet",
    "senet": "SENet",
    "drsn_cs": "DRSN-CS",
    "drsn_cw": "DRSN-CW",
    BASELINE: "spectrum + logistic regression",
}
Row = Mapping[str, str]
CONDITION = ("network", "noise", "snr_db", "fold", "seed")


class Line(NamedTuple):
    """One network in the table, over all conditions; a number that does not exist is NaN.

    Fields:
      network: the name of a preset or of the baseline.
      parameters: the number of parameters.
      trials: the number of trials that the means are over, seeds × folds.
      train, test: mean accuracies in per cent.
      train_spread, test_spread: their standard deviations over trials.
      difference: the test accuracy minus that of ResNet in the same trial, in points, with its 95 % interval.
      over_recordings: whether this interval is a bootstrap over test recordings, because there is only one trial.
      seconds: the mean time of a training.
    """

    network: str
    parameters: int
    trials: int
    train: float
    train_spread: float
    test: float
    test_spread: float
    difference: Interval
    over_recordings: bool
    seconds: float


def summarise(folder: str | Path, reference: str = "resnet") -> list[Line]:
    """Summarise the tables of a run: a line for each network in ``results.csv``, in the order of the rows.

    ``reference`` is the network to which the others are compared.
    """
    folder = Path(folder)
    held = tables()
    needed = (*CONDITION, "parameters", "train_accuracy", "test_accuracy")
    results = read_rows(folder / "results.csv", held["results"], needed)
    needed = (*CONDITION, "recording", "windows", "correct")
    by_recording = read_rows(folder / "by_recording.csv", held["by_recording"], needed)
    seconds = defaultdict(list)
    for row in read_rows(folder / "timings.csv", held["timings"], ("network", "training_seconds")):
        seconds[row["network"]].append(float(row["training_seconds"]))
    # an unfinished run lacks conditions of some networks: only conditions that both networks have are compared
    other = {_condition(row): _test(row) for row in results if row["network"] == reference}
    lines = []
    for network in dict.fromkeys(row["network"] for row in results):
        of_network = [row for row in results if row["network"] == network]
        train = _by_trial(of_network, lambda row: float(row["train_accuracy"]))
        test = _by_trial(of_network, _test)
        difference, bootstrapped = Interval(float("nan"), float("nan")), False
        common = [row for row in of_network if _condition(row) in other]
        if network != reference and common:
            paired = _by_trial(common, lambda row: _test(row) - other[_condition(row)])
            difference = t_interval([100 * value for value in paired.values()])
            if np.isnan(difference.half_width):
                conditions = {_condition(row) for row in common}
                rows = [row for row in by_recording if _condition(row) in conditions]
                difference, bootstrapped = _bootstrap(rows, network, reference), True
        parameters = int(of_network[0]["parameters"])
        time = float(np.mean(seconds[network])) if seconds[network] else float("nan")
        lines.append(
            Line(
                network,
                parameters,
                len(test),
                *_mean_and_spread(train.values()),
                *_mean_and_spread(test.values()),
                difference,
                bootstrapped,
                time,
            )
        )
    return lines


def markdown(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table, followed by a note on what the numbers are."""
    head = "| network | parameters | train accuracy, % | test accuracy, % | test − ResNet, points | training, s |"
    rows = [head, "|---|---|---|---|---|---|"]
    for line in lines:
        time = "–" if np.isnan(line.seconds) else f"{line.seconds:.0f}"
        rows.append(
            f"| {TITLES.get(line.network, line.network)} | {line.parameters:,} | {_pair(line.train, line.train_spread)} | "
            f"{_pair(line.test, line.test_spread)} | {_difference(line)} | {time} |"
        )
    return "\n".join([*rows, "", note(lines)])


def note(lines: Sequence[Line]) -> str:
    """Return the note below the table: what its numbers and intervals are."""
    trials = max((line.trials for line in lines), default=0)
    draw = " The spectrum is fitted to one draw of the noise, networks meet a new one in every step unless it is fixed."
    if trials > 1:
        return (
            f"± is the standard deviation over {trials} trials (seeds × folds), [ ] the 95 % interval of the paired difference "
            "(Student t)." + draw
        )
    return (
        "One trial: no spread over seeds; [ ] is the 95 % interval of the paired difference by a bootstrap over test recordings, "
        "which leaves the luck of the seed out." + draw
    )


def _condition(row: Row) -> tuple[str, ...]:
    return row["noise"], row["snr_db"], row["fold"], row["seed"]


def _test(row: Row) -> float:
    return float(row["test_accuracy"])


def _by_trial(rows: Iterable[Row], value: Callable[[Row], float]) -> dict[tuple[str, str], float]:
    """Return for each (fold, seed) the mean of ``value`` over the conditions."""
    values = defaultdict(list)
    for row in rows:
        values[row["fold"], row["seed"]].append(value(row))
    return {trial: float(np.mean(of_trial)) for trial, of_trial in values.items()}


def _bootstrap(rows: Iterable[Row], network: str, reference: str) -> Interval:
    """Return the paired difference in points with an interval by resampling test recordings, each with all its conditions."""
    correct: dict[str, dict[str, int]] = {network: defaultdict(int), reference: defaultdict(int)}
    windows: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["network"] in correct:
            correct[row["network"]][row["recording"]] += int(row["correct"])
            windows[row["recording"]] += int(row["windows"]) if row["network"] == network else 0
    # a recording of one of the two networks only, where rows were taken out, cannot be compared
    names = [name for name in sorted(windows) if windows[name] and all(name in of for of in correct.values())]
    differences = [100 * (correct[network][name] - correct[reference][name]) / windows[name] for name in names]
    return bootstrap_interval(differences, [windows[name] for name in names])


def _mean_and_spread(values: Iterable[float]) -> tuple[float, float]:
    sample = 100 * np.asarray(list(values))
    return float(sample.mean()), float(sample.std(ddof=1)) if len(sample) > 1 else float("nan")


def _pair(mean: float, spread: float) -> str:
    return f"{mean:.2f}" if np.isnan(spread) else f"{mean:.2f} ± {spread:.2f}"


def _difference(line: Line) -> str:
    mean, half_width = line.difference
    if np.isnan(mean):
        return "–"
    return f"{mean:+.2f}" + ("" if np.isnan(half_width) else f" [{mean - half_width:+.2f}, {mean + half_width:+.2f}]")
