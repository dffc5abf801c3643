"""Test a kept network on labelled recordings, at chosen levels of noise.

    python experiments/evaluate.py MODEL --recordings FOLDER --snr-db inf 0 -5

MODEL is the folder of a run of python experiments/fault_diagnosis.py, or of the model that it kept, or pretrained:NAME for one
that comes with the package. The recordings are a folder for each class or a table, as for the training; take some that the
network was not trained on. For each noise: accuracy, balanced accuracy (the mean of the classes), calibration error and the
confusion of the classes. Takes seconds.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro

from drsn_jax.cli import checks, console, data_options, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.data.recording import Recording
from drsn_jax.data.recordings import title
from drsn_jax.diagnosis.asking import trained_sources
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.diagnosis import COVERAGE
from drsn_jax.diagnosis.labelled import NoiseTest, evaluate_labelled, labelled_windows
from drsn_jax.functional.noise import Noise
from drsn_jax.nn.networks import drsn_cw
from drsn_jax.pretrained.kept import load_named


@dataclass(frozen=True)
class Options:
    """What to test, and on what."""

    model: tyro.conf.Positional[Path | None] = None
    """The folder of a trained network, or of the run that kept it; or pretrained:NAME for one that comes with the package."""
    recordings: Path | None = None
    """A table of recordings (CSV), or a folder with a folder for each class."""
    folder: Path | None = None
    """Where the files of the table are; by default beside it."""
    channel: str | None = None
    """For a folder: which signal of each file; by default what the network was trained on."""
    sampling_rate: float | None = None
    """In Hz: for a folder whose files hold none."""
    resample: float | None = None
    """Bring all recordings to this sampling rate in Hz first."""
    speed_rpm: float | None = None
    """For a network with windows of --revolutions: the speed of the shaft in recordings that do not tell theirs."""
    noise: Literal["gaussian", "laplacian", "pink", "salt_and_pepper", "impulsive"] = "gaussian"
    """The kind of added noise."""
    snr_db: tuple[float, ...] = (float("inf"),)
    """Signal-to-noise ratios in dB; inf adds no noise."""
    seed: int = 0
    """Of the noise."""
    json: bool = False
    """A line of JSON for every noise instead of text."""
    dry_run: bool = False
    """Test a tiny network that was never trained on made-up recordings; its model goes into --out."""
    out: Path | None = None
    """For --dry-run; by default runs/evaluate-<UTC time>."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    if not options.plain_runtime:
        runtime.prepare(devices=runtime.cores(), dry_run=options.dry_run)
    checks.different(options, "snr_db")
    checks.snr(options, "snr_db")
    if options.dry_run:
        model, recordings = rehearse(options)
    else:
        if options.model is None or options.recordings is None:
            raise UserError("name the folder of a model, and --recordings with a folder for each class or a table")
        model = load_named(options.model)
        if options.speed_rpm is not None and not model.per_revolution:
            raise UserError("--speed-rpm goes with a network whose windows are revolutions, and this one's are in seconds")
        recordings = read(options, model)
    if not options.plain_runtime:
        model.spread(jax.local_devices())
    known = trained_on(model, recordings)
    if known:
        of = f"{known} of {len(recordings)} recordings"
        print(f"warning: {of} have names of those that the model was trained on", file=sys.stderr)
    side = labelled_windows(model, recordings)
    for test in evaluate_labelled(model, side, [Noise(options.noise, level) for level in options.snr_db], options.seed):
        console.say(as_json(model, test) if options.json else as_text(model, test))


def read(options: Options, model: Bundle) -> list[Recording]:
    """The recordings, read as for a training."""
    assert options.recordings is not None
    folder = options.recordings.is_dir()
    turns: dict[str, Any] = {}
    if model.per_revolution:
        samples = round(model.sampling_rate)
        turns = {"revolutions": model.window_length / samples, "samples_per_revolution": samples}
    channel = (options.channel or model.channel or None) if folder else options.channel
    asked = data_options.DataOptions(
        recordings=options.recordings,
        folder=options.folder,
        channel=channel,
        sampling_rate=options.sampling_rate,
        resample=options.resample,
        speed_rpm=options.speed_rpm,
        **turns,
    )
    data_options.check(asked)
    return data_options.read(asked)


def trained_on(model: Bundle, recordings: list[Recording]) -> int:
    """How many recordings have the names of those that the model was trained on."""
    names = {name for source in trained_sources(model) for name in source.files}
    return sum(title(recordings, number) in names for number in range(len(recordings)))


def rehearse(options: Options) -> tuple[Bundle, list[Recording]]:
    """A model that was never trained, which is saved and loaded, and recordings of its classes."""
    out = options.out or console.default_out("evaluate")
    if out.exists():
        raise UserError(f"{out} exists: choose another --out, nothing is overwritten")
    length, rng, classes = 256, np.random.default_rng(0), ("healthy", "faulty")
    network = drsn_cw(classes=2, widths=(4,), units=(1,), standardise=True)
    variables = jax.jit(lambda key: network.init(key, np.zeros((1, length, 1)), train=False))(jax.random.key(0))
    save(out / "model", Bundle(network, variables, classes, length, 12_800.0, length))
    made = [Recording(rng.normal(size=(20 * length, 1)), label, 12_800.0, name=label) for label in classes]
    return load(out / "model"), made


def as_text(model: Bundle, test: NoiseTest) -> str:
    """The numbers of one noise, and the confusion as a table: true classes in rows, predicted ones in columns."""
    found = test.scores
    head = (
        f"{test.noise}: accuracy {100 * found.accuracy:.1f} %, balanced {100 * found.balanced_accuracy:.1f} %, calibration error "
        f"{test.calibration_error:.3f}, {test.confusion.sum()} windows"
    )
    if test.covered is not None:
        head += (
            f"; sets that promise {100 * COVERAGE:.0f} % hold the true class of {100 * test.covered:.1f} %, "
            f"{test.set_size:.2f} classes each"
        )
    cells = [["true \\ predicted", *model.classes]]
    cells += [[name, *map(str, row)] for name, row in zip(model.classes, test.confusion.tolist(), strict=True)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([head, *rows])


def as_json(model: Bundle, test: NoiseTest) -> str:
    """The same as a line of JSON."""
    level = "inf" if test.noise.is_none else test.noise.snr_db
    facts = {
        "noise": test.noise.kind,
        "snr_db": level,
        **test.scores._asdict(),
        "calibration_error": test.calibration_error,
        "covered": test.covered,
        "set_size": test.set_size,
        "classes": list(model.classes),
        "confusion": test.confusion.tolist(),
    }
    return json.dumps(facts, allow_nan=False)


if __name__ == "__main__":
    console.run(main)
