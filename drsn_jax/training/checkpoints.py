"""Training states on disk: written as a whole or not at all, checked when they are read, the last two kept.

A checkpoint is one safetensors file, a format that any program can read and that executes nothing. It holds an array for every
leaf, named by the path of the leaf. Its header holds facts about the training as JSON and a SHA-256 of arrays and facts.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from drsn_jax.core.arrays import named_leaves
from drsn_jax.core.distributed import broadcast_from_main, is_main_process
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import write_atomically

FORMAT = "drsn_jax checkpoint 1"
Tree = TypeVar("Tree")


class CheckpointError(UserError):
    """A checkpoint that cannot be used: damaged, or of another training."""


class Checkpoints:
    """The checkpoints of one training in a folder of their own.

    Args:
      folder: for one training at a time; it is made by ``restore`` or with the first checkpoint.
      seconds: how many seconds of work may be lost; ``due`` says when that time has passed since the last checkpoint.
      keep: how many checkpoints are kept, the newest ones.

    In a job of several processes all of them call ``restore``; only process 0 writes and needs the folder.

    Raises ValueError for a ``keep`` below 1 and for ``seconds`` that are NaN or negative, and CheckpointError for a file.
    """

    def __init__(self, folder: str | os.PathLike[str], *, seconds: float = 30.0, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"at least one checkpoint is kept, got keep={keep}")
        if not seconds >= 0:
            raise ValueError(f"a checkpoint is due after 0 seconds or more, got seconds={seconds}")
        if Path(folder).is_file():
            raise CheckpointError(f"{folder} is a file: give the folder for the checkpoints")
        self.folder, self.seconds, self.keep = Path(folder), seconds, keep
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether this process writes checkpoints and ``seconds`` have passed since the last one."""
        return is_main_process() and time.monotonic() - self._saved_at >= self.seconds

    def save(self, step: int, tree: Any, facts: Mapping[str, Any]) -> None:
        """Write the checkpoint of ``step``: a tree of arrays, and facts that JSON can hold.

        Raises OSError if the disk is full or the folder cannot be written. The message says what to do; earlier checkpoints stay.
        """
        self._saved_at = time.monotonic()
        if not is_main_process():
            return
        path = self.folder / f"step-{step:010d}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, encode(tree, facts))
            # a checkpoint of a later step is damaged, or the training would have gone on from it; so it goes too
            files = [file for file in self._files() if file.name <= path.name]
            for file in set(self._files()) - set(files[: self.keep]):
                file.unlink(missing_ok=True)
        except OSError as error:
            kept = ", ".join(file.name for file in self._files()) or "none yet"
            advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "correct that"
            raise OSError(
                error.errno,
                f"the checkpoint of step {step} could not be written ({error.strerror}); the ones before it are whole ({kept}): "
                f"{advice}, and the same command goes on from there",
                str(path),
            ) from error

    def restore(self, like: Tree, about: Mapping[str, Any] | None = None) -> tuple[Tree, dict[str, Any]] | None:
        """Return the newest undamaged checkpoint as ``(tree, facts)``, or None if there is no checkpoint.

        The tree has the structure of ``like``, and its arrays are placed as those of ``like``. ``about`` must equal what was
        saved as ``facts["about"]``; None accepts anything. A damaged checkpoint is passed over with a warning.

        Raises CheckpointError if all checkpoints are damaged, if the newest one belongs to another training, or if its arrays
        have other names, shapes or types than those of ``like`` (the message says what differs); OSError if the folder cannot be
        made.
        """
        content = broadcast_from_main(self._newest)
        if not content:
            return None
        if about is not None:
            self._refuse_difference(_read(content)[1].get("about", {}), json.loads(json.dumps(about)))
        return decode(content, like)

    def remove(self) -> None:
        """Delete the checkpoints of a training that is done, and the folder if nothing else is in it."""
        if not is_main_process():
            return
        self._sweep()
        for file in self._files():
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def newest(self) -> str:
        """Return the path of the newest checkpoint as text, or ``"none"``."""
        return next((str(file) for file in self._files()), "none")

    def _files(self) -> list[Path]:
        """Return the files of the checkpoints, the newest first."""
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        named = (file for file in entries if re.fullmatch(r"step-\d{10}\.safetensors", file.name))
        return sorted((file for file in named if file.is_file()), reverse=True)

    def _sweep(self) -> None:
        """Remove the temporary files of a process that was killed while it wrote."""
        for file in self.folder.glob(".step-*"):
            file.unlink(missing_ok=True)

    def _refuse_difference(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        different = [
            f"{name}: {found.get(name)} there, {wanted.get(name)} here"
            for name in sorted({*found, *wanted})
            # as JSON, because NaN is not equal to itself
            if json.dumps(found.get(name), sort_keys=True) != json.dumps(wanted.get(name), sort_keys=True)
        ]
        if different:
            raise CheckpointError(
                f"{self.folder} holds the checkpoint of another training ({'; '.join(different)}): choose another folder"
            )

    def _newest(self) -> bytes:
        # a folder that cannot be made shows now, and not only when work would be lost
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        damaged = []
        for file in self._files():
            content = file.read_bytes()
            try:
                _read(content)
            except CheckpointError as error:
                damaged.append(file.name)
                warnings.warn(f"{file} is passed over: {error}", RuntimeWarning, stacklevel=3)
            else:
                return content
        if damaged:
            raise CheckpointError(
                f"all checkpoints in {self.folder} are damaged ({', '.join(damaged)}): remove the folder to begin anew"
            )
        return b""


def encode(tree: Any, facts: Mapping[str, Any]) -> bytes:
    """Return the content of a file that holds a tree of arrays and facts; random keys are stored as the integers they consist of.

    Raises ValueError if two leaves have the same name.
    """
    named = named_leaves(tree)
    arrays = {name: _to_host(leaf) for name, leaf in named}
    if len(arrays) < len(named):
        raise ValueError("two arrays of the tree have the same name: avoid / in the names of parameters")
    text = json.dumps(facts)
    header = {"format": FORMAT, "facts": text, "sha256": _digest(arrays, text)}
    return safetensors.numpy.save(arrays, header)


def decode(content: bytes, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Invert ``encode``: return a tree with the structure of ``like``, its arrays placed as those of ``like``, and the facts.

    Raises CheckpointError as ``Checkpoints.restore``.
    """
    arrays, facts = _read(content)
    wanted = dict(named_leaves(like))
    described = {name: _describe(_to_host(leaf)) for name, leaf in wanted.items()}
    found = {name: _describe(array) for name, array in arrays.items()}
    different = [
        f"{name}: {found.get(name, 'nothing')} there, {described.get(name, 'nothing')} here"
        for name in sorted({*found, *described})
        if found.get(name) != described.get(name)
    ]
    if different:
        more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise CheckpointError(f"the checkpoint is of another network or optimiser ({'; '.join(different[:3])}{more})")
    leaves = [place_like(arrays[name], leaf) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), facts


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_host(leaf: Any) -> np.ndarray:
    array = np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")
    # numpy itself does not know the small floats of accelerators (bfloat16), so their bits are stored as integers
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def place_like(array: np.ndarray, like: Any) -> Any:
    """Return the numbers of ``array`` as an array of the type of ``like``, placed where ``like`` is.

    Raises CheckpointError if JAX, as it is set up, has no arrays of that type (64 bits).
    """
    if not isinstance(like, jax.Array):
        return array.view(np.asarray(like).dtype)
    if _is_key(like):
        value = jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    else:
        # a copy, because a step that takes it over by donation must not write into memory that others see; by NumPy, because
        # JAX would compile a program for the copy of each shape
        value = jax.device_put(array.view(like.dtype).copy())
    if value.dtype != like.dtype:
        raise CheckpointError(f"an array of type {like.dtype} came back as {value.dtype}: enable 64 bits as in the training")
    # an array whose device JAX chose keeps that freedom: placed by name, it would make a compiled step compile again
    return jax.device_put(value, like.sharding) if like.committed else value


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        total.update(f"{name} {_describe(arrays[name])}".encode())
        total.update(arrays[name].tobytes())
    return total.hexdigest()


def _read(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        arrays = safetensors.numpy.load(content)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
        if header.get("format") != FORMAT:
            raise CheckpointError(f"it is no checkpoint of this format ({header.get('format')!r}, expected {FORMAT!r})")
        if header["sha256"] != _digest(arrays, header["facts"]):
            raise CheckpointError("it is damaged (its checksum is not that of its content)")
        return arrays, json.loads(header["facts"])
    except CheckpointError:
        raise
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"it is damaged ({error})") from error
