"""Structs and cells, as MATLAB and Octave nest them, and the paths of the arrays in them.

A field of a struct is ``bearing.gs``, one of the second element of an array of structs ``X.Y(2).Data``, an element of a cell
``runs{3}``. Where the elements have a field with a name for each and hold one signal each, as in the files of Paderborn, the
name stands for the element: ``X.Y.vibration_1``; ``X.Y(2).Data`` is then its second name.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from drsn_jax.data.formats.arrays import Held

MOST = 20_000  # arrays that are listed
NAMES = ("name", "label", "channel", "channelname", "signalname")  # of the field that names the element of an array of structs


@dataclass(frozen=True)
class Struct:
    """An array of structs: the fields of each element by their names."""

    elements: Sequence[dict[str, "Node"]]


@dataclass(frozen=True)
class Cell:
    """A cell array: what each element holds."""

    elements: Sequence["Node"]


Node = Held | Struct | Cell


def named(path: str, node: Node) -> list[Held]:
    """Return the arrays within a variable named ``path``, each by its own path; at most the first ``MOST``."""
    return [*itertools.islice(_named(path, node), MOST)]


def _named(path: str, node: Node) -> Iterator[Held]:
    """Yield the arrays within a variable, in the order of the file."""
    if isinstance(node, Held):
        yield replace(node, name=path)
    elif isinstance(node, Cell):
        for number, element in enumerate(node.elements, 1):
            yield from _named(f"{path}{{{number}}}", element)
    else:
        own = _own_names(node)
        for number, fields in enumerate(node.elements, 1):
            element = path if len(node.elements) == 1 else f"{path}({number})"
            for field, value in fields.items():
                for array in _named(f"{element}.{field}", value):
                    if own and array.numeric and array.length > 1 and array.name == f"{element}.{field}":
                        yield replace(array, name=f"{path}.{own[number - 1]}", alias=array.name)
                    else:
                        yield array


def _own_names(node: Struct) -> list[str]:
    """Return the names that the elements of an array of structs give themselves; none where they do not name one signal each."""
    names = []
    for fields in node.elements:
        texts = [value.text for field, value in fields.items() if isinstance(value, Held) and field.lower() in NAMES]
        signals = [value for value in fields.values() if isinstance(value, Held) and value.numeric and value.length > 1]
        if not texts or not texts[0].strip() or len(signals) > 1:
            return []
        names.append(texts[0].strip())
    return names if len(set(names)) == len(names) else []
