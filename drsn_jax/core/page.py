"""Pages of HTML that are one file: they open offline, load nothing, and fit a phone."""

import base64
from collections.abc import Iterable, Mapping, Sequence

from drsn_jax.core.text import as_html

STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "img{max-width:100%;height:auto;background:#fff}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px}"
    "td,th{border-bottom:1px solid #8886;padding:.2rem .8rem;text-align:left;vertical-align:top}"
    "td{min-width:4.5rem}td:nth-child(2):last-child{min-width:12rem}h2{margin-top:2.5rem}h2,td{overflow-wrap:anywhere}small{opacity:.75}"
)
# nothing is loaded and nothing is run, whatever a name in the page holds
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page of these parts, which are HTML, below its title, which is text."""
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{as_html(title)}</title><style>{STYLE}</style>"
    )
    return "\n".join([head, f"<h1>{as_html(title)}</h1>", *parts, "</html>"])


def heading(text: str, anchor: str = "") -> str:
    """Return a heading that ``#anchor`` leads to."""
    return f'<h2 id="{as_html(anchor)}">{as_html(text)}</h2>' if anchor else f"<h2>{as_html(text)}</h2>"


def paragraph(text: str, *, small: bool = False, strong: bool = False) -> str:
    """Return a paragraph of text."""
    inside = as_html(text)
    inside = f"<small>{inside}</small>" if small else f"<strong>{inside}</strong>" if strong else inside
    return f"<p>{inside}</p>"


def items(texts: Iterable[str]) -> str:
    """Return a list of texts; nothing for none."""
    inside = "".join(f"<li>{as_html(text)}" for text in texts)
    return f"<ul>{inside}</ul>" if inside else ""


def image(png: bytes, description: str) -> str:
    """Return a picture that is part of the page."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{as_html(description)}">'


def link(text: str, anchor: str) -> str:
    """Return a link to a heading of the same page."""
    return f'<a href="#{as_html(anchor)}">{as_html(text)}</a>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, links: Sequence[str] = ()) -> str:
    """Return a table of texts. The first cell of each row leads to the anchor of ``links`` in its place, where there are any."""
    parts = ['<div class="wide"><table><tr>', *(f"<th>{as_html(cell)}" for cell in head)]
    for number, (first, *others) in enumerate(rows):
        cells = [link(first, links[number]) if links else as_html(first), *map(as_html, others)]
        parts += ["<tr>", *(f"<td>{cell}" for cell in cells)]
    return "".join([*parts, "</table></div>"])


def facts(named: Mapping[str, str]) -> str:
    """Return a table of facts by their names."""
    rows = (f"<tr><th>{as_html(name)}<td>{as_html(value)}" for name, value in named.items())
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'
