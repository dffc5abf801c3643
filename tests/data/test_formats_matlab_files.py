"""Files that MATLAB itself wrote, versions 4 to 7.4, which come with SciPy: every array is what SciPy reads."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from signal_files import refused, whole

from drsn_jax.data.formats import matlab4, matlab5
from drsn_jax.data.formats.arrays import Held
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal

FOLDER = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
FILES = [
    file
    for name in (
        "double",
        "matrix",
        "minus",
        "multi",
        "vec",
        "3dmatrix",
        "cell",
        "cellnest",
        "emptycell",
        "struct*",
        "object",
        "scalarcell",
    )
    for file in sorted(FOLDER.glob(f"test{name}_*.mat"))
]
ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}

pytestmark = pytest.mark.skipif(not FILES, reason="this SciPy comes without the files of its tests")


def leaves(path, value):
    """The arrays of numbers within what SciPy read, by their paths."""
    if value.dtype.names:
        elements = value.ravel(order="F")
        for k, element in enumerate(elements, 1):
            for field in value.dtype.names:
                yield from leaves(f"{path}{f'({k})' if len(elements) > 1 else ''}.{field}", element[field])
    elif value.dtype == object:
        for k, element in enumerate(value.ravel(order="F"), 1):
            yield from leaves(f"{path}{{{k}}}", element)
    elif value.dtype.kind in "iuf":
        yield path, value


def held_in(file) -> list[Held]:
    with open(file, "rb") as opened:
        order = ORDERS.get(opened.read(128)[124:])
        return matlab5.arrays(file, opened, order) if order else matlab4.arrays(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_array_is_what_scipy_reads(file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = scipy.io.loadmat(file)
    truth = {path: array for name, value in content.items() if not name.startswith("__") for path, array in leaves(name, value)}
    found = {array.alias or array.name: array for array in held_in(file) if array.numeric}
    assert found.keys() == truth.keys()
    for path, array in truth.items():
        assert found[path].shape == array.shape
        if array.size:
            rows = (-1, 1) if found[path].is_row else (array.shape[0], -1)
            np.testing.assert_array_equal(found[path].part(0, found[path].length), array.reshape(rows, order="F"))


def test_files_with_other_names_and_faults():
    assert whole(FOLDER / "miuint32_for_miint32.mat", "an_array").size
    assert [array.name for array in held_in(FOLDER / "bad_miutf8_array_name.mat")] == ["äray_name"]
    for name in ("corrupted_zlib_checksum", "corrupted_zlib_data", "malformed1", "debigged_m4", "bad_miuint32"):
        with pytest.raises(RecordingError, match="damaged"):
            open_signal(FOLDER / f"{name}.mat", "*")
    refused(FOLDER / "testhdf5_7.4_GLNX86.mat")
