"""What the whole suite shares: eight devices, a compilation cache, 64-bit on request, recorded data, hypothesis.

``DRSN_JAX_DATA``: the folder of recorded data; without it the tests that need it are skipped.
``DRSN_JAX_TEST_CACHE``: the folder of compiled functions, ``.jax_cache`` in the repository by default.
"""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Before numpy is imported: with more threads BLAS and OpenMP wait for each other's pieces of small matrices by spinning, on cores
# that another process of the suite has work for. A logistic regression on a busy machine takes half the CPU time with one.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import jax
import pytest

# the suite compiles hundreds of small programs and runs each for a moment: quickly compiled is soon enough run
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
# the emitters of fused operations take most of the time of a compilation; a flag that XLA does not know ends the process, so this
# one is set for versions that were seen to know it, and so is that which keeps a program in one piece: cut into pieces for
# several cores it takes a fifth more work, and the cores are busy with other tests
if jax.__version_info__[:2] == (0, 10):
    QUICKLY += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICKLY}".strip()
# before anything asks for a device: afterwards it is too late
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update(
    "jax_compilation_cache_dir",
    os.environ.get("DRSN_JAX_TEST_CACHE", str(Path(__file__).resolve().parents[1] / ".jax_cache")),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=30, database=None)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    # two suites at once may meet a half-written file of the cache: JAX then compiles, with a warning
    config.addinivalue_line("filterwarnings", "default:Error (reading|writing) persistent compilation cache")


# the files that take longest, longest first: begun at the end, one of them would keep a single worker busy after the others
LONG = (
    "test_fault_diagnosis.py",
    "test_hosts.py",
    "test_sklearn.py",
    "test_reliability.py",
    "test_blocked_network.py",
    "test_docs.py",
    "test_networks.py",
    "test_ensembles.py",
    "test_ablation.py",
    "test_diagnose.py",
    "test_drivetrain.py",
    "test_trials.py",
    "test_blocked.py",
    "test_steps.py",
    "test_throughput.py",
    "test_image_classification.py",
    "test_runtime.py",
    "test_map_script.py",
    "test_bundle.py",
    "test_checkpoints.py",
    "test_image_networks.py",
    "test_speech_recognition.py",
    "test_band_energy.py",
    "test_shrinkage.py",
    "test_noise_grids.py",
    "test_shrinkage_map.py",
    "test_tsne.py",
    "test_comparison.py",
    "test_healthy.py",
    "test_loop.py",
)


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and not among what was imported: tracing makes many objects, and few in circles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_sessionfinish() -> None:
    """Look for garbage once: pytest does it five times at the end, among all that was imported and traced."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture
def ctrl_c_heard() -> Iterator[None]:
    """A process that was started in the background ignores Ctrl-C, and so would those that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def x64() -> Iterator[None]:
    """64-bit arithmetic inside one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def mixing() -> Iterator[None]:
    """JAX's own dtype promotion inside one test, for what a user mixes on purpose; the suite also passes where it is strict."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of recorded data."""
    folder = os.environ.get("DRSN_JAX_DATA")
    if not folder:
        pytest.skip("DRSN_JAX_DATA is not set: it names the folder of recorded data")
    if not Path(folder).is_dir():
        pytest.fail(f"DRSN_JAX_DATA names {folder!r}, which is no folder: correct or unset it")
    return Path(folder)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, by file name."""
    from matplotlib.figure import Figure

    from drsn_jax.core import plotting

    found, last, savefig, write = {}, [], Figure.savefig, plotting.write_atomically

    def save(figure, content, **options):
        last[:] = [figure]
        savefig(figure, content, **options)

    def keep(file, content):
        found[file.name] = last[0]
        write(file, content)

    monkeypatch.setattr(Figure, "savefig", save)
    monkeypatch.setattr(plotting, "write_atomically", keep)
    return found
