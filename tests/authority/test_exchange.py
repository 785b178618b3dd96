"""Code, token, certificate, publication: the checks of apps of others, each with a test. Time pushed by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned.authority import certificate
from bluezoned.authority.certificate import CertificateError, SentKey
from bluezoned.authority.exchange import TOKEN_LIFETIME, Refusal, Verified
from bluezoned.authority.verification import HOUR, MINUTE, PER_HOUR, Kind, Problem
from bluezoned.protocols.protocol import DAY, ReportType, Tier
from bluezoned.protocols.window import GRID
from tests.authority.ward import MIDNIGHT, NOON, Ward

HMAC_KEY = b"k" * 16


def sent(*, days_ago: int = 1, risk: int = 0) -> SentKey:
    start = (MIDNIGHT - days_ago * DAY) // GRID
    return SentKey(base64.b64encode(os.urandom(16)).decode(), start, 144, risk)


def token(ward: Ward, at: int = NOON, kind: Kind = Kind.SHORT) -> str:
    verified = ward.house.exchange.verify(ward.code(at=at, kind=kind), at)
    assert isinstance(verified, Verified)
    return verified.token


def certified(ward: Ward, *keys: SentKey, at: int = NOON) -> str:
    answer = ward.house.exchange.certify(token(ward, at), certificate.tekmac(keys, HMAC_KEY), at)
    assert isinstance(answer, str)
    return answer


def publish(ward: Ward, text: str, *keys: SentKey, at: int = NOON) -> int | Refusal:
    return ward.house.exchange.publish(text, HMAC_KEY, keys, at)


def test_hmac_is_as_the_published_servers_have_it() -> None:
    """Segments sorted by the base64 text, risk left out when every one is 0."""
    first, second = SentKey("b+", 2, 3, 0), SentKey("a/", 5, 6, 0)

    plain = hmac.digest(HMAC_KEY, b"a/.5.6,b+.2.3", "sha256")
    risky = hmac.digest(HMAC_KEY, b"a/.5.6.4,b+.2.3.0", "sha256")
    assert certificate.tekmac([first, second], HMAC_KEY) == plain
    assert certificate.tekmac([first, replace(second, transmission_risk=4)], HMAC_KEY) == risky


def test_code_becomes_a_publication_in_three_steps(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON, onset=NOON // DAY - 2)
    code = ward.authority.issue_code(case.id, Kind.SHORT, NOON).code
    keys = sent(), sent(days_ago=2)

    verified = ward.house.exchange.verify(code, NOON)
    assert isinstance(verified, Verified)
    text = ward.house.exchange.certify(verified.token, certificate.tekmac(keys, HMAC_KEY), NOON)
    assert isinstance(text, str)

    assert publish(ward, text, *keys) == 2
    ward.publisher.publish(NOON)
    (export,) = ward.exports()
    assert {base64.b64encode(k.secret).decode() for k in export.keys} == {k.key for k in keys}
    assert {(k.report_type, k.days_since_onset) for k in export.keys} == {
        (ReportType.CONFIRMED_TEST, 1),
        (ReportType.CONFIRMED_TEST, 0),
    }


def test_certificate_is_a_jwt_that_others_can_read(ward: Ward) -> None:
    keys = (sent(),)
    text = certified(ward, *keys)

    claims = jwt.decode(
        text, ward.public_key, algorithms=["ES256"], audience="test", options={"verify_exp": False, "verify_iat": False}
    )

    assert jwt.get_unverified_header(text) == {"alg": "ES256", "typ": "JWT", "kid": "v1"}
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert base64.b64decode(claims["tekmac"]) == certificate.tekmac(keys, HMAC_KEY)


def test_code_can_be_exchanged_once(ward: Ward) -> None:
    code = ward.code()
    ward.house.exchange.verify(code, NOON)

    assert ward.house.exchange.verify(code, NOON) == Problem.CODE_USED
    assert ward.house.exchange.verify("00000000", NOON) == Problem.CODE_UNKNOWN


def test_guessing_is_locked_here_too(ward: Ward) -> None:
    code = ward.code()
    for number in range(PER_HOUR):
        ward.house.exchange.verify(f"{number:09d}", NOON)

    assert ward.house.exchange.verify(code, NOON) == Problem.CODE_LOCKED
    assert isinstance(ward.house.exchange.verify(ward.code(kind=Kind.LONG), NOON), Verified)


def test_tokens_are_not_kept(ward: Ward) -> None:
    drawn = token(ward)

    assert drawn.encode() not in ward.everything()


def test_token_is_bound_to_the_keys_it_is_first_shown_with(ward: Ward) -> None:
    drawn, mac, other = token(ward), certificate.tekmac([sent()], HMAC_KEY), certificate.tekmac([sent()], HMAC_KEY)
    exchange = ward.house.exchange

    assert isinstance(exchange.certify(drawn, mac, NOON), str)
    assert exchange.certify(drawn, other, NOON) == Refusal.HMAC_INVALID
    assert isinstance(exchange.certify(drawn, mac, NOON + HOUR), str)


def test_unknown_and_expired_token_get_no_certificate(ward: Ward) -> None:
    drawn, mac = token(ward), certificate.tekmac([sent()], HMAC_KEY)
    exchange = ward.house.exchange

    assert exchange.certify("nonsense", mac, NOON) == Refusal.TOKEN_INVALID
    assert exchange.certify(drawn, b"short", NOON) == Refusal.HMAC_INVALID
    assert exchange.certify(drawn, mac, NOON + TOKEN_LIFETIME) == Refusal.TOKEN_EXPIRED


def test_other_keys_than_the_certificate_is_bound_to_are_refused(ward: Ward) -> None:
    keys = sent(), sent(days_ago=2)
    text = certified(ward, *keys)

    assert publish(ward, text, keys[0]) == Refusal.HMAC_INVALID
    assert publish(ward, text, *keys, sent(days_ago=3)) == Refusal.HMAC_INVALID
    assert publish(ward, text, keys[0], replace(keys[1], rolling_period=143)) == Refusal.HMAC_INVALID
    assert ward.house.exchange.publish(text, b"x" * 16, keys, NOON) == Refusal.HMAC_INVALID
    assert publish(ward, text, *keys) == 2


def test_publication_sent_again_is_taken_once(ward: Ward) -> None:
    keys = (sent(),)
    text = certified(ward, *keys)

    assert publish(ward, text, *keys) == publish(ward, text, *keys) == 1
    ward.publisher.publish(NOON)
    assert [len(export.keys) for export in ward.exports()] == [1]


def test_second_certificate_of_one_token_opens_nothing_more(ward: Ward) -> None:
    keys, drawn = (sent(),), token(ward)
    mac = certificate.tekmac(keys, HMAC_KEY)
    first, second = (ward.house.exchange.certify(drawn, mac, at) for at in (NOON, NOON + MINUTE))
    assert isinstance(first, str)
    assert isinstance(second, str)

    assert publish(ward, first, *keys) == publish(ward, second, *keys, at=NOON + MINUTE) == 1
    ward.publisher.publish(NOON + MINUTE)
    assert [len(export.keys) for export in ward.exports()] == [1]


def test_certificate_lasts_a_quarter_of_an_hour(ward: Ward) -> None:
    keys = (sent(),)
    text = certified(ward, *keys)

    assert publish(ward, text, *keys, at=NOON + 15 * MINUTE) == Refusal.CERTIFICATE_INVALID
    assert publish(ward, text, *keys, at=NOON + 15 * MINUTE - 1000) == 1


def test_case_that_fell_meanwhile_publishes_nothing(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    verified = ward.house.exchange.verify(ward.authority.issue_code(case.id, Kind.SHORT, NOON).code, NOON)
    assert isinstance(verified, Verified)
    keys = (sent(),)
    mac = certificate.tekmac(keys, HMAC_KEY)
    text = ward.house.exchange.certify(verified.token, mac, NOON)
    assert isinstance(text, str)
    ward.authority.revoke(case.id, NOON)

    assert publish(ward, text, *keys) == Refusal.CASE_REVOKED
    assert ward.house.exchange.certify(verified.token, mac, NOON) == Refusal.CASE_REVOKED


@pytest.mark.parametrize(
    "key",
    [
        SentKey("short", 1, 144, 0),
        SentKey(base64.b64encode(b"k" * 15).decode(), MIDNIGHT // GRID - 144, 144, 0),
        SentKey(base64.b64encode(b"k" * 16).decode(), MIDNIGHT // GRID - 144, 145, 0),
        SentKey(base64.b64encode(b"k" * 16).decode(), MIDNIGHT // GRID - 144, 0, 0),
        SentKey(base64.b64encode(b"k" * 16).decode(), MIDNIGHT // GRID + 144, 144, 0),
        SentKey(base64.b64encode(b"k" * 16).decode(), MIDNIGHT // GRID - 16 * 144, 144, 0),
    ],
    ids=["no base64", "wrong length", "too long", "empty", "in the future", "too old"],
)
def test_impossible_keys_are_refused(ward: Ward, key: SentKey) -> None:
    assert publish(ward, certified(ward, key), key) == Refusal.KEYS_INVALID


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_forged_certificates_are_refused(ward: Ward) -> None:
    keys = (sent(),)
    text = certified(ward, *keys)
    claims = jwt.decode(text, options={"verify_signature": False})
    stranger = ec.generate_private_key(ec.SECP256R1())
    head, _, signature = text.split(".")
    raised = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "C-AAAAAAAA"}).encode()).decode().rstrip("=")

    for forged in (
        jwt.encode(claims, stranger, algorithm="ES256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, b"h" * 32, algorithm="HS256"),
        jwt.encode(claims | {"aud": "another"}, ward.house.secrets.signing_key, algorithm="ES256"),
        f"{head}.{raised}.{signature}",
        "",
        "..",
    ):
        assert publish(ward, forged, *keys) == Refusal.CERTIFICATE_INVALID
    with pytest.raises(CertificateError):
        certificate.read(text, "another", NOON, ward.public_key)


def test_two_publications_at_once_with_two_certificates_of_a_token_need_the_same_keys(ward: Ward) -> None:
    """What a certificate is bound to is signed, so the number alone opens nothing."""
    keys, drawn = (sent(),), token(ward)
    text = ward.house.exchange.certify(drawn, certificate.tekmac(keys, HMAC_KEY), NOON)
    assert isinstance(text, str)
    publish(ward, text, *keys)
    shown = certificate.read(text, "test", NOON, ward.public_key)
    others = (sent(days_ago=3),)
    bound = replace(shown, tekmac=certificate.tekmac(others, HMAC_KEY))
    stolen = certificate.write(bound, "test", NOON, ward.house.secrets.signing_key)

    assert publish(ward, stolen, *others) == Refusal.CERTIFICATE_INVALID
    assert hashlib.sha256(text.encode()).digest() != hashlib.sha256(stolen.encode()).digest()
