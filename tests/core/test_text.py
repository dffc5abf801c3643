"""Names of strangers' files are shown, never obeyed: by a terminal, a spreadsheet, a page."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsn_jax.core.errors import UserError
from drsn_jax.core.text import as_cell, as_html, from_cell, visible, visible_lines

BAD = {
    "\x1b[2J": r"\x1b[2J",  # clears a terminal
    "\x07": r"\x07",
    "\x9b31m": r"\x9b31m",  # an escape sequence of one byte
    "a\nerror: b": r"a\nerror: b",
    "a\r\tb\x00": r"a\r\tb\x00",
    "\u202egpj.exe": r"\u202egpj.exe",  # turns the direction of writing
    "\u2066a\u2069\u200f": r"\u2066a\u2069\u200f",
    "a\u2028b\u0085": r"a\u2028b\x85",
    "\udcff.csv": r"\udcff.csv",  # a byte of a file name that is no UTF-8
}


@pytest.mark.parametrize("name", BAD)
def test_what_controls_a_terminal_is_shown(name):
    assert visible(name) == BAD[name]
    assert visible(BAD[name]) == BAD[name]


@pytest.mark.parametrize(
    "name", ["Außenring", "轴承 外圈", "می\u200cخواهم", "क्\u200dष", "خطأ", "no\u00a0break", "C:\\data\\a.csv", "🔧", "\ue000", ""]
)
def test_letters_of_all_scripts_stay(name):
    assert visible(name) == visible_lines(name) == name


def test_lines_of_the_program_stay_lines():
    assert visible_lines("a\n\tb\x1b\n") == "a\n\tb\\x1b\n"


def test_a_page_shows_a_name():
    assert as_html("<b>\x1b&\udcff") == "&lt;b&gt;\\x1b&amp;\\udcff"


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@SUM(A1)", "-", "=cmd|'/c calc'!A0", "'=a", "''-a"])
def test_a_spreadsheet_computes_no_name(name):
    assert as_cell(name) == f"'{name}"
    assert from_cell(as_cell(name)) == name


@pytest.mark.parametrize("value", ["-5.0", "+3", "-inf", "1e-3", "nan", "a", "a=b", "'a'", "", -5.0, 3, None, True])
def test_numbers_and_other_names_stay_in_cells(value):
    assert as_cell(value) is value or as_cell(value) == value
    if isinstance(value, str):
        assert from_cell(value) == value


@given(st.text())
def test_a_cell_is_read_as_it_was_written(name):
    assert from_cell(as_cell(name)) == name.encode(errors="backslashreplace").decode()
    assert as_cell(name).encode()[:1] not in b"=@" or not name


def test_an_error_is_one_line_without_controls():
    error = UserError("the class 'a\x1b[2J\nerror: b' is unknown", 3)
    assert error.args == (r"the class 'a\x1b[2J\nerror: b' is unknown", 3)
    assert pickle.loads(pickle.dumps(error)).args == error.args
