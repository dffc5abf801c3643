"""Numbers in columns of text: layouts, decimal commas, encodings."""

import numpy as np
import pytest
from signal_files import refused, whole

from drsn_jax.data.formats.common import RecordingError
from drsn_jax.data.recordings import read_file


def text(folder, content, suffix=".csv", encoding="utf-8"):
    file = folder / f"a{suffix}"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return file


@pytest.mark.parametrize(
    ("content", "channel", "values"),
    [
        ("1.5\n2\n-3e2\n", "", [1.5, 2, -300]),
        ("1.5\r\n2\r\n-3e2", "", [1.5, 2, -300]),
        ("1.5\r2\r-3e2\r", "", [1.5, 2, -300]),
        ("\n\n1.5\n\n2\n\n\n-3e2\n\n", "", [1.5, 2, -300]),
        ("acc\n1.5\n2\n-3e2\n", "acc", [1.5, 2, -300]),
        ("# made by hand\n# t, acc\n0,1.5\n1,2\n2,-3e2\n", "acc", [1.5, 2, -300]),
        ("t;acc\n0;1.5\n1;2\n2;-3e2\n", "acc", [1.5, 2, -300]),
        ("made by hand, with commas, in words\nt, acc\n0, 1.5\n1, 2\n2, -3e2\n", "acc", [1.5, 2, -300]),
        ('"t","acc"\n"0","1.5"\n"1","2"\n"2","-3e2"\n', "acc", [1.5, 2, -300]),
        ("  0   1.5  \n  1\t2\n  2 -3e2\n".replace("\t", " "), "2", [1.5, 2, -300]),
        ("\ufeffacc [m/s²]\n1.5\n2\n-3e2\n", "acc*", [1.5, 2, -300]),
        ("t,,acc\n0,9,1.5\n1,9,2\n2,9,-3e2\n", "2", [9, 9, 9]),
        ("t,acc\n0,15\n1,2\n2,-300\n", "acc", [15, 2, -300]),  # a header: no decimal commas
        ("0,-15\n1,2\n2,-300\n", "2", [-15, 2, -300]),  # no number has a sign within
    ],
)
def test_text_as_it_comes(tmp_path, content, channel, values):
    np.testing.assert_array_equal(whole(text(tmp_path, content), channel)[:, 0], np.float32(values))


@pytest.mark.parametrize(
    "content",
    [
        "1,5\n2,25\n",
        "acc\n1,5\n2,25\n",
        "t,acc\n0,1,2,5\n0,2,3,5\n",
        "0,1,2,5\n0,2,3,5\n",
        "1,2,5\n2,3,5\n",
        '"t","acc"\n"0,1","2,5"\n"0,2","3,5"\n',
        "-1,5e3\n2,25e-1\n",
        "1\n2\n2,5\n",
        "1,5\n2\n2,5\n",
        "0,1250\n" * 20_000,  # the piece that is looked at ends behind a comma
    ],
)
def test_decimal_commas_are_never_numbers(tmp_path, content):
    """Above all with a channel that would be there if the commas parted columns."""
    file = text(tmp_path, content)
    for channel in ("", "1", "2", "acc"):
        message = refused(file, channel=channel)
        if channel in ("", "1") and not content.startswith(("1\n", "-1,5e3")):
            assert "decimal comma" in message or "no signal '1'" in message or "2 signals" in message


def test_two_words_are_no_header_of_columns_parted_by_commas(tmp_path):
    for channel in ("", "today"):
        refused(text(tmp_path, "Recorded today\n1,5\n2,25\n"), "decimal comma", channel=channel)


def test_decimal_commas_are_called_so(tmp_path):
    for content in ("1,5\n2,25\n", "acc\n1,5\n2,25\n", '"0,1"\n', "1.5;2,5\n", "1\n" * 9 + "1,5\n"):
        refused(text(tmp_path, content), "decimal comma")


@pytest.mark.parametrize(
    ("content", "channel", "values"),
    [
        ("1;2,5\n2;3,5\n", "2", [2.5, 3.5]),
        ("t;acc\n1,0;2,5\n2,0;3,5\n", "acc", [2.5, 3.5]),
        ("1,0\t2,5\n2,0\t3,5\n", "2", [2.5, 3.5]),
        ("1,0 2,5\n2,0 3,5\n", "2", [2.5, 3.5]),
        ("0;0\n0;0\n1,5;-2,5e1\n", "2", [0, 0, -25]),
        ("acc;\n1,5;\n2;\n", "", [1.5, 2]),
        ('"t";"acc"\n"0,1";"2,5"\n"0,2";"3,5"\n', "acc", [2.5, 3.5]),
    ],
)
def test_decimal_commas_where_another_sign_separates(tmp_path, content, channel, values):
    np.testing.assert_array_equal(whole(text(tmp_path, content), channel)[:, 0], np.float32(values))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1\n2\nx\n3\n", "'x'"),
        ("a,b\n1,2\n3,four\n", "'four'"),
        ("a,b\n1,2\n3,\n", "''"),
        ("a,b\n1,2\n3\n", "columns changed from 2 to 1"),
        ("a,b\n1,2\n3,4,5\n", "columns changed from 2 to 3"),
        ("a,b\n1,2\n# pause\n3,4\n", "line 3: the samples are interrupted by the comment 'pause'"),
        ("a,b\n1,2+3j\n", "'2+3j' is no number"),
        ("a,b\n1,True\n", "'True' is no number"),
        ("day,a\n2024-01-31,x\n2024-02-01,y\n", "line 2: '2024-01-31' is no number"),
        ("b,day\n1,x\n2024-01-31,y\n2024-02-01,y\n", "line 2: 'x' is no number"),
        ("a,a\n1,2\n", "2 signals"),
        ("a,b\n", "'a' is no number"),
        ("words and words\n" * 200, "'words' is no number"),
        ("0x10\n0x11\n", "'0x11' is no number"),
        ("1_000\n2_000\n", "'2_000'"),
        ("1" + ",1" * 40_000 + "\n" + "1" + ",1" * 40_000, "longer than 65536"),
        ("x" * 200_000, "longer than 65536"),
        ("1\n2\0\n3\n", "null bytes"),
        ("1\n" * 40_000 + "2\0\n3\n", ""),
        ("   \n\t\n\n", ""),
        ("1.5\n2" + "3" * 400 + "\n", "not finite"),
    ],
)
def test_text_that_is_wrong(tmp_path, content, told):
    """In a ``.csv`` file; a ``.txt`` file has the same reader, as ``test_formats_damage`` makes sure."""
    file = text(tmp_path, content)
    channel = "2" if content.startswith("0,-") else "b" if "b" in content.partition("\n")[0].split(",") else ""
    with pytest.raises(RecordingError, match=r"a\.csv") as caught:
        read_file(file, channel, 100)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    assert told in message or told == "not finite"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_text_in_another_encoding(tmp_path, encoding):
    file = text(tmp_path, "Größe,b\n1.5,2\n3,4\n", encoding=encoding)
    if encoding != "utf-16":
        refused(file, channel="b")
    else:
        np.testing.assert_array_equal(whole(file, "Größe"), [[1.5], [3]])
        np.testing.assert_array_equal(whole(text(tmp_path, "a,b\n1.5,2\n3,4\n", encoding=encoding), "b"), [[2], [4]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_names_in_the_code_page_of_windows(tmp_path, encoding):
    file = text(tmp_path, "Größe [m/s²],b\n1.5,2\n3,4\n", encoding=encoding)
    np.testing.assert_array_equal(whole(file, "Größe [m/s²]"), [[1.5], [3]])
    file = text(tmp_path, "a,Größe\n" + "1.5,mäßig\n" * 20_000, encoding=encoding)  # a column that is passed over
    assert whole(file, "a").shape == (20_000, 1)


def test_long_text_is_read_whole(tmp_path):
    """Beyond the piece from which the layout is told, whose last line is cut."""
    values = np.random.default_rng(1).normal(size=(20_000, 3))
    for count in (3, 1):
        file = text(tmp_path, "\n".join(",".join(map(repr, row)) for row in values[:, :count].tolist()))
        np.testing.assert_array_equal(whole(file, "+".join("123"[:count])), values[:, :count].astype(np.float32))
    lines = "1234567\n" * (1 << 13)  # exactly as long as that piece
    assert whole(text(tmp_path, lines), "1").shape == (1 << 13, 1)
