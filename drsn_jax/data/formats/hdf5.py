"""HDF5 files, read in parts by h5py: MATLAB 7.3, Octave's ``save -hdf5``, and those of any other program.

Data sets are named by their paths, ``run1/acceleration``, in MATLAB's and Octave's files by dots, ``bearing.gs``. Sampling rates
are read from numbers beside a data set and from attributes of it and of the groups above it. The attributes ``scale_factor``,
``add_offset``, ``_FillValue`` and ``missing_value`` of netCDF are followed.
"""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.data.formats.arrays import Held, signal_of
from drsn_jax.data.formats.axes import time_unit
from drsn_jax.data.formats.common import RecordingError, Signal, damage, is_numeric, library
from drsn_jax.data.formats.hdf5_samples import check_stored
from drsn_jax.data.formats.hdf5_samples import part as part_of
from drsn_jax.data.formats.rates import SECONDS, Rate, may_mention, mentioned, with_units
from drsn_jax.data.formats.structs import MOST, Cell, Node, Struct, named

MARK = b"\x89HDF\r\n\x1a\n"
# the classes of MATLAB that hold numbers
NUMBERS = (b"double", b"single", *(f"{sign}int{bits}".encode() for sign in ("", "u") for bits in (8, 16, 32, 64)))
NO_SIGNALS = ("string", "char", "logical", "function_handle")
DEEPEST = 30  # groups within groups


def read_hdf5(file: Path, channel: str) -> Signal:
    """Open the data sets that ``channel`` means. Raises RecordingError for a damaged file or a data set that is no signal."""
    h5py = library("h5py")
    matlab = file.suffix.lower() == ".mat"
    with damage(file, "MATLAB" if matlab else "HDF5"), h5py.File(file, "r") as opened:
        held = [*_Tree(file).arrays(opened, "", "." if matlab else "/", (), 0)]
        return signal_of(held, channel, str(file))


class _Tree:
    """The groups and data sets of a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.h5py = library("h5py")
        self.seen: set[int] = set()  # addresses of groups, which may lie in each other
        self.count = 0  # arrays so far

    def arrays(self, group: Any, above: str, separator: str, rates: tuple[Rate, ...], depth: int) -> Iterator[Held]:
        """Yield all arrays in a group, each by its path."""
        rates = (*rates, *_hints(group, above or "the file"))
        for name, member in self.members(group, depth):
            path = f"{above}{name}"
            kind = _class(member)
            if isinstance(member, self.h5py.Dataset) or kind or self.is_octaves(member):
                yield from named(path, self.node(member, path, rates, depth + 1))
            else:
                yield from self.arrays(member, path + separator, separator, rates, depth + 1)

    def members(self, group: Any, depth: int) -> Iterator[tuple[str, Any]]:
        """Yield the members of a group by their names, each group once.

        Links are left out, because they may lead to other files; names that begin with # are MATLAB's own.
        """
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} groups lie in each other")
        for name in group:
            if name.startswith("#") or type(group.get(name, getlink=True)) is not self.h5py.HardLink:
                continue
            member = group[name]
            if isinstance(member, self.h5py.Group):
                address = self.h5py.h5o.get_info(member.id).addr
                if address in self.seen:
                    continue
                self.seen.add(address)
            if isinstance(member, self.h5py.Group | self.h5py.Dataset):
                yield name, member

    def is_octaves(self, group: Any) -> bool:
        """Return whether a group is a variable of Octave, a type and a value."""
        return isinstance(group, self.h5py.Group) and set(group) == {"type", "value"} and "OCTAVE_NEW_FORMAT" in group.attrs

    def node(self, item: Any, path: str, rates: tuple[Rate, ...], depth: int) -> Node:
        """Describe a data set, or a struct or cell of MATLAB or Octave."""
        self.count += 1
        if self.count > MOST:
            raise RecordingError(f"{self.file} holds more than {MOST} arrays, expected fewer: save the signals in several files")
        if isinstance(item, self.h5py.Dataset):
            return self.data_set(item, path, rates, depth)
        if self.is_octaves(item):
            return self.octave(item, path, rates, depth)
        fields = {name: (member, self.is_references(member)) for name, member in self.members(item, depth)}
        if fields and all(lists for _, lists in fields.values()):  # an array of structs
            columns = {name: self.referred(member, path, rates, depth) for name, (member, _) in fields.items()}
            count = min(map(len, columns.values()))
            return Struct([{name: column[k] for name, column in columns.items()} for k in range(count)])
        return Struct([{name: self.node(member, path, rates, depth + 1) for name, (member, _) in fields.items()}])

    def is_references(self, item: Any) -> bool:
        """Return whether a data set lists other data sets, as a field of an array of structs does."""
        if not isinstance(item, self.h5py.Dataset) or _class(item):
            return False
        return self.h5py.check_ref_dtype(item.dtype) is self.h5py.Reference

    def referred(self, item: Any, path: str, rates: tuple[Rate, ...], depth: int) -> list[Node]:
        """Describe what the references of a data set lead to."""
        if depth > DEEPEST or item.size > MOST:
            raise RecordingError(f"{self.file}: {path} lists {item.size} arrays, expected at most {MOST}")
        check_stored(item, f"{self.file}: {path}")
        return [self.node(item.file[reference], path, rates, depth + 1) for reference in item[()].ravel() if reference]

    def data_set(self, item: Any, path: str, rates: tuple[Rate, ...], depth: int) -> Node:
        """Describe a data set. One of MATLAB has its shape the other way round."""
        matlab, shape, kind = _class(item), item.shape, item.dtype
        if shape is None or "MATLAB_empty" in item.attrs:  # then it holds its shape
            return Held("double", (0, 0), numeric=True)
        if self.h5py.check_ref_dtype(kind) is self.h5py.Reference:
            return Cell(self.referred(item, path, rates, depth)) if matlab == b"cell" else Held("references")
        if matlab == b"char" or kind.kind == "S" or self.h5py.check_string_dtype(kind):
            return Held("char", text=_text(item) if item.size <= 1000 else "")
        where = f"{self.file}: {path}"
        check = functools.partial(check_stored, item, where)
        if matlab and matlab not in NUMBERS:
            word = matlab.decode("latin-1")
            return Held(word, shape[::-1], holds=word not in NO_SIGNALS)
        hints = (*_hints(item, path), *rates)
        if kind.names and len(shape) == 1 and kind.kind == "V":  # a table of named columns
            columns = {}
            for name in kind.names:
                part = functools.partial(part_of, self.file, item.name, field=name)
                columns[name] = Held(str(kind[name]), shape, part, numeric=is_numeric(kind[name]), hints=hints, check=check)
            return Struct([columns])
        if self.h5py.check_vlen_dtype(kind):
            return Held(f"list of {self.h5py.check_vlen_dtype(kind)}", shape, holds=True)
        if not is_numeric(kind):
            return Held(str(kind), shape, holds=kind.kind in "cOV" and item.size > 1)
        stated = next((_word(item.attrs[key]) for key in item.attrs if key.lower() in ("unit", "units")), "")
        words = stated.split()  # perhaps "seconds since 2024-02-03"
        unit = SECONDS.get(words[0]) if words and time_unit(path) is not None else None
        turned = bool(matlab)
        part = functools.partial(part_of, self.file, item.name, turned=turned)
        return Held(
            str(kind),
            shape[::-1] if turned else shape,
            part,
            numeric=True,
            hints=hints,
            check=check,
            unit=unit,
            stated=stated,
            fresh=True,
        )

    def octave(self, group: Any, path: str, rates: tuple[Rate, ...], depth: int) -> Node:
        """Describe a variable of Octave."""
        kind, value = _text(group["type"]), group["value"]
        if isinstance(value, self.h5py.Group):
            members = {name: self.node(member, path, rates, depth + 1) for name, member in self.members(value, depth)}
            return Cell([members[name] for name in sorted(members, key=_number)]) if kind == "cell" else Struct([members])
        if "OCTAVE_EMPTY_MATRIX" in group.attrs or "OCTAVE_EMPTY_MATRIX" in value.attrs:  # then it holds its shape
            return Held(kind, (0, 0), numeric=True)
        if "string" in kind:
            return Held("char", text=_text(value))
        if "range" in kind and value.dtype.names:
            base, limit, step = (float(value[()][name]) for name in value.dtype.names[:3])
            return span(base, limit, step)
        if "bool" in kind or not is_numeric(value.dtype) or value.shape is None:
            return Held(kind, holds="complex" in kind)
        part = functools.partial(part_of, self.file, value.name, turned=True)
        check = functools.partial(check_stored, value, f"{self.file}: {path}")
        return Held(kind, value.shape[::-1], part, numeric=True, hints=rates, check=check)


def span(base: float, limit: float, step: float) -> Held:
    """Return a range of Octave, which it stores as three numbers."""
    count = math.floor((limit - base) / step * (1 + 1e-12) + 1e-9) + 1 if step and math.isfinite((limit - base) / step) else 0
    count = max(count, 0)
    return Held("range", (1, count), lambda start, stop: (base + step * np.arange(start, stop))[:, None], numeric=True)


def _hints(item: Any, path: str) -> list[Rate]:
    """Return the rates that the attributes of a data set or group mention."""
    named_so = [name for name in item.attrs if may_mention(name)]
    if not named_so:
        return []
    values = with_units({name: item.attrs[name] for name in item.attrs})
    rates = [mentioned(name, values[name], f"the attribute {name} of {path.rstrip('./')}") for name in named_so]
    return [rate for rate in rates if rate is not None]


def _class(item: Any) -> bytes:
    """Return the class that MATLAB gave a data set or group; empty where MATLAB did not write it."""
    found = item.attrs.get("MATLAB_class", b"")
    found = found.encode() if isinstance(found, str) else found
    return bytes(found) if isinstance(found, bytes) else b""


def _text(item: Any) -> str:
    """Return the text in a data set: of characters as numbers, or of a string."""
    value = np.asarray(item[()])
    if value.dtype.kind in "iu":
        return "".join(map(chr, value.ravel().tolist()))
    if value.dtype.kind == "S" and value.size > 1:
        return b"".join(value.ravel().tolist()).decode("utf-8", "replace")
    return _word(value.item() if value.size == 1 else "")


def _word(value: Any) -> str:
    """Return a text attribute, of whatever type."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _number(name: str) -> int:
    """Return the place of an element of a cell of Octave, whose name is ``_12``."""
    return int(name.strip("_")) if name.strip("_").isdigit() else 0
