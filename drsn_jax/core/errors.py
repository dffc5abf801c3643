"""Errors that a user can mend, and the import of optional packages.

The command line prints a ``UserError`` as one sentence. Every other exception of the program is taken for a fault of the
program itself and keeps its traceback.
"""

import contextlib
import importlib
import re
from collections.abc import Iterator
from typing import Any

from drsn_jax.core.text import visible


class UserError(ValueError):
    """The base of all errors that are mended outside the program: in a file, an option, an array or the start of a job.

    The message says what was found, what was expected and what to do. It is a ValueError, so that callers of the library may
    catch it as one. It is one line, in which control characters of names are shown instead of obeyed (``text.visible``).

    The code names the option of the command line, ``--channel NAME``, because most users meet the message there. Who calls the
    library reads the argument instead, ``channel=NAME``.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(_worded(visible(value)) if isinstance(value, str) else value for value in arguments))


# options of the scripts that public functions have as arguments: what follows is their value, if it is a number or in capitals
_SAME = ("channel", "sampling-rate", "window-length", "folds", "validation", "join-seconds", "validation-by", "split", "labels")
ARGUMENTS = {
    **{name: name.replace("-", "_") for name in (*_SAME, "resample")},
    "windows-given": "windows=True",
    "overrule-rate": "overrule_rate=True",
    "download": "download=True",
    "speed-rpm": "speed",
    "speed-range-rpm": "speed=(lowest, highest)",
    "samples-per-revolution": "samples_per_revolution",
}
_ANY_VALUE = ("validation-by", "split", "labels")  # what follows them is always their value
_OPTION = re.compile(rf"(?<![\w-])--({'|'.join(sorted(ARGUMENTS, key=len, reverse=True))})(?![\w-])(?: ([\w.]+\+?[\w.]*))?")
_commanded = False  # whether a command of this package runs, whose user types options


@contextlib.contextmanager
def options_named() -> Iterator[None]:
    """Let messages name options of the command line inside the block."""
    global _commanded
    before, _commanded = _commanded, True
    try:
        yield
    finally:
        _commanded = before


def _worded(message: str) -> str:
    """Return a message with arguments in place of the options, unless a command runs."""
    return message if _commanded else _OPTION.sub(_argument, message)


def _argument(found: re.Match[str]) -> str:
    option, value = found[1], found[2]
    name = ARGUMENTS[option]
    if value is None:
        return name
    if option in _ANY_VALUE or value[0].isdigit() or (value.isupper() or "+" in value):
        # resampling is a function of its own
        return f"{name}(recordings, {value})" if option == "resample" else f"{name}={value}"
    return f"{name} {value}"


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
    "openvino": ("openvino", "bench"),
    "iree": ("iree-base-runtime", "bench"),  # and iree-base-compiler, which the extra brings too
    "pywt": ("PyWavelets", "benchmark"),
    "aeon": ("aeon", "benchmark"),
    "paho": ("paho-mqtt", "mqtt"),
    "espeakng_loader": ("espeakng-loader", "speech"),
    **{name: (name, "onnx") for name in ("jax2onnx", "onnx", "onnxruntime", "flatbuffers")},
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


def optional(name: str, purpose: str, extra: str | None = None) -> Any:
    """Import the module ``name`` of an optional package and return it.

    Raises MissingExtra where the package is not installed, or where a library that it loads is not. The message names the
    extra, by default the one of ``EXTRAS``: "reading this kind of file needs h5py: pip install 'drsn-jax[experiments]'".
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise _missing(name.partition(".")[0], purpose, extra) from error


def _missing(name: str, purpose: str, extra: str | None = None) -> MissingExtra:
    package, usual = EXTRAS[name]
    return MissingExtra(f"{purpose} needs {package}: pip install 'drsn-jax[{extra or usual}]'")
