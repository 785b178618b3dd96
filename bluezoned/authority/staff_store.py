"""What the authority remembers of its staff: who they are, what they prove themselves with, who is signed in, and what
everybody did. The tables stand beside those of store.py in one database; an act and its line in the audit log are one
transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
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

from bluezoned.authority.credential import Passkey
from bluezoned.authority.database import METADATA
from bluezoned.authority.staff import Actor, Lock, Member, Role, Session, Stage
from bluezoned.protocols.protocol import DAY

AUDIT_KEPT = 730 * DAY
"""ms. Two years: an inquiry into an outbreak begins after its end. The database refuses to lose a younger
line."""

_member = Table(
    "member",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("handle", LargeBinary, nullable=False),
    Column("password", String),
    Column("totp", LargeBinary),
    Column("totp_step", BigInteger, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("held_until", BigInteger, nullable=False, default=0),
    Column("invitation", LargeBinary),
    Column("invited_until", BigInteger),
    Column("disabled", BigInteger),
)

_passkey = Table(
    "passkey",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("member_id", ForeignKey("member.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("credential", LargeBinary, nullable=False),
    Column("counter", BigInteger, nullable=False),
)

_recovery = Table(
    "recovery_code",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("member_id", ForeignKey("member.id", ondelete="CASCADE"), nullable=False, index=True),
)

_session = Table(
    "session",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("member_id", ForeignKey("member.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("stage", String, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("challenge", String),
)

_audit = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", String, nullable=False),
    Column("act", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),
)

# A line is never changed, and none is lost before its time: revision 0002 made triggers, so that a hand in the database
# is refused as well as an error here.


class Act(Enum):
    """What the audit log tells of."""

    SET_UP = "set-up"
    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    SIGNED_OUT = "signed-out"
    INVITED = "invited"
    INVITATION_ACCEPTED = "invitation-accepted"
    ROLE_CHANGED = "role-changed"
    DISABLED = "disabled"
    ENABLED = "enabled"
    PASSWORD_CHANGED = "password-changed"
    FACTOR_ADDED = "factor-added"
    FACTOR_REMOVED = "factor-removed"
    RECOVERY_DRAWN = "recovery-drawn"
    CASE_OPENED = "case-opened"
    CODE_ISSUED = "code-issued"
    CASE_REVOKED = "case-revoked"
    VENUE_ADDED = "venue-added"
    OUTBREAK_MARKED = "outbreak-marked"
    BULK_OPENED = "bulk-opened"
    KEYS_IMPORTED = "keys-imported"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log."""

    at: int
    """ms."""
    actor: str
    act: str
    subject: str
    """A case, a member, a venue; empty where there is none."""
    detail: str


class StaffRecords:
    """The statements about staff, in a transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # members

    def put_member(self, name: str, role: Role, handle: bytes, password: str | None = None) -> None:
        self._db.execute(
            insert(_member).values(name=name, role=role.value, handle=handle, password=password, totp_step=0)
        )

    def is_staffed(self) -> bool:
        """Whether anybody was ever a member."""
        return self._db.execute(select(_member.c.id).limit(1)).first() is not None

    def member(self, name: str) -> Member | None:
        return next(iter(self._members(_member.c.name == name)), None)

    def held_member(self, name: str) -> Member | None:
        """Whom nobody else can change until the transaction ends: of two tries at once each must see the other's
        count. (SQLite lets one transaction write at a time, and needs no more.)"""
        self._db.execute(select(_member.c.id).where(_member.c.name == name).with_for_update())
        return self.member(name)

    def hold_members(self) -> None:
        """Nobody else changes any of them until the transaction ends."""
        self._db.execute(select(_member.c.id).order_by(_member.c.id).with_for_update())

    def members(self) -> list[Member]:
        return self._members()

    def invited(self, digest: bytes, at: int) -> Member | None:
        """Whose invitation that is, while it lasts."""
        open_still = _member.c.invited_until > at
        return next(iter(self._members(_member.c.invitation == digest, open_still, _member.c.disabled.is_(None))), None)

    def _members(self, *conditions: Any) -> list[Member]:
        counts = [
            select(func.count()).where(table.c.member_id == _member.c.id).scalar_subquery()
            for table in (_passkey, _recovery)
        ]
        query = select(_member, counts[0].label("passkeys"), counts[1].label("recovery_codes"))
        return [_to_member(row) for row in self._db.execute(query.where(*conditions).order_by(_member.c.name))]

    def change_member(self, member_id: int, **values: Any) -> None:
        self._db.execute(update(_member).where(_member.c.id == member_id).values(**values))

    def put_lock(self, member_id: int, lock: Lock) -> None:
        self.change_member(member_id, failures=lock.failures, held_until=lock.held_until)

    # second factors

    def passkeys(self, member_id: int) -> list[Passkey]:
        rows = self._db.execute(select(_passkey).where(_passkey.c.member_id == member_id).order_by(_passkey.c.id))
        return [Passkey(row.id, row.credential, row.counter) for row in rows]

    def put_passkey(self, member_id: int, passkey: Passkey) -> None:
        self._db.execute(
            insert(_passkey).values(
                id=passkey.id, member_id=member_id, credential=passkey.credential, counter=passkey.counter
            )
        )

    def count_passkey(self, passkey: Passkey) -> None:
        self._db.execute(update(_passkey).where(_passkey.c.id == passkey.id).values(counter=passkey.counter))

    def remove_passkeys(self, member_id: int) -> None:
        self._db.execute(delete(_passkey).where(_passkey.c.member_id == member_id))

    def put_recovery_codes(self, member_id: int, digests: Iterable[bytes]) -> None:
        """Instead of those that were left."""
        self._db.execute(delete(_recovery).where(_recovery.c.member_id == member_id))
        rows = [{"digest": digest, "member_id": member_id} for digest in digests]
        if rows:
            self._db.execute(insert(_recovery), rows)

    def use_recovery_code(self, member_id: int, digest: bytes) -> bool:
        """Whether it was one."""
        fits = (_recovery.c.digest == digest) & (_recovery.c.member_id == member_id)
        return self._db.execute(delete(_recovery).where(fits)).rowcount == 1

    # sessions

    def put_session(self, digest: bytes, member_id: int, stage: Stage, at: int) -> None:
        self._db.execute(
            insert(_session).values(digest=digest, member_id=member_id, stage=stage.value, started=at, seen=at)
        )

    def session(self, digest: bytes) -> Session | None:
        row = self._db.execute(select(_session).where(_session.c.digest == digest)).first()
        if row is None:
            return None
        (member,) = self._members(_member.c.id == row.member_id)
        return Session(digest, member, Stage(row.stage), row.started, row.seen, row.challenge)

    def held_session(self, digest: bytes) -> Session | None:
        """As `held_member`, and so its member."""
        self._db.execute(select(_session.c.digest).where(_session.c.digest == digest).with_for_update())
        found = self.session(digest)
        if found is not None:
            self.held_member(found.member.name)
        return self.session(digest)

    def touch_session(self, digest: bytes, at: int) -> None:
        self._db.execute(update(_session).where(_session.c.digest == digest).values(seen=at))

    def put_challenge(self, digest: bytes, challenge: str | None) -> None:
        self._db.execute(update(_session).where(_session.c.digest == digest).values(challenge=challenge))

    def end_session(self, digest: bytes) -> None:
        self._db.execute(delete(_session).where(_session.c.digest == digest))

    def end_sessions(self, member_id: int, but: bytes = b"") -> None:
        self._db.execute(delete(_session).where(_session.c.member_id == member_id, _session.c.digest != but))

    # the audit log

    def note(self, actor: Actor, act: Act, at: int, subject: str = "", detail: str = "") -> None:
        """One line; nothing ever changes it."""
        self._db.execute(insert(_audit).values(at=at, actor=actor.name, act=act.value, subject=subject, detail=detail))

    def entries(self, wanted: Wanted, most: int, skip: int = 0) -> list[Entry]:
        """Newest first."""
        query = select(_audit).where(*wanted.conditions()).order_by(_audit.c.id.desc()).limit(most).offset(skip)
        return [Entry(row.at, row.actor, row.act, row.subject, row.detail) for row in self._db.execute(query)]

    def actors(self) -> list[str]:
        """Everybody who ever did anything."""
        return list(self._db.execute(select(_audit.c.actor).distinct().order_by(_audit.c.actor)).scalars())

    def prune(self, at: int, session_started_before: int) -> None:
        """What `Transaction.prune` forgets of this."""
        self._db.execute(delete(_session).where(_session.c.started < session_started_before))
        newest = self._db.execute(select(func.max(_audit.c.at))).scalar()
        if newest is not None:
            # By the newest line as well as by the clock: the database judges by its own lines.
            self._db.execute(delete(_audit).where(_audit.c.at < min(at, newest) - AUDIT_KEPT))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines of the audit log."""

    actor: str = ""
    act: str = ""
    subject: str = ""
    since: int = 0
    until: int | None = None
    """ms, excluded."""

    def conditions(self) -> list[Any]:
        found = [_audit.c.at >= self.since]
        if self.until is not None:
            found.append(_audit.c.at < self.until)
        for column, value in ((_audit.c.actor, self.actor), (_audit.c.act, self.act), (_audit.c.subject, self.subject)):
            if value:
                found.append(column == value)
        return found


def _to_member(row: Any) -> Member:
    return Member(
        row.id,
        row.name,
        Role(row.role),
        row.handle,
        row.password,
        row.totp,
        row.totp_step,
        row.passkeys,
        row.recovery_codes,
        Lock(row.failures, row.held_until),
        row.invited_until,
        row.disabled,
    )
