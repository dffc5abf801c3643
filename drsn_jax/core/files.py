"""Files that are written as a whole or not at all, files that are read up to a limit, and lock files."""

import contextlib
import errno
import io
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drsn_jax.core.errors import UserError

# what ``write_atomically`` leaves of a file of ours where its process is killed: .results.csv.k3x9_a2b
_TEMPORARY = re.compile(r"\..+\.(csv|html|json|jsonl|npy|npz|png|safetensors)\.[a-z0-9_]{8}")

# what shares and foreign file systems (SMB, FUSE, exFAT) answer to what they cannot do: change a mode, synchronise a folder
UNSUPPORTED = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)

PATIENCE = 10.0  # seconds to wait for the lock on a folder, before it is taken for one that a lost process left on a share


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8) so that ``path`` holds the old content or the new one at any time, never a part.

    An OSError, as of a full disk, names ``path``.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with naming(path):
        _write(path, data)


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, Any], *, compressed: bool = False) -> None:
    """Write named arrays as an ``.npz`` file, by ``write_atomically``; numpy itself writes in place."""
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
    write_atomically(path, content.getvalue())


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file by name; raise UserError for a file that is damaged."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return dict(arrays.items())
    # a damaged archive shows itself by whatever its reader stumbles over
    except Exception as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())[:100]}): take it away") from error


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file ``path`` in an OSError that is raised inside; a write to a full disk says nothing of its file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what ``write_atomically`` left in a folder when its process was killed; only while nobody else writes there."""
    if Path(folder).is_dir():
        for file in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(file.name):
                file.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read
        with _where_supported():
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises OSError for a file that is missing, and for all that is no regular file, such as a device or a pipe, which may have no
    end. Raises OSError too for a larger file, and for a file whose size changes while it is read.
    """
    # opening a pipe would wait for somebody who writes into it
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no regular file", str(path))
        if found.st_size > limit:
            raise OSError(0, f"it has {found.st_size} bytes, more than the {limit} that such a file may have here", str(path))
        content = file.read(found.st_size + 1)
    if len(content) != found.st_size:
        raise OSError(0, "its size changes while it is read", str(path))
    return content


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a lock on a folder, for which other processes that want it too wait, at most ``PATIENCE`` seconds.

    The lock needs no file in the folder, and ends with the process. Nothing is locked where the system has no such locks.
    """
    if not hasattr(os, "O_DIRECTORY"):
        yield
        return
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        _lock(handle, PATIENCE)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive(path: str | os.PathLike[str], seconds: float = 0.0) -> Iterator[bool]:
    """Hold the lock file ``path``, which only one process can hold at a time, and yield whether it was free.

    A lock that is held is waited for, ``seconds`` at most. Yields True if the operating system or the file system has no such
    locks. The system releases the lock when the process ends, however it ends.
    """
    try:
        import fcntl  # noqa: F401
    except ImportError:  # nor is a file made where no process would look at it
        yield True
        return
    with open(path, "a") as file:
        yield _lock(file.fileno(), seconds)


def _lock(handle: int, seconds: float) -> bool:
    """Lock an open file or folder, waiting for it ``seconds`` at most; return False where another process holds it still.

    A file system without locks, such as that of some networks, is taken for free.
    """
    import fcntl

    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        except OSError:
            return True
        else:
            return True


@contextlib.contextmanager
def _where_supported() -> Iterator[None]:
    """Pass over the error of a file system that cannot do what is asked in the block. A failing or full disk is told."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Write the renaming itself to disk, where the system lets a folder be opened and the file system can do it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with _where_supported():
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
