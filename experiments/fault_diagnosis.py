"""Residual networks diagnose a machine in heavy noise: the main experiment of the paper, and a network that is better at it.

    python experiments/fault_diagnosis.py

compares ResNet, DRSN-CW, a network of band energies, and a power spectrum with logistic regression, on a simulated drivetrain
with Gaussian noise at one SNR (--networks also takes ConvNet, SENet and DRSN-CS). On your own recordings, listed in a table (see
experiments/recordings/README.md):

    python experiments/fault_diagnosis.py --recordings TABLE --folder FOLDER --test-condition "3 hp"

and with the paper's protocol (weeks on a CPU; take a part of it with the other options):

    python experiments/fault_diagnosis.py --preset paper

The last network of each training is tested, nothing is chosen on test data. The folder of the run holds the configuration,
results.csv, timings.csv, the curves and the figures; the same command with --out on that folder continues it, in the middle of
a training too.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from drsn_jax.cli import checks, commands, console, data_options, revolutions, run_options
from drsn_jax.core import distributed
from drsn_jax.core.distributed import choose_devices
from drsn_jax.core.errors import UserError
from drsn_jax.data.formats import rates
from drsn_jax.data.recordings import Recording, class_names, fingerprint
from drsn_jax.data.shaft import shaft_facts
from drsn_jax.data.summary import taken
from drsn_jax.data.windows import Fold
from drsn_jax.diagnosis import bundle_files
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.description import read_description
from drsn_jax.diagnosis.gears import gear_facts
from drsn_jax.diagnosis.physics import fault_of
from drsn_jax.nn.presets import SIGNAL_NETWORKS, preset_name
from drsn_jax.pretrained.kept import meant
from drsn_jax.studies import comparison_training, feature_figure
from drsn_jax.studies.comparison import Comparison, noises, tell_diverged
from drsn_jax.studies.comparison_figures import draw_all
from drsn_jax.studies.comparison_results import tables
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.healthy import learn_healthy
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.verdict import table_and_verdict

NetworkName = Literal["convnet", "resnet", "senet", "drsn_cs", "drsn_cw", "band_energy", "band_energy_tiny", "band_energy_linear"]
NoiseKind = Literal["gaussian", "laplacian", "pink", "salt_and_pepper", "impulsive"]


@dataclass(frozen=True)
class Options(data_options.DataOptions, TrainingConfig):
    """What to run."""

    preset: Literal["quick", "paper"] = "quick"
    """Defaults of the other options: a comparison in minutes, or the paper's protocol."""
    noise: tuple[NoiseKind, ...] = ("gaussian",)
    """Kinds of added noise."""
    snr_db: tuple[float, ...] = (0.0,)
    """Signal-to-noise ratios in dB; inf adds no noise."""
    networks: tuple[NetworkName, ...] = ("resnet", "drsn_cw", "band_energy")
    """Networks to compare: the five of the paper; band_energy, the recommended one, which works on the energy in frequency bands;
    band_energy_tiny, a small one of its kind; and band_energy_linear, which learns little but carries over to other parts."""
    epochs: int = 30
    """Passes over the training windows."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """sgd: as in the paper, with momentum, a tenth of the learning rate after 40 % of the steps, a hundredth after 80 %; adamw:
    AdamW with a learning rate that rises for 30 % of the steps and then falls, which needs fewer epochs."""
    healthy_only: bool = False
    """Make a model of recordings of one class, a machine in good order, which tells what has changed. Nothing is trained, and
    --window-length, --revolutions, --standardise and --seed are what can be chosen."""
    seeds: int = 1
    """How many seeds: --seed, --seed + 1, …"""
    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Fine-tune the network in this folder, which an earlier run kept, with a new classifier; pretrained:drivetrain is one that
    comes with the package."""


PRESETS = {
    "quick": Options(),
    "paper": Options(
        preset="paper",
        split="random-windows",
        folds=10,
        all_folds=True,
        noise=("gaussian", "laplacian", "pink"),
        snr_db=tuple(float(level) for level in range(-5, 6)),
        fixed_noise=True,
        networks=("convnet", "resnet", "drsn_cs", "drsn_cw"),
        optimizer="sgd",
        epochs=100,
        batch_size=128,
        windows=80,
        standardise="none",
        validation=0.0,
    ),
}


def check(options: Options) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    data_options.check(options)
    checks.different(options, "noise", "snr_db", "networks")
    checks.snr(options, "snr_db")
    checks.at_least(options, 1, "epochs", "batch_size", "seeds", "steps_per_call", "patience")
    checks.seeds(options)
    checks.positive(options, "learning_rate")
    checks.snr_range(options, "train_snr_db")
    if not 0 <= options.body_rate <= 1:
        raise UserError(f"--body-rate is a share from 0 to 1, got {options.body_rate}")
    if options.body_rate != Options().body_rate and options.start is None:
        raise UserError("--body-rate goes with --from")
    if options.validation == 0 and (options.test_network == "best" or options.patience is not None):
        raise UserError("--test-network best and --patience need windows to look at: give --validation a share, for example 0.2")
    checks.spread(options)


def windows_of(start: Path | None) -> dict[str, int]:
    """The options that say which windows the network in a folder takes; none without one."""
    if start is None:
        return {}
    facts = read_description(start)
    rate = {"samples_per_revolution": round(facts["sampling_rate"])} if facts.get("per_revolution") else {}
    return {"window_length": facts["window_length"], **rate}


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        data_options.shorten(options),
        # a network to start from has windows of its own
        **windows_of(options.start),
        noise=options.noise[:1],
        # one training serves all levels where it has a range of its own
        snr_db=options.snr_db[: 1 if options.train_snr_db is None else 2],
        epochs=2,
        batch_size=32 * run_options.shards(options),
        seeds=1,
    )


def config(options: Options, recordings: list[Recording]) -> dict[str, Any]:
    """What decides the results."""
    # the same table may name other files tomorrow, and the same folder hold another network
    data = None if data_options.simulated(options) else fingerprint(recordings)
    start = None if options.start is None else bundle_files.fingerprint(options.start)
    chosen = run_options.config(options)
    del chosen["healthy_only"]  # has no run
    return {**chosen, "classes": class_names(recordings), "data": data, "start": start}


def compare(options: Options, recordings: list[Recording], origin: Bundle | None, out: Path) -> Comparison:
    """The comparison that the options describe; ``origin`` is the network to fine-tune."""
    best_model = BestModel(
        out / "model",
        {
            "classes": class_names(recordings),
            "window_length": options.window_length,
            "stride": data_options.train_stride(options),
            "sampling_rate": recordings[0].sampling_rate,
            "channel": data_options.channel(options, recordings),
            "channels": recordings[0].signal.shape[1],
            "per_revolution": recordings[0].per_revolution,
        },
        () if data_options.simulated(options) else taken(recordings),
        {**shaft_facts(recordings), **gear_facts(recordings, [r for r in recordings if fault_of(r.label) == "healthy"])},
    )
    return Comparison(
        networks=options.networks if origin is None else (preset_name(origin.network) or "network",),
        classes=class_names(recordings),
        noises=noises(options.noise, options.snr_db),
        seeds=range(options.seed, options.seed + options.seeds),
        protocol=data_options.protocol(options)[1],
        config=options,
        size={"widths": (4, 8), "units": (1, 1)} if options.dry_run else {},
        devices=tuple(choose_devices(options.devices)) if options.devices else (),
        init_from=origin,
        checkpoint_seconds=options.checkpoint_seconds,
        best_model=best_model,
        kinds=options.noise,
        presets=SIGNAL_NETWORKS,
    )


def main() -> None:
    options = run_options.parse(Options, __doc__, PRESETS)
    if options.start is not None:
        options = dataclasses.replace(options, start=Path(meant(str(options.start))))
    check(options)
    options = revolutions.settle(options)
    run_options.prepare(options)
    if options.dry_run:
        options = shorten(options)
    start = time.perf_counter()
    recordings = data_options.read(options)
    data_options.tell(options, recordings)
    if options.healthy_only:
        return learn(options, recordings)
    options = data_options.settle_split(options, recordings)
    data_options.tell_window(options, recordings)
    folds = data_options.cut_folds(options, recordings)
    first = folds[0]()
    data_options.tell_validation(options, recordings, first)
    origin = None if options.start is None else read_start(options, recordings)
    out = options.out or console.default_out("fault_diagnosis")
    comparison = compare(options, recordings, origin, out)
    names = [r.name for r in recordings]
    held = tables(class_names(recordings), names)
    folder = RunFolder(out, config(options, recordings), tables=held, places=data_options.PLACES)
    with folder.alone():
        trials = train(options, comparison, folder, folds, first, names)
    if distributed.is_main_process():
        report(out, comparison, tsne_iterations=250 if options.dry_run else 1000)
        if (out / "model").is_dir():
            ask = commands.as_typed("python experiments/diagnose.py")
            console.say(f"the best network on the validation windows is kept: {ask} {out}/model FILE")
        else:
            console.say("no network is kept: with --validation 0.2 the best on held-out windows would be")
        console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - start)}")
    tell_diverged([comparison], trials)


def learn(options: Options, recordings: list[Recording]) -> None:
    """Make a model of healthy recordings and keep it."""
    if options.start is not None:
        raise UserError("--healthy-only trains nothing, so there is nothing to start --from")
    if data_options.simulated(options):
        recordings = [recording for recording in recordings if recording.label == "healthy"]
    data_options.tell_window(options, recordings)
    model = learn_healthy(recordings, window_length=options.window_length, standardise=options.standardise, seed=options.seed)
    out = options.out or console.default_out("fault_diagnosis")
    bundle_files.save(out / "model", model)
    ask = commands.as_typed("python experiments/diagnose.py")
    console.say(f"a model of {model.classes[0]!r} alone is kept, it tells what has changed: {ask} {out}/model FILE")


def read_start(options: Options, recordings: list[Recording]) -> Bundle:
    """Return the network to fine-tune; UserError if it was trained on something of another kind."""
    assert options.start is not None
    start = bundle_files.load(options.start)
    unit = {True: "revolutions", False: "seconds"}
    found = (options.window_length, recordings[0].sampling_rate, recordings[0].signal.shape[1], options.standardise)
    found = (unit[recordings[0].per_revolution], *found)
    there = {True: "window", "together": "together"}.get(start.standardise, "none" if start.network.scale == 1 else "training")
    if not start.remove_mean or start.network.offset != 0 or not isinstance(start.network.scale, int | float):
        there = "by the level of its windows"  # as DRSNClassifier does it
    wanted = (unit[start.per_revolution], start.window_length, start.sampling_rate, start.channels, there)
    names = ("windows in", "window length", "sampling rate", "number of channels", "standardisation")
    different = [
        f"{name}: {w} there, {f} here"
        for name, f, w in zip(names, found, wanted, strict=True)
        if not (rates.same(float(f), float(w)) if name == "sampling rate" else f == w)
    ]
    kind = preset_name(start.network) or "network"
    if options.networks not in (Options().networks, (kind,)):
        raise UserError(f"--from {options.start} is of the kind {kind}: leave out --networks")
    if different:
        same = f"--resample {start.sampling_rate:g}"
        if start.per_revolution:
            turns = start.window_length / start.sampling_rate
            same = f"--revolutions {turns:g} --samples-per-revolution {start.sampling_rate:g}"
        raise UserError(f"--from {options.start} was trained otherwise ({'; '.join(different)}): choose the same, such as {same}")
    return start


def train(
    options: Options,
    comparison: Comparison,
    folder: RunFolder,
    folds: list[Callable[[], Fold]],
    first: Fold,
    recordings: list[str],
) -> int:
    """Make the trainings that the folder lacks; returns how many those were."""
    trials = comparison.missing(folder, len(folds))
    console.say(
        f"{len(recordings)} recordings of {len(comparison.classes)} classes, {comparison.protocol}: "
        f"{len(first.train.windows):,} windows to train on, {len(first.test.windows):,} to test on; {trials} trainings of "
        f"{options.epochs} epochs; {folder.path}"
    )
    if trials:
        console.say(f"networks: {', '.join(TITLES.get(name, name) for name in comparison.networks)} (--networks chooses)")
    splits = [(comparison, cut) for cut in [lambda: first, *folds[1:]]]
    comparison_training.train(splits, folder, recordings, trials, options, epochs=options.epochs, then=", then the figures")
    return trials


def report(out: Path, comparison: Comparison, tsne_iterations: int) -> None:
    """Print the table and draw the figures."""
    print(f"\n{table_and_verdict(out, comparison.networks)}\n")
    for file in draw_all(out):
        console.say(str(file))
    if feature_figure.feature_files(out):
        console.say("embedding the features of the test windows by t-SNE, some seconds for each network …")
    for file in feature_figure.tsne_figure(out, tsne_iterations):
        console.say(str(file))


if __name__ == "__main__":
    console.run(main)
