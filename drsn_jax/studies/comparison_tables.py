"""The table of a comparison, as in the paper: accuracy with its spread at each noise of the test, the paired difference to
ResNet (to the spectrum in a run without ResNet), the training time."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drsn_jax.evaluation.metrics import Interval, bootstrap_interval, t_interval
from drsn_jax.studies.baseline import BASELINE
from drsn_jax.studies.comparison_results import tables_of
from drsn_jax.studies.tables import read_rows

TITLES = {
    "convnet": "ConvNet",
    "resnet": "ResNet",
    "senet": "SENet",
    "drsn_cs": "DRSN-CS",
    "drsn_cw": "DRSN-CW",
    "band_energy": "band energies",
    "band_energy_tiny": "band energies, tiny",
    "band_energy_linear": "band energies, linear",
    **{f"{kind}{size}": f"{title}-{size}" for kind, title in (("resnet", "ResNet"), ("drsn", "DRSN")) for size in (18, 34, 50)},
    "pixels_logistic": "pixels + logistic regression",
    "wdcnn": "WDCNN",
    BASELINE: "spectrum + logistic regression",
    "spectrum_strict": "spectrum + logistic regression, C = 0.01",
    "envelope_logistic": "envelope spectrum + logistic regression, C = 0.01",
    "both_spectra_logistic": "both spectra + logistic regression, C = 0.01",
    "wavelet_boosting": "wavelets, statistics + boosting",
    "minirocket": "MiniRocket",
    "multirocket_hydra": "MultiRocket-Hydra",
    "quant": "QUANT",
    "mel_logistic": "log-mel statistics + logistic regression",
    "mfcc_svm": "MFCC + support vector machine",
}
SHORT_TITLES = {  # for the head of a column
    **TITLES,
    BASELINE: "spectrum",
    "pixels_logistic": "regression on pixels",
    "mel_logistic": "log-mel",
    "spectrum_strict": "spectrum",
    "envelope_logistic": "envelope spectrum",
    "both_spectra_logistic": "both spectra",
    "wavelet_boosting": "wavelets",
    "mfcc_svm": "MFCC",
}
CLEAN = "clean"  # windows without added noise
Row = Mapping[str, str]
# what tells the rows of one network apart; the names of figures and tables need these columns
CONDITION = ("network", "noise", "snr_db", "fold", "seed")
MOST_COLUMNS = 6  # noises of the test that have a column of their own; of more the table has the mean alone


class Score(NamedTuple):
    """The mean test accuracy in per cent in one noise, and its standard deviation over trials; both NaN without rows."""

    mean: float
    spread: float


class Line(NamedTuple):
    """One network in the table; a number that does not exist is NaN.

    Fields:
      network: the name of a preset or of the baseline.
      parameters: the number of parameters.
      trials: the number of trials that the means are over, seeds × folds.
      train, test: mean accuracies in per cent, over all noises.
      train_spread, test_spread: their standard deviations over trials.
      difference: the test accuracy minus that of ResNet in the same trial, in points, with its 95 % interval.
      over_recordings: whether this interval is a bootstrap over test recordings, because there is only one trial.
      seconds: the mean time of a training.
      by_noise: the test accuracy in each noise of the test, by its name in the table.
      reference: the network that the difference is to.
      trained_on: the noise of a training that served several noises of the test, such as "gaussian -5..5 dB"; else empty.
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
    by_noise: Mapping[str, Score] = {}
    reference: str = "resnet"
    trained_on: str = ""


def summarise(folder: str | Path, reference: str | None = None) -> list[Line]:
    """Summarise the tables of a run: a line for each network in ``results.csv``, in the order of the rows.

    ``reference`` is the network to which the others are compared; by default ResNet, or the spectrum where there is no ResNet.
    """
    folder = Path(folder)
    held = tables_of(folder)
    needed = (*CONDITION, "parameters", "train_accuracy", "test_accuracy")
    results = read_rows(folder / "results.csv", held["results"], needed)
    if reference is None:
        present = [row["network"] for row in results]
        reference = next((name for name in ("resnet", BASELINE) if name in present), present[0] if present else BASELINE)
    noises = list(dict.fromkeys(map(noise_name, results)))
    trained_on = ", ".join(dict.fromkeys(f"{r['train_noise']} {r['train_snr_db']} dB" for r in results if trained_on_range(r)))
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
                if rows:
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
                {name: Score(*_mean_and_spread(_by_trial(rows_in(of_network, name), _test).values())) for name in noises},
                reference,
                trained_on,
            )
        )
    return lines


def markdown(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table, followed by a note on what the numbers are."""
    noises = list(lines[0].by_noise) if lines else []
    own = noises if 1 < len(noises) <= MOST_COLUMNS else []  # with one noise there is nothing to tell apart
    over = f" (mean of {len(noises)} noises)" if len(noises) > 1 else ""
    train_over = over if not (lines and lines[0].trained_on) else ""
    reference = SHORT_TITLES.get(lines[0].reference, lines[0].reference) if lines else ""
    columns = [
        "network",
        "parameters",
        f"train accuracy, %{train_over}",
        *(f"test, {name}, %" for name in own),
        f"test accuracy, %{over}",
        f"test − {reference}, points{over}",
        "training, s",
    ]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for line in lines:
        cells = [
            TITLES.get(line.network, line.network),
            f"{line.parameters:,}",
            _pair(line.train, line.train_spread),
            *(_pair(*line.by_noise[name]) for name in own),
            _pair(line.test, line.test_spread),
            _difference(line),
            "–" if np.isnan(line.seconds) else f"{line.seconds:.0f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", note(lines)])


def note(lines: Sequence[Line]) -> str:
    """Return the note below the table: what those of its numbers and intervals are that it has."""
    trials = max((line.trials for line in lines), default=0)
    noisy = any(not name.startswith(CLEAN) for line in lines for name in line.by_noise)
    told = []
    if trials > 1:
        told.append(f"± is the standard deviation over {trials} trials (seeds × folds).")
    elif trials == 1:
        told.append("One trial: no spread over seeds.")
    if any(not np.isnan(line.difference.half_width) for line in lines):
        how = (
            "by a bootstrap over test recordings, which leaves the luck of the seed out"
            if any(line.over_recordings for line in lines)
            else "(Student t)"
        )
        told.append(f"[ ] is the 95 % interval of the paired difference {how}.")
    if lines and lines[0].trained_on:
        told.append(f"Each network was trained once, in noise of {lines[0].trained_on}, and tested at every level.")
    if noisy or (lines and lines[0].trained_on):
        # a method without steps is no network
        methods = [SHORT_TITLES.get(line.network, line.network) for line in lines if np.isnan(line.seconds)] or ["spectrum"]
        named = f"The {' and the '.join(methods)} {'is' if len(methods) == 1 else 'are'}"
        told.append(f"{named} fitted to one draw of the noise, networks meet a new one in every step unless it is fixed.")
    return " ".join(told)


def noise_name(row: Row) -> str:
    """Return the noise of the test of a row as people read it: ``gaussian -5 dB``, or ``clean``.

    A network that was trained on a range of another kind than Gaussian is told apart: ``clean, trained in pink``.
    """
    if row["noise"] == "none":
        return (
            f"{CLEAN}, trained in {row['train_noise']}"
            if trained_on_range(row) and row["train_noise"] not in ("gaussian", "mixture")
            else CLEAN
        )
    # a disturbance that is no noise has no level
    return row["noise"] if float(row["snr_db"]) == math.inf else f"{row['noise']} {float(row['snr_db']):g} dB"


def rows_in(rows: Iterable[Row], noise: str) -> list[Row]:
    """Return the rows whose test has the noise of this name."""
    return [row for row in rows if noise_name(row) == noise]


def trained_on_range(row: Row) -> bool:
    """Return whether the network of a row was trained on a range of levels."""
    return ".." in (row.get("train_snr_db") or "")


def _condition(row: Row) -> tuple[str, ...]:
    return row["noise"], row["snr_db"], row.get("train_noise", ""), row["fold"], row["seed"]


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
    if not len(sample):  # an unfinished run lacks some
        return float("nan"), float("nan")
    return float(sample.mean()), float(sample.std(ddof=1)) if len(sample) > 1 else float("nan")


def _pair(mean: float, spread: float) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.2f}" if np.isnan(spread) else f"{mean:.2f} ± {spread:.2f}"


def _difference(line: Line) -> str:
    mean, half_width = line.difference
    if np.isnan(mean):
        return "–"
    return f"{mean:+.2f}" + ("" if np.isnan(half_width) else f" [{mean - half_width:+.2f}, {mean + half_width:+.2f}]")
