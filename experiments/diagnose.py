"""Ask a trained network about recordings.

    python experiments/diagnose.py MODEL FILE...

MODEL is the folder of a network that was trained and kept by python experiments/fault_diagnosis.py (runs/.../model). For every
file: the class, its probability, the share of windows that agree, the next classes, and warnings where the file is unlike the
training data. A class is named only where the network is sure. With - as the file, raw float32 samples come from standard input
and a line is printed for every window:

    arecord -f FLOAT_LE -r 12000 -c 1 -t raw | python experiments/diagnose.py MODEL -

An hour at 12.8 kHz takes seconds; a window of a stream is answered in milliseconds.
"""

import dataclasses
import functools
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
import tyro

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.core.text import visible, visible_lines
from drsn_jax.data.formats.common import Signal
from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recording_files import agreed_rate, read_precisely
from drsn_jax.diagnosis.bundle import Bundle, load, save
from drsn_jax.diagnosis.diagnosis import Diagnosis, diagnose_parts, read_parts, root_mean_squares, summarise
from drsn_jax.evaluation.inspection import has_thresholds
from drsn_jax.nn.networks import drsn_cw


@dataclass(frozen=True)
class Options:
    """What to ask."""

    model: tyro.conf.Positional[Path | None] = None
    """The folder of a trained network."""
    files: tyro.conf.Positional[tuple[str, ...]] = ()
    """Recordings, or - for raw float32 samples from standard input."""
    channel: str | None = None
    """Which signal of a file; by default what the network was trained on, or the only one."""
    sampling_rate: float | None = None
    """In Hz, for files that do not hold it and for a stream; by default that of the training data, with a warning."""
    overrule_rate: bool = False
    """That sampling rate holds where a file says another one."""
    json: bool = False
    """A line of JSON for every file (or window of a stream) instead of text."""
    plot: Path | None = None
    """A folder for a picture of every file: waveform, classes over time, what the thresholds set to zero."""
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
    model = load(options.model)
    if not options.plain_runtime:
        model.spread(jax.local_devices())
    if options.files == ("-",):
        if options.plot is not None or options.channel is not None:
            raise UserError("--plot and --channel go with files, not with a stream")
        if sys.stdin is None:
            raise UserError("standard input is closed")
        return stream(model, options, sys.stdin.buffer)
    failed, taken = 0, set()
    for file in options.files:
        try:
            found, signal, speed = ask(model, options, Path(file))
            report(options, file, found, signal, speed, unasked=not (options.channel or model.channel))
            if options.plot is not None:
                picture(model, options.plot, Path(file), found, signal, taken)
        except (UserError, OSError, MemoryError) as error:  # the other files may be well
            console.show_traceback_on_request()
            failed += 1
            told = str(error) or "there is not enough memory for it"
            tell(options, {"file": file, "error": told}, visible(f"{file}: error: {told}"))
    if failed:
        raise UserError(f"{failed} of {len(options.files)} files could not be diagnosed")


def rehearse(options: Options) -> Options:
    """The options of a dry run, its model and files."""
    out = options.out or console.default_out("diagnose")
    if out.exists():
        raise UserError(f"{out} exists: choose another --out, nothing is overwritten")
    length, rng = 256, np.random.default_rng(0)
    network = drsn_cw(classes=2, widths=(4,), units=(1,), standardise=True)
    variables = network.init(jax.random.key(0), np.zeros((1, length, 1)), train=False)
    save(out / "model", Bundle(network, variables, ("healthy", "faulty"), length, 12_800.0, length))
    files = tuple(str(out / f"{name}.npy") for name in ("one", "two"))
    for file in files:
        np.save(file, rng.normal(size=20 * length).astype(np.float32))
    return dataclasses.replace(options, model=out / "model", files=files, plot=out, sampling_rate=12_800.0)


def ask(model: Bundle, options: Options, file: Path) -> tuple[Diagnosis, Signal, float]:
    """The diagnosis of a file, its signal, and how many times faster than real time the diagnosis was made."""
    channel = options.channel if options.channel is not None else model.channel
    signal = open_signal(file, channel)
    assumed = signal.sampling_rate is None and options.sampling_rate is None
    rate = model.sampling_rate
    if not assumed:
        told = (signal.sampling_rate, options.sampling_rate, signal.rate_from)
        rate = agreed_rate(str(file), *told, within=signal.rate_within, overrule=options.overrule_rate)
    read = functools.partial(read_precisely, signal)
    start = time.perf_counter()
    found = diagnose_parts(model, signal.length, signal.channels, rate, read)
    speed = signal.length / rate / (time.perf_counter() - start)
    if assumed:
        warning = (
            f"it holds no sampling rate: {rate:.9g} Hz, that of the training data, is assumed, --sampling-rate says otherwise"
        )
        found = dataclasses.replace(found, warnings=(warning, *found.warnings))
    return found, dataclasses.replace(signal, sampling_rate=rate, read=read), speed


def picture(model: Bundle, folder: Path, file: Path, found: Diagnosis, signal: Signal, taken: set[Path]) -> None:
    """Draw a diagnosis into a folder, under a name that none in ``taken``, the pictures of this call, has."""
    from drsn_jax.core.plotting import printable
    from drsn_jax.diagnosis.pictures import diagnosis_picture, envelope

    folder.mkdir(parents=True, exist_ok=True)
    name, number = printable(os.fsencode(file.name).decode(errors="replace")), 2
    target = folder / f"{name}.png"
    while target in taken:
        target, number = folder / f"{name}-{number}.png", number + 1
    taken.add(target)
    zeros = None
    if has_thresholds(model.network):
        parts = read_parts(signal.read, len(found.starts), model.window_length, model.channels)
        zeros = np.concatenate([np.asarray(model.zeros(windows)) for windows in parts])
    assert signal.sampling_rate is not None
    line = envelope(signal.read, signal.length, signal.channels)
    diagnosis_picture(target, model.classes, found, line, signal.sampling_rate, zeros, file.name)


def report(options: Options, file: str, found: Diagnosis, signal: Signal, speed: float, *, unasked: bool) -> None:
    """A line for a file, one for what was taken of it where nobody has asked for a channel, and one for each warning."""
    others = ", ".join(f"{visible(r.label)} {100 * r.probability:.1f} %" for r in found.best[1:])
    text = (
        f"{visible(file)}: {title(found)}, probability {100 * found.probability:.1f} %, {100 * found.agreement:.0f} % of "
        f"{len(found.starts)} windows agree{f'; then {others}' if others else ''}"
    )
    taken = [f"  taken: channel {visible(signal.channel)}, the only signal"] if unasked and signal.channel else []
    tell(
        options,
        {
            "file": file,
            "class": found.label,
            "sure": found.sure,
            "probability": found.probability,
            "agreement": found.agreement,
            "entropy": found.entropy,
            "best": [{"class": r.label, "probability": r.probability} for r in found.best],
            "windows": len(found.starts),
            "channel": signal.channel,
            "sampling_rate": signal.sampling_rate,
            "rate_from": signal.rate_from,
            "warnings": list(found.warnings),
            "times_real_time": speed,
        },
        "\n".join([text, *taken, *(f"  warning: {warning}" for warning in found.warnings)]),
    )


def title(found: Diagnosis) -> str:
    """The class, where the network is sure."""
    label = visible(found.label)
    return label if found.sure else f"not sure (perhaps {label})"


def stream(model: Bundle, options: Options, source: BinaryIO) -> None:
    """A line for every window of raw float32 samples, its channels interleaved."""
    rate = model.sampling_rate if options.sampling_rate is None else options.sampling_rate
    size = model.window_length * model.channels * 4
    model.predict_proba(np.zeros((1, model.window_length, model.channels), np.float32))  # compiles
    number, told = 0, set()
    while len(raw := source.read(size)) == size:
        start = time.perf_counter()
        window = np.frombuffer(raw, "<f4").reshape(1, model.window_length, model.channels)
        seconds = number * model.window_length / rate
        number += 1
        try:
            if not np.isfinite(window).all():
                raise UserError("samples that are not finite")
            found = summarise(model, model.predict_proba(window), root_mean_squares(window), rate, np.zeros(1, int), few=0)
        except UserError as error:
            tell(options, {"seconds": seconds, "error": str(error)}, f"{seconds:9.3f} s  error: {error}")
            continue
        latency = 1e3 * (time.perf_counter() - start)
        record = {
            "seconds": seconds, "class": found.label, "sure": found.sure, "probability": found.probability,
            "warnings": list(found.warnings), "latency_ms": latency,
        }  # fmt: skip
        # people are told once of each kind, which its first words show
        new = {kind: warning for warning in found.warnings if (kind := " ".join(warning.split()[:3])) not in told}
        told |= new.keys()
        line = f"{seconds:9.3f} s  {title(found)}  {100 * found.probability:.1f} %  {latency:.1f} ms"
        tell(options, record, "\n".join([line, *(f"  warning: {warning}" for warning in new.values())]))
    if number == 0:
        raise UserError(f"standard input ended before a window of {model.window_length} samples was there")


def tell(options: Options, record: dict[str, Any], text: str) -> None:
    print(json.dumps(record, allow_nan=False) if options.json else visible_lines(text), flush=True)


if __name__ == "__main__":
    console.run(main, interrupted="interrupted")
