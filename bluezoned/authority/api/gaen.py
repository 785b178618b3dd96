"""The routes for apps of others that speak GAEN, in the shapes of the published verification and key servers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, post
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from bluezoned import upload
from bluezoned.authority.api.discretion import Answer, held, padded, require_body
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


class TokenAnswer(Answer):
    """A token for the certificate, and what the app needs to know of the case."""

    testtype: str
    symptom_date: str = msgspec.field(name="symptomDate")
    token: str


class CertificateAnswer(Answer):
    """A JSON Web Token."""

    certificate: str


class PublishAnswer(Answer):
    """How many keys were taken."""

    inserted: int = msgspec.field(name="insertedExposures")


class RefusalAnswer(Answer):
    """Why not; both published servers' names for the reason."""

    error_code: str = msgspec.field(name="errorCode")
    code: str
    error: str = "refused"


class _Refused(HTTPException):
    """`detail` is the reason's code."""

    status_code = 400


_REFUSALS = {
    400: ResponseSpec(RefusalAnswer, description="Refused; the body tells why", generate_examples=False),
    408: ResponseSpec(RefusalAnswer, description="The body was too slow", generate_examples=False),
    413: ResponseSpec(RefusalAnswer, description="The body is too large", generate_examples=False),
    503: ResponseSpec(dict[str, str], description="The database does not answer; try later", generate_examples=False),
}


def router(house: House, clock: Clock) -> Router:
    """The three steps."""

    @post(
        "/api/verify",
        status_code=200,
        summary="A code becomes a token",
        description="The code is used up. Every answer has one size; with the header X-Chaff nothing is looked at.",
        responses=_REFUSALS,
    )
    async def verify(request: Request[Any, Any, Any], data: VerifyRequest) -> Response[TokenAnswer]:
        async with held():
            if _is_chaff(request):
                return padded(_token("x" * 32, Tier.F0, None))
            try:
                code = upload.normalise_code(data.code)
            except UploadError:
                raise _Refused(_CODES[Problem.CODE_UNKNOWN]) from None
            verified = await asyncio.to_thread(house.exchange.verify, code, clock.now())
            if isinstance(verified, Problem):
                raise _Refused(_CODES[verified])
            return padded(_token(verified.token, verified.case.tier, verified.case.onset))

    @post(
        "/api/certificate",
        status_code=200,
        summary="A token becomes a certificate for exactly these keys",
        responses=_REFUSALS,
    )
    async def certify(request: Request[Any, Any, Any], data: CertificateRequest) -> Response[CertificateAnswer]:
        async with held():
            if _is_chaff(request):
                return padded(CertificateAnswer(certificate="x" * 600))
            tekmac = _decoded(data.ekeyhmac)
            certificate = await asyncio.to_thread(house.exchange.certify, data.token, tekmac, clock.now())
            if isinstance(certificate, Refusal):
                raise _Refused(certificate.value)
            return padded(CertificateAnswer(certificate=certificate))

    @post("/v1/publish", status_code=200, summary="Keys with their certificate are published", responses=_REFUSALS)
    async def publish(request: Request[Any, Any, Any], data: PublishRequest) -> Response[PublishAnswer]:
        async with held():
            if _is_chaff(request):
                return padded(PublishAnswer(inserted=14))
            hmac_key = _decoded(data.hmac_key)
            sent = [
                SentKey(key.key, key.rolling_start_number, key.rolling_period, key.transmission_risk)
                for key in data.keys
            ]
            taken = await asyncio.to_thread(house.exchange.publish, data.certificate, hmac_key, sent, clock.now())
            if isinstance(taken, Refusal):
                raise _Refused(taken.value)
            return padded(PublishAnswer(inserted=taken))

    return Router(
        "/",
        route_handlers=[verify, certify, publish],
        tags=["apps of others"],
        request_max_body_size=LARGEST_BODY,
        before_request=require_body,
        exception_handlers={HTTPException: _refused},
    )


def _is_chaff(request: Request[Any, Any, Any]) -> bool:
    return "x-chaff" in request.headers


def _token(token: str, tier: Tier, onset: int | None) -> TokenAnswer:
    date = "" if onset is None else datetime.fromtimestamp(onset * DAY / 1000, UTC).date().isoformat()
    return TokenAnswer(testtype="confirmed" if tier is Tier.F0 else "likely", symptom_date=date, token=token)


def _refused(_: Request[Any, Any, Any], error: HTTPException) -> Response[RefusalAnswer]:
    """What is no request at all gets no other look than a refusal."""
    code = error.detail if isinstance(error, _Refused) else Refusal.KEYS_INVALID.value
    return padded(RefusalAnswer(error_code=code, code=code), error.status_code)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Refused(Refusal.HMAC_INVALID.value) from None
