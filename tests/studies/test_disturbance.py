"""A comparison in disturbances that are no noise: other methods beside the networks, one training for all tests, pictures."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from drsn_jax.functional.noise import Noise
from drsn_jax.studies import trial_data
from drsn_jax.studies.baseline import SpectrumBaseline
from drsn_jax.studies.comparison import Comparison
from drsn_jax.studies.comparison_results import tables, tables_of
from drsn_jax.studies.comparison_tables import markdown, noise_name, summarise
from drsn_jax.studies.runs import RunFolder
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import AT_ONCE, with_noise

FOLD = tiny.fold(train=24, test=13)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Echo:
    """An echo of other windows, and silence around it: the window becomes twice as long."""

    others: jax.Array
    strength: float

    kind = "echo"
    is_none = False
    is_range = False

    @property
    def snr_db(self):
        return math.inf if self.strength == 0 else -20 * math.log10(self.strength) + 0.0

    @property
    def level(self):
        return f"{self.snr_db:g}"

    def __call__(self, key, window):
        other = self.others[jax.random.randint(key, (), 0, len(self.others))]
        return jnp.concatenate([window + self.strength * other, jnp.zeros_like(window)])


OTHERS = jnp.asarray(FOLD.train.windows[:5])
RECORDINGS = [str(number) for number in range(20)]
STRONG, WEAK = Echo(OTHERS, 1.0), Echo(OTHERS, 0.1)


def test_a_disturbance_is_drawn_with_a_key_for_each_window():
    data = with_noise(FOLD, seed=0, noise=WEAK, train_noise=STRONG)
    assert data.test.windows.shape == (13, 2 * tiny.LENGTH, 1)
    assert data.train_noisy.shape == (24, 2 * tiny.LENGTH, 1)
    added = data.train_noisy[:, : tiny.LENGTH] - FOLD.train.windows
    close = np.abs(added[:, None] - np.asarray(OTHERS)).max((2, 3)) < 1e-5
    assert close.any(1).all()
    assert close.any(0).sum() > 1
    assert np.array_equal(with_noise(FOLD, seed=0, noise=WEAK).test.windows, data.test.windows)
    assert not np.array_equal(with_noise(FOLD, seed=1, noise=WEAK).test.windows, data.test.windows)
    assert np.array_equal(trial_data.tested_in(data, FOLD, seed=0, noise=WEAK).test.windows, data.test.windows)


def test_more_windows_than_are_disturbed_at_a_time_get_what_they_get_alone():
    many = FOLD.test._replace(windows=np.resize(FOLD.test.windows, (AT_ONCE + 3, *FOLD.test.windows.shape[1:])))
    all_of_them = with_noise(FOLD._replace(test=many), seed=0, noise=WEAK).test.windows
    assert all_of_them.shape == (AT_ONCE + 3, 2 * tiny.LENGTH, 1)
    assert np.array_equal(all_of_them[:13], with_noise(FOLD, seed=0, noise=WEAK).test.windows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run of a comparison with one training for two tests, beside two methods."""
    path = tmp_path_factory.mktemp("run") / "run"
    comparison = Comparison(
        ("tiny",),
        ("a", "b", "c"),
        [STRONG, WEAK],
        (0,),
        "as given",
        TrainingConfig(epochs=2, batch_size=8, optimizer="adamw"),
        checkpoint_seconds=None,
        plan=[(STRONG, [STRONG, WEAK])],
        baselines={"first": SpectrumBaseline(3, "window"), "second": SpectrumBaseline(3, "none")},
        presets={"tiny": lambda classes: tiny.network.clone(classes=classes)},
    )
    folder = RunFolder(path, {"noise_kinds": ["echo"]}, tables=tables(("a", "b", "c"), noise_kinds=["echo"]))
    assert comparison.missing(folder, 1) == 1
    rows = list(comparison.run(FOLD, folder, RECORDINGS, lambda network, epoch: None))
    assert len(rows) == 6
    assert comparison.missing(folder, 1) == 0
    assert list(comparison.run(FOLD, folder, RECORDINGS, lambda network, epoch: None)) == []
    return path


def test_the_table_has_every_method_and_every_disturbance(folder):
    lines = summarise(folder)
    assert [line.network for line in lines] == ["first", "second", "tiny"]
    assert list(lines[0].by_noise) == ["echo 0 dB", "echo 20 dB"]
    assert lines[-1].reference == "first"
    assert "The first and the second are fitted to one draw" in markdown(lines)


def test_the_kinds_of_a_run_are_those_of_its_configuration(folder):
    kind = tables_of(folder)["results"].columns["noise"]
    assert kind.read("echo") == "echo"
    with pytest.raises(ValueError, match="gaussian"):
        kind.read("gaussian")


def test_what_has_no_level_is_named_without_it():
    assert noise_name({"noise": "4 distractors", "snr_db": "inf"}) == "4 distractors"
    assert noise_name({"noise": "none", "snr_db": "inf", "train_noise": "none", "train_snr_db": "inf"}) == "clean"


def test_a_rate_belongs_to_its_optimiser():
    assert TrainingConfig().schedule == ("sgd", 0.1)
    assert TrainingConfig(optimizer="adamw").schedule == ("adamw", 3e-3)
    assert TrainingConfig(optimizer="adamw", learning_rate=0.01).schedule == ("adamw", 0.01)
    assert TrainingConfig().trainings([Noise()]) == [(Noise(), [Noise()])]
