"""What the options of the data make of the user's files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drsn_jax.cli import data_options
from drsn_jax.cli.data_options import DRY_WINDOWS, DataOptions


@pytest.mark.parametrize(("rate", "resample"), [(12000, None), (48000, 12000.0), (8000, 12000.0)])
def test_a_dry_run_takes_whole_windows_from_the_beginning_of_long_recordings(tmp_path, rate, resample):
    """As many of them where the recordings are brought to another rate first."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 60_000))
    for label, signal in zip("ab", samples, strict=True):
        (tmp_path / label).mkdir()
        soundfile.write(tmp_path / label / "x.wav", signal, rate, subtype="FLOAT")
    options = data_options.shorten(DataOptions(recordings=tmp_path, resample=resample, dry_run=True))
    found = data_options.read(options)
    assert [len(r.signal) for r in found] == pytest.approx(2 * [DRY_WINDOWS * options.window_length], abs=1)
    if resample is None:
        np.testing.assert_array_equal(found[1].signal[:, 0], samples[1, : len(found[1].signal)].astype(np.float32))


def test_what_does_not_have_to_agree_says_only_where_the_data_lies():
    """And is an option: one that were renamed would have to agree again."""
    fields = {field.name: field.type for field in dataclasses.fields(data_options.DataOptions)}
    assert [fields[name] for name in data_options.PLACES] == [Path | None] * len(data_options.PLACES)
