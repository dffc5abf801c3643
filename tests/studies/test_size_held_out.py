"""A network and physics together on bearings with a size of fault that neither has seen, in noise."""

import collections
import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from drsn_jax.data.recordings import read_recordings
from drsn_jax.data.windows import make_folds
from drsn_jax.diagnosis.bundle_files import load
from drsn_jax.diagnosis.physics import Parts, doubted, recording_physics
from drsn_jax.functional import Noise, NoiseMixture, add_noise, bearing_orders
from drsn_jax.nn.presets import SIGNAL_NETWORKS
from drsn_jax.studies.comparison_results import Trial
from drsn_jax.studies.model_selection import BestModel
from drsn_jax.studies.training_config import TrainingConfig
from drsn_jax.studies.trial_data import with_noise
from drsn_jax.studies.trials import Trainer

TABLE = Path(__file__).parents[2] / "experiments" / "recordings" / "cwru_drive_end_12k.csv"
RPM = {"0 hp": 1797, "1 hp": 1772, "2 hp": 1750, "3 hp": 1730}
FAULTS = {"I": "inner race", "B": "ball", "O": "outer race"}
SIZES, RATE, WINDOW = ("007", "014", "021"), 12_000.0, 2048
NETWORK = "band_energy_linear"


@pytest.mark.slow
def test_files_of_a_size_that_was_not_trained(data_folder, tmp_path):
    """Three trainings, each asked about the twelve files of the size that it has not seen, as recorded and at -5 dB."""
    recordings = [
        dataclasses.replace(r, label=FAULTS[r.label[0]], condition=r.label.split("@")[0][-3:], group=r.condition)
        for r in read_recordings(TABLE, data_folder / "cwru" / "drive_end_12k")
    ]
    bearing, counted = bearing_orders(9, 7.94, 39.04), collections.Counter()
    for size in SIZES:
        model = trained(recordings, size, tmp_path / size)
        for number, recording in enumerate(recordings):
            if recording.condition != size:
                continue
            whole = np.asarray(recording.signal)
            noisy = np.asarray(add_noise(jax.random.fold_in(jax.random.key(7), number), whole, -5.0))
            for level, signal in (("clean", whole), ("-5 dB", noisy)):
                found = model.diagnose(signal, RATE)
                speed = RPM[recording.group] / 60
                physics = recording_physics(lambda a, b, s=signal: s[a:b], len(signal), RATE, speed, Parts(bearing))
                found = doubted(found, physics.evidence)
                counted[level, "not sure" if not found.sure else "right" if found.label == recording.label else "wrong"] += 1
    print(dict(counted))
    assert counted["-5 dB", "right"] + counted["-5 dB", "not sure"] >= 33
    assert counted["-5 dB", "wrong"] <= 2
    assert counted["-5 dB", "right"] >= 12  # a model that is never sure would be of no use


def trained(recordings, size, folder):
    """The model of two sizes, in noise of four kinds behind a random filter."""
    fold = make_folds(
        recordings, "condition", test_condition=size, window_length=WINDOW, train_stride=WINDOW // 2, validation=0.2
    )
    cut = fold[0]()
    mixture = NoiseMixture(("gaussian", "laplacian", "pink", "impulsive"), (-10.0, 10.0), filter_db=8.0)
    data = with_noise(cut, seed=0, noise=Noise("gaussian", -5.0), train_noise=mixture)
    config = TrainingConfig(epochs=30, batch_size=128, optimizer="adamw")
    result = Trainer(SIGNAL_NETWORKS[NETWORK](classes=3), config, examples=len(cut.train.windows)).run(data, seed=0)
    facts = {
        "classes": tuple(dict.fromkeys(r.label for r in recordings)),
        "window_length": WINDOW,
        "stride": WINDOW // 2,
        "sampling_rate": RATE,
        "channel": "",
        "channels": 1,
    }
    kept = BestModel(folder, facts)
    assert kept.offer(Trial(NETWORK, data.noise, "size", size, 0), data, cut, result, list)  # pyright: ignore[reportArgumentType]
    return load(folder)
