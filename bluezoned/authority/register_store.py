"""What the authority remembers of its register beyond what publishing needs: references and test days of cases, venues
and the hours of their outbreaks; and the questions that staff ask of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, ForeignKey, Integer, String, Table, func, insert, or_, select

from bluezoned.authority.case import Case
from bluezoned.authority.database import METADATA
from bluezoned.authority.store import to_case
from bluezoned.authority.tables import case as case_
from bluezoned.authority.tables import code as code_
from bluezoned.authority.venue import Hours, Venue
from bluezoned.authority.verification import Code

_note = Table(
    "case_note",
    METADATA,
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), primary_key=True),
    Column("reference", String, nullable=False, index=True),
    Column("tested", Integer),
)

_venue = Table(
    "venue",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("added", BigInteger, nullable=False),
)

outbreak = Table(
    "outbreak",
    METADATA,
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), primary_key=True),
    Column("venue_id", ForeignKey("venue.id"), nullable=False, index=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A case as staff see it."""

    case: Case
    reference: str
    """The hospital's own file number, or empty; nothing that names a person."""
    tested: int | None
    """Day since 1970 UTC."""
    codes: tuple[Code, ...]
    """Oldest first."""
    venue: Venue | None
    hours: Hours | None

    def state(self, at: int) -> str:
        """The one word: `revoked`, `used`, `issued`, `expired` or `new`."""
        if self.case.revoked is not None:
            return "revoked"
        states = {code.state(at) for code in self.codes}
        return next((state for state in ("issued", "used", "expired") if state in states), "new")


@dataclass(frozen=True, slots=True)
class Search:
    """Which cases."""

    text: str = ""
    """Beginning of the number or of the reference."""
    revoked: bool | None = None
    tier: int | None = None
    venues: bool | None = None


class RegisterRecords:
    """The statements about the register, in a transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put_note(self, case_id: str, reference: str, tested: int | None) -> None:
        self._db.execute(insert(_note).values(case_id=case_id, reference=reference, tested=tested))

    def entry(self, case_id: str) -> Entry | None:
        return next(iter(self._entries([case_.c.id == case_id], 1, 0)), None)

    def entries(self, search: Search, most: int, skip: int = 0) -> list[Entry]:
        """Newest first."""
        return self._entries(_conditions(search), most, skip)

    def count(self, search: Search) -> int:
        query = _joined(select(func.count())).where(*_conditions(search))
        return int(self._db.execute(query).scalar_one())

    def _entries(self, conditions: Sequence[Any], most: int, skip: int) -> list[Entry]:
        columns = (_note.c.reference, _note.c.tested, outbreak.c.start, outbreak.c.end,
                   _venue.c.id.label("venue_id"), _venue.c.name.label("venue_name"), _venue.c.added)  # fmt: skip
        query = _joined(select(case_, *columns)).where(*conditions)
        rows = self._db.execute(query.order_by(case_.c.opened.desc(), case_.c.id).limit(most).offset(skip)).all()
        codes = self._codes([row.id for row in rows])
        return [
            Entry(
                to_case(row),
                row.reference or "",
                row.tested,
                tuple(codes[row.id]),
                None if row.venue_id is None else Venue(row.venue_id, row.venue_name, row.added),
                None if row.start is None else Hours(row.start, row.end),
            )
            for row in rows
        ]

    def _codes(self, case_ids: Sequence[str]) -> dict[str, list[Code]]:
        found: dict[str, list[Code]] = defaultdict(list)
        rows = self._db.execute(select(code_).where(code_.c.case_id.in_(case_ids)).order_by(code_.c.issued))
        for row in rows:
            found[row.case_id].append(Code(row.digest, row.case_id, row.issued, row.expires, row.used))
        return found

    # venues

    def put_venue(self, name: str, at: int) -> int:
        added = self._db.execute(insert(_venue).values(name=name, added=at).returning(_venue.c.id))
        return int(added.scalar_one())

    def venues(self) -> list[Venue]:
        rows = self._db.execute(select(_venue).order_by(_venue.c.name))
        return [Venue(row.id, row.name, row.added) for row in rows]

    def venue(self, venue_id: int) -> Venue | None:
        return next((venue for venue in self.venues() if venue.id == venue_id), None)

    def put_outbreak(self, case_id: str, venue_id: int, hours: Hours) -> None:
        self._db.execute(insert(outbreak).values(case_id=case_id, venue_id=venue_id, start=hours.start, end=hours.end))

    def window(self, case_id: str) -> Hours | None:
        """To which hours the keys of a case are cut; None for a person's."""
        row = self._db.execute(select(outbreak).where(outbreak.c.case_id == case_id)).first()
        return None if row is None else Hours(row.start, row.end)

    # statistics

    def moments(self, since: int) -> dict[str, list[int]]:
        """When what happened, ms: of everything that is still remembered."""
        person = ~select(outbreak.c.case_id).where(outbreak.c.case_id == case_.c.id).exists()
        asked = {
            "f0": select(case_.c.opened).where(case_.c.tier == 0, person, case_.c.opened >= since),
            "f1": select(case_.c.opened).where(case_.c.tier == 1, person, case_.c.opened >= since),
            "issued": select(code_.c.issued).where(code_.c.issued >= since),
            "used": select(code_.c.used).where(code_.c.used >= since),
            "revoked": select(case_.c.revoked).where(case_.c.revoked >= since),
        }
        return {name: list(self._db.execute(query).scalars()) for name, query in asked.items()}


def _joined(query: Any) -> Any:
    return (
        query.select_from(case_)
        .outerjoin(_note, _note.c.case_id == case_.c.id)
        .outerjoin(outbreak, outbreak.c.case_id == case_.c.id)
        .outerjoin(_venue, _venue.c.id == outbreak.c.venue_id)
    )


def _conditions(search: Search) -> list[Any]:
    found: list[Any] = []
    if search.text:
        text = search.text.strip()
        found.append(
            or_(
                case_.c.id.istartswith(text, autoescape=True),
                _note.c.reference.icontains(text, autoescape=True),
                _venue.c.name.icontains(text, autoescape=True),
            )
        )
    if search.revoked is not None:
        found.append(case_.c.revoked.is_not(None) if search.revoked else case_.c.revoked.is_(None))
    if search.tier is not None:
        found.append(case_.c.tier == search.tier)
    if search.venues is not None:
        found.append(outbreak.c.case_id.is_not(None) if search.venues else outbreak.c.case_id.is_(None))
    return found
