"""The benchmark of starts: what it refuses, and that it times what it says."""

from typing import Any

import numpy as np
import pytest
import start_speed
import tiny

from drsn_jax.diagnosis.bundle import Bundle


class Rows:
    """A folder of a run that keeps its rows in memory."""

    def __init__(self):
        self.kept = {}

    def add_rows(self, name, rows):
        self.kept[name] = rows


def test_it_times_answers_and_not_something_else(capsys):
    model = Bundle(tiny.network, tiny.variables(), ("a", "b", "c"), tiny.LENGTH, 12_000.0, 32)
    windows = np.random.default_rng(0).normal(size=(3, tiny.LENGTH, 1)).astype(np.float32)
    np.testing.assert_allclose(start_speed.exactly(model, windows), model.predict_proba(windows), rtol=1e-5)
    rows: Any = Rows()
    start_speed.time_sizes(rows, "tiny", model, start_speed.Options(sizes=(3, 2), calls=2))
    assert [row["windows"] for row in rows.kept["sizes"]] == [3, 2]
    for row in rows.kept["sizes"]:
        assert row["ratio"] == pytest.approx(row["milliseconds"] / row["milliseconds_of_its_own_program"], rel=0.01)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--networks", "perceptron"], "unknown networks perceptron: choose from "),
        (["--sizes", "0", "2"], "--sizes are numbers of windows from 1"),
        (["--turns", "0"], "turns"),
    ],
)
def test_what_cannot_be_measured_is_refused(given, told, tmp_path):
    assert told in str(tiny.run_script(start_speed, *given, "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.process
def test_a_process_that_fails_is_no_measurement(tmp_path):
    clock, processor, printed = start_speed.timed(["-c", "print('well')"], tmp_path)
    assert clock > 0 <= processor
    assert printed == "well\n"
    with pytest.raises(ValueError, match=r"failed: .*no such thing"):
        start_speed.timed(["-c", "raise SystemExit('no such thing')"], tmp_path)
