"""What the options of the data make of the user's files."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import tiny

from drsn_jax.cli import data_options
from drsn_jax.cli.data_options import DRY_WINDOWS, DataOptions
from drsn_jax.core.errors import UserError, options_named
from drsn_jax.data.recordings import Recording
from drsn_jax.data.windows import Side


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


def test_what_is_held_out_for_validation_is_told(capsys):
    recordings = [
        Recording(np.zeros((8, 1)), label, 1000.0, condition, f"{label}{group}", name=f"{label}-{condition}")
        for label, condition, group in [("a", "slow", 1), ("a", "fast", 2), ("b", "slow", 1), ("b", "fast", 2)]
    ]
    fold = tiny.fold()._replace(validation=Side(np.zeros((3, 4, 1)), np.array([0, 0, 1]), np.array([1, 1, 3])))
    told = {"recording": "a-fast; b-fast", "condition": "fast", "group": "a2; b2"}
    for way, names in told.items():
        data_options.tell_validation(DataOptions(validation_by=cast(Any, way)), recordings, fold)
        assert capsys.readouterr().out == f"held out for validation, by {way}: {names}\n"
    data_options.tell_validation(DataOptions(), recordings, fold)
    assert capsys.readouterr().out == ""


def test_a_way_to_hold_out_nothing_is_refused():
    with (
        options_named(),
        pytest.raises(UserError, match="--validation-by group holds nothing out with --validation 0: give"),
    ):
        data_options.check(DataOptions(validation=0.0, validation_by="group"))
