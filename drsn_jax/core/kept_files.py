"""Small files in the user's cache folder that spare the next process work: what they hold, and for what it holds.

A file is found by its name, a digest of everything that its content depends on: the facts that are given, the source of this
package, the versions of the packages that it is computed by, and JAX's configuration. Whatever changes, another file is looked
for, and the old ones go when there are too many bytes of them. Nothing is read or written before ``keep_in`` names a folder,
which ``runtime.prepare`` does for scripts; and nothing that somebody else could have written there is read.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
import numpy as np

from drsn_jax.core.files import read_regular, write_atomically

FORMAT = 1  # of the files
SUFFIX = ".kept"
LARGEST = 2**24  # bytes of one file
LIMIT = 2**26  # bytes of all files
KNOWN = ("drsn_jax", "jax", "flax", "numpy", "builtins")  # packages whose source or version is in every key

_folder: Path | None = None
# a file of ours, and what is left of one where its process was killed in the middle of writing
_OURS = re.compile(rf"[0-9a-f]{{64}}\{SUFFIX}|\.[0-9a-f]{{64}}\{SUFFIX}\.[a-z0-9_]{{8}}")


class Unknown(ValueError):
    """A value of which no key can tell what it computes, such as a function of the user's own."""


def keep_in(folder: Path | None) -> None:
    """Keep files in this folder from now on, which is made when it is needed; with None in none."""
    global _folder
    _folder = folder
    if folder is not None:
        _source()  # that which was imported: in an hour it may be another one


def keeps() -> bool:
    """Return whether files are kept at all."""
    return _folder is not None


def key(*facts: object) -> str:
    """Return the name under which what depends on these facts is kept, for this version of everything.

    Raises Unknown for facts whose words do not say all about them, see ``told``.
    """
    return hashlib.sha256("\n".join([told(facts), _surroundings()]).encode()).hexdigest()


def told(value: Any) -> str:
    """Return words for a value that are the same in every process, and others for every other value.

    Classes and functions are named, which tells all of them where this package, JAX or Flax has them under that name. Raises
    Unknown for others: what a user has written may be another function of the same name tomorrow, and what wraps a function
    (``functools.wraps``, ``jax.grad``, ``nn.map_variables``) or belongs to an object calls itself the same and computes another.
    """
    if value is None or isinstance(value, bool | int | float | str | bytes | np.dtype):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(told, value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{told(name)}: {told(each)}' for name, each in value.items()))}}}"
    if isinstance(value, functools.partial):
        return f"partial{told((value.func, value.args, value.keywords))}"
    described = dataclasses.is_dataclass(value) and not isinstance(value, type)
    named: Any = type(value) if described else value
    module, name = getattr(named, "__module__", None) or "", getattr(named, "__qualname__", "<nothing>")
    if module.partition(".")[0] not in KNOWN or _named(module, name) is not named:
        raise Unknown(f"nothing tells what {value!r} computes")
    if not described:
        return f"{module}.{name}"
    return f"{module}.{name}{told({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})}"


def read(name: str) -> bytes | None:
    """Return what is kept under a key, or None where it is not there, damaged, or in a folder that others can write to."""
    if _folder is None or not _own(_folder):
        return None
    file = _folder / (name + SUFFIX)
    try:
        content = read_regular(file, LARGEST)
    except OSError:
        return None
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with contextlib.suppress(OSError):  # a read-only disk
        os.utime(file)  # the file that was not used for longest goes first
    return content


def write(name: str, content: bytes) -> None:
    """Keep ``content`` under a key, as far as there is a folder that can be written to; other processes may do the same."""
    if _folder is None or len(content) + 32 > LARGEST or _read_source() != _source():
        return  # what was imported before the source was edited is not kept under the digest of either
    with contextlib.suppress(OSError):  # a full or read-only disk takes nothing, and costs nothing but time
        _folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _own(_folder):
            write_atomically(_folder / (name + SUFFIX), hashlib.sha256(content).digest() + content)
            _make_room(_folder)


def remembered(make: Callable[[], str], *facts: object) -> str:
    """Return a text that ``make`` returns for these facts, from its file if there is one."""
    if not keeps():
        return make()
    try:
        name = key("text", *facts)
    except Unknown:
        return make()
    if (content := read(name)) is not None:
        return content.decode()
    text = make()
    write(name, text.encode())
    return text


def _own(folder: Path) -> bool:
    """Return whether nobody else can write into a folder, as far as the system tells."""
    try:
        found = folder.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _named(module: str, name: str) -> Any:
    """Return what a module that is imported has under a name, which may have points; None where there is nothing."""
    return functools.reduce(lambda owner, part: getattr(owner, part, None), name.split("."), sys.modules.get(module))


def _make_room(folder: Path) -> None:
    """Delete the files that were not used for longest, until the others have ``LIMIT`` bytes. Files of others, of which there may
    be some in a folder that the user has named, are left alone."""
    found = []
    for file in filter(lambda file: _OURS.fullmatch(file.name), folder.iterdir()):
        with contextlib.suppress(OSError):  # another process makes room too
            status = file.stat()
            found.append((status.st_mtime_ns, status.st_size, file))
    left = LIMIT
    for _, size, file in sorted(found, reverse=True):
        left -= size
        if left < 0:
            with contextlib.suppress(OSError):
                file.unlink()


def _surroundings() -> str:
    """Return what decides what a function computes, beside its arguments: the source of the package, versions, configuration."""
    if not _source():
        raise Unknown("there is no source of this package to read")
    versions = [module.__version__ for module in (jax, jaxlib, flax, np)]
    # read as attributes, which tells what a ``with`` block has changed; where files are kept changes nothing in them
    names = sorted(name for name in jax.config.values if "cache" not in name)
    configuration = {name: getattr(jax.config, name, jax.config.values[name]) for name in names}
    return f"{FORMAT} {_source()} {versions} {configuration}"


@functools.cache
def _source() -> str:
    """Return a digest of the source of this package, so that a checkout that was edited finds nothing of before."""
    return _read_source()


def _read_source() -> str:
    """Return the digest of the source as it is now; empty where there is none to read, as in a frozen application."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    # without the locks of editors, links that lead nowhere
    files = [file for file in sorted(package.rglob("*.py")) if not file.name.startswith(".")]
    try:
        for file in files:
            digest.update(f"{file.relative_to(package)}\n".encode())
            digest.update(file.read_bytes())
    except OSError:
        return ""
    return digest.hexdigest() if files else ""
