"""A CSV file as a table: the encodings and separators that spreadsheets write, and each row with its line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lrvmotion import files
from lrvmotion.errors import UsageError

SEPARATORS = ",;\t"
SAVE_AS = 'save it as UTF-8 (in a spreadsheet: "CSV UTF-8")'
_OTHER_SEPARATORS = "|:^~"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx is a ZIP archive, .xls an OLE compound file
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?')  # what Excel takes for the separator of the lines below
_MOST_WORDS = 2  # of a column's name: "target host"
_SNIFFED = 200  # bytes that tell UTF-16 without a byte order mark
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The *header*, which stands on *line*, and the *rows*, each with its own line."""

    header: Sequence[str]
    rows: Sequence[tuple[int, list[str]]]
    line: int = 1


def table(content: bytes, where: str, hint: str) -> Table:
    """Return the table of the CSV *content*; UsageError, which names it as *where*, for what is none.

    *hint* says what a file that is empty should have.
    """
    whole = _text(content, where)
    text = whole.lstrip("\r\n")
    above = whole[: len(whole) - len(text)].count("\n")
    first, _, rest = text.partition("\n")
    if found := _SEPARATOR_LINE.fullmatch(first):
        separator, text, above = found[1], rest, above + 1
        first = text.partition("\n")[0]
        if separator not in SEPARATORS:
            raise _separated(where, above, separator)
    else:
        bare = _QUOTED.sub("", first)
        separator = max(SEPARATORS, key=bare.count)
        other = max(_OTHER_SEPARATORS, key=bare.count)
        if separator not in bare and (other in bare or len(bare.split()) > _MOST_WORDS):
            raise _separated(where, above + 1, other if other in bare else " ")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows.extend((above + reader.line_num - sum(cell.count("\n") for cell in row), row) for row in reader)
    except csv.Error as error:
        message = f"{where}: line {above + reader.line_num}: not valid CSV: {error}"
        raise UsageError(message, hint="a quotation mark within quotes is written twice") from None
    if not rows:
        message = f"{where}: the file is empty"
        raise UsageError(message, hint=hint)
    return Table(header=rows[0][1], rows=rows[1:], line=rows[0][0])


def wrong(where: str, mistakes: Sequence[str], hint: str | None) -> UsageError:
    """Return the error that tells *mistakes* of the file *where*, the first ones where they are many."""
    if len(mistakes) == 1:
        return UsageError(f"{where}: {mistakes[0]}", hint=hint)
    told = [*mistakes[:_MOST_TOLD], *([f"and {more} more"] if (more := len(mistakes) - _MOST_TOLD) > 0 else [])]
    lines = "\n".join(f"  {mistake}" for mistake in told)
    return UsageError(f"{where}: {len(mistakes)} mistakes\n{lines}", hint=hint)


def _text(content: bytes, where: str) -> str:
    """Return the text of *content*: UTF-8 or UTF-16, with a byte order mark or without."""
    if content.startswith(_WORKBOOKS):
        message = f"{where}: this is an Excel workbook, and CSV is needed"
        raise UsageError(message, hint='save its sheet vInfo, or your list, as "CSV UTF-8" and name that file')
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        message = f"{where}: line 1 is not UTF-8 but UTF-32"
        raise UsageError(message, hint=SAVE_AS)
    encoding = _utf16(content)
    if encoding is None:
        return files.decoded(content, where, SAVE_AS)
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, "replace").count("\n") + 1
        message = f"{where}: line {line} is not UTF-16, as the beginning is"
        raise UsageError(message, hint=SAVE_AS) from None


def _utf16(content: bytes) -> str | None:
    """Return which UTF-16 *content* is, None where it is none: the letters of a header have a zero byte each."""
    if content.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if content.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    start = content.partition(b"\n")[0][:_SNIFFED]
    low, high = start[::2], start[1::2]
    if low and high and not any(high) and all(low):
        return "utf-16-le"
    return "utf-16-be" if low and high and not any(low) and all(high) else None


def _separated(where: str, line: int, separator: str) -> UsageError:
    message = f"{where}: line {line}: the columns are separated by {separator!r}"
    return UsageError(message, hint="separate them by commas, semicolons or tabs")
