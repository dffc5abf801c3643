"""How fast the networks train and answer on this machine's CPU, beside what a user would take instead.

    pip install -e '.[bench]' && python experiments/benchmarks/throughput.py

The others are the same networks in PyTorch, eager and compiled, written as its users write them, and, in inference, the exported
file in onnxruntime and in OpenVINO and a program that IREE compiles of the traced network. All have the weights of ours; nothing
is timed before the results agree to 1e-4. The file is the graph of Bundle.export: in both runtimes it is faster than what
torch.onnx makes of the network for PyTorch; IREE is fastest with the operations that JAX computes itself (bench/exported.py). "By
parts" means that every thread takes parts of at most 32 windows of its own, instead of all threads working on the whole batch;
one window is then computed by one thread. What is not installed is left out.

Every way of doing the work is a process of its own; they take turns, with the same threads, windows and batches, and each row is
a median over the turns, warm-up left out. There are at most 15 turns, and fewer, but at least 5, where the standard error of
every median is at most 1 %. Two settings: each as its users start it (ours as a script does, with the settings of
drsn_jax.core.runtime), and all with tcmalloc preloaded, but OpenVINO, which has an allocator of its own.

The tables are windows a second and their ratio to the fastest of the others; page faults and peak memory; the time from the
start of a process to its first step, with an empty and with a full cache of compiled programs; and the roofline, what the copy
and matrix rates of this machine allow. The folder of the run holds results.csv, starts.csv, machine.csv and a figure; the same
command with --out on that folder measures what is missing. With --sizes paper it takes about 12 minutes on two cores; keep the
machine quiet meanwhile.
"""

import signal

# Ctrl-C while the libraries below are imported: no traceback; ``console.run`` listens again
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import importlib.util
import os
import platform
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from bench import measuring, report, roofline, rounds
from bench.cases import Case

from drsn_jax.cli import checks, console, run_options
from drsn_jax.core import runtime
from drsn_jax.core.errors import UserError
from drsn_jax.studies.runs import RunFolder

NetworkName = Literal["drsn_cw", "drsn_cs", "resnet"]
SizeName = Literal["paper", "wide", "images"]
# who else can be measured: a name, the package whose version counts, what its process and its file import, and its ways
WRITERS = ("jax2onnx", "onnx")
PACKAGES = (
    ("PyTorch", "torch", ("torch",), measuring.PYTORCH),
    ("onnxruntime", "onnxruntime", ("onnxruntime", *WRITERS), ("onnxruntime", "onnxruntime_parts")),
    ("OpenVINO", "openvino", ("openvino", *WRITERS), ("openvino", "openvino_parts")),
    ("IREE", "iree-base-compiler", ("iree.compiler", "iree.runtime"), measuring.IREE),
)


@dataclass(frozen=True)
class Options:
    """What to measure."""

    networks: tuple[NetworkName, ...] = ("drsn_cw", "resnet")
    """The first is measured at everything, the others beside it in training, at the first batch size."""
    sizes: tuple[SizeName, ...] = ("paper", "wide", "images")
    """The paper's network; one eight times as wide; one for images of 32 × 32 × 3."""
    train_batches: tuple[int, ...] = (128, 1024)
    """Windows a training step."""
    batches: tuple[int, ...] = (1, 128, 1024)
    """Windows of a call in inference."""
    settings: tuple[Literal["as_started", "tcmalloc"], ...] = ("as_started", "tcmalloc")
    """Each as its users start it; both with tcmalloc preloaded."""
    turns: int = 15
    """The most turns of each way, of which the median is taken; fewer, but at least 5, where they scatter so little that the
    standard error of every median is at most 1 %."""
    compiled: bool = True
    """Measure torch.compile too, which needs a C++ compiler."""
    full: bool = False
    """Every size at every batch: hours. By default that is for the first size; of the others a training step and inference, at
    the first of --train-batches."""
    threads: int | None = None
    """Cores that all sides use; by default all there are."""
    out: Path | None = None
    """Folder of the run; by default runs/throughput-<UTC time>."""
    dry_run: bool = False
    """Run every part of it in seconds, with tiny networks and few turns: the numbers mean nothing."""
    plain_runtime: bool = False
    """Leave memory settings and compilation cache of this process as they are; those that are measured have their own."""


def check(options: Options) -> None:
    """Refuse options that are out of range; raises UserError."""
    checks.different(options, "networks", "sizes", "settings")
    checks.different(options, "train_batches", "batches", empty=True)
    checks.at_least(options, 1, "turns", "train_batches", "batches")
    if min(options.train_batches, default=2) < 2:
        raise UserError("--train-batches must be at least 2: batch statistics of one window have no variance")
    if options.threads is not None and not 1 <= options.threads <= runtime.cores():
        raise UserError(f"--threads must be from 1 to {runtime.cores()}, the cores there are, got {options.threads}")


def shorten(options: Options) -> Options:
    """The options of a dry run."""
    changes: dict[str, Any] = {"networks": options.networks[:1], "sizes": options.sizes[:1], "settings": options.settings[:1]}
    return replace(options, **changes, train_batches=(8,), batches=(8,), turns=2, compiled=False)


def groups(options: Options, threads: int, peers: Collection[str]) -> list[list[tuple[Case, str]]]:
    """Who takes turns with whom: a list of cases with the way each is done, for every size, task and batch; of the ways that
    are not ours those in ``peers``."""
    found = []
    for size in options.sizes:
        whole = options.full or size == options.sizes[0]
        for task, batches in (("train", options.train_batches), ("infer", options.batches)):
            for batch in batches if whole else options.train_batches[:1]:
                first, *others = (Case(size, network, task, batch, options.dry_run) for network in options.networks)
                ways = ["ours"]
                if task == "train":
                    ways += [way for way in measuring.PYTORCH if way in peers] + ["ours_modules"]
                else:
                    ways += [way for way in measuring.PEERS if way in peers]
                if task == "infer" and threads > 1 and batch % threads == 0:
                    ways += ["ours_cores"]
                members = [(first, way) for way in ways]
                if task == "train" and batch == batches[0]:
                    members += [(case, way) for case in others for way in ("ours", "torch_eager") if way in {"ours", *peers}]
                found.append(members)
    return found


def available(options: Options, threads: int) -> list[str]:
    """The ways that are not ours and whose packages are installed; says which are not."""
    found = []
    for title, _, modules, ways in PACKAGES:
        if missing := [module for module in modules if not installed(module)]:
            names = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'}"
            console.say(f"{title} is left out: {names} not installed (pip install 'drsn-jax[bench]')")
        else:
            found += ways
    left = {"torch_compiled"} if not options.compiled else set()
    return [way for way in found if way not in left and not (threads == 1 and way.endswith("_parts"))]


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it: of ``iree.runtime`` the folder ``iree`` may be missing already."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main() -> None:
    options: Options = run_options.parse(Options, __doc__)
    check(options)
    begun = time.perf_counter()
    threads = options.threads or runtime.cores()
    if options.threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # the processes started from here inherit it
    if not options.plain_runtime:
        runtime.prepare(dry_run=options.dry_run)
    if options.dry_run:
        options = shorten(options)
    peers = available(options, threads)
    libraries: dict[str, str | None] = dict.fromkeys(options.settings)
    if "tcmalloc" in libraries and (library := tcmalloc()):
        libraries["tcmalloc"] = library
    elif libraries.pop("tcmalloc", 0) is None:
        console.say("tcmalloc is not installed (Debian: libtcmalloc-minimal4): its rows are left out")
    out = options.out or console.default_out("throughput")
    chosen = {name: value for name, value in asdict(options).items() if name not in ("out", "plain_runtime")}
    versions = {package: version(package) if {*ways} & {*peers} else None for _, package, _, ways in PACKAGES}
    folder = RunFolder(out, {**chosen, "threads": threads, **versions}, tables=report.TABLES)
    with folder.alone():
        machine = rates(folder, threads, options.dry_run)
        rounds.measure(
            groups(options, threads, peers), folder, machine, libraries, rounds.How(threads, options.turns, options.dry_run)
        )
    print(f"\n{report.text(out)}\n")
    print(report.draw(out))
    console.say(f"everything is in {out}; it took {console.duration(time.perf_counter() - begun)}")


def tcmalloc() -> str | None:
    """The library to preload, also where it is preloaded already."""
    preloaded = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    return runtime.spare_tcmalloc() or next((path for path in preloaded if "tcmalloc" in path), None)


def rates(folder: RunFolder, threads: int, short: bool) -> roofline.Machine:
    """The machine's rates, measured once for a run."""
    if not folder.rows("machine"):
        sizes = {"repeats": 2, "large": 2**24, "side": 256} if short else {}
        found = roofline.measure(threads, **sizes)
        folder.add_rows("machine", [{"processor": processor(), "threads": threads, **found._asdict()}])
    row = folder.rows("machine")[0]
    machine = roofline.Machine(*(float(row[name]) for name in roofline.Machine._fields))
    console.say(
        f"{row['processor']}, {row['threads']} threads: {machine.operations / 1e9:.0f} GFLOP/s in matrix products, copies "
        f"(read + write) {machine.memory / 1e9:.1f} GB/s in memory and {machine.cache / 1e9:.1f} GB/s in arrays of 1 MB"
    )
    return machine


def processor() -> str:
    """What the system calls it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    console.run(main)
