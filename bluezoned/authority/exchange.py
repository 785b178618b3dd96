"""For apps of others that speak GAEN: a code becomes a token, the token a certificate, the certificate a publication.

The steps of the published verification and key servers. Each check is listed in docs/authority-checks.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bluezoned.authority import certificate
from bluezoned.authority.authority import Authority, Secrets
from bluezoned.authority.case import Case
from bluezoned.authority.certificate import Certificate, CertificateError, SentKey
from bluezoned.authority.exchange_store import ExchangeRecords, Token
from bluezoned.authority.register_store import RegisterRecords
from bluezoned.authority.store import Store, Transaction
from bluezoned.authority.verification import Problem
from bluezoned.opaque import Opaque
from bluezoned.protocols.gaen import Gaen
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Random
from bluezoned.protocols.window import GRID

TOKEN_LIFETIME = DAY
"""ms. As in the published server: an app may ask for the code at noon and publish in the evening."""

MOST_KEYS = 30
SHORTEST_HMAC_KEY = 16


class Refusal(Enum):
    """Why a later step is refused: the `code` of the answer. `verification.Problem` has those of codes."""

    TOKEN_INVALID = "token_invalid"
    TOKEN_EXPIRED = "token_expired"
    HMAC_INVALID = "hmac_invalid"
    CERTIFICATE_INVALID = "health_authority_verification_certificate_invalid"
    CASE_REVOKED = "case_revoked"
    KEYS_INVALID = "bad_request"


@dataclass(frozen=True, slots=True)
class Verified:
    """What an app learns of its code."""

    token: str
    case: Case


class Exchange:
    """The three steps, one transaction each."""

    def __init__(self, store: Store, authority: Authority, secrets: Secrets, name: str, random: Random) -> None:
        self._store = store
        self._authority = authority
        self._secrets = secrets
        self._name = name
        self._random = random

    def verify(self, code: str, at: int) -> Verified | Problem:
        """The code is used up, whoever asks again gets nothing: the token is what counts from now on."""
        with self._store.transaction() as transaction:
            taken = self._authority.within(transaction).take_code(transaction, code, at)
            if isinstance(taken, Problem):
                return taken
            token = base64.urlsafe_b64encode(self._random(24)).decode()
            ExchangeRecords(transaction.connection).put_token(
                Token(self._token_digest(token), taken.id, at + TOKEN_LIFETIME, None)
            )
        return Verified(token, taken)

    def certify(self, token: str, tekmac: bytes, at: int) -> str | Refusal:
        """The certificate for keys of this HMAC. A token is bound to the first one that it is shown with."""
        if len(tekmac) != hashlib.sha256().digest_size:
            return Refusal.HMAC_INVALID
        with self._store.transaction() as transaction:
            records = ExchangeRecords(transaction.connection)
            known = records.locked_token(self._token_digest(token))
            if known is None:
                return Refusal.TOKEN_INVALID
            if at >= known.expires:
                return Refusal.TOKEN_EXPIRED
            found = transaction.case(known.case)
            if found is None or found.revoked is not None:
                return Refusal.CASE_REVOKED
            if known.tekmac is not None and not hmac.compare_digest(known.tekmac, tekmac):
                return Refusal.HMAC_INVALID
            records.bind_token(known.digest, tekmac)
        # One publication for one token, however often its certificate is asked for.
        number = base64.urlsafe_b64encode(known.digest[:12]).decode()
        bound = Certificate(found.id, number, tekmac)
        return certificate.write(bound, self._name, at, self._secrets.signing_key)

    def publish(self, text: str, hmac_key: bytes, sent: Sequence[SentKey], at: int) -> int | Refusal:
        """How many keys were taken: the same again for the same publication. None is taken unless all are as their
        certificate was bound to."""
        try:
            shown = certificate.read(text, self._name, at, self._secrets.signing_key.public_key())
        except CertificateError:
            return Refusal.CERTIFICATE_INVALID
        bound_to = certificate.tekmac(sent, hmac_key)
        if len(hmac_key) < SHORTEST_HMAC_KEY or not hmac.compare_digest(bound_to, shown.tekmac):
            return Refusal.HMAC_INVALID
        keys = _keys(sent)
        if keys is None:
            return Refusal.KEYS_INVALID
        nonce = hashlib.sha256(b"certificate" + shown.number.encode()).digest()[:16]
        with self._store.transaction() as transaction:
            return self._take(transaction, shown, nonce, bound_to, keys, at)

    def _take(
        self,
        transaction: Transaction,
        shown: Certificate,
        nonce: bytes,
        bound_to: bytes,
        keys: Sequence[DiagnosisKey],
        at: int,
    ) -> int | Refusal:
        found = transaction.locked_case(shown.case)
        if found is None or found.revoked is not None:
            return Refusal.CASE_REVOKED
        earlier = transaction.upload(nonce)
        if earlier is not None:
            return int.from_bytes(earlier.receipt) if earlier.digest == bound_to else Refusal.CERTIFICATE_INVALID
        hours = RegisterRecords(transaction.connection).window(found.id)
        taken = self._authority.judged(found, keys, hours, at)
        if not taken:
            return Refusal.KEYS_INVALID
        transaction.put_upload(nonce, bound_to, found.id, at, len(taken).to_bytes(1), taken)
        return len(taken)

    def _token_digest(self, token: str) -> bytes:
        return hmac.digest(self._secrets.pepper, b"bluezoned token" + token.encode(), hashlib.sha256)


def _keys(sent: Sequence[SentKey]) -> list[DiagnosisKey] | None:
    """The keys as ours, or None when one of them cannot be a GAEN key."""
    if not 1 <= len(sent) <= MOST_KEYS:
        return None
    keys = []
    for key in sent:
        try:
            secret = base64.b64decode(key.key, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(secret) != Gaen().key_size or not 1 <= key.rolling_period <= DAY // GRID:
            return None
        start = key.rolling_start * GRID
        keys.append(DiagnosisKey(Gaen.name, Opaque(secret), start, start + key.rolling_period * GRID))
    return keys
