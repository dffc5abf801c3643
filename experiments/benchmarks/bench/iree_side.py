"""The side of IREE: calls of a program that its compiler made of what ``exported.write_stablehlo`` wrote. No JAX in here.

It is compiled for the processor at hand, with the compiler's defaults otherwise. Optimisation levels O1 to O3, without tiling of
data, microkernels, more fusion, other padding and vectors of 64 bytes change the time of the network in blocks by at most 5 %
(IREE 3.13, one and 32 windows); with ``--iree-opt-data-tiling=true`` one window takes 1.2 times as long, and 32 and 128 windows
are not compiled at all. O3 makes the modules at paper size 11 to 18 % faster, at the other sizes 1 %.
"""
# pyright: reportMissingImports=false

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import CHECKED, Case
from bench.runtimes import part_size

FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)


class IreeSide:
    """A network that answers the windows of a case by ``step``; its first call compiles the program, unless an earlier process
    did.

    All threads work on the whole batch together (IREE's device ``local-task``), or, with ``parts``, each takes parts of at most
    ``runtimes.PART`` windows of its own (``local-sync``), on a device and in a context of its own: two threads must not call one
    context at once. Python's lock is free during a call.
    """

    def __init__(self, case: Case, given: Path, threads: int, parts: bool) -> None:
        self._case, self._threads, self._apart = case, threads, parts or threads == 1
        self._source, self._size = source(given, case.batch, threads, parts)
        self._parts = np.split(case.data()[0], case.batch // self._size)
        self._pool = ThreadPoolExecutor(threads)
        self._own, self._loading = threading.local(), threading.Lock()

    def step(self) -> np.ndarray:
        if len(self._parts) == 1:
            return self._answers(self._parts[0])
        return np.concatenate(list(self._pool.map(self._answers, self._parts)))

    def logits(self) -> dict[str, np.ndarray]:
        """Those of ``case.data(CHECKED)``, with running statistics, by the program that ``step`` calls, whose number of windows
        is fixed."""
        calls = -(-CHECKED // self._size)
        windows = np.resize(self._case.data(CHECKED)[0], (calls * self._size, *self._case.window))
        found = np.concatenate([self._answers(part) for part in np.split(windows, calls)])
        return {"running": found[:CHECKED]}

    def _answers(self, windows: np.ndarray) -> np.ndarray:
        if not hasattr(self._own, "function"):
            with self._loading:  # IREE makes a device for one thread at a time, and one program is enough
                self._own.function = self._load()
        return np.array(self._own.function(windows).to_host())

    def _load(self) -> Any:
        from iree import runtime

        if not self._apart:
            runtime.flags.parse_flags(f"--task_topology_group_count={self._threads}")
        config = runtime.Config(device=runtime.get_device("local-sync" if self._apart else "local-task", cache=False))
        module = runtime.VmModule.mmap(config.vm_instance, str(compiled(self._source)))
        return runtime.load_vm_module(module, config)["main"]


def source(given: Path, batch: int, threads: int, parts: bool) -> tuple[Path, int]:
    """Return the file with the StableHLO of a way beside its weights, and the number of windows that the program takes.

    Each way has its own, although some programs are equal: both then compile when they first start.
    """
    size = part_size(batch, threads) if parts else batch
    return given.with_name(f"{given.stem}_{'parts' if parts else 'whole'}_{size}.mlirbc"), size


def compiled(source: Path) -> Path:
    """Return the file with IREE's program for ``source``, beside it; it is compiled for this machine's processor if it is not
    there."""
    from iree.compiler import tools

    file = source.with_suffix(".vmfb")
    if not file.exists():
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:  # another process never sees half a program
            whole = Path(folder) / file.name
            tools.compile_file(str(source), output_file=str(whole), input_type="stablehlo", extra_args=FLAGS)
            os.replace(whole, file)
    return file
