"""Many trials in one run folder: written once, continued, the same bytes again."""

import dataclasses

import numpy as np
import pytest
import tiny

from drsn_jax.diagnosis.bundle_files import load
from drsn_jax.functional.noise import Noise
from drsn_jax.studies.baseline import BASELINE
from drsn_jax.studies.comparison import Comparison, noises
from drsn_jax.studies.comparison_results import TRIAL, Trial
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.runs import RunFolder, read_metrics
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import with_noise
from drsn_jax.studies.trials import Result, Trainer
from drsn_jax.training.progress import Diverged

RECORDINGS = ("r0", "r1", "r2")
FOLD = tiny.fold()
TABLES = ("results", "confusion", "by_recording")
TRIALS = 2 * 2 * 2  # networks (one, and the spectrum) × levels × seeds
INF = float("inf")


CONFIG = TrainingConfig(epochs=2, batch_size=8)


@pytest.fixture(scope="module")
def comparison():
    """Compiled once for all tests."""
    return Comparison(
        networks=("resnet",),
        classes=("a", "b", "c"),
        noises=noises(("gaussian",), (-5.0, 5.0)),
        seeds=(0, 1),
        protocol="by hand",
        config=CONFIG,
        size={"widths": (4,), "units": (1,), "implementation": "modules"},
    )


def changed(comparison, **fields):
    """A comparison with other fields and the compiled trainers of this one."""
    other = dataclasses.replace(comparison, **fields)
    other.trainer = comparison.trainer
    return other


@pytest.fixture(scope="module")
def done(comparison, tmp_path_factory):
    """A whole run and its new rows."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "done", {})
    return folder, run(comparison, folder)


def run(comparison, folder, told=None, fold=FOLD):
    on_epoch = lambda network, epoch: None if told is None else told.append((network, epoch.number))  # noqa: E731
    return list(comparison.run(fold, folder, RECORDINGS, on_epoch))


def files(folder):
    return {name: (folder.path / f"{name}.csv").read_bytes() for name in TABLES}


def strip(records):
    """Records without what is measured by the clock."""
    return [{name: value for name, value in r.items() if name not in ("seconds", "windows_per_second")} for r in records]


def keys(rows):
    return [tuple(row[name] for name in TRIAL) for row in rows]


# --- what is written


def test_each_trial_is_written_once(done):
    folder, rows = done
    expected = [
        (network, "gaussian", str(level), "gaussian", str(level), "by hand", "0", str(seed))
        for level in (-5.0, 5.0)
        for seed in (0, 1)
        for network in (BASELINE, "resnet")
    ]
    assert keys(folder.rows("results")) == expected
    assert [{name: str(value) for name, value in row.items()} for row in rows] == folder.rows("results")
    assert keys(folder.rows("timings")) == [key for key in expected if key[0] == "resnet"]
    assert keys(folder.rows("confusion")) == [key for key in expected for _ in range(9)]
    assert keys(folder.rows("by_recording")) == [key for key in expected for _ in RECORDINGS]
    assert keys(folder.rows("ranking")) == expected
    assert all(0 <= float(row["macro_auroc"]) <= 1 for row in folder.rows("ranking"))


def test_the_tables_agree(done):
    folder, _ = done
    for row in folder.rows("results"):
        (key,) = keys([row])
        confusion = [r for r in folder.rows("confusion") if keys([r]) == [key]]
        by_recording = [r for r in folder.rows("by_recording") if keys([r]) == [key]]
        hits = sum(int(r["windows"]) for r in confusion if r["true"] == r["predicted"])
        assert sum(int(r["windows"]) for r in confusion) == len(FOLD.test.windows)
        assert [r["recording"] for r in by_recording] == list(RECORDINGS)
        assert [int(r["windows"]) for r in by_recording] == [4, 4, 4]
        assert sum(int(r["correct"]) for r in by_recording) == hits
        assert float(row["test_accuracy"]) == pytest.approx(hits / len(FOLD.test.windows), abs=1e-6)
        for name in "abc":
            of_class = sum(int(r["windows"]) for r in confusion if r["true"] == name)
            assert of_class == np.sum(FOLD.test.labels == "abc".index(name))


def test_every_epoch_is_logged(done):
    folder, _ = done
    records = read_metrics(folder.path)
    assert len(records) == 4 * 2
    assert [record["epoch"] for record in records] == [1, 2] * 4
    assert set(records[0]) == {
        *TRIAL, "epoch", "learning_rate", "train_loss", "train_accuracy", "test_accuracy", "seconds", "windows_per_second",
    }  # fmt: skip
    # of the last step of each epoch: a tenth of 0.1 after 2.4 of all 6 steps, a hundredth after 4.8
    assert [record["learning_rate"] for record in records[:2]] == [0.01, 0.001]
    for row in folder.rows("results"):
        last = [r for r in records if [str(r[name]) for name in TRIAL] == [row[name] for name in TRIAL]][-1:]
        if row["network"] == "resnet":
            assert last[0]["test_accuracy"] == float(row["test_accuracy"])
        else:
            assert not last


# --- continuing


def test_two_runs_give_the_same_bytes(comparison, done, tmp_path):
    folder, told = RunFolder(tmp_path / "run", {}), []
    run(comparison, folder, told)
    assert files(folder) == files(done[0])
    assert told == [("resnet", 1), ("resnet", 2)] * 4


def test_a_run_that_is_done_trains_nothing(comparison, done, monkeypatch):
    folder, _ = done
    before = {file.name: file.read_bytes() for file in folder.path.iterdir()}

    def refuse(*arguments, **options):
        raise AssertionError("a trial was made again")

    monkeypatch.setattr(Trainer, "run", refuse)
    monkeypatch.setattr(comparison.baselines[BASELINE], "run", refuse)
    assert run(comparison, RunFolder(folder.path, {})) == []
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == before


@pytest.mark.parametrize(
    ("table", "trial"), [("timings", 3), ("confusion", 3), ("by_recording", 3), ("results", 1), ("results", 4)]
)
def test_a_run_killed_between_tables_is_continued(comparison, done, tmp_path, monkeypatch, table, trial):
    """Killed when the network's trial was about to write a table; then continued."""
    folder, add_rows = RunFolder(tmp_path / "run", {}), RunFolder.add_rows
    written = []

    def add_until(self, name, rows, key=()):
        if name == table and rows[0]["network"] == "resnet":
            written.append(name)
            if len(written) == trial:
                raise KeyboardInterrupt
        add_rows(self, name, rows, key=key)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "add_rows", add_until)
        with pytest.raises(KeyboardInterrupt):
            run(comparison, folder)
    finished = len(folder.rows("results"))
    assert finished == 2 * trial - 1
    told = []
    assert len(run(comparison, RunFolder(folder.path, {}), told)) == TRIALS - finished
    # the interrupted trial was trained: its last epoch comes again from its checkpoint
    assert len(told) == 1 + 2 * (4 - trial)
    assert not (folder.path / "checkpoints").exists()
    assert strip(read_metrics(folder.path)) == strip(read_metrics(done[0].path))
    assert files(folder) == files(done[0])
    assert keys(folder.rows("timings")) == keys(done[0].rows("timings"))


def test_rows_of_an_interrupted_trial_are_replaced(comparison, done, tmp_path):
    """The last trial left wrong numbers and no result."""
    folder = RunFolder(tmp_path / "run", {})
    for name, content in files(done[0]).items():
        (folder.path / f"{name}.csv").write_bytes(content)
    lines = (folder.path / "results.csv").read_text().splitlines()
    (folder.path / "results.csv").write_text("\n".join(lines[:-1]) + "\n")
    for name in ("confusion", "by_recording"):
        lines = (folder.path / f"{name}.csv").read_text().splitlines()
        (folder.path / f"{name}.csv").write_text("\n".join([*lines[:-1], lines[-1] + "99"]) + "\n")
    assert len(run(comparison, folder)) == 1
    assert files(folder) == files(done[0])


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_a_training_in_progress_is_continued(comparison, done, tmp_path, after):
    """Stopped while its epoch is logged: that epoch is made again, from a checkpoint after every step, and logged once."""
    folder, told = RunFolder(tmp_path / "run", {}), []

    def stop(network, epoch):
        told.append(epoch.number)
        if len(told) == after:
            raise Stop

    often = changed(comparison, checkpoint_seconds=0.0)
    with pytest.raises(Stop):
        list(often.run(FOLD, folder, RECORDINGS, stop))
    (kept,) = (folder.path / "checkpoints").iterdir()
    assert kept.name.startswith("resnet-gaussian--5.0-by_hand-0-")
    run(comparison, RunFolder(folder.path, {}), told)
    assert len(told) == after + 8 - (after - 1)
    assert files(folder) == files(done[0])
    assert strip(read_metrics(folder.path)) == strip(read_metrics(done[0].path))
    assert not (folder.path / "checkpoints").exists()


def test_a_checkpoint_that_stayed_behind_is_removed(comparison, done, tmp_path):
    """Killed between the row of a result and the removal."""
    folder = RunFolder(tmp_path / "run", {})
    run(comparison, folder)
    left = comparison.checkpoints(folder, Trial("resnet", Noise("gaussian", -5.0), "by hand", "0", 0))
    left.save(1, {"x": np.ones(1)}, {})
    assert run(comparison, folder) == []
    assert not (folder.path / "checkpoints").exists()


def test_trials_have_checkpoints_of_their_own(comparison, tmp_path):
    folder = RunFolder(tmp_path / "run", {})
    trial = Trial("resnet", Noise("gaussian", -5.0), "test on 3 hp", "3 hp", 0)
    others = {"network": "senet", "noise": Noise("pink", -5.0), "protocol": "x", "fold": "3_hp", "seed": 1}
    others = [dataclasses.replace(trial, **{name: value}) for name, value in others.items()]
    others.append(dataclasses.replace(trial, noise=Noise("gaussian", 5.0)))
    folders = {comparison.checkpoints(folder, one).folder for one in (trial, *others)}
    assert len(folders) == 7
    assert {path.parent for path in folders} == {folder.path / "checkpoints"}


def test_without_checkpoints_a_training_begins_anew(comparison, tmp_path):
    folder = RunFolder(tmp_path / "run", {})

    def stop(network, epoch):
        raise Stop

    with pytest.raises(Stop):
        list(changed(comparison, checkpoint_seconds=None).run(FOLD, folder, RECORDINGS, stop))
    assert not (folder.path / "checkpoints").exists()


def test_a_training_that_diverges_has_no_row_and_the_others_go_on(comparison, done, tmp_path, monkeypatch):
    usual = Trainer.run

    def explode(self, data, *, seed, **options):
        if seed == 0 and data.noise.snr_db == 5.0:
            raise Diverged("the loss became nan in step 3", step=3)
        return usual(self, data, seed=seed, **options)

    one = changed(comparison)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", explode)
        folder = RunFolder(tmp_path / "run", {})
        assert len(run(one, folder)) == TRIALS - 1
    assert one.diverged == [("resnet, gaussian 5 dB, fold 0, seed 0", "the loss became nan in step 3")]
    assert one.missing(folder, 1) == 1
    # what is missing is made by the next run
    assert len(run(changed(comparison), folder)) == 1
    assert sorted(files(folder)["results"].splitlines()) == sorted(files(done[0])["results"].splitlines())


def test_validation_is_logged_and_the_best_is_tested(comparison, tmp_path):
    fold = FOLD._replace(validation=tiny.side(9, 4))
    config = dataclasses.replace(CONFIG, test_network="best")
    best = dataclasses.replace(comparison, config=config, noises=comparison.noises[:1], seeds=(0,))
    folder = RunFolder(tmp_path / "run", {})
    rows = run(best, folder, fold=fold)
    records = read_metrics(folder.path)
    chosen = min(records, key=lambda record: record["validation_loss"])
    assert [row["test_accuracy"] for row in rows if row["network"] == "resnet"] == [chosen["test_accuracy"]]
    assert all(0 <= record["validation_accuracy"] <= 1 for record in records)


RESULT = Result(7, np.eye(3, dtype=int), np.eye(3, dtype=int), FOLD.test.labels, 1.0)


# --- what is compared


def test_every_network_meets_the_same_windows(comparison, tmp_path, monkeypatch):
    seen = {"resnet": [], BASELINE: []}
    monkeypatch.setattr(Trainer, "run", lambda self, data, **options: seen["resnet"].append(data) or RESULT)
    monkeypatch.setattr(comparison.baselines[BASELINE], "run", lambda data, **options: seen[BASELINE].append(data) or RESULT)
    run(comparison, RunFolder(tmp_path / "run", {}))
    assert len(seen["resnet"]) == len(seen[BASELINE]) == 4
    for one, other in zip(*seen.values(), strict=True):
        np.testing.assert_array_equal(one.test.windows, other.test.windows)
        np.testing.assert_array_equal(one.train_noisy, other.train_noisy)
    assert len({data.test.windows.tobytes() for data in seen["resnet"]}) == 4


def test_noises_and_seeds_share_a_trainer(comparison):
    trainer = comparison.trainer("resnet", 24)
    assert comparison.trainer("resnet", 24) is trainer
    assert comparison.trainer("resnet", 48) is not trainer
    assert comparison.trainer("drsn_cw", 24) is not trainer
    assert trainer.config is CONFIG
    assert trainer.network.widths == (4,)


def test_an_estimate_names_every_network(comparison):
    ((network, seconds),) = comparison.estimate(FOLD)
    assert network == "resnet"
    assert seconds > 0


def test_noises():
    assert noises(("gaussian", "pink"), (-5.0, INF)) == [Noise("gaussian", -5.0), Noise(), Noise("pink", -5.0)]


def test_trials_are_counted(comparison):
    assert comparison.trials == 4


def test_no_noise_is_known_again(tmp_path):
    """An SNR of inf goes into tables and comes back as the same key."""

    class Baseline:
        collective = False

        def run(self, data, **options):
            return RESULT

    clean = Comparison((), ("a", "b", "c"), [Noise()], (0,), "", baselines={BASELINE: Baseline()})
    folder = RunFolder(tmp_path / "run", {})
    assert len(run(clean, folder)) == 1
    assert run(clean, folder) == []
    assert (folder.rows("results")[0]["noise"], folder.rows("results")[0]["snr_db"]) == ("none", "inf")


# --- one training for a range of levels


@pytest.fixture(scope="module")
def ranged(comparison):
    config = dataclasses.replace(CONFIG, train_snr_db=(-5.0, 5.0))
    tested = noises(("gaussian",), (-5.0, 0.0, INF))
    return dataclasses.replace(comparison, config=config, noises=tested, seeds=(0,), kinds=("gaussian",))


def test_a_range_is_trained_once_and_tested_at_every_level(ranged, tmp_path):
    """The clean windows too; each row says what the network was trained on."""
    folder, told = RunFolder(tmp_path / "run", {}), []
    assert (ranged.trials, ranged.missing(folder, 1)) == (1, 1)
    found = run(ranged, folder, told)
    assert told == [("resnet", 1), ("resnet", 2)]
    assert [(row["network"], row["noise"], row["snr_db"]) for row in found] == [
        (network, *noise) for network in (BASELINE, "resnet") for noise in (("gaussian", -5.0), ("gaussian", 0.0), ("none", INF))
    ]
    assert {(row["train_noise"], row["train_snr_db"]) for row in found} == {("gaussian", "-5..5")}
    assert len({row["train_accuracy"] for row in found if row["network"] == "resnet"}) == 1
    assert len(folder.rows("timings")) == 1
    assert {record["train_snr_db"] for record in read_metrics(folder.path)} == {"-5..5"}
    assert ranged.missing(folder, 1) == 0
    assert run(ranged, folder, told) == []


def test_each_level_of_a_range_is_what_that_network_does_there(ranged, tmp_path):
    """The accuracy of the same variables on the same draw of noise."""
    folder = RunFolder(tmp_path / "run", {})
    rows = [row for row in run(ranged, folder) if row["network"] == "resnet"]
    trainer = ranged.trainer("resnet", len(FOLD.train.windows))
    for row, noise in zip(rows, ranged.noises, strict=True):
        data = with_noise(FOLD, seed=0, noise=noise, train_noise=Noise("gaussian", (-5.0, 5.0)))
        again = trainer.run(data, seed=0)
        assert row["test_accuracy"] == pytest.approx(np.mean(again.predicted == FOLD.test.labels), abs=1e-6)


def test_a_range_killed_between_two_levels_goes_on(ranged, tmp_path):
    """The training comes from its checkpoint; the rows are those of a run that was not killed."""
    whole, folder = RunFolder(tmp_path / "whole", {}), RunFolder(tmp_path / "run", {})
    run(ranged, whole)
    for row in ranged.run(FOLD, folder, RECORDINGS, lambda network, epoch: None):
        if row["network"] == "resnet":
            break
    assert (len(folder.rows("results")), ranged.missing(folder, 1)) == (4, 1)
    told = []
    assert len(run(ranged, RunFolder(folder.path, {}), told)) == 2
    assert told == [("resnet", 2)]
    assert files(folder) == files(whole)
    assert not (folder.path / "checkpoints").exists()


def test_a_range_tested_only_without_noise_is_trained_in_noise():
    wide = TrainingConfig(train_snr_db=(-5.0, 5.0))
    assert wide.trainings([Noise()], ("pink",)) == [(Noise("pink", (-5.0, 5.0)), [Noise()])]
    assert wide.trainings([Noise()]) == [(Noise("gaussian", (-5.0, 5.0)), [Noise()])]
    both = noises(("gaussian", "pink"), (0.0, INF))
    assert [tests for _, tests in wide.trainings(both)] == [both[:2], both[1:]]
    assert CONFIG.trainings(both) == [(noise, [noise]) for noise in both]


def test_amplitude_is_scaled_alike_in_training_test_and_the_kept_model(comparison, tmp_path):
    """By the RMS of the training data; a model from the folder gives the accuracies of the table."""
    louder = [side._replace(windows=50 * side.windows) for side in (FOLD.train, FOLD.test, tiny.side(9, 4))]
    fold = FOLD._replace(train=louder[0], test=louder[1], validation=louder[2])
    facts = {"window_length": tiny.LENGTH, "stride": 32, "sampling_rate": 100.0, "channel": "", "channels": 1}
    folder = RunFolder(tmp_path / "run", {})
    kept = dataclasses.replace(
        comparison,
        config=dataclasses.replace(CONFIG, standardise="training"),
        noises=comparison.noises[:1],
        seeds=(0,),
        best_model=BestModel(folder.path / "model", {"classes": ("a", "b", "c"), **facts}),
    )
    (row,) = (row for row in run(kept, folder, fold=fold) if row["network"] == "resnet")
    model = load(folder.path / "model")
    assert model.network.scale == pytest.approx(np.sqrt(np.mean(np.square(fold.train.windows))), rel=0.01)
    assert not model.standardise
    data = with_noise(fold, seed=0, noise=kept.noises[0])
    hits = np.mean(model.predict(data.test.windows) == np.array(list("abc"))[data.test.labels])
    assert row["test_accuracy"] == pytest.approx(hits, abs=1e-6)
