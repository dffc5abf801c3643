#!/usr/bin/env bash
# An empty variable of a MATLAB 7.3 file reads as two numbers: its shape.
#
# Expected: an HDF5 dataset without elements, as h5py writes and reads an empty array. Seen with h5py 3.16.0 on a file in MATLAB's
# format by hdf5storage 0.2.2: HDF5 cannot hold MATLAB's 0 x 0, so the format stores the shape as the data, unsigned integers, and
# marks the dataset by the attribute MATLAB_empty. A channel that was not recorded looks like a signal of two samples, and one of
# 0 x 5 like the samples 0 and 5. Readers differ too: mat73 0.65 gives None, pymatreader 1.3.2 an array without elements.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet h5py==3.16.0 hdf5storage==0.2.2 mat73==0.65 pymatreader==1.3.2 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - "$folder/recording.mat" <<'PY'
import sys

import h5py
import hdf5storage
import mat73
import numpy as np
import pymatreader

file = sys.argv[1]
signals = {"drive_end": np.ones((1000, 1)), "fan_end": np.zeros((0, 0)), "base": np.zeros((0, 5))}
hdf5storage.savemat(file, signals, format="7.3", oned_as="column")
with h5py.File(file) as opened:
    for name in signals:
        data = opened[name]
        print(f"h5py, {name}: shape {data.shape}, {np.ravel(data)[:5]}, marked as empty: {'MATLAB_empty' in data.attrs}")
    assert opened["fan_end"][()].tolist() == [0, 0]
    assert opened["base"][()].tolist() == [0, 5]
    assert ["MATLAB_empty" in opened[name].attrs for name in signals] == [False, True, True]
print("mat73, fan_end:", mat73.loadmat(file)["fan_end"])
assert mat73.loadmat(file)["fan_end"] is None
print("pymatreader, fan_end: shape", pymatreader.read_mat(file)["fan_end"].shape)
assert pymatreader.read_mat(file)["fan_end"].shape == (0,)
PY
