"""Public sets: what is read of what the package has built, and one clear sentence for everything that can be wrong."""

import dataclasses
import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drsn_jax.cli import data_options
from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.public import read_public
from drsn_jax.data.public_table import bearing_orders_of, shaft_speed
from drsn_jax.data.recordings import check_recordings, read_recordings
from drsn_jax.data.split_choice import strictest_split
from drsn_jax.data.windows import make_folds
from drsn_jax.functional.orders import BearingOrders

package = importlib.import_module("bearing_datasets")
build_set = package.build

# a rig with four bearings: two healthy ones, one with a fault of the inner ring and one of the outer, each at two loads
BUILDER = """
import numpy as np

CHANNELS = {name: {"sensor_location": "test_bearing", "quantity": "acceleration", "unit": "g"} for name in ("DE", "FE")}
CHANNELS["I"] = {"sensor_location": "motor_supply", "quantity": "current", "unit": "A"}
BEARINGS = [("N1", "normal"), ("N2", "normal"), ("I1", "inner"), ("I2", "inner"), ("O1", "outer"), ("O2", "outer")]

def recordings(raw_dir):
    rng = np.random.default_rng(0)
    for bearing, fault in BEARINGS:
        for load in (0.0, 2.5):
            for fs in (1000.0, 4000.0):
                normal = fault == "normal"
                signals = {name: rng.normal(size=300) for name in ("DE", "FE")}
                signals |= {"I": rng.integers(-9, 9, 150).astype(np.int16)} if fs == 4000 else {}
                yield {
                    "recording_id": f"{bearing}_{load:g}_{fs:g}",
                    "native_label": f"{bearing}_{load:g}",
                    "fault_type": fault,
                    "fault_location": "none" if normal else "test_bearing",
                    "fault_severity": "none" if normal else bearing[1] + " mm",
                    "load": load,
                    "load_unit": "kN",
                    "bearing_id": bearing,
                    "field_data": bearing == "I2",
                    "fs": {name: fs for name in signals},
                    "signals": signals,
                }
"""
DEFINITION = """
name: {name}
license: none
citation: none
sources:
  - {{type: local, path: '{raw}'}}
columns: {{field_data: in the field, fault_detail: in words}}
"""


def build(folder: Path, root: Path, builder=BUILDER, name="rig"):
    """A set of one's own, built by the package."""
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "any.txt").write_text("the builder makes its signals up")
    (folder / "builder.py").write_text(builder)
    (folder / "dataset.yaml").write_text(DEFINITION.format(name=name, raw=folder / "raw"))
    build_set(folder, root)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    return build(folder / "rig", folder / "built")


def read(root, *where, channel="DE", **options):
    return read_public("rig", channel=channel, where=where or ("sampling_rate=1000",), root=root, **options)


def refused(*parts, name="rig", **options):
    with pytest.raises(RecordingError) as caught:
        read_public(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return message


# --- what is read


def test_signals_and_facts(root):
    recordings = read(root)
    check_recordings(recordings, 256)
    assert len(recordings) == 12
    first, last = recordings[0], recordings[-1]
    assert (first.label, first.sampling_rate, first.condition, first.group, first.name) == (
        "normal",
        1000.0,
        "0 kN",
        "N1",
        "N1_0_1000",
    )
    assert (last.label, last.condition, last.group) == ("outer", "2.5 kN", "O2")
    stored = package.open("rig", root).signal("O2_2.5_1000/DE")
    np.testing.assert_array_equal(last.signal, stored[:, None].astype(np.float32))
    assert last.signal.dtype == np.float32


def test_speed_and_bearing_are_those_of_the_set(tmp_path):
    """A bearing that the set does not tell whole, and a speed that is not constant, are not known."""
    told = '"load": load, "speed_rpm": 900.0 + 60 * load, "bpfo": 3.5, "bpfi": 5.5, "bsf": 2.3, "ftf": 0.4'
    found = read(build(tmp_path / "told", tmp_path / "built", BUILDER.replace('"load": load', told)))
    assert [r.speed for r in found[:2]] == pytest.approx([15.0, 17.5])
    assert {r.bearing for r in found} == {BearingOrders(ftf=0.4, bpfo=3.5, bpfi=5.5, bsf=2.3)}
    row = {"speed_rpm": 900, "speed_profile": "increasing", "bpfo": 3.5, "bpfi": "unknown", "bsf": 2.3, "ftf": 0.4}
    assert (shaft_speed(row), bearing_orders_of(row)) == (None, None)
    assert shaft_speed(row | {"speed_profile": "constant"}) == 15.0
    for speed in ("unknown", 0.0, float("nan"), True, None):
        assert shaft_speed({"speed_rpm": speed}) is None


def test_only_the_blocks_that_are_asked_for_are_read(root, monkeypatch):
    asked = []
    signal = package.Dataset.signal
    monkeypatch.setattr(package.Dataset, "signal", lambda self, name: asked.append(name) or signal(self, name))
    read(root, "recording_id=O2_0_4000", "recording_id=N1_0_4000", channel="FE+DE")
    assert sorted(asked) == ["N1_0_4000/DE", "N1_0_4000/FE", "O2_0_4000/DE", "O2_0_4000/FE"]


def test_channels_are_joined_in_the_order_asked_for(root):
    one, other, both = (read(root, channel=channel)[3].signal for channel in ("DE", "F*", "FE+DE"))
    np.testing.assert_array_equal(both, np.concatenate([other, one], 1))


def test_labels_and_conditions_of_ones_choice(root):
    recordings = read(root, labels=["fault_type", "fault_severity"], conditions=["load", "fs"])
    assert {r.label for r in recordings} == {"normal", "inner 1 mm", "inner 2 mm", "outer 1 mm", "outer 2 mm"}
    assert {r.condition for r in recordings} == {"0 kN 1000", "2.5 kN 1000"}
    assert {r.label for r in read(root, labels=["field_data"])} == {"true", "false"}


def test_words_on_the_fault_belong_to_the_class_where_they_tell_more(tmp_path):
    finer = BUILDER.replace('"load": load', '"load": load, "fault_detail": "none" if normal else "small " + bearing')
    recordings = read(build(tmp_path / "finer", tmp_path / "finer_built", finer))
    assert {r.label for r in recordings} == {"normal", "inner small I1", "inner small I2", "outer small O1", "outer small O2"}
    same = BUILDER.replace('"load": load', '"load": load, "fault_detail": "none" if normal else fault + " ring"')
    recordings = read(build(tmp_path / "same", tmp_path / "same_built", same))
    assert {r.label for r in recordings} == {"normal", "inner", "outer"}


def test_a_condition_is_what_varies(root):
    assert {r.condition for r in read(root, "sampling_rate=1000", "load=0")} == {""}


@pytest.mark.parametrize(("speed", "conditions"), [("600.0 + 60 * load", {"600", "750"}), ("600.0 + rng.random()", {""})])
def test_a_speed_that_was_measured_is_no_condition(tmp_path, speed, conditions):
    builder = BUILDER.replace('"load": load', f'"speed_rpm": {speed}').replace('"load_unit": "kN",', "")
    assert {r.condition for r in read(build(tmp_path / "rig", tmp_path / "built", builder))} == conditions


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (["fs=1000"], 12),
        (["sampling_rate = 1e3"], 12),
        (["fs=1000", "fault_type=inner"], 4),
        (["fs=1000", "fault_type=inner", "fault_type=outer"], 8),
        (["fs=1000", "fault_type!=normal"], 8),
        (["fs!=4000", "recording_id!=N1_0_1000"], 11),
        (["load=2.50"], 12),
        (["field_data=True"], 4),
    ],
)
def test_where(root, where, count):
    assert len(read(root, *where)) == count


def test_where_may_choose_the_channel(root):
    recordings = read(root, "quantity=current", channel="")
    assert len(recordings) == 12
    assert recordings[0].signal.shape == (150, 1)


def test_runs_to_failure_stand_in_for_bearings(tmp_path):
    builder = BUILDER.replace('"bearing_id": bearing', '"run_id": "unknown" if bearing == "N1" else bearing')
    recordings = read(build(tmp_path / "rig", tmp_path / "built", builder))
    assert {r.group for r in recordings} == {"", "N2", "I1", "I2", "O1", "O2"}


def test_the_chosen_folder_is_that_of_the_package(root, monkeypatch, tmp_path):
    monkeypatch.setenv("BEARING_DATASETS_ROOT", str(root))
    assert len(read(None)) == 12
    monkeypatch.delenv("BEARING_DATASETS_ROOT")
    monkeypatch.delenv("APPDATA", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    refused("no folder for public sets", "bearing-datasets root FOLDER")


# --- a bearing is on one side only


def test_a_bearing_is_on_one_side(root):
    recordings = read(root)
    choice = strictest_split(recordings, 5)
    assert (choice.split, choice.folds) == ("group", 2)
    assert "(2 folds, not 5)" in choice.notice
    for cut in make_folds(recordings, choice.split, window_length=64, train_stride=64, folds=choice.folds):
        fold = cut()
        tested = {recordings[i].group for i in fold.test.recordings}
        train = {r.group for r in recordings} - tested
        assert len(tested) == len(train) == 3
        assert len(fold.train.windows) == 4 * 6  # no window of a tested bearing is left for training


def test_without_two_bearings_a_class_the_user_is_told(root):
    recordings = read(root, "fs=1000", "fault_severity!=2 mm")
    choice = strictest_split(recordings, 2)
    assert choice.split == "condition"
    assert "1 groups of the class 'inner'" in choice.notice
    assert "both sides" in choice.notice


# --- what can be wrong


def test_an_unknown_set(root):
    refused("no public set 'cwruu'", "did you mean", "cwru", name="cwruu", root=root)
    refused("no public set 'rigs': did you mean rig", name="rigs", root=root)
    message = refused("no public set 'zzzzzzzz': bearing-datasets list", name="zzzzzzzz", root=root)
    assert "did you mean" not in message


def test_a_folder_is_no_name(tmp_path, monkeypatch):
    # the package would run the program in it
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset.yaml").write_text(DEFINITION.format(name="mine", raw=tmp_path))
    (tmp_path / "mine" / "builder.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    refused("no public set 'mine'", name="mine", root=tmp_path / "built")


def test_unknown_columns(root):
    every: list[dict[str, Any]] = [{"labels": ["size"]}, {"conditions": ["size"]}, {"where": ["size=1"]}]
    for options in every:
        message = refused("rig has no column 'size', choose one of", "fault_type, ", root=root, **options)
        assert "signal_row" not in message


@pytest.mark.parametrize("condition", ["fs", "=3", "", "!=3"])
def test_no_condition(root, condition):
    refused("not of the form COLUMN=VALUE", repr(condition), root=root, where=[condition])


def test_values_that_never_occur(root):
    refused("rig has no sampling_rate '12000', choose one of 1000, 4000", root=root, where=["sampling_rate=12000"])
    refused("rig has no fault_type 'Inner', choose one of normal, inner, outer", root=root, where=["fault_type!=Inner"])
    refused("rig has no recording_id 'x'", "… (24 in all)", root=root, where=["recording_id=x"])


def test_no_recording_left(root):
    where = ["fault_type=normal", "bearing_id=I1"]
    refused("no recording of rig fulfils all of fault_type=normal, bearing_id=I1", root=root, where=where)


def test_channels(root):
    refused("rig, recording N1_0_1000 holds 2 signals (DE, FE): name the channel", root=root)
    refused("N1_0_1000 holds no signal 'BA', choose one of DE, FE", root=root, channel="BA")
    refused("recording N1_0_4000: the channels differ in length (300, 150)", root=root, channel="DE+I", where=["fs=4000"])


def test_channels_that_differ(tmp_path):
    builder = BUILDER.replace("{name: fs for name in signals}", '{"DE": fs, "FE": 2 * fs, "I": fs}').replace(
        '"fault_type": fault', '"fault_type": fault, "fault_size_mm": {"DE": 0.0, "FE": 1.0, "I": 0.0}'
    )
    built = build(tmp_path / "rig", tmp_path / "built", builder)
    refused("N1_0_1000: the channels differ in sampling rate (1000, 2000)", root=built, channel="DE+FE", where=["load=0"])
    refused("differ in class (0, 1)", root=built, channel="DE+FE", labels=["fault_size_mm"])


def test_units_are_not_mixed(tmp_path):
    builder = BUILDER.replace(
        '"bearing_id": bearing', '"bearing_id": bearing, "unit": {"DE": "V" if fault == "inner" else "g", "FE": "g", "I": "A"}'
    )
    built = build(tmp_path / "rig", tmp_path / "built", builder)
    refused(
        "recording N1_0_1000 is acceleration in g and I1_0_1000 is acceleration in V",
        root=built,
        channel="DE",
        where=["fs=1000"],
    )


def test_samples_that_cannot_be_used(tmp_path):
    builder = BUILDER.replace("rng.normal(size=300)", "np.where(np.arange(300) == 7, np.nan, 1.0)")
    built = build(tmp_path / "rig", tmp_path / "built", builder)
    refused("rig, recording N1_0_1000: sample 7 is nan", root=built, channel="DE")
    built = build(tmp_path / "empty", tmp_path / "empty_built", BUILDER.replace("size=300", "size=0"))
    refused("rig, recording N1_0_1000 is empty", root=built, channel="DE")


@pytest.mark.parametrize("file", ["metadata.parquet", "signals/part-float64.parquet", "manifest.json"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 no more"])
def test_a_damaged_set(root, tmp_path, file, content):
    # another name: the package remembers blocks by their place
    shutil.copytree(root / "rig", tmp_path / "rig")
    (tmp_path / "rig" / file).unlink()
    if content is not None:
        (tmp_path / "rig" / file).write_bytes(content)
    parts = ["no public set 'rig'"] if (file, content) == ("manifest.json", None) else ["damaged", "build rig --force"]
    refused(*parts, root=tmp_path, channel="DE", where=["fs=1000"])


def test_not_built_and_no_network(tmp_path, monkeypatch):
    def no_network(*args):
        raise OSError("no network here")

    sources = importlib.import_module("bearing_datasets.sources")
    monkeypatch.setattr(sources, "_open", no_network)
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)
    told = []
    root = tmp_path / "my sets"
    message = refused("jnu could not be downloaded", "no network here", name="jnu", root=root, download=True, say=told.append)
    assert f"bearing-datasets --root '{root}' build jnu" in message
    assert len(told) == 1
    assert "jnu is not in" in told[0]
    assert not (tmp_path / "my sets" / "jnu").exists()


def test_what_is_built_is_not_downloaded(tmp_path, monkeypatch):
    calls = []

    def built(name, root):
        calls.append(name)
        build(tmp_path / "jnu", root, name="jnu")

    monkeypatch.setattr(package, "build", built)
    refused("jnu is not in", "size and licence", "build jnu", "allow the download", name="jnu", root=tmp_path / "built")
    assert calls == [], "nothing is downloaded unless that is asked for"
    for _ in range(2):
        assert len(read_public("jnu", channel="DE", where=["fs=1000"], root=tmp_path / "built", download=True)) == 12
    assert calls == ["jnu"]


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bearing_datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'drsn-jax\[datasets\]'"):
        read_public("cwru", root=tmp_path)


# --- as scripts ask for it


@pytest.fixture
def options(root, monkeypatch):
    monkeypatch.setenv("BEARING_DATASETS_ROOT", str(root))
    return data_options.DataOptions(
        dataset="rig", channel="DE", where=("sampling_rate=1000",), conditions=("load",), window_length=64
    )


def test_options_of_scripts_reach_the_set(options):
    data_options.check(options)
    recordings = data_options.read(dataclasses.replace(options, labels=("field_data", "fault_type")))
    assert {r.label for r in recordings} == {"false normal", "false inner", "true inner", "false outer"}
    assert {r.condition for r in recordings} == {"0 kN", "2.5 kN"}
    (slower,) = {r.sampling_rate for r in data_options.read(dataclasses.replace(options, resample=500.0))}
    assert slower == 500


def test_scripts_keep_a_bearing_on_one_side(options, capsys):
    recordings = data_options.read(options)
    settled = data_options.settle_split(options, recordings)
    assert (settled.split, settled.folds) == ("group", 2)
    assert "no physical part is on both sides" in capsys.readouterr().out
    assert data_options.protocol(settled) == ("group", "by group")
    (cut,) = data_options.cut_folds(settled, recordings)
    tested = {recordings[i].group for i in cut().test.recordings}
    assert len(tested) == 3
    # of 300 samples, six recordings on either side: windows of 64, in training overlapping by half, the last one held out
    assert (len(cut().test.windows), len(cut().train.windows), len(cut().validation.windows)) == (24, 24, 6)
    chosen = dataclasses.replace(options, test_condition="0 kN")
    assert data_options.settle_split(chosen, recordings) == chosen
    assert data_options.settle_split(data_options.DataOptions(), recordings) == data_options.DataOptions()


# --- real recordings


LOADS = range(4)
FILES = {"drive_end_12k": (105, 106, 107, 108, 185, 186, 187, 188, 234, 235, 236, 237), "drive_end_48k_0hp": (97, 109)}


@pytest.fixture(scope="module")
def cwru(data_folder, tmp_path_factory):
    """The package's own definition of CWRU, for the files that are here."""
    original = Path(str(package.__file__)).parent / "datasets" / "cwru"
    top = tmp_path_factory.mktemp("cwru")
    shutil.copytree(original, top / "cwru", ignore=shutil.ignore_patterns("__pycache__"))
    files = {f"{number}.mat": data_folder / "cwru" / folder / f"{number}.mat" for folder in FILES for number in FILES[folder]}
    lock = [entry for entry in json.loads((original / "files.lock.json").read_text()) if entry["name"] in files]
    (top / "cwru" / "files.lock.json").write_text(json.dumps(lock))
    header, *lines = (original / "files.csv").read_text().splitlines()
    kept = [line for line in lines if line.partition(",")[0] in files]
    (top / "cwru" / "files.csv").write_text("\n".join([header, *kept]) + "\n")
    raw = top / "built" / "_raw" / "sha256"
    raw.mkdir(parents=True)
    for entry in lock:
        (raw / entry["sha256"]).symlink_to(files[entry["name"]].resolve())
    build_set(top / "cwru", top / "built")
    return top / "built"


def test_cwru_equals_its_files(cwru, data_folder):
    found = read_public("cwru", channel="DE", where=["sampling_rate=12000"], root=cwru)
    table = Path(__file__).parents[2] / "experiments" / "recordings" / "cwru_drive_end_12k.csv"
    files = {r.name: r for r in read_recordings(table, data_folder / "cwru" / "drive_end_12k")}
    expected = [files[f"{number}.mat"] for number in FILES["drive_end_12k"]]
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.signal, theirs.signal)
        assert (ours.condition, ours.sampling_rate) == (theirs.condition, theirs.sampling_rate)
        assert ours.group == f"DE_{theirs.group.partition('@')[0]}"
    assert len({(r.label, files[f"{n}.mat"].label) for r, n in zip(found, FILES["drive_end_12k"], strict=True)}) == 3


def test_cwru_classes(cwru):
    read_12k = read_public("cwru", channel="DE", where=["sampling_rate=12000"], root=cwru)
    assert {r.label for r in read_12k} == {"inner 0.007 in", "rolling_element 0.014 in", "outer 0.021 in 6:00"}
    read_48k = read_public("cwru", channel="DE", where=["sampling_rate=48000"], root=cwru)
    assert [(r.label, r.group) for r in read_48k] == [("normal", "healthy"), ("inner 0.007 in", "DE_IR007")]


def test_a_part_of_cwru_under_another_name(cwru):
    build_set(cwru.parent / "cwru", cwru, channels=["DE"], where={"load": [3.0]}, as_name="three")
    recordings = read_public("three", root=cwru)
    assert [r.label for r in recordings] == ["inner 0.007 in", "rolling_element 0.014 in", "outer 0.021 in 6:00"]


def test_cwru_does_not_mix_rates(cwru):
    with pytest.raises(RecordingError, match="sampled at 48000 Hz and 12k_DE_IR007_0 at 12000 Hz"):
        check_recordings(read_public("cwru", channel="DE", root=cwru), 2048)


def test_cwru_has_one_bearing_a_class(cwru):
    recordings = read_public("cwru", channel="DE", where=["sampling_rate=12000"], root=cwru)
    choice = strictest_split(recordings, 5)
    assert choice.split == "condition"
    assert "by group: there are 1 groups of the class 'inner 0.007 in', too few for 2 folds" in choice.notice
