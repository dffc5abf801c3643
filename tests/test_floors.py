"""The house: a sub-package imports only from floors below its own, so that no circle can come in."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "drsn_jax"
FLOORS = (
    {"core"},
    {"functional"},
    {"nn", "data"},
    {"training", "cli"},
    {"evaluation"},
    {"diagnosis"},
    {"pretrained"},
    {"studies"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py" and file.parent != PACKAGE)


def imported(source: str) -> Iterator[str]:
    """What a module imports of the package, wherever in it, as ``room.module.name``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole module"
            if (node.module or "").split(".")[0] == "drsn_jax":
                module = (node.module or "").removeprefix("drsn_jax").lstrip(".")
                yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("drsn_jax.") for alias in node.names if alias.name.split(".")[0] == "drsn_jax")


def trespasses(room: str, source: str) -> list[str]:
    """What a module in ``room`` imports from another room of its own floor, from above, or through a face: the ``__init__`` of a
    room, which would let circles in."""
    found = []
    for name in imported(source):
        other, *inside = name.split(".")
        if other != room and FLOOR.get(other, len(FLOORS)) >= FLOOR[room]:
            found.append(name)
        elif not inside or not ((PACKAGE / other / inside[0]).is_dir() or (PACKAGE / other / f"{inside[0]}.py").is_file()):
            found.append(f"{name}, through a face")
    return found


def test_every_room_has_a_floor():
    rooms = {file.name for file in PACKAGE.iterdir() if file.is_dir() and file.name != "__pycache__"}
    assert rooms == FLOOR.keys()


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE).with_suffix("")))
def test_imports_go_down(file):
    assert not trespasses(file.relative_to(PACKAGE).parts[0], file.read_text())


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "from drsn_jax.training.steps import TrainState"),
        ("nn", "from drsn_jax.data.windows import Fold"),
        ("training", "def later():\n    import drsn_jax.evaluation.metrics"),
        ("studies", "from drsn_jax.nn import Network"),
        ("studies", "import drsn_jax"),
        ("evaluation", "from drsn_jax import nn"),
    ],
)
def test_a_planted_arrow_is_found(room, source):
    assert trespasses(room, source)


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_faces_only_hand_names_on(room):
    body = ast.parse((PACKAGE / room / "__init__.py").read_text()).body
    for node in body[1:]:
        assert isinstance(node, ast.ImportFrom)
        assert (node.module or "").startswith(f"drsn_jax.{room}.")


def lines(node: ast.FunctionDef | ast.ClassDef) -> int:
    """The lines of a function or class, without those of its docstring."""
    first = node.body[0]
    docstring = ast.get_docstring(node) is not None
    return (node.end_lineno or 0) - node.lineno + 1 - docstring * ((first.end_lineno or 0) - first.lineno + 1)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE).with_suffix("")))
def test_functions_and_classes_are_short(file):
    """60 lines a function, 150 a class, docstrings aside."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert lines(node) <= 60, node.name
        elif isinstance(node, ast.ClassDef):
            assert lines(node) <= 150, node.name
