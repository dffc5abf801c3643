#!/usr/bin/env bash
# scipy.io.wavfile gives the samples of a 24-bit WAV times 256, and those of an 8-bit one with an offset of 128.
#
# Expected: the counts that the converter gave, -2**23 to 2**23 - 1, and -128 to 127.
# Seen with scipy 1.17.1: 24-bit samples come as int32 shifted left by 8 bits, so that half of full scale is 2**30, not 2**22: a
# sensitivity in counts per unit is off by 256. 8-bit samples come as uint8 around 128, so that silence is 128 and the power of a
# window is mostly that of the offset.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/a.wav" <<'PY'
import sys

import numpy as np
import soundfile
from scipy.io import wavfile

found = {}
for subtype in ("PCM_24", "PCM_U8"):
    soundfile.write(sys.argv[1], np.array([0.5, 0.0, -0.5]), 8000, subtype=subtype)
    samples = wavfile.read(sys.argv[1])[1]
    found[subtype] = (str(samples.dtype), samples.tolist())
print(found)
assert found["PCM_24"] == ("int32", [2**30, 0, -(2**30)])
assert found["PCM_U8"] == ("uint8", [192, 128, 64])
PY
