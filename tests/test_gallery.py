"""The scripts of the gallery: cells that read as a page, names that exist, and runs, of which the longer ones are slow."""

import ast
import functools
import operator
import runpy
from pathlib import Path

import pytest
import tiny

import drsn_jax

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SCRIPTS = sorted(file.stem for file in GALLERY.glob("*.py"))
FAST = ("soft_threshold", "own_network")
site = tiny.load_script(GALLERY.parent / "build_site.py")


def test_there_are_six():
    assert len(SCRIPTS) == 6
    assert set(FAST) < set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_cells_read_as_a_page(name):
    text = (GALLERY / f"{name}.py").read_text(encoding="utf-8")
    kinds = [kind for kind, _ in site.cells(text)]
    assert text.startswith("# %% [markdown]\n# # ")
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") >= 3
    assert kinds.count("code") >= 3
    code = "\n\n".join(cell for kind, cell in site.cells(text) if kind == "code")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(text))  # no line of code is lost on its page


@pytest.mark.parametrize("name", SCRIPTS)
def test_names_of_the_package_exist(name):
    """Also in the scripts that are run only where there is time."""
    for node in ast.walk(ast.parse((GALLERY / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and (dotted := ast.unparse(node)).startswith("d."):
            path = dotted.removeprefix("d.").split(".")
            functools.reduce(getattr, path[: 2 if path[0] in site.ROOMS else 1], drsn_jax)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("drsn_jax"):
            module = __import__(str(node.module), fromlist=["names"])
            operator.attrgetter(*(alias.name for alias in node.names))(module)


@pytest.mark.parametrize("name", FAST)
def test_runs_in_its_short_form(name, tmp_path, monkeypatch):
    run(name, tmp_path, monkeypatch, quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_runs(name, tmp_path, monkeypatch):
    """Every script as a reader runs it, with its figures."""
    run(name, tmp_path, monkeypatch, quick=False)


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, quick: bool) -> None:
    if quick:
        monkeypatch.setenv("DRSN_JAX_QUICK", "1")
    monkeypatch.setenv("DRSN_JAX_FIGURES", str(folder))
    monkeypatch.chdir(folder)
    runpy.run_path(str(GALLERY / f"{name}.py"))
    assert len(list(folder.glob("*.png"))) >= (name != "folder_of_recordings")
