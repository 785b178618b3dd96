"""Many cases at once, from a spreadsheet: read, judged line by line, and answered with a file of codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bluezoned.authority import csv_file
from bluezoned.authority.case import CaseError, CaseProblem
from bluezoned.authority.office import Registered, Registration, require_reference
from bluezoned.protocols.protocol import DAY, Tier

MOST_ROWS = 5000
"""A province's laboratories in a day. All are registered in one transaction, which holds other writers for some three
seconds; with twice as many a device might wait longer than it waits for an answer."""

COLUMNS = ("reference", "tier", "source", "onset", "tested")

_ISO = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_LOCAL = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")


class BulkProblem(Enum):
    """What is wrong with a file or a line of it."""

    UNREADABLE = "this is not a CSV file in UTF-8"
    EMPTY = "there is no line below the names of the columns"
    TOO_MANY = f"a file has at most {MOST_ROWS} lines"
    COLUMN = "a column is unknown or missing"
    TIER = "the tier is F0 or F1"
    DATE = "a date is written 2026-11-24 or 24/11/2026"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One, with its place."""

    line: int
    """As spreadsheets count, from 1; 0 for the whole file."""
    column: str
    problem: BulkProblem | CaseProblem


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says, and what is wrong with it."""

    rows: tuple[tuple[int, Registration], ...]
    mistakes: tuple[Mistake, ...]


def read(content: bytes, at: int) -> Sheet:
    """Every line is judged, so that one round of mending is enough."""
    try:
        rows = csv_file.read(content, MOST_ROWS)
    except UnicodeDecodeError:
        return Sheet((), (Mistake(0, "", BulkProblem.UNREADABLE),))
    except ValueError as error:
        problem = BulkProblem.TOO_MANY if "too many" in str(error) else BulkProblem.UNREADABLE
        return Sheet((), (Mistake(0, "", problem),))
    if not rows:
        return Sheet((), (Mistake(0, "", BulkProblem.EMPTY),))
    columns = rows[0][1].keys()
    if "tier" not in columns or not columns <= set(COLUMNS):
        return Sheet((), (Mistake(1, ", ".join(sorted(columns ^ {*COLUMNS} & columns)), BulkProblem.COLUMN),))
    read_rows, mistakes = [], []
    for line, cells in rows:
        registration = _registration(cells, at)
        if isinstance(registration, Registration):
            read_rows.append((line, registration))
        else:
            mistakes += [Mistake(line, column, problem) for column, problem in registration]
    return Sheet(tuple(read_rows), tuple(mistakes))


def _registration(cells: dict[str, str], at: int) -> Registration | list[tuple[str, BulkProblem | CaseProblem]]:
    wrong: list[tuple[str, BulkProblem | CaseProblem]] = []
    tier, source, reference = cells["tier"].upper(), cells.get("source", "").upper(), cells.get("reference", "")
    if tier not in ("F0", "F1"):
        wrong.append(("tier", BulkProblem.TIER))
    elif (tier == "F1") != bool(source):
        wrong.append(("source", CaseProblem.SOURCE))
    try:
        require_reference(" ".join(reference.split()))
    except CaseError as error:
        wrong.append(("reference", error.problem))
    days: dict[str, int | None] = {}
    for column, problem in (("onset", CaseProblem.ONSET), ("tested", CaseProblem.TESTED)):
        text = cells.get(column, "")
        days[column] = day(text) if text else None
        if text and days[column] is None:
            wrong.append((column, BulkProblem.DATE))
        elif text and not at // DAY - 60 <= (days[column] or 0) <= at // DAY + 1:
            wrong.append((column, problem))
    if wrong:
        return wrong
    return Registration(Tier[tier], source or None, reference, days["onset"], days["tested"])


def day(text: str) -> int | None:
    """Days since 1970 of a date, or None."""
    iso, local = _ISO.fullmatch(text), _LOCAL.fullmatch(text)
    if iso:
        year, month, of_month = (int(part) for part in iso.groups())
    elif local:
        of_month, month, year = (int(part) for part in local.groups())
    else:
        return None
    return _day_number(year, month, of_month)


def _day_number(year: int, month: int, of_month: int) -> int | None:
    """By the Gregorian calendar. The heart knows no datetime."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not (1970 <= year <= 9999 and 1 <= month <= 12 and 1 <= of_month <= lengths[month - 1]):
        return None
    before = year - 1
    # 719,162 days lie between the first of January of the years 1 and 1970.
    years = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    return years + sum(lengths[: month - 1]) + of_month - 1


def result(lines: Sequence[int], done: Sequence[Registered], expires: str) -> bytes:
    """The file that goes back: each line with its case and code, which are told nowhere else."""
    rows: list[Sequence[object]] = [("line", "reference", "case", "tier", "code", "expires")]
    for line, one in zip(lines, done, strict=True):
        rows.append((line, one.reference, one.case.id, one.case.tier.name, one.code.code, expires))
    return csv_file.write(rows)
