"""A trained network as one file that runs without this package: ONNX, or StableHLO for JAX.

What is inside is what ``Bundle.predict_proba`` computes, from windows as they were recorded to calibrated probabilities.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drsn_jax.core.errors import optional
from drsn_jax.core.files import write_atomically
from drsn_jax.core.runtime import versions
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.functional.signals import remove_mean
from drsn_jax.nn.folded import folded, folds
from drsn_jax.nn.folded_band_energy import folded_band_energy, folds_band_energy
from drsn_jax.nn.folded_mel import behind_front_end
from drsn_jax.nn.presets import preset_name

ONNX, STABLEHLO = ".onnx", ".stablehlo"
PLATFORMS = ("cpu", "cuda")
INPUT, OUTPUT = "windows", "probabilities"  # the names in an ONNX file
LARGEST_BATCH = 2**20

Function = Callable[[jax.Array], jax.Array]


def export(bundle: Any, path: str | os.PathLike[str], *, batch: int | None = None, overwrite: bool = False) -> None:
    """Write a ``Bundle`` as one file that runs without this package; the suffix of ``path`` says which.

    - ``NAME.onnx`` for ONNX runtimes, checked by ``onnx.checker`` and, in onnxruntime, by windows of noise (``onnx_check``). Its
      input ``windows`` and output ``probabilities`` are float32; the facts about the model are its ``metadata_props``, each as
      JSON.
    - ``NAME.stablehlo`` for ``jax.export.deserialize``, on a CPU and on CUDA; the facts lie beside it in ``NAME.stablehlo.json``.

    Both map windows ``(batch, *positions, channels)`` as they were recorded to calibrated probabilities ``(batch, classes)``, in
    float32 also for a network of bfloat16. A window that holds NaN or infinity gets NaN. Novelty, sets of possible classes,
    resampling and warnings are not inside; windows of a model that is ``per_revolution`` must be brought to equal angles before.

    Args:
      bundle: the model.
      path: where to; the folder is made if it is missing.
      batch: how many windows the file takes at a time; None for any number.
      overwrite: whether a file that exists is replaced.

    Raises BundleError for another suffix, for a file that exists, for a model of one class, for a network that the converter does
    not know and for a file that would not answer as the model does, and MissingExtra where a package of the extra ``onnx`` is
    missing.
    """
    file = Path(path)
    writers = {ONNX: _onnx_file, STABLEHLO: _stablehlo_files}
    if file.suffix not in writers:
        raise BundleError(f"the suffix says what is written: end it with {' or '.join(writers)}, got {file.name}")
    if batch is not None and not 1 <= batch <= LARGEST_BATCH:
        raise BundleError(f"batch is a number of windows from 1 to {LARGEST_BATCH}, or None for any number, got {batch}")
    if len(bundle.classes) < 2:
        raise BundleError(
            f"the model's only class is {bundle.classes[0]}, its answer is the novelty, and an exported file gives probabilities "
            "alone: ask the model itself"
        )
    if file.exists() and not overwrite:
        raise BundleError(f"{file} exists: choose another name, nothing is overwritten")
    contents = writers[file.suffix](bundle, file, batch)
    file.parent.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(file.with_name(name), content)


def metadata(bundle: Any) -> dict[str, Any]:
    """Return what a user of an exported file must know, in types that JSON has.

    ``sampling_rate`` is in Hz. It is None for pictures, and for windows in revolutions of the shaft, which have
    ``samples_per_revolution`` in its place.
    """
    length = bundle.window_length
    rate = None if bundle.sampling_rate is None else float(bundle.sampling_rate)
    return {
        "classes": list(bundle.classes),
        "window_length": length if isinstance(length, int) else list(map(int, length)),
        "channels": bundle.channels,
        "channel": bundle.channel,
        "sampling_rate": None if bundle.per_revolution else rate,
        "samples_per_revolution": rate if bundle.per_revolution else None,
        "temperature": float(bundle.temperature),
        "network": preset_name(bundle.network),
        "input": "windows as they were recorded, float32 (batch, window_length, channels)",
        "output": "calibrated probabilities of the classes, float32 (batch, classes); NaN for a window that is not finite",
        "versions": versions(),
    }


def stablehlo(bundle: Any, batch: int | None = None) -> bytes:
    """Return a model as ``jax.export`` serialises it, for a CPU and CUDA; arguments and errors as ``export``."""
    optional("flatbuffers", "writing StableHLO")  # jax.export needs it and does not install it
    from jax import export as jax_export

    shape = (*jax_export.symbolic_shape("batch" if batch is None else str(batch)), *bundle.window_shape)
    function = jax.jit(by_modules(bundle))
    # elsewhere than on a CPU the products would be rounded to fewer digits
    with jax.default_matmul_precision("float32"):
        exported = jax_export.export(function, platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, jnp.float32))
    return bytes(exported.serialize())


def deployed(bundle: Any) -> Function:
    """Return the function that an ONNX file computes: with few operations where they are known, and else by the modules."""
    network, variables = bundle.network, _calibrated(bundle)
    if folds_band_energy(network):
        logits = folded_band_energy(network, variables, bundle.remove_mean)
    elif folds(network):
        logits = folded(network, variables, bundle.remove_mean)
    elif network.front_end is not None:
        logits = behind_front_end(network, variables, bundle.remove_mean)
    else:
        return by_modules(bundle)
    return lambda windows: jax.nn.softmax(logits(windows), -1)


def by_modules(bundle: Any) -> Function:
    """Return the function that a file of StableHLO computes: preparation, modules, temperature and softmax, in float32."""
    network: Any = bundle.network.clone(dtype=None, implementation="modules")
    variables = _calibrated(bundle)
    prepare = jax.vmap(remove_mean) if bundle.remove_mean else jnp.asarray
    return lambda windows: jax.nn.softmax(network.apply(variables, prepare(windows), train=False), -1)


def _calibrated(bundle: Any) -> dict[str, Any]:
    """Return the variables of a model in float32, with the temperature in its classifier.

    Not dividing the logits themselves saves an operation. It also keeps XLA from computing ``logits / temperature - largest``
    with one rounding: of logits above 10⁹ that is a positive number, whose exponential is infinite.
    """
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), dict(bundle.variables))
    classifier = {name: leaf / np.float32(bundle.temperature) for name, leaf in variables["params"]["classifier"].items()}
    return {**variables, "params": {**variables["params"], "classifier": classifier}}


def _stablehlo_files(bundle: Any, file: Path, batch: int | None) -> dict[str, bytes | str]:
    facts = {**metadata(bundle), "batch": batch, "platforms": PLATFORMS}
    return {
        file.name: stablehlo(bundle, batch),
        f"{file.name}.json": json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }


def _onnx_file(bundle: Any, file: Path, batch: int | None) -> dict[str, bytes | str]:
    # imported here, so that only who writes ONNX needs its packages
    from drsn_jax.diagnosis.onnx_files import onnx_check, to_onnx

    facts: Mapping[str, Any] = {**metadata(bundle), "batch": batch}
    content = to_onnx(deployed(bundle), bundle.window_shape, batch, facts, (INPUT, OUTPUT))
    onnx_check(bundle, content)
    return {file.name: content}
