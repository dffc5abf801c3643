"""Build the documentation site from the Markdown of ``docs/``.

    pip install -e '.[docs]' && python docs/build_site.py

lays the pages out in ``build/pages`` and lets zensical build ``build/site`` from there, strictly: a link, an anchor or a picture
that is not there, and a page without an entry in the navigation, end it with an error. The pages are those of ``docs/``, the
files outside of it that they link to, the scripts of the gallery with their text, and for each sub-package a page of its public
names with their docstrings. ``--pages`` stops before zensical, for another generator.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = ROOT / "build" / "pages"
PACKAGE = "drsn_jax"
# the public sub-packages, and the module of the estimator
ROOMS = ("functional", "nn", "data", "training", "evaluation", "diagnosis", "pretrained", "sklearn")
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def main(arguments: list[str]) -> None:
    if set(arguments) - {"--pages"}:
        sys.exit(f"build_site.py takes no option but --pages, got {' '.join(arguments)}")
    lay_out(PAGES)
    print(f"{sum(1 for _ in PAGES.rglob('*.md'))} pages in {PAGES.relative_to(ROOT)}")
    if "--pages" not in arguments:
        sys.exit(build())


def build() -> int:
    """Let zensical build the pages; returns its exit status, or 1 where something is wrong that it passes over.

    Of links it checks those to pages and anchors alone, and it leaves out an entry of the navigation whose page is missing.
    """
    program = Path(sys.executable).with_name("zensical")
    command = [str(program) if program.exists() else "zensical", "build", "--strict", "--clean"]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(ended.stdout, end="")
    wrong = [*navigation_faults(pages()), *missing_targets(ROOT / "build" / "site")]
    print("\n".join(wrong) or "every link, picture and entry of the navigation leads somewhere")
    return ended.returncode or int(bool(wrong))


def lay_out(folder: Path) -> None:
    """Write all pages and pictures of the site into ``folder``, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in pages().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, file)
        else:
            file.write_text(content, encoding="utf-8")


def pages() -> dict[str, str | Path]:
    """The files of the site: a path within it, and the text of a page or the file that is copied there."""
    made: dict[str, str | Path] = {}
    outside: dict[Path, str] = {}  # the files outside of docs/, and scripts in it, that pages link to, and their pages
    for file in sorted(DOCS.rglob("*.md")):
        made[file.relative_to(DOCS).as_posix()] = linked(file, file.relative_to(DOCS).as_posix(), outside)
    for file in sorted((DOCS / "gallery").glob("*.py")):
        made[f"gallery/{file.stem}.md"] = script_page(file)
    for room in ROOMS:
        made[f"reference/{room}.md"] = reference_page(room)
    done: set[Path] = set()
    while todo := set(outside) - done:  # a page that was linked to may link to others
        for file in sorted(todo):
            made[outside[file]] = linked(file, outside[file], outside) if file.suffix == ".md" else source_page(file)
        done |= todo
    for picture in (file for file in sorted(DOCS.rglob("*")) if file.suffix in (".png", ".svg", ".css", ".wav")):
        made[picture.relative_to(DOCS).as_posix()] = picture
    return made


def linked(file: Path, page: str, outside: dict[Path, str]) -> str:
    """The text of a Markdown file with its links as they are on the site, where it is ``page``. Files outside of docs/ that it
    links to are added to ``outside``."""

    def target(link: str) -> str:
        path, hash_, anchor = link.partition("#")
        if not path or re.match(r"[a-z]+:", link):
            return link
        there = (file.parent / path).resolve()
        inside = there.relative_to(DOCS).as_posix() if there.is_relative_to(DOCS) else ""
        # a script beside the pages has a page of its source, like files outside; those of the gallery are pages of their own
        if inside.startswith("gallery/") or (inside and there.suffix != ".py"):
            goal = re.sub(r"\.py$", ".md", inside) if inside.startswith("gallery/") else inside
        else:
            goal = outside.setdefault(there, outside_page(there.relative_to(ROOT)))
        return relative(goal, page) + hash_ + anchor

    return outside_blocks(file.read_text(encoding="utf-8"), lambda text: LINK.sub(lambda m: m[1] + target(m[2]) + m[3], text))


def outside_blocks(text: str, change: Callable[[str], str]) -> str:
    """Change a Markdown text outside of its fenced blocks."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def outside_page(path: Path) -> str:
    """The page of a file outside of docs/: ``CONTRIBUTING.md`` is ``project/contributing.md``, code has the folder ``source``."""
    if path.suffix == ".md":
        name = path.parent if path.name == "README.md" and path.parent != Path() else path.with_suffix("")
        return f"project/{'-'.join(name.parts).lower()}.md"
    return f"source/{'-'.join(path.parts)}.md"


def relative(goal: str, page: str) -> str:
    """The path of the page ``goal`` as a link on ``page``."""
    return PurePosixPath(*[".."] * (len(PurePosixPath(page).parts) - 1), goal).as_posix()


def source_page(file: Path) -> str:
    """A page that shows a file of code."""
    language = {".py": "python", ".toml": "toml"}.get(file.suffix, "text")
    return f"# {file.relative_to(ROOT)}\n\n```{language}\n{file.read_text(encoding='utf-8').rstrip()}\n```\n"


def script_page(file: Path) -> str:
    """The page of a script of the gallery: its cells of text as text, its cells of code as blocks."""
    parts = [f"{text}\n" if kind == "markdown" else f"```python\n{text}\n```\n" for kind, text in cells(file.read_text("utf-8"))]
    return "\n".join(parts) + f"\nThe script: `{file.relative_to(ROOT).as_posix()}`.\n"


def cells(text: str) -> Iterator[tuple[str, str]]:
    """The cells of a script in jupytext's percent format, ``("markdown" or "code", text)``; empty ones are left out."""
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        header, _, body = part.partition("\n")
        kind = "markdown" if "[markdown]" in header else "code"
        if kind == "markdown":
            body = "\n".join(re.sub(r"^# ?", "", line) for line in body.splitlines())
        if body.strip():
            yield kind, body.strip()


def public_names(room: str) -> list[str]:
    """The public names of a sub-package, in the order of its ``__init__.py``, each with the module that defines it: a module
    may have the name of a function in it. Those of a module are its classes."""
    module = ROOT / PACKAGE / f"{room}.py"
    if module.is_file():
        return [f"{PACKAGE}.{room}.{node.name}" for node in ast.parse(module.read_text()).body if isinstance(node, ast.ClassDef)]
    body = ast.parse((ROOT / PACKAGE / room / "__init__.py").read_text(encoding="utf-8")).body
    return [f"{node.module}.{alias.name}" for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]


def reference_page(room: str) -> str:
    """A page with the docstring of each public name of a sub-package, for mkdocstrings."""
    introduction = f"# {PACKAGE}.{room}\n\nA line for each of these names stands in [public names](../api.md#{PACKAGE}{room}).\n"
    return "\n".join([introduction, *(f"::: {name}\n" for name in public_names(room))])


def navigation(entry: Any = None) -> Iterator[str]:
    """The pages that the navigation of ``zensical.toml`` names."""
    if entry is None:
        entry = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from navigation(inner)


def navigation_faults(files: Collection[str]) -> list[str]:
    """What is wrong with the navigation of a site of these files: entries without a page or twice, pages without an entry. Pages
    of source code need none, they are reached by links."""
    entries = list(navigation())
    listed = {name for name in files if name.endswith(".md") and not name.startswith("source/")}
    return [
        *(f"zensical.toml: {name} is in the navigation twice" for name in sorted(set(entries)) if entries.count(name) > 1),
        *(f"zensical.toml: {name} is in the navigation and no page" for name in sorted(set(entries) - listed)),
        *(f"zensical.toml: the page {name} is not in the navigation" for name in sorted(listed - set(entries))),
    ]


def missing_targets(site: Path) -> list[str]:
    """What is wrong with the built pages in a folder: local links, pictures and anchors that lead nowhere."""
    found = []
    texts = {file: file.read_text(encoding="utf-8") for file in sorted(site.rglob("*.html"))}
    ids = {file: set(re.findall(r'\bid="?([^"\s>]+)', text)) for file, text in texts.items()}
    for file, text in texts.items():
        if file.name == "404.html":
            continue
        for link in sorted(set(re.findall(r'\b(?:href|src)="?([^"\s>]+)', text))):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:|//", link):
                continue
            there = (file.parent / path).resolve() if path else file
            there = there / "index.html" if there.is_dir() else there
            if not there.exists():
                found.append(f"{file.relative_to(site)}: nothing is at {link}")
            elif anchor and there in ids and anchor not in ids[there] and not anchor.startswith("__codelineno"):
                found.append(f"{file.relative_to(site)}: no anchor is at {link}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
