"""Sampling rates in files of text: header lines, time columns of any digits and units, dates, and where they contradict."""

import gzip

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from signal_files import refused

from drsn_jax.data.formats.text import read_text

COUNT = 3000
SIGNAL = np.random.default_rng(4).normal(size=COUNT).round(6).tolist()
TIMES = [i / 12800 for i in range(COUNT)]


def write(folder, content, name="a.csv"):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def lines(cells, separator=","):
    return "".join(f"{cell}{separator}{v:.6f}\n" for cell, v in zip(cells, SIGNAL, strict=False))


def rate(file, channel="acc"):
    signal = read_text(file, channel)
    assert (signal.sampling_rate is None) == (signal.rate_from == "")
    return signal.sampling_rate


@pytest.mark.parametrize(
    ("line", "hertz"),
    [
        ("Sampling rate: 25600 Hz", 25600),
        ("Sampling Rate [Hz],25600", 25600),
        ("# fs = 25.6 kHz", 25600),
        ("Fs=25600", 25600),
        ("Sample Rate\t25600", 25600),
        ("sample_rate;25600.0", 25600),
        ("SampleRate 25600", 25600),
        ("Abtastrate: 25600 Hz", 25600),
        ("Delta_X\t3.90625E-5\t3.90625E-5", 25600),
        ("Sample Interval (us): 39.0625", 25600),
        ("Sample interval,39.0625 µs", 25600),
        ("dt: 3.90625e-5 s", 25600),
        ("Abtastintervall: 0,0000390625", None),  # a comma where the samples have points
        ("Sampling rate: 25,600 Hz", None),  # 25.6 or 25600
        ("Sampling rate 25,600 Hz", None),
        ("25.6 kHz", 25600),
        ("Serial: 25600", None),
        ("Cutoff frequency: 10000 Hz", None),
    ],
)
def test_header_lines(tmp_path, line, hertz):
    file = write(tmp_path, f"made by hand\n{line}\nacc\n" + "".join(f"{v:.6f}\n" for v in SIGNAL))
    assert rate(file) == (None if hertz is None else pytest.approx(hertz, rel=1e-9))
    if hertz:
        assert read_text(file, "acc").rate_from == "line 2 of its header"


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_header_lines_do_not_depend_on_the_separator(tmp_path, separator):
    body = f"t{separator}acc\n" + lines([f"{t:.6f}" for t in TIMES], separator)
    for line in ("fs: 12800", "Rate,12800,,", "Rate;12.8 kHz", "fs=12800, gain=3", "Rate\t12800\t12800"):
        assert rate(write(tmp_path, f"{line}\n{body}")) == 12800
        assert "header" in read_text(tmp_path / "a.csv", "acc").rate_from
    for line in ("fs: 12,800", "Rate: 12,800 Hz", "Rate 12,800"):
        assert "steps" in read_text(write(tmp_path, f"{line}\n{body}"), "acc").rate_from


def test_what_oscilloscopes_write(tmp_path):
    names = "X,CH1,Start,Increment,\nSequence,Volt,-1.2e-3,5e-5\n"
    assert rate(write(tmp_path, names + "".join(f"{i},{v:.6f},,\n" for i, v in enumerate(SIGNAL))), "CH1") == 20_000
    beside = ["Record Length,3000,,", "Sample Interval,5e-5,,", *[",,,"] * (COUNT - 2)]
    table = "".join(f"{left}{i * 5e-5:.5f},{v:.6f},\n" for i, (left, v) in enumerate(zip(beside, SIGNAL, strict=True)))
    assert rate(write(tmp_path, table), "5") == 20_000


def test_header_lines_with_decimal_commas(tmp_path):
    content = "Abtastintervall;0,0000390625\nt;acc\n" + lines([f"{i / 25600:.7f}" for i in range(COUNT)], ";").replace(".", ",")
    assert rate(write(tmp_path, content)) == pytest.approx(25600)


@pytest.mark.parametrize("name", ["t", "Time", "time [s]", "Time/s", "t_s", "Zeit", "seconds", "X_Value", "Time (sec)"])
def test_names_of_time_columns(tmp_path, name):
    assert rate(write(tmp_path, f"{name},acc\n" + lines([f"{t:.6f}" for t in TIMES]))) == 12800


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1e3), ("us", 1e6), ("µs", 1e6), ("ns", 1e9)])
def test_units_of_time_columns(tmp_path, unit, factor):
    cells = [f"{factor * t:.6f}" for t in TIMES]
    for header in (f"Time [{unit}],acc\n", f"Time,acc\n{unit},g\n", f"Time,acc\n({unit}),(mV)\n\n", f"time_{unit},acc\n"):
        assert rate(write(tmp_path, header + lines(cells))) == 12800


@pytest.mark.parametrize("name", ["temperature", "n", "X097_DE_time", "timer_state", "position"])
def test_other_columns_are_no_time(tmp_path, name):
    assert rate(write(tmp_path, f"{name},acc\n" + lines([f"{t:.6f}" for t in TIMES]))) is None
    assert rate(write(tmp_path, "T,acc\n" + lines([f"{20 + v:.2f}" for v in SIGNAL]))) is None


def test_columns_without_names(tmp_path):
    assert rate(write(tmp_path, lines([f"{t:.6f}" for t in TIMES])), "2") == 12800
    assert "read as seconds" in read_text(tmp_path / "a.csv", "2").rate_from
    assert rate(write(tmp_path, lines([f"{1000 * t:.6f}" for t in TIMES])), "2") is None  # ms or s: 12.8 Hz is in doubt
    assert rate(write(tmp_path, lines(range(COUNT))), "2") is None


def test_a_unit_that_makes_an_impossible_rate_tells_none(tmp_path):
    """Some programs write ms above a column of seconds."""
    assert rate(write(tmp_path, "Time,acc\n(us),(mV)\n" + lines([f"{t:.6f}" for t in TIMES]))) is None


@given(
    st.sampled_from([100, 1000, 5120, 8000, 12000, 12207, 12800, 20480, 25600, 44100, 48000, 51200, 65536, 97656, 100000]),
    st.integers(20, COUNT),
    st.sampled_from(["%.3f", "%.4f", "%.5f", "%.6f", "%.9f", "%g", "%.17g"]),
    st.sampled_from([0.0, 1.0, 3600.0]),
)
def test_a_rate_from_rounded_times_is_right_or_untold(tmp_path_factory, hertz, count, form, start):
    cells = [form % (start + i / hertz) for i in range(count)]
    assume(cells[0] != cells[-1])
    file = write(tmp_path_factory.mktemp("axis"), "t,acc\n" + lines(cells))
    found = rate(file)
    assert found is None or found == pytest.approx(hertz, rel=1e-5)
    sure = form == "%.17g" or (form == "%.9f" and count > 100)
    assert found is not None or not sure


@pytest.mark.parametrize(
    "form",
    [
        "2026-11-28 08:00:{:09.6f}",
        "2026-11-28T08:00:{:09.6f}Z",
        "28.11.2026 08:00:{:09.6f}",
        "11/28/2026 08:00:{:09.6f} AM",
        "08:00:{:09.6f}",
        "2026/11/28 08:00:{:09.6f}",
        "2026-11-28 08:00:{:010.7f}+01:00",
    ],
)
def test_dates(tmp_path, form):
    for count in (COUNT, 9000):
        cells = [form.format(i / 12000) for i in range(count)]
        text = "when,acc\n" + "".join(f"{cell},{i % 7}.5\n" for i, cell in enumerate(cells))
        file = write(tmp_path, text)
        assert rate(file) == 12000
        assert "dates in its column when" in read_text(file, "acc").rate_from
        assert rate(write(tmp_path, gzip.compress(text.encode()))) == 12000


def test_a_time_of_day_over_midnight(tmp_path):
    cells = [f"{'23:59:59' if i < 1500 else '00:00:00'}.{(i - 1500) % 12000 * 1000 // 12:06d}" for i in range(COUNT)]
    assert rate(write(tmp_path, "clock,acc\n" + lines(cells))) == 12000


def test_counts_since_1970(tmp_path):
    assert rate(write(tmp_path, "timestamp,acc\n" + lines([f"{1764316800 + t:.6f}" for t in TIMES]))) == 12800
    assert rate(write(tmp_path, "timestamp,acc\n" + lines([f"{1764316800000000 + 1e6 * t:.0f}" for t in TIMES]))) == 12800


def test_coarse_dates_tell_no_rate(tmp_path):
    assert rate(write(tmp_path, "when,acc\n" + lines([f"2026-11-28 08:00:{int(t):02d}" for t in TIMES]))) is None


def test_a_time_that_jumps_is_refused(tmp_path):
    gap = [*TIMES[:1500], *(t + 0.5 for t in TIMES[1500:])]
    refused(write(tmp_path, "t,acc\n" + lines([f"{t:.6f}" for t in gap])), "jumps", "sample 1500", channel="acc")
    refused(write(tmp_path, "t,acc\n" + lines([f"{t % 0.1:.6f}" for t in TIMES])), "jumps back", "sample 1280", channel="acc")
    cells = [f"08:00:{t:09.6f}" for t in gap]
    refused(write(tmp_path, "t,acc\n" + lines(cells)), "jumps", channel="acc")
    late = [f"08:00:{i / 12000 + (i > 8000):09.6f},0.{i % 10}" for i in range(9000)]
    refused(write(tmp_path, "t,acc\n" + "\n".join(late)), "jumps", channel="acc")


def test_two_rates_that_differ_are_refused(tmp_path):
    axis = "t,acc\n" + lines([f"{t:.6f}" for t in TIMES])
    refused(write(tmp_path, "fs: 12000\n" + axis), "12000 Hz by line 1 of its header", "12800 Hz by the steps", channel="acc")
    assert rate(write(tmp_path, "fs: 12800.05\n" + axis)) == 12800.05
    table = "".join(f"{t:.6f},{v:.6f},12000\n" for t, v in zip(TIMES, SIGNAL, strict=True))
    refused(write(tmp_path, "t,acc,fs\n" + table), "12000 Hz by its column fs", channel="acc")
    assert rate(write(tmp_path, "t,acc,fs\n" + table.replace(",12000", ",12800"))) == 12800
