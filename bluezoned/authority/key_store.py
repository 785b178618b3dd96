"""Diagnosis keys in the authority's database: which wait to be told, which batch told them, which are taken back.

A key that waits has a row in `waiting`, and telling it removes that row; `told` knows what each batch told by the first
and last of rows that follow one another. A mark on each key's own row cost PostgreSQL 3.9 s for 200,000 keys, where
the removal takes 0.1 s: a whole new row, and an entry in each of its indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bluezoned.authority.tables import key as _key
from bluezoned.authority.tables import told as _told
from bluezoned.authority.tables import waiting as _waiting
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, ReportType, Tier

NEVER_TOLD = 0
"""As the batch that took a key back, in place of a number, which is at least 1: it was taken back before it was told
here. Its row says no more to boxes, and keeps an older export from bringing it again."""

_AT_ONCE = 10_000
"""Rows of one piece, some megabytes: a batch of 200,000 is read in twenty. Other sizes were not measured."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Keys that the next batch of their protocol has to tell, or to take back."""

    keys: list[DiagnosisKey]
    runs: list[tuple[int, int]]
    """Their rows, in order: the first and the last of each run of neighbours."""
    own: list[DiagnosisKey]
    """Those of the keys that come of cases here, and not from another authority."""


class KeyRecords:
    """The statements, in the transaction of whoever asks."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # what comes

    def put(
        self, keys: Iterable[DiagnosisKey], at: int, *, case_id: str | None = None, origin: str | None = None
    ) -> None:
        """Keys of a case, or from another authority, that wait to be told from now on."""
        rows = [_row(key, at, case_id, origin) for key in keys]
        if rows and self._db.dialect.name == "postgresql":
            for first in range(0, len(rows), _AT_ONCE):
                self._put_at_once(rows[first : first + _AT_ONCE], at, case_id, origin)
        elif rows:
            ids = self._db.execute(insert(_key).returning(_key.c.id), rows).scalars()
            self._db.execute(insert(_waiting), [{"key_id": key_id} for key_id in ids])

    def _put_at_once(self, rows: list[dict[str, Any]], at: int, case_id: str | None, origin: str | None) -> None:
        """As arrays, a parameter for each column: with one for each value, the driver takes longer to read the
        statement's text than PostgreSQL to run it."""
        columns = {column.name: [row[column.name] for row in rows] for column in _OF_KEY}
        self._db.execute(_PUT_AT_ONCE, {**columns, "of_case": case_id, "at": at, "of_origin": origin})

    def put_taken_back(self, keys: Iterable[DiagnosisKey], at: int, origin: str) -> None:
        """Keys that another authority took back before they came here."""
        rows = [{**_row(key, at, None, origin), "is_revoked": True, "revoked_in": NEVER_TOLD} for key in keys]
        if rows:
            self._db.execute(insert(_key), rows)

    # what is taken back

    def take_back_of_cases(self, ids: Sequence[str]) -> None:
        """What the cases told is to be taken back; what nobody has seen is forgotten."""
        mine = _key.c.case_id.in_(ids)
        unseen = self._locked_unseen(mine)
        self._db.execute(delete(_key).where(_key.c.id.in_(unseen)))
        self._db.execute(update(_key).where(mine).values(is_revoked=True))
        other = _key.alias()
        self._tell_again(other, other.c.case_id.in_(ids))

    def take_back_imported(self, protocol: str, secrets: Iterable[bytes], origin: str) -> int:
        """What `origin` alone told; how many of those. Rows of what nobody has seen stay, see NEVER_TOLD."""
        meant = and_(
            _key.c.secret.in_(list(secrets)),
            _key.c.protocol == protocol,
            _key.c.origin == origin,
            _key.c.is_revoked.is_(False),
        )
        unseen = self._locked_unseen(meant)
        never = case((_key.c.id.in_(unseen), NEVER_TOLD), else_=_key.c.revoked_in)
        taken = self._db.execute(update(_key).where(meant).values(is_revoked=True, revoked_in=never)).rowcount
        self._db.execute(delete(_waiting).where(_waiting.c.key_id.in_(unseen)))
        other = _key.alias()
        self._tell_again(other, and_(other.c.secret.in_(list(secrets)), other.c.origin == origin))
        return taken

    def _locked_unseen(self, condition: ColumnElement[bool]) -> list[int]:
        """Rows of those that wait still. A batch that is being listed with one of them is listed before this returns,
        and then it does not wait any more; or it cannot be listed before this transaction ends."""
        rows = select(_waiting.c.key_id).join(_key, _key.c.id == _waiting.c.key_id).where(condition)
        return list(self._db.execute(rows.order_by(_waiting.c.key_id).with_for_update(of=_waiting)).scalars())

    def _tell_again(self, other: Any, of_whom: ColumnElement[bool]) -> None:
        """Who was F1 and became F0 has published the same keys twice. When the F0 falls, boxes forget the key; so the
        F1 that still stands has to be told again."""
        standing = select(_key.c.id).where(_key.c.is_revoked.is_(False), exists().where(_falls(other), of_whom))
        dialect = postgresql if self._db.dialect.name == "postgresql" else sqlite
        new = dialect.insert(_waiting).from_select(["key_id"], standing)
        # One that waits already is written as well: so a batch with it is listed before, or finds that this one falls.
        self._db.execute(new.on_conflict_do_update(index_elements=["key_id"], set_={"key_id": new.excluded.key_id}))

    # what is told

    def waiting(self, protocol: str, ended_before: int, most: int) -> Waiting:
        """Not yet told, out of use before `ended_before` (ms); the first `most` received. One whose nearer like has to
        be taken back first waits for that."""
        return self._read(select(_waiting.c.key_id), _is_due(protocol, ended_before), most)

    def waiting_revocations(self, protocol: str, most: int) -> Waiting:
        """Told and to be taken back, unless the same key stands for another case of no farther tier."""
        falling = select(_key.c.id).where(_key.c.is_revoked, _key.c.revoked_in.is_(None))
        return self._read(falling, _to_take_back(protocol), most)

    def _read(self, among: Select[tuple[int]], wanted: ColumnElement[bool], most: int) -> Waiting:
        """Those of the rows `among` that are wanted, a piece at a time: a country has a million. Pieces are cut before
        anything is joined, or a database that has not counted its rows yet joins all of them for each."""
        keys: list[DiagnosisKey] = []
        own: list[DiagnosisKey] = []
        runs: list[tuple[int, int]] = []
        first = last = -1
        (row_number,) = among.selected_columns
        read_to = -1
        while len(keys) < most:
            piece = among.where(row_number > read_to).order_by(row_number).limit(_AT_ONCE).subquery()
            end = self._db.execute(select(func.max(piece.c[0]))).scalar()
            if end is None:
                break
            meant = among.where(row_number > read_to, row_number <= end)
            rows = select(_key.c.id, _key.c.case_id, *_OF_KEY).where(
                _key.c.id > read_to, _key.c.id <= end, _key.c.id.in_(meant), wanted
            )
            read_to = end
            # Tuples: by names a row costs twice as much.
            for row_id, case_id, *values in self._db.execute(rows.order_by(_key.c.id).limit(most - len(keys))):
                if row_id != last + 1:
                    if keys:
                        runs.append((first, last))
                    first = row_id
                last = row_id
                key = _key_of(values)
                keys.append(key)
                if case_id is not None:
                    own.append(key)
        if keys:
            runs.append((first, last))
        return Waiting(keys, runs, own)

    def tell(self, sequence: int, protocol: str, ended_before: int, runs: Sequence[tuple[int, int]]) -> int:
        """What `waiting` gave is told in that batch, which is listed; of how many it is still right: meanwhile one may
        have come late or been taken back, or its nearer like."""
        if not runs:
            return 0
        self._db.execute(
            insert(_told), [{"batch": sequence, "first_key": first, "last_key": last} for first, last in runs]
        )
        first_row, last_row = runs[0][0], runs[-1][1]
        # By what they are: to look for each run's rows cost minutes where the database had not counted its rows yet.
        is_due = exists().where(
            _key.c.id == _waiting.c.key_id, _key.c.id.between(first_row, last_row), _is_due(protocol, ended_before)
        )
        in_reach = _waiting.c.key_id.between(first_row, last_row)
        told = self._db.execute(delete(_waiting).where(in_reach, is_due)).rowcount
        # Only now, when nobody can take its like back any more without seeing that this one waits no longer.
        other = _key.alias()
        too_soon = select(func.count(_key.c.id.distinct())).join_from(other, _key, _falls(other))
        not_waiting = ~exists().where(_waiting.c.key_id == _key.c.id)
        return told - self._db.execute(too_soon.where(_key.c.is_revoked.is_(False), not_waiting)).scalar_one()

    def tell_revoked(self, sequence: int, protocol: str, runs: Sequence[tuple[int, int]]) -> int:
        """As `tell`, of what `waiting_revocations` gave."""
        if not runs:
            return 0
        taken = update(_key).where(_to_take_back(protocol), _key.c.id <= runs[-1][1]).values(revoked_in=sequence)
        return self._db.execute(taken).rowcount

    def tell_anew(self, sequence: int) -> None:
        """The batch is lost: what it told waits to be told again, and what it took back to be taken back. One that was
        told in it and taken back since is not told: boxes that had the file must hear that it was taken back."""
        between = and_(_told.c.batch == sequence, _key.c.id.between(_told.c.first_key, _told.c.last_key))
        standing = select(_key.c.id).join_from(_told, _key, between).where(_key.c.is_revoked.is_(False))
        dialect = postgresql if self._db.dialect.name == "postgresql" else sqlite
        self._db.execute(dialect.insert(_waiting).from_select(["key_id"], standing).on_conflict_do_nothing())
        self._db.execute(update(_key).where(_key.c.revoked_in == sequence).values(revoked_in=None))

    def counts(self) -> dict[str, int]:
        """Of what there is, for operators."""
        queries = {
            "keys_waiting": select(func.count()).select_from(_waiting),
            "keys_published": select(func.count()).where(IS_TOLD),
            "keys_revoked": select(func.count()).where(_key.c.is_revoked),
        }
        return {name: self._db.execute(query).scalar_one() for name, query in queries.items()}


IS_TOLD = and_(_key.c.is_revoked.is_(False), ~exists().where(_waiting.c.key_id == _key.c.id))
"""Whether boxes have the key, and nobody took it back."""


def _row(key: DiagnosisKey, at: int, case_id: str | None, origin: str | None) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "origin": origin,
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


def _is_due(protocol: str, ended_before: int) -> ColumnElement[bool]:
    """Of a key that waits."""
    falls_first = exists().where(_falls(_key.alias()))
    return and_(_key.c.protocol == protocol, _key.c.end <= ended_before, ~falls_first)


def _falls(other: Any) -> ColumnElement[bool]:
    """Whether `other` is the same key for a nearer tier, and boxes have to hear still that it is taken back."""
    return and_(same_key(other), other.c.is_revoked, other.c.revoked_in.is_(None), other.c.tier < _key.c.tier)


def _to_take_back(protocol: str) -> ColumnElement[bool]:
    other = _key.alias()
    stands = and_(other.c.is_revoked.is_(False), other.c.tier <= _key.c.tier)
    waits = and_(_key.c.is_revoked, _key.c.revoked_in.is_(None))
    return and_(_key.c.protocol == protocol, waits, ~exists().where(same_key(other), stands))


def same_key(other: Any) -> ColumnElement[bool]:
    """Whether a row of the alias `other` is of the same key as the row at hand: two cases may publish one."""
    return and_(other.c.secret == _key.c.secret, other.c.protocol == _key.c.protocol, other.c.id != _key.c.id)


_OF_KEY = (
    _key.c.protocol,
    _key.c.secret,
    _key.c.start,
    _key.c.end,
    _key.c.tier,
    _key.c.report_type,
    _key.c.days_since_onset,
)

_TIERS = {tier.value: tier for tier in Tier}
_REPORT_TYPES = {kind.value: kind for kind in ReportType}


def to_key(row: Any) -> DiagnosisKey:
    return _key_of([row._mapping[column] for column in _OF_KEY])


def _key_of(values: Sequence[Any]) -> DiagnosisKey:
    """Of the columns _OF_KEY."""
    protocol, secret, start, end, tier, report_type, days = values
    return DiagnosisKey(protocol, Opaque(secret), start, end, _TIERS[tier], _REPORT_TYPES[report_type], days)


def _statement() -> Any:
    sent = func.unnest(
        *(bindparam(column.name, type_=postgresql.ARRAY(column.type)) for column in _OF_KEY)
    ).table_valued(*(column.name for column in _OF_KEY), name="sent").render_derived()  # fmt: skip
    of_all = {
        _key.c.case_id: bindparam("of_case", type_=String),
        _key.c.origin: bindparam("of_origin", type_=String),
        _key.c.received: bindparam("at", type_=BigInteger),
        _key.c.is_revoked: false(),
    }
    names = [column.name for column in (*_OF_KEY, *of_all)]
    rows = select(*(sent.c[column.name] for column in _OF_KEY), *of_all.values())
    new = insert(_key).from_select(names, rows).returning(_key.c.id).cte("new")
    return insert(_waiting).from_select(["key_id"], select(new.c.id))


_PUT_AT_ONCE = _statement()
"""PostgreSQL alone lets the rows that one statement puts be those that another puts further."""
