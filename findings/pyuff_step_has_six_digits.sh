#!/usr/bin/env bash
# A universal file (type 58) written by pyuff comes back with another sampling rate.
#
# Expected: a step of 1 / 51200 s, which is written as text with an exponent, comes back to at least single precision.
# Seen with pyuff 2.5.8: the step (abscissa_inc) is written with six significant digits, 1.95313e-05, in the ASCII and in the binary
# form alike, although the samples of the binary form are exact. Read again it is 51,199.869 Hz: after an hour the time axis is
# 9 ms off, and a comparison of rates for equality refuses the file. Whoever compares rates of universal files needs a tolerance of
# 1e-5 or the nearest usual rate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyuff==2.5.8 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import numpy as np
import pyuff

rates = {}
for binary in (0, 1):
    path = f"{sys.argv[1]}/{binary}.uff"
    content = {"type": 58, "binary": binary, "func_type": 1, "data": np.sin(np.arange(64.0)), "x": np.arange(64) / 51200}
    content |= {"abscissa_spacing": 1, "rsp_node": 1, "rsp_dir": 3, "ref_node": 0, "ref_dir": 0}
    content |= {"abscissa_spec_data_type": 17, "ordinate_spec_data_type": 12, "orddenom_spec_data_type": 0}
    pyuff.UFF(path).write_sets(content, "add")
    read = pyuff.UFF(path).read_sets(0)
    rates["binary" if binary else "text"] = round(1 / read["abscissa_inc"], 3)
print(rates)
assert rates == {"text": 51199.869, "binary": 51199.869}, rates
PY
