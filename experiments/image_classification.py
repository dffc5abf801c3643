"""Networks recognise a picture among other things that have nothing to do with its label, in noise of its pixels.

    python experiments/image_classification.py

trains ResNet and DRSN-CW on scikit-learn's handwritten digits: each digit lies at a random place of a larger canvas, among
fragments of other digits whose number and place change from picture to picture, under Gaussian noise. Each network is trained
once, on a range of numbers and SNRs, and tested at each number of fragments and each SNR, beside logistic regression on the
pixels. About five minutes on two cores. Other pictures:

    python experiments/image_classification.py --idx FOLDER        # MNIST, Fashion-MNIST: IDX files, with or without .gz
    python experiments/image_classification.py --cifar10 FOLDER    # the binary files of CIFAR-10
    python experiments/image_classification.py --images FOLDER     # a folder of PNG or JPEG files for each class

The folder of the run holds the configuration, results.csv, timings.csv, the curves, the figures (accuracy by the number of
distractors and by SNR, what the thresholds set to zero beside the picture) and the best network on the validation pictures; the
same command with --out on that folder continues it, in the middle of a training too.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import functools
import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drsn_jax.cli import checks, commands, console, run_options
from drsn_jax.core import distributed
from drsn_jax.core.distributed import choose_devices
from drsn_jax.core.errors import UserError
from drsn_jax.data.image_files import read_cifar10, read_idx
from drsn_jax.data.image_folders import read_picture_folder
from drsn_jax.data.images import Pictures, canvas_for, digits_pictures, split_pictures
from drsn_jax.data.windows import Fold
from drsn_jax.nn.image_networks import IMAGE_NETWORKS
from drsn_jax.nn.networks import NETWORKS
from drsn_jax.studies import comparison_training, feature_figure
from drsn_jax.studies.comparison import Comparison, tell_diverged
from drsn_jax.studies.comparison_results import tables
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.image_figures import draw_pictures, grid_table
from drsn_jax.studies.image_study import PARTS, PIXELS, PictureModels, PixelBaseline, Plan, in_parts_of_the_test
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.verdict import table_and_verdict

NetworkName = Literal[
    "convnet", "resnet", "senet", "drsn_cs", "drsn_cw", "resnet18", "resnet34", "resnet50", "drsn18", "drsn34", "drsn50"
]
NoiseKind = Literal["gaussian", "laplacian", "pink", "salt_and_pepper", "impulsive"]
SOURCES = ("idx", "cifar10", "images")  # say only where the pictures are; what they are shows their fingerprint
DRY_PICTURES = 160


@dataclass(frozen=True)
class Options(run_options.RunOptions, TrainingConfig):
    """What to run."""

    idx: Path | None = None
    """A folder of IDX files (MNIST, Fashion-MNIST): t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, train-…, plain or .gz."""
    cifar10: Path | None = None
    """A folder with the binary files of CIFAR-10: data_batch_1.bin … test_batch.bin."""
    images: Path | None = None
    """A folder with a folder of PNG or JPEG files of one size for each class, or with train and test, which hold those."""
    networks: tuple[NetworkName, ...] = ("resnet", "drsn_cw")
    """Networks to compare: those of the paper, with a kernel of 3 × 3, and those of the sizes of ResNet-18, 34 and 50."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of each stage of the paper's networks."""
    units: tuple[int, ...] = (2, 2, 2)
    """Units of each stage of the paper's networks."""
    noise: tuple[NoiseKind, ...] = ("gaussian",)
    """Kinds of noise of the pixels, each with a training of its own."""
    distractors: tuple[int, ...] = (0, 2, 4, 8)
    """Numbers of distractors of the tests."""
    snr_db: tuple[float, ...] = (math.inf, 10.0, 5.0, 0.0)
    """Signal-to-noise ratios of the tests in dB, over the whole canvas; inf adds no noise to the pixels."""
    train_distractors: tuple[int, int] = (0, 8)
    """From how many to how many distractors a picture has in training."""
    train_snr_db: tuple[float, float] | None = (0.0, 20.0)
    """The range of signal-to-noise ratios in training; None adds no noise to the pixels."""
    canvas: tuple[int, int] | None = None
    """Height and width of the canvas in pixels; by default 60/28 of those of the pictures."""
    patch: int | None = None
    """Height and width of a distractor in pixels; by default 8/28 of those of the pictures."""
    test_share: float = 0.2
    """Share of the pictures of each class to test on, where the set brings no split of its own."""
    validation: float = 0.1
    """Share of the training pictures that is held out: by it the network that is kept is chosen and calibrated."""
    epochs: int = 60
    """Passes over the training pictures."""
    batch_size: int = 64
    """Pictures a step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """sgd: as in the paper; adamw: AdamW with a learning rate that rises and then falls, which needs fewer epochs."""
    seed: int = 0
    """The first seed: of initial parameters, order of pictures, clutter."""
    seeds: int = 1
    """How many seeds: --seed, --seed + 1, …"""


def check(options: Options) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    checks.different(options, "networks", "noise", "distractors", "snr_db")
    checks.snr(options, "snr_db")
    checks.at_least(
        options, 1, "epochs", "batch_size", "seeds", "steps_per_call", "patience", "widths", "units", "canvas", "patch"
    )
    checks.at_least(options, 0, "distractors", "train_distractors")
    checks.seeds(options)
    checks.positive(options, "learning_rate")
    checks.stages(options)
    if not options.train_distractors[0] <= options.train_distractors[1]:
        raise UserError(f"--train-distractors is from the smaller to the larger number, got {options.train_distractors}")
    checks.snr_range(options, "train_snr_db")
    if not 0 < options.test_share < 1 or not 0 <= options.validation < 1:
        raise UserError("--test-share is a share between 0 and 1, --validation one from 0 to below 1")
    if sum(getattr(options, name) is not None for name in SOURCES) > 1:
        raise UserError("choose one of --idx, --cifar10 and --images")
    if options.standardise not in ("window", "together"):
        raise UserError(f"--standardise is window or together for pictures, got {options.standardise}")
    if options.fixed_noise:
        raise UserError("--fixed-noise is not for pictures: their clutter is new in every step")
    if options.body_rate != 1:
        raise UserError("--body-rate goes with --from of fault_diagnosis.py")
    if options.validation == 0 and (options.test_network == "best" or options.patience is not None):
        raise UserError("--test-network best and --patience need pictures to look at: give --validation a share, for example 0.1")
    checks.spread(options)


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        options,
        widths=(4, 6),
        units=(1, 1),
        noise=options.noise[:1],
        distractors=options.distractors[:2],
        snr_db=options.snr_db[-1:],
        epochs=2,
        batch_size=32 * run_options.shards(options),
        seeds=1,
    )


def read(options: Options) -> tuple[Pictures, str]:
    """Read the pictures that the options name; returns them with the name of the set."""
    if options.idx is not None:
        pictures, name = read_idx(options.idx), f"IDX files in {options.idx.resolve().name}"
    elif options.cifar10 is not None:
        pictures, name = read_cifar10(options.cifar10), "CIFAR-10"
    elif options.images is not None:
        pictures, name = read_picture_folder(options.images), f"pictures in {options.images.resolve().name}"
    else:
        pictures, name = digits_pictures(), "handwritten digits of scikit-learn"
    return (few(pictures) if options.dry_run else pictures), name


def few(pictures: Pictures) -> Pictures:
    """Keep the first pictures of each class on each side, about ``DRY_PICTURES`` in all."""
    sides = np.zeros(len(pictures.labels), bool) if pictures.official is None else pictures.official
    groups = [(label, side) for label in range(len(pictures.classes)) for side in np.unique(sides)]
    each = max(8, DRY_PICTURES // len(groups))
    chosen = np.concatenate([np.flatnonzero((pictures.labels == a) & (sides == b))[:each] for a, b in groups])
    return dataclasses.replace(
        pictures,
        pictures=pictures.pictures[chosen],
        labels=pictures.labels[chosen],
        names=[pictures.names[int(number)] for number in chosen],
        official=None if pictures.official is None else sides[chosen],
    )


def plan(options: Options, fold: Fold) -> Plan:
    """In which clutter the networks are trained and tested."""
    canvas, patch = canvas_for(fold.train.windows.shape[1:])
    return Plan(
        bank=fold.train.windows,
        canvas=options.canvas or canvas,
        patch=options.patch or patch,
        kinds=options.noise,
        trained=options.train_distractors,
        trained_db=options.train_snr_db,
        distractors=options.distractors,
        snr_db=options.snr_db,
    )


def config(options: Options, pictures: Pictures, name: str, clutter: Plan) -> dict[str, Any]:
    """What decides the results."""
    digest = hashlib.sha256(pictures.pictures.tobytes() + pictures.labels.tobytes()).hexdigest()
    chosen = run_options.config(options) | {"canvas": list(clutter.canvas), "patch": clutter.patch}
    return {**chosen, "classes": list(pictures.classes), "dataset": name, "data": digest, "noise_kinds": clutter.noise_kinds()}


def compare(options: Options, pictures: Pictures, clutter: Plan, out: Path) -> Comparison:
    """The comparison that the options describe."""
    size = {"kernel": (3, 3), "widths": options.widths, "units": options.units}
    small = {"widths": (4, 6), "units": (1, 1)} if options.dry_run else {}
    presets = {name: functools.partial(made, **size) for name, made in NETWORKS.items()}
    presets |= {name: functools.partial(made, **small) for name, made in IMAGE_NETWORKS.items()}
    trainings = clutter.trainings()
    channels = pictures.pictures.shape[-1]
    facts = {"classes": list(pictures.classes), "window_length": clutter.canvas, "channels": channels}
    return Comparison(
        networks=options.networks,
        classes=pictures.classes,
        noises=[noise for _, tests in trainings for noise in tests],
        seeds=range(options.seed, options.seed + options.seeds),
        protocol="random pictures" if pictures.official is None else "official split",
        config=options,
        devices=tuple(choose_devices(options.devices)) if options.devices else (),
        checkpoint_seconds=options.checkpoint_seconds,
        best_model=PictureModels(out / "model", facts, shown=clutter.shown()),
        plan=trainings,
        baselines={PIXELS: PixelBaseline(len(pictures.classes), options.standardise)},
        presets=presets,
    )


def main() -> None:
    options = run_options.begin(run_options.parse(Options, __doc__), check, shorten)
    start = time.perf_counter()
    pictures, name = read(options)
    fold = in_parts_of_the_test(
        split_pictures(pictures, share=options.test_share, validation=options.validation, seed=options.seed)
    )
    clutter = plan(options, fold)
    out = options.out or console.default_out("image_classification")
    comparison = compare(options, pictures, clutter, out)
    console.say(
        f"{name}: {pictures.title}, {comparison.protocol}: {len(fold.train.labels):,} to train on, {len(fold.test.labels):,} to "
        f"test on; canvas {clutter.canvas[0]} × {clutter.canvas[1]}, distractors of {clutter.patch} × {clutter.patch}"
    )
    parts = [f"part {number}" for number in range(PARTS)]
    held = tables(pictures.classes, parts, clutter.noise_kinds())
    folder = RunFolder(out, config(options, pictures, name, clutter), tables=held, places=SOURCES)
    with folder.alone():
        trials = train(options, comparison, folder, fold, parts)
    if distributed.is_main_process():
        report(out, comparison, tsne_iterations=250 if options.dry_run else 1000)
        if (out / "model").is_dir():
            ask = commands.as_typed("python experiments/diagnose.py")
            console.say(f"the best network on the validation pictures is kept: {ask} {out}/model FILE")
        console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - start)}")
    tell_diverged([comparison], trials)


def train(options: Options, comparison: Comparison, folder: RunFolder, fold: Fold, parts: list[str]) -> int:
    """Make the trainings that the folder lacks; returns how many those were."""
    trials = comparison.missing(folder, 1)
    console.say(f"{trials} trainings of {options.epochs} epochs: {', '.join(TITLES[name] for name in comparison.networks)}")
    comparison_training.train([(comparison, lambda: fold)], folder, parts, trials, options, epochs=options.epochs)
    return trials


def report(out: Path, comparison: Comparison, tsne_iterations: int) -> None:
    """Print the tables and draw the figures."""
    print(f"\nTest accuracy, %:\n\n{grid_table(out)}\n\n{table_and_verdict(out, comparison.networks)}\n")
    for file in draw_pictures(out):
        console.say(str(file))
    for file in feature_figure.tsne_figure(out, tsne_iterations):
        console.say(str(file))


if __name__ == "__main__":
    console.run(main)
