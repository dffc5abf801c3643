"""README and the pages of ``docs/``: their examples run, their commands are understood, their links lead somewhere.

The Python blocks of a page run in their order in one session, as a reader would type them. This is done here and not by a library
(sybil, pytest-markdown-docs), because these collect the pages outside of ``tests/``, where the devices, the cache of compiled
programs and the temporary folders of the suite are not set up, and the second shares a session only between blocks that say so.
"""

import ast
import contextlib
import functools
import io
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pytest
import tiny

import drsn_jax

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").rglob("*.md"))]
CARDS = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "drsn_jax" / "pretrained").glob("*/README.md"))
EVERY_PAGE = [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "experiments/recordings/README.md", *CARDS]
# the network of the paper takes long to compile: one unit of it, by the modules, shows the same
SMALL = 'widths=(8,), units=(1,), implementation="modules")'
QUICKER = {
    "drsn_cw(classes=3, standardise=True)": f"drsn_cw(classes=3, standardise=True, {SMALL}",
    "widths=(8,), units=(1,))": SMALL,
    # how well the estimator learns is asked by its own tests
    "d.DRSNClassifier(random_state=0)": "d.DRSNClassifier(epochs=2, random_state=0)",
    '("drsn_cw:widths=16+32,units=1+1", epochs=20,': '("drsn_cw:widths=16,units=1", epochs=2,',
    '("drsn_cw:widths=16+32,units=1+1", noise_snr_db=(-5, 5), epochs=40,': (
        '("drsn_cw:widths=16,units=1", noise_snr_db=(-5, 5), epochs=2,'
    ),
    'units=1", epochs=30,': 'units=1", epochs=2,',
    "early_stopping=True, validation_fraction=0.25,": "epochs=2, early_stopping=True, validation_fraction=0.25,",
}


class Block(NamedTuple):
    """A fenced block: its language, the line of its first line of text, from 1, and its text."""

    language: str
    line: int
    text: str


@functools.cache
def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    return [
        Block(match[1], text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_what_is_quicker_is_still_written_like_that():
    shown = [block.text for page in PAGES for block in blocks(read(page)) if block.language == "python"]
    assert [written for written in QUICKER if not any(written in text for text in shown)] == []


# --- Python


class Session:
    """The names that the blocks of a page have made, and what each block printed."""

    def __init__(self, page: str) -> None:
        self.page, self.names = page, {}
        self.blocks = [block for block in blocks(read(page)) if block.language == "python"]

    def run(self, block: Block) -> list[str]:
        """Run a block; returns the lines that it prints."""
        printed, text = io.StringIO(), block.text
        for written, quicker in QUICKER.items():
            text = text.replace(written, quicker)
        with contextlib.redirect_stdout(printed):
            # empty lines in front, so that a traceback names the line of the page
            exec(compile("\n" * (block.line - 1) + text, ROOT / self.page, "exec"), self.names)
        return printed.getvalue().splitlines()


def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    """A network learns three tones in noise, and does better the less noise there is."""
    monkeypatch.chdir(tmp_path)
    session = Session("README.md")
    own, training, ablation = session.blocks
    session.run(own)
    assert "ChannelWiseShrinkage_0" in session.names["variables"]["params"]
    assert [line.split()[0] for line in session.run(training)] == [str(number) for number in range(1, 21)]
    session.run(ablation)
    grid = session.names["grid"]
    assert grid.accuracy.shape == (2, 3, 3)
    assert grid.accuracy[:, 2].mean() > 0.9
    assert grid.accuracy[:, 2].mean() > grid.accuracy[:, 0].mean()


def test_the_examples_for_jax_run(tmp_path, monkeypatch):
    """The loop twice: killed or not, it ends with the same line."""
    monkeypatch.chdir(tmp_path)
    session = Session("docs/jax.md")
    printed = {block.line: session.run(block) for block in session.blocks}
    (loop,) = (block for block in session.blocks if "d.Checkpoints(" in block.text)
    assert [line.split()[0] for line in printed[loop.line]] == [str(number) for number in range(1, 21)]
    trained = session.names["epoch"]
    assert session.run(loop) == printed[loop.line][-1:]
    assert trained is not session.names["epoch"]
    metrics = session.names["metrics"]
    assert metrics["count"] == 16
    assert session.names["logits"].shape == (96, 3)
    assert session.names["grid"].accuracy.shape == (2, 3, 3)
    assert session.names["together"].probabilities.shape == (96, 3)


@pytest.mark.parametrize("kind", ["onnx", "openvino", "stablehlo"])
def test_the_examples_of_the_export_run(kind, tmp_path, monkeypatch):
    """The blocks of one kind of file; those of ONNX where the packages are installed that write and read it."""
    if kind != "stablehlo":
        for package in ("jax2onnx", "onnx", "onnxruntime" if kind == "onnx" else kind):
            pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setenv("CI", "true")  # OpenVINO then sends nothing
    monkeypatch.chdir(tmp_path)
    model = drsn_jax.Bundle(tiny.network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 8000.0, tiny.LENGTH)
    drsn_jax.save("runs/mine/model", model)
    session = Session("docs/export.md")
    load, *others = session.blocks
    session.run(load)
    suffix, reader = (".stablehlo", "jax.export") if kind == "stablehlo" else (".onnx", {"onnx": "onnxruntime"}.get(kind, kind))
    # what writes the file imports nothing
    chosen = [block for block in others if suffix in block.text and (reader in block.text or "import" not in block.text)]
    assert [line for block in chosen for line in session.run(block)]
    assert session.names["probabilities"].shape == (320 if kind == "openvino" else 10, 3)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("README.md", "docs/jax.md", "docs/export.md")])
def test_the_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session(page)
    for block in session.blocks:
        session.run(block)


# --- commands


class Parsed(BaseException):
    """Ends a script when it has understood its options; no Exception, which the scripts turn into a message."""


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command of a page that starts a script of this repository or the package's own program."""
    for block in blocks(read(page)):
        if not block.language:
            for line in block.text.replace("\\\n", " ").splitlines():
                for command in re.split(r"&&|\|", line):
                    words = shlex.split(command, comments=True)
                    words = list(itertools.dropwhile(lambda word: word not in ("python", "drsn-jax"), words))
                    if words and (words[0] == "drsn-jax" or words[1].endswith(".py")):
                        yield words


COMMANDS = {" ".join(words): words for page in EVERY_PAGE for words in commands(page)}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command, monkeypatch):
    """The script is there and takes these options; it ends before it does anything."""
    import tyro

    parse = tyro.cli

    def parse_and_end(*arguments: Any, **options: Any) -> None:
        parse(*arguments, **options)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", parse_and_end)
    program, *rest = COMMANDS[command]
    if program == "python":
        file, *rest = rest
        module = tiny.load_script(ROOT / file)
        if not re.search(r"\btyro\b|(?<!ast\.)\bparse\(", read(file)):
            assert not rest, f"{file} takes no options"
            return
        main = module.main
    else:
        main = own_program()
    monkeypatch.setattr(sys, "argv", [program, *rest])
    with pytest.raises(Parsed):
        main()


def own_program() -> Any:
    """What ``drsn-jax`` calls, as pyproject.toml says."""
    import importlib
    import tomllib

    target = tomllib.loads(read("pyproject.toml"))["project"]["scripts"]["drsn-jax"]
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def test_commands_are_found():
    assert len(COMMANDS) > 15
    assert "python experiments/fault_diagnosis.py --devices 2" in COMMANDS


# --- links, paths, tables


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_blocks(read(page)))
    for link in links:
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_paths_are_there(page):
    for path in re.findall(r"(?<![\w/.])(?:experiments|drsn_jax|tests|docs|\.ci)/[\w/.\-]*\w", read(page)):
        assert (ROOT / path).exists() or (ROOT / page).parent.joinpath(path).exists(), path


def tables_of_figures(text: str) -> Iterator[tuple[str, str]]:
    """The header of each table of numbers, and what stands in front of it in its section."""
    for section in re.split(r"^#+ ", re.sub(r"^```python.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), flags=re.MULTILINE):
        for match in re.finditer(r"^(\|.*\|)\n\|[-|]+\|\n((?:\|.*\|\n?)+)", section, re.MULTILINE):
            rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in match[2].splitlines()]
            if all(any(re.fullmatch(r"[\d.,]+( ± [\d.]+)?", cell) for cell in row) for row in rows):
                yield match[1], section[: match.start()]


@pytest.mark.parametrize("page", PAGES)
def test_figures_have_their_command(page):
    for header, before in tables_of_figures(read(page)):
        assert re.search(r"^(pip install .* && )?(python experiments/|pytest -m slow)", before, re.MULTILINE), header


def test_tables_of_figures_are_found():
    assert len(list(tables_of_figures(read("docs/researcher.md")))) == 20
    assert len(list(tables_of_figures(read("README.md")))) == 1


# --- public names, pictures


@pytest.mark.parametrize("room", ["functional", "nn", "data", "training", "evaluation", "diagnosis", "pretrained"])
def test_every_public_name_has_a_line(room):
    """One line each, in any order, so that a module may move within its room; a star where the flat name is the same thing."""
    body = ast.parse((ROOT / "drsn_jax" / room / "__init__.py").read_text()).body
    public = [alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    (section,) = re.findall(rf"^## drsn_jax\.{room}\n(.*?)(?=^## |\Z)", read("docs/api.md"), re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^\| `(\w+)`( ★)? \| (.+) \|$", section, re.MULTILINE)
    assert sorted(name for name, _, _ in lines) == sorted(public)
    for name, star, _ in lines:
        assert bool(star) == (getattr(drsn_jax, name, None) is getattr(getattr(drsn_jax, room), name)), name


def test_every_flat_name_is_in_a_room():
    flat = {name for name, value in vars(drsn_jax).items() if not name.startswith("_") and not isinstance(value, type(ast))}
    assert flat == set(re.findall(r"^\| `(\w+)` ★ \|", read("docs/api.md"), re.MULTILINE))


def test_the_readme_is_two_screens():
    assert len(read("README.md").splitlines()) <= 130


def test_the_picture_is_small():
    assert (ROOT / "docs" / "shrinkage.png").stat().st_size < 150_000


def test_the_picture_is_drawn(tmp_path):
    picture = tiny.load_script(ROOT / "docs" / "make_pictures.py")
    windows, _ = tiny.tones(1)
    variables = jax.jit(lambda key: tiny.network.init(key, windows, train=False))(jax.random.key(0))
    names = tuple("abc")
    file = picture.draw(tmp_path / "picture.png", tiny.network, variables, windows[0], windows[0], names, "b")
    assert file.stat().st_size > 10_000
