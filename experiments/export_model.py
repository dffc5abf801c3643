"""Write a trained network as files that run without this package: ONNX for devices, StableHLO for programs of JAX.

    python experiments/export_model.py MODEL --out FOLDER

MODEL is the folder of a run of python experiments/fault_diagnosis.py or of the model that it kept. FOLDER gets model.onnx, and
model.stablehlo with its facts beside it in model.stablehlo.json. Both take windows as they were recorded and give calibrated
probabilities, as Bundle.predict_proba does; classes, sampling rate, length of a window and temperature are inside. What else a
diagnosis says (novelty, possible classes, warnings) stays here. Each file is compared with the network on windows of noise, and
the largest difference is printed. Takes seconds. ONNX needs: pip install -e '.[onnx]'
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import tyro
from jax import export as jax_export

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import MissingExtra, UserError
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.diagnosis.trial_windows import expected, noise, padded
from drsn_jax.nn.networks import drsn_cw
from drsn_jax.pretrained.kept import load_named

Format = Literal["onnx", "stablehlo"]


@dataclass(frozen=True)
class Options:
    """What to write."""

    model: tyro.conf.Positional[Path | None] = None
    """The folder of a trained network, or of the run that kept it, or pretrained:NAME."""
    formats: tuple[Format, ...] = ("onnx", "stablehlo")
    """Which files are written."""
    batch: int | None = None
    """How many windows a file takes at a time; by default any number."""
    windows: int = 1000
    """Windows of noise on which the files are compared with the network."""
    overwrite: bool = False
    """Replace files that are there."""
    out: Path | None = None
    """Folder of the files; by default runs/export_model-<UTC time>."""
    dry_run: bool = False
    """Export a tiny network that was never trained, with its model, into --out; without ONNX where its packages are missing."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of the process as they are."""


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    if not options.plain_runtime:
        runtime.prepare(dry_run=options.dry_run)
    checks.different(options, "formats")
    checks.at_least(options, 1, "batch", "windows")
    if options.model is None and not options.dry_run:
        raise UserError("name the folder of a model")
    if options.model is not None and options.dry_run:
        raise UserError("--dry-run makes a model of its own: name none")
    bundle = None if options.model is None else load_named(options.model)
    out = options.out or console.default_out("export_model")
    bundle = bundle or rehearse(out)
    for kind in options.formats:
        file = out / f"model.{kind}"
        try:
            bundle.export(file, batch=options.batch, overwrite=options.overwrite)
        except MissingExtra as error:
            if not options.dry_run:
                raise
            console.say(f"{file.name} is left out: {error}")
            continue
        console.say(told(bundle, file, options))
    console.say(f"everything is in {out}")


def told(bundle: Bundle, file: Path, options: Options) -> str:
    """A line about a file: its size, and how far it is from the network on windows of noise."""
    windows = noise(bundle, 8 if options.dry_run else options.windows)
    content = file.read_bytes()
    if file.suffix == ".onnx":
        from drsn_jax.diagnosis.onnx_files import run, session

        found = run(session(content), windows)
    else:
        call = jax_export.deserialize(bytearray(content)).call
        found = np.concatenate([np.asarray(call(part)) for part in padded(windows, options.batch)])[: len(windows)]
    difference = np.abs(found - expected(bundle, windows)).max()
    return f"{file.name}: {len(content) / 1000:.0f} kB, at most {difference:.1g} from the network on {len(windows)} windows"


def rehearse(out: Path) -> Bundle:
    """A model that was never trained, saved and loaded."""
    if (out / "trained").exists():
        raise UserError(f"{out} exists: choose another --out, nothing is overwritten")
    network = drsn_cw(classes=2, widths=(4,), units=(1,), standardise=True)
    variables = jax.jit(lambda key: network.init(key, np.zeros((1, 256, 1)), train=False))(jax.random.key(0))
    save(out / "trained", Bundle(network, variables, ("healthy", "faulty"), 256, 12_800.0, 256))
    return load(out / "trained")


if __name__ == "__main__":
    console.run(main)
