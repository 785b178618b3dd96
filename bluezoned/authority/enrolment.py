"""What members set up for themselves: a second factor, recovery codes, another password."""

from __future__ import annotations

from dataclasses import dataclass

from bluezoned.authority import credential, staff
from bluezoned.authority.authority import Secrets
from bluezoned.authority.credential import Offer, Place
from bluezoned.authority.sign_in import Entered, SignIn
from bluezoned.authority.staff import Actor, Session, StaffError, StaffProblem, Stage
from bluezoned.authority.staff_store import Act, StaffRecords
from bluezoned.authority.store import Store
from bluezoned.protocols.protocol import Random


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A second factor was added."""

    recovery_codes: list[str] | None
    """Where it was the first: to be read now and never again."""
    entered: Entered | None
    """Where it was the first: the session that begins with it."""


class Enrolment:
    """Of the members of one authority."""

    def __init__(self, store: Store, secrets: Secrets, random: Random, door: SignIn) -> None:
        self._store = store
        self._pepper = secrets.pepper
        self._random = random
        self._door = door

    def offer_totp(self, session: Session) -> str:
        """A secret to be scanned; it counts once its digits were shown. The same one for as long as the session
        waits, so that a reloaded page does not make the scanned one worthless."""
        handle = session.member.handle
        if session.challenge and session.challenge.startswith("totp "):
            known = credential.open_totp(bytes.fromhex(session.challenge[5:]), handle, self._pepper)
            if known is not None:
                return known
        secret = credential.draw_totp(self._random)
        sealed = credential.seal_totp(secret, handle, self._pepper, self._random)
        self._remember(session, f"totp {sealed.hex()}")
        return secret

    def add_totp(self, session: Session, digits: str, at: int) -> Enrolled:
        """StaffError unless the digits are those of the offered secret."""
        challenge = session.challenge or ""
        sealed = bytes.fromhex(challenge[5:]) if challenge.startswith("totp ") else b""
        secret = credential.open_totp(sealed, session.member.handle, self._pepper) if sealed else None
        step = None if secret is None else credential.totp_step(secret, digits, at, 0)
        if step is None:
            raise StaffError(StaffProblem.TOTP_WRONG)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.change_member(session.member.id, totp=sealed, totp_step=step)
            return self._enrolled(records, session, "six digits", at)

    def offer_passkey(self, session: Session, place: Place) -> Offer:
        with self._store.snapshot() as seen:
            known = StaffRecords(seen.connection).passkeys(session.member.id)
        member = session.member
        offer = credential.offer_registration(place, member.handle, member.name, known, self._random)
        self._remember(session, offer.state)
        return offer

    def add_passkey(self, session: Session, place: Place, answer: str, at: int) -> Enrolled:
        """StaffError unless the answer fits what was offered."""
        passkey = credential.register(place, session.challenge or "null", answer)
        if passkey is None:
            raise StaffError(StaffProblem.PASSKEY_WRONG)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.put_passkey(session.member.id, passkey)
            return self._enrolled(records, session, "passkey", at)

    def remove_totp(self, session: Session, at: int) -> None:
        """StaffError when no second factor would remain."""
        if not session.member.passkeys:
            raise StaffError(StaffProblem.LAST_FACTOR)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.change_member(session.member.id, totp=None)
            records.note(Actor(session.member.name), Act.FACTOR_REMOVED, at, detail="six digits")

    def remove_passkeys(self, session: Session, at: int) -> None:
        """StaffError when no second factor would remain."""
        if session.member.totp is None:
            raise StaffError(StaffProblem.LAST_FACTOR)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.remove_passkeys(session.member.id)
            records.note(Actor(session.member.name), Act.FACTOR_REMOVED, at, detail="passkey")

    def draw_recovery_codes(self, session: Session, at: int) -> list[str]:
        """New ones in place of the old."""
        with self._store.transaction() as transaction:
            return self._draw_recovery_codes(StaffRecords(transaction.connection), session, at)

    def change_password(self, session: Session, old: str, new: str, at: int) -> None:
        """Every other session of the member ends. StaffError when the old one is wrong or the new one will not do."""
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            member = records.held_member(session.member.name)
            if member is None or member.lock.is_shut(at):
                raise StaffError(StaffProblem.HELD)
            records.put_lock(member.id, member.lock.after_try(at))
        if not credential.is_password(old[: staff.LONGEST_PASSWORD], member.password):
            raise StaffError(StaffProblem.PASSWORD_WRONG)
        staff.require_password(new, member.name)
        hashed = credential.hash_password(new, self._random)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.change_member(member.id, password=hashed)
            records.put_lock(member.id, member.lock)
            records.end_sessions(member.id, but=session.digest)
            records.note(Actor(member.name), Act.PASSWORD_CHANGED, at)

    def _remember(self, session: Session, challenge: str) -> None:
        with self._store.transaction() as transaction:
            StaffRecords(transaction.connection).put_challenge(session.digest, challenge)

    def _enrolled(self, records: StaffRecords, session: Session, factor: str, at: int) -> Enrolled:
        if records.held_session(session.digest) is None:
            # Somebody has set up a first factor in the same moment, which ended this session.
            raise StaffError(StaffProblem.REFUSED)
        records.put_challenge(session.digest, None)
        records.note(Actor(session.member.name), Act.FACTOR_ADDED, at, detail=factor)
        if session.stage is Stage.FULL:
            return Enrolled(None, None)
        codes = self._draw_recovery_codes(records, session, at)
        # Whoever held the member's other half-open sessions has shown no second factor.
        records.end_sessions(session.member.id)
        records.note(Actor(session.member.name), Act.SIGNED_IN, at, detail=factor)
        return Enrolled(codes, self._door.begin_full(records, session.member, at))

    def _draw_recovery_codes(self, records: StaffRecords, session: Session, at: int) -> list[str]:
        codes = credential.draw_recovery_codes(self._random)
        digests = [credential.digest("recovery", code, self._pepper) for code in codes]
        records.put_recovery_codes(session.member.id, digests)
        records.note(Actor(session.member.name), Act.RECOVERY_DRAWN, at)
        return codes
