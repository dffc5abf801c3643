"""The main experiment as its users run it: the command line in, files and one-sentence errors out."""

import contextlib
import csv
import dataclasses
import functools
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
import quick_script
import scipy.io
import tiny

from drsn_jax.cli import data_options, run_options
from drsn_jax.data.recordings import Recording
from drsn_jax.diagnosis.bundle import Bundle
from drsn_jax.diagnosis.bundle_files import load, save
from drsn_jax.functional.gears import named_gear
from drsn_jax.nn.networks import drsn_cs
from drsn_jax.studies import feature_figure
from drsn_jax.studies.comparison import noises
from drsn_jax.studies.runs import read_metrics
from drsn_jax.studies.trials import Trainer
from drsn_jax.training.progress import Diverged

SCRIPT = Path(__file__).parents[2] / "experiments" / "fault_diagnosis.py"
HEADER = "path,label,sampling_rate,condition,channel\n"


@pytest.fixture(scope="module")
def script():
    return tiny.load_script(SCRIPT)


@pytest.fixture
def call(script, monkeypatch):
    """Run the script in this process, without its figures: ``whole`` draws them."""
    monkeypatch.setattr(script, "draw_all", lambda folder: [])
    monkeypatch.setattr(feature_figure, "tsne_figure", lambda *arguments: [])
    return functools.partial(tiny.run_script, script)


@pytest.fixture
def quick(script, monkeypatch):
    """Networks that compile in a third of the time: for tests that any network serves."""
    quick_script.quicken(script, monkeypatch.setattr)


def write_machine(folder, *, labels=("good", "worn"), conditions=("1 hp", "2 hp"), length=4096, change=None):
    """A table of recordings and its files; ``change(number, signal)`` spoils them."""
    rng = np.random.default_rng(0)
    lines = []
    for number, (label, condition) in enumerate((a, b) for a in labels for b in conditions):
        signal = np.sin(0.2 * (1 + labels.index(label)) * np.arange(length)) + 0.1 * rng.normal(size=length)
        signal = signal if change is None else change(number, signal)
        scipy.io.savemat(folder / f"{number}.mat", {"vibration": signal[:, None]})
        lines.append(f"{number}.mat,{label},12000,{condition},vibration\n")
    table = folder / "recordings.csv"
    table.write_text(HEADER + "".join(lines))
    return table


def rows(folder, name):
    with open(folder / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


SHORT = ("--dry-run", "--networks", "resnet", "drsn_cw")
TINY = ("--dry-run", "--networks", "drsn_cw")
ODD = "worn $\\frac{$"  # no formula, whatever it looks like


class Whole(NamedTuple):
    """A run with all its figures: its table of recordings, its folder, what it printed, and its command but for ``--out``."""

    table: Path
    out: Path
    printed: str
    command: tuple


@pytest.fixture(scope="module")
def whole(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    table = write_machine(folder, labels=("good", ODD))
    command = ("--recordings", table, "--test-condition", "2 hp", *SHORT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert tiny.run_script(script, *command, "--out", folder / "run") is None
    return Whole(table, folder / "run", printed.getvalue(), command)


def test_a_run_on_files_leaves_a_whole_folder(whole):
    out = whole.out
    assert "expected time" in whole.printed.split("resnet  gaussian")[0]
    assert "| DRSN-CW | 706 |" in whole.printed
    results = rows(out, "results")
    assert [row["network"] for row in results] == ["spectrum_logistic", "resnet", "drsn_cw"]
    assert list(results[0]) == [
        "network", "parameters", "noise", "snr_db", "train_noise", "train_snr_db", "protocol", "fold", "seed",
        "train_accuracy", "test_accuracy", "balanced_accuracy", "macro_f1",
    ]  # fmt: skip
    assert {row["protocol"] for row in results} == {"test on 2 hp"}
    assert float(results[0]["test_accuracy"]) > 0.9  # two tones are easy for the spectrum
    # what was tested: both recordings of 2 hp, 16 windows of 256 samples each
    assert [(r["recording"], r["windows"]) for r in rows(out, "by_recording")[:2]] == [("1.mat", "16"), ("3.mat", "16")]
    for row in results:
        correct = sum(int(r["correct"]) for r in rows(out, "by_recording") if r["network"] == row["network"])
        assert correct / 32 == pytest.approx(float(row["test_accuracy"]), abs=1e-6)
        confusion = [r for r in rows(out, "confusion") if r["network"] == row["network"]]
        assert sum(int(r["windows"]) for r in confusion if r["true"] == r["predicted"]) == correct
    assert {row["network"] for row in rows(out, "timings")} == {"resnet", "drsn_cw"}
    assert "training_seconds" in rows(out, "timings")[0]
    assert json.loads((out / "config.json").read_text())["classes"] == ["good", ODD]
    assert json.loads((out / "environment.json").read_text())["packages"]["jax"]
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2 * 2
    confusions = ("confusion_resnet", "confusion_drsn_cw", "confusion_spectrum_logistic")
    for name in ("accuracy", "training", *confusions, "features"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("how", [(), ("--checkpoint-seconds", 5, "--heartbeat-seconds", 7)], ids=["same", "otherwise"])
def test_the_same_command_goes_on_and_how_it_runs_is_no_difference(call, whole, how):
    """Nothing is trained again."""
    before = (whole.out / "results.csv").read_bytes()
    assert call(*whole.command, *how, "--out", whole.out) is None
    assert (whole.out / "results.csv").read_bytes() == before
    assert len((whole.out / "metrics.jsonl").read_text().splitlines()) == 2 * 2


def test_another_configuration_is_refused_the_folder(call, whole):
    before = (whole.out / "results.csv").read_bytes()
    file = whole.table.parent / "3.mat"
    kept = file.read_bytes()
    # other data under the same names
    scipy.io.savemat(file, {"vibration": np.random.default_rng(1).normal(size=(4096, 1))})
    assert "another configuration (other recordings (their samples differ))" in str(call(*whole.command, "--out", whole.out))
    file.write_bytes(kept)
    assert "another configuration (seed: 0 there, 5 now)" in str(call(*whole.command, "--seed", 5, "--out", whole.out))
    code = str(call(*whole.command, "--steps-per-call", 2, "--dtype", "bfloat16", "--out", whole.out))
    assert re.fullmatch(
        r"error: .*run holds a run with another configuration \(dtype: 'float32' there, 'bfloat16' now; "
        r"steps_per_call: 1 there, 2 now\): choose another --out",
        code,
    )
    assert (whole.out / "results.csv").read_bytes() == before


def test_equal_runs_give_equal_results(call, whole, tmp_path):
    assert call(*whole.command, "--out", tmp_path / "two") is None
    for file in ("results.csv", "confusion.csv", "by_recording.csv"):
        assert (whole.out / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_validation_and_options_for_accelerators(call, quick, tmp_path):
    """The best of two networks is tested; two devices, steps two at a time in bfloat16, on noise of levels from a range."""
    table, out = write_machine(tmp_path), tmp_path / "run"
    options = (
        "--validation",
        0.2,
        "--test-network",
        "best",
        "--patience",
        2,
        "--steps-per-call",
        2,
        "--dtype",
        "bfloat16",
        "--devices",
        2,
    )
    assert call("--recordings", table, *TINY, *options, "--train-snr-db", -5, 5, "--out", out) is None
    records = read_metrics(out)
    best = min(records, key=lambda record: record["validation_loss"])
    assert float(rows(out, "results")[1]["test_accuracy"]) == best["test_accuracy"]
    assert [record["epoch"] for record in records] == [1, 2]
    assert json.loads((out / "config.json").read_text())["devices"] == 2


def test_trainings_that_diverge_are_told_at_the_end(call, tmp_path, monkeypatch, capsys):
    """The table has the others, and the process fails."""
    usual = Trainer.run

    def explode(self, data, **options):
        if self.network.shrinkage is not None:
            raise Diverged("the loss became nan in step 7 (epoch 2): lower the learning rate", step=7)
        return usual(self, data, **options)

    monkeypatch.setattr(Trainer, "run", explode)
    out = tmp_path / "run"
    code = str(call("--recordings", write_machine(tmp_path), *SHORT, "--out", out))
    assert code.splitlines() == [
        "error: 1 of 2 trainings stopped and have no row in the tables; the same command with --out tries them again:",
        "  drsn_cw, gaussian 0 dB, fold 0, seed 0: the loss became nan in step 7 (epoch 2): lower the learning rate",
    ]
    assert [row["network"] for row in rows(out, "results")] == ["spectrum_logistic", "resnet"]
    assert "| ResNet | 498 |" in capsys.readouterr().out


def test_the_papers_preset(script):
    options = run_options.parse(script.Options, "", script.PRESETS, ["--preset", "paper", "--epochs", "3"])
    assert (options.epochs, options.folds, options.all_folds, options.fixed_noise) == (3, 10, True, True)
    assert len(noises(options.noise, options.snr_db)) == 33
    assert options.snr_db == tuple(range(-5, 6))
    script.check(options)


def put(index, value):
    def change(number, signal):
        if number == 2:
            signal[index] = value
        return signal

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "recordings.csv").unlink(), "recordings.csv"),
        (lambda folder: (folder / "recordings.csv").write_text(""), "empty"),
        (lambda folder: (folder / "recordings.csv").write_text(HEADER), "names no recordings"),
        (lambda folder: (folder / "2.mat").unlink(), "line 4.*2.mat"),
        (lambda folder: (folder / "2.mat").write_bytes((folder / "2.mat").read_bytes()[:200]), "line 4.*2.mat"),
        (
            lambda folder: scipy.io.savemat(folder / "2.mat", {"other": np.arange(9.0)}),
            "line 4.*2.mat.*vibration.*other",
        ),
        (lambda folder: write_machine(folder, change=put(7, np.nan)), "line 4.*2.mat.*7"),
        (lambda folder: write_machine(folder, change=put(7, np.inf)), "line 4.*2.mat.*7"),
        (lambda folder: write_machine(folder, change=put(slice(None), 1.5)), "line 4.*2.mat.*constant"),
        (lambda folder: write_machine(folder, change=lambda i, s: s[: 100 if i == 2 else None]), "2.mat.*100.*256"),
        (lambda folder: write_machine(folder, labels=("good",)), "1 class"),
        (
            lambda folder: (folder / "recordings.csv").write_text(
                (folder / "recordings.csv").read_text().replace("worn,12000", "worn,48000")
            ),
            "12000.*48000",
        ),
    ],
    ids=["no-table", "empty", "header", "no-file", "corrupt", "variable", "nan", "inf", "constant", "short", "class", "rates"],
)
def test_bad_recordings_are_one_sentence_and_leave_nothing(call, tmp_path, spoil, message):
    table = write_machine(tmp_path)
    spoil(tmp_path)
    out = tmp_path / "run"
    code = str(call("--recordings", table, *SHORT, "--out", out))
    assert code.startswith("error: ")
    assert "\n" not in code
    assert re.search(message, code), code
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--test-condition", "3 hp"), "'3 hp'.*'1 hp', '2 hp'"),
        (("--snr-db", "nan"), "--snr-db nan"),
        (("--snr-db", "-inf"), "--snr-db -inf"),
        (("--snr-db", "-1000"), "--snr-db -1000"),
        (("--seed", "-1"), "--seed"),
        (("--seed", "4294967296"), "--seed"),
        (("--window-length", "4"), "--window-length"),
        (("--test-condition", ""), "''"),
        (("--epochs", "0"), "--epochs"),
        (("--devices", "3"), "--devices must divide"),
        (("--networks", "resnet", "resnet"), "different"),
        (("--train-stride", "0"), "--train-stride"),
        (("--learning-rate", "-1"), "--learning-rate"),
        (("--split", "time", "--test-condition", "2 hp"), "--split condition"),
        (("--split", "group"), "has no group"),
        (("--split", "recording", "--folds", "9"), "folds"),
        (("--validation", "1"), "--validation must be from 0 to below 1, got 1.0"),
        (("--validation", "nan"), "--validation"),
        (("--validation", "0", "--test-network", "best"), "--test-network best and --patience need windows.*--validation"),
        (("--validation", "0", "--patience", "3"), "--validation"),
        (("--patience", "0", "--validation", "0.2"), "--patience"),
        (("--steps-per-call", "0"), "--steps-per-call"),
        (("--checkpoint-seconds", "-1"), "--checkpoint-seconds"),
        (("--heartbeat-seconds", "0"), "--heartbeat-seconds"),
        (("--devices", "0"), "--devices"),
        (("--train-snr-db", "5", "-5"), "--train-snr-db is a range from low to high"),
        (("--body-rate", "2"), "--body-rate"),
        (("--body-rate", "0.5"), "--body-rate goes with --from"),
        (("--windows-per-class", "0"), "--windows-per-class"),
        (("--channel", "x"), "--channel goes with --recordings FOLDER or --dataset"),
        (("--sampling-rate", "1"), "--sampling-rate goes with --recordings FOLDER"),
        (("--dataset", "cwru"), "--dataset and --recordings exclude"),
        (("--where", "load=1"), "--where goes with --dataset"),
        (("--download",), "--download goes with --dataset"),
        (("--resample", "0"), "positive number of Hz"),
        (("--from", "nowhere"), "holds no model"),
        (("--deterministic",), "--plain-runtime"),
        (("--coordinator", "here"), "HOST:PORT.*'here'"),
        (("--coordinator", "here:1"), "number of processes"),
        (("--coordinator", "here:1", "--processes", "2", "--process-id", "2"), "got 2 and 2"),
        (("--process-id", "0"), "coordinator"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, tuple) else "",
)
def test_bad_options_are_one_sentence_and_leave_nothing(call, tmp_path, arguments, message):
    table = write_machine(tmp_path)
    out = tmp_path / "run"
    chosen = [a for a in SHORT if a not in ("--dry-run",)] if "--folds" in arguments else SHORT
    chosen = () if "--networks" in arguments else chosen
    code = str(call("--recordings", table, *chosen, *arguments, "--out", out))
    assert code.startswith("error: ")
    assert "\n" not in code
    assert re.search(message, code), code
    assert not out.exists()


@pytest.mark.parametrize("arguments", [("--snr-db", "loud"), ("--noise", "brown"), ("--epochs", "many"), ("--preset", "fast")])
def test_what_is_no_option_at_all_is_refused(call, tmp_path, arguments, capsys):
    assert call(*arguments, "--out", tmp_path / "run") == 2
    assert arguments[1] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.process
def test_the_process_leaves_with_code_1_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--recordings", tmp_path / "none.csv", "--out", tmp_path / "run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


def test_real_recordings(call, quick, tmp_path, data_folder):
    """The bearings of Case Western Reserve University, by the project's own table."""
    table = SCRIPT.parent / "recordings" / "cwru_drive_end_12k.csv"
    out = tmp_path / "run"
    folder = data_folder / "cwru" / "drive_end_12k"
    assert (
        call(
            "--recordings",
            table,
            "--folder",
            folder,
            "--test-condition",
            "3 hp",
            "--dry-run",
            "--networks",
            "resnet",
            "--out",
            out,
        )
        is None
    )
    results = rows(out, "results")
    assert len({row["recording"] for row in rows(out, "by_recording")}) == 9
    assert float(results[0]["test_accuracy"]) > 0.5  # windows of 256 and 0 dB, but nine classes


def as_folders(folder, table):
    """The same recordings in a folder for each class and condition, in the order of the table."""
    for row in csv.DictReader(table.read_text().splitlines()):
        place = folder / row["label"] / row["condition"]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(table.parent / row["path"], place / row["path"])
    return folder


def test_a_folder_for_each_class_gives_what_a_table_gives(call, whole, tmp_path):
    """The same files: identical results but for the names of the recordings, and the same network is kept."""
    classes = as_folders(tmp_path / "classes", whole.table)
    options = ("--sampling-rate", 12000, "--channel", "vib*", "--test-condition", "2 hp")
    assert call("--recordings", classes, *options, *SHORT, "--out", tmp_path / "folder") is None
    for name in ("results.csv", "confusion.csv"):
        assert (whole.out / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()
    one, other = (load(out / "model") for out in (whole.out, tmp_path / "folder"))
    tiny.assert_equal(one.variables, other.variables)
    assert (one.sampling_rate, one.channel, other.channel) == (12000, "vibration", "vib*")


def test_what_was_taken_is_said_and_kept(whole):
    lines = whole.printed.splitlines()
    assert lines[0] == "taken: channel vibration of 4 files (0.mat, 1.mat, 2.mat, …), 12000 Hz, by the table"
    assert lines[1].split() == ["class", "condition", "files", "seconds", "Hz", "level", "(RMS)"]
    assert lines[2].split()[:6] == ["good", "1", "hp", "1", "0.3413", "12000"]
    (source,) = load(whole.out / "model").training["recordings"]
    assert source == {
        "channel": "vibration",
        "sampling_rate": 12000.0,
        "rate_from": "the table",
        "files": ["0.mat", "1.mat", "2.mat", "3.mat"],
    }


def test_a_flat_folder_gives_what_a_table_gives(call, whole, tmp_path):
    """Class and condition are in the names of the files."""
    for row in csv.DictReader(whole.table.read_text().splitlines()):
        name = f"{row['path'][0]}-{'good' if row['label'] == 'good' else 'worn'}-{row['condition']}.mat"
        shutil.copy(whole.table.parent / row["path"], tmp_path / name)
    options = ("--pattern", "{}-{label}-{condition}.mat", "--sampling-rate", 12000, "--channel", "vibration")
    code = call("--recordings", tmp_path, *options, "--test-condition", "2 hp", *SHORT, "--out", tmp_path / "run")
    assert code is None
    assert (whole.out / "results.csv").read_bytes() == (tmp_path / "run" / "results.csv").read_bytes()


def test_windows_already_cut_are_taken_as_they_are(call, quick, tmp_path, capsys):
    """With their labels beside them; a network is kept for windows of their length."""
    labels = np.arange(60) % 2
    windows = np.sin(np.outer(0.2 * (1 + labels), np.arange(256))) + 0.1 * np.random.default_rng(0).normal(size=(60, 256))
    np.savez(tmp_path / "set.npz", X=windows, y=np.array(["good", "worn"])[labels], fs=12000.0)
    out = tmp_path / "run"
    given = ("--recordings", tmp_path / "set.npz", "--windows-given")
    assert call(*given, "--labels", "y", *TINY, "--out", out) is None
    assert "60 windows of 256 samples are taken as they are" in capsys.readouterr().out
    assert [int(r["windows"]) for r in rows(out, "by_recording")][:2] == [15, 15]
    kept = load(out / "model")
    assert (kept.window_length, kept.stride, kept.sampling_rate, kept.channel) == (256, 256, 12000.0, "")
    for wrong, message in (
        ((*given, "--labels", "z"), "no signal 'z', choose one of y, fs"),
        ((*given, "--labels", "y", "--resample", "100"), "leave out --resample"),
        ((*given, "--labels", "y", "z"), "the name of one array"),
        (("--windows-given",), "--windows-given goes with --recordings"),
        (("--recordings", tmp_path / "set.npz", "--pattern", "{label}.npz"), "--pattern goes with --recordings FOLDER"),
    ):
        assert message in str(call(*wrong, *TINY, "--out", tmp_path / "none"))


def test_the_network_that_is_kept_is_named_and_can_be_asked(whole):
    assert f"python experiments/diagnose.py {whole.out}/model FILE" in whole.printed
    kept = load(whole.out / "model")
    losses = {r["network"]: r["validation_loss"] for r in read_metrics(whole.out) if r["epoch"] == 2}
    assert kept.training["network"] == min(losses, key=losses.__getitem__)
    assert kept.training["validation_loss"] == pytest.approx(min(losses.values()), rel=1e-4)
    signal = scipy.io.loadmat(whole.table.parent / "0.mat")["vibration"]
    assert kept.diagnose(signal, 12000.0).label in kept.classes


def test_the_sidebands_of_a_gear_in_good_order_are_kept_in_the_model(script, tmp_path):
    turns = 25 * np.arange(30_000) / 6000
    noise = 0.1 * np.random.default_rng(0).normal(size=len(turns))

    def recording(label, depth):
        mesh = (1 + depth * np.cos(2 * np.pi * turns)) * np.cos(2 * np.pi * 21 * turns)
        return Recording((mesh + noise)[:, None], label, 6000.0, speed=25.0, gear=named_gear("21"))

    recordings = [recording("healthy", 0.2), recording("worn tooth", 0.6)]
    kept = script.compare(script.Options(recordings=tmp_path), recordings, None, tmp_path).best_model.shaft
    assert kept["gear"] == {"mesh": 21.0, "tooth": 1.0}
    assert kept["healthy_sidebands_db"] == [pytest.approx(-17, abs=0.5)]


def test_windows_in_revolutions_are_kept_in_the_model(call, quick, script, tmp_path, capsys):
    """Trained at one speed, asked at another; another machine starts from it only with windows of the same kind."""
    table = write_machine(tmp_path, length=40_000)
    turns = ("--recordings", table, *TINY, "--revolutions", 4)
    assert "the speed of 0.mat is not known, and windows in revolutions need it" in str(call(*turns, "--out", tmp_path / "no"))
    assert call(*turns, "--speed-rpm", 1800, "--out", tmp_path / "a") is None
    printed = capsys.readouterr().out
    assert "windows of 256 samples: 4 revolutions of the shaft, 64 samples in each" in printed
    assert "revolutions  samples in each  rpm" in printed
    kept = load(tmp_path / "a" / "model")
    assert (kept.per_revolution, kept.sampling_rate, kept.window_length) == (True, 64, 256)
    assert kept.training["speed_rpm"] == [1800.0, 1800.0]
    signal = scipy.io.loadmat(tmp_path / "0.mat")["vibration"]
    answer, same = kept.diagnose(signal, 12_000.0, 30.0), kept.diagnose(signal, 6000.0, 15.0)  # as many samples a revolution
    np.testing.assert_allclose(answer.probabilities, same.probabilities, atol=1e-6)
    options = script.Options(start=tmp_path / "a" / "model", window_length=256)
    other = Recording(signal, "new", 64, speed=25.0, per_revolution=True)
    assert script.read_start(options, [other]).classes == kept.classes
    start = ("--from", tmp_path / "a" / "model", "--speed-rpm", 1500)
    code = str(call("--recordings", table, *TINY, *start, "--out", tmp_path / "c"))
    assert "was trained otherwise (windows in: revolutions there, seconds here; " in code
    assert code.endswith("choose the same, such as --revolutions 4 --samples-per-revolution 64")


def test_fine_tuning_starts_from_a_network_of_another_machine(call, quick, script, tmp_path):
    """Other classes; a frozen body stays as it was; a network of another kind of windows is refused."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert call("--recordings", write_machine(first), *TINY, "--out", tmp_path / "a") is None
    table = write_machine(second, labels=("good", "worn", "broken"))
    start = ("--from", tmp_path / "a" / "model", "--body-rate", 0, "--windows-per-class", 20)
    assert call("--recordings", table, *TINY, *start, "--out", tmp_path / "b") is None
    one, other = (load(tmp_path / name / "model") for name in ("a", "b"))
    body = lambda bundle: {name: leaf for name, leaf in bundle.variables["params"].items() if name != "classifier"}  # noqa: E731
    tiny.assert_equal(body(one), body(other))
    assert (one.classes, other.classes) == (("good", "worn"), ("good", "worn", "broken"))
    text = table.read_text()
    table.write_text(text.replace("12000", "6000"))
    code = str(call("--recordings", table, *TINY, *start, "--out", tmp_path / "c"))
    assert re.search(r"error: --from .*model was trained otherwise \(sampling rate: 12000.0 there, 6000.0 here\)", code)
    # brought to the rate of the first network, they are accepted
    options = script.Options(recordings=table, start=tmp_path / "a" / "model", networks=("drsn_cw",), window_length=256)
    with pytest.raises(ValueError, match="trained otherwise"):
        script.read_start(options, data_options.read(options))
    options = dataclasses.replace(options, resample=12000.0)
    assert script.read_start(options, data_options.read(options)).sampling_rate == 12000
    # these scripts train on windows without their mean
    keeps_level = dataclasses.replace(one, remove_mean=False, network=one.network.clone(standardise=False, scale=(2.0,)))
    save(tmp_path / "level", keeps_level)
    with pytest.raises(ValueError, match="standardisation: by the level of its windows there, window here"):
        script.read_start(dataclasses.replace(options, start=tmp_path / "level"), data_options.read(options))


def test_a_network_saved_from_python_is_one_to_start_from(call, tmp_path, capsys):
    """It says nothing of its training; its kind and its windows decide, and what contradicts them is refused.

    Without validation no network is kept.
    """
    network = drsn_cs(classes=2, widths=(4,), units=(1,), standardise=True)
    variables = jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), np.zeros((1, 128, 1)))
    save(tmp_path / "model", Bundle(network, variables, ("a", "b"), 128, 12_000.0, 128))
    table = write_machine(tmp_path, labels=("a", "worn"))
    start = ("--recordings", table, "--from", tmp_path / "model", "--dry-run", "--validation", 0)
    code = call(*start, "--networks", "resnet", "--out", tmp_path / "b")
    assert "is of the kind drsn_cs: leave out --networks" in str(code)
    assert call(*start, "--out", tmp_path / "a") is None
    assert {row["network"] for row in rows(tmp_path / "a", "results")} == {"spectrum_logistic", "drsn_cs"}
    assert "no network is kept: with --validation 0.2" in capsys.readouterr().out
    assert not (tmp_path / "a" / "model").exists()
