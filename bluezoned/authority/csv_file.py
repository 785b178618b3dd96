"""Tables as files that spreadsheets open: read from staff, written for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula. Source: OWASP, CSV injection."""


def write(rows: Iterable[Sequence[object]]) -> bytes:
    """With the mark by which Excel knows UTF-8. No cell begins a formula: such a one gets an apostrophe before it."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def read(content: bytes, most: int) -> list[tuple[int, dict[str, str]]]:
    """Rows as (line, cells by column), the first line naming the columns; empty rows are left out. Commas or, as Excel
    writes them where the comma is in numbers, semicolons. ValueError when it is no such file or has more than `most`
    rows."""
    text = content.decode("utf-8-sig")
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",",
                        strict=True)  # fmt: skip
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        rows: list[tuple[int, dict[str, str]]] = []
        for cells in reader:
            if len(rows) == most:
                raise ValueError("too many rows")
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=False))))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return rows
