"""What the authority remembers of tokens of others' apps and of laboratories. Tables beside those of store.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from bluezoned.authority.database import METADATA

_token = Table(
    "token",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False),
    Column("tekmac", LargeBinary),
)

_laboratory = Table(
    "laboratory",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scope", String, nullable=False),
    Column("per_day", Integer, nullable=False),
    Column("added", BigInteger, nullable=False),
)

_request = Table(
    "laboratory_request",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("laboratory_id", ForeignKey("laboratory.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Token:
    """What a code was exchanged for."""

    digest: bytes
    """32 bytes; the token itself is not kept."""
    case: str
    expires: int
    """ms, excluded."""
    tekmac: bytes | None
    """Of the keys that it is bound to, once it is."""


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A machine of others that opens cases or looks after them."""

    id: int
    name: str
    scope: frozenset[str]
    per_day: int


class ExchangeRecords:
    """The statements, in a transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put_token(self, token: Token) -> None:
        self._db.execute(
            insert(_token).values(digest=token.digest, case_id=token.case, expires=token.expires, tekmac=token.tekmac)
        )

    def locked_token(self, digest: bytes) -> Token | None:
        row = self._db.execute(select(_token).where(_token.c.digest == digest).with_for_update()).first()
        return None if row is None else Token(row.digest, row.case_id, row.expires, row.tekmac)

    def bind_token(self, digest: bytes, tekmac: bytes) -> None:
        self._db.execute(update(_token).where(_token.c.digest == digest).values(tekmac=tekmac))

    def put_laboratory(self, name: str, digest: bytes, scope: frozenset[str], per_day: int, at: int) -> None:
        self._db.execute(
            insert(_laboratory).values(
                name=name, digest=digest, scope=" ".join(sorted(scope)), per_day=per_day, added=at
            )
        )

    def locked_laboratory(self, digest: bytes) -> Laboratory | None:
        row = self._db.execute(select(_laboratory).where(_laboratory.c.digest == digest).with_for_update()).first()
        return None if row is None else _to_laboratory(row)

    def laboratories(self) -> list[Laboratory]:
        return [_to_laboratory(row) for row in self._db.execute(select(_laboratory).order_by(_laboratory.c.name))]

    def remove_laboratory(self, name: str) -> bool:
        return self._db.execute(delete(_laboratory).where(_laboratory.c.name == name)).rowcount == 1

    def put_request(self, laboratory: int, at: int) -> None:
        self._db.execute(insert(_request).values(laboratory_id=laboratory, at=at))

    def requests(self, laboratory: int, since: int) -> int:
        counted = select(func.count()).select_from(_request)
        return self._db.execute(
            counted.where(_request.c.laboratory_id == laboratory, _request.c.at > since)
        ).scalar_one()

    def prune(self, before: int) -> None:
        """What `Transaction.prune` forgets of this."""
        self._db.execute(delete(_token).where(_token.c.expires < before))
        self._db.execute(delete(_request).where(_request.c.at < before))


def _to_laboratory(row: Any) -> Laboratory:
    return Laboratory(row.id, row.name, frozenset(row.scope.split()), row.per_day)
