"""The acts of a health authority: open a case, issue a code, accept keys, revoke. One transaction each.

Every check of an upload is listed, with its reason, in docs/authority-checks.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import upload
from bluezoned.authority import case, plausibility, venue, verification
from bluezoned.authority.case import Case, CaseError, CaseProblem
from bluezoned.authority.hearing_store import Hearings
from bluezoned.authority.store import Joined, Transaction, Transactions
from bluezoned.authority.upload_store import standing
from bluezoned.authority.venue import Hours
from bluezoned.authority.verification import Code, Kind, Problem
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Random, ReportType, Tier
from bluezoned.upload import Receipt, Upload, UploadError


@dataclass(frozen=True, slots=True)
class Secrets:
    """The authority's keys; they live in files, never in the database."""

    signing_key: ec.EllipticCurvePrivateKey
    sealing_key: bytes
    """Private, 96 bytes."""
    pepper: bytes
    """32 bytes that key the hash of codes."""

    def __repr__(self) -> str:
        return "Secrets()"


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code on its way to a carrier: the only moment at which it can be read."""

    code: str
    expires: int
    """ms."""


@dataclass(frozen=True, slots=True)
class Guessing:
    """How often wrong short codes come."""

    last_day: int
    """In the last 24 hours."""
    is_shut: bool
    """Whether short codes are refused now."""
    held_until: int
    """ms; the end of the last hold, 0 before the first."""


class Authority:
    """One authority on its store."""

    def __init__(self, store: Transactions, secrets: Secrets, random: Random) -> None:
        self._store = store
        self._secrets = secrets
        self._random = random

    def within(self, transaction: Transaction) -> Authority:
        """The same authority, whose acts are part of `transaction`."""
        return Authority(Joined(transaction), self._secrets, self._random)

    # staff

    def open_case(self, tier: Tier, at: int, source: str | None = None, onset: int | None = None) -> Case:
        """A new case. CaseError when it cannot be: an F1 needs the case that it met, an F0 has none."""
        if tier not in (Tier.F0, Tier.F1):
            raise CaseError(CaseProblem.TIER)
        if (tier is Tier.F1) != (source is not None):
            raise CaseError(CaseProblem.SOURCE)
        # Where the staff are it may be tomorrow already.
        if onset is not None and not at // DAY - 60 <= onset <= at // DAY + 1:
            raise CaseError(CaseProblem.ONSET)
        with self._store.transaction() as transaction:
            if source is not None:
                self._live_case(transaction, source)
            opened = Case(case.new_id(self._random), tier, source, onset, at)
            transaction.put_case(opened)
        return opened

    def issue_code(self, case_id: str, kind: Kind, at: int) -> IssuedCode:
        """A fresh one-time code. CaseError when the case is unknown or revoked."""
        code = kind.draw(self._random)
        issued = Code(verification.digest(code, self._secrets.pepper), case_id, at, at + kind.lifetime)
        with self._store.transaction() as transaction:
            self._live_case(transaction, case_id)
            if transaction.code(issued.digest) is None:
                transaction.put_code(issued)
                return IssuedCode(code, issued.expires)
        return self.issue_code(case_id, kind, at)  # drawn before; one in a million among a hundred open ones

    def revoke(self, case_id: str, at: int) -> list[str]:
        """Take back a case and all that came of it; the next batches tell. Their ids. CaseError when unknown."""
        with self._store.transaction() as transaction:
            if transaction.locked_case(case_id) is None:
                raise CaseError(CaseProblem.UNKNOWN)
            revoked = transaction.descendants(case_id)
            transaction.revoke(revoked, at)
        return revoked

    def cases(self) -> list[tuple[Case, list[Code]]]:
        """Every case with its codes, newest first."""
        with self._store.snapshot() as seen:
            return [(found, seen.codes_of(found.id)) for found in seen.cases()]

    def guessing(self, at: int) -> Guessing:
        """What is known of people who try codes."""
        with self._store.snapshot() as seen:
            last_day = seen.failures(at - DAY)
            guard = seen.guard()
        return Guessing(last_day, guard.is_shut(at, last_day), guard.held_until)

    def _live_case(self, transaction: Transaction, case_id: str) -> Case:
        found = transaction.locked_case(case_id)
        if found is None:
            raise CaseError(CaseProblem.UNKNOWN)
        if found.revoked is not None:
            raise CaseError(CaseProblem.REVOKED)
        return found

    # boxes

    def accept(self, sealed: bytes, at: int) -> bytes:
        """The receipt for one sealed upload, always of one size. The same upload again gets the same receipt: the box
        may have died before it saw the first."""
        try:
            message = upload.open_sealed(sealed, self._secrets.sealing_key)
        except UploadError:
            return self._refusal(Opaque(bytes(upload.NONCE_SIZE)), Problem.UNREADABLE, at)
        with self._store.transaction() as transaction:
            return self._accept(transaction, message, at)

    def _accept(self, transaction: Transaction, message: Upload, at: int) -> bytes:
        bound_to = _digest(message)
        digest = verification.digest(message.code, self._secrets.pepper)
        transaction.lock_case_of_code(digest)
        met = standing(transaction.connection, digest, message.nonce)
        if met.earlier is not None:
            same = met.earlier.digest == bound_to
            return met.earlier.receipt if same else self._refusal(message.nonce, Problem.NONCE_REUSED, at)
        code = self._judged_code(transaction, message.code, met.code, at)
        if isinstance(code, Problem):
            return self._refusal(message.nonce, code, at)
        found = met.case
        if found is None or found.revoked is not None:
            return self._refusal(message.nonce, Problem.CASE_REVOKED, at)
        keys = self.judged(found, message.keys, met.hours, at)
        if not keys:
            # The code stays good: a box with a wrong clock may be mended within its lifetime.
            return self._refusal(message.nonce, Problem.KEYS_INVALID, at)
        receipt = upload.write_receipt(Receipt(message.nonce, True, "", found.tier, at), self._secrets.signing_key)
        transaction.use_code(code.digest, at)
        transaction.put_upload(message.nonce, bound_to, found.id, at, receipt, keys)
        if message.hearings:
            Hearings(transaction.connection).put(found.id, message.hearings)
        return receipt

    def judged(self, found: Case, sent: Sequence[DiagnosisKey], hours: Hours | None, at: int) -> list[DiagnosisKey]:
        """What of the keys is published for the case, as the case has it; none when one person cannot have used them
        all. `hours`: of the case of a place."""
        keys = plausibility.recent(sent, at)
        if not plausibility.are_plausible(keys, at):
            return []
        return [_attributed(key, found) for key in (keys if hours is None else venue.within(keys, hours))]

    def take_code(self, transaction: Transaction, text: str, at: int) -> Case | Problem:
        """The case that a normalised code was issued for; the code is used up."""
        digest = verification.digest(text, self._secrets.pepper)
        transaction.lock_case_of_code(digest)
        code = self._judged_code(transaction, text, transaction.code(digest), at)
        if isinstance(code, Problem):
            return code
        found = transaction.case(code.case)
        if found is None or found.revoked is not None:
            return Problem.CASE_REVOKED
        transaction.use_code(digest, at)
        return found

    def _judged_code(self, transaction: Transaction, text: str, code: Code | None, at: int) -> Code | Problem:
        """`code`: the one that `text` is, if it is any."""
        short = verification.is_short(text)
        if short and transaction.guard().is_shut(at, transaction.failures(at - DAY)):
            return Problem.CODE_LOCKED
        if code is None:
            if short:
                self._note_failure(transaction, at)
            return Problem.CODE_UNKNOWN
        return verification.judge(code, at) or code

    def _note_failure(self, transaction: Transaction, at: int) -> None:
        transaction.put_failure(at)
        last_hour, last_day = transaction.failures(at - verification.HOUR), transaction.failures(at - DAY)
        transaction.put_guard(transaction.guard().after_failure(at, last_hour, last_day))

    def _refusal(self, nonce: Opaque, problem: Problem, at: int) -> bytes:
        return upload.write_receipt(Receipt(nonce, False, problem.value, None, at), self._secrets.signing_key)


def _attributed(key: DiagnosisKey, found: Case) -> DiagnosisKey:
    """As the case has it; the box says nothing of this."""
    report_type = ReportType.CONFIRMED_TEST if found.tier is Tier.F0 else ReportType.RECURSIVE
    return replace(key, tier=found.tier, report_type=report_type, days_since_onset=found.days_since_onset(key.start))


def _digest(message: Upload) -> bytes:
    """What a code is bound to: itself, exactly these keys and what is told of others."""
    hashed = hashlib.sha256(message.code.encode())
    for key in message.keys:
        hashed.update(b"\0" + key.protocol.encode() + key.secret + key.start.to_bytes(8) + key.end.to_bytes(8))
    for hearing in message.hearings:
        hashed.update(b"\1" + hearing.tag + hearing.loudness.to_bytes(1, signed=True))
    return hashed.digest()
