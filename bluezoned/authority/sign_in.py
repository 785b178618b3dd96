"""The way in: a password, then a second factor, each a session of its own, so that a token that somebody knew before is
worth nothing after. Time and randomness come in as arguments."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from bluezoned.authority import credential, staff
from bluezoned.authority.authority import Secrets
from bluezoned.authority.credential import Offer, Place
from bluezoned.authority.staff import Actor, Lock, Member, Session, StaffError, StaffProblem, Stage
from bluezoned.authority.staff_store import Act, StaffRecords
from bluezoned.authority.store import Store
from bluezoned.authority.verification import HOUR, MINUTE
from bluezoned.protocols.protocol import Random

IDLE = 30 * MINUTE
"""ms without a request after which a session ends: wards share their computers."""

LONGEST = 12 * HOUR
"""ms. A shift."""

UNFINISHED = 10 * MINUTE
"""ms that the way from the password to the second factor may take."""

TOUCHED = MINUTE
"""ms between two notes that a session is in use: not every page shall write to the database."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that has just begun."""

    token: str
    """For the browser's cookie; only its digest is stored."""
    stage: Stage


class SignIn:
    """The door of one authority."""

    def __init__(self, store: Store, secrets: Secrets, random: Random) -> None:
        self._store = store
        self._pepper = secrets.pepper
        self._random = random

    # sessions

    def draw_token(self) -> str:
        return base64.urlsafe_b64encode(self._random(32)).decode().rstrip("=")

    def csrf(self, token: str) -> str:
        """What a form must carry that was made for the holder of `token`."""
        return base64.urlsafe_b64encode(credential.digest("form", token, self._pepper)).decode().rstrip("=")

    def session(self, token: str, at: int) -> Session | None:
        """The session of a token, if it still lasts."""
        with self._store.snapshot() as seen:
            found = StaffRecords(seen.connection).session(self._digest(token))
        if found is None or found.member.disabled is not None:
            return None
        longest = LONGEST if found.stage is Stage.FULL else UNFINISHED
        # A clock put back must not make a session last longer than it was meant to.
        if not 0 <= at - found.seen < IDLE or not 0 <= at - found.started < longest:
            return None
        return found

    def touch(self, session: Session, at: int) -> None:
        """Somebody uses it: it lasts on."""
        if at - session.seen >= TOUCHED:
            with self._store.transaction() as transaction:
                StaffRecords(transaction.connection).touch_session(session.digest, at)

    def begin(self, member: Member, at: int) -> Entered:
        """For somebody who has shown a password: what comes next."""
        with self._store.transaction() as transaction:
            stage = Stage.PASSWORD if member.has_second_factor else Stage.ENROL
            return self._begin(StaffRecords(transaction.connection), member.id, stage, at)

    def begin_full(self, records: StaffRecords, member: Member, at: int) -> Entered:
        """For somebody who has just set up the first second factor."""
        return self._begin(records, member.id, Stage.FULL, at)

    def end(self, session: Session, at: int) -> None:
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            records.end_session(session.digest)
            records.note(Actor(session.member.name), Act.SIGNED_OUT, at)

    def _begin(self, records: StaffRecords, member_id: int, stage: Stage, at: int) -> Entered:
        token = self.draw_token()
        records.put_session(self._digest(token), member_id, stage, at)
        return Entered(token, stage)

    def _digest(self, token: str) -> bytes:
        return credential.digest("session", token, self._pepper)

    # the password

    def password(self, name: str, password: str, at: int) -> Entered:
        """StaffError, always the same and after the same work, when the name is nobody's, the password another, or
        too many were tried."""
        member, before = self._count_try(name, at)
        right = credential.is_password(password[: staff.LONGEST_PASSWORD], None if member is None else member.password)
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            if member is None or not right:
                # Names that nobody has are not noted: people type their passwords there.
                if member is None:
                    transaction.put_fact("unknown sign-ins", transaction.fact("unknown sign-ins") + 1)
                else:
                    records.note(Actor(member.name), Act.SIGN_IN_FAILED, at, detail="password")
                refused = True
            else:
                # Only this try is taken back, and only if there was no other meanwhile: the count is forgotten by who
                # comes all the way in, else a right password would buy further tries at the second factor.
                current = records.held_member(name)
                if current is not None and current.lock == before.after_try(at):
                    records.put_lock(member.id, before)
                refused = False
        if member is None or refused:
            raise StaffError(StaffProblem.REFUSED)
        return self.begin(member, at)

    def _count_try(self, name: str, at: int) -> tuple[Member | None, Lock]:
        """The member, if one may try now, and the lock as it was. It writes in either case, which takes as long."""
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            member = records.held_member(name)
            if member is None or member.disabled is not None or member.password is None or member.lock.is_shut(at):
                transaction.put_fact("refused sign-ins", transaction.fact("refused sign-ins") + 1)
                return None, Lock()
            records.put_lock(member.id, member.lock.after_try(at))
            return member, member.lock

    # the second factor

    def totp(self, session: Session, digits: str, at: int) -> Entered:
        """StaffError when the digits are wrong or too many were tried."""

        def fits(records: StaffRecords, member: Member) -> bool:
            secret = None if member.totp is None else credential.open_totp(member.totp, member.handle, self._pepper)
            step = None if secret is None else credential.totp_step(secret, digits, at, member.totp_step)
            if step is not None:
                records.change_member(member.id, totp_step=step)
            return step is not None

        return self._second(session, fits, StaffProblem.TOTP_WRONG, "six digits", at)

    def recovery(self, session: Session, code: str, at: int) -> Entered:
        """StaffError when the code is wrong or too many were tried. Each code is good once."""
        digest = credential.digest("recovery", credential.normalised(code), self._pepper)

        def fits(records: StaffRecords, member: Member) -> bool:
            return records.use_recovery_code(member.id, digest)

        return self._second(session, fits, StaffProblem.RECOVERY_WRONG, "recovery code", at)

    def offer_passkey(self, session: Session, place: Place) -> Offer | None:
        """What the browser asks the authenticator; None where the member has no passkey."""
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            known = records.passkeys(session.member.id)
            if not known:
                return None
            offer = credential.offer_authentication(place, known, self._random)
            records.put_challenge(session.digest, offer.state)
        return offer

    def passkey(self, session: Session, place: Place, answer: str, at: int) -> Entered:
        """StaffError when the answer does not fit or too many were tried."""

        def fits(records: StaffRecords, member: Member) -> bool:
            known = records.passkeys(member.id)
            used = credential.authenticate(place, session.challenge or "null", known, answer)
            if used is not None:
                records.count_passkey(used)
            return used is not None

        return self._second(session, fits, StaffProblem.PASSKEY_WRONG, "passkey", at)

    def _second(
        self,
        session: Session,
        fits: Callable[[StaffRecords, Member], bool],
        problem: StaffProblem,
        factor: str,
        at: int,
    ) -> Entered:
        with self._store.transaction() as transaction:
            records = StaffRecords(transaction.connection)
            current = records.held_session(session.digest)
            if current is None or current.stage is not Stage.PASSWORD:
                raise StaffError(problem)
            member = current.member
            if member.lock.is_shut(at):
                raise StaffError(StaffProblem.HELD)
            records.put_challenge(session.digest, None)
            if fits(records, member):
                records.put_lock(member.id, Lock())
                records.end_session(session.digest)
                records.note(Actor(member.name), Act.SIGNED_IN, at, detail=factor)
                return self._begin(records, member.id, Stage.FULL, at)
            records.put_lock(member.id, member.lock.after_try(at))
            records.note(Actor(member.name), Act.SIGN_IN_FAILED, at, detail=factor)
        raise StaffError(problem)
