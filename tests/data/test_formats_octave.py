"""Octave's own text files."""

import numpy as np
import pytest
from signal_files import refused, whole

from drsn_jax.data.formats.open_signal import open_signal

X = np.random.default_rng(0).standard_normal(60)
CREATED = "# Created by Octave 8.4.0, Tue Mar 12 10:00:00 2024 UTC <me@here>\n"


def matrix(name, values, kind="matrix"):
    rows = "\n".join("".join(f" {value!r}" for value in row) for row in values.tolist())
    return f"# name: {name}\n# type: {kind}\n# rows: {values.shape[0]}\n# columns: {values.shape[1]}\n{rows}\n\n\n"


def scalar(name, value):
    return f"# name: {name}\n# type: scalar\n{value}\n\n\n"


@pytest.fixture
def save(tmp_path):
    def saved(*variables):
        (tmp_path / "a.mat").write_text(CREATED + "".join(variables))
        return tmp_path / "a.mat"

    return saved


def test_a_signal_with_its_rate(save):
    for values in (X[:, None], X[None]):
        file = save(matrix("x", values), scalar("fs", 8000))
        np.testing.assert_array_equal(whole(file)[:, 0], X.astype(np.float32))
        assert open_signal(file).sampling_rate == 8000


def test_other_types(save):
    struct = (
        "# name: s\n# type: scalar struct\n# ndims: 2\n 1 1\n# length: 2\n"
        + matrix("gs", X[:, None])
        + scalar("sr", 8000)
        + "\n\n"
    )
    whole_numbers = "# name: k\n# type: int16 matrix\n# ndims: 2\n 60 2\n" + "".join(f"  {k}\n" for k in range(120)) + "\n\n"
    text = "# name: who\n# type: string\n# elements: 1\n# length: 2\nme\n\n\n"
    on = "# name: on\n# type: bool\n1\n\n\n"
    span = "# name: t\n# type: range\n# base, limit, increment\n0 0.007375 0.000125\n\n\n"
    file = save(struct, text, on, whole_numbers, span)
    assert open_signal(file).channel == "s.gs"
    np.testing.assert_array_equal(whole(file, "k.2")[:, 0], np.arange(60, 120))
    assert open_signal(save(struct, text, on)).sampling_rate == 8000
    signal = open_signal(save(matrix("x", X[:, None]), span))
    assert (signal.channel, signal.sampling_rate) == ("x", 8000)
    refused(save(matrix("x", np.stack([X, X], 1)), text), "2 signals (x.1 [60], x.2 [60])")


def test_types_that_are_not_read_have_a_way_out(save):
    refused(save(matrix("x", X[:, None]), "# name: c\n# type: cell\n# rows: 1\n"), "c is of Octave's type cell", "save -v7")


def test_damage(save):
    text = save(matrix("x", X[:, None])).read_text()
    for damaged in (
        text[:600],
        text.replace("# rows: 60", "# rows: 61"),
        text.replace("# rows: 60", "# rows: 59"),
        text.replace("# type", "# kind"),
    ):
        (file := save()).write_text(damaged)
        refused(file)
    refused(save(), "no numeric signal")
