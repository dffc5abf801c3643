"""Checks of options: what passes, and the sentence for what does not."""

import math
from dataclasses import make_dataclass
from typing import Any

import pytest

from drsn_jax.cli import checks
from drsn_jax.core.errors import UserError


def options(**values: Any) -> Any:
    return make_dataclass("Options", values)(**values)


def test_what_passes():
    checks.at_least(options(epochs=1, patience=None, batches=(1, 2), none=()), 1, "epochs", "patience", "batches", "none")
    checks.positive(options(rate=0.1, resample=None), "rate", "resample")
    checks.different(options(noise=("gaussian", "pink")), "noise")
    checks.different(options(levels=()), "levels", empty=True)
    checks.snr(options(snr_db=(-100.0, 0.0, 100.0, math.inf)), "snr_db")
    checks.seeds(options(seed=2**32 - 2, seeds=2))


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: checks.at_least(options(batch_size=0), 1, "batch_size"), "--batch-size must be at least 1, got 0"),
        (lambda: checks.at_least(options(size=3), 16, "size", unit="samples"), "--size must be at least 16 samples, got 3"),
        (lambda: checks.at_least(options(batches=(4, 0)), 1, "batches"), "--batches must be at least 1, got 0"),
        (lambda: checks.at_least(options(seconds=math.nan), 0, "seconds"), "--seconds must be at least 0, got nan"),
        (lambda: checks.positive(options(rate=math.inf), "rate"), "--rate must be a positive number, got inf"),
        (lambda: checks.positive(options(rate=0.0), "rate", unit="Hz"), "--rate must be a positive number of Hz, got 0.0"),
        (lambda: checks.different(options(noise=()), "noise"), "--noise needs at least one value"),
        (lambda: checks.different(options(a=(1, 1)), "a", empty=True), "--a needs different values, got [1, 1]"),
        (lambda: checks.snr(options(snr_db=(0.0, math.nan)), "snr_db"), "--snr-db nan is no usable ratio: give numbers from"),
        (lambda: checks.snr(options(snr_db=(-math.inf,)), "snr_db"), "--snr-db -inf is no usable ratio"),
        (lambda: checks.seeds(options(seed=2**32 - 1, seeds=2)), "--seed must be from 0 to 2**32 - 1, got 4294967295"),
        (lambda: checks.seeds(options(seed=-1, seeds=1)), "--seed must be from 0 to 2**32 - 1, got -1"),
        (lambda: checks.snr_range(options(levels=(5.0, 5.0)), "levels"), "--levels is a range from low to high within -100"),
        (lambda: checks.snr_range(options(levels=(math.nan, 5.0)), "levels"), "--levels is a range from low to high within -100"),
        (lambda: checks.spread(options(devices=3, batch_size=32)), "--devices must divide --batch-size 32, got 3"),
        (lambda: checks.spread(options(devices=0, batch_size=32)), "--devices must divide --batch-size 32, got 0"),
        (lambda: checks.stages(options(widths=(4, 8), units=(1,))), "--widths and --units have one number for each stage"),
    ],
)
def test_what_is_refused(check, message):
    with pytest.raises(UserError) as caught:
        check()
    assert str(caught.value).startswith(message)
