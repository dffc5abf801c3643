"""Large files are read in parts."""

import struct
import subprocess
import sys

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import soundfile
from signal_files import RATE, npy_header, write_v7_3

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.formats.open_signal import open_signal

MEASURE = """
import sys
from pathlib import Path
import numpy, scipy.io, h5py, soundfile, pyarrow.parquet
from drsn_jax.data.formats.open_signal import open_signal
# not ru_maxrss, which begins with the memory of the process that started this one
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before = peak()
signal = open_signal(Path(sys.argv[1]), sys.argv[2])
assert signal.length >= 100_000_000, signal.length
for start in (0, signal.length // 2, signal.length - 2048):
    assert signal.read(start, start + 2048).shape == (2048, 1)
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["npy", "wav", "v7.3", "wav of two channels"])
def test_a_large_file_is_read_in_parts_without_its_whole(tmp_path, kind):
    size = 100_000_000  # samples of 4 bytes, none of them on the disk
    channels = 2 if "two" in kind else 1
    file = tmp_path / f"a.{'mat' if kind == 'v7.3' else kind[:3]}"
    if kind == "npy":
        file.write_bytes(npy_header((size,), "<f4"))
    elif kind == "v7.3":
        write_v7_3(file)
        with h5py.File(file, "a") as opened:
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            h5py.h5d.create(opened.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((1, size)), layout)
    else:
        soundfile.write(file, np.zeros((0, channels)), RATE, subtype="FLOAT")
        content = bytearray(file.read_bytes())
        place = content.index(b"data") + 4
        content[place : place + 4] = struct.pack("<I", 4 * size * channels)
        file.write_bytes(content[: place + 4])
    with open(file, "r+b") as opened:
        opened.truncate(max(file.stat().st_size, 0) + (0 if kind == "v7.3" else 4 * size * channels))
    asked = [sys.executable, "-P", "-c", MEASURE, str(file), "1" if "wav" in kind else ""]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 50


@pytest.mark.parametrize("kind", ["npz", "mat", "parquet"])
def test_what_is_read_whole_must_fit_into_memory(tmp_path, monkeypatch, kind):
    """It is refused before it is unpacked; the files that ``open_signal`` maps are not."""
    file, values = tmp_path / f"a.{kind}", np.tile(np.float64(np.arange(1000) % 37) / 64 - 0.25, 1000)
    if kind == "npz":
        np.savez_compressed(file, x=values)
    elif kind == "mat":
        scipy.io.savemat(file, {"x": values}, do_compression=True)
    else:
        pq.write_table(pa.table({"x": values}), file)
    np.testing.assert_array_equal(open_signal(file, "x").read(0, 4)[:, 0], values[:4])
    monkeypatch.setattr("drsn_jax.core.memory.available", lambda: 20_000_000)
    with pytest.raises(RecordingError, match=r"has 0\.01 GB, which is read whole .* and 0\.02 GB are free: cut it") as caught:
        open_signal(file, "x").read(0, 4)
    assert "\n" not in str(caught.value)
    np.save(tmp_path / "a.npy", values)
    assert open_signal(tmp_path / "a.npy", "").length == len(values)
