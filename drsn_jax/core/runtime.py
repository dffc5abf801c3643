"""The setting of the process before JAX starts: memory that is kept, CPU cores as devices, a compilation cache.

Importing this module changes nothing; a script calls ``prepare`` before anything else.
"""

import ctypes
import gc
import glob
import importlib.metadata
import os
import platform
import sys
import traceback
from pathlib import Path

import jax

from drsn_jax.core import kept_files
from drsn_jax.core.errors import UserError

# how many times as fast tcmalloc makes a training step of the paper's DRSN-CW (batch 128, two cores), where glibc keeps memory
TCMALLOC_GAIN = 1.1
YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"
# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def prepare(
    *,
    devices: int | None = None,
    memory: bool = True,
    cache: bool = True,
    ynnpack: bool = False,
    dry_run: bool = False,
    deterministic: bool = False,
) -> None:
    """Set up the process; call it before anything else touches JAX.

    What was imported until now is no longer looked through for garbage (``gc.freeze``).

    Args:
      devices: how many devices JAX sees in the CPU; None leaves the number as it is. ``cores()`` devices suit work without
        collectives (inference by ``distributed.pmap_predict``): two threads on one batch gain less than two devices that take
        half of it each.
      memory: keep freed memory in the process (``keep_memory``); a call on a CPU then returns only when it is done.
      cache: keep compiled programs in the user's cache folder (``cache_folder``), or in the one that JAX was told, for the next
        start; and beside them what the diagnosis would otherwise trace again (``kept_programs``). Without it nothing is kept.
      ynnpack: leave sums and products on a CPU to the library YNNPACK, as jaxlib does by default. Without it XLA fuses sums and
        stores fewer arrays for them: a training step of the paper's DRSN-CW then takes 0.85 of the time, and one of a network
        with eight times as many channels 1.15 of it.
      dry_run: compile quickly instead of well, for programs that run only a few steps.
      deterministic: let XLA choose operations whose results repeat bit by bit on a GPU too. (On a CPU they do anyway, with the
        same number of threads.)
    """
    flags = []
    # a flag that XLA does not know ends the process, so it is set only for versions that are known to accept it
    if not ynnpack and (0, 10) <= jax.__version_info__[:2] <= (0, 12) and YNNPACK not in os.environ.get("XLA_FLAGS", ""):
        flags += [f"{YNNPACK}="]
    if dry_run:
        flags += ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
        if jax.__version_info__[:2] == (0, 10):  # the emitters of fused operations take most of the time of a compilation
            flags += ["--xla_cpu_use_fusion_emitters=false"]
    if deterministic:
        flags += ["--xla_gpu_deterministic_ops=true"]
    if flags:
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()
    if memory and keep_memory():
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    if devices is not None:
        jax.config.update("jax_num_cpu_devices", devices)
    gc.freeze()  # tracing makes so many objects that the collector would look through all imported modules again and again
    programs = programs_folder() if cache else None
    if programs is not None and not jax.config.values["jax_compilation_cache_dir"]:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    kept_files.keep_in(programs)


def require_platform() -> None:
    """Let JAX start, and raise UserError if it cannot because ``JAX_PLATFORMS`` names what this machine or installation lacks."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        if (refused := missing_platform(error)) is None:
            raise
        raise refused from error


def missing_platform(error: Exception) -> UserError | None:
    """Return the error for a user where JAX says that it cannot start on the platforms of ``JAX_PLATFORMS``; None elsewhere."""
    asked, reason = jax.config.values["jax_platforms"], " ".join(str(error).split())
    if isinstance(error, AssertionError):  # JAX has no sentence for a platform that it knows and this installation lacks
        frames = traceback.extract_tb(error.__traceback__)
        known = not reason and bool(frames) and Path(frames[-1].filename).name == "xla_bridge.py"
        reason = "this installation has no such platform"
    else:
        known = reason.startswith(("Unable to initialize backend", "Unknown backend"))
    if not asked or not known:
        return None
    return UserError(
        f"JAX cannot start on JAX_PLATFORMS={asked} ({reason[:200]}): unset JAX_PLATFORMS, or name cpu, cuda or tpu as this "
        "installation has them"
    )


class CompilationCount:
    """Counts the programs that JAX compiles, or reads from its cache, while it is entered: ``count`` grows by one for each."""

    def __init__(self) -> None:
        self.count: int = 0

    def __enter__(self) -> "CompilationCount":
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def __exit__(self, *exception: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        self.count += event == "/jax/core/compile/backend_compile_duration"


def keep_memory() -> bool:
    """Tell glibc not to hand freed memory back to the kernel; return whether that was possible.

    XLA takes and frees one large buffer for every step. A buffer that is mapped anew each time costs 10,000 page faults at batch
    128 and 87,000 at batch 1,024. A buffer that is kept costs none, but it fits only into the arena of the main thread, which
    runs Python. Therefore ``prepare`` makes calls on a CPU synchronous, so that this thread takes the buffer. One arena for all
    threads would keep the buffer as well, but the threads would wait for each other: in a process that has compiled something,
    whose arena is full of small pieces, a step then takes 1.4 to 2 times as long.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 64 * 2**20}
    taken = [mallopt(name, value) for name, value in settings.items()]
    return all(taken)


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spare_tcmalloc() -> str | None:
    """Return the path of tcmalloc if it is installed but not in use, so that a script can recommend it; None otherwise."""
    maps = Path("/proc/self/maps")
    if sys.platform != "linux" or (maps.exists() and "tcmalloc" in maps.read_text()):
        return None
    folders = ("/usr/lib/*", "/usr/lib64", "/usr/lib", "/usr/local/lib")
    names = ("libtcmalloc_minimal.so*", "libtcmalloc.so*")
    libraries = (path for name in names for folder in folders for path in sorted(glob.glob(f"{folder}/{name}")))
    return next(libraries, None)


def cache_folder() -> Path:
    """Return the folder of compiled programs: ``$XDG_CACHE_HOME/drsn_jax``, by default ``~/.cache/drsn_jax``.

    A relative path is ignored, as the XDG Base Directory Specification (0.8) says: it would be another folder wherever a program
    is started.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "drsn_jax"


def programs_folder() -> Path | None:
    """Return the folder of traced programs: ``programs`` beside what JAX has compiled, where that is a folder.

    None where there is no such folder, because the system knows no home folder of this user, as in some containers.
    """
    chosen = str(jax.config.values["jax_compilation_cache_dir"] or "")
    try:
        return (cache_folder() if not chosen or "://" in chosen else Path(chosen)) / "programs"
    except RuntimeError:
        return None


PACKAGES = ("drsn-jax", "jax", "jaxlib", "flax", "optax", "chex", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of the packages on which results depend, of those that are installed."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
