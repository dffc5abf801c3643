#!/usr/bin/env bash
# PyWavelets turns zeros into NaN where the threshold is zero: wavelet denoising loses a clip that is padded with zeros.
#
# Expected: soft(0, 0) = 0, as by the formula sign(x)·max(|x| - τ, 0); a threshold of zero changes nothing.
# Seen with PyWavelets 1.9.0: pywt.threshold(0.0, 0.0, "soft") and "garrote" are NaN, with NumPy's RuntimeWarning about an invalid
# division ("hard" gives 0). It matters where the threshold is estimated: the median of the finest details is exactly zero as soon as
# more than half of them are, as in a clip of speech that is padded to a common length, and then the usual recipe (median / 0.6745
# as the noise, soft thresholding) returns NaN for nearly the whole clip. A negative threshold is no error either: it makes every
# value larger.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet PyWavelets==1.9.0 numpy==2.4.6
cat >"$folder/show.py" <<'PY'
import warnings

import numpy as np
import pywt

warnings.simplefilter("ignore", RuntimeWarning)
print([float(pywt.threshold(np.zeros(1), 0.0, rule)[0]) for rule in ("soft", "garrote", "hard")])
print(pywt.threshold(np.array([2.0, -1.0]), -1.0, "soft").tolist())
clip = np.zeros(8000)
clip[:3000] = np.sin(np.arange(3000) / 9) + 0.1 * np.random.default_rng(0).normal(size=3000)
coarse, *details = pywt.wavedec(clip, "db4", level=4)
threshold = np.median(np.abs(details[-1])) / 0.6745 * np.sqrt(2 * np.log(clip.size))
denoised = pywt.waverec([coarse, *(pywt.threshold(detail, threshold, "soft") for detail in details)], "db4")
print(threshold == 0, round(float(np.isnan(denoised).mean()), 1))
PY
found=$("$folder/venv/bin/python" "$folder/show.py")
echo "$found"
[ "$found" = "[nan, nan, 0.0]
[3.0, -2.0]
True 0.6" ]
