"""Which recordings a script works on and how they are split: the same options for all of them."""

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from drsn_jax.cli import checks, console, revolutions, run_options
from drsn_jax.core.errors import UserError
from drsn_jax.data.drivetrain import SAMPLING_RATE, drivetrain_recordings
from drsn_jax.data.labelled_windows import read_windows_file
from drsn_jax.data.public import read_public
from drsn_jax.data.recordings import Recording, read_folder, read_recordings, title
from drsn_jax.data.resampling import lost_power, resample
from drsn_jax.data.shaft import window_facts
from drsn_jax.data.split_choice import strictest_split
from drsn_jax.data.summary import common_channel, summary
from drsn_jax.data.windows import Fold, few_windows, make_folds

SplitKind = Literal["condition", "group", "recording", "time", "random-windows"]
Options = TypeVar("Options", bound="DataOptions")
PLACES = ("recordings", "folder")  # say where the data is; what it is shows its fingerprint
MOST_NAMES = 12  # of what is held out, in one line
DRY_WINDOWS = 32  # a dry run takes so many windows from the beginning of each recording


@dataclass(frozen=True)
class DataOptions(run_options.RunOptions):
    """What to train and test on."""

    recordings: Path | None = None
    """A table of recordings (CSV), or a folder with a folder for each class; without it the drivetrain is simulated. Its columns,
    and the formats of files, are listed in docs/formats.md of the repository."""
    folder: Path | None = None
    """Where the files of the table are; by default beside it."""
    outside: bool = False
    """Allow paths and links that lead out of that folder."""
    channel: str | None = None
    """For a folder of classes and --dataset: which signal of each file, a name, a pattern such as *_DE_time (all that it fits),
    or several joined by +, which become the channels of one signal."""
    sampling_rate: float | None = None
    """In Hz: for a folder of classes whose files hold none."""
    overrule_rate: bool = False
    """The sampling rate that is given, by --sampling-rate or the table, holds where a file says another one."""
    pattern: str | None = None
    """For a folder: how the names of its files tell class and condition, such as {label}_{condition}.mat, instead of folders."""
    windows_given: bool = False
    """The files hold windows already cut, arrays (n, length) or (n, length, channels), which are taken as they are; with --labels
    NAME, --recordings may name a single file whose array NAME holds the label of each window."""
    dataset: str | None = None
    """Instead of --recordings: a public set by name, such as cwru, that bearing-datasets has built."""
    download: bool = False
    """Let bearing-datasets download and build that set where it is not yet."""
    labels: tuple[str, ...] = ()
    """With --dataset: the columns of its table that make up the class. With --windows-given: the array of the labels."""
    conditions: tuple[str, ...] = ()
    """With --dataset: the columns that make up the condition."""
    where: tuple[str, ...] = ()
    """With --dataset: only recordings with COLUMN=VALUE, for example sampling_rate=12000, or without it, COLUMN!=VALUE."""
    resample: float | None = None
    """Bring all recordings to this sampling rate in Hz first."""
    speed_rpm: float | None = None
    """The speed of the shaft, in revolutions a minute, in recordings that do not tell theirs: in the table's column speed_rpm, by
    a condition such as 1500 rpm, or in the set's table."""
    revolutions: float | None = None
    """Windows of so many revolutions of the shaft instead of --window-length, at equal angles: each recording is resampled by its
    speed, so that the orders of a fault are the same at every speed and on every machine."""
    samples_per_revolution: int = 400
    """With --revolutions: samples in each."""
    windows: int = 8
    """Windows of each simulated recording (72 cells × 5 recordings)."""
    split: SplitKind | None = None
    """What is kept on one side. By default: the condition if --test-condition is given, else the recording for the simulation,
    time for files, and the strictest that a public set allows. random-windows is the paper's way and leaks."""
    test_condition: str | None = None
    """Test on this condition, train on all others."""
    folds: int = 5
    """Folds of a split by group, recording, time or random windows."""
    all_folds: bool = False
    """Run every fold instead of the first."""
    validation: float = 0.2
    """Share of the training data that is held out: by it the network that is kept is chosen and calibrated."""
    validation_by: Literal["time", "recording", "condition", "group"] = "time"
    """What is held out: the end of every training recording, or whole recordings, conditions or groups (physical parts), which
    tell how good the network is where it was not trained; every class needs two of them to train on."""
    window_length: int = 2048
    """In samples; a window should hold several revolutions, so raise it for a slow shaft or a high rate."""
    train_stride: int | None = None
    """From one training window to the next, in samples; by default a whole window for the simulation and random windows, half
    of one for files."""
    windows_per_class: int | None = None
    """Train on at most so many windows of each class, chosen at random."""
    seed: int = 0
    """The first seed: of initial parameters, order of windows, noise."""


def check(options: DataOptions) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    checks.at_least(options, 1, "folds", "windows", "windows_per_class", "train_stride")
    checks.at_least(options, 16, "window_length", unit="samples")
    checks.positive(options, "resample", unit="Hz")
    revolutions.check(options, DataOptions())
    if not 0 <= options.validation < 1:
        raise UserError(f"--validation must be from 0 to below 1, got {options.validation}")
    if options.validation == 0 and options.validation_by != "time":
        raise UserError(
            f"--validation-by {options.validation_by} holds nothing out with --validation 0: give --validation a share, for "
            "example 0.2, or leave out --validation-by"
        )
    if options.test_condition is not None and options.split not in (None, "condition"):
        raise UserError(f"--test-condition goes with --split condition, and the split is by {options.split}")
    if options.dataset is not None and options.recordings is not None:
        raise UserError("--dataset and --recordings exclude each other: give one")
    for name in ("labels", "conditions", "where", "download"):
        if getattr(options, name) and options.dataset is None and not (name == "labels" and options.windows_given):
            raise UserError(f"--{name} goes with --dataset")
    directory = options.recordings is not None and options.recordings.is_dir()
    check_windows_given(options, directory)
    directory = directory or bool(options.windows_given and options.labels)
    if options.pattern is not None and not directory:
        raise UserError("--pattern goes with --recordings FOLDER")
    if options.folder is not None and (options.recordings is None or directory):
        raise UserError("--folder goes with --recordings TABLE")
    for name in ("outside", "overrule_rate"):
        if getattr(options, name) and options.recordings is None:
            raise UserError(f"{checks.typed(name)} goes with --recordings")
    if options.channel is not None and not directory and options.dataset is None:
        raise UserError("--channel goes with --recordings FOLDER or --dataset; a table has a column for it")
    if options.sampling_rate is not None and not directory:
        raise UserError("--sampling-rate goes with --recordings FOLDER; a table has a column for it")


def check_windows_given(options: DataOptions, directory: bool) -> None:
    """Refuse options that do not go with windows already cut; raises UserError."""
    if not options.windows_given:
        return
    if options.recordings is None:
        raise UserError("--windows-given goes with --recordings")
    if options.resample is not None:
        raise UserError("--windows-given takes windows as they are: leave out --resample")
    if len(options.labels) > 1 or (options.labels and directory):
        raise UserError("--windows-given with --labels NAME takes one file, --recordings FILE, and the name of one array")


def shorten(options: Options) -> Options:
    """Return the options of a dry run, with short windows and few of them."""
    return dataclasses.replace(
        revolutions.shorten(options),
        folds=2 if options.split != "condition" else options.folds,
        all_folds=False,
        # a fold, a gap and the rest, and again for the validation
        windows=(6 if options.split == "time" else 1) + (0 if options.validation == 0 else 4),
    )


def simulated(options: DataOptions) -> bool:
    """Return whether the recordings are simulated: neither the user's nor those of a public set."""
    return options.recordings is None and options.dataset is None


def read(options: DataOptions) -> list[Recording]:
    """Return the recordings to work on: the user's, those of a public set, or simulated ones."""
    channel = options.channel or ""
    # how many samples make up revolutions is known when the speed is
    most = functools.partial(_samples_of_a_dry_run, options) if options.dry_run and options.revolutions is None else None
    if options.dataset is not None:
        chosen: dict[str, Any] = {"labels": options.labels, "conditions": options.conditions, "where": options.where}
        found = read_public(options.dataset, channel=channel, download=options.download, say=console.say, **chosen)
    elif options.recordings is None:
        # as many windows of the rate that is asked for
        longer = 1.0 if options.resample is None else SAMPLING_RATE / options.resample
        count = math.ceil(options.windows * longer) if options.revolutions is None else revolutions.simulated_windows(options)
        found = drivetrain_recordings(windows=count, window_length=options.window_length)
    elif options.recordings.is_dir():
        found = read_folder(
            options.recordings,
            sampling_rate=options.sampling_rate,
            channel=channel,
            pattern=options.pattern or "",
            windows=options.windows_given,
            overrule_rate=options.overrule_rate,
            outside=options.outside,
            most=most,
            say=console.say,
        )
    elif options.labels:
        (labels,) = options.labels
        rate: dict[str, Any] = {"sampling_rate": options.sampling_rate, "overrule_rate": options.overrule_rate}
        found = read_windows_file(options.recordings, labels, channel=channel, **rate)
    else:
        how: dict[str, Any] = {"windows": options.windows_given, "overrule_rate": options.overrule_rate}
        found = read_recordings(options.recordings, options.folder, outside=options.outside, most=most, **how)
    kept = options.windows if simulated(options) else DRY_WINDOWS
    whole = not (simulated(options) or options.dry_run)
    before, found = found, revolutions.bring(options, found, None if whole else kept)
    if options.revolutions is None:
        if options.dry_run:  # of files the beginning was read alone
            found = [dataclasses.replace(r, signal=r.signal[: _few_windows(options, r)]) for r in found]
        if options.resample is None:
            return found
        found = resample(found, options.resample)
    if whole:
        for sentence in lost_power(before, found):
            console.remark(sentence)
    return found


def _few_windows(options: DataOptions, recording: Recording) -> int:
    """Return how many samples a dry run takes of a recording."""
    if recording.unit > 1:  # windows that were given
        return DRY_WINDOWS * recording.unit
    return _samples_of_a_dry_run(options, recording.sampling_rate)


def _samples_of_a_dry_run(options: DataOptions, sampling_rate: float) -> int:
    """Return how many samples a dry run takes of a signal: whole windows, also after it is brought to another rate."""
    longer = 1.0 if options.resample is None else sampling_rate / options.resample
    return math.ceil(DRY_WINDOWS * options.window_length * longer)


def tell(options: DataOptions, recordings: list[Recording]) -> None:
    """Print what was taken from the files, and a summary of their classes; nothing about recordings that are simulated."""
    if not simulated(options):
        for line in summary(recordings):
            console.say(line)


def tell_window(options: DataOptions, recordings: list[Recording]) -> None:
    """Print how long a window is, in seconds and, where speeds are known, in revolutions of the shaft."""
    facts = window_facts(options.window_length, recordings)
    console.say("\n".join(facts[:1] if options.dry_run else facts))  # the short windows of a dry run are none to mend


def tell_validation(options: DataOptions, recordings: list[Recording], fold: Fold) -> None:
    """Print which recordings, conditions or groups are held out for validation, where they are held out whole."""
    held_out = sorted(set(fold.validation.recordings.tolist()))
    if options.validation_by == "time" or not held_out:
        return
    names = {"recording": lambda number: title(recordings, number), "group": lambda number: recordings[number].group}
    name = names.get(options.validation_by, lambda number: recordings[number].condition)
    found = list(dict.fromkeys(map(name, held_out)))
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    console.say(f"held out for validation, by {options.validation_by}: {'; '.join(found[:MOST_NAMES])}{more}")


def channel(options: DataOptions, recordings: list[Recording]) -> str:
    """Return the channel of new files that a network trained on these recordings is to be asked about: the option, or what the
    channels in the table have in common."""
    # a public set has names of its own for what its files hold, and an array of windows is no signal
    if options.dataset is not None or options.windows_given:
        return ""
    return options.channel or common_channel([r.asked and r.channel for r in recordings])


def settle_split(options: Options, recordings: list[Recording]) -> Options:
    """Return the options; where the user leaves the split of a public set open, with the strictest that is possible. Windows that
    were given set their length and stride. Raises UserError for such windows of different lengths."""
    if options.windows_given:
        lengths = {r.unit: title(recordings, number) for number, r in enumerate(recordings)}
        if len(lengths) > 1:
            listed = ", ".join(f"{length} samples in {name}" for length, name in lengths.items())
            raise UserError(f"the windows that are given have different lengths ({listed}): cut them anew, or leave some out")
        (length,) = lengths
        count = sum(len(r.signal) for r in recordings) // length
        console.say(f"{count} windows of {length} samples are taken as they are; those of one file stay in their order")
        options = dataclasses.replace(options, window_length=length, train_stride=length)
    if options.dataset is None or options.split is not None or options.test_condition is not None:
        return options
    choice = strictest_split(recordings, options.folds)
    console.say(choice.notice)
    return dataclasses.replace(options, split=cast(SplitKind, choice.split), folds=choice.folds)


def protocol(options: DataOptions) -> tuple[str, str]:
    """Return the kind of split and its name in the tables."""
    if options.test_condition is not None:
        return "condition", f"test on {options.test_condition}"
    split = options.split or ("recording" if simulated(options) else "time")
    return split, f"by {split}"


def train_stride(options: DataOptions) -> int:
    """Return the step from one training window to the next, in samples."""
    # random windows that overlap would be on both sides in part
    whole = simulated(options) or protocol(options)[0] == "random-windows"
    return options.train_stride or (options.window_length if whole else options.window_length // 2)


def cut_folds(options: DataOptions, recordings: list[Recording]) -> list[Callable[[], Fold]]:
    """Return the folds to run as functions, each of which cuts its fold into windows; errors as ``make_folds``."""
    folds = make_folds(
        recordings,
        protocol(options)[0],
        window_length=options.window_length,
        train_stride=train_stride(options),
        folds=options.folds,
        test_condition=options.test_condition,
        validation=options.validation,
        validation_by=options.validation_by,
        seed=options.seed,
    )
    folds = folds if options.all_folds else folds[:1]
    if options.windows_per_class is None:
        return folds
    return [functools.partial(_few, cut, options.windows_per_class, options.seed) for cut in folds]


def _few(cut: Callable[[], Fold], per_class: int, seed: int) -> Fold:
    return few_windows(cut(), per_class, seed)
