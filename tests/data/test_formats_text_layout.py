"""Files of text as loggers, oscilloscopes and spreadsheets write them: what is a header, a name, a unit, a sample."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signal_files import refused, whole

from drsn_jax.data.formats.text import read_text

COUNT = 700
SIGNAL = np.random.default_rng(3).normal(size=(COUNT, 2)).round(6)
LVM = """LabVIEW Measurement\t
Writer_Version\t2
Separator\tTab
Decimal_Separator\t.
X_Columns\tOne
Date\t2026/11/28
***End_of_Header***\t
\t
Channels\t2\t\t
Samples\t700\t700\t
X_Dimension\tTime\tTime\t
X0\t0.0\t0.0\t
Delta_X\t7.8125E-5\t7.8125E-5\t
***End_of_Header***\t\t\t
X_Value\tVoltage\tVoltage_0\tComment
"""


def rows(separator=",", digits=6, end="", first=None):
    """Lines of the two columns of SIGNAL, under another one where ``first`` makes it of the number of the line."""
    lead = (lambda i: "") if first is None else (lambda i: first(i) + separator)
    return "".join(lead(i) + separator.join(f"{v:.{digits}f}" for v in row) + end + "\n" for i, row in enumerate(SIGNAL.tolist()))


def write(folder, content, name="a.csv"):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def check(file, channel, column=0):
    np.testing.assert_array_equal(whole(file, channel)[:, 0], SIGNAL[:, column].astype(np.float32))


@pytest.mark.parametrize(
    ("content", "channel", "column"),
    [
        ("x,y\n" + rows(), "y", 1),
        ("x,y\ng,g\n" + rows(), "y", 1),
        ("x,y\n(mV),(V)\n\n" + rows(), "x", 0),
        ("x,y\n[m/s^2],[m/s^2]\n" + rows(), "x", 0),
        ("Logger 5, built 2019\nSerial,17\nFirmware,x\n\nx,y\n" + rows(), "x", 0),
        ("700\nx,y\n" + rows(), "x", 0),
        ("% Serial: 17\n% x, y\n" + rows(), "y", 1),
        ("# 12000\n" + rows(), "2", 1),
        ("// made by hand\nx;y\n" + rows(";"), "y", 1),
        ("x;y;\n" + rows(";", end=";"), "y", 1),
        ("x;y\n" + rows(";", end=";"), "y", 1),
        (rows(end=","), "2", 1),
        (rows("|"), "2", 1),
        ("sep=;\nx;y\n" + rows(";"), "y", 1),
        ("x;y\n" + rows(";").replace(".", ","), "y", 1),
        (rows("\t").replace(".", ","), "2", 1),
        ('"x y" "z"\n' + "".join(f'"{i}" {a:.6f} {b:.6f}\n' for i, (a, b) in enumerate(SIGNAL, 1)), "z", 1),  # R
        ("label,x,y\n" + rows(first=lambda i: "worn"), "y", 1),
        ("Model,5\nSerial,x\nlabel,x,y\n" + rows(first=lambda i: "worn"), "y", 1),
        ("temperature,x,y\n" + rows(first=lambda i: "" if i % 5 else "20.5"), "y", 1),
        ("day,x,y\n" + rows(first=lambda i: "2026-11-28"), "y", 1),
        ("0,1\n" + rows(), "2", 1),
        ("1,2\n" + rows(), "2", 1),
        ("x-axis,1,2\nsecond,Volt,Volt\n" + rows(first=lambda i: f"{i / 1000:.3f}"), "2", 1),
        ("X,CH1,CH2,Start,Increment,\nSequence,Volt,Volt,-1.2e-3,1e-3\n" + rows(first=str, end=",,"), "CH2", 1),
        ("Title,x\nRate,1000\nData\n" + rows("\t", end="\t"), "2", 1),
        ('label;"x, left";"y, left"\n' + rows(";", first=lambda i: "worn").replace(".", ","), "y, left", 1),
        ("label,x,y\n" + rows(first=lambda i: '"said ""no"", twice"'), "y", 1),
        (LVM + rows("\t", first=lambda i: f"{i / 12800:.6f}"), "Voltage_0", 1),
        (LVM + rows("\t", first=lambda i: ""), "Voltage", 0),
        (LVM + rows("\t", first=lambda i: f"{i / 12800:.6f}").replace(".", ","), "Voltage_0", 1),
    ],
)
def test_layouts(tmp_path, content, channel, column):
    check(write(tmp_path, content), channel, column)


@pytest.mark.parametrize("name", ["2003.10.22.12.06.24", "a.asc", "a.dat", "a.tsv", "a.prn", "a.lvm", "a.gz", "a.csv.gz"])
def test_the_reader_needs_no_suffix(tmp_path, name):
    content = rows("\t").encode()
    for packed in (content, gzip.compress(content)):
        signal = read_text(write(tmp_path, packed, name), "2")
        np.testing.assert_array_equal(signal.read(0, COUNT)[:, 0], SIGNAL[:, 1].astype(np.float32))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("12000\n" + "".join(f"{v:.6f}\n" for v in SIGNAL[:, 0]), "line 1 holds '12000'"),
        ("700\n12000\n" + "".join(f"{v:.6f}\n" for v in SIGNAL[:, 0]), "line 1 holds '700'"),
        ("12000\n" + "".join(f"{v:.0f}\n" for v in 1000 * SIGNAL[:, 0]), "line 1 holds '12000'"),
        ("100.2\n" + "".join(f"{v!r}\n" for v in (np.pi * SIGNAL[:, 0]).tolist()), "line 1 holds '100.2'"),
        ("x\n700.000000\n" + "".join(f"{v:.6f}\n" for v in SIGNAL[:, 0]), "line 2 holds '700.000000'"),
        ("0\n" + "".join(f"{v:g}\n" for v in SIGNAL[:, 0]), "line 1 holds '0'"),
        ("0\n" + "".join(f"{v:.0f}\n" for v in 1000 * SIGNAL[:, 0]), "line 1 holds '0'"),
        ("x\n" + "".join(f"{v:,.0f}\n".replace(",", ".") for v in 3000 * SIGNAL[:, 0]), "thousands"),
        ("x\n" + "12\n" * 300 + "".join(f"{v:,.0f}\n".replace(",", ".") for v in 3000 * SIGNAL[:, 0]), "thousands"),
        ("x\n" + "".join(f"{v:,.0f}\n" for v in 3000 * SIGNAL[:, 0]), "columns changed"),
        ("x\n0.5\n# pause\n" + "0.5\n" * 9, "line 3: the samples are interrupted"),
        ("0.5\n" * 40_000 + "# pause\n0.5\n", "line 40001: the samples are interrupted"),
        ("0.5\n" * 40_000 + "x\n0.5\n", "line 40001: 'x' is no number"),
        ("0.5\n" * 40_000 + "\n\n0.5;0.5\n", "line 40003"),
        ("300\n" + "9\n-8\n310\n" * 100, "holds 300 samples below a line that says '300'"),
        ("label,x\n95.5,1.25\n" + "worn,0.25\nworn,0.75\n" * 40, "line 2 holds '95.5 1.25'"),
        ("t,x\n95.5,1.25\n" + "".join(f"{i / 100:g},{v:g}\n" for i, v in enumerate(SIGNAL[:, 0])), "line 2 holds '95.5 1.25'"),
        ("0 1,25 2,75\n1 1.300,25 -4.205,75\n2 1.725,25 -4.255,75\n", ""),
        ("".join(f"2026-11-28 08:00:00.0,{a:.3f},{b:.3f}\n".replace(".", ",") for a, b in SIGNAL), "decimal comma"),
        ("".join(f"worn;{v:,.3f}\n".translate(str.maketrans(".,;", ",.,")) for v in 500 * SIGNAL[:, 0]), "decimal comma"),
        ("x;\n" + "0.5;\n0.75;\n" * 300 + "0.5;9\n", "sample 600 has more"),
        ("x\n100.2\n" + "".join(f"{v!r}\n" for v in (100 * np.pi * SIGNAL[:, 0]).tolist()), "line 2 holds '100.2'"),
        ("x\nn/a\n" + "0.5\n" * 40, "line 2: 'n/a' is no number"),
        ("25600\nx\n" + "".join(f"{v:.6f}\n" for v in SIGNAL[:, 0]), "line 1 holds '25600'"),
    ],
)
def test_what_may_be_no_sample_is_refused_with_its_line(tmp_path, content, told):
    refused(write(tmp_path, content), told)


def test_sensitivities_above_the_samples(tmp_path):
    refused(write(tmp_path, "Acc 1,Acc 2\n100.2,99.8\n" + rows()), "line 2 holds '100.2 99.8'", channel="Acc 1")
    refused(write(tmp_path, "Acc 1,Acc 2\n100.200000,99.800000\n" + rows()), "line 2", "far more", channel="Acc 1")
    refused(write(tmp_path, "t,Acc 1\n0,100.2\n" + rows(first=lambda i: f"{i / 1e4:.4f}")), channel="Acc 1")


def test_a_line_with_a_fault_is_no_header(tmp_path):
    for line in ("x,0.5", "0.5", "0.5,0.5,0.5", "0.500000,oops"):
        refused(write(tmp_path, f"t,acc\n{line}\n" + rows()), "line 2", channel="t")
    refused(write(tmp_path, "t,acc\n0.500000,\n" + rows()), "line 2", "''", channel="acc")
    assert len(whole(write(tmp_path, "t,acc\n0.500000,\n" + rows()), "t")) == COUNT + 1


def test_samples_above_a_line_of_words_are_no_header(tmp_path):
    """Where a label stands above and below it."""
    content = "worn,0.5\nworn,0.25\ntest,stopped\n" + "worn,0.25\nworn,0.75\n" * 40
    refused(write(tmp_path, content), "line 3", channel="2")


def test_a_signal_may_begin_with_a_round_number(tmp_path):
    values = 0.5 * np.cos(0.3 * np.arange(100.0))
    np.testing.assert_array_equal(
        whole(write(tmp_path, "x\n" + "".join(f"{v!r}\n" for v in values.tolist()))), values.astype(np.float32)[:, None]
    )


def test_gaps_and_words_only_matter_where_they_are_asked_for(tmp_path):
    late = "a,b\n" + "0.5,0.25\n" * 9000 + "0.5,off\n0.5,\n"
    file = write(tmp_path, late)
    assert len(whole(file, "a")) == 9002
    refused(file, "line 9002", "'off' is no number", channel="b")
    file = write(tmp_path, "a,b\n0.5,cold\n0.5,warm\n")
    refused(file, "'cold' is no number", "holds text", channel="b")
    refused(file, "no signal 'c'", "choose one of a", channel="c")


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_what_pandas_writes(tmp_path, columns, index, named):
    values = np.random.default_rng(0).normal(size=(50, columns))
    pd.DataFrame(values, columns=["acc", "b"][:columns] if named else None).to_csv(tmp_path / "a.csv", index=index)
    channel = "acc" if named else "0" if index else str(columns)
    expected = values[:, :1] if named or index else values[:, -1:]
    np.testing.assert_array_equal(whole(tmp_path / "a.csv", channel), expected.astype(np.float32))
    if columns == 1:
        np.testing.assert_array_equal(whole(tmp_path / "a.csv"), values.astype(np.float32))
    if named and index:
        refused(tmp_path / "a.csv", "no signal '1'", channel="1")
    if columns == 2 and not named and not index:
        refused(tmp_path / "a.csv", "may mean two columns", channel="1")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("t,x,y\n" + rows(first=lambda i: f"{i / 1000:.3f}"), ["t (looks like a time axis)", "x, y"]),
        ("x,y,label\n" + rows(end=",3"), ["label (looks like constant)"]),
        (
            "n,label\n" + "".join(f"{i},{i // 350}\n" for i in range(COUNT)),
            ["n (looks like row numbers)", "label (looks like labels)"],
        ),
        ("".join(f"{i}\n" for i in range(COUNT)), ["looks like row numbers"]),
        ("x\n" + "0.5\n" * 99, ["looks like constant"]),
        (
            "a,x\n" + "".join(f"{i / 97656:.4f},0.00\n" for i in range(300)),
            ["a (looks like rising numbers)", "x (looks like constant)"],
        ),
        ("day,x,y\n" + rows(first=lambda i: "2026-11-28"), ["day (text), x, y"]),
        ("".join(",".join(["0.5"] * 128) + "\n" for _ in range(9)), ["128 numbers in each line", "windows=True"]),
    ],
)
def test_nothing_is_taken_where_the_signal_is_in_doubt(tmp_path, content, told):
    refused(write(tmp_path, content), *told)


@pytest.mark.parametrize(
    "content",
    [
        "n,x\n" + "".join(f"{i},{v:.6f}\n" for i, v in enumerate(SIGNAL[:, 0])),
        "t,x\n" + "".join(f"{i / 1000:.3f},{v:.6f}\n" for i, v in enumerate(SIGNAL[:, 0])),
        "".join(f"{i / 1000:.3f},{v:.6f}\n" for i, v in enumerate(SIGNAL[:, 0])),
        "x,rpm\n" + "".join(f"{v:.6f},1797\n" for v in SIGNAL[:, 0]),
        "x,label\n" + "".join(f"{v:.6f},worn\n" for v in SIGNAL[:, 0]),
        ",x\n" + "".join(f"{i},{v:.6f}\n" for i, v in enumerate(SIGNAL[:, 0])),
    ],
)
def test_the_only_column_that_could_be_a_signal_is_taken(tmp_path, content):
    file = write(tmp_path, content)
    check(file, "")
    assert read_text(file, "").channel in ("x", "2")


def test_a_file_that_holds_less_than_it_promises(tmp_path):
    body = rows("\t", first=lambda i: f"{i / 12800:.6f}")
    refused(write(tmp_path, LVM.replace("\t700\t", "\t800\t") + body), "promises 800 samples and holds 700", channel="Voltage")
    refused(write(tmp_path, LVM + body + "\nChannels\t2\n"), "keep one measurement in a file", channel="Voltage")
    refused(write(tmp_path, LVM + body + "\nChannels\t2\t\n"), "line 717", "several segments", channel="Voltage")


@pytest.mark.parametrize("end", ["Mean,0.23", "Mean,", "Samples,700", "Mean;0.23"])
def test_words_behind_the_samples(tmp_path, end):
    for content in ("x,y\n" + rows(), "x,y\n" + 9 * "0.5,0.25\n", rows(), "x,y\n" + 9000 * "0.5,0.25\n"):
        for channel in "12" if content[0] != "x" else "xy":
            refused(write(tmp_path, content + end + "\n"), channel=channel)


@pytest.mark.parametrize("first", ["worn", "2026-11-28 08:00:00.5", ""])
def test_words_behind_samples_with_texts(tmp_path, first):
    for count in (30, 9000):
        body = f"{first},0.25\n{first},0.75\n" * count
        assert len(whole(write(tmp_path, "when,x\n" + body), "x")) == 2 * count
        refused(write(tmp_path, "when,x\n" + body + "Mean,0.5\n"), "Mea", channel="x")


def test_a_column_that_comes_alive_later_is_a_candidate(tmp_path):
    """Its first numbers are constant."""
    file = write(tmp_path, "x,y\n" + "".join(f"{v:.6f},{max(0, i - 9000) % 7}\n" for i, v in enumerate([*SIGNAL[:, 0]] * 14)))
    refused(file, "x, y")


NAMES = st.lists(
    st.text("abcxyzÄéAB _[]/²", min_size=1, max_size=8).map(str.strip).filter(lambda name: len(name) > 1 and name[0] != "/"),
    min_size=2,
    max_size=4,
    unique=True,
)


@given(st.data())
def test_any_layout_gives_the_numbers_back(tmp_path_factory, data):
    """A drawn table is written with a drawn separator, decimal sign, header, unit row, columns beside it and end of line."""
    names = data.draw(NAMES)
    count = data.draw(st.integers(3, 30))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(count, len(names)))
    separator = data.draw(st.sampled_from([",", ";", "\t"]))
    comma = separator != "," and data.draw(st.booleans())
    digits = data.draw(st.sampled_from([4, 6, 12]))
    cells = [[f"{v:.{digits}f}".replace(".", "," if comma else ".") for v in row] for row in values]
    extra = data.draw(st.sampled_from(["", "worn", "2026-11-28", "index"]))
    if extra:
        cells = [[str(i) if extra == "index" else extra, *row] for i, row in enumerate(cells)]
    header = [["note", *names] if extra else names]
    if data.draw(st.booleans()):
        header.append(["-", *["m/s²"] * len(names)] if extra else ["m/s²"] * len(names))
    preamble = data.draw(st.sampled_from([[], ["made by hand"], ["# Serial: 17", "# by hand", ""]]))
    trailing = data.draw(st.sampled_from(["", separator]))
    lines = [*preamble, *(separator.join(row) + trailing for row in [*header, *cells])]
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]))
    file = tmp_path_factory.mktemp("any") / "a.txt"
    file.write_bytes(data.draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode(encoding))
    which = data.draw(st.integers(0, len(names) - 1))
    expected = np.array([float(f"{v:.{digits}f}") for v in values[:, which]], np.float32)
    np.testing.assert_array_equal(whole(file, names[which])[:, 0], expected)
