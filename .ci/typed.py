"""Read ``pyright --verifytypes drsn_jax --ignoreexternal --outputjson`` from standard input.

Print how many public names have a known type, and fail where one of a room that was complete has not.
"""

import json
import sys

COMPLETE = ("core", "functional", "data", "cli")

found = json.load(sys.stdin)
report = found["typeCompleteness"]
counts = report["exportedSymbolCounts"]
print(f"{counts['withKnownType']} of {sum(counts.values())} public names have a known type")
if not sum(counts.values()):
    sys.exit("pyright found no public name: " + "; ".join(entry["message"] for entry in found["generalDiagnostics"]))
missing = [
    f"{symbol['name']}: {' '.join(entry['message'] for entry in symbol['diagnostics'])}"
    for symbol in report["symbols"]
    if symbol["isExported"] and not symbol["isTypeKnown"] and symbol["name"].split(".")[1] in COMPLETE
]
if missing:
    sys.exit("\n".join(["these need an annotation:", *missing]))
