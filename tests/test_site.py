"""The documentation site as far as it needs no generator: pages, navigation, links, and the check of what was built."""

import posixpath
import re
import sys
import types
from pathlib import Path

import pytest
import tiny

ROOT = Path(__file__).parents[1]
site = tiny.load_script(ROOT / "docs" / "build_site.py")
FILES = site.pages()
TEXTS = {name: content for name, content in FILES.items() if isinstance(content, str)}


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    """Zensical leaves out an entry whose page is missing, and says nothing."""
    assert site.navigation_faults(FILES) == []
    assert len(list(site.navigation())) > 20


def test_what_is_wrong_with_the_navigation_is_told():
    fewer = set(FILES) - {"guide.md"} | {"new.md", "source/new.py.md", "picture.png"}
    missing, unlisted = site.navigation_faults(fewer)
    assert missing == "zensical.toml: guide.md is in the navigation and no page"
    assert unlisted == "zensical.toml: the page new.md is not in the navigation"


def test_every_markdown_page_of_docs_is_a_page():
    assert {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")} < set(TEXTS)


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_to_files_of_the_site(page):
    """Zensical looks at links to pages alone, and not at those to pictures, code and folders."""
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)):
        path = link.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path):
            assert posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) in FILES, link


def test_links_are_changed_outside_of_code_alone():
    kept = "```\n[a](../README.md)\n```\n"
    text = site.outside_blocks(f"[a](b.md)\n\n{kept}", lambda part: part.replace("b.md", "c.md"))
    assert text == f"[a](c.md)\n\n{kept}"


def test_pages_of_source_show_the_code():
    page = TEXTS["source/drsn_jax-nn-blocked.py.md"]
    assert page.startswith("# drsn_jax/nn/blocked.py\n\n```python\n")
    assert (ROOT / "drsn_jax" / "nn" / "blocked.py").read_text(encoding="utf-8").rstrip() in page


@pytest.mark.parametrize("room", site.ROOMS)
def test_reference_has_every_public_name(room):
    named = re.findall(r"^::: drsn_jax\.[\w.]+\.(\w+)$", TEXTS[f"reference/{room}.md"], re.MULTILINE)
    listed = re.search(rf"^## drsn_jax\.{room}\n(.*?)(?=^## |\Z)", TEXTS["api.md"], re.DOTALL | re.MULTILINE)
    assert listed
    assert sorted(named) == sorted(re.findall(r"^\| `(\w+)`", listed[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ('<h1 id="a">A</h1><a href="b/#c">b</a><img src=p.png>', []),
        ('<h1 id="a">A</h1><a href="#a">a</a><a href="https://example.org/x">x</a>', []),
        ('<img src="nothing.png">', ["index.html: nothing is at nothing.png"]),
        ('<a href="nothing/">x</a>', ["index.html: nothing is at nothing/"]),
        ('<a href="b/#nothing">x</a>', ["index.html: no anchor is at b/#nothing"]),
    ],
)
def test_what_leads_nowhere_is_found(html, wrong, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "index.html").write_text('<h1 id="c">C</h1>')
    (tmp_path / "p.png").touch()
    (tmp_path / "index.html").write_text(html)
    assert site.missing_targets(tmp_path) == wrong


@pytest.mark.parametrize(
    ("docstring", "plain"),
    [
        ("Shrink ``x``::\n\n    y = x - τ", "Shrink `x`:\n\n    y = x - τ"),
        ("A unit.\n\nFields:\n  rule: one.", "A unit.\n\nAttributes:\n  rule: one."),
        ("Fields: as in ``A``, and\n  rule: one.", "Fields as in `A`, and\n\nAttributes:\n  rule: one."),
        ("Fields as in ``A``.", "Fields as in `A`."),
        ("Args:\n  a, b: in samples,\n    both.", "Args:\n  a: see `b`.\n  b: in samples,\n    both."),
        ("Raises:\n  ValueError: if not.", "Raises:\n  ValueError: if not."),
    ],
)
def test_docstrings_are_read_as_they_are_written(docstring, plain, monkeypatch):
    """By the extension of griffe; the suite has no griffe, and the function needs none."""
    monkeypatch.setitem(sys.modules, "griffe", types.SimpleNamespace(Extension=object, Object=object))
    assert tiny.load_script(ROOT / "docs" / "docstrings.py").plain(docstring) == plain


def test_pictures_of_the_guide_are_small():
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert len(pictures) == 8
    for picture in pictures:
        assert picture.stat().st_size < 100_000, picture.name


def test_plans_are_drawn(tmp_path):
    guide = tiny.load_script(ROOT / "docs" / "make_guide_pictures.py")
    for draw in (guide.draw_unit, guide.draw_devices):
        assert draw(tmp_path / "plan.png").stat().st_size > 10_000
