"""MATLAB files: version 4 and 5 to 7 by parsers of our own, version 7.3 (HDF5) by h5py, in parts."""

from pathlib import Path

from drsn_jax.data.formats import hdf5, matlab4, matlab5, octave
from drsn_jax.data.formats.arrays import signal_of
from drsn_jax.data.formats.common import Signal, damage


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
                return signal_of(matlab4.arrays(file), channel, str(file))
            raise ValueError("its header is not that of version 4 to 7.3")
