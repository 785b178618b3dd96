"""The routes for apps of others that speak GAEN, in the shapes of the published verification and key servers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, post
from msgspec import Meta

from bluezoned import upload
from bluezoned.authority.api.discretion import held, padded
from bluezoned.authority.certificate import SentKey
from bluezoned.authority.exchange import Refusal
from bluezoned.authority.house import House
from bluezoned.authority.verification import Problem
from bluezoned.clock import Clock
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.upload import UploadError

LARGEST_BODY = 64 << 10
"""Bytes. Thirty keys take 3 KB; the rest is room for an app's own padding."""

_Base64 = Annotated[str, Meta(max_length=128)]
_Interval = Annotated[int, Meta(ge=0, le=1 << 31)]

_CODES = {
    Problem.CODE_UNKNOWN: "code_invalid",
    Problem.CODE_USED: "code_invalid",
    Problem.CODE_EXPIRED: "code_expired",
    Problem.CODE_LOCKED: "maintenance_mode",
    Problem.CASE_REVOKED: "code_invalid",
}
"""In the published server's words."""


class VerifyRequest(msgspec.Struct):
    """A code to be exchanged for a token."""

    code: Annotated[str, Meta(max_length=100)]
    accept: list[Annotated[str, Meta(max_length=32)]] = []
    padding: str = ""


class CertificateRequest(msgspec.Struct):
    """A token and the HMAC of the keys that shall be published."""

    token: Annotated[str, Meta(max_length=200)]
    ekeyhmac: _Base64
    padding: str = ""


class PublishedKey(msgspec.Struct, rename="camel"):
    """One temporary exposure key."""

    key: _Base64
    rolling_start_number: _Interval
    rolling_period: Annotated[int, Meta(ge=0, le=1 << 15)] = 144
    transmission_risk: Annotated[int, Meta(ge=0, le=8)] = 0


class PublishRequest(msgspec.Struct, rename={"keys": "temporaryExposureKeys", "certificate": "verificationPayload",
                                             "hmac_key": "hmacKey", "authority": "healthAuthorityID"}):  # fmt: skip
    """Keys with the certificate that is bound to them."""

    keys: Annotated[list[PublishedKey], Meta(max_length=100)]
    certificate: Annotated[str, Meta(max_length=4096)]
    hmac_key: _Base64
    authority: Annotated[str, Meta(max_length=200)] = ""
    padding: str = ""


def router(house: House, clock: Clock) -> Router:
    """The three steps."""

    @post(
        "/api/verify",
        status_code=200,
        summary="A code becomes a token",
        description="The code is used up. Every answer has one size; with the header X-Chaff nothing is looked at.",
    )
    async def verify(request: Request[Any, Any, Any], data: VerifyRequest) -> Response[bytes]:
        async with held():
            if _is_chaff(request):
                return padded(_token("x" * 32, Tier.F0, None))
            try:
                code = upload.normalise_code(data.code)
            except UploadError:
                return _refused(_CODES[Problem.CODE_UNKNOWN])
            verified = await asyncio.to_thread(house.exchange.verify, code, clock.now())
            if isinstance(verified, Problem):
                return _refused(_CODES[verified])
            return padded(_token(verified.token, verified.case.tier, verified.case.onset))

    @post("/api/certificate", status_code=200, summary="A token becomes a certificate for exactly these keys")
    async def certify(request: Request[Any, Any, Any], data: CertificateRequest) -> Response[bytes]:
        async with held():
            if _is_chaff(request):
                return padded({"certificate": "x" * 600})
            tekmac = _decoded(data.ekeyhmac)
            if tekmac is None:
                return _refused(Refusal.HMAC_INVALID.value)
            certificate = await asyncio.to_thread(house.exchange.certify, data.token, tekmac, clock.now())
            if isinstance(certificate, Refusal):
                return _refused(certificate.value)
            return padded({"certificate": certificate})

    @post("/v1/publish", status_code=200, summary="Keys with their certificate are published")
    async def publish(request: Request[Any, Any, Any], data: PublishRequest) -> Response[bytes]:
        async with held():
            if _is_chaff(request):
                return padded({"insertedExposures": 14})
            hmac_key = _decoded(data.hmac_key)
            if hmac_key is None:
                return _refused(Refusal.HMAC_INVALID.value)
            sent = [
                SentKey(key.key, key.rolling_start_number, key.rolling_period, key.transmission_risk)
                for key in data.keys
            ]
            taken = await asyncio.to_thread(house.exchange.publish, data.certificate, hmac_key, sent, clock.now())
            if isinstance(taken, Refusal):
                return _refused(taken.value)
            return padded({"insertedExposures": taken})

    return Router("/", route_handlers=[verify, certify, publish], tags=["apps of others"],
                  request_max_body_size=LARGEST_BODY)  # fmt: skip


def _is_chaff(request: Request[Any, Any, Any]) -> bool:
    return "x-chaff" in request.headers


def _token(token: str, tier: Tier, onset: int | None) -> dict[str, Any]:
    date = "" if onset is None else datetime.fromtimestamp(onset * DAY / 1000, UTC).date().isoformat()
    return {"testtype": "confirmed" if tier is Tier.F0 else "likely", "symptomDate": date, "token": token}


def _refused(code: str) -> Response[bytes]:
    return padded({"error": "refused", "errorCode": code, "code": code}, 400)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
