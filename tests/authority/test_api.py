"""The routes for apps of others and for laboratories, over real HTTP; and what a listener on the line can tell."""

from __future__ import annotations

import base64
import os
from typing import Any

import aiohttp

from bluezoned.authority import certificate
from bluezoned.authority.api.discretion import ANSWER_SIZE
from bluezoned.authority.certificate import SentKey
from bluezoned.authority.house import open_house
from bluezoned.authority.laboratory import SCOPES
from bluezoned.protocols.protocol import DAY
from bluezoned.protocols.window import GRID
from tests.authority.test_server import NOON, Served, served

__all__ = ["served"]

HMAC_KEY = b"k" * 16


def own_keys() -> list[dict[str, object]]:
    start = (NOON - NOON % DAY - DAY) // GRID
    return [
        {
            "key": base64.b64encode(os.urandom(16)).decode(),
            "rollingStartNumber": start - 144 * day,
            "rollingPeriod": 144,
        }
        for day in range(3)
    ]


def tekmac(keys: list[dict[str, object]]) -> str:
    sent = [SentKey(str(k["key"]), int(str(k["rollingStartNumber"])), 144, 0) for k in keys]
    return base64.b64encode(certificate.tekmac(sent, HMAC_KEY)).decode()


async def told(
    session: aiohttp.ClientSession, url: str, body: dict[str, object], chaff: bool = False
) -> tuple[int, dict[str, Any]]:
    headers = {"X-Chaff": "1"} if chaff else {}
    async with session.post(url, json=body, headers=headers) as response:
        assert len(await response.read()) == ANSWER_SIZE
        return response.status, await response.json()


async def test_app_of_others_publishes_with_a_code(served: Served) -> None:
    keys = own_keys()
    async with aiohttp.ClientSession() as session:
        _, verified = await told(session, f"{served.url}/api/verify", {"code": served.code(), "accept": ["confirmed"]})
        _, certified = await told(
            session, f"{served.url}/api/certificate", {"token": verified["token"], "ekeyhmac": tekmac(keys)}
        )
        status, published = await told(
            session,
            f"{served.url}/v1/publish",
            {
                "temporaryExposureKeys": keys,
                "healthAuthorityID": "app",
                "verificationPayload": certified["certificate"],
                "hmacKey": base64.b64encode(HMAC_KEY).decode(),
                "padding": "x" * 2000,
            },
        )

    assert (status, published["insertedExposures"]) == (200, 3)


async def test_chaff_and_refusals_look_like_the_real(served: Served) -> None:
    body: dict[str, object] = {"code": "00000000"}
    async with aiohttp.ClientSession() as session:
        refused = await told(session, f"{served.url}/api/verify", body)
        chaff = await told(session, f"{served.url}/api/verify", body, chaff=True)
        wrong = await told(session, f"{served.url}/api/certificate", {"token": "x", "ekeyhmac": "no base64"})
        empty = await told(session, f"{served.url}/v1/publish", {"temporaryExposureKeys": [], "verificationPayload": "",
                                                                "hmacKey": ""})  # fmt: skip

    assert (refused[0], refused[1]["errorCode"]) == (400, "code_invalid")
    assert (chaff[0], "token" in chaff[1]) == (200, True)
    assert wrong[1]["errorCode"] == "hmac_invalid"
    assert empty[1]["code"] == "health_authority_verification_certificate_invalid"


async def test_laboratory_opens_and_revokes(served: Served) -> None:
    house = open_house(served.data, os.urandom)
    token = house.laboratories.add("mary", SCOPES, 10, NOON)
    house.close()
    url = f"{served.url}/v1/laboratory/cases"
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(url, json={"reference": "L-1", "tested": "2026-11-02"}, headers=headers) as response:
            opened = await response.json()
            assert (response.status, len(opened["code"])) == (201, 8)
        async with session.get(f"{url}/{opened['case']}", headers=headers) as response:
            assert (await response.json())["state"] == "issued"
        async with session.post(f"{url}/{opened['case']}/revocation", headers=headers) as response:
            assert await response.json() == {"revoked": [opened["case"]]}
        async with session.post(f"{url}/C-AAAAAAAA/revocation", headers=headers) as response:
            assert response.status == 422
        async with session.post(url, json={}) as response:
            assert response.status == 401
        async with session.post(url, json={"name": "Nguyen"}, headers=headers) as response:
            assert response.status == 400


async def test_watchers_are_told_numbers_and_nobody_else_is(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        served.code()
        async with session.get(f"{served.url}/metrics") as response:
            told = await response.text()
        async with session.get(f"{served.url}/metrics", headers={"X-Forwarded-For": "192.0.2.1"}) as response:
            assert response.status == 404
        async with session.get(f"{served.url}/ready") as response:
            assert await response.json() == {"status": "ok", "index_age_seconds": 0}

    numbers = dict(line.rsplit(" ", 1) for line in told.splitlines() if not line.startswith("#"))
    assert float(numbers["bluezone_authority_codes_open"]) == 1
    assert float(numbers["bluezone_authority_index_issued_timestamp_seconds"]) == NOON / 1000
    assert "C-" not in told
