"""The choices that options offer are those that the library has: tyro needs them written out."""

from pathlib import Path
from typing import get_args

import tiny

from drsn_jax.cli.data_options import SplitKind
from drsn_jax.data.split_choice import SPLITS
from drsn_jax.functional.noise import NOISE_KINDS
from drsn_jax.functional.thresholding import THRESHOLD_RULES
from drsn_jax.nn.networks import NETWORKS
from drsn_jax.nn.presets import SIGNAL_NETWORKS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_choices_are_what_there_is():
    train, ablate = (tiny.load_script(EXPERIMENTS / f"{name}.py") for name in ("fault_diagnosis", "noise_ablation"))
    assert get_args(train.NoiseKind) == get_args(ablate.NoiseKind) == tuple(NOISE_KINDS)
    assert get_args(train.NetworkName) == tuple(SIGNAL_NETWORKS)
    assert set(train.Options().networks) <= SIGNAL_NETWORKS.keys()
    assert set(get_args(ablate.Rule)) == {*THRESHOLD_RULES, "none"}
    assert ablate.Options().rules == get_args(ablate.Rule)
    assert set(get_args(SplitKind)) == set(SPLITS)


def test_the_benchmark_offers_some_of_the_networks():
    throughput = tiny.load_script(EXPERIMENTS / "benchmarks" / "throughput.py")
    assert set(get_args(throughput.NetworkName)) <= NETWORKS.keys()
