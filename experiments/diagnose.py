"""Ask a trained network about recordings.

    python experiments/diagnose.py MODEL FILE...

MODEL is the folder of a network that was trained and kept by python experiments/fault_diagnosis.py or
python experiments/speech_recognition.py (runs/NAME or runs/NAME/model), or one that comes with the package, pretrained:drivetrain
or pretrained:digits; FILE is a recording or a folder of them. A network of spoken words takes a file for one word. For every
file: the class, its probability, the share of windows that agree, the next classes, and warnings where the file is unlike the
training data. A class is named only where the network is sure and no warning speaks against it. With - as the file, raw float32
samples come from standard input and a line is printed for every window:

    arecord -f FLOAT_LE -r 12000 -c 1 -t raw | python experiments/diagnose.py MODEL -

A network of pictures, kept by python experiments/image_classification.py, is asked about PNG and JPEG files.

An hour at 12.8 kHz takes seconds; a window of a stream is answered in milliseconds.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import dataclasses
import functools
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
import tyro

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import write_atomically
from drsn_jax.core.text import visible, visible_lines
from drsn_jax.data.image_folders import read_picture
from drsn_jax.diagnosis.answer_lines import file_answer, percent, title
from drsn_jax.diagnosis.asking import Asked, ask, trained_bearing, trained_gear, trained_sidebands, understood
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.diagnosis import is_of_pictures
from drsn_jax.diagnosis.physics import Parts, Physics, doubted, recording_physics
from drsn_jax.diagnosis.picture_answers import answer_picture
from drsn_jax.diagnosis.pictures import free_name, picture_of
from drsn_jax.diagnosis.report import Entry, entry_of, writable, write_report
from drsn_jax.diagnosis.streams import diagnose_stream, expected
from drsn_jax.functional.bearings import named_bearing
from drsn_jax.functional.gears import GearOrders, named_gear
from drsn_jax.functional.orders import BearingOrders
from drsn_jax.nn.networks import drsn_cw
from drsn_jax.pretrained.kept import meant


@dataclass(frozen=True)
class Options:
    """What to ask."""

    model: tyro.conf.Positional[Path | None] = None
    """The folder of a trained network, or of the run that kept it; or pretrained:NAME for one that comes with the package."""
    files: tyro.conf.Positional[tuple[str, ...]] = ()
    """Recordings, or folders of recordings, or - for raw float32 samples from standard input."""
    channel: str | None = None
    """Which signal of a file; by default what the network was trained on, or the only one."""
    sampling_rate: float | None = None
    """In Hz, for files that do not hold it and for a stream; by default that of the training data, with a warning."""
    overrule_rate: bool = False
    """That sampling rate holds where a file says another one."""
    json: bool = False
    """A line of JSON for every file (or window of a stream) instead of text."""
    every: float | None = None
    """For a stream: a line for all windows of so many seconds together, instead of one for every window."""
    speed_rpm: float | None = None
    """The speed of the shaft in revolutions a minute, which a network with windows of --revolutions needs. With the bearing
    or the teeth, what physics says is told beside the class."""
    speed_range_rpm: tuple[float, float] | None = None
    """In place of it, the lowest and the highest that it can be: it is then found in the vibration, if it stands out there."""
    bearing: tuple[str, ...] | None = None
    """The bearing on it, by default that of the training where all of its recordings told the same: a name such as 6205, or its
    number of balls, ball diameter, pitch diameter in the same unit, contact angle in degrees if not 0."""
    teeth: tuple[str, ...] | None = None
    """The teeth of the gear on it, by default that of the training: their number, or those of a sun, those of its ring, and the
    number of its planets."""
    report: Path | None = None
    """A folder for report.html, a page with all answers and their pictures that can be handed on; it opens without a network."""
    plot: Path | None = None
    """A folder for a picture of every file: the answer, waveforms, classes over time, what the thresholds set to zero."""
    dry_run: bool = False
    """Ask a tiny network that was never trained about two files that are made up, which go into --out."""
    out: Path | None = None
    """For --dry-run; by default runs/diagnose-<UTC time>."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    if not options.plain_runtime:
        runtime.prepare(devices=runtime.cores(), dry_run=options.dry_run)
    runtime.require_platform()
    if options.dry_run:
        if options.model is not None:
            raise UserError("--dry-run makes a model and files of its own: name none")
        options = rehearse(options)
    if options.model is None:
        raise UserError("name the folder of a model and at least one file, or - for standard input")
    if not options.files:
        raise UserError("name at least one file, or - for standard input")
    if "-" in options.files and len(options.files) > 1:
        raise UserError("- goes alone: a stream has no other files")
    checks.positive(options, "sampling_rate", unit="Hz")
    checks.positive(options, "every", unit="seconds")
    checks.positive(options, "speed_rpm", unit="revolutions a minute")
    if options.speed_range_rpm is not None and options.speed_rpm is not None:
        raise UserError("--speed-rpm gives the speed and --speed-range-rpm searches it: take one of them")
    if options.speed_range_rpm is not None and not 0 < options.speed_range_rpm[0] < options.speed_range_rpm[1] < math.inf:
        low, high = options.speed_range_rpm
        raise UserError(f"--speed-range-rpm is the lowest and the highest speed in rpm, got {low:g} and {high:g}")
    named = None if options.bearing is None else named_bearing(" ".join(options.bearing))
    geared = None if options.teeth is None else named_gear(" ".join(options.teeth))
    folder, files = understood(Path(meant(str(options.model))), [meant(file) for file in options.files])
    options = dataclasses.replace(options, files=tuple(files))
    model = load(folder)
    if is_of_pictures(model):
        return ask_pictures(model, options)
    parts = shaft(model, options, named, geared)
    if not options.plain_runtime:
        model.spread(jax.local_devices())
    if options.files == ("-",):
        if options.plot is not None or options.channel is not None or options.report is not None:
            raise UserError("--plot, --report and --channel go with files, not with a stream")
        if parts.known:
            raise UserError("--bearing, --teeth and --speed-rpm go with files, not with a stream")
        if model.per_revolution:
            raise UserError("the model's windows are revolutions of the shaft, for files of a constant speed: it takes no stream")
        if sys.stdin is None:
            raise UserError("standard input is closed")
        return stream(model, options, sys.stdin.buffer)
    if options.every is not None:
        raise UserError("--every goes with a stream, and these are files")
    if model.per_revolution and options.speed_rpm is None:
        raise UserError("the model's windows are revolutions of the shaft: give its speed in the files by --speed-rpm")
    failed = ask_files(model, options, parts)
    if failed:
        raise UserError(f"{failed} of {len(options.files)} files could not be diagnosed")


def shaft(model: Bundle, options: Options, named: BearingOrders | None, geared: GearOrders | None) -> Parts:
    """The bearing and the gear whose lines are looked for: those that are named, or those of the training."""
    told = options.speed_rpm is not None or options.speed_range_rpm is not None
    bearing = named or (trained_bearing(model) if told else None)
    gear = geared or (trained_gear(model) if told else None)
    parts = Parts(bearing, gear, () if gear is None else trained_sidebands(model, gear))
    # windows of revolutions need the speed too
    if (parts.known and not told) or (not parts.known and told and not model.per_revolution):
        raise UserError(
            "--bearing and --teeth go together with --speed-rpm or --speed-range-rpm: lines are looked for at multiples of the "
            "shaft's speed"
        )
    return parts


def ask_files(model: Bundle, options: Options, parts: Parts) -> int:
    """Tell the answer for each file; return for how many there is none."""
    failed, entries, told, taken = 0, [], set(), set()
    for folder in (options.report, options.plot):
        if folder is not None:
            writable(folder)
    for file in options.files:
        try:
            asked = ask(
                model,
                Path(file),
                channel=options.channel,
                sampling_rate=options.sampling_rate,
                overrule_rate=options.overrule_rate,
                speed=None if options.speed_rpm is None else options.speed_rpm / 60,
            )
            physics = look(options, asked, parts) if parts.known else None
            if isinstance(physics, Physics):
                asked = asked._replace(found=doubted(asked.found, physics.evidence))
        except (UserError, OSError, MemoryError) as error:  # the other files may be well
            console.show_traceback_on_request()
            failed += 1
            why = reason(file, error)
            tell(options, {"file": file, "error": why}, visible(f"{file}: error: {why}"))
            entries.append(Entry(file, error=why))
            continue
        tell(options, *file_answer(file, asked, told, physics, unasked=not (options.channel or model.channel)))
        if options.plot is None and options.report is None:
            continue
        drawn, why = None, ""
        try:
            drawn = picture_of(model, Path(file), asked, physics if isinstance(physics, Physics) else None)
            if options.plot is not None:
                write_atomically(free_name(options.plot, Path(file), taken), drawn)
        except (UserError, OSError, MemoryError) as error:  # the answer stands, and the other pictures may be well
            console.show_traceback_on_request()
            drawn, why = None, reason(file, error)
            print(visible(f"{file}: no picture: {why}"), file=sys.stderr)
        if options.report is not None:  # without one, nothing of a file is kept in memory
            entries.append(entry_of(file, asked, physics)._replace(picture=drawn, error=why))
    if options.report is not None:
        page = write_report(options.report, model, entries, dry_run=options.dry_run)
        print(f"the report is {page}", file=sys.stderr)  # not among the lines of JSON
    return failed


def reason(file: str, error: Exception) -> str:
    """Why a file has no answer, without its name, which the line has already."""
    why = str(error) or "there is not enough memory for it"
    return f"it {rest}" if (rest := why.removeprefix(f"{file} ")) != why else why.removeprefix(f"{file}: ")


def ask_pictures(model: Bundle, options: Options) -> None:
    """A line for every picture: the class, its probability, and the next classes."""
    asked = ("channel", "sampling_rate", "every", "speed_rpm", "speed_range_rpm", "bearing", "teeth", "plot", "report")
    given = [name for name in asked if getattr(options, name) is not None]
    if given or options.files == ("-",):
        raise UserError(f"{checks.typed(given[0]) if given else '-'} goes with signals, and this model is for pictures")
    failed = 0
    for file in options.files:
        try:
            answer = answer_picture(model, read_picture(file))
        except (UserError, OSError, MemoryError) as error:  # the other files may be well
            console.show_traceback_on_request()
            failed += 1
            why = str(error).removeprefix(f"{file} ") or "there is not enough memory for it"
            tell(options, {"file": file, "error": why}, visible(f"{file}: error: {why}"))
            continue
        first, *others = answer.best
        label = visible(first.label) if answer.sure else f"not sure (perhaps {visible(first.label)})"
        then = ", ".join(f"{visible(r.label)} {percent(r.probability)}" for r in others if r.probability >= 0.001)
        text = f"{visible(file)}: {label}, probability {percent(first.probability)}{f'; then {then}' if then else ''}"
        best = [{"class": r.label, "probability": r.probability} for r in answer.best]
        record = {"file": file, "class": first.label, "sure": answer.sure, "probability": first.probability, "best": best}
        tell(options, record, text)
    if failed:
        raise UserError(f"{failed} of {len(options.files)} pictures could not be answered")


def rehearse(options: Options) -> Options:
    """The options of a dry run, its model and files."""
    if options.out is not None and options.out.exists():
        raise UserError(f"{options.out} exists: choose another --out, nothing is overwritten")
    out = options.out or console.default_out("diagnose")
    length, rng = 256, np.random.default_rng(0)
    network = drsn_cw(classes=2, widths=(4,), units=(1,), standardise=True)
    variables = jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), np.zeros((1, length, 1), np.float32))
    save(out / "model", Bundle(network, variables, ("healthy", "faulty"), length, 12_800.0, length))
    files = tuple(str(out / f"{name}.npy") for name in ("one", "two"))
    for file in files:
        np.save(file, rng.normal(size=20 * length).astype(np.float32))
    return dataclasses.replace(options, model=out / "model", files=files, plot=out, report=out, sampling_rate=12_800.0)


def speed(options: Options) -> float | tuple[float, float]:
    """The speed of the shaft in revolutions a second, or the range in which it is searched."""
    if options.speed_rpm is not None:
        return options.speed_rpm / 60
    assert options.speed_range_rpm is not None, "bearing and teeth go with one of them"
    return options.speed_range_rpm[0] / 60, options.speed_range_rpm[1] / 60


def look(options: Options, asked: Asked, parts: Parts) -> Physics | str:
    """What physics says of a file, or why it says nothing."""
    signal = asked.recorded
    assert signal.sampling_rate is not None
    try:
        return recording_physics(signal.read, signal.length, signal.sampling_rate, speed(options), parts)
    except UserError as error:
        return str(error)


def stream(model: Bundle, options: Options, source: BinaryIO) -> None:
    """A line for every window of raw float32 samples, its channels interleaved, or one for all windows of some seconds."""
    rate = model.sampling_rate if options.sampling_rate is None else options.sampling_rate
    print(expected(model, rate, options.every), file=sys.stderr, flush=True)
    told = set()
    for answer in diagnose_stream(model, source, rate, options.every):
        if answer.found is None:
            record = {"seconds": answer.seconds, "error": answer.error}
            tell(options, record, f"{answer.seconds:9.3f} s  error: {answer.error}")
            continue
        found, latency = answer.found, 1e3 * answer.latency
        record = {
            "seconds": answer.seconds, "windows": answer.windows, "class": found.label, "sure": found.sure,
            "probability": found.probability, "doubts": list(found.doubts), "warnings": list(found.warnings),
            "novelty": found.novelty, "latency_ms": latency,
        }  # fmt: skip
        # people are told once of each kind, which its first words show
        new = {kind: warning for warning in found.warnings if (kind := " ".join(warning.split()[:3])) not in told}
        told |= new.keys()
        line = f"{answer.seconds:9.3f} s  {title(found)}  {percent(found.probability)}  {latency:.1f} ms"
        tell(options, record, "\n".join([line, *(f"  warning: {warning}" for warning in new.values())]))


def tell(options: Options, record: dict[str, Any], text: str) -> None:
    print(json.dumps(record, allow_nan=False) if options.json else visible_lines(text), flush=True)


if __name__ == "__main__":
    console.run(main, interrupted="interrupted")
