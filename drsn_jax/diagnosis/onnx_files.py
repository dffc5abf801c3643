"""ONNX files: converted by jax2onnx, with facts about the model, and checked in onnxruntime before they are written."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from drsn_jax.core.errors import optional
from drsn_jax.diagnosis.description import BundleError
from drsn_jax.diagnosis.trial_windows import expected, noise, padded

CLOSE = 1e-4  # probabilities may differ so far
CHECKED = 64  # windows of noise
PURPOSE = "writing ONNX"
OPSET, IR_VERSION = 18, 8  # versions of the operators and of the file's format: onnxruntime reads them since early 2023


def to_onnx(
    function: Any,
    window: Sequence[int],
    batch: int | None,
    facts: Mapping[str, Any],
    names: tuple[str, str],
    lowest: bool = True,
) -> bytes:
    """Return the ONNX file of a function from windows ``(batch, *window)`` to ``(batch, classes)``, both float32.

    Args:
      function: a JAX function of one array.
      window: the shape of a window.
      batch: how many windows there are; None for any number.
      facts: its ``metadata_props``, values in types that JSON has.
      names: of input and output.
      lowest: whether it is made for runtimes from early 2023 on; else the versions are what the converter chooses.

    Raises BundleError for what jax2onnx cannot convert and for what ``onnx.checker`` refuses.
    """
    jax2onnx, onnx = optional("jax2onnx", PURPOSE), optional("onnx", PURPOSE)
    with _quiet():
        jax.clear_caches()  # nor may it be given a trace of before, which it does not know
        try:
            model = jax2onnx.to_onnx(
                function,
                [("batch" if batch is None else batch, *window)],
                model_name="drsn_jax",
                **({"opset": OPSET} if lowest else {}),
                input_names=[names[0]],
                output_names=[names[1]],
            )
            model.ir_version = min(model.ir_version, IR_VERSION) if lowest else model.ir_version
            onnx.helper.set_model_props(
                model, {name: json.dumps(value, ensure_ascii=False, allow_nan=False) for name, value in facts.items()}
            )
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # the converter raises errors of many kinds where it does not know an operation
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BundleError(f"jax2onnx cannot convert this network ({reason}): export it as .stablehlo") from error
        finally:
            # what jax2onnx traces has operations of its own, and JAX would use such a trace again outside of the conversion
            jax.clear_caches()
    return model.SerializeToString()


def session(content: bytes, threads: int = 1) -> Any:
    """Return an onnxruntime session for a CPU with so many threads."""
    runtime = optional("onnxruntime", PURPOSE)
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(opened: Any, windows: np.ndarray) -> np.ndarray:
    """Return the only output of a session for windows, which are handed over in batches of its size."""
    (taken,) = opened.get_inputs()
    size = taken.shape[0] if isinstance(taken.shape[0], int) else None
    parts = [opened.run(None, {taken.name: part})[0] for part in padded(windows, size)]
    return np.concatenate(parts)[: len(windows)]


def onnx_check(bundle: Any, content: bytes, count: int = CHECKED) -> float:
    """Return by how much the probabilities of an ONNX file differ from those of a model, at most over windows of noise.

    Raises BundleError where that is more than ``CLOSE``, where onnxruntime refuses the file, and where a window that holds NaN
    gets numbers. What is checked is written only then: a converter's output may pass the checker and be refused, or be wrong.
    """
    windows = noise(bundle, count)
    broken = windows[:1].copy()
    broken[(0, 0) + (0,) * (broken.ndim - 2)] = np.nan
    try:
        opened = session(content)
        found = run(opened, np.concatenate([windows, broken]))
    except Exception as error:  # onnxruntime has error classes of its own
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"onnxruntime refuses the file that jax2onnx made ({reason}): nothing was written") from error
    wanted = expected(bundle, windows)
    difference = float(np.abs(found[:-1] - wanted).max())
    if not difference <= CLOSE:
        raise BundleError(f"the ONNX file would answer otherwise than the model, by up to {difference:.2g}: nothing was written")
    if not np.isnan(found[-1]).all():
        raise BundleError("the ONNX file would name a class for a window that holds NaN: nothing was written")
    return difference


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings and messages of the converter, which are for its authors, from the user."""
    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
