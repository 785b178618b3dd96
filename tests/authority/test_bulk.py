"""Many cases from one file: what is read, what is refused, what comes back."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.authority import bulk, csv_file
from bluezoned.authority.bulk import BulkProblem
from bluezoned.authority.case import CaseProblem
from bluezoned.authority.office import Registration
from bluezoned.authority.staff import Actor
from bluezoned.authority.verification import Kind
from bluezoned.protocols.protocol import DAY, Tier
from tests.authority.ward import NOON, Ward

TODAY = NOON // DAY


def sheet(text: str) -> bulk.Sheet:
    return bulk.read(text.encode(), NOON)


def test_commas_semicolons_marks_and_empty_rows_are_read() -> None:
    plain = sheet("reference,tier,source,onset\nA-1,F0,,2026-11-01\n\n,,,\nA-2,f1,c-abcd2345,\n")
    excel = bulk.read(
        "\ufeffReference;Tier;Source;Onset\r\nA-1;F0;;01/11/2026\r\n;;;\r\n;;;\r\nA-2;F1;C-ABCD2345;\r\n".encode(), NOON
    )

    assert plain.mistakes == excel.mistakes == ()
    assert plain.rows == excel.rows
    assert plain.rows[0] == (2, Registration(Tier.F0, None, "A-1", (date(2026, 11, 1) - date(1970, 1, 1)).days))
    assert plain.rows[1] == (5, Registration(Tier.F1, "C-ABCD2345", "A-2"))


def test_every_mistake_is_named_with_its_line() -> None:
    read = sheet("tier,reference,source,onset\nF0,A-1,,\nF9,0912345678,,31/02/2026\nF1,,,1999-01-01\nF0,,C-ABCD2345,\n")

    assert [(m.line, m.column, m.problem) for m in read.mistakes] == [
        (3, "tier", BulkProblem.TIER),
        (3, "reference", CaseProblem.REFERENCE_PERSONAL),
        (3, "onset", BulkProblem.DATE),
        (4, "source", CaseProblem.SOURCE),
        (4, "onset", CaseProblem.ONSET),
        (5, "source", CaseProblem.SOURCE),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", BulkProblem.EMPTY),
        (b"tier\n", BulkProblem.EMPTY),
        (b"\xff\xfe\x00", BulkProblem.UNREADABLE),
        (b'tier\n"F0', BulkProblem.UNREADABLE),
        (b"reference\nA-1\n", BulkProblem.COLUMN),
        (b"tier,name\nF0,An\n", BulkProblem.COLUMN),
        (b"tier\n" + b"F0\n" * (bulk.MOST_ROWS + 1), BulkProblem.TOO_MANY),
    ],
)
def test_file_that_is_none_is_refused_whole(content: bytes, problem: BulkProblem) -> None:
    read = bulk.read(content, NOON)

    assert read.rows == ()
    assert [mistake.problem for mistake in read.mistakes] == [problem]


@given(st.binary(max_size=300) | st.text(alphabet='tier,F0;1"\n\r= -/C', max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for start in (b"", b"tier,reference,onset\n"):
        read = bulk.read(start + content, NOON)
        assert read.rows or read.mistakes


@given(st.dates(date(1970, 1, 1), date(9998, 1, 1)))
def test_days_are_those_of_the_calendar(day: date) -> None:
    number = (day - date(1970, 1, 1)).days

    assert bulk.day(day.isoformat()) == number
    assert bulk.day(f"{day.day}/{day.month}/{day.year}") == number


@pytest.mark.parametrize(
    "text", ["", "24-11-2026", "2026/11/24", "2026-02-29", "2026-13-01", "2026-1-", "\uff12\uff10\uff12\uff16-1-1"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert bulk.day(text) is None


def test_answer_has_a_line_for_each(ward: Ward) -> None:
    read = sheet("tier,reference\nF0,A-1\nF0,A-2\n")
    done = ward.house.office.register_all(Actor("lan"), [r for _, r in read.rows], Kind.LONG, NOON)

    answer = bulk.result([line for line, _ in read.rows], done, "25/11/2026 19:00").decode("utf-8-sig")

    rows = list(csv.DictReader(io.StringIO(answer)))
    assert [(row["line"], row["reference"], row["tier"]) for row in rows] == [("2", "A-1", "F0"), ("3", "A-2", "F0")]
    assert {row["code"] for row in rows} == {one.code.code for one in done}


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_no_cell_begins_a_formula_and_nothing_is_lost(cells: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(csv_file.write([cells]).decode("utf-8-sig"), newline=""))

    for cell, original in zip(read, cells, strict=True):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert cell in (original, f"'{original}")
