"""The lines of docs/formats.md that read public sets: their options are understood, their patterns fit the names of files."""

import re
import shlex
from pathlib import Path

import pytest
import tiny

from drsn_jax.cli import run_options
from drsn_jax.data.name_pattern import compile_pattern

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
LINES = {
    row[1]: row[2]
    for row in re.finditer(r"^\| ([A-Z][\w -]+?)(?: \([\w -]+\))? \|.*?(`--recordings [^|]*?`)", PAGE, re.MULTILINE)
}
# names as the sets have them, and the label, condition and group in them
NAMES = {
    "MFPT": {
        "1 - Three Baseline Conditions/baseline_1.mat": ("baseline", "", ""),
        "2 - Three Outer Race Fault Conditions/OuterRaceFault_3.mat": ("OuterRaceFault", "", ""),
        "4 - Seven Inner Race Fault Conditions/InnerRaceFault_vload_7.mat": ("InnerRaceFault", "", ""),
    },
    "Paderborn": {
        "K001/N15_M07_F10_K001_1.mat": ("K", "N15_M07_F10", "K001"),
        "KA04/N09_M07_F10_KA04_20.mat": ("KA", "N09_M07_F10", "KA04"),
        "KB23/N15_M01_F10_KB23_2.mat": ("KB", "N15_M01_F10", "KB23"),
        "KI21/N15_M07_F04_KI21_3.mat": ("KI", "N15_M07_F04", "KI21"),
    },
    "SEU": {"ball_20_0.csv": ("ball", "20_0", ""), "health_30_2.csv": ("health", "30_2", "")},
    "JNU": {"ib600_2.csv": ("ib", "600", ""), "n1000_3_2.csv": ("n", "1000", ""), "tb800_2.csv": ("tb", "800", "")},
    "HUST": {"B500.mat": ("B", "0", "5"), "IB704.mat": ("IB", "4", "7"), "N802.mat": ("N", "2", "8")},
    "Ottawa": {"H-A-1.mat": ("H", "A", ""), "I-D-3.mat": ("I", "D", "")},
    "UESTC": {"B_1000/B_1000_1.mat": ("B", "1000", ""), "N_800/N_800_5.mat": ("N", "800", "")},
}


def test_every_set_has_its_line():
    assert {*NAMES, "CWRU", "HIT"} == LINES.keys()
    for name in ("IMS", "FEMTO", "XJTU-SY"):
        assert re.search(rf"^\| {name} \|.*a table", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", LINES)
def test_the_options_are_understood(name):
    script = tiny.load_script(ROOT / "experiments" / "fault_diagnosis.py")
    options = run_options.parse(script.Options, "", script.PRESETS, shlex.split(LINES[name].strip("`")))
    assert options.recordings is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_pattern_fits_the_names_in_one_way(name):
    words = shlex.split(LINES[name].strip("`"))
    pattern = words[words.index("--pattern") + 1]
    for path, (label, condition, group) in NAMES[name].items():
        for lazy in (False, True):
            found = compile_pattern(pattern, lazy=lazy).fullmatch(path)
            assert found is not None, path
            assert {"condition": "", "group": "", **found.groupdict()} == {"label": label, "condition": condition, "group": group}
