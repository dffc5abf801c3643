"""Train the networks that come with the package, and look for where they fail.

    python experiments/train_pretrained.py drivetrain
    python experiments/train_pretrained.py digits --recordings FOLDER

FOLDER is recordings/ of the Free Spoken Digit Dataset (https://github.com/Jakobovski/free-spoken-digit-dataset). Each is a run of
another script with the options in ``TRAININGS``. The network that it keeps is then tested in what it was not trained for, other
noise and other speeds of the machine, and what it finds least is named. The folder of the run holds the training, the bundle and
tables.md, the tables of the model card. --install puts both in place of those in drsn_jax/pretrained. Each takes about five
minutes on two cores that are free.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro

from drsn_jax.cli import console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import write_atomically
from drsn_jax.data.drivetrain import LOADS, SAMPLING_RATE, drivetrain_recordings, simulate
from drsn_jax.data.drivetrain_faults import STATES
from drsn_jax.data.recording import Recording
from drsn_jax.data.speech import official_fold, read_clips
from drsn_jax.data.windows import Side
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.labelled import evaluate_labelled, labelled_windows
from drsn_jax.functional.noise import Noise
from drsn_jax.functional.roadside import Roadside
from drsn_jax.nn.presets import preset_name
from drsn_jax.pretrained.kept import CARD, KEPT, folder
from drsn_jax.studies.speech_study import plan

MOST_BYTES = 200_000  # of a bundle, so that the wheel stays small
FRESH_SEED = 1  # of the machines that no training has seen
# the script of each training and its options
TRAININGS = {
    "drivetrain": (
        "fault_diagnosis",
        "--networks band_energy_tiny --windows 40 --validation-by recording --train-snr-db -10 30 --snr-db -10 -5 0 5 10 inf "
        "--batch-size 128 --epochs 60",
    ),
    "digits": (
        "speech_recognition",
        "--networks drsn_cw --widths 8 16 28 --epochs 80",
    ),
}


@dataclass(frozen=True)
class Options:
    """What to train."""

    name: tyro.conf.Positional[Literal["drivetrain", "digits"]] = "drivetrain"
    """Which network."""
    recordings: Path | None = None
    """For the digits: the clips of the Free Spoken Digit Dataset."""
    install: bool = False
    """Put the bundle and the tables of its card in place of those that come with the package."""
    dry_run: bool = False
    """Run every part of it in seconds, with tiny networks, windows and epochs: the numbers mean nothing."""
    out: Path | None = None
    """Folder of the run; by default runs/train_pretrained-<UTC time>. On the folder of an earlier run it goes on there."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    check(options)
    if not options.plain_runtime:
        runtime.prepare(dry_run=options.dry_run)
    runtime.require_platform()
    out = options.out or console.default_out("train_pretrained")
    train(options, out / "training")
    model = load(out / "training" / "model")
    digits = options.name == "digits"
    failures = dict(digits_failures(model, options.recordings) if digits else drivetrain_failures(model, options.dry_run))
    model = dataclasses.replace(model, training={**model.training, "command": command(options.name), "failures": failures})
    save(out / "bundle", model, overwrite=True)
    size = sum(file.stat().st_size for file in (out / "bundle").iterdir() if not file.name.startswith("."))
    if size > MOST_BYTES:
        raise UserError(f"the bundle in {out / 'bundle'} has {size:,} bytes, more than {MOST_BYTES:,}: take a smaller network")
    write_atomically(out / "tables.md", f"{accuracy_table(model)}\n\n{failure_table(model)}\n")
    print(f"\n{accuracy_table(model)}\n\n{failure_table(model)}\n")
    if options.install:
        install(model, folder(options.name))
    console.say(f"{KEPT[options.name]}: {preset_name(model.network)}, {size:,} bytes; everything is in {out}")


def check(options: Options) -> None:
    """Refuse options that do not go together; raises UserError."""
    if (options.name == "digits") != (options.recordings is not None):
        raise UserError("digits and --recordings FOLDER go together: the drivetrain is simulated")
    if options.install and options.dry_run:
        raise UserError("--install goes without --dry-run, whose networks know nothing")


def command(name: str) -> str:
    """The command that trains a network, as it is typed."""
    script, arguments = TRAININGS[name]
    return f"python experiments/{script}.py {'--recordings FOLDER ' if name == 'digits' else ''}{arguments}"


def train(options: Options, out: Path) -> None:
    """Run the script of a training; raises UserError where it fails."""
    script, arguments = TRAININGS[options.name]
    words = [*arguments.split(), "--out", str(out)]
    words += [] if options.recordings is None else ["--recordings", str(options.recordings)]
    words += ["--dry-run"] * options.dry_run
    ended = subprocess.run([sys.executable, str(Path(__file__).with_name(f"{script}.py")), *words])
    if ended.returncode:
        raise UserError(f"{script}.py ended with {ended.returncode}: its last line says why")


def drivetrain_failures(model: Bundle, dry_run: bool) -> Iterator[tuple[str, float]]:
    """Yield the accuracy in what the network was not trained for, on machines that no training has seen."""
    windows = 2 if dry_run else 20
    side = labelled_windows(model, drivetrain_recordings(FRESH_SEED, recordings=1, windows=windows))
    kinds = ("gaussian",) if dry_run else ("gaussian", "laplacian", "pink", "impulsive", "salt_and_pepper")
    for test in evaluate_labelled(model, side, [Noise(kind, 0.0) for kind in kinds]):
        yield f"{test.noise.kind.replace('_', ' ').capitalize()} noise of 0 dB", test.scores.accuracy
        if test.noise.kind == "gaussian":
            yield from by_class(model, test.confusion, "{} in that noise")
    for speed in (25.0,) if dry_run else (10.0, 25.0, 35.0, 50.0):
        side = labelled_windows(model, at_speed(speed, windows * model.window_length, 1 if dry_run else 3))
        (test,) = evaluate_labelled(model, side, [Noise()])
        yield f"motor at {speed:g} Hz, no noise", test.scores.accuracy


def at_speed(speed: float, length: int, machines: int) -> list[Recording]:
    """Simulate recordings of all states and loads at one set speed of the motor in Hz."""
    cells = [(state, load) for state in range(len(STATES)) for load in LOADS for _ in range(machines)]
    states, loads = (np.asarray(column) for column in zip(*cells, strict=True))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(FRESH_SEED), round(speed)), len(cells))
    signals = jax.lax.map(lambda each: simulate(each[0], each[1], speed, each[2], length), (keys, states, loads))
    return [
        Recording(np.asarray(made), STATES[state], SAMPLING_RATE, f"{speed:g} Hz, {load:g} lb·ft", name=f"cell {number}")
        for number, (made, (state, load)) in enumerate(zip(signals, cells, strict=True))
    ]


def digits_failures(model: Bundle, recordings: Path | None) -> Iterator[tuple[str, float]]:
    """Yield the accuracy on the test clips in single kinds of noise, and that of the two digits that are found least."""
    assert recordings is not None
    fold = official_fold(read_clips(recordings))
    kinds = ("roadside", "horn", "traffic", "babble")
    ((_, roadside),) = plan(("roadside",), (0.0,), (-10.0, 20.0), fold, float(model.sampling_rate))
    tests = [Roadside(kind, 0.0, float(model.sampling_rate), roadside[0].sounds) for kind in kinds]
    for noise in [*tests, Noise("gaussian", 0.0)]:
        confusion = heard(model, fold.test, noise)
        yield f"{noise.kind.capitalize()} noise of 0 dB", float(np.trace(confusion) / confusion.sum())
        if noise.kind == "roadside":
            yield from by_class(model, confusion, "{} in that noise")


def heard(model: Bundle, side: Side, noise: Any) -> np.ndarray:
    """Return counts of true × predicted digit on clips in a noise, of which one draw is made."""
    keys = jax.random.split(jax.random.key(0), len(side.windows))
    windows = np.asarray(jax.lax.map(lambda each: noise(*each), (keys, side.windows)))
    count = len(model.classes)
    return np.bincount(side.labels * count + model.logits(windows).argmax(1), minlength=count**2).reshape(count, count)


def by_class(model: Bundle, confusion: np.ndarray, title: str) -> Iterator[tuple[str, float]]:
    """Yield the accuracy of the two classes that are found least, with what they are taken for most."""
    found = np.diag(confusion) / confusion.sum(1)
    for number in np.argsort(found, kind="stable")[:2]:
        others = np.where(np.arange(len(found)) == number, -1, confusion[number])
        taken = model.classes[int(others.argmax())]
        yield f"{title.format(model.classes[number])}, mostly taken for {taken}", float(found[number])


def accuracy_table(model: Bundle) -> str:
    """The table of a card: accuracy on the test data of the training, by SNR."""
    rows = [("none" if str(entry["snr_db"]) == "inf" else f"{entry['snr_db']:g} dB", entry) for entry in model.accuracy]
    shown = [
        f"| {level} | {100 * entry['accuracy']:.1f} % | {100 * entry['covered']:.1f} % | {entry['set_size']:.2f} |"
        for level, entry in rows
    ]
    return "\n".join(["| added noise | accuracy | true class in its set | classes in a set |", "|---|---|---|---|", *shown])


def failure_table(model: Bundle) -> str:
    """The table of a card: accuracy where the network was not trained for it."""
    shown = [f"| {case} | {100 * accuracy:.1f} % |" for case, accuracy in model.training["failures"].items()]
    return "\n".join(["| asked about | accuracy |", "|---|---|", *shown])


def install(model: Bundle, place: Path) -> None:
    """Put a bundle, and the tables of its card, in place of those that come with the package; raises UserError for a folder
    without a card with both tables, in which then nothing is changed."""
    if not (place / CARD).is_file():
        raise UserError(f"{place / CARD} is missing: write the card first, with the two tables of tables.md")
    text = with_tables((place / CARD).read_text(encoding="utf-8"), [accuracy_table(model), failure_table(model)])
    (place / CARD).unlink()  # of a folder that has files but no bundle yet, ``save`` would make none
    save(place, model, overwrite=True)
    write_atomically(place / CARD, text)


def with_tables(text: str, tables: Sequence[str]) -> str:
    """Return the text of a card with these tables in place of its tables, which have the same headers."""
    for table in tables:
        header = table.splitlines()[0]
        pattern = rf"^{re.escape(header)}\n\|[-|]+\|\n(?:\|.*\|\n)*"
        text, count = re.subn(pattern, lambda _, table=table: f"{table}\n", text, flags=re.MULTILINE)
        if count != 1:
            raise UserError(f"the card has {count} tables with the header {header}, expected one")
    return text


if __name__ == "__main__":
    console.run(main)
