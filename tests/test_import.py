"""What the import of the package loads and costs, and that messages name the extra that brings what some functions need."""

import ast
import re
import resource
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drsn_jax.core.errors import EXTRAS, MissingExtra, optional

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {re.split(r"[>=]", requirement)[0] for requirement in PROJECT["dependencies"]}
# what is never an extra: the package itself, modules beside the benchmarks, and what the generator of the site brings along
OWN = {"drsn_jax", "bench", "griffe"}


def child(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.process
def test_nothing_optional_is_imported_without_need():
    """Beside what flax brings, which imports rich itself; and no reader of files and no Optax before one is used."""
    out = child("import sys, flax.linen; before = set(sys.modules); import drsn_jax; print(*set(sys.modules) - before)")
    modules = out.split()
    packages = {name.partition(".")[0] for name in modules}
    assert "drsn_jax" in packages
    assert not packages & {*EXTRAS, "pandas", "onnx", "onnxruntime", "jax2onnx", "optax", "chex", "orbax"}
    assert not {name for name in modules if re.fullmatch(r"drsn_jax\.(sklearn|studies|cli|experiments)\b.*", name)}
    assert not {name for name in modules if re.fullmatch(r"drsn_jax\.data\.formats\.(text|matlab|hdf5|tdms|parquet)\b.*", name)}


@pytest.mark.slow
def test_the_import_takes_little_longer_than_that_of_flax():
    """In turn, by the time of the processor, because other programs may run beside."""

    def seconds(code):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        child(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(seconds("import flax.linen"), seconds("import drsn_jax")) for _ in range(9)]
    flax, own = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"flax.linen {flax:.2f} s, drsn_jax {own:.2f} s, {own / flax:.2f} times as long")
    assert own <= 1.3 * flax


# --- extras


def packages_of(extra):
    """The names of the packages of an extra, with those of the extras that it includes."""
    names = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        name = re.split(r"[><=;\[ ]", requirement)[0]
        if name == PROJECT["name"]:
            names |= {
                name for inner in re.split(r", ?", requirement.partition("[")[2].rstrip("]")) for name in packages_of(inner)
            }
        else:
            names.add(name)
    return names


@pytest.mark.parametrize("module", EXTRAS)
def test_an_extra_brings_the_package_that_its_message_names(module, monkeypatch):
    package, extra = EXTRAS[module]
    assert package in packages_of(extra)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as missing:
        optional(module, "this")
    assert str(missing.value) == f"this needs {package}: pip install 'drsn-jax[{extra}]'"


def imported(file):
    """The packages that a file imports anywhere, also by a call."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Call) and re.fullmatch(r"optional|library|importlib\.import_module", ast.unparse(node.func)):
            yield from (value.value for value in node.args[:1] if isinstance(value, ast.Constant))


def test_every_optional_package_has_an_extra():
    for folder in ("drsn_jax", "experiments", "docs"):
        for file in (ROOT / folder).rglob("*.py"):
            packages = {str(name).partition(".")[0] for name in imported(file)}
            assert packages <= {*sys.stdlib_module_names, *CORE, *OWN, *EXTRAS}, file


@pytest.mark.parametrize("room", ["core", "functional", "nn", "data", "training", "evaluation", "diagnosis"])
def test_the_library_names_the_extra_of_all_that_it_imports(room):
    """The commands find the extra of any failed import; who calls a function needs ``optional`` in it. Figures that exist have
    their package."""
    for file in (ROOT / "drsn_jax" / room).rglob("*.py"):
        plain = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert {name for name in plain if name.partition(".")[0] in EXTRAS} <= {"matplotlib.text"}, file
