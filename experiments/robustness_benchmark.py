"""Which method recognises faults in heavy noise, and in which machine: the same noise and splits for all of them.

    python experiments/robustness_benchmark.py --folder FOLDER

asks the recordings of Case Western (experiments/recordings says where FOLDER's files come from) and the simulated drivetrain four
questions, each a split in which nothing of a test window was trained on:

    other_load    trained at 0 to 2 hp, tested at 3 hp on the same bearings: the noise is tested, the bearing is known
    other_part    three kinds of fault, trained on two sizes and tested on bearings with the third: the fault is tested
    later         trained on the beginning of each recording, tested on its last fifth: the easiest question
    other_speed   the simulated drivetrain, trained at two speeds and tested at the third

Networks and what a user would take instead (spectra with logistic regression, wavelets with boosting, MiniRocket,
MultiRocket-Hydra and QUANT of aeon: pip install 'drsn-jax[benchmark]') are trained in a mixture of four kinds of noise from -10
to 10 dB and without noise, and tested at each kind and level; with --way matched they are trained once for each test. --vote 5
tells what the answers to five windows of a recording in a row are worth together, and those of the networks of all seeds. Each
question has a folder of its own in that of the run, with results.csv, timings.csv and confusion.csv; the same command with --out
on that folder continues it. A training takes about a minute on two cores, and all questions with three seeds some hours.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import distributed
from drsn_jax.core.distributed import choose_devices
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import write_atomically
from drsn_jax.data.recordings import class_names, fingerprint
from drsn_jax.functional.random_filter import WIDEST
from drsn_jax.studies import comparison_training, robustness, votes
from drsn_jax.studies.comparison import Comparison, tell_diverged
from drsn_jax.studies.comparison_results import tables
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.robustness import Protocol
from drsn_jax.studies.robustness_peers import PEERS, missing, peers
from drsn_jax.studies.robustness_report import curves, table
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.training_config import TrainingConfig

ProtocolName = Literal["other_load", "other_part", "later", "other_speed"]
PeerName = Literal[
    "spectrum_strict",
    "envelope_logistic",
    "both_spectra_logistic",
    "wavelet_boosting",
    "minirocket",
    "multirocket_hydra",
    "quant",
]
NoiseKind = Literal["gaussian", "laplacian", "pink", "impulsive"]
RECORDINGS = Path(__file__).resolve().parent / "recordings"


@dataclass(frozen=True)
class Options(run_options.RunOptions, TrainingConfig):
    """What to run."""

    protocols: tuple[ProtocolName, ...] | None = None
    """The questions, in this order; by default all of them, and without --folder other_speed alone."""
    folder: Path | None = None
    """Where the files of Case Western are, all in one folder or in drive_end_12k and drive_end_48k_0hp."""
    networks: tuple[str, ...] = ("band_energy", "band_energy_tiny", "resnet", "drsn_cw", "wdcnn")
    """Networks to compare: convnet, resnet, senet, drsn_cs, drsn_cw, band_energy, band_energy_tiny, band_energy_linear, wdcnn,
    or one of them with other fields, such as band_energy:shrinkage=none or band_energy:bands=32,widths=16+16."""
    peers: tuple[PeerName, ...] = tuple(name for name in get_args(PeerName) if name != "multirocket_hydra")
    """Methods beside them; one whose package is not installed gets a row that says so. multirocket_hydra takes part only where it
    is named: on the windows of other_load it takes more than 23 GB of memory (aeon 1.6)."""
    way: Literal["robust", "matched"] = "robust"
    """robust: one training for all kinds and levels; matched: one training for each test, in its noise."""
    filter_db: float = 0.0
    """Spread in dB of a random filter that each training window passes, so that no method relies on how loud each frequency is;
    0 for none. It is drawn anew in every step of a network, and once for the methods beside them."""
    samples_per_revolution: int = 0
    """Bring every recording to so many samples in a revolution of its shaft, by its speed, so that windows of 2,048 samples lie
    at equal angles; 0 leaves them in time."""
    vote: int = 0
    """Also test the mean of the probabilities of so many consecutive windows of a recording, and that of the networks of all
    seeds, each of which is then tested in the noise of every seed; 0 leaves both out."""
    validation: bool = False
    """Ask a split within the training side, to choose a network by, and leave the test alone; for other_load and other_part."""
    noise: tuple[NoiseKind, ...] = ("gaussian", "laplacian", "pink", "impulsive")
    """Kinds of noise, in training and in tests."""
    snr_db: tuple[float, ...] | None = None
    """Signal-to-noise ratios of the tests in dB, for all kinds; by default 0, -5 and -10 for the Gaussian one, -5 and -10 for the
    others. Without noise is always tested too."""
    epochs: int = 40
    """Passes over the training windows."""
    batch_size: int = 128
    """Windows a step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """sgd: as in the paper; adamw: AdamW with a learning rate that rises and then falls, which needs fewer epochs."""
    seed: int = 0
    """The first seed: of initial parameters, order of windows, noise."""
    seeds: int = 3
    """How many seeds: --seed, --seed + 1, …"""


def check(options: Options) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    checks.different(options, "networks", "noise")
    checks.different(options, "peers", empty=True)
    if options.protocols is not None:
        checks.different(options, "protocols")
    if options.snr_db is not None:
        checks.different(options, "snr_db")
        checks.snr(options, "snr_db")
    robustness.require_samples(options.samples_per_revolution)
    checks.at_least(options, 0, "vote")
    if options.vote == 1:
        raise UserError("--vote is the number of windows that vote together, at least 2, or 0 for none; got 1")
    checks.at_least(options, 1, "epochs", "batch_size", "seeds", "steps_per_call", "patience")
    for name in options.networks:
        robustness.variant(name)
    checks.seeds(options)
    checks.positive(options, "learning_rate")
    if options.train_snr_db is not None or options.fixed_noise or options.body_rate != 1:
        raise UserError("--train-snr-db, --fixed-noise and --body-rate are not for this benchmark: --way chooses the training")
    if not 0 <= options.filter_db <= WIDEST:
        raise UserError(f"--filter-db is a spread from 0 to {WIDEST} dB, got {options.filter_db:g}")
    if options.filter_db and options.way == "matched":
        raise UserError("--filter-db goes with --way robust: matched trains in the noise of the test and nothing else")
    if options.test_network == "best" or options.patience is not None:
        raise UserError("--test-network best and --patience need validation windows, which only one of the questions has")
    if options.standardise not in ("window", "together"):
        raise UserError(f"--standardise is window or together in this benchmark, got {options.standardise}")
    if options.validation:
        robustness.require_validation(questions(options))
    robustness.require_folder(questions(options), options.folder)
    checks.spread(options)


def questions(options: Options) -> tuple[ProtocolName, ...]:
    """Return the protocols that are asked for."""
    if options.protocols is not None:
        return options.protocols
    if options.validation:
        return robustness.VALIDATED
    return ("other_speed",) if options.folder is None else get_args(ProtocolName)


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        options,
        protocols=questions(options)[:1],
        networks=options.networks[:1],
        peers=tuple(name for name in options.peers if not PEERS[name])[:2],
        noise=options.noise[:2],
        vote=min(options.vote, 2),
        epochs=2,
        batch_size=32 * run_options.shards(options),
        seeds=1,
    )


def compare(options: Options, asked: Protocol, present: list[str], out: Path) -> Comparison:
    """The comparison of one protocol in its folder, with the peers that are installed."""
    classes = class_names(asked.recordings)
    robustness.check_networks(options.networks, len(classes), asked.recordings[0].signal.shape[1])
    tested = robustness.noises_of_tests(options.noise, options.snr_db)
    seeds = range(options.seed, options.seed + options.seeds)
    return Comparison(
        networks=options.networks,
        classes=classes,
        noises=tested,
        seeds=seeds,
        protocol=asked.title,
        config=options,
        size={"widths": (4, 8), "units": (1, 1)} if options.dry_run and not options.networks[0].startswith("wdcnn") else {},
        devices=tuple(choose_devices(options.devices)) if options.devices else (),
        checkpoint_seconds=options.checkpoint_seconds,
        plan=robustness.plan(options.way, tested, options.noise, options.filter_db),
        baselines=peers(present, len(classes), asked.orders_per_bin, options.standardise),
        kept=votes.KeptProbabilities(out, seeds) if options.vote else None,
        presets={name: robustness.variant(name) for name in options.networks},
    )


def main() -> None:
    options = run_options.begin(run_options.parse(Options, __doc__), check, shorten)
    start = time.perf_counter()
    out = options.out or console.default_out("robustness_benchmark")
    lacking = missing(options.peers)
    present = [name for name in options.peers if name not in lacking]
    for name, package in lacking.items():
        console.say(f"{TITLES[name]} is left out: pip install {package}")
    made, texts, diverged, trials = {}, [], [], 0
    for asked in protocols(options):
        folder = out / asked.name
        comparison = compare(options, asked, present, folder)
        trials += run(options, asked, comparison, folder)
        diverged.append(comparison)
        made[asked.title] = folder
        if distributed.is_main_process():
            text = table(folder, lacking)
            if options.vote:
                text += f"\n\n{votes.table(folder, options.vote)}"
            texts.append(f"## {asked.title}\n\n{text}")
            print(f"\n## {asked.title}\n\n{asked.title.capitalize()}: {asked.shows}.\n\n{text}\n")
    if distributed.is_main_process():
        write_atomically(out / "tables.md", "\n\n".join(texts).encode() + b"\n")
        console.say(str(curves(made, out)))
        console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - start)}")
    tell_diverged(diverged, trials)


def protocols(options: Options) -> list[Protocol]:
    """Return the protocols with their recordings, all of which are read and checked before the first training."""
    found = [
        robustness.protocol(
            name,
            RECORDINGS,
            options.folder,
            validation=options.validation,
            samples_per_revolution=options.samples_per_revolution,
            dry_run=options.dry_run,
        )
        for name in questions(options)
    ]
    for asked in found:
        votes.require_windows(asked.folds, options.vote, [recording.name for recording in asked.recordings])
    return found


def run(options: Options, asked: Protocol, comparison: Comparison, out: Path) -> int:
    """Make the trainings that the folder of a protocol lacks; returns how many those were."""
    names = [recording.name for recording in asked.recordings]
    data = None if asked.name not in robustness.TABLES else fingerprint(asked.recordings)
    chosen = {**run_options.config(options), "protocols": asked.name, "dataset": asked.title, "data": data}
    # as in the runs that were begun before there were these options
    for name in ("validation", "filter_db", "samples_per_revolution", "vote"):
        if not chosen[name]:
            del chosen[name]
    kinds: dict[str, Any] = {"noise_kinds": list(robustness.NOISE_KINDS)}
    folder = RunFolder(
        out,
        {**chosen, **kinds, "classes": list(comparison.classes)},
        tables=tables(comparison.classes, names, robustness.NOISE_KINDS),
        places=("folder",),
    )
    with folder.alone():
        trials = comparison.missing(folder, len(asked.folds))
        first = asked.folds[0]()
        console.say(
            f"{asked.title}: {len(names)} recordings of {len(comparison.classes)} classes, {len(first.train.windows):,} windows "
            f"to train on, {len(first.test.windows):,} to test on, {len(asked.folds)} splits; {trials} trainings of "
            f"{options.epochs} epochs"
        )
        splits = [(comparison, cut) for cut in [lambda: first, *asked.folds[1:]]]
        comparison_training.train(
            splits,
            folder,
            names,
            trials,
            options,
            epochs=options.epochs,
            told={"test, balanced": "balanced_accuracy"},
            then=" of the networks, and the other methods beside them",
        )
    return trials


if __name__ == "__main__":
    console.run(main)
