"""Networks recognise spoken words in the noise of a road: horns, traffic, other voices.

    python experiments/speech_recognition.py --recordings FOLDER

trains ResNet and DRSN-CW on clips of spoken digits, named {digit}_{speaker}_{index}.wav as those of the Free Spoken Digit Dataset
(https://github.com/Jakobovski/free-spoken-digit-dataset). Each network sees the log-mel spectrogram of a clip in roadside noise,
which is new in every step and has a signal-to-noise ratio from a range; it is then tested at each ratio, beside logistic
regression on log-mel statistics and a support vector machine on MFCC. About six minutes on two cores. Without --recordings the
digits are spoken by a synthesiser (pip install 'drsn-jax[speech]'), with other voices to train than to test. Other questions:

    python experiments/speech_recognition.py --recordings FOLDER --split speaker       # a speaker that was never heard
    python experiments/speech_recognition.py --recordings FOLDER --train-snr-db None   # trained without noise
    python experiments/speech_recognition.py --recordings FOLDER --input wave          # the waveform itself

The folder of the run holds the configuration, results.csv, timings.csv, the curves, the figures and the best network on the
validation clips; the same command with --out on that folder continues it, in the middle of a training too.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drsn_jax.cli import checks, commands, console, run_options
from drsn_jax.core import distributed
from drsn_jax.core.distributed import choose_devices
from drsn_jax.core.errors import UserError
from drsn_jax.data.speech import Clips, by_takes, read_clips, read_noise, speech_folds
from drsn_jax.data.synthesis import TEST_VOICES, VALIDATION_VOICES, synthesise_digits
from drsn_jax.data.windows import Fold
from drsn_jax.functional.mel import LogMel
from drsn_jax.functional.roadside import ROADSIDE_KINDS, Roadside
from drsn_jax.studies import comparison_training, feature_figure
from drsn_jax.studies.comparison import Comparison, tell_diverged
from drsn_jax.studies.comparison_figures import draw_all
from drsn_jax.studies.comparison_results import tables
from drsn_jax.studies.comparison_tables import TITLES
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.speech_figures import accuracy_by_level, heard, level_table
from drsn_jax.studies.speech_peers import peers
from drsn_jax.studies.speech_study import plan
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.verdict import table_and_verdict

NetworkName = Literal["convnet", "resnet", "senet", "drsn_cs", "drsn_cw"]
NoiseKind = Literal["horn", "traffic", "babble", "roadside", "recorded"]
DRY_CLIPS = 240


@dataclass(frozen=True)
class Options(run_options.RunOptions, TrainingConfig):
    """What to run."""

    recordings: Path | None = None
    """A folder of clips {word}_{speaker}_{index}.wav; without it a synthesiser speaks digits."""
    split: Literal["official", "speaker"] = "official"
    """official: clips with the numbers 0 to 4 test, 5 to 9 validate; speaker: each speaker tests once, trained on all others.
    Synthesised voices that test are always others than those that train."""
    input: Literal["mel", "wave"] = "mel"
    """What the networks see: the log-mel spectrogram, or the waveform."""
    networks: tuple[NetworkName, ...] = ("resnet", "drsn_cw")
    """Networks to compare."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of each stage."""
    units: tuple[int, ...] = (2, 2, 2)
    """Units of each stage."""
    mels: int = 40
    """Bands of the spectrogram."""
    noise: tuple[NoiseKind, ...] = ("roadside",)
    """Kinds of noise, each with a training of its own; roadside is a mixture of traffic with horns and voices."""
    noise_recordings: Path | None = None
    """A folder of .wav files of noise; the kind recorded takes random stretches of them."""
    snr_db: tuple[float, ...] = (-10.0, -5.0, 0.0, 5.0, 10.0, 20.0, math.inf)
    """Signal-to-noise ratios of the tests in dB, over the speech; inf adds no noise."""
    train_snr_db: tuple[float, float] | None = (-10.0, 20.0)
    """The range of signal-to-noise ratios in training; None trains without noise."""
    seconds: float = 1.0
    """The length of a window: shorter clips lie in its middle, of longer ones the loudest part is taken."""
    resample: float | None = None
    """Resample all clips to this rate in Hz; without it they must have one rate."""
    epochs: int = 40
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips a step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """sgd: as in the paper; adamw: AdamW with a learning rate that rises and then falls, which needs fewer epochs."""
    seed: int = 0
    """The first seed: of initial parameters, order of clips, noise."""
    seeds: int = 1
    """How many seeds: --seed, --seed + 1, …"""


def check(options: Options) -> None:
    """Refuse options that are out of range or do not go together; raises UserError."""
    checks.different(options, "networks", "noise", "snr_db")
    checks.snr(options, "snr_db")
    checks.at_least(options, 1, "epochs", "batch_size", "seeds", "steps_per_call", "patience", "widths", "units", "mels")
    checks.seeds(options)
    checks.positive(options, "learning_rate", "seconds")
    checks.positive(options, "resample", unit="Hz")
    checks.stages(options)
    checks.snr_range(options, "train_snr_db")
    if ("recorded" in options.noise) != (options.noise_recordings is not None):
        raise UserError("--noise recorded and --noise-recordings FOLDER go together")
    if options.recordings is None and (options.split == "speaker" or options.resample is not None):
        raise UserError("--split speaker and --resample go with --recordings: synthesised voices are always split by voice")
    if options.standardise not in ("window", "together"):
        raise UserError(f"--standardise is window or together for speech, got {options.standardise}")
    if options.fixed_noise or options.body_rate != 1:
        raise UserError("--fixed-noise and --body-rate are not for speech: its noise is new in every step")
    checks.spread(options)


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    return dataclasses.replace(
        options,
        widths=(4, 6),
        units=(1, 1),
        noise=options.noise[:1],
        snr_db=options.snr_db[-2:],
        epochs=2,
        batch_size=32 * run_options.shards(options),
        seeds=1,
    )


def read(options: Options) -> tuple[Clips, str, list[Fold]]:
    """Read or synthesise the clips that the options name; returns them with the name of the set and their splits."""
    if options.recordings is None:
        clips = synthesise_digits(
            1 if options.dry_run else 6, seconds=options.seconds, seed=0, voices=3 if options.dry_run else None
        )
        return clips, "synthesised digits", speech_folds(clips, "voices", TEST_VOICES, VALIDATION_VOICES)
    clips = read_clips(options.recordings, seconds=options.seconds, resample=options.resample)
    if options.dry_run:
        clips = clips.some(DRY_CLIPS)
    return clips, options.recordings.resolve().name, speech_folds(clips, options.split)


def spectrogram(options: Options, rate: float) -> LogMel:
    """The log-mel front end for a sampling rate in Hz: frames of 32 ms, one every 16 ms, 45 dB below the loudest."""
    hop = round(0.016 * rate)
    return LogMel(rate, frame=2 * hop, hop=hop, mels=options.mels, range_db=45.0)


def compare(options: Options, clips: Clips, folds: list[Fold], out: Path) -> list[Comparison]:
    """The comparison of each split; they differ in the voices and recordings of their noise."""
    rate, length = clips.sampling_rate, clips.windows.shape[1]
    front_end = spectrogram(options, rate)
    seen = {"kernel": (3, 3), "front_end": front_end} if options.input == "mel" else {"kernel": (9,), "stem": 4}
    recorded = None
    if options.noise_recordings is not None:
        recorded = read_noise(options.noise_recordings, rate, length, console.say)
    facts = {"classes": list(clips.classes), "window_length": length, "sampling_rate": rate, "stride": None}
    made = []
    for fold in folds:
        trainings = plan(options.noise, options.snr_db, options.train_snr_db, fold, rate, recorded)
        comparison = Comparison(
            networks=options.networks,
            classes=clips.classes,
            noises=[noise for _, tests in trainings for noise in tests],
            seeds=range(options.seed, options.seed + options.seeds),
            protocol={"official": "official split", "voices": "other voices"}.get(fold.name, "by speaker"),
            config=options,
            size={**seen, "widths": options.widths, "units": options.units},
            devices=tuple(choose_devices(options.devices)) if options.devices else (),
            checkpoint_seconds=options.checkpoint_seconds,
            best_model=BestModel(out / "model", facts),
            plan=trainings,
            baselines=peers(len(clips.classes), front_end),
        )
        if made:  # one compilation serves all splits of one size
            comparison.trainer = made[0].trainer
        made.append(comparison)
    return made


def config(options: Options, clips: Clips, name: str) -> dict[str, Any]:
    """What decides the results."""
    # synthesised clips differ in their last bits from machine to machine
    data = None if options.recordings is None else clips.fingerprint
    chosen = {**run_options.config(options), "classes": list(clips.classes), "noise_kinds": list(ROADSIDE_KINDS)}
    return {**chosen, "dataset": name, "data": data}


def main() -> None:
    options = run_options.begin(run_options.parse(Options, __doc__), check, shorten)
    start = time.perf_counter()
    clips, name, folds = read(options)
    folds, takes = by_takes(clips, folds)
    out = options.out or console.default_out("speech_recognition")
    comparisons = compare(options, clips, folds, out)
    console.say(
        f"{name}: {len(clips.labels):,} clips of {len(clips.classes)} words by {len(set(clips.speakers))} speakers at "
        f"{clips.sampling_rate:g} Hz; {len(folds[0].train.labels):,} to train on, {len(folds[0].test.labels):,} to test on"
        + (f", {len(folds)} splits" if len(folds) > 1 else "")
    )
    held = tables(clips.classes, takes, ROADSIDE_KINDS)
    folder = RunFolder(out, config(options, clips, name), tables=held, places=("recordings", "noise_recordings"))
    with folder.alone():
        trials = train(options, comparisons, folder, folds, takes)
    if distributed.is_main_process():
        report(
            out,
            comparisons[0],
            folds[0],
            spectrogram(options, clips.sampling_rate),
            tsne_iterations=250 if options.dry_run else 1000,
        )
        ask = commands.as_typed("python experiments/diagnose.py")
        console.say(f"the best network on the validation clips is kept: {ask} {out}/model FILE.wav")
        console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - start)}")
    tell_diverged(comparisons, trials)


def train(options: Options, comparisons: list[Comparison], folder: RunFolder, folds: list[Fold], takes: list[str]) -> int:
    """Make the trainings that the folder lacks; returns how many those were."""
    first = comparisons[0]
    trials = first.missing(folder, len(folds))
    console.say(f"{trials} trainings of {options.epochs} epochs: {', '.join(TITLES[name] for name in first.networks)}")
    splits = [(comparison, lambda fold=fold: fold) for comparison, fold in zip(comparisons, folds, strict=True)]
    comparison_training.train(splits, folder, takes, trials, options, epochs=options.epochs)
    return trials


def report(out: Path, comparison: Comparison, fold: Fold, front_end: LogMel, tsne_iterations: int) -> None:
    """Print the tables and draw the figures."""
    print(f"\nTest accuracy, %:\n\n{level_table(out)}\n\n{table_and_verdict(out, comparison.networks)}\n")
    noises = [noise for noise in comparison.noises if isinstance(noise, Roadside)]
    drawn = [accuracy_by_level(out), heard(out, fold, noises, comparison.classes, front_end)]
    for file in itertools.chain(drawn, draw_all(out), feature_figure.tsne_figure(out, tsne_iterations)):
        console.say(str(file))


if __name__ == "__main__":
    console.run(main)
