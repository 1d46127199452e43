"""Tables as programs of different languages save them."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslpet.core.errors import InputError
from wslpet.data.cohort_table import read_table
from wslpet.io.tables import decimals, guarded, header_of, parse_table, unguarded

NEEDED = ("image", "x")
TEXT = "image,x,note\r\np,-80.5,a note\r\n"


def parsed(content: bytes | str):
    return parse_table(content.encode() if isinstance(content, str) else content, "t.csv", NEEDED, (*NEEDED, "note"))


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace(",", ";"),
        TEXT.replace(",", ";").replace(".", ","),
        TEXT.replace(",", "\t"),
        TEXT.replace(",", "\t").replace(".", ","),
        codecs.BOM_UTF16_LE + TEXT.replace(",", "\t").replace(".", ",").encode("utf-16-le"),
        "sep=;\r\n" + TEXT.replace(",", ";").replace(".", ","),
        "SEP=,\r\n" + TEXT,
        "\ufeffsep=\t\n" + TEXT.replace(",", "\t"),
        '"image";"x";"note"\n"p";"-80,5";"a note"\n',
        " image ; x ; note \n p ; -80,5 ; a note \n",
        "image,x,note\r\n\r\np,-80.5,a note\r\n,,\r\n",
    ],
)
def test_a_table_is_read_equally_from_any_csv_dialect(content):
    table = parsed(content)
    assert table.columns == ("image", "x", "note")
    ((_, row),) = table.rows
    assert row == {"image": "p", "x": row["x"], "note": "a note"}
    assert table.number(row["x"] or "") == -80.5


def test_rows_have_the_line_of_the_file():
    assert [number for number, _ in parsed("image,x\na,1\n\nb,2\n").rows] == [2, 4]
    assert [number for number, _ in parsed("sep=;\nimage;x\na;1\n").rows] == [3]


@pytest.mark.parametrize("text", ["1,5", "1.234,5", "a", "", "1,2,3"])
def test_where_commas_separate_cells_they_are_no_decimals(text):
    with pytest.raises(ValueError):
        parsed(TEXT).number(text)


@pytest.mark.parametrize("text", ["1.234,5", "1,234.5", "1,2,3", ","])
def test_a_number_with_two_kinds_of_marks_is_none(text):
    with pytest.raises(ValueError):
        parsed(TEXT.replace(",", ";")).number(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image,note\na,b\n", "t.csv lacks the column x; it needs image,x,note"),
        ("", "lacks the columns image, x"),
        ("image|x\na|1\n", "lacks the columns image, x"),
        ("image,x\n", "has no rows"),
        ("image,x\np,-80,5\n", "row 2 of t.csv has 3 cells, its header 2"),
        ("image,x\nMüller,1\n".encode("latin-1"), "cannot be read as CSV"),
        (codecs.BOM_UTF16_LE + b"i\x00m", "cannot be read as CSV"),
    ],
)
def test_an_unreadable_table_is_refused_with_the_remedy(content, words):
    with pytest.raises(InputError, match=words):
        parsed(content)


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf\r\nimage;x;note\r\n", b"sep=\t\nimage\tx\tnote\np\t1\tn\n", b"image,x,note"]
)
def test_the_header_alone_is_read_from_any_dialect(content):
    assert header_of(content, ("image", "x")) == ("image", "x", "note")


def test_the_header_of_what_is_no_table_is_empty():
    assert header_of(b"\xff\xfe\x00", ("image",)) == header_of(b"", ("image",)) == ()


@pytest.mark.parametrize("number", ["-12.5", "0.001", "1.5e-05", "7"])
def test_a_number_that_was_written_with_a_decimal_comma_is_read(number):
    text = decimals(number, ";")
    assert "." not in text and parsed(TEXT.replace(",", ";")).number(text) == float(number)


def test_the_table_of_a_cohort_may_have_decimal_commas(tmp_path):
    (tmp_path / "a.nii.gz").touch()
    path = tmp_path / "cohort.csv"
    path.write_text("name;scan;cancer_type;x;y;z;covariate_age\none;a.nii.gz;lung;-80,25;7;410,5;61,5\n")
    (row,), problems = read_table(path, ("lung",))
    assert problems == []
    assert row.seed.position == (-80.25, 7, 410.5) and row.covariates == {"age": 61.5}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_formulas_become_text(text):
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "lung", "O'Neill", "'quoted'", "a=b", "2026-11-26T10:00:00.000+00:00"])
def test_text_that_is_no_formula_is_unchanged(text):
    assert guarded(text) == unguarded(text) == text


@given(st.text(alphabet="'=+-@\t\ra1", max_size=6))
def test_guarded_text_is_restored(text):
    assert unguarded(guarded(text)) == text
