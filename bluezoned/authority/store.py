"""The authority's memory: SQLAlchemy Core, SQLite by default. All of the authority's SQL is here.

Every act is one transaction that the acts in authority.py open; retention is enforced by `prune` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bluezoned.authority.case import Case
from bluezoned.authority.verification import Code, Guard
from bluezoned.errors import StoreError
from bluezoned.key_index import Batch
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, ReportType, Tier

SCHEMA_VERSION = 1
"""Kept as the fact `schema`. A later version brings its migrations with it."""

_metadata = MetaData()

_fact = Table("fact", _metadata, Column("name", String, primary_key=True), Column("value", BigInteger, nullable=False))

_case = Table(
    "case_",
    _metadata,
    Column("id", String, primary_key=True),
    Column("tier", Integer, nullable=False),
    Column("source", ForeignKey("case_.id", ondelete="SET NULL"), nullable=True, index=True),
    Column("onset", Integer),
    Column("opened", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)

_code = Table(
    "code",
    _metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
)

_failure = Table("failure", _metadata, Column("id", Integer, primary_key=True), Column("at", BigInteger, index=True))

_upload = Table(
    "upload",
    _metadata,
    Column("nonce", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("received", BigInteger, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
)

_key = Table(
    "key_",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("case_id", ForeignKey("case_.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("protocol", String, nullable=False),
    Column("secret", LargeBinary, nullable=False, index=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("report_type", Integer, nullable=False),
    Column("days_since_onset", Integer),
    Column("received", BigInteger, nullable=False),
    Column("published_in", Integer, index=True),
    Column("is_revoked", Boolean, nullable=False, default=False),
    Column("revoked_in", Integer),
)

_batch = Table(
    "batch",
    _metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("protocol", String, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload that was accepted."""

    digest: bytes
    """Of the code and the keys: what the code is bound to."""
    receipt: bytes


@dataclass(frozen=True, slots=True)
class WaitingKey:
    """A key that the next batch of its protocol has to tell, or to take back."""

    row: int
    key: DiagnosisKey


def open_engine(url: str) -> Engine:
    """The database at an SQLAlchemy `url`, its tables made where they are missing. StoreError when it cannot be used
    or was written by a later version."""
    # Parameters are keys and digests of codes: no error may print them.
    engine = create_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            _metadata.create_all(connection)
            version = connection.execute(select(_fact.c.value).where(_fact.c.name == "schema")).scalar()
            if version is None:
                connection.execute(insert(_fact).values(name="schema", value=SCHEMA_VERSION))
            elif version > SCHEMA_VERSION:
                raise StoreError("the database was written by a newer bluezone-authority: install that one again")
    except SQLAlchemyError as error:
        raise StoreError(f"cannot use the database ({_cause(error)}): is its directory there and writable?") from error
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Ours begins transactions itself: the driver's own way would let two readers both believe they may write.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


_PRAGMAS = (
    "busy_timeout = 10000",  # ms; the server and the staff's commands write to the same file
    "journal_mode = WAL",
    "synchronous = FULL",  # a receipt is a promise: what it promises must outlast a pulled plug
    "foreign_keys = ON",
    "secure_delete = ON",  # what is forgotten is overwritten
)


def _begin(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


_READS = "bluezoned_reads"


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

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing; one at a time. StoreError when the database fails."""
        with _translated(), self._engine.begin() as connection:
            yield Transaction(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """For reading alone: sees one moment and waits for no writer. StoreError when the database fails."""
        with _translated(), self._engine.execution_options(**{_READS: True}).begin() as connection:
            yield Transaction(connection)

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(
            f"the database failed ({_cause(error)}), and nothing was changed: is the disk full, or does another "
            "program hold the database?"
        ) from error


def _cause(error: SQLAlchemyError) -> str:
    """In the database's words where they hold no values: "database is locked", "disk I/O error"."""
    return str(error.orig) if isinstance(error, OperationalError) else type(error).__name__


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
        return None if row is None else _to_case(row)

    def cases(self) -> list[Case]:
        """Newest first."""
        return [_to_case(row) for row in self._db.execute(select(_case).order_by(_case.c.opened.desc(), _case.c.id))]

    def descendants(self, case_id: str) -> list[str]:
        """The case and every case that came of it."""
        found = [case_id]
        for parent in found:
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
            _same_key(other), other.c.case_id.in_(ids), other.c.tier < key.c.tier, other.c.revoked_in.is_(None)
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

    def waiting_keys(self, protocol: str, ended_before: int, most: int) -> list[WaitingKey]:
        """Not yet published, not revoked, out of use before `ended_before` (ms); the first `most` received. One that
        has to be taken back first waits for that."""
        key, other = _key, _key.alias()
        falls = select(other.c.id).where(
            _same_key(other), other.c.is_revoked, other.c.revoked_in.is_(None), other.c.tier < key.c.tier
        )
        waits = and_(key.c.published_in.is_(None), key.c.is_revoked.is_(False), key.c.end <= ended_before)
        return self._keys(and_(key.c.protocol == protocol, waits, ~falls.exists()), most)

    def waiting_revocations(self, protocol: str, most: int) -> list[WaitingKey]:
        """Published and to be taken back, unless the same key stands for another case of no farther tier."""
        key, other = _key, _key.alias()
        stands = select(other.c.id).where(_same_key(other), other.c.is_revoked.is_(False), other.c.tier <= key.c.tier)
        waits = and_(key.c.published_in.is_not(None), key.c.is_revoked, key.c.revoked_in.is_(None))
        return self._keys(and_(key.c.protocol == protocol, waits, ~stands.exists()), most)

    def _keys(self, condition: Any, most: int) -> list[WaitingKey]:
        rows = self._db.execute(select(_key).where(condition).order_by(_key.c.id).limit(most))
        return [WaitingKey(row.id, _to_key(row)) for row in rows]

    def mark_published(self, rows: Iterable[int], sequence: int) -> int:
        """How many of them it was still time for: one may have been revoked meanwhile."""
        waits = and_(_key.c.published_in.is_(None), _key.c.is_revoked.is_(False))
        return self._mark(rows, waits, {"published_in": sequence})

    def mark_revoked(self, rows: Iterable[int], sequence: int) -> int:
        return self._mark(rows, _key.c.revoked_in.is_(None), {"revoked_in": sequence})

    def _mark(self, rows: Iterable[int], condition: Any, values: dict[str, int]) -> int:
        ids, marked = list(rows), 0
        for first in range(0, len(ids), 500):  # SQLite takes only so many parameters in one statement
            some = _key.c.id.in_(ids[first : first + 500])
            marked += self._db.execute(update(_key).where(some, condition).values(**values)).rowcount
        return marked

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

    def put_fact(self, name: str, value: int) -> None:
        if self._db.execute(update(_fact).where(_fact.c.name == name).values(value=value)).rowcount == 0:
            self._db.execute(insert(_fact).values(name=name, value=value))

    def fact(self, name: str) -> int:
        """0 where nothing is known."""
        return self._db.execute(select(_fact.c.value).where(_fact.c.name == name)).scalar() or 0

    # retention

    def prune(self, before: int) -> None:
        """The one place where anything is forgotten for its age: what is older than `before` (ms)."""
        self._db.execute(delete(_failure).where(_failure.c.at < before))
        self._db.execute(delete(_batch).where(_batch.c.end < before))
        self._db.execute(delete(_key).where(_key.c.received < before))
        self._db.execute(delete(_upload).where(_upload.c.received < before))
        self._db.execute(delete(_code).where(_code.c.expires < before))
        in_use = [
            select(table.c.case_id).where(table.c.case_id == _case.c.id).exists() for table in (_key, _code, _upload)
        ]
        self._db.execute(delete(_case).where(_case.c.opened < before, ~or_(*in_use)))


def _same_key(other: Any) -> Any:
    """Whether a row of the alias `other` is of the same key as the row at hand: two cases may publish one."""
    return and_(other.c.secret == _key.c.secret, other.c.protocol == _key.c.protocol, other.c.id != _key.c.id)


def _to_case(row: Any) -> Case:
    return Case(row.id, Tier(row.tier), row.source, row.onset, row.opened, row.revoked)


def _to_key(row: Any) -> DiagnosisKey:
    return DiagnosisKey(
        row.protocol,
        Opaque(row.secret),
        row.start,
        row.end,
        Tier(row.tier),
        ReportType(row.report_type),
        row.days_since_onset,
    )
