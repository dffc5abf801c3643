"""What ``prepare`` does to a process, and that an import does nothing; in processes of their own."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from drsn_jax.cli import run_options
from drsn_jax.core import kept_files, runtime
from drsn_jax.core.errors import UserError
from drsn_jax.core.runtime import cache_folder, spare_tcmalloc

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
FAULTS = """
import resource, statistics, sys
from drsn_jax.core import kept_files, runtime
runtime.prepare(memory=sys.argv[1] == "kept", cache=False)
if sys.argv[1] == "kept":
    assert runtime.keep_memory() is True
import jax, jax.numpy as jnp

@jax.jit
def step(x):  # needs a buffer of 85 MB, more than glibc keeps for any thread but the first
    return jnp.abs(x @ x.T) @ x / 4608

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

x, counts = jnp.ones((4608, 2)), []
for _ in range(int(sys.argv[2])):
    before = faults()
    x = step(x).block_until_ready()
    counts.append(faults() - before)
print(statistics.median(counts[len(counts) // 2:]))  # the kept memory grows for some steps
"""
IMPORT = """
import gc, importlib, os, pkgutil, sys
import drsn_jax, jax
cache = jax.config.values["jax_compilation_cache_dir"]
for module in pkgutil.walk_packages(drsn_jax.__path__, "drsn_jax."):
    if module.name != "drsn_jax.sklearn":  # an estimator of scikit-learn is one by its base
        importlib.import_module(module.name)
assert jax.config.values["jax_compilation_cache_dir"] == cache
extras = {"scipy.stats", "scipy.signal", "sklearn", "matplotlib", "tyro"} & sys.modules.keys()
assert not extras, extras

from drsn_jax.core import kept_files, runtime
# JAX refuses this once there is a backend: so importing has made none
runtime.prepare(devices=3, memory=False, cache=True)
assert jax.device_count() == 3
assert gc.get_freeze_count() > 10_000
print(jax.config.values["jax_compilation_cache_dir"])
"""


def python(code, *arguments, **variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "MALLOC_"))}
    environment = {**clean, "JAX_PLATFORMS": "cpu", **variables}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.process
@glibc
def test_kept_memory_costs_no_page_faults():
    """A step with a buffer of 85 MB, mapped anew in each step where memory is not kept."""
    default, kept = float(python(FAULTS, "default", "6")), float(python(FAULTS, "kept", "30"))
    if default < 200:
        pytest.skip(f"this kernel maps 85 MB with {default:g} faults: there is nothing to gain")
    assert kept < 0.01 * default


LIBRARY = spare_tcmalloc()


@pytest.mark.skipif(LIBRARY is None, reason="tcmalloc is not installed, or in use already")
@pytest.mark.process
def test_tcmalloc_in_use_is_not_spare():
    code = "from drsn_jax.core import runtime; print(runtime.spare_tcmalloc())"
    assert python(code, "") == LIBRARY
    assert python(code, "", LD_PRELOAD=str(LIBRARY)) == "None"


def test_a_script_names_a_spare_tcmalloc_in_one_line(monkeypatch, capsys):
    """Where somebody is about to wait: not for a dry run, nor where the process is to stay as it is."""
    monkeypatch.setattr(runtime, "spare_tcmalloc", lambda: "/lib/libtcmalloc.so")
    run_options.advise(run_options.RunOptions())
    printed = capsys.readouterr().out
    assert printed.startswith("LD_PRELOAD=/lib/libtcmalloc.so in front of this command")
    assert printed.count("\n") == 1
    for quiet in (run_options.RunOptions(dry_run=True), run_options.RunOptions(plain_runtime=True)):
        run_options.advise(quiet)
    monkeypatch.setattr(runtime, "spare_tcmalloc", lambda: None)
    run_options.advise(run_options.RunOptions())
    assert capsys.readouterr().out == ""


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5}, raising=False)
    assert runtime.cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert runtime.cores() == (os.cpu_count() or 1)


def test_elsewhere_nothing_is_told(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert runtime.keep_memory() is False


@pytest.mark.process
def test_imports_touch_nothing_and_prepare_sets_devices_and_cache(tmp_path):
    assert python(IMPORT, "", XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "drsn_jax")


@pytest.mark.parametrize("asked", [True, False])
def test_a_cache_that_the_user_chose_stays(asked, monkeypatch):
    """That of the suite is one: JAX takes it from the environment in the same way."""
    monkeypatch.setattr(kept_files, "_folder", None)  # as it was, afterwards: other tests change what is computed
    chosen = jax.config.values["jax_compilation_cache_dir"]
    assert chosen
    runtime.prepare(memory=False, cache=asked)
    assert jax.config.values["jax_compilation_cache_dir"] == chosen


EMITTERS = " --xla_cpu_use_fusion_emitters=false" if jax.__version_info__[:2] == (0, 10) else ""


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"ynnpack": True}, "--given=1"),
        ({}, "--given=1 --xla_cpu_experimental_ynn_fusion_type="),
        ({"ynnpack": True, "deterministic": True}, "--given=1 --xla_gpu_deterministic_ops=true"),
        (
            {"ynnpack": True, "dry_run": True},
            f"--given=1 --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true{EMITTERS}",
        ),
    ],
)
def test_options_of_the_compiler_are_added(monkeypatch, options, flags):
    monkeypatch.setenv("XLA_FLAGS", "--given=1")
    runtime.prepare(memory=False, cache=False, **options)
    assert os.environ["XLA_FLAGS"] == flags


@pytest.mark.parametrize(
    ("version", "given"),
    [((0, 11, 0), "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE"), ((9, 0, 0), "--given=1")],
    ids=["choice", "version"],
)
def test_a_choice_of_the_user_stays_and_an_unknown_version_is_left_alone(monkeypatch, version, given):
    monkeypatch.setattr(jax, "__version_info__", version)
    monkeypatch.setenv("XLA_FLAGS", given)
    runtime.prepare(memory=False, cache=False)
    assert os.environ["XLA_FLAGS"] == given


@pytest.mark.process
def test_a_deterministic_process_computes():
    """XLA refuses flags that it does not know: those of every start among them."""
    code = "import jax; from drsn_jax.core import runtime; runtime.prepare(deterministic=True); print(jax.numpy.ones(3).sum())"
    assert python(code, "") == "3.0"


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "drsn_jax"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative", "./cache", "~/cache"):  # as the specification says of paths that are not absolute
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == tmp_path / ".cache" / "drsn_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "drsn_jax"


@pytest.mark.parametrize("chosen", [None, "gs://bucket/cache"])
def test_without_a_home_folder_nothing_is_kept(monkeypatch, chosen):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(kept_files, "_folder", None)
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", chosen)
        runtime.prepare(memory=False)
        assert jax.config.values["jax_compilation_cache_dir"] == chosen
        assert not kept_files.keeps()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_a_platform_that_is_not_there_is_named(monkeypatch):
    """One sentence, whatever JAX says. Another error of JAX stays as it is."""

    def fail():
        raise RuntimeError(told)

    monkeypatch.setattr(jax, "devices", fail)
    told = "Unable to initialize backend 'cuda': no CUDA-enabled\n device is detected."
    with pytest.raises(UserError, match=r"^JAX cannot start on JAX_PLATFORMS=\w+ \(Unable .*: unset JAX_PLATFORMS, or name cpu"):
        runtime.require_platform()
    told = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        runtime.require_platform()


@pytest.mark.process
@pytest.mark.parametrize(
    "asked", ["cuda", pytest.param("gpu", marks=pytest.mark.slow), pytest.param("CPU", marks=pytest.mark.slow)]
)
def test_a_process_without_its_platform_says_so(asked):
    """``cuda`` where no plugin is installed is an assertion inside JAX without a word."""
    code = "from drsn_jax.cli import console\nfrom drsn_jax.core import runtime\nconsole.run(runtime.require_platform)"
    environment = os.environ | {"JAX_PLATFORMS": asked}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        pytest.skip(f"JAX starts on {asked} here")
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith(f"error: JAX cannot start on JAX_PLATFORMS={asked} (")
    assert "Traceback" not in done.stderr
