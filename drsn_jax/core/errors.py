"""Errors that a user can mend, and the import of optional packages.

The command line prints a ``UserError`` as one sentence. Every other exception of the program is taken for a fault of the
program itself and keeps its traceback.
"""

import importlib
from typing import Any

from drsn_jax.core.text import visible


class UserError(ValueError):
    """The base of all errors that are mended outside the program: in a file, an option, an array or the start of a job.

    The message says what was found, what was expected and what to do. It is a ValueError, so that callers of the library may
    catch it as one. It is one line, in which control characters of names are shown instead of obeyed (``text.visible``).
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(visible(value) if isinstance(value, str) else value for value in arguments))


class FileWarning(RuntimeWarning):
    """A file is passed over, or used although something about it had to be assumed; the command line prints it as one line."""


class MissingExtra(UserError, ImportError):
    """A package that only some functions need is not installed; the message names the extra that brings it."""


# import name of each optional package: its name in a package index, and the extra of drsn-jax that brings it
EXTRAS = {
    "scipy": ("scipy", "experiments"),
    "h5py": ("h5py", "experiments"),
    "soundfile": ("soundfile", "experiments"),
    "nptdms": ("npTDMS", "experiments"),
    "pyuff": ("pyuff", "experiments"),
    "asammdf": ("asammdf", "formats"),
    "sklearn": ("scikit-learn", "experiments"),
    "PIL": ("pillow", "experiments"),
    "matplotlib": ("matplotlib", "experiments"),
    "tyro": ("tyro", "experiments"),
    "rich": ("rich", "experiments"),
    "pyarrow": ("pyarrow", "parquet"),
    "bearing_datasets": ("bearing-datasets", "datasets"),
    "torch": ("torch", "bench"),
    "espeakng_loader": ("espeakng-loader", "speech"),
}


def missing_extra(error: ImportError, purpose: str = "this") -> MissingExtra | None:
    """Return the error for a user, where ``error`` says that an optional package is not installed; None elsewhere.

    ``purpose`` is the subject of the sentence: "reading this kind of file" needs scipy.
    """
    name = (error.name or "").partition(".")[0]
    # a package that is installed and broken raises an ImportError of another kind, which its traceback explains
    if not isinstance(error, ModuleNotFoundError) or error.name != name or name not in EXTRAS:
        return None
    return _missing(name, purpose)


def optional(name: str, purpose: str) -> Any:
    """Import the module ``name`` of an optional package and return it.

    Raises MissingExtra where the package is not installed, or where a library that it loads is not. The message names the
    extra: "reading this kind of file needs h5py: pip install 'drsn-jax[experiments]'".
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise _missing(name.partition(".")[0], purpose) from error


def _missing(name: str, purpose: str) -> MissingExtra:
    package, extra = EXTRAS[name]
    return MissingExtra(f"{purpose} needs {package}: pip install 'drsn-jax[{extra}]'")
