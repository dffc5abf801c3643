"""Tables and records that somebody has edited: understood where no number is in doubt, else one sentence with file and line."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drsn_jax.core.errors import UserError
from drsn_jax.core.plotting import save_figure
from drsn_jax.functional.noise import Noise
from drsn_jax.studies import ablation_figures, comparison_figures, feature_figure
from drsn_jax.studies.comparison import Comparison
from drsn_jax.studies.comparison_results import TRIAL, Trial, tables, trial_key, write_features
from drsn_jax.studies.comparison_tables import summarise
from drsn_jax.studies.runs import RunFolder

CLASSES, RECORDINGS = ("good", "worn"), ("good/1.mat", "worn/1.mat")
NETWORKS = ("spectrum_logistic", "resnet")
CONFIG = {"classes": list(CLASSES), "seed": 0}


def begin(path: Path) -> RunFolder:
    return RunFolder(path, CONFIG, tables=tables(CLASSES, RECORDINGS), places=("recordings",))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, bytes]:
    """The files of a run of two seeds at 0 dB, by name."""
    folder = begin(tmp_path_factory.mktemp("runs") / "run")
    for seed in (0, 1):
        for network in NETWORKS:
            trial = Trial(network, Noise("gaussian", 0.0), "by time", "0", seed).columns
            pairs = [(t, p, 8 if t == p else 2) for t in CLASSES for p in CLASSES]
            folder.add_rows("confusion", [{**trial, "true": t, "predicted": p, "windows": n} for t, p, n in pairs], TRIAL)
            folder.add_rows("by_recording", [{**trial, "recording": r, "windows": 10, "correct": 8} for r in RECORDINGS], TRIAL)
            if network == "resnet":
                folder.add_rows("timings", [{**trial, "training_seconds": 1.25}], TRIAL)
                for epoch in (1, 2):
                    folder.log({**trial, "epoch": epoch, "train_accuracy": 0.9, "test_accuracy": 0.5})
            accuracies = dict.fromkeys(("train_accuracy", "test_accuracy", "balanced_accuracy", "macro_f1"), 0.875 - seed / 4)
            row = {"network": network, "parameters": 100, **{name: trial[name] for name in TRIAL[1:]}, **accuracies}
            folder.add_rows("results", [row], TRIAL)
    return {file.name: file.read_bytes() for file in folder.path.iterdir()}


@pytest.fixture
def run(written, tmp_path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    for name, content in written.items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def _unsaved(monkeypatch):
    """Figures are made and not saved, which takes most of the time."""
    assert comparison_figures.save_figure is save_figure
    for module in (comparison_figures, ablation_figures):
        monkeypatch.setattr(module, "save_figure", lambda figure, file: file)


def look(path: Path) -> tuple[list[Any], list[Any]]:
    """All that is told of a run, by its tables and figures."""
    return summarise(path), list(comparison_figures.draw_all(path))


Edit = Callable[[bytes], bytes]


def text(change: Callable[[str], str]) -> Edit:
    return lambda data: change(data.decode()).encode()


def lines(change: Callable[[list[str]], list[str]]) -> Edit:
    return text(lambda whole: "\n".join(change(whole.split("\n"))))


def cell(old: str, new: str) -> Edit:
    """Another cell in the last line."""

    def change(found: list[str]) -> list[str]:
        assert old in found[-2]
        return [*found[:-2], found[-2].replace(old, new, 1), ""]

    return lines(change)


def without_column(name: str) -> Edit:
    def change(whole: str) -> str:
        rows = list(csv.reader(whole.splitlines()))
        kept = [i for i, title in enumerate(rows[0]) if title != name]
        return "".join(",".join(row[i] for i in kept) + "\n" for row in rows)

    return text(change)


def reordered(whole: str) -> str:
    return "".join(",".join(reversed(row)) + "\n" for row in csv.reader(whole.splitlines()))


UNDERSTOOD: dict[str, Edit] = {
    "semicolons": lambda data: data.replace(b",", b";"),
    "tabs": lambda data: data.replace(b",", b"\t"),
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "byte order mark and semicolons": lambda data: b"\xef\xbb\xbf" + data.replace(b",", b";"),
    "line feeds of Windows": lambda data: data.replace(b"\n", b"\r\n"),
    "blank lines at the end": lambda data: data + b"\n\n",
    "blank lines between": lambda data: data.replace(b"\n", b"\n\n"),
    "lines of commas alone": lambda data: data + b",,,\n",
    "an empty column at the end": lambda data: data.replace(b"\n", b",\n"),
    "columns in another order": text(reordered),
    "blanks around the names": lambda data: data.replace(b",seed", b", seed "),
    "0 for 0.0": lambda data: data.replace(b",0.0,", b",0,"),
    "0.00 for 0.0": lambda data: data.replace(b",0.0,", b",0.00,"),
    "everything in quotes": text(
        lambda whole: "".join(",".join(f'"{c}"' for c in row) + "\n" for row in csv.reader(whole.splitlines()))
    ),
}


@pytest.mark.parametrize("table", ["results", "confusion", "by_recording", "timings"])
@pytest.mark.parametrize("edit", UNDERSTOOD.values(), ids=list(UNDERSTOOD))
def test_what_a_spreadsheet_changes_is_understood(run, written, table, edit):
    expected = look(run) if table == "results" else None
    file = run / f"{table}.csv"
    file.write_bytes(edit(written[file.name]))
    assert expected is None or repr(look(run)) == repr(expected)
    folder = begin(run)
    with folder.alone():
        rows = folder.rows(table)
        # the next trial of the run writes the whole table again
        folder.add_rows(table, [{**rows[-1], "seed": 1, "snr_db": 0.0}], key=list(rows[-1]))
    found, before = (list(csv.DictReader(content.decode().splitlines())) for content in (file.read_bytes(), written[file.name]))
    assert found == before


def test_trials_are_found_again_after_a_spreadsheet(run, written):
    """Each of them stood in the table as 0 and was made again, and stood there twice afterwards."""
    file = run / "results.csv"
    file.write_bytes(UNDERSTOOD["0 for 0.0"](written["results.csv"]))
    comparison = Comparison(("resnet",), CLASSES, [Noise("gaussian", 0.0)], (0, 1), "by time")
    folder = begin(run)
    assert comparison.missing(folder, 1) == 0
    assert comparison.missing(folder, 2) == 2
    assert Trial("resnet", Noise("gaussian", 0.0), "by time", "0", 0).key in {trial_key(row) for row in folder.rows("results")}


def test_a_column_of_ones_own_stays(run, written):
    file = run / "results.csv"
    file.write_bytes(b"".join(line + b",mine\n" for line in written["results.csv"].splitlines()))
    folder = begin(run)
    row = {**folder.rows("results")[0], "seed": 7}
    del row["mine"]
    folder.add_rows("results", [row], TRIAL)
    assert [r["mine"] for r in folder.rows("results")] == ["mine"] * 4 + [""]
    assert file.read_text().startswith(written["results.csv"].decode().split("\n")[0] + ",mine\n")


# the file, what is done to it, and what is told: the line, and what is wrong there
REFUSED: dict[str, tuple[str, Edit, str]] = {
    "empty": ("results.csv", lambda data: b"", "results.csv is empty"),
    "UTF-16": ("results.csv", lambda data: data.decode().encode("utf-16"), "line 1: it is text in UTF-16"),
    "UTF-16 without a mark": ("results.csv", lambda data: data.decode().encode("utf-16-le"), "line 1: it holds a null byte"),
    "Latin-1": ("by_recording.csv", lambda data: data.replace(b"worn/1", b"w\xf6rn/1"), "line 3: it is no text in UTF-8"),
    "null byte": ("results.csv", cell("0.625", "0.6\0"), "line 5: it holds a null byte"),
    "header removed": ("results.csv", lines(lambda found: found[1:]), "line 1: expected the names of the columns"),
    "header translated": ("confusion.csv", lambda data: data.replace(b"predicted", b"erkannt"), "line 1: .* no predicted among"),
    "header twice": ("results.csv", lines(lambda found: [found[0], *found]), "line 2: parameters is 'parameters'"),
    "two columns of one name": (
        "results.csv",
        lambda data: data.replace(b"\n", b",seed\n"),
        "line 1: two columns have one name among",
    ),
    "column renamed": ("results.csv", lambda data: data.replace(b"network", b"Network"), "line 1: .* no network among Network"),
    "semicolons and a column renamed": (
        "results.csv",
        lambda data: data.replace(b",", b";").replace(b"network", b"net"),
        "line 1: .* no network among net",
    ),
    "column removed": ("results.csv", without_column("test_accuracy"), "line 1: .* no test_accuracy among"),
    "column of timings removed": ("timings.csv", without_column("training_seconds"), "line 1: .* no training_seconds among"),
    "column of recordings removed": ("by_recording.csv", without_column("recording"), "line 1: .* no recording among"),
    "line cut": ("results.csv", lambda data: data[:-20] + b"\n", "line 5: 10 cells under 13 columns"),
    "line cut inside a name": ("confusion.csv", lambda data: data[:-5] + b"\n", "line 17: 10 cells under 11 columns"),
    "line cut inside a number": ("results.csv", lambda data: data[:-3], "line 5: the line does not end, the file may be cut"),
    "line longer": ("results.csv", lines(lambda found: [*found[:-1], found[-2] + ",1", ""]), "line 6: 14 cells under 13 columns"),
    "comma for the decimal point": ("results.csv", cell("0.625", "0,625"), "line 5: 14 cells under 13 columns"),
    "semicolons and decimal commas": (
        "results.csv",
        lambda data: data.replace(b",", b";").replace(b".", b","),
        "line 2: snr_db is '0,0', expected an SNR in dB",
    ),
    "quote that does not end": ("results.csv", cell("gaussian", '"gaussian'), "line 5: it is no line of a table"),
    "text for a number": ("results.csv", cell("0.625", "good"), "line 5: .*accuracy is 'good', expected a number from 0 to 1"),
    "number that lost its point": (
        "results.csv",
        cell("0.625", "625"),
        "line 5: .*accuracy is '625', expected a number from 0 to 1",
    ),
    "per cent": ("results.csv", cell("0.625", "62.5%"), "line 5: .*accuracy is '62.5%', expected a number from 0 to 1"),
    "date for a number": ("results.csv", cell("0.0,", "01. Jan,"), "line 5: snr_db is '01. Jan', expected an SNR in dB"),
    "blank for a number": ("results.csv", cell("0.625", ""), "line 5: .*accuracy is empty, expected a number from 0 to 1"),
    "half a seed": ("results.csv", cell(",1,", ",1.5,"), "line 5: seed is '1.5', expected a whole number"),
    "negative seed": ("results.csv", cell(",1,", ",-1,"), "line 5: seed is '-1', expected a whole number"),
    "infinite seed": ("results.csv", cell(",1,", ",inf,"), "line 5: seed is 'inf', expected a whole number"),
    "noise translated": ("results.csv", cell("gaussian", "Rauschen"), "line 5: noise is 'Rauschen', expected one of gaussian"),
    "a line twice": ("results.csv", lines(lambda found: [*found[:-1], found[1], ""]), "line 6: it has the same .* as line 2"),
    "a line twice with another number": (
        "results.csv",
        lines(lambda found: [*found[:-1], found[1].replace("0.0", "0"), ""]),
        "line 6: it has the same network, noise, .* as line 2",
    ),
    "class renamed": ("confusion.csv", cell("worn", "broken"), "line 17: true is 'broken', expected one of good, worn"),
    "class renamed everywhere": ("confusion.csv", lambda data: data.replace(b"worn", b"WORN"), "line 3: predicted is 'WORN'"),
    "half a window": ("confusion.csv", cell(",8", ",8.5"), "line 17: windows is '8.5', expected a whole number"),
    "no windows": ("by_recording.csv", cell(",10,", ",0,"), "line 9: windows is '0', expected a whole number from 1"),
    "recording renamed": (
        "by_recording.csv",
        cell("worn/1.mat", "x.mat"),
        "line 9: recording is 'x.mat', expected one of good/1",
    ),
    "text for seconds": ("timings.csv", cell("1.25", "1 s"), "line 3: training_seconds is '1 s', expected a number"),
    "record without a field": ("metrics.jsonl", cell('"epoch": 2, ', ""), "line 4: the record has no epoch"),
    "record without a network": ("metrics.jsonl", cell('"network": "resnet", ', ""), "line 4: the record has no network"),
    "record of another kind": ("metrics.jsonl", lambda data: b"[1, 2]\n" + data, "line 1 holds no record"),
    "record with text for a number": (
        "metrics.jsonl",
        cell("0.5}", '"0.5"}'),
        'line 4: test_accuracy is "0.5", expected a number',
    ),
    "record with text for an epoch": (
        "metrics.jsonl",
        cell('"epoch": 2', '"epoch": "2"'),
        'line 4: epoch is "2", expected',
    ),
    "record with null for an epoch": (
        "metrics.jsonl",
        cell('"epoch": 2', '"epoch": null'),
        "line 4: epoch is null, expected",
    ),
    "record with a list": ("metrics.jsonl", cell('"resnet"', '["resnet"]'), r'line 4: network is \["resnet"\], expected text'),
    "record of 250 %": ("metrics.jsonl", cell("0.5}", "2.5}"), "line 4: test_accuracy is '2.5', expected a number from 0 to 1"),
    "records with a line of text": ("metrics.jsonl", lines(lambda found: [found[0], "# mine", *found[1:]]), "line 2 is damaged"),
    "records with a line cut": ("metrics.jsonl", lines(lambda found: [found[0][:40], *found[1:]]), "line 1 is damaged"),
    "records with a null byte": ("metrics.jsonl", cell("resnet", "res\0net"), "line 4: it holds a null byte"),
    "records in UTF-16": ("metrics.jsonl", lambda data: data.decode().encode("utf-16"), "line 1: it is text in UTF-16"),
    "records in one list": ("metrics.jsonl", lambda data: b"[" + b",".join(data.splitlines()) + b"]\n", "line 1 holds no record"),
    "records in lines of their own": (
        "metrics.jsonl",
        text(lambda whole: "".join(json.dumps(json.loads(line), indent=1) + "\n" for line in whole.splitlines())),
        "line 1 is damaged",
    ),
    "configuration cut": ("config.json", lambda data: data[:-5], "config.json is damaged"),
}


@pytest.mark.parametrize(("name", "edit", "told"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_in_doubt_is_refused_in_one_sentence_and_nothing_is_lost(run, written, name, edit, told):
    (run / name).write_bytes(edit(written[name]))
    assert (run / name).read_bytes() != written[name]
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    for attempt in (begin, look):
        try:
            attempt(run)
        except UserError as error:
            sentence = str(error)
            assert str(run / name) in sentence
            assert re.search(told, sentence), sentence
            assert "\n" not in sentence
        else:  # the figures need some of the columns alone, and know neither classes nor recordings
            assert attempt is look
        assert {file.name: file.read_bytes() for file in run.iterdir()} == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\n \n"),
        lambda data: data + b"\n\n",
        lambda data: data[:-1],
    ],
)
def test_records_that_an_editor_has_saved_are_understood(run, written, edit):
    file = run / "metrics.jsonl"
    file.write_bytes(edit(written[file.name]))
    folder = begin(run)
    folder.log({"epoch": 3})
    found = [json.loads(line) for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    assert found == [*map(json.loads, written[file.name].decode().splitlines()), {"epoch": 3}]


@pytest.mark.parametrize("name", ["results", "confusion", "by_recording", "timings", "metrics"])
@pytest.mark.parametrize("kept", [0, 1])
def test_tables_that_were_taken_away_or_emptied_are_figures_without_them(run, written, name, kept):
    (file,) = run.glob(f"{name}.*")
    if kept and file.suffix == ".csv":
        file.write_bytes(written[file.name].split(b"\n")[0] + b"\n")
    else:
        file.unlink()
    lines, files = look(run)
    assert len(lines) == (0 if name == "results" else 2)
    assert bool(files)


def test_what_the_program_writes_itself_is_never_refused(tmp_path):
    """Recordings of one name, names of every kind, accuracies that are no number, an infinite SNR."""
    classes = ("a,b", 'c"d', "e\nf", "=1+1", "", " g ", "0.0", "\udcff")
    recordings = ("one", "one", *classes)
    path = tmp_path / "run"
    folder = RunFolder(path, {}, tables=tables(classes, recordings))
    names = [name.encode(errors="backslashreplace").decode() for name in classes]
    for snr_db in (float("inf"), -0.0, 1e-9):
        trial = Trial("resnet", Noise() if snr_db == float("inf") else Noise("pink", snr_db), "test on 1;2\t3", "1e5", 2**32 - 1)
        pairs = [{"true": t, "predicted": p, "windows": 0} for t in names for p in names]
        folder.add_rows("confusion", [{**trial.columns, **pair} for pair in pairs], TRIAL)
        rows = [{"recording": name, "windows": 3, "correct": 3} for name in ("one", "one", *names)]
        folder.add_rows("by_recording", [{**trial.columns, **row} for row in rows], TRIAL)
        accuracies = dict.fromkeys(("train_accuracy", "test_accuracy", "balanced_accuracy", "macro_f1"), float("nan"))
        folder.add_rows("results", [{**trial.columns, "parameters": 0, **accuracies}], TRIAL)
        folder.log({**trial.record, "epoch": 1, "train_accuracy": float("nan"), "test_accuracy": 1.0})
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    again = RunFolder(path, {}, tables=tables(classes, recordings))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert len(again.rows("by_recording")) == 30
    assert [trial_key(row) for row in again.rows("results")][-1] == trial.key


# --- archives of arrays


BROKEN = [b"", b"PK", b"PK\x03\x04" + bytes(40), b"text\n"]
NAMES = ["empty", "two bytes", "no directory", "text"]


@pytest.mark.parametrize("content", [*BROKEN, None], ids=[*NAMES, "cut"])
def test_a_broken_file_of_features_is_passed_over_with_its_name(tmp_path, content, monkeypatch):
    monkeypatch.setattr(feature_figure, "tsne", lambda features, iterations: features[:, :2])
    rng = np.random.default_rng(0)
    for network in ("resnet", "drsn_cw"):
        features_of(tmp_path, network, rng.normal(size=(6, 3)))
    file = tmp_path / "features_resnet.npz"
    file.write_bytes(file.read_bytes()[:-30] if content is None else content)
    with pytest.warns(RuntimeWarning, match=r"features_resnet\.npz is damaged \(.*\): take it away; .* drawn without it"):
        assert feature_figure.tsne_figure(tmp_path)
    (tmp_path / "features_drsn_cw.npz").unlink()
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert feature_figure.tsne_figure(tmp_path) == []


def features_of(folder, network, features):
    write_features(folder, network, features, np.arange(len(features)) % 2, CLASSES)


@pytest.mark.parametrize("content", BROKEN, ids=NAMES)
def test_a_broken_file_of_a_window_is_passed_over_with_its_name(tmp_path, content):
    (tmp_path / "shrinkage.npz").write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"window is left out: .*shrinkage\.npz is damaged \(.*\): take it away"):
        assert ablation_figures.window_picture(tmp_path) is None
