"""The same network as a file, for the runtimes that a user would deploy instead of JAX (extra ``bench``): ONNX for onnxruntime
and OpenVINO, StableHLO for IREE.

The ONNX file is the graph that ``Bundle.export`` writes, without the removal of the mean, which is no part of what is timed: a
network for signals in few operations, with its norms folded into convolutions over ``(batch, channels, positions)``; another
network by its modules. Beside what torch.onnx makes of the network for PyTorch, this graph takes 0.75 of the processor's time in
OpenVINO 2026.4 and 0.85 in onnxruntime 1.32 (DRSN-CW, paper size, 128 windows), so it is the one that both are given. An axis of
one row more, ``(batch, channels, 1, positions)``, changes less than 5 %; both runtimes compute 1-D convolutions so anyway.

IREE gets what JAX computes itself on a CPU, with the weights as constants: in blocks at paper size, by the modules elsewhere.
Processor time of a call in milliseconds, one thread, IREE 3.13::

                                        in blocks    modules    few operations
    DRSN-CW, paper size, one window          0.09       0.10              0.12
    128 windows                               6.9       11.1              18.2
    DRSN-CW, ``wide``, 8 windows                –         61                73
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from bench import given
from bench.cases import Case
from drsn_jax.diagnosis.onnx_files import to_onnx
from drsn_jax.nn.folded import convolve, folds, residual_units, weights, without_positions
from drsn_jax.nn.networks import Network, for_platform

INPUT, OUTPUT = "windows", "logits"


def write(case: Case, file: Path) -> None:
    """Write the network of a case, from windows ``(batch, channels, *positions)``, any number of them, to logits ``(batch,
    classes)``.

    Raises BundleError for a network that the converter does not know, MissingExtra where it is not installed.
    """
    channels_first = (case.window[-1], *case.window[:-1])
    file.write_bytes(to_onnx(logits(case), channels_first, None, {}, (INPUT, OUTPUT)))


def logits(case: Case) -> Any:
    """Return the function that the file computes, with the weights of ``given``."""
    network, variables = Network(**case.fields), given.weights(case)
    if not folds(network):
        modules = network.clone(implementation="modules")
        return lambda x: modules.apply(variables, x.transpose(0, *range(2, x.ndim), 1), train=False)
    params, stats = variables["params"], variables["batch_stats"]

    def few_operations(x: Any) -> Any:
        x = convolve(x, *weights(params["stem_conv"]), network.stem, network.padding)
        features, gain = residual_units(network, params, stats, x)
        return without_positions(convolve(features, *weights(params["classifier"], gain)))

    return few_operations


def write_stablehlo(case: Case, count: int, file: Path) -> None:
    """Write the network of a case as a portable artifact of StableHLO, from windows ``(count, *positions, channels)`` to logits
    ``(count, classes)``."""
    network, variables = for_platform(Network(**case.fields), "cpu"), given.weights(case)
    windows = jax.ShapeDtypeStruct((count, *case.window), np.float32)
    function = jax.jit(lambda x: network.apply(variables, x, train=False))
    file.write_bytes(jax.export.export(function, platforms=["cpu"])(windows).mlir_module_serialized)
