"""Five residual networks diagnose a machine in heavy noise: the main experiment of the paper.

    python experiments/fault_diagnosis.py

compares ConvNet, ResNet, SENet, DRSN-CS and DRSN-CW, and a power spectrum with logistic regression, on a simulated drivetrain
with Gaussian noise at one SNR. On your own recordings, listed in a table (see recordings/README.md):

    python experiments/fault_diagnosis.py --recordings TABLE --folder FOLDER --test-condition "3 hp"

and with the paper's protocol (weeks on a CPU; take a part of it with the other options):

    python experiments/fault_diagnosis.py --preset paper

The last network of each training is tested, nothing is chosen on test data. The folder of the run holds the configuration,
results.csv, timings.csv, the curves and the figures; the same command with --out on that folder continues it, in the middle of
a training too.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from drsn_jax import hosts, scripts
from drsn_jax.bundle import Bundle
from drsn_jax.bundle import load as load_bundle
from drsn_jax.comparison import Comparison, conditions
from drsn_jax.data.drivetrain import drivetrain_recordings
from drsn_jax.data.folds import Fold, few_windows, make_folds
from drsn_jax.data.recordings import Recording, fingerprint, read_folder, read_recordings, resample
from drsn_jax.data.windows import class_names
from drsn_jax.figures import draw_all
from drsn_jax.keeping import Keeper
from drsn_jax.parallel import choose_devices
from drsn_jax.runs import RunFolder
from drsn_jax.tables import markdown, summarise

NetworkName = Literal["convnet", "resnet", "senet", "drsn_cs", "drsn_cw"]
NoiseKind = Literal["gaussian", "laplacian", "pink"]
SplitKind = Literal["condition", "group", "recording", "time", "random-windows"]


@dataclass(frozen=True)
class Options(scripts.RunOptions):
    """What to run."""

    preset: Literal["quick", "paper"] = "quick"
    """Defaults of the other options: a comparison in minutes, or the paper's protocol."""
    recordings: Path | None = None
    """A table of recordings (CSV), or a folder with a folder for each class; without it the drivetrain is simulated."""
    folder: Path | None = None
    """Where the files of the table are; by default beside it."""
    outside: bool = False
    """Allow paths in the table that lead out of that folder."""
    channel: str | None = None
    """For a folder of classes: which signal of each file, a name, a pattern such as *_DE_time, or several joined by +."""
    sampling_rate: float | None = None
    """In Hz: for a folder of classes whose files hold none."""
    resample: float | None = None
    """Bring all recordings to this sampling rate in Hz first."""
    split: SplitKind | None = None
    """What is kept on one side. By default: the condition if --test-condition is given, else the recording for the simulation
    and time for files. random-windows is the paper's way and leaks."""
    test_condition: str | None = None
    """Test on this condition, train on all others."""
    folds: int = 5
    """Folds of a split by group, recording, time or random windows."""
    all_folds: bool = False
    """Run every fold instead of the first."""
    noise: tuple[NoiseKind, ...] = ("gaussian",)
    """Kinds of added noise."""
    snr_db: tuple[float, ...] = (0.0,)
    """Signal-to-noise ratios in dB; inf adds no noise."""
    train_snr_db: tuple[float, float] | None = None
    """Train on noise of levels drawn from this range in dB, for a network that is to meet any of them; --snr-db then is that of
    the test."""
    fixed_noise: bool = False
    """Add noise to the training windows once, instead of anew in every step."""
    networks: tuple[NetworkName, ...] = ("convnet", "resnet", "senet", "drsn_cs", "drsn_cw")
    """Networks to compare."""
    epochs: int = 20
    """Passes over the training windows."""
    batch_size: int = 32
    """Windows a step."""
    learning_rate: float = 0.1
    """At the start; a tenth of it after 40 % of the steps, a hundredth after 80 %."""
    seeds: int = 1
    """How many seeds: --seed, --seed + 1, …"""
    seed: int = 0
    """The first seed: of initial parameters, order of windows, noise."""
    window_length: int = 2048
    """In samples."""
    train_stride: int | None = None
    """From one training window to the next, in samples; by default a whole window for the simulation and random windows, half
    of one for files."""
    windows: int = 8
    """Windows of each simulated recording (72 cells × 5 recordings)."""
    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Fine-tune the network in this folder, which fault_diagnosis.py kept, with a new classifier."""
    body_rate: float = 0.1
    """With --from: the share of the learning rate that the rest of the network gets; 0 freezes it."""
    windows_per_class: int | None = None
    """Train on at most so many windows of each class, chosen at random."""
    standardise: bool = True
    """Scale every window to zero mean and unit variance after the noise."""
    validation: float = 0.2
    """Share of every training recording that is held out at its end: by it the network that is kept is chosen."""
    test_network: Literal["last", "best"] = "last"
    """Which network of a training is tested: after the last epoch, or with the lowest loss on the validation windows."""
    patience: int | None = None
    """Stop a training after so many epochs without a lower validation loss."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' computation; parameters, statistics, thresholds and loss stay float32."""
    steps_per_call: int = 1
    """Steps of one call of the compiled program, for accelerators."""


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
        epochs=100,
        batch_size=128,
        windows=80,
        standardise=False,
        validation=0.0,
    ),
}


def check(options: Options) -> None:
    """ValueError for options that cannot be run."""
    for level in options.snr_db:
        if not (abs(level) <= 100 or level == math.inf):
            raise ValueError(f"--snr-db {level} is no usable ratio: give numbers from -100 to 100 dB, or inf for no noise")
    if options.train_snr_db is not None and not -100 <= options.train_snr_db[0] < options.train_snr_db[1] <= 100:
        raise ValueError(f"--train-snr-db is a range from low to high within -100 to 100 dB, got {options.train_snr_db}")
    if not 0 <= options.body_rate <= 1:
        raise ValueError(f"--body-rate is a share from 0 to 1, got {options.body_rate}")
    if options.windows_per_class is not None and options.windows_per_class < 1:
        raise ValueError(f"--windows-per-class must be at least 1, got {options.windows_per_class}")
    for name in ("folds", "epochs", "batch_size", "seeds", "windows", "steps_per_call"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}")
    if options.window_length < 16:
        raise ValueError(f"--window-length must be at least 16 samples, got {options.window_length}")
    if options.seed < 0 or options.seed + options.seeds > 2**32:
        raise ValueError(f"--seed must be from 0 to 2**32 - 1, got {options.seed}")
    for name in ("noise", "snr_db", "networks"):
        chosen = getattr(options, name)
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"--{name.replace('_', '-')} needs different values, at least one, got {list(chosen)}")
    if not options.learning_rate > 0 or math.isinf(options.learning_rate):
        raise ValueError(f"--learning-rate must be a positive number, got {options.learning_rate}")
    if options.train_stride is not None and options.train_stride < 1:
        raise ValueError(f"--train-stride must be at least 1, got {options.train_stride}")
    if not 0 <= options.validation < 1:
        raise ValueError(f"--validation must be from 0 to below 1, got {options.validation}")
    if options.validation == 0 and (options.test_network == "best" or options.patience is not None):
        raise ValueError("--test-network best and --patience need windows to look at: give --validation a share, for example 0.2")
    if options.patience is not None and options.patience < 1:
        raise ValueError(f"--patience must be at least 1, got {options.patience}")
    if options.devices is not None and (options.devices < 1 or options.batch_size % options.devices):
        raise ValueError(f"--devices must divide --batch-size {options.batch_size}, got {options.devices}")
    if options.test_condition is not None and options.split not in (None, "condition"):
        raise ValueError(f"--test-condition goes with --split condition, and the split is by {options.split}")
    table = options.recordings is not None and not options.recordings.is_dir()
    if (options.folder is not None or options.outside) and not table:
        raise ValueError("--folder and --outside go with --recordings TABLE")
    if (options.channel is not None or options.sampling_rate is not None) and (options.recordings is None or table):
        raise ValueError("--channel and --sampling-rate go with --recordings FOLDER; a table has columns for them")


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        options,
        noise=options.noise[:1],
        snr_db=options.snr_db[:1],
        folds=2 if options.split != "condition" else options.folds,
        all_folds=False,
        epochs=2,
        batch_size=32 * scripts.shards(options),
        seeds=1,
        window_length=256,
        # a fold, a gap and the rest, and again for the validation
        windows=(6 if options.split == "time" else 1) + (0 if options.validation == 0 else 4),
    )


def load(options: Options) -> list[Recording]:
    """The recordings to work on: the user's, or simulated ones."""
    if options.recordings is not None:
        if options.recordings.is_dir():
            found = read_folder(options.recordings, sampling_rate=options.sampling_rate, channel=options.channel or "")
        else:
            found = read_recordings(options.recordings, options.folder, outside=options.outside)
        return found if options.resample is None else resample(found, options.resample)
    return drivetrain_recordings(windows=options.windows, window_length=options.window_length)


def protocol(options: Options) -> tuple[str, str]:
    """The kind of split and its name in the tables."""
    if options.test_condition is not None:
        return "condition", f"test on {options.test_condition}"
    split = options.split or ("recording" if options.recordings is None else "time")
    return split, f"by {split}"


def config(options: Options, recordings: list[Recording]) -> dict[str, Any]:
    """What decides the results."""
    # the same table may name other files tomorrow
    data = None if options.recordings is None else fingerprint(recordings)
    return {**scripts.config(options), "classes": class_names(recordings), "data": data}


def main() -> None:
    options = scripts.parse(Options, __doc__, PRESETS)
    check(options)
    scripts.prepare(options)
    if options.dry_run:
        options = shorten(options)
    start = time.perf_counter()
    recordings = load(options)
    split, name = protocol(options)
    # random windows that overlap would be on both sides in part
    whole = options.recordings is None or split == "random-windows"
    stride = options.train_stride or (options.window_length if whole else options.window_length // 2)
    folds = make_folds(
        recordings,
        split,
        window_length=options.window_length,
        train_stride=stride,
        folds=options.folds,
        test_condition=options.test_condition,
        validation=options.validation,
        seed=options.seed,
    )
    folds = folds if options.all_folds else folds[:1]
    if options.windows_per_class is not None:
        folds = [functools.partial(few, cut, options.windows_per_class, options.seed) for cut in folds]
    first = folds[0]()
    origin = None if options.start is None else read_start(options, recordings)
    out = options.out or scripts.default_out("fault_diagnosis")
    keeper = Keeper(
        out / "model",
        {
            "classes": class_names(recordings),
            "window_length": options.window_length,
            "stride": stride,
            "sampling_rate": recordings[0].sampling_rate,
            "channel": options.channel or "",
            "channels": recordings[0].signal.shape[1],
            "standardise": options.standardise,
        },
    )
    comparison = Comparison(
        networks=options.networks if origin is None else (str(origin.training["network"]),),
        classes=class_names(recordings),
        conditions=conditions(options.noise, options.snr_db),
        seeds=range(options.seed, options.seed + options.seeds),
        protocol=name,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        fixed_noise=options.fixed_noise,
        standardise=options.standardise,
        units=(1, 1, 1) if options.dry_run else (4, 4, 4),
        devices=tuple(choose_devices(options.devices)) if options.devices else (),
        dtype=options.dtype,
        steps_per_call=options.steps_per_call,
        train_snr_db=options.train_snr_db,
        start=origin,
        body_rate=options.body_rate,
        best=options.test_network == "best",
        patience=options.patience,
        checkpoint_seconds=options.checkpoint_seconds,
        keeper=keeper,
    )
    folder = RunFolder(out, config(options, recordings))
    with folder.alone():
        trials = train(options, comparison, folder, folds, first, [r.name for r in recordings])
    if hosts.is_first():
        report(out)
        if (out / "model").is_dir():
            scripts.say(f"the best network on the validation windows is kept: python experiments/diagnose.py {out}/model FILE")
        else:
            scripts.say("no network is kept: with --validation 0.2 the best on held-out windows would be")
        scripts.say(f"everything is in {out}; it took {scripts.duration(time.perf_counter() - start)}")
    if comparison.diverged:
        raise ArithmeticError(
            f"{len(comparison.diverged)} of {trials} trainings stopped and have no row in the tables; the same command with "
            "--out tries them again:" + "".join(f"\n  {trial}: {why}" for trial, why in comparison.diverged)
        )


def few(cut: Callable[[], Fold], per_class: int, seed: int) -> Fold:
    """A fold with few training windows."""
    return few_windows(cut(), per_class, seed)


def read_start(options: Options, recordings: list[Recording]) -> Bundle:
    """The network to fine-tune; ValueError if it was trained on something of another kind."""
    assert options.start is not None
    start = load_bundle(options.start)
    found = (options.window_length, recordings[0].sampling_rate, recordings[0].signal.shape[1], options.standardise)
    wanted = (start.window_length, start.sampling_rate, start.channels, start.standardise)
    names = ("window length", "sampling rate", "number of channels", "standardisation")
    different = [f"{name}: {w} there, {f} here" for name, f, w in zip(names, found, wanted, strict=True) if f != w]
    if different:
        raise ValueError(f"--from {options.start} was trained otherwise ({'; '.join(different)}): choose the same, or --resample")
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
    scripts.say(
        f"{len(recordings)} recordings of {len(comparison.classes)} classes, {comparison.protocol}: {len(first.train):,} windows "
        f"to train on, {len(first.test):,} to test on; {trials} trainings of {options.epochs} epochs; {folder.path}"
    )
    if trials:
        scripts.say("compiling the networks and timing a few steps of each …")
        seconds = [seconds for _, seconds in comparison.estimate(first) if math.isfinite(seconds)]
        if seconds:
            scripts.say(f"expected time: {scripts.duration(sum(seconds) * trials / len(seconds))}")
    with scripts.Progress(trials * options.epochs) as progress:
        for number, cut in enumerate(folds):
            fold = first if number == 0 else cut()
            on_epoch = lambda network, epoch: progress.advance(f"{network}, fold {fold.name}, epoch {epoch.number}")  # noqa: E731, B023
            for row in comparison.run(fold, folder, recordings, on_epoch):
                progress.say(
                    f"{row['network']:>18}  {row['noise']} {row['snr_db']:g} dB  fold {row['fold']}  seed {row['seed']}:  "
                    f"train {100 * row['train_accuracy']:6.2f} %  test {100 * row['test_accuracy']:6.2f} %"
                )
    return trials


def report(out: Path) -> None:
    """The table and the figures."""
    print(f"\n{markdown(summarise(out))}\n")
    for file in draw_all(out):
        print(file)


if __name__ == "__main__":
    scripts.run(main)
