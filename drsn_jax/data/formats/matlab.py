"""MATLAB files: version 4 and 5 to 7 by parsers of our own, version 7.3 (HDF5) by h5py, in parts."""

import re
from pathlib import Path

from drsn_jax.data.formats import hdf5, matlab4, matlab5, modelica, octave
from drsn_jax.data.formats.arrays import signal_of
from drsn_jax.data.formats.common import RecordingError, Signal, damage

TEXT = re.compile(rb"[\s\d.eE+-]{8,}")  # numbers alone


def read_mat(file: Path, channel: str) -> Signal:
    """Open the variables that ``channel`` means. Raises RecordingError for a damaged file or a variable that is no signal."""
    with open(file, "rb") as opened:
        start = opened.read(520)
        # HDF5 may begin behind a block of MATLAB's own
        if hdf5.MARK in start:
            return hdf5.read_hdf5(file, channel)
        if octave.is_text(start):
            return octave.read_octave(file, channel)
        with damage(file, "MATLAB"):
            order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(start[124:128])
            if order is not None:
                return signal_of(matlab5.arrays(file, opened, order), channel, str(file))
            if matlab4.order_of(start):
                held = matlab4.arrays(file)
                return signal_of(modelica.variables(held) if modelica.is_result(held) else held, channel, str(file))
            if start.startswith(b"Octave-1-"):
                raise RecordingError(f"{file} is in Octave's own binary format, which is not read: save it by save -v7 in Octave")
            if TEXT.fullmatch(start):
                raise RecordingError(f"{file} is text, as save -ascii writes it, and no MATLAB file: name it .txt")
            raise ValueError("its header is not that of version 4 to 7.3")
