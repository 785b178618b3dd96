"""The authority's memory of cases, codes, keys and batches, as statements of SQLAlchemy Core.

Every act is one transaction that the acts in authority.py open; retention is enforced by `prune` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bluezoned.authority.case import Case
from bluezoned.authority.database import Database
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
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, ReportType, Tier


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload that was accepted."""

    digest: bytes
    """Of the code and the keys: what the code is bound to."""
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """Keys that the next batch of their protocol has to tell, or to take back."""

    keys: list[DiagnosisKey]
    last_row: int
    """Of the last of them; there is none else to be told up to it. 0 where there are no keys."""
    own: list[DiagnosisKey]
    """Those of the keys that come of cases here, and not from another authority."""


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
        issued_for = select(_code.c.case_id).where(_code.c.digest == digest).scalar_subquery()
        self._db.execute(select(_case.c.id).where(_case.c.id == issued_for).with_for_update())

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
        key, other = _key, _key.alias()
        self._db.execute(update(_case).where(_case.c.id.in_(ids), _case.c.revoked.is_(None)).values(revoked=at))
        self._db.execute(delete(_code).where(_code.c.case_id.in_(ids), _code.c.used.is_(None)))
        self._db.execute(delete(key).where(key.c.case_id.in_(ids), key.c.published_in.is_(None)))
        self._db.execute(update(key).where(key.c.case_id.in_(ids)).values(is_revoked=True))
        # Who was F1 and became F0 has published the same keys twice. When the F0 falls, boxes forget the key; so the
        # F1 that still stands has to be told again.
        nearer_falls = select(other.c.id).where(
            same_key(other), other.c.case_id.in_(ids), other.c.tier < key.c.tier, other.c.revoked_in.is_(None)
        )
        again = update(key).where(key.c.is_revoked.is_(False), nearer_falls.exists())
        self._db.execute(again.values(published_in=None))

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
        self._db.execute(update(_code).where(_code.c.digest == digest).values(used=at))

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
        self._db.execute(
            insert(_upload).values(nonce=bytes(nonce), digest=digest, case_id=case_id, received=at, receipt=receipt)
        )
        self._db.execute(
            insert(_key),
            [
                {
                    "case_id": case_id,
                    "protocol": key.protocol,
                    "secret": bytes(key.secret),
                    "start": key.start,
                    "end": key.end,
                    "tier": int(key.tier),
                    "report_type": int(key.report_type),
                    "days_since_onset": key.days_since_onset,
                    "received": at,
                    "is_revoked": False,
                }
                for key in keys
            ],
        )

    def waiting_keys(self, protocol: str, ended_before: int, most: int) -> Waiting:
        """Not yet published, not revoked, out of use before `ended_before` (ms); the first `most` received. One that
        has to be taken back first waits for that."""
        return self._waiting(_to_tell(protocol, ended_before), most)

    def waiting_revocations(self, protocol: str, most: int) -> Waiting:
        """Published and to be taken back, unless the same key stands for another case of no farther tier."""
        return self._waiting(_to_take_back(protocol), most)

    def _waiting(self, condition: Any, most: int) -> Waiting:
        # Tuples, a piece at a time: by names a row costs twice as much, and a country has a million.
        query = select(_key.c.id, _key.c.case_id, *_OF_KEY).where(condition).order_by(_key.c.id).limit(most)
        keys, last, own = [], 0, []
        for rows in self._db.execute(query.execution_options(yield_per=_AT_ONCE)).partitions():
            for row_id, case_id, *values in rows:
                key, last = _key_of(values), row_id
                keys.append(key)
                if case_id is not None:
                    own.append(key)
        return Waiting(keys, last, own)

    def mark_published(self, protocol: str, ended_before: int, last_row: int, sequence: int) -> int:
        """What `waiting_keys` gave up to `last_row`, now told; how many it was still time for: one may have been
        revoked meanwhile, another may have come late."""
        return self._mark(_to_tell(protocol, ended_before), last_row, {"published_in": sequence})

    def mark_revoked(self, protocol: str, last_row: int, sequence: int) -> int:
        return self._mark(_to_take_back(protocol), last_row, {"revoked_in": sequence})

    def _mark(self, condition: Any, last_row: int, values: dict[str, int]) -> int:
        return self._db.execute(update(_key).where(condition, _key.c.id <= last_row).values(**values)).rowcount

    def counts(self, at: int) -> dict[str, int]:
        """Of what there is, for operators."""
        case, code, key = _case.c, _code.c, _key.c
        counted = {
            "cases": case.revoked.is_(None),
            "cases_revoked": case.revoked.is_not(None),
            "codes_open": and_(code.used.is_(None), code.expires > at),
            "keys_waiting": and_(key.published_in.is_(None), key.is_revoked.is_(False)),
            "keys_published": and_(key.published_in.is_not(None), key.is_revoked.is_(False)),
            "keys_revoked": key.is_revoked,
        }
        queries = {name: select(func.count()).where(condition) for name, condition in counted.items()}
        return {name: self._db.execute(query).scalar_one() for name, query in queries.items()}

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
        key = _key
        self._db.execute(delete(_batch).where(_batch.c.sequence == sequence))
        # A revoked one keeps its mark: boxes that had the file must hear of the revocation.
        told = and_(key.c.published_in == sequence, key.c.is_revoked.is_(False))
        self._db.execute(update(key).where(told).values(published_in=None))
        self._db.execute(update(key).where(key.c.revoked_in == sequence).values(revoked_in=None))
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


def _to_tell(protocol: str, ended_before: int) -> Any:
    key, other = _key, _key.alias()
    falls = select(other.c.id).where(
        same_key(other), other.c.is_revoked, other.c.revoked_in.is_(None), other.c.tier < key.c.tier
    )
    waits = and_(key.c.published_in.is_(None), key.c.is_revoked.is_(False), key.c.end <= ended_before)
    return and_(key.c.protocol == protocol, waits, ~falls.exists())


def _to_take_back(protocol: str) -> Any:
    key, other = _key, _key.alias()
    stands = select(other.c.id).where(same_key(other), other.c.is_revoked.is_(False), other.c.tier <= key.c.tier)
    waits = and_(key.c.published_in.is_not(None), key.c.is_revoked, key.c.revoked_in.is_(None))
    return and_(key.c.protocol == protocol, waits, ~stands.exists())


def same_key(other: Any) -> Any:
    """Whether a row of the alias `other` is of the same key as the row at hand: two cases may publish one."""
    return and_(other.c.secret == _key.c.secret, other.c.protocol == _key.c.protocol, other.c.id != _key.c.id)


def to_case(row: Any) -> Case:
    return Case(row.id, Tier(row.tier), row.source, row.onset, row.opened, row.revoked)


_OF_KEY = (
    _key.c.protocol,
    _key.c.secret,
    _key.c.start,
    _key.c.end,
    _key.c.tier,
    _key.c.report_type,
    _key.c.days_since_onset,
)

_AT_ONCE = 5000
"""Rows of one piece: some 2 MB."""

_TIERS = {tier.value: tier for tier in Tier}
_REPORT_TYPES = {kind.value: kind for kind in ReportType}


def to_key(row: Any) -> DiagnosisKey:
    return _key_of([row._mapping[column] for column in _OF_KEY])


def _key_of(values: Sequence[Any]) -> DiagnosisKey:
    """Of the columns _OF_KEY."""
    protocol, secret, start, end, tier, report_type, days = values
    return DiagnosisKey(protocol, Opaque(secret), start, end, _TIERS[tier], _REPORT_TYPES[report_type], days)
