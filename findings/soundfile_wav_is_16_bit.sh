#!/usr/bin/env bash
# soundfile writes any array as 16-bit WAV unless a subtype is named: integers of a converter lose their low 16 bits.
#
# Expected: the samples come back, or an error where the file cannot hold them.
# Seen with soundfile 0.14.0: floats beyond ±1 (m/s², g) are cut off at ±1 without a word, and an int32 array, as a 24-bit converter
# gives it, is shifted right by 16 bits, so that counts of 1000 come back as 0. int16 comes back as it was. A file with
# subtype FLOAT holds the floats, but read as int16 they are rounded to whole numbers, not scaled as floats between ±1 are.
# So: name the subtype (FLOAT or DOUBLE for physical units), and read without a dtype.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/a.wav" <<'PY'
import sys

import numpy as np
import soundfile

file = sys.argv[1]


def back(samples, dtype, **options):
    soundfile.write(file, samples, 8000, **options)
    return soundfile.read(file, dtype=dtype)[0].tolist()


physical = np.array([0.5, 2.0, -9.81])
found = {
    "floats by default": [round(value, 4) for value in back(physical, "float64")],
    "int32 by default, read as int16": back(np.array([1000, 2000, -3000], np.int32), "int16"),
    "int16 by default": back(np.array([1000, 2000, -3000], np.int16), "int16"),
    "floats as FLOAT": [round(value, 4) for value in back(physical, "float64", subtype="FLOAT")],
    "floats as FLOAT, read as int16": back(np.array([1.5, -9.81]), "int16", subtype="FLOAT"),
}
for name, values in found.items():
    print(f"{name}: {values}")
assert list(found.values()) == [
    [0.5, 1.0, -1.0], [0, 0, -1], [1000, 2000, -3000], [0.5, 2.0, -9.81], [2, -10],
]
PY
