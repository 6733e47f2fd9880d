"""What spreadsheets write is a table, whatever the encoding and the separator; what is none is one sentence."""

from __future__ import annotations

import pytest

from lrvmotion.config import csv_table
from lrvmotion.errors import UsageError

ROWS = "vm\tnote\na\tMüller\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_unicode_is_read(encoding):
    """With a byte order mark and without."""
    table = csv_table.table(ROWS.encode(encoding), "f", "")
    assert (table.header, table.rows, table.line) == (["vm", "note"], [(2, ["a", "Müller"])], 1)
    marked = csv_table.table(b"\xfe\xff" + ROWS.encode("utf-16-be"), "f", "")
    assert marked.header == ["vm", "note"]


def test_excels_line_of_the_separator_is_no_row():
    """The lines below count on."""
    table = csv_table.table(b"sep=;\r\nvm;note\r\na;x,y,z\r\n", "f", "")
    assert (table.header, table.rows, table.line) == (["vm", "note"], [(3, ["a", "x,y,z"])], 2)


def test_empty_lines_above_the_header_count():
    """They are no rows."""
    for above, line in (("\n\n", 3), ("\r\n", 2), ("\nsep=;\n", 3)):
        table = csv_table.table(f"{above}vm;note\na;b\n".encode(), "f", "")
        assert (table.header, table.line, table.rows) == (["vm", "note"], line, [(line + 1, ["a", "b"])])


def test_separators_in_quotes_are_none():
    """A header may have them."""
    assert csv_table.table(b'vm;"a,b,c"\nx;y\n', "f", "").header == ["vm", "a,b,c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04xl/workbook.xml", "f: this is an Excel workbook, and CSV is needed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "f: this is an Excel workbook, and CSV is needed"),
        (b"VM|Powerstate|Template\na|b|c\n", "f: line 1: the columns are separated by '|'"),
        (b"\n\nVM Powerstate Template\na on False\n", "f: line 3: the columns are separated by ' '"),
        (ROWS.encode("utf-32"), "f: line 1 is not UTF-8 but UTF-32"),
        (b"sep=:\nvm:note\n", "f: line 1: the columns are separated by ':'"),
        (ROWS.encode("utf-16")[:-1], "f: line 2 is not UTF-16, as the beginning is"),
        ("vm\nMüller\n".encode("latin-1"), "f: line 2 is not UTF-8"),
        (b"", "f: the file is empty"),
        (b"\xff\xfe", "f: the file is empty"),
    ],
    ids=range(10),
)
def test_what_is_no_table_is_one_sentence(content, said):
    """With the line, and what to write."""
    with pytest.raises(UsageError) as caught:
        csv_table.table(content, "f", "a header")
    assert caught.value.message == said
    assert caught.value.hint
