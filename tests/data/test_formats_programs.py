"""Text as programs and instruments write it: LabVIEW, catman, Audacity, COMSOL, Fortran, Excel, MATLAB's dates."""

import numpy as np
import pytest
from signal_files import PAIR, refused

from drsn_jax.data.formats.open_signal import open_signal
from drsn_jax.data.recording_files import read_file

COUNT = 400
X, Y = np.round(PAIR[:COUNT].T.astype(np.float64), 5)
HEAD = (
    "LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t.\nX_Columns\t{}\nTime_Pref\tRelative\n***End_of_Header***\t\n\t\n"
)


def read(folder, content, channel="", rate=None, encoding="utf-8"):
    (folder / "a.txt").write_text(content, encoding=encoding)
    return read_file(folder / "a.txt", channel, rate)


def labview(steps, columns, first=None):
    """Write a segment of LabVIEW with a column of times for each channel, or, by ``first``, none."""
    gap = "" if first is None else "\t"
    cells = ["\t".join(f"{gap}{step}" for step in steps)] if first is None else ["\t\t".join(map(str, steps))]
    names = "\t".join(f"X_Value\tV{i}" if first is not None else f"V{i}" for i in range(len(steps)))
    head = f"Channels\t{len(steps)}\t\nDelta_X\t{cells[0]}\t\n***End_of_Header***\t\t\n"
    head += (f"X_Value\t{names}" if first is None else names) + "\tComment\n"
    for k, row in enumerate(zip(*columns, strict=True)):
        parts = [
            f"{k * step:.6f}\t{cell:.5f}" if first is not None else f"{cell:.5f}" for step, cell in zip(steps, row, strict=True)
        ]
        head += ("\t" if first is None else "") + "\t".join(parts) + "\n"
    return head


def test_labview_without_times(tmp_path):
    signal, rate = read(tmp_path, HEAD.format("No") + labview([0.0005, 0.0005], [X, Y]), "V1")
    np.testing.assert_allclose(signal[:, 0], Y, rtol=1e-6)
    assert rate == 2000


@pytest.mark.parametrize(("channel", "column", "rate"), [("V0", X, 1000), ("V1", Y, 500)])
def test_labview_with_times_for_each_channel(tmp_path, channel, column, rate):
    signal, found = read(tmp_path, HEAD.format("Multi") + labview([0.001, 0.002], [X, Y], first=True), channel)
    np.testing.assert_allclose(signal[:, 0], column, rtol=1e-6)
    assert found == rate


def test_segments_of_labview_are_told(tmp_path):
    segment = labview([0.001], [X])
    (tmp_path / "a.lvm").write_text(HEAD.format("No") + segment + "\n" + segment)
    refused(tmp_path / "a.lvm", "several segments", channel="V0")


def test_columns_of_one_name_have_numbers(tmp_path):
    content = "time (s),a,a\n" + "".join(f"{k / 1000:.4f},{x},{y}\n" for k, (x, y) in enumerate(zip(X, Y, strict=True)))
    signal, rate = read(tmp_path, content, "3")
    np.testing.assert_allclose(signal[:, 0], Y, rtol=1e-6)
    assert rate == 1000
    assert open_signal(tmp_path / "a.txt", "3").channel == "3"
    refused(tmp_path / "a.txt", "columns 2 and 3 are named a", channel="a")
    (tmp_path / "a.txt").write_text(content.replace("time (s),a,a", "2,a,a"))
    refused(tmp_path / "a.txt", channel="a")


def test_a_column_that_is_shorter_is_told(tmp_path):
    (tmp_path / "a.csv").write_text(
        "a,b\n" + "".join(f"{x},{y if k < 90 else ''}\n" for k, (x, y) in enumerate(zip(X, Y, strict=True)))
    )
    refused(tmp_path / "a.csv", "b holds numbers in 90 of the first", "shorter", channel="b")


@pytest.mark.parametrize(
    ("header", "line", "channel", "rate"),
    [
        ("MX840A\t\nTime  1 - default sample rate\tCH_1\ns\tmV/V\n", "{t:.7f}\t{x}\n", "CH_1", 1000),  # catman
        ("Time,Accel\nmsec,g's\n", "{ms:.1f},{x}\n", "Accel", 1000),
        ("Time,Accel\nms,furlong\n", "{ms:.1f},{x}\n", "Accel", 1000),
        ("1 channel (mono)\nSample Rate: 8000 Hz\n\n", "{x}\n", "", 8000),  # Audacity
        ("% Version: COMSOL 6.0\n% Time (s)   Acceleration (m/s^2)\n", "{t:<25.4f}{x:<25}\n", "Acceleration (m/s^2)", 1000),
        ("Zeit;a\n", "03. Mai 2024 10:22:30,{us:06d};{x}\n", "a", 1000),
        ("Time,a\n", "03-May-2024 10:22:30.{us:06d},{x}\n", "a", 1000),  # MATLAB
        ("Time,a\n", "03-déc-2024 10:22:30.{us:06d},{x}\n", "a", 1000),
        ("X-Axis unit:\ts\nX-Axis delta:\t0.001\nY-Axis unit:\tm/s^2\n\n", "{n}\t{t:.6e}\t{x}\n", "3", 1000),  # Brüel & Kjær
    ],
)
def test_headers_of_programs(tmp_path, header, line, channel, rate):
    lines = [line.format(n=k, us=1000 * k, t=k / 1000, ms=float(k), x=x) for k, x in enumerate(X)]
    decimal = (lambda text: text.replace(".", ",").replace("03,", "03.")) if ";" in line else str
    signal, found = read(tmp_path, header + decimal("".join(lines)), channel)
    np.testing.assert_allclose(signal[:, 0], X, rtol=1e-6)
    assert found == rate


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("count", [COUNT, 40 * COUNT])
def test_numbers_of_fortran_and_the_minus_of_typography(tmp_path, encoding, count):
    """Also behind the first lines, and in UTF-16, as Excel's "Unicode text" is."""
    values = np.resize(X, count)
    signal, _ = read(tmp_path, "".join(f" {x:.6E}\n".replace("E", "D") for x in values), "", 1000, encoding)
    np.testing.assert_allclose(signal[:, 0], values, rtol=1e-5)
    dated = "".join(f"{k / 1000:.4f}\t{x}\n".replace("-", "\N{MINUS SIGN}") for k, x in enumerate(values))
    signal, rate = read(tmp_path, "time (s)\ta\n" + dated, "a", None, encoding)
    np.testing.assert_allclose(signal[:, 0], values, rtol=1e-5)
    assert rate == 1000


def test_signs_between_thousands_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("time (s),a\n" + "".join(f'{k / 1000:.4f},"{10_000 * x:,.1f}"\n' for k, x in enumerate(X)))
    refused(tmp_path / "a.csv", "a (text, it has signs between thousands)")
