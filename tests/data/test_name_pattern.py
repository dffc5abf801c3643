"""Class and condition from the names of files in a flat folder."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.name_pattern import compile_pattern
from drsn_jax.data.recordings import read_folder

NAMES = st.text("abc2 ,-", min_size=1)


def folder(tmp_path, *paths):
    for number, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / path, np.random.default_rng(number).normal(size=30)) if path.endswith(".npy") else (
            tmp_path / path
        ).touch()
    return tmp_path


@given(label=NAMES, condition=NAMES, group=NAMES, rest=NAMES)
def test_a_path_is_taken_apart_as_it_was_put_together(label, condition, group, rest):
    found = compile_pattern("{label}_{condition}/[{group}]{}.mat").fullmatch(f"{label}_{condition}/[{group}]{rest}.mat")
    assert found is not None
    assert found.groupdict() == {"label": label, "condition": condition, "group": group}


def test_a_flat_folder(tmp_path):
    folder(tmp_path, "worn_2hp.npy", "good_1hp.npy", "good_2hp.npy", ".hidden.npy", "notes.pdf", "Thumbs.db")
    told = []
    found = read_folder(tmp_path, sampling_rate=100, pattern="{label}_{condition}.npy", say=told.append)
    assert [(r.name, r.label, r.condition) for r in found] == [
        ("good_1hp.npy", "good", "1hp"),
        ("good_2hp.npy", "good", "2hp"),
        ("worn_2hp.npy", "worn", "2hp"),
    ]
    (line,) = told
    assert line.startswith(f"2 files in {tmp_path} are passed over")
    assert "Thumbs.db, notes.pdf" in line


def test_parts_rates_and_folders(tmp_path):
    folder(tmp_path, "good/B1_12800.npy", "worn/B2_12800.npy")
    found = read_folder(tmp_path, pattern="{label}/{group}_{sampling_rate}.npy")
    assert [(r.label, r.group, r.sampling_rate) for r in found] == [("good", "B1", 12800.0), ("worn", "B2", 12800.0)]


def test_a_name_that_fits_in_two_ways(tmp_path):
    folder(tmp_path, "inner_race_2hp.npy")
    ways = "label inner_race, condition 2hp or label inner, condition race_2hp"
    with pytest.raises(RecordingError, match=f"inner_race_2hp.npy fits the pattern .* in two ways, {ways}"):
        read_folder(tmp_path, sampling_rate=100, pattern="{label}_{condition}.npy")
    (found,) = read_folder(tmp_path, sampling_rate=100, pattern="{label:[a-z_]+}_{condition:[0-9]+hp}.npy")
    assert (found.label, found.condition) == ("inner_race", "2hp")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{condition}.npy", "has no {label}"),
        ("*.npy", "has no {label}"),
        ("{label}_{label}.npy", "the field 'label' twice"),
        ("{label}_{speed}.npy", "or it is none of label, condition"),
        ("{label:[}.npy", "no regular expression"),
        ("{label}-{condition}.npy", "a_b.npy does not fit the pattern"),
    ],
)
def test_patterns_that_do_not_fit(tmp_path, pattern, message):
    folder(tmp_path, "a_b.npy")
    with pytest.raises(RecordingError, match=re.escape(message)):
        read_folder(tmp_path, sampling_rate=100, pattern=pattern)
