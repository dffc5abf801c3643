#!/usr/bin/env bash
# eSpeak NG never says a word twice in the same way within one process, and in the same way in every new process.
#
# Expected: a formant synthesiser without a seed is deterministic, so that the same text with the same voice, speed and pitch gives
# the same samples.
# Seen with espeakng-loader 0.2.4 (eSpeak NG 1.52, 22,050 Hz): vowels too differ from call to call, and even the number of samples
# does, by some in ten thousand; the first word of a new process is equal to that of another one. So a set of synthesised words is
# reproducible only if it is made by the same calls in the same order from a new process on: words that are added in the middle,
# or made in another order, change all that come after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet espeakng-loader==0.2.4
cat >"$folder/say.py" <<'PY'
import array
import ctypes
import hashlib

import espeakng_loader

library = ctypes.CDLL(espeakng_loader.get_library_path())
library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0x8000)
spoken = array.array("h")


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
def take(samples, count, events):
    if samples and count > 0:
        spoken.extend(samples[:count])
    return 0


library.espeak_SetSynthCallback(take)
library.espeak_SetVoiceByName(b"en")
for _ in range(5):
    del spoken[:]
    library.espeak_Synth(b"one", 4, 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    print(len(spoken), hashlib.sha256(spoken.tobytes()).hexdigest()[:8])
PY
first=$("$folder/venv/bin/python" "$folder/say.py")
second=$("$folder/venv/bin/python" "$folder/say.py")
echo "$first"
[ "$first" = "$second" ]
[ "$(cut -d' ' -f2 <<<"$first" | sort -u | wc -l)" -eq 5 ]
[ "$(cut -d' ' -f1 <<<"$first" | sort -u | wc -l)" -gt 1 ]
