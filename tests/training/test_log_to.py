"""Records of a training go to a logger: the numbers that are known, under the names of ``metrics.jsonl``."""

import jax
import numpy as np
import tiny

from drsn_jax.training import log_to
from drsn_jax.training.batches import Batches
from drsn_jax.training.loop import fit
from drsn_jax.training.progress import Epoch
from drsn_jax.training.state import create_state


class Run:
    """A stand-in for a run of wandb or trackio."""

    def __init__(self):
        self.records = []

    def log(self, record):
        self.records.append(record)


def test_a_training_is_logged_epoch_by_epoch():
    windows, labels = tiny.tones(24, 1)
    run, state = Run(), create_state(tiny.network, tiny.optimizer, jax.random.key(0), windows)
    training = fit(tiny.step, state, Batches(windows, labels, 8), epochs=2, learning_rate=lambda step: 0.1)
    for number, epoch in enumerate(log_to(run, training), 1):
        assert len(run.records) == number  # before the caller has it
        record = run.records[-1]
        assert record["epoch"] == number
        assert (record["train_loss"], record["train_accuracy"]) == (epoch.loss, epoch.accuracy)
        assert record["learning_rate"] == 0.1
        assert not {"validation_loss", "validation_accuracy", "device_memory_bytes"} & record.keys()
        assert all(type(value) in (int, float) for value in record.values())
    assert len(run.records) == 2


def test_members_of_an_ensemble_have_numbers_and_what_is_unknown_is_left_out():
    epoch = Epoch(3, None, np.array([0.5, np.nan]), np.array([0.75, 0.25]), 2.0, 6.0, float("nan"), np.array([1, 3]), memory=7)
    assert epoch.record() == {
        "epoch": 3,
        "train_loss/0": 0.5,
        "train_accuracy/0": 0.75,
        "train_accuracy/1": 0.25,
        "seconds": 2.0,
        "device_memory_bytes": 7,
    }
