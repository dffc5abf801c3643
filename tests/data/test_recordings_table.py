"""Tables and folders of recordings: equal where they name the same files, and clear where they are wrong."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from signal_files import PAIR

from drsn_jax.data.formats.common import RecordingError, RecordingWarning
from drsn_jax.data.recordings import fingerprint, read_folder, read_recordings


def collection(folder, deep):
    """Files of many kinds in folders, and the lines of a table of them."""
    rng = np.random.default_rng(3)
    lines = []
    for label, condition, name in itertools.product(("inner", "outer", "Z"), ("1 hp", "2 hp"), ("b.npy", "a.csv", "c.mat")):
        place = Path(label, condition, name) if deep else Path(label, f"{condition}{name}")
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        values = rng.normal(size=50)
        if name == "b.npy":
            np.save(folder / place, values)
        elif name == "a.csv":
            (folder / place).write_text("\n".join(map(repr, values.tolist())))
        else:
            scipy.io.savemat(folder / place, {"x": values})
        lines.append((place.as_posix(), label, condition if deep else ""))
    return [f"{path},{label},100.0,{condition}" for path, label, condition in sorted(lines, key=lambda line: line[0].split("/"))]


@pytest.mark.parametrize("deep", [False, True])
def test_folders_and_a_table_of_the_same_files_are_the_same(tmp_path, deep):
    lines = collection(tmp_path / "data", deep)
    (tmp_path / "data" / ".hidden").mkdir()
    (tmp_path / "data" / ".hidden" / "a.npy").write_bytes(b"")
    (tmp_path / "data" / "Z" / ".DS_Store").write_bytes(b"")
    table = tmp_path / "recordings.csv"
    table.write_text("\n".join(["path,label,sampling_rate,condition", *lines]))
    listed, found = read_recordings(table, tmp_path / "data"), read_folder(tmp_path / "data", sampling_rate=100)
    assert len(listed) == 18
    assert [r.name for r in listed] == [r.name for r in found]
    assert [(r.label, r.condition, r.group, r.sampling_rate) for r in listed] == [
        (r.label, r.condition, r.group, r.sampling_rate) for r in found
    ]
    assert fingerprint(listed) == fingerprint(found)


def refused_folder(folder, *parts, **options):
    with pytest.raises(RecordingError) as caught:
        read_folder(folder, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in (folder, *parts):
        assert str(part) in message


@pytest.mark.parametrize("hidden", [False, True])
def test_a_class_without_files_does_not_vanish(tmp_path, hidden):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    np.save(tmp_path / "a" / "x.npy", PAIR[:, 0])
    if hidden:
        (tmp_path / "b" / ".DS_Store").write_bytes(b"x")
    refused_folder(tmp_path, "b holds no recordings: take the folder away", sampling_rate=100)


def test_names_of_files_are_shown_and_not_obeyed(tmp_path):
    """Escape sequences, line breaks, and bytes that are no UTF-8, as old archives hold them."""
    for label, condition in (("a\x1b[2J", "1\nhp"), (os.fsdecode(b"b\xff"), "\u202e2")):
        (tmp_path / label / condition).mkdir(parents=True)
        np.save(tmp_path / label / condition / f"{label}.npy", PAIR[: len(PAIR) - len(label), 0])
    first, second = read_folder(tmp_path, sampling_rate=100)
    assert (first.label, first.condition, first.name) == (r"a\x1b[2J", r"1\nhp", r"a\x1b[2J/1\nhp/a\x1b[2J.npy")
    assert (second.label, second.condition) == (r"b\udcff", r"\u202e2")


def test_folders_that_are_wrong(tmp_path):
    refused_folder(tmp_path / "none", "there is no folder")
    refused_folder(tmp_path, "holds no recordings", ".mat")
    (tmp_path / "a" / "b").mkdir(parents=True)
    refused_folder(tmp_path, "holds no recordings")
    np.save(tmp_path / "a" / "x.npy", PAIR[:, 0])
    refused_folder(tmp_path, "a/x.npy", "no sampling rate")
    for rate in (0.0, -1.0, np.nan, np.inf):
        refused_folder(tmp_path, "a/x.npy", "not a positive number", sampling_rate=rate)
    refused_folder(tmp_path, "a/x.npy", "no signal 'DE'", sampling_rate=1, channel="DE")
    (tmp_path / "a" / "x.xlsx").write_bytes(b"PK\x03\x04")
    refused_folder(tmp_path, "x.xlsx is of an unknown kind", sampling_rate=1)
    (tmp_path / "a" / "x.xlsx").unlink()
    (tmp_path / "a" / "b" / "c").mkdir()
    refused_folder(tmp_path, "a/b/c has no class: expected", sampling_rate=1)
    (tmp_path / "a" / "b" / "c").rmdir()
    (tmp_path / "recordings.csv").write_text("path,label\n")
    refused_folder(tmp_path, "recordings.csv has no class", "a table is named itself", sampling_rate=1)


def refused_line(table, *parts, **options):
    with pytest.raises(RecordingError) as caught:
        read_recordings(table, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in (table, "line 2", *parts):
        assert str(part) in message


def test_paths_out_of_the_folder(tmp_path):
    inside = tmp_path / "inside"
    (inside / "class").mkdir(parents=True)
    np.save(tmp_path / "x.npy", PAIR[:, 0])
    (inside / "class" / "link.npy").symlink_to(tmp_path / "x.npy")
    (inside / "far").symlink_to(tmp_path)
    table = inside / "recordings.csv"
    for path in ("../x.npy", str(tmp_path / "x.npy"), "class/link.npy", "class/../../x.npy", "far/x.npy"):
        table.write_text(f"path,label,sampling_rate\n{path},a,100\n")
        refused_line(table, path, f"is not within {inside}", "allow paths outside")
        (recording,) = read_recordings(table, outside=True)
        np.testing.assert_array_equal(recording.signal, PAIR[:, :1])
    table.unlink()
    (inside / "far").unlink()
    refused_folder(inside, "class/link.npy is not within", sampling_rate=1)
    assert len(read_folder(inside, sampling_rate=1, outside=True)) == 1
    # within it, a link is a second name
    np.save(inside / "class" / "true.npy", PAIR[:, 1])
    (inside / "class" / "link.npy").unlink()
    (inside / "class" / "other.npy").symlink_to(inside / "class" / "true.npy")
    refused_folder(inside, "true.npy is in class/other.npy already", sampling_rate=1)
    (inside / "class" / "other.npy").unlink()
    (inside / "class" / "lost.npy").symlink_to(inside / "gone.npy")
    refused_folder(inside, "lost.npy does not exist", sampling_rate=1)
    (inside / "class" / "lost.npy").unlink()
    (inside / "class" / "round.npy").symlink_to(inside / "class" / "round.npy")
    refused_folder(inside, "round.npy", sampling_rate=1)


@pytest.mark.parametrize("path", ["a\0.npy", "a" * 300 + ".npy", '"a\nb.npy"', ".", "a.npy/b.npy"])
def test_paths_that_are_none(tmp_path, path):
    np.save(tmp_path / "a.npy", PAIR[:, 0])
    table = tmp_path / "recordings.csv"
    table.write_text(f"path,label,sampling_rate\n{path},a,100\n")
    with pytest.raises(RecordingError, match=r"line [23]: ") as caught:
        read_recordings(table)
    assert len(str(caught.value).splitlines()) == 1


def test_a_rate_that_contradicts_the_file(tmp_path, files):
    (tmp_path / "a.wav").write_bytes(files["wav"].read_bytes())
    table = tmp_path / "recordings.csv"
    table.write_text("path,label,sampling_rate,channel\na.wav,a,100,1\n")
    refused_line(table, "a.wav says that it is sampled at 8000 Hz, not at 100 Hz")
    table.write_text("path,label,channel,more\na.wav,a,2+1,words\n")
    (recording,) = read_recordings(table)
    assert recording.sampling_rate == 8000
    np.testing.assert_array_equal(recording.signal, PAIR[:, ::-1])


def test_runs_inside_the_folder_of_the_data_are_no_class(tmp_path):
    """A run in the folder that it reads, as with --recordings . , is there when the next one begins."""
    for label in ("good", "worn"):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "a.npy", np.random.default_rng(len(label)).normal(size=50))
    expected = [r.name for r in read_folder(tmp_path, sampling_rate=100.0)]
    made = {
        "runs/fault_diagnosis-20260101-000000": "environment.json",
        "runs/diagnose-20260101-000000/model": "model.json",
        "mine": "environment.json",
        "kept": "model.json",
    }
    for folder, name in made.items():
        (tmp_path / folder).mkdir(parents=True)
        for file in (name, "results.csv", "accuracy.png"):
            (tmp_path / folder / file).write_text("x")
    listed = r"4 in all: kept, mine, runs/diagnose-20260101-000000, runs/fault_diagnosis-20260101-000000"
    with pytest.warns(RecordingWarning, match=rf"passed over the folders of runs and of models in it \({listed}\)"):
        found = read_folder(tmp_path, sampling_rate=100.0)
    assert [r.name for r in found] == expected
