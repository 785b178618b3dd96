"""What staff prove themselves with: passwords, six digits from an app, passkeys, recovery codes. Pure: time and
randomness come in as arguments, nothing is stored here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec
import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from bluezoned.authority.case import ALPHABET, draw
from bluezoned.protocols.protocol import Random

T = TypeVar("T")

RECOVERY_CODES = 10
TOTP_STEP = 30_000
"""ms that six digits are good. Source: RFC 6238, the only step that every app knows."""

_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
"""RFC 9106's second choice, 64 MiB: 50 ms here, half a second on a Pi. The first choice takes 2 GiB, which a Pi has
not."""

_NOBODY = _HASHER.hash("nobody", salt=bytes(16))
"""Verified where there is nothing to verify, so that an answer takes as long for a name that nobody has."""


def hash_password(password: str, random: Random) -> str:
    return _HASHER.hash(password, salt=random(16))


def is_password(password: str, hashed: str | None) -> bool:
    """Takes as long, and says False, when there is no hash."""
    try:
        return _HASHER.verify(_NOBODY if hashed is None else hashed, password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


def digest(kind: str, text: str, pepper: bytes) -> bytes:
    """What is stored of a word that must not be read from the database: a session, an invitation, a recovery code."""
    return hmac.digest(pepper, f"bluezoned {kind}\0{text}".encode(), hashlib.sha256)


def setup_word(pepper: bytes) -> str:
    """What shows that somebody who founds the staff sat at the machine: 16 letters, the same each time."""
    drawn = digest("setup", "", pepper)
    blocks = iter(hashlib.sha256(drawn + bytes([n])).digest() for n in range(256))
    return draw(ALPHABET, 16, lambda count: next(blocks)[:count])


def draw_recovery_codes(random: Random) -> list[str]:
    """Ten of ten letters each, 49 bits."""
    return [draw(ALPHABET, 10, random) for _ in range(RECOVERY_CODES)]


def normalised(word: str) -> str:
    """As people type it: in any case, with spaces and dashes."""
    return "".join(word.split()).replace("-", "").upper()


# six digits


def draw_totp(random: Random) -> str:
    """A new secret, 20 bytes in base32."""
    return base64.b32encode(random(20)).decode()


def totp_uri(secret: str, member: str, authority: str) -> str:
    """What apps read from a QR."""
    return pyotp.TOTP(secret).provisioning_uri(name=member, issuer_name=authority)


def totp_step(secret: str, digits: str, at: int, used: int) -> int | None:
    """Which 30 s step the digits are of: this one or a neighbour, newer than `used`. None when they are wrong."""
    present = at // TOTP_STEP
    app = pyotp.TOTP(secret)
    typed = "".join(digits.split())
    fitting = [
        step
        for step in range(present - 1, present + 2)
        if hmac.compare_digest(app.generate_otp(step).encode(), typed.encode()) and step > used
    ]
    return max(fitting, default=None)


def seal_totp(secret: str, handle: bytes, pepper: bytes, random: Random) -> bytes:
    """For the database: a stolen one alone gives no digits."""
    nonce = random(12)
    return nonce + AESGCM(_totp_key(pepper)).encrypt(nonce, secret.encode(), handle)


def open_totp(sealed: bytes, handle: bytes, pepper: bytes) -> str | None:
    """None when the pepper was replaced: those digits are worth nothing then."""
    try:
        return AESGCM(_totp_key(pepper)).decrypt(sealed[:12], sealed[12:], handle).decode()
    except InvalidTag:
        return None


def _totp_key(pepper: bytes) -> bytes:
    return hmac.digest(pepper, b"bluezoned totp", hashlib.sha256)


# passkeys


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key that an authenticator answers with."""

    id: bytes
    credential: bytes
    """As WebAuthn's attested credential data."""
    counter: int
    """Of signatures; 0 where the authenticator does not count."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the browser is asked, and what its answer is held against."""

    options: dict[str, Any]
    state: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the passkeys work, and nowhere else."""

    origin: str
    """As browsers send it: `https://portal.example`."""
    host: str
    """`portal.example`."""

    @property
    def server(self) -> Fido2Server:
        return Fido2Server(PublicKeyCredentialRpEntity(name="bluezone-authority", id=self.host), verify_origin=self._is)

    def _is(self, origin: str) -> bool:
        return origin == self.origin


class _Registered(msgspec.Struct, rename="camel"):
    client_data: str = msgspec.field(name="clientDataJSON")
    attestation_object: str


class _Authenticated(msgspec.Struct, rename="camel"):
    client_data: str = msgspec.field(name="clientDataJSON")
    authenticator_data: str
    signature: str


class _Answer(msgspec.Struct, Generic[T], rename="camel"):
    """What a browser answers, its shape made sure of: fido2 2.2 makes as many bytes of a number as it says, which a
    stranger could set to all that the machine has."""

    raw_id: str
    response: T
    type: Literal["public-key"] = "public-key"


def _shaped(answer: str, kind: type[T]) -> dict[str, Any]:
    found = msgspec.json.decode(answer, type=_Answer[kind])  # type: ignore[valid-type]
    shaped: dict[str, Any] = msgspec.to_builtins(found)
    return shaped | {"id": found.raw_id}


_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error)
"""What the library raises on an answer that no browser would give."""


def offer_registration(place: Place, handle: bytes, name: str, known: list[Passkey], random: Random) -> Offer:
    options, state = place.server.register_begin(
        PublicKeyCredentialUserEntity(id=handle, name=name, display_name=name),
        credentials=[AttestedCredentialData(passkey.credential) for passkey in known],
        resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
        # Beside a password the touch is enough; keys without a PIN would be left out else.
        user_verification=UserVerificationRequirement.DISCOURAGED,
        challenge=random(32),
    )
    return Offer(dict(options), json.dumps(state))


def register(place: Place, state: str, answer: str) -> Passkey | None:
    """None when the answer does not fit."""
    try:
        data = place.server.register_complete(
            json.loads(state), RegistrationResponse.from_dict(_shaped(answer, _Registered))
        )
    except _MALFORMED:
        return None
    found = data.credential_data
    return None if found is None else Passkey(found.credential_id, bytes(found), data.counter)


def offer_authentication(place: Place, known: list[Passkey], random: Random) -> Offer:
    options, state = place.server.authenticate_begin(
        [AttestedCredentialData(passkey.credential) for passkey in known],
        UserVerificationRequirement.DISCOURAGED,
        challenge=random(32),
    )
    return Offer(dict(options), json.dumps(state))


def authenticate(place: Place, state: str, known: list[Passkey], answer: str) -> Passkey | None:
    """The passkey that answered, with its new counter; None when none did, or when a counter ran backwards: then there
    are two of the key."""
    try:
        response = AuthenticationResponse.from_dict(_shaped(answer, _Authenticated))
        credentials = [AttestedCredentialData(passkey.credential) for passkey in known]
        used = place.server.authenticate_complete(json.loads(state), credentials, response)
    except _MALFORMED:
        return None
    counter = response.response.authenticator_data.counter
    for passkey in known:
        if passkey.id == used.credential_id and (counter > passkey.counter or counter == passkey.counter == 0):
            return Passkey(passkey.id, passkey.credential, counter)
    return None
