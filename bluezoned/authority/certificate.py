"""The certificate with which an app of others publishes: a JWT that binds a case to exactly the app's keys.

Source: "Public Health Authority Diagnosis Verification Protocol" of the Exposure Notification key server: ES256 over
P-256, claim `tekmac` = HMAC-SHA256 over the keys. Pure: time is an argument.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned.errors import ProtocolError

LIFETIME = 15 * 60_000
"""ms. An app asks for it when it is about to publish; the published design says fifteen minutes."""

_CLOCK_ERROR_S = 60
_KEY_VERSION = "v1"


class CertificateError(ProtocolError):
    """No certificate of this authority, or one that has expired."""


@dataclass(frozen=True, slots=True)
class SentKey:
    """A key as an app sends it: bytes as they were encoded, numbers as they were written, for they are hashed."""

    key: str
    """base64."""
    rolling_start: int
    """Intervals of ten minutes since 1970."""
    rolling_period: int
    transmission_risk: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    case: str
    number: str
    """Random; one certificate opens one publication."""
    tekmac: bytes
    """32 bytes."""


def tekmac(keys: Sequence[SentKey], hmac_key: bytes) -> bytes:
    """What a certificate is bound to. The risk is left out where every one is 0, as the published server has it."""
    with_risk = any(key.transmission_risk for key in keys)
    segments = [
        f"{key.key}.{key.rolling_start}.{key.rolling_period}" + (f".{key.transmission_risk}" if with_risk else "")
        for key in sorted(keys, key=lambda key: key.key)
    ]
    return hmac.digest(hmac_key, ",".join(segments).encode(), hashlib.sha256)


def write(certificate: Certificate, name: str, at: int, signing_key: ec.EllipticCurvePrivateKey) -> str:
    """The JWT; `name` is the authority's, as issuer and audience."""
    claims = {
        "iss": name,
        "aud": name,
        "iat": at // 1000,
        "exp": (at + LIFETIME) // 1000,
        "jti": certificate.number,
        "sub": certificate.case,
        "tekmac": base64.b64encode(certificate.tekmac).decode(),
        "reportType": "confirmed",
    }
    return jwt.encode(claims, signing_key, algorithm="ES256", headers={"kid": _KEY_VERSION})


def read(text: str, name: str, at: int, public_key: ec.EllipticCurvePublicKey) -> Certificate:
    """What it says. CertificateError unless this authority signed it and it is in force at `at` (ms)."""
    try:
        claims = jwt.decode(
            text,
            public_key,
            algorithms=["ES256"],  # never what the header says
            audience=name,
            issuer=name,
            # The library reads the machine's clock; ours is an argument.
            options={"require": ["exp", "iat", "jti", "sub"], "verify_exp": False, "verify_iat": False},
        )
        certificate = Certificate(str(claims["sub"]), str(claims["jti"]), base64.b64decode(claims["tekmac"]))
        in_force = int(claims["iat"]) - _CLOCK_ERROR_S <= at // 1000 < int(claims["exp"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
        raise CertificateError("this is no certificate of this authority") from error
    if not in_force:
        raise CertificateError("the certificate has expired")
    return certificate
