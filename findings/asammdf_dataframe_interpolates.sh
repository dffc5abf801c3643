#!/usr/bin/env bash
# asammdf's to_dataframe() fills a channel with samples that were never measured.
#
# Expected: channels of two rates give a table with gaps (NaN) where the slower one has no sample, as pandas joins unequal indices.
# Seen with asammdf 8.8.28: all channels are resampled to the union of their time stamps, those of floating point numbers by straight
# lines between their samples. So a vibration of 1 kHz beside one of 10 kHz has ten times
# its samples, nine of ten of them invented, and its spectrum is that of the lines. ``get`` gives a channel with its own times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet asammdf==8.8.28 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from asammdf import MDF, Signal

slow, fast = np.arange(3) / 100, np.arange(21) / 1000
file = MDF()
file.append([Signal(samples=np.array([0.0, 10.0, 20.0]), timestamps=slow, name="slow")])
file.append([Signal(samples=np.zeros(21), timestamps=fast, name="fast")])
table = file.to_dataframe()
print("samples by get:", len(file.get("slow").samples), "  by to_dataframe:", table["slow"].notna().sum())
print("the first four by to_dataframe:", table["slow"].to_numpy()[:4].round(3).tolist())
assert len(file.get("slow").samples) == 3
assert table["slow"].notna().sum() == 21
assert np.allclose(table["slow"].to_numpy()[:4], [0, 1, 2, 3])
PY
