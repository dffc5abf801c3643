"""The side of onnxruntime or OpenVINO: a call of the file that ``exported.write`` made. No JAX in here."""
# pyright: reportMissingImports=false

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import CHECKED, Case

PART = (
    32  # windows, whose features stay in a core's cache: of the processor's time for 1,024 at once both take 0.65 by such parts
)
Call = Callable[[], np.ndarray]


class RuntimeSide:
    """A network that answers the windows of a case by ``step``.

    ``kind`` is ``"onnxruntime"`` or ``"openvino"``. All threads work on the whole batch together, or, with ``parts``, each takes
    parts of at most ``PART`` windows of its own; one window is one part, which one thread computes.
    """

    def __init__(self, case: Case, file: Path, kind: str, threads: int, parts: bool) -> None:
        self._case, self._file = case, str(file)
        self._prepare = _onnxruntime if kind == "onnxruntime" else _openvino
        windows = self._channels_first(case.batch)
        size = part_size(case.batch, threads) if parts else case.batch
        self.step = self._prepare(self._file, np.split(windows, case.batch // size), threads, parts)

    def logits(self) -> dict[str, np.ndarray]:
        """Those of ``case.data(CHECKED)``, with running statistics."""
        return {"running": self._prepare(self._file, [self._channels_first(CHECKED)], 1, False)()}

    def _channels_first(self, count: int) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(self._case.data(count)[0], -1, 1))


def part_size(batch: int, threads: int) -> int:
    """Return the most windows, at most ``PART``, of which equal parts make up a batch and every thread has at least one."""
    most = min(PART, max(1, batch // threads))
    return next(size for size in range(most, 0, -1) if batch % size == 0)


def _onnxruntime(file: str, parts: list[np.ndarray], threads: int, apart: bool) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = (1 if apart else threads), 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def answers(windows: np.ndarray) -> Any:
        return session.run(None, {name: windows})[0]

    if len(parts) == 1:
        return lambda: answers(parts[0])
    pool = ThreadPoolExecutor(threads)
    return lambda: np.concatenate(list(pool.map(answers, parts)))


def _openvino(file: str, parts: list[np.ndarray], threads: int, apart: bool) -> Call:
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    model.reshape(parts[0].shape)  # a fixed shape is twice as fast as any number of windows
    streams = min(threads, len(parts)) if apart else 1
    chosen = {"PERFORMANCE_HINT": "THROUGHPUT" if streams > 1 else "LATENCY", "NUM_STREAMS": streams}
    compiled = core.compile_model(
        model, "CPU", {**chosen, "INFERENCE_NUM_THREADS": streams if apart else threads, "INFERENCE_PRECISION_HINT": "f32"}
    )
    requests = [compiled.create_infer_request() for _ in parts]
    if len(parts) == 1:
        return lambda: requests[0].infer({0: parts[0]}, share_inputs=True)[0]

    def step() -> np.ndarray:
        for request, windows in zip(requests, parts, strict=True):
            request.start_async({0: windows}, share_inputs=True)
        for request in requests:
            request.wait()
        return np.concatenate([request.get_output_tensor(0).data for request in requests])

    return step
