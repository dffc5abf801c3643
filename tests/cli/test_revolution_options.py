"""Options of windows in revolutions: what they refuse, and what becomes of recordings."""

import dataclasses

import fault_diagnosis
import numpy as np
import pytest
import scipy.io

from drsn_jax.cli import data_options, revolutions, run_options
from drsn_jax.cli.data_options import DRY_WINDOWS, DataOptions
from drsn_jax.core.errors import UserError, options_named
from drsn_jax.data.drivetrain import drivetrain_recordings
from drsn_jax.data.formats.common import RecordingWarning


@pytest.fixture
def table(tmp_path):
    """Two classes, each a tone of its own order, at two speeds."""
    lines = ["path,label,sampling_rate,condition,speed_rpm"]
    for label, order in (("a", 3), ("b", 7)):
        for rpm in (1200, 1800):
            turns = rpm / 60 * np.arange(20_000) / 8000
            scipy.io.savemat(tmp_path / f"{label}{rpm}.mat", {"v": np.sin(2 * np.pi * order * turns)})
            lines.append(f"{label}{rpm}.mat,{label},8000,{rpm},{rpm}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "t.csv"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"revolutions": 0.0}, "--revolutions must be a positive number of revolutions, got 0"),
        ({"revolutions": -1.0}, "--revolutions must be a positive number"),
        ({"revolutions": float("nan")}, "--revolutions must be a positive number"),
        ({"revolutions": float("inf")}, "--revolutions must be a positive number"),
        ({"revolutions": 5.0, "samples_per_revolution": 1}, "--samples-per-revolution must be at least 2 samples, got 1"),
        ({"revolutions": 0.01}, "--revolutions 0.01 of --samples-per-revolution 400 are 4 samples, and a window has at least 16"),
        ({"samples_per_revolution": 200}, "--samples-per-revolution goes with --revolutions"),
        (
            {"revolutions": 5.0, "resample": 8000.0},
            "--revolutions brings each recording to a rate by its speed: leave out --re",
        ),
        ({"revolutions": 5.0, "window_length": 1024}, "--revolutions says how long a window is: leave out --window-length"),
        ({"revolutions": 5.0, "windows_given": True}, "--windows-given takes windows as they are: leave out --revolutions"),
        ({"speed_rpm": 0.0}, "--speed-rpm must be a positive number of revolutions a minute, got 0"),
        ({"speed_rpm": float("nan")}, "--speed-rpm must be a positive number"),
    ],
)
def test_what_does_not_go_together(table, given, message):
    with options_named(), pytest.raises(UserError, match=message):
        data_options.check(DataOptions(recordings=table, **given))


def test_the_simulation_knows_its_speeds():
    with (
        options_named(),
        pytest.raises(UserError, match="--speed-rpm goes with --recordings or --dataset; the sim"),
    ):
        data_options.check(DataOptions(speed_rpm=1800.0))
    assert {r.speed for r in drivetrain_recordings(recordings=1, windows=1, window_length=16)} == {20.0, 30.0, 40.0}


def test_windows_of_one_order_are_the_same_at_two_speeds(table, capsys):
    options = revolutions.settle(DataOptions(recordings=table, revolutions=4.0, samples_per_revolution=64))
    assert options.window_length == 256
    slow, fast, *_ = data_options.read(options)
    wanted = np.sin(2 * np.pi * 3 * np.arange(256) / 64)
    for r in (slow, fast):
        np.testing.assert_allclose(r.signal[256:512, 0], wanted, atol=0.01)
    data_options.tell_window(options, [slow, fast])
    assert capsys.readouterr().out == "windows of 256 samples: 4 revolutions of the shaft, 64 samples in each\n"


def test_the_speed_of_all_that_do_not_tell_theirs(table):
    table.write_text(table.read_text().replace(",1200\n", ",\n"))
    options = revolutions.settle(DataOptions(recordings=table, revolutions=4.0, speed_rpm=600.0, samples_per_revolution=64))
    assert [r.speed for r in data_options.read(options)] == pytest.approx([10, 30, 10, 30])
    with pytest.raises(UserError, match=r"the speed of a1200\.mat is not known, and windows in revolutions need it"):
        data_options.read(dataclasses.replace(options, speed_rpm=None))


def test_empty_orders_and_short_windows_are_warned_of(table, capsys):
    options = revolutions.settle(DataOptions(recordings=table, revolutions=0.5))
    with pytest.warns(
        RecordingWarning, match=r"a1800\.mat has 266\.7 samples in a revolution \(so have 2 of 4 recordings\), so that of"
    ):
        found = data_options.read(options)
    data_options.tell_window(options, found)
    window, short = capsys.readouterr().out.splitlines()
    assert window == "windows of 200 samples: 0.5 revolutions of the shaft, 400 samples in each"
    assert "less than one revolution" in short
    data_options.tell_window(DataOptions(window_length=256), data_options.read(DataOptions(recordings=table)))
    window, short = capsys.readouterr().out.splitlines()
    assert window == "windows of 256 samples: 0.032 s, 0.64 to 0.96 revolutions at 1200 to 1800 rpm"
    assert "less than one revolution, so that frequencies of faults cannot be told apart in it" in short


def test_a_dry_run_takes_short_windows_of_as_many_revolutions(table):
    options = data_options.shorten(revolutions.settle(DataOptions(recordings=table, revolutions=5.0, dry_run=True)))
    assert (options.samples_per_revolution, options.window_length) == (51, 255)
    found = data_options.read(options)
    assert max(len(r.signal) for r in found) <= DRY_WINDOWS * 255


def test_the_simulation_makes_as_many_windows_as_were_asked_for():
    options = revolutions.settle(DataOptions(revolutions=2.0, samples_per_revolution=64, windows=3))
    found = data_options.read(options)
    assert {len(r.signal) for r in found} == {3 * 128}
    assert {r.sampling_rate for r in found} == {64}


def test_runs_without_revolutions_are_those_of_earlier_versions():
    """Which did not know these options: a run of theirs goes on."""
    plain = run_options.config(fault_diagnosis.Options(speed_rpm=1500.0))
    assert not {"revolutions", "samples_per_revolution", "speed_rpm"} & set(plain)
    turned = run_options.config(fault_diagnosis.Options(revolutions=5.0, speed_rpm=1500.0))
    assert (turned["revolutions"], turned["samples_per_revolution"], turned["speed_rpm"]) == (5.0, 400, 1500.0)
