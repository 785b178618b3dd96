"""The authority's memory of cases, codes, keys and batches, as statements of SQLAlchemy Core.

Every act is one transaction that the acts in authority.py open; retention is enforced by `prune` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bluezoned.authority.case import Case
from bluezoned.authority.database import Database
from bluezoned.authority.key_store import KeyRecords
from bluezoned.authority.tables import batch as _batch
from bluezoned.authority.tables import case as _case
from bluezoned.authority.tables import code as _code
from bluezoned.authority.tables import fact as _fact
from bluezoned.authority.tables import failure as _failure
from bluezoned.authority.tables import hearing as _hearing
from bluezoned.authority.tables import key as _key
from bluezoned.authority.tables import lease as _lease
from bluezoned.authority.tables import loudness as _loudness
from bluezoned.authority.tables import rotation as _rotation
from bluezoned.authority.tables import upload as _upload
from bluezoned.authority.verification import Code, Guard
from bluezoned.key_index import Batch
from bluezoned.key_rotation import Rotation
from bluezoned.protocols.protocol import DiagnosisKey, Tier


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload that was accepted."""

    digest: bytes
    """Of the code and the keys: what the code is bound to."""
    receipt: bytes


class Transactions(Protocol):
    """Where acts find their transactions: a Store, or a Joined one."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def snapshot(self) -> AbstractContextManager[Transaction]: ...


class Joined:
    """A transaction that is open already, for an act that is part of a larger one."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        yield self._transaction

    snapshot = transaction


class Store:
    """What the authority remembers. Each method of a Transaction belongs inside `transaction` or `snapshot`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing. StoreError when the database fails."""
        with self._database.writing() as connection:
            yield Transaction(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """For reading alone: sees one moment and waits for no writer. StoreError when the database fails."""
        with self._database.reading() as connection:
            yield Transaction(connection)


class Transaction:
    """The statements, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    @property
    def connection(self) -> Connection:
        """For the other records of the same database."""
        return self._db

    # cases

    def put_case(self, case: Case) -> None:
        self._db.execute(
            insert(_case).values(
                id=case.id,
                tier=case.tier,
                source=case.source,
                onset=case.onset,
                opened=case.opened,
                revoked=case.revoked,
            )
        )

    def case(self, case_id: str) -> Case | None:
        row = self._db.execute(select(_case).where(_case.c.id == case_id)).first()
        return None if row is None else to_case(row)

    def locked_case(self, case_id: str) -> Case | None:
        """The same for an act that decides on it: until the transaction ends, no other act decides on this case."""
        row = self._db.execute(select(_case).where(_case.c.id == case_id).with_for_update()).first()
        return None if row is None else to_case(row)

    def lock_case_of_code(self, digest: bytes) -> None:
        """As `locked_case`, for the case that a code was issued for, if any was."""
        self._db.execute(_LOCK_CASE_OF_CODE, {"of_code": digest})

    def cases(self) -> list[Case]:
        """Newest first."""
        return [to_case(row) for row in self._db.execute(select(_case).order_by(_case.c.opened.desc(), _case.c.id))]

    def descendants(self, case_id: str) -> list[str]:
        """The case and every case that came of it, locked: none can be added until the transaction ends."""
        found = [case_id]
        for parent in found:
            self._db.execute(select(_case.c.id).where(_case.c.id == parent).with_for_update())
            rows = self._db.execute(select(_case.c.id).where(_case.c.source == parent))
            found += [child for (child,) in rows if child not in found]
        return found

    def revoke(self, case_ids: Iterable[str], at: int) -> None:
        """The cases are none any more: their codes die, their keys are to be taken back, and those that nobody has seen
        are forgotten."""
        ids = list(case_ids)
        self._db.execute(update(_case).where(_case.c.id.in_(ids), _case.c.revoked.is_(None)).values(revoked=at))
        self._db.execute(delete(_code).where(_code.c.case_id.in_(ids), _code.c.used.is_(None)))
        KeyRecords(self._db).take_back_of_cases(ids)

    # codes

    def put_code(self, code: Code) -> None:
        self._db.execute(
            insert(_code).values(digest=code.digest, case_id=code.case, issued=code.issued, expires=code.expires)
        )

    def code(self, digest: bytes) -> Code | None:
        row = self._db.execute(select(_code).where(_code.c.digest == digest)).first()
        return None if row is None else Code(row.digest, row.case_id, row.issued, row.expires, row.used)

    def codes_of(self, case_id: str) -> list[Code]:
        rows = self._db.execute(select(_code).where(_code.c.case_id == case_id).order_by(_code.c.issued))
        return [Code(row.digest, row.case_id, row.issued, row.expires, row.used) for row in rows]

    def withdraw_codes(self, case_id: str) -> None:
        """Those that nobody has used open nothing any more."""
        self._db.execute(delete(_code).where(_code.c.case_id == case_id, _code.c.used.is_(None)))

    def use_code(self, digest: bytes, at: int) -> None:
        self._db.execute(_USE_CODE, {"of_code": digest, "at": at})

    def put_failure(self, at: int) -> None:
        """Somebody tried a short code that is none."""
        self._db.execute(insert(_failure).values(at=at))

    def failures(self, since: int) -> int:
        return self._db.execute(select(func.count()).select_from(_failure).where(_failure.c.at > since)).scalar_one()

    def guard(self) -> Guard:
        return Guard(self.fact("guess strikes"), self.fact("guess held until"))

    def put_guard(self, guard: Guard) -> None:
        self.put_fact("guess strikes", guard.strikes)
        self.put_fact("guess held until", guard.held_until)

    # uploads and keys

    def upload(self, nonce: bytes) -> StoredUpload | None:
        row = self._db.execute(select(_upload.c.digest, _upload.c.receipt).where(_upload.c.nonce == nonce)).first()
        return None if row is None else StoredUpload(row.digest, row.receipt)

    def put_upload(
        self, nonce: bytes, digest: bytes, case_id: str, at: int, receipt: bytes, keys: Iterable[DiagnosisKey]
    ) -> None:
        row = {"nonce": bytes(nonce), "digest": digest, "case_id": case_id, "received": at, "receipt": receipt}
        self._db.execute(_PUT_UPLOAD, row)
        KeyRecords(self._db).put(keys, at, case_id=case_id)

    def counts(self, at: int) -> dict[str, int]:
        """Of what there is, for operators."""
        counted = {
            "cases": _case.c.revoked.is_(None),
            "cases_revoked": _case.c.revoked.is_not(None),
            "codes_open": and_(_code.c.used.is_(None), _code.c.expires > at),
        }
        queries = {name: select(func.count()).where(condition) for name, condition in counted.items()}
        found = {name: self._db.execute(query).scalar_one() for name, query in queries.items()}
        return found | KeyRecords(self._db).counts()

    # batches

    def put_batch(self, batch: Batch) -> None:
        self._db.execute(
            insert(_batch).values(
                sequence=batch.sequence,
                name=batch.name,
                size=batch.size,
                sha256=batch.sha256,
                protocol=batch.protocol,
                start=batch.start,
                end=batch.end,
            )
        )
        self.put_fact("newest batch", batch.sequence)
        self.put_fact(f"published {batch.protocol}", batch.end)

    def batches(self) -> list[Batch]:
        """Oldest first."""
        return [
            Batch(row.sequence, row.name, row.size, row.sha256, row.protocol, row.start, row.end)
            for row in self._db.execute(select(_batch).order_by(_batch.c.sequence))
        ]

    def withdraw_batch(self, sequence: int) -> None:
        """Its file is lost: what it told waits to be told again. Its number is not used again."""
        KeyRecords(self._db).tell_anew(sequence)
        self._db.execute(delete(_batch).where(_batch.c.sequence == sequence))
        self._db.execute(delete(_loudness).where(_loudness.c.published_in == sequence))

    def put_fact(self, name: str, value: int) -> None:
        dialect = postgresql if self._db.dialect.name == "postgresql" else sqlite
        new = dialect.insert(_fact).values(name=name, value=value)
        self._db.execute(new.on_conflict_do_update(index_elements=[_fact.c.name], set_={"value": value}))

    def fact(self, name: str) -> int:
        """0 where nothing is known."""
        return self._db.execute(select(_fact.c.value).where(_fact.c.name == name)).scalar() or 0

    # who publishes

    def take_lease(self, name: str, holder: bytes, at: int, until: int) -> bool:
        """Whether `holder` has it now, until `until` (ms). One that lies further ahead than any can was taken by a
        clock that has been put back since, and does not count."""
        dialect = postgresql if self._db.dialect.name == "postgresql" else sqlite
        new = dialect.insert(_lease).values(name=name, holder=holder, until=until)
        is_free = or_(_lease.c.until <= at, _lease.c.until > until, _lease.c.holder == holder)
        taken = new.on_conflict_do_update(
            index_elements=[_lease.c.name], set_={"holder": holder, "until": until}, where=is_free
        )
        return self._db.execute(taken.returning(_lease.c.name)).first() is not None

    def holds_lease(self, name: str, holder: bytes) -> bool:
        """Whether `holder` still has it: until the transaction ends, nobody else can take it."""
        query = select(_lease.c.holder).where(_lease.c.name == name).with_for_update()
        return self._db.execute(query).scalar() == holder

    def give_lease_back(self, name: str, holder: bytes) -> None:
        self._db.execute(delete(_lease).where(_lease.c.name == name, _lease.c.holder == holder))

    def put_rotation(self, rotation: Rotation) -> None:
        self._db.execute(
            insert(_rotation).values(
                issued=rotation.issued,
                sequence=rotation.sequence,
                old=rotation.old,
                new=rotation.new,
                signature=rotation.signature,
            )
        )

    def rotations(self) -> list[Rotation]:
        """Oldest first."""
        return [
            Rotation(row.issued, row.sequence, row.old, row.new, row.signature)
            for row in self._db.execute(select(_rotation).order_by(_rotation.c.issued))
        ]

    # retention

    def prune(self, before: int) -> None:
        """The one place where anything is forgotten for its age: what is older than `before` (ms)."""
        self._db.execute(delete(_failure).where(_failure.c.at < before))
        self._db.execute(delete(_batch).where(_batch.c.end < before))
        self._db.execute(delete(_key).where(_key.c.received < before))
        # What cases told of a key goes with the key, and with the case by the foreign key.
        for told in (_hearing, _loudness):
            self._db.execute(delete(told).where(told.c.secret.not_in(select(_key.c.secret))))
        self._db.execute(delete(_upload).where(_upload.c.received < before))
        self._db.execute(delete(_code).where(_code.c.expires < before))
        in_use = [
            select(table.c.case_id).where(table.c.case_id == _case.c.id).exists() for table in (_key, _code, _upload)
        ]
        self._db.execute(delete(_case).where(_case.c.opened < before, ~or_(*in_use)))


def to_case(row: Any) -> Case:
    return Case(row.id, Tier(row.tier), row.source, row.onset, row.opened, row.revoked)


_ISSUED_FOR = select(_code.c.case_id).where(_code.c.digest == bindparam("of_code")).scalar_subquery()
_LOCK_CASE_OF_CODE = select(_case.c.id).where(_case.c.id == _ISSUED_FOR).with_for_update()
_USE_CODE = update(_code).where(_code.c.digest == bindparam("of_code")).values(used=bindparam("at"))
_PUT_UPLOAD = insert(_upload)
"""Of each upload, and made once: to put a statement together takes longer than to run it."""
