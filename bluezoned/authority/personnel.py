"""Acts on the staff themselves: the first administrator, invitations, roles, leaving. Each with its line in the audit
log, in one transaction."""

from __future__ import annotations

import hmac

from bluezoned.authority import credential, staff
from bluezoned.authority.authority import Secrets
from bluezoned.authority.case import ALPHABET, draw
from bluezoned.authority.staff import OPERATOR, Actor, Member, Role, StaffError, StaffProblem
from bluezoned.authority.staff_store import Act, StaffRecords
from bluezoned.authority.store import Store
from bluezoned.protocols.protocol import DAY, Random

INVITATION_LASTS = 7 * DAY
"""ms. Long enough for somebody's days off."""


class Personnel:
    """The staff of one authority."""

    def __init__(self, store: Store, secrets: Secrets, random: Random) -> None:
        self._store = store
        self._pepper = secrets.pepper
        self._random = random

    @property
    def setup_word(self) -> str:
        """What the first administrator must show: it is told at the machine alone."""
        return credential.setup_word(self._pepper)

    def is_staffed(self) -> bool:
        with self._store.snapshot() as seen:
            return StaffRecords(seen.connection).is_staffed()

    def members(self) -> list[Member]:
        """By name."""
        with self._store.snapshot() as seen:
            return StaffRecords(seen.connection).members()

    def set_up(self, word: str, name: str, password: str, at: int) -> Member:
        """The first administrator. StaffError when there is one already, or the word is another."""
        if not hmac.compare_digest(credential.normalised(word).encode(), self.setup_word.encode()):
            raise StaffError(StaffProblem.SETUP_WORD)
        staff.require_name(name)
        staff.require_password(password, name)
        hashed = credential.hash_password(password, self._random)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            if records.is_staffed():
                raise StaffError(StaffProblem.SETUP_OVER)
            # Of two at once, the database refuses the second of one name of a fact.
            transaction.put_fact("set up", at)
            records.put_member(name, Role.ADMIN, self._random(16), hashed)
            records.note(Actor(name), Act.SET_UP, at, name)
            return _known(records, name)

    def invite(self, actor: Actor, name: str, role: Role, at: int) -> str:
        """The word with which a new member comes in; it can be read now and never again. StaffError when it cannot
        be."""
        staff.require_name(name)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            if records.member(name) is not None or name == OPERATOR.name:
                raise StaffError(StaffProblem.NAME_TAKEN)
            records.put_member(name, role, self._random(16))
            return self._invite(records, actor, _known(records, name), at)

    def invite_again(self, actor: Actor, name: str, at: int) -> str:
        """For who forgot the password or lost the second factor: both are gone, and so is every session. StaffError
        when there is nobody of that name."""
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            member = _known(records, name)
            records.change_member(member.id, password=None, totp=None, failures=0, held_until=0)
            records.remove_passkeys(member.id)
            records.put_recovery_codes(member.id, [])
            records.end_sessions(member.id)
            return self._invite(records, actor, member, at)

    def _invite(self, records: StaffRecords, actor: Actor, member: Member, at: int) -> str:
        word = draw(ALPHABET, 16, self._random)
        hashed = credential.digest("invitation", word, self._pepper)
        records.change_member(member.id, invitation=hashed, invited_until=at + INVITATION_LASTS)
        records.note(actor, Act.INVITED, at, member.name, member.role.value)
        return word

    def accept(self, word: str, password: str, at: int) -> Member:
        """The invited member, with a password. StaffError when the invitation is none or the password will not do."""
        hashed_word = credential.digest("invitation", credential.normalised(word), self._pepper)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            member = records.invited(hashed_word, at)
            if member is None:
                raise StaffError(StaffProblem.INVITATION)
            staff.require_password(password, member.name)
            hashed = credential.hash_password(password, self._random)
            records.change_member(member.id, password=hashed, invitation=None, invited_until=None)
            records.note(Actor(member.name), Act.INVITATION_ACCEPTED, at, member.name)
            return _known(records, member.name)

    def change_role(self, actor: Actor, name: str, role: Role, at: int) -> None:
        """StaffError when nobody would be left to administrate."""
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.hold_members()
            member = _known(records, name)
            if role is not Role.ADMIN:
                _require_another_admin(records, member)
            records.change_member(member.id, role=role.value)
            records.end_sessions(member.id)
            records.note(actor, Act.ROLE_CHANGED, at, name, f"{member.role.value} > {role.value}")

    def disable(self, actor: Actor, name: str, at: int) -> None:
        """Who left comes in no more. The name stays, for the log. StaffError when nobody would be left to
        administrate."""
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.hold_members()
            member = _known(records, name)
            _require_another_admin(records, member)
            records.change_member(member.id, disabled=at, invitation=None, invited_until=None)
            records.end_sessions(member.id)
            records.note(actor, Act.DISABLED, at, name)

    def enable(self, actor: Actor, name: str, at: int) -> None:
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            member = _known(records, name)
            records.change_member(member.id, disabled=None)
            records.note(actor, Act.ENABLED, at, name)


def _known(records: StaffRecords, name: str) -> Member:
    member = records.member(name)
    if member is None:
        raise StaffError(StaffProblem.UNKNOWN)
    return member


def _require_another_admin(records: StaffRecords, member: Member) -> None:
    others = [
        other
        for other in records.members()
        if other.role is Role.ADMIN and other.disabled is None and other.password is not None and other.id != member.id
    ]
    if member.role is Role.ADMIN and not others:
        raise StaffError(StaffProblem.LAST_ADMIN)
