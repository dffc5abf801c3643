#!/usr/bin/env bash
# npTDMS's time_track() takes the increment of a waveform for seconds, whatever unit the file names, and needs the offset too.
#
# Expected: times in seconds by the property wf_xunit_string, as LabVIEW shows them, from 0 where no offset is stored.
# Seen with npTDMS 1.13.0: a waveform with wf_increment 0.5 and wf_xunit_string "ms" has the times 0, 0.5, 1, which read as seconds
# are a rate of 2 Hz in place of 2,000; without wf_start_offset the same call says that the channel has no properties of time,
# although the increment is there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet npTDMS==1.13.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/a.tdms" <<'PY'
import sys

import numpy as np
from nptdms import ChannelObject, TdmsFile, TdmsWriter

unit = {"wf_increment": 0.5, "wf_xunit_string": "ms"}
with TdmsWriter(sys.argv[1]) as writer:
    channels = {"whole": unit | {"wf_start_offset": 0.0}, "without offset": unit}
    writer.write_segment([ChannelObject("g", name, np.arange(3.0), properties) for name, properties in channels.items()])
file = TdmsFile.read(sys.argv[1])
times = file["g"]["whole"].time_track().tolist()
try:
    file["g"]["without offset"].time_track()
    without = "times"
except KeyError as error:
    without = f"KeyError {error}"
print("times of a waveform in ms:", times, "  without an offset:", without)
assert times == [0.0, 0.5, 1.0]
assert without == "KeyError 'Object does not have time properties available.'"
PY
