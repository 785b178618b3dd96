"""The acts of a health authority: open a case, issue a code, accept keys, revoke. One transaction each.

Every check of an upload is listed, with its reason, in docs/authority-checks.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import upload
from bluezoned.authority import case, verification
from bluezoned.authority.case import Case, CaseError
from bluezoned.authority.store import Store, Transaction
from bluezoned.authority.verification import Code, Kind, Problem
from bluezoned.errors import ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Random, ReportType, Tier
from bluezoned.upload import Receipt, Upload, UploadError

LONGEST_AGE = 15 * DAY
"""ms. Boxes keep 14 days and today; older keys would be matched by nobody."""

CLOCK_ERROR = 2 * 3_600_000
"""ms that a box's clock may run ahead. Its present key may end up to one rotation from now; more is made up."""

MOST_PER_DAY = 4
"""Keys whose windows begin on one day: a publication cuts a day's key in two, three publications make four."""


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


class Authority:
    """One authority on its store."""

    def __init__(self, store: Store, secrets: Secrets, random: Random) -> None:
        self._store = store
        self._secrets = secrets
        self._random = random

    # staff

    def open_case(self, tier: Tier, at: int, source: str | None = None, onset: int | None = None) -> Case:
        """A new case. CaseError when it cannot be: an F1 needs the case that it met, an F0 has none."""
        if tier not in (Tier.F0, Tier.F1):
            raise CaseError("only an F0 (confirmed) or an F1 (met an F0) publishes keys")
        if (tier is Tier.F1) != (source is not None):
            raise CaseError("an F1 names the case that it met as its source, an F0 names none")
        if onset is not None and not at // DAY - 60 <= onset <= at // DAY:
            raise CaseError("the onset of symptoms must lie in the last 60 days")
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
            if transaction.case(case_id) is None:
                raise CaseError("there is no such case")
            revoked = transaction.descendants(case_id)
            transaction.revoke(revoked, at)
        return revoked

    def cases(self) -> list[tuple[Case, list[Code]]]:
        """Every case with its codes, newest first."""
        with self._store.transaction() as transaction:
            return [(found, transaction.codes_of(found.id)) for found in transaction.cases()]

    def _live_case(self, transaction: Transaction, case_id: str) -> Case:
        found = transaction.case(case_id)
        if found is None:
            raise CaseError("there is no such case")
        if found.revoked is not None:
            raise CaseError("the case is revoked")
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
        earlier = transaction.upload(message.nonce)
        if earlier is not None:
            same = earlier.digest == bound_to
            return earlier.receipt if same else self._refusal(message.nonce, Problem.NONCE_REUSED, at)
        code = self._code(transaction, message.code, at)
        if isinstance(code, Problem):
            return self._refusal(message.nonce, code, at)
        found = transaction.case(code.case)
        if found is None or found.revoked is not None:
            return self._refusal(message.nonce, Problem.CASE_REVOKED, at)
        if not are_plausible(message.keys, at):
            # The code stays good: a box with a wrong clock may be mended within its lifetime.
            return self._refusal(message.nonce, Problem.KEYS_INVALID, at)
        receipt = upload.write_receipt(Receipt(message.nonce, True, "", found.tier, at), self._secrets.signing_key)
        transaction.use_code(code.digest, at)
        transaction.put_upload(
            message.nonce, bound_to, found.id, at, receipt, [_attributed(key, found) for key in message.keys]
        )
        return receipt

    def _code(self, transaction: Transaction, text: str, at: int) -> Code | Problem:
        short = verification.is_short(text)
        if short and transaction.failures(at - verification.HOUR) >= verification.FAILURES_PER_HOUR:
            return Problem.CODE_LOCKED
        code = transaction.code(verification.digest(text, self._secrets.pepper))
        problem = verification.judge(code, at)
        if code is None and short:
            transaction.put_failure(at)
        if problem is not None:
            return problem
        assert code is not None
        return code

    def _refusal(self, nonce: Opaque, problem: Problem, at: int) -> bytes:
        return upload.write_receipt(Receipt(nonce, False, problem.value, None, at), self._secrets.signing_key)


def are_plausible(keys: Sequence[DiagnosisKey], at: int) -> bool:
    """Whether a box can have used these keys: within 15 days and not in the future, each window possible for its
    protocol, no secret twice, not too many a day."""
    secrets = {bytes(key.secret) for key in keys}
    days: dict[int, int] = {}
    for key in keys:
        days[key.start // DAY] = days.get(key.start // DAY, 0) + 1
    return (
        len(secrets) == len(keys) and max(days.values()) <= MOST_PER_DAY and all(_is_plausible(key, at) for key in keys)
    )


def _is_plausible(key: DiagnosisKey, at: int) -> bool:
    # A DP-3T key is published with its whole day, which may have hours to go.
    latest = at - at % DAY + DAY + CLOCK_ERROR if key.protocol == "dp3t" else at + CLOCK_ERROR
    if key.start < at - LONGEST_AGE or key.start > at + CLOCK_ERROR or key.end > latest or key.end - key.start > DAY:
        return False
    try:
        return bool(registry.by_name(key.protocol).expand(key))
    except ProtocolError:
        return False


def _attributed(key: DiagnosisKey, found: Case) -> DiagnosisKey:
    """As the case has it; the box says nothing of this."""
    report_type = ReportType.CONFIRMED_TEST if found.tier is Tier.F0 else ReportType.RECURSIVE
    return replace(key, tier=found.tier, report_type=report_type, days_since_onset=found.days_since_onset(key.start))


def _digest(message: Upload) -> bytes:
    """What a code is bound to: itself and exactly these keys."""
    hashed = hashlib.sha256(message.code.encode())
    for key in message.keys:
        hashed.update(b"\0" + key.protocol.encode() + key.secret + key.start.to_bytes(8) + key.end.to_bytes(8))
    return hashed.digest()
