"""Run folders: begun, continued, refused; tables whose rows are never half-written; metrics with a cut last line."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drsn_jax
from drsn_jax.core.errors import UserError
from drsn_jax.core.files import exclusive
from drsn_jax.studies import runs
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.tables import read_metrics, read_rows

CONFIG = {"seed": 1, "networks": ("resnet", "drsn_cw"), "snr_db": -5.0}
KEY = ("network", "seed")


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run", CONFIG)


def row(network="resnet", seed=0, accuracy=0.5):
    return {"network": network, "seed": seed, "accuracy": accuracy}


# --- the folder


def test_a_new_folder_says_what_was_asked_and_on_what(tmp_path):
    run = RunFolder(tmp_path / "deep" / "run", CONFIG)
    assert json.loads((run.path / "config.json").read_text()) == {**CONFIG, "networks": ["resnet", "drsn_cw"]}
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["devices"][0].startswith("cpu:")
    assert len(environment["devices"]) == 8
    assert environment["packages"]["drsn-jax"] == drsn_jax.__version__
    assert {"python", "platform", "cores"} < environment.keys()
    assert {file.name for file in run.path.iterdir()} == {"config.json", "environment.json", ".lock"}


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "run").mkdir()
    RunFolder(str(tmp_path / "run"), CONFIG)
    assert (tmp_path / "run" / "config.json").exists()


def test_the_same_configuration_continues(run):
    run.add_rows("results", [row()])
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    again = RunFolder(run.path, {"snr_db": -5.0, "networks": ["resnet", "drsn_cw"], "seed": 1})
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before
    assert again.rows("results") == [{"network": "resnet", "seed": "0", "accuracy": "0.5"}]


@pytest.mark.parametrize(
    ("changed", "listed"),
    [
        ({"seed": 2}, r"\(seed: 1 there, 2 now\)"),
        ({"snr_db": -4.0, "seed": 3}, r"\(seed: 1 there, 3 now; snr_db: -5.0 there, -4.0 now\)"),
        ({"networks": ("drsn_cw", "resnet")}, r"networks: \['resnet', 'drsn_cw'\] there, \['drsn_cw', 'resnet'\] now"),
        ({"new": 1}, "new: None there, 1 now"),
        ({"new": None}, "new"),
    ],
)
def test_another_configuration_is_refused_and_the_difference_listed(run, changed, listed):
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    with pytest.raises(ValueError, match=f"holds a run with another configuration .*{listed}.*: choose another --out"):
        RunFolder(run.path, {**CONFIG, **changed})
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before


def test_an_option_that_is_missing_now_is_a_difference(run):
    with pytest.raises(ValueError, match="seed: 1 there, None now"):
        RunFolder(run.path, {name: value for name, value in CONFIG.items() if name != "seed"})


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is no run folder: choose another --out"):
        RunFolder(tmp_path, CONFIG)
    with pytest.raises(ValueError, match="exists and is no run folder"):
        RunFolder(tmp_path / "thesis.txt", CONFIG)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "mine"


# --- tables


def test_rows_are_added(run):
    assert run.rows("results") == []
    run.add_rows("results", [row("resnet"), row("drsn_cw")])
    run.add_rows("results", [row("resnet", 1, 0.25)])
    assert (run.path / "results.csv").read_bytes() == (b"network,seed,accuracy\nresnet,0,0.5\ndrsn_cw,0,0.5\nresnet,1,0.25\n")
    assert [r["accuracy"] for r in run.rows("results")] == ["0.5", "0.5", "0.25"]


def test_rows_of_an_interrupted_trial_are_replaced(run):
    run.add_rows("confusion", [row("resnet", 0, 1), row("resnet", 0, 2)], key=KEY)
    run.add_rows("confusion", [row("resnet", 1, 3)], key=KEY)
    run.add_rows("confusion", [row("drsn_cw", 0, 4)], key=KEY)
    run.add_rows("confusion", [row("resnet", 0, 5)], key=KEY)
    assert [r["accuracy"] for r in run.rows("confusion")] == ["3", "4", "5"]


def test_numbers_are_the_same_key_after_reading(run):
    rows = [{"snr_db": level, "x": 1} for level in (-5.0, 0.0, float("inf"))]
    for one in rows:
        run.add_rows("results", [one], key=["snr_db"])
    for one in rows:
        run.add_rows("results", [one | {"x": 2}], key=["snr_db"])
    assert [tuple(r.values()) for r in run.rows("results")] == [("-5.0", "2"), ("0.0", "2"), ("inf", "2")]


def test_without_a_key_nothing_is_replaced(run):
    for _ in range(2):
        run.add_rows("results", [row()])
    assert len(run.rows("results")) == 2


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\x00")), min_size=1, max_size=4))
def test_any_text_comes_back(tmp_path_factory, values):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "run", {})
    rows = [{"number": str(i), "text": value} for i, value in enumerate(values)]
    for one in rows:
        run.add_rows("names", [one])
    assert run.rows("names") == rows


def test_a_table_is_never_half_written(run, monkeypatch):
    run.add_rows("results", [row()])
    before = (run.path / "results.csv").read_bytes()

    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        run.add_rows("results", [row(seed=1)])
    assert (run.path / "results.csv").read_bytes() == before


def test_columns_that_do_not_fit_are_refused(run):
    run.add_rows("results", [row()])
    before = (run.path / "results.csv").read_bytes()
    with pytest.raises(ValueError, match=r"line 1: expected .* there is no loss among network, seed, accuracy"):
        run.add_rows("results", [{"network": "resnet", "loss": 1}])
    assert (run.path / "results.csv").read_bytes() == before


def test_a_missing_table_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "missing.csv") == []


# --- metrics


def test_records_are_on_disk_at_once(run):
    assert read_metrics(run.path) == []
    for epoch in (1, 2):
        run.log({"epoch": epoch, "loss": 0.5})
        assert len((run.path / "metrics.jsonl").read_text().splitlines()) == epoch
    assert read_metrics(run.path) == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.5}]


@pytest.mark.parametrize("cut", [2, 5, 10])
def test_a_last_line_that_was_cut_off_is_left_out(run, cut):
    for epoch in (1, 2):
        run.log({"epoch": epoch})
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    assert read_metrics(run.path) == [{"epoch": 1}]


def test_a_last_line_whose_end_an_editor_took_is_kept(run):
    """Only its line feed is missing: the record is whole, and the next one gets a line of its own."""
    for epoch in (1, 2):
        run.log({"epoch": epoch})
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    assert read_metrics(run.path) == [{"epoch": 1}, {"epoch": 2}]
    RunFolder(run.path, CONFIG).log({"epoch": 3})
    assert read_metrics(run.path) == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


def test_a_run_goes_on_after_a_line_that_was_cut_off(run):
    """Two records must not become one line, which nobody can read any more."""
    for epoch in (1, 2):
        run.log({"epoch": epoch})
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    again = RunFolder(run.path, CONFIG)
    for epoch in (2, 3):
        again.log({"epoch": epoch})
    assert read_metrics(run.path) == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


@pytest.mark.parametrize(("content", "message"), [("", "is damaged"), ("{", "is damaged"), ("[]", "holds no configuration")])
def test_a_damaged_configuration_is_told(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=rf"config\.json {message}.*choose another --out"):
        RunFolder(tmp_path, {"seed": 0})


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run", {"seed": 0})


def test_records_of_an_interrupted_trial_are_forgotten(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    for network in ("a", "b", "a"):
        run.log({"network": network, "seed": 0, "epoch": 1})
    run.log({"network": "a", "seed": 1, "epoch": 1})
    run.forget({"network": "a", "seed": 0})
    assert [(r["network"], r["seed"]) for r in read_metrics(tmp_path / "run")] == [("b", 0), ("a", 1)]


def test_records_from_an_epoch_on_are_forgotten(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    for network in ("a", "b"):
        for epoch in (1, 2, 3):
            run.log({"network": network, "epoch": epoch})
    run.forget({"network": "a"}, from_epoch=2)
    found = [(r["network"], r["epoch"]) for r in read_metrics(tmp_path / "run")]
    assert found == [("a", 1), ("b", 1), ("b", 2), ("b", 3)]


def test_a_damaged_line_is_told_with_its_file(run):
    (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n???\n{"epoch": 2}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 is damaged .*take out the line"):
        read_metrics(run.path)


# --- one at a time


def test_two_runs_do_not_work_in_one_folder(run, monkeypatch):
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.1)
    other = RunFolder(run.path, CONFIG)
    message = r"another run is at work in .*run: wait for its end, or choose another --out"
    with run.alone(), pytest.raises(ValueError, match=message):
        other.alone().__enter__()
    with other.alone():
        pass


def test_the_lock_of_a_process_that_was_killed_goes_with_it(run):
    program = (
        "import os, signal, sys\n"
        "from drsn_jax.core.files import exclusive\n"
        "with exclusive(sys.argv[1]) as free:\n"
        "    assert free\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(run.path / ".lock")], check=False)
    assert done.returncode == -signal.SIGKILL
    with run.alone():
        pass


def test_a_folder_with_a_lock_alone_is_new(tmp_path):
    (tmp_path / ".lock").write_text("")
    RunFolder(tmp_path, CONFIG)


def at_once(count, call):
    """What ``call(number)`` returns in so many threads that begin at the same moment; locks know threads and processes alike."""
    barrier = threading.Barrier(count)

    def wait_and_call(number):
        barrier.wait()
        return call(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_call, range(count)))


def test_of_two_runs_that_begin_at_once_one_works_under_its_own_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_environment", dict)
    told = []

    def begin(path, seed):
        """Return the seed of the configuration that this run works under; None where it is refused."""
        config = None
        try:
            folder = RunFolder(path, {"seed": seed})
            with folder.alone():
                config = json.loads((path / "config.json").read_text())["seed"]
                folder.add_rows("results", [{"seed": seed}])
        except UserError as error:
            told.append(str(error))
        return config

    for number in range(100):
        path = tmp_path / str(number)
        found = at_once(2, lambda seed, path=path: begin(path, seed))
        assert sorted(found, key=str) in ([0, None], [1, None])
        seed = next(seed for seed in found if seed is not None)
        assert found[seed] == seed
        assert read_rows(path / "results.csv") == [{"seed": str(seed)}]
        assert json.loads((path / "config.json").read_text()) == {"seed": seed}
    assert len(told) == 100
    assert all("holds a run with another configuration" in line or "is at work" in line for line in told)


def test_of_equal_runs_that_begin_at_once_one_works(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_environment", dict)
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.05)
    ended = threading.Barrier(2)

    def begin(path):
        worked = "worked"
        try:
            with RunFolder(path, {}).alone():
                ended.wait()
        except UserError as error:
            worked = str(error)
            ended.wait()
        return worked

    for number in range(20):
        refused, worked = sorted(at_once(2, lambda _, path=tmp_path / str(number): begin(path)))
        assert worked == "worked"
        assert refused.startswith("another run is at work in ")


def test_a_run_at_work_is_not_disturbed_by_a_second_one(run):
    """Its last record may be half written when the second one looks."""
    with run.alone():
        (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo')
        temporary = run.path / ".results.csv.abcd_123"
        temporary.write_text("")
        RunFolder(run.path, CONFIG)
        assert (run.path / "metrics.jsonl").read_text().endswith('{"epo')
        assert temporary.exists()


def test_what_a_kill_left_is_swept_and_other_hidden_files_stay(run):
    own = ("results.csv", "config.json", "metrics.jsonl", "features_resnet.npz", "accuracy.png", "report.html")
    (run.path / "model").mkdir()
    left = [run.path / f".{name}.k3x9_a2b" for name in own]
    left += [run.path / "model" / f".{name}.k3x9_a2b" for name in ("weights.safetensors", "model.json")]
    stays = [run.path / name for name in (".settings", ".notes.settings", ".results.csv.swp", ".gitignore", ".lock", "a.csv")]
    for file in (*left, *stays):
        file.write_text("")
    with exclusive(run.path / ".lock"):
        RunFolder(run.path, CONFIG)  # another run may be writing
    assert all(file.exists() for file in left)
    with RunFolder(run.path, CONFIG).alone():
        assert not [file for file in left if file.exists()]
    assert all(file.exists() for file in stays)


def test_a_full_disk_names_the_file(run, monkeypatch):
    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*results\.csv'"):
        run.add_rows("results", [row()])


def test_places_of_the_data_are_kept_and_not_compared(tmp_path):
    config = {"recordings": "data", "folder": None, "data": "1234"}
    places = ("recordings", "folder")
    RunFolder(tmp_path / "run", config, places=places)
    RunFolder(tmp_path / "run", {**config, "recordings": "../moved/data", "folder": "/there"}, places=places)
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == config
    with pytest.raises(ValueError, match=r"another configuration \(other recordings"):
        RunFolder(tmp_path / "run", {**config, "data": "5678"}, places=places)


def test_names_in_tables_are_no_formulas(tmp_path):
    """They are read as they were written, so that a row is found again; numbers stay numbers."""
    run = RunFolder(tmp_path / "run", {})
    names = ["=1+1", "-a", "@b", "'=c", "plain", "\udcff"]
    for _ in range(2):  # the second time they replace the first
        for name in names:
            run.add_rows("confusion", [{"true": name, "snr_db": -5.0}], key=["true"])
    assert run.rows("confusion") == [{"true": name, "snr_db": "-5.0"} for name in [*names[:5], r"\udcff"]]
    lines = (tmp_path / "run" / "confusion.csv").read_text().splitlines()
    assert lines == ["true,snr_db", *(f"{name},-5.0" for name in ("'=1+1", "'-a", "'@b", "''=c", "plain", r"\udcff"))]


def test_a_fingerprint_is_told_in_words(tmp_path):
    RunFolder(tmp_path / "run", {"data": 32 * "ab", "start": None})
    wrong = r"another configuration \(other recordings \(their samples differ\); start: None there, a fingerprint now\)"
    with pytest.raises(ValueError, match=wrong):
        RunFolder(tmp_path / "run", {"data": 32 * "cd", "start": 32 * "ef"})
