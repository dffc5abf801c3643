"""Trained in one noise, tested in others: what a network learns from its noise, and what its thresholds do.

    python experiments/noise_ablation.py

trains DRSN-CW on a simulated drivetrain at -5, 0 and 5 dB of Gaussian noise, clean, and on the range between, and with other
rules of thresholding at -5 dB; each is tested at all levels in one compiled call. More by options, for example

    python experiments/noise_ablation.py --noise gaussian pink --recordings TABLE --folder FOLDER --test-condition "3 hp"

The folder of the run holds results.csv, thresholds.csv, the figures and report.html, a page that opens from disk. Takes minutes
on two cores; expect the network trained on the range to lose little at any level, and the one trained clean to fail in noise.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drsn_jax.cli import checks, console, data_options, revolutions, run_options
from drsn_jax.core import runtime
from drsn_jax.core.distributed import choose_devices
from drsn_jax.core.errors import UserError
from drsn_jax.data.recordings import Recording, class_names, fingerprint
from drsn_jax.data.windows import Fold
from drsn_jax.studies.ablation import Ablation
from drsn_jax.studies.ablation_plan import TABLES, Training, plan
from drsn_jax.studies.runs import RunFolder

NoiseKind = Literal["gaussian", "laplacian", "pink", "salt_and_pepper", "impulsive"]
Rule = Literal["soft", "hard", "garrote", "firm", "none"]
FIGURE_SECONDS = 8.0  # that the figures and the page take at the end


@dataclass(frozen=True)
class Options(data_options.DataOptions):
    """What to train and test."""

    noise: tuple[NoiseKind, ...] = ("gaussian",)
    """Kinds of noise, each in training and test; rules and thresholds are looked at in the first."""
    snr_db: tuple[float, ...] = (-5.0, 0.0, 5.0)
    """Levels of the trainings in dB, and of the tests; a range from the lowest to the highest is trained too."""
    test_snr_db: tuple[float, ...] = (math.inf,)
    """More levels for the tests alone; inf is without noise."""
    rules: tuple[Rule, ...] = ("soft", "hard", "garrote", "firm", "none")
    """Rules of thresholding to compare."""
    rule_snr_db: tuple[float, ...] = (-5.0,)
    """Levels at which the rules are trained."""
    shared: bool = False
    """One threshold for all channels (DRSN-CS)."""
    validation: float = 0.0
    """Share of each training recording, its end, that is held out; its loss stands in metrics.jsonl after every epoch."""
    test_network: Literal["last", "best"] = "last"
    """Which network of a training is tested: after the last epoch, or with the lowest loss on the validation windows."""
    repeats: int = 3
    """Draws of the test's noise."""
    seeds: int = 1
    """How many seeds: --seed, --seed + 1, …"""
    epochs: int = 12
    """Passes over the training windows."""
    batch_size: int = 32
    """Windows a step."""
    learning_rate: float = 0.1
    """At the start; a tenth of it after 40 % of the steps, a hundredth after 80 %."""


def check(options: Options) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    data_options.check(options)
    checks.different(options, "noise", "snr_db")
    checks.different(options, "test_snr_db", "rules", "rule_snr_db", empty=True)
    checks.snr(options, "snr_db", "test_snr_db", "rule_snr_db")
    checks.at_least(options, 1, "repeats", "seeds", "epochs", "batch_size")
    checks.seeds(options)
    checks.positive(options, "learning_rate")
    if options.all_folds:
        raise UserError("an ablation takes the first fold: leave out --all-folds")
    if options.coordinator or options.distributed or options.processes:
        raise UserError("an ablation runs in one process: give --devices, and no --coordinator, --processes or --distributed")


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        data_options.shorten(options),
        epochs=1,
        seeds=1,
        repeats=1,
        snr_db=options.snr_db[:2],
        rules=options.rules[-2:],
    )


def config(options: Options, recordings: list[Recording]) -> dict[str, Any]:
    """What decides the results."""
    data = None if data_options.simulated(options) else fingerprint(recordings)
    return {**run_options.config(options), "classes": class_names(recordings), "data": data}


def main() -> None:
    options = run_options.parse(Options, __doc__)
    check(options)
    options = revolutions.settle(options)
    # members and cells of a grid go over all devices, on a CPU over its cores
    run_options.prepare(options if options.devices is not None else dataclasses.replace(options, devices=runtime.cores()))
    devices = choose_devices(options.devices)
    options = dataclasses.replace(options, devices=len(devices))
    options = shorten(options) if options.dry_run else options
    start = time.perf_counter()
    recordings = data_options.read(options)
    data_options.tell(options, recordings)
    options = data_options.settle_split(options, recordings)
    data_options.tell_window(options, recordings)
    fold = data_options.cut_folds(options, recordings)[0]()
    data_options.tell_validation(options, recordings, fold)
    trainings = plan(
        options.noise,
        options.snr_db,
        rules=options.rules,
        rule_levels=options.rule_snr_db,
        seeds=range(options.seed, options.seed + options.seeds),
        learning_rate=options.learning_rate,
    )
    study = Ablation(
        classes=len(class_names(recordings)),
        kinds=options.noise,
        levels=sorted({*options.snr_db, *options.rule_snr_db, *options.test_snr_db}),
        epochs=options.epochs,
        batch_size=options.batch_size,
        size={"widths": (4, 8), "units": (1, 1)} if options.dry_run else {},
        shared=options.shared,
        repeats=options.repeats,
        seed=options.seed,
        test_best=options.test_network == "best",
        checkpoint_seconds=options.checkpoint_seconds,
        devices=devices if len(devices) > 1 else None,
        sampling_rate=None if recordings[0].per_revolution else recordings[0].sampling_rate,
    )
    out = options.out or console.default_out("noise_ablation")
    folder = RunFolder(out, config(options, recordings), tables=TABLES, places=data_options.PLACES)
    console.say(
        f"{len(recordings)} recordings of {study.classes} classes, {data_options.protocol(options)[1]}: "
        f"{len(fold.train.windows):,} windows to train on, {len(fold.test.windows):,} to test on; {len(trainings)} trainings of "
        f"{options.epochs} epochs; {out}"
    )
    run_options.advise(options)
    with folder.alone():
        diverged = train(study, trainings, fold, folder)
    report(out, options, recordings)
    console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - start)}")
    if diverged:
        raise ArithmeticError(
            f"{len(diverged)} of {len(trainings)} trainings stopped because their numbers were no longer finite "
            f"({'; '.join(diverged)}): lower --learning-rate"
        )


def train(study: Ablation, trainings: list[Training], fold: Fold, folder: RunFolder) -> list[str]:
    """Make the trainings that the folder lacks; returns those that diverged."""
    diverged: list[str] = []

    def on_rule(rule: str, number: int, count: int) -> None:
        console.say(f"compiling {number} of {count}, rule {rule}, and timing a few of its steps …")

    if seconds := sum(study.estimate(trainings, fold, folder, on_rule)):
        console.say(f"expected time: about {console.duration(seconds + FIGURE_SECONDS)} of training, tests and figures")
    with console.ProgressBar(len(trainings) * study.epochs, epochs=study.epochs) as progress:

        def on_epoch(rule: str, epoch: Any, members: int) -> None:
            progress.epoch(rule, epoch.number, members)

        for row in study.run(trainings, fold, folder, on_epoch):
            name = f"{row['rule']} {row['train_noise']} {row['train_snr_db']} dB, seed {row['seed']}"
            if row["accuracy"] is None:
                diverged.append(name)
            else:
                progress.say(f"{name:>40}: {100 * row['accuracy']:6.2f} % at {row['test_snr_db']:g} dB {row['test_noise']}")
    return diverged


def report(out: Path, options: Options, recordings: list[Recording]) -> None:
    """The figures, the page, and what it says; a dry run has nothing to say."""
    from drsn_jax.studies.ablation_figures import draw_all
    from drsn_jax.studies.ablation_report import sentences, write_report

    console.say("drawing the figures …")
    figures = draw_all(out)
    for file in figures.values():
        console.say(str(file))
    for told in {} if options.dry_run else sentences(out).values():
        for sentence in told:
            console.say(f"- {sentence}")
    data = "simulated drivetrain" if data_options.simulated(options) else str(options.recordings or options.dataset)
    length = sum(len(r.signal) / r.sampling_rate for r in recordings)
    unit, rate = ("revolutions", "samples in each") if recordings[0].per_revolution else ("s", "Hz")
    facts = {
        "data": f"{data}: {len(recordings)} recordings, {length:.4g} {unit} at {recordings[0].sampling_rate:.9g} {rate}",
        "classes": ", ".join(class_names(recordings)),
        "split": data_options.protocol(options)[1],
    }
    print(write_report(out, figures, {**facts, **settings(options)}, findings=not options.dry_run))


def settings(options: Options) -> dict[str, Any]:
    """The options that were given another value than their default, by name as they are typed; all that decide what was done."""
    always = ("noise", "snr_db", "test_snr_db", "rules", "rule_snr_db", "window_length", "epochs", "batch_size", "seeds", "seed")
    chosen = {field.name: (getattr(options, field.name), field.default) for field in dataclasses.fields(options)}
    beside = ("recordings", "dataset", "out", *run_options.EXECUTION_OPTIONS)
    shown = [name for name, (value, usual) in chosen.items() if name in always or (value != usual and name not in beside)]
    return {checks.typed(name): chosen[name][0] for name in shown}


if __name__ == "__main__":
    console.run(main)
