"""Where thresholds pay: the same small network with them and without, on three representations of a window.

    python experiments/shrinkage_map.py --folder FOLDER

trains pairs of networks that differ in nothing but the thresholds: on the raw window, on the spectrum of its envelope and on its
energies in bands over time, with 5, 20 and all labelled windows of each class, five seeds each, in a mixture of four kinds of
noise; and tests them in each kind. It asks three questions of robustness_benchmark.py: another load, another part, and another
speed of the simulated drivetrain, for which FOLDER is not needed. What is learned in windows of samples does not carry over to
another speed; --samples-per-revolution 320 asks it in windows of revolutions. All seeds of a network are one ensemble, which one
compiled step trains.

The folder of the run holds for each question results.csv and thresholds.csv, and above them tables.md, shrinkage_map.png (the
gains) and thresholds.png (what the thresholds do at each level of noise). The same command with --out on that folder continues
it. Some hours on two cores. Expect no gain that the intervals over seeds show: docs/researcher.md has the tables.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import write_atomically
from drsn_jax.data.recordings import class_names, fingerprint
from drsn_jax.studies import robustness
from drsn_jax.studies.robustness import Protocol
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.shrinkage_map import TABLES, Cell, ShrinkageMap
from drsn_jax.studies.shrinkage_map_report import follows, picture, table, threshold_table

ProtocolName = Literal["other_load", "other_part", "other_speed"]
Representation = Literal["raw", "envelope_spectrum", "time_frequency"]
NoiseKind = Literal["gaussian", "laplacian", "pink", "impulsive"]
RECORDINGS = Path(__file__).resolve().parent / "recordings"


@dataclass(frozen=True)
class Options(run_options.RunOptions):
    """What to run."""

    protocols: tuple[ProtocolName, ...] | None = None
    """The questions, in this order; by default all of them, and without --folder other_speed alone."""
    folder: Path | None = None
    """Where the files of Case Western are, all in one folder or in drive_end_12k and drive_end_48k_0hp."""
    representations: tuple[Representation, ...] = ("raw", "envelope_spectrum", "time_frequency")
    """What the networks are given of a window."""
    labelled: tuple[int, ...] = (5, 20, 0)
    """How many windows of each class are labelled; 0 means all."""
    noise: tuple[NoiseKind, ...] = ("gaussian", "laplacian", "pink", "impulsive")
    """Kinds of noise, in training and in tests."""
    snr_db: float = -5.0
    """The signal-to-noise ratio of the tests in dB; without noise is always tested too."""
    shrinkage: Literal["channel_wise", "channel_shared"] = "channel_wise"
    """A threshold for each channel, or one for all of them."""
    steps: int = 600
    """Steps of each training, about; the same for all numbers of labelled windows."""
    batch_size: int = 32
    """Windows a step."""
    learning_rate: float = 3e-3
    """The highest one of AdamW, which rises for 30 % of the steps and then falls."""
    samples_per_revolution: int = 0
    """Bring every recording to so many samples in a revolution of its shaft, by its speed, so that windows of 2,048 samples lie
    at equal angles; 0 leaves them in time."""
    seed: int = 0
    """The first seed: of initial parameters, labelled windows, their order, noise."""
    seeds: int = 5
    """How many seeds: --seed, --seed + 1, …"""


def check(options: Options) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    checks.different(options, "representations", "labelled", "noise")
    if options.protocols is not None:
        checks.different(options, "protocols")
    checks.at_least(options, 0, "labelled")
    checks.at_least(options, 1, "steps", "batch_size", "seeds")
    checks.seeds(options)
    checks.positive(options, "learning_rate")
    if not abs(options.snr_db) <= 100:
        raise UserError(f"--snr-db is a number of dB from -100 to 100, got {options.snr_db}: without noise is tested anyway")
    if options.devices or options.coordinator or options.distributed or options.processes:
        raise UserError(
            "a map is made in one process on one device: leave out --devices, --coordinator, --processes, --distributed"
        )
    robustness.require_samples(options.samples_per_revolution)
    robustness.require_folder(questions(options), options.folder)


def questions(options: Options) -> tuple[ProtocolName, ...]:
    """Return the protocols that are asked for."""
    if options.protocols is not None:
        return options.protocols
    return ("other_speed",) if options.folder is None else ("other_load", "other_part", "other_speed")


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        options,
        protocols=questions(options)[:1],
        representations=options.representations[:1],
        labelled=options.labelled[-1:],
        noise=options.noise[:2],
        steps=2,
        seeds=2,
    )


def main() -> None:
    options = run_options.begin(run_options.parse(Options, __doc__), check, shorten)
    start = time.perf_counter()
    out = options.out or console.default_out("shrinkage_map")
    made, texts, diverged = {}, [], []
    run_options.advise(options)
    for name in questions(options):
        samples = options.samples_per_revolution
        asked = robustness.protocol(name, RECORDINGS, options.folder, samples_per_revolution=samples, dry_run=options.dry_run)
        diverged += run(options, asked, out / name)
        made[asked.title] = out / name
        texts.append(f"## {asked.title}\n\n{table(out / name)}\n\n{threshold_table(out / name)}")
        print(f"\n{texts[-1]}\n")
    write_atomically(out / "tables.md", "\n\n".join(texts).encode() + b"\n")
    for figure in (picture(made, out), follows(made, out)):
        console.say(str(figure))
    console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - start)}")
    if diverged:
        raise ArithmeticError(
            f"{len(diverged)} trainings stopped because their numbers were no longer finite ({'; '.join(diverged)}): lower "
            "--learning-rate"
        )


def run(options: Options, asked: Protocol, out: Path) -> list[str]:
    """Make the pairs of one protocol that its folder lacks; returns the members that diverged."""
    classes = class_names(asked.recordings)
    study = ShrinkageMap(
        classes=len(classes),
        kinds=options.noise,
        snr_db=options.snr_db,
        seeds=range(options.seed, options.seed + options.seeds),
        shrinkage=options.shrinkage,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        checkpoint_seconds=options.checkpoint_seconds,
        size={"widths": (4,), "units": (1,)} if options.dry_run else {},
    )
    data = None if asked.name not in robustness.TABLES else fingerprint(asked.recordings)
    config = {**run_options.config(options), "protocols": asked.name, "classes": classes, "data": data}
    if not options.samples_per_revolution:
        del config["samples_per_revolution"]  # as in the runs that were begun before there was this option
    folder = RunFolder(out, config, tables=TABLES, places=("folder",))
    cells = [Cell(*pair) for pair in itertools.product(options.representations, options.labelled)]
    with folder.alone():
        folds = [cut() for cut in asked.folds]
        missing = sum(study.missing(cells, fold, folder) for fold in folds)
        console.say(
            f"{asked.title}: {len(asked.recordings)} recordings, {len(classes)} classes, {len(folds)} splits, {len(cells)} pairs "
            f"of {options.seeds} networks each; {missing} epochs are missing"
        )
        with console.ProgressBar(missing) as progress:
            for fold in folds:
                on_epoch = lambda name, epoch: progress.advance(f"{name}, epoch {epoch.number}")  # noqa: E731
                for name, accuracy in study.run(cells, fold, folder, on_epoch):
                    progress.say(f"{name}: {100 * accuracy:.1f} %")
    return study.diverged


if __name__ == "__main__":
    console.run(main)
