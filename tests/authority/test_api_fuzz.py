"""A short run of tests/fuzz/authority_api.py, on PostgreSQL, while the time goes on and batches are published."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from bluezoned.authority.api import discretion
from bluezoned.authority.house import open_house
from bluezoned.authority.laboratory import SCOPES
from bluezoned.authority.verification import MINUTE
from tests.authority.postgres import Postgres
from tests.authority.test_server import NOON, Served, served
from tests.fuzz import authority_api

__all__ = ["served"]

TAKES_A_BODY = ("/v1/uploads", "/api/verify", "/api/certificate", "/v1/publish", "/v1/laboratory/cases")


@pytest.fixture
def database_url(postgres_server: Postgres, postgres_template: str) -> str:
    """One is enough: nothing that is fuzzed knows which it is."""
    return postgres_server.url(postgres_server.make_database(postgres_template))


async def answer_to_half_a_body(port: int, path: str) -> bytes:
    """One byte and then silence: the server answers by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx".encode())
    answer = await asyncio.wait_for(reader.read(64), discretion.BODY_S + 60)
    writer.close()
    return answer.split()[1]


async def test_interface_answers_as_its_document_says_whatever_is_sent(served: Served) -> None:
    house = open_house(served.data, os.urandom)
    token = house.laboratories.add("mary", SCOPES, 10_000, NOON)
    runs = [
        await asyncio.create_subprocess_exec(
            *words, cwd=served.data, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        for words in authority_api.commands(served.url, token, 15)
    ]

    async def go_on() -> None:
        # Else a laboratory has used up its minute after sixty requests.
        while True:
            await served.desk.advance(served.desk.now + MINUTE)
            await asyncio.sleep(0.5)

    # Here, since both take half a minute.
    slow = [asyncio.create_task(answer_to_half_a_body(served.port, path)) for path in TAKES_A_BODY]
    time = asyncio.create_task(go_on())
    reports = [(await run.communicate())[0].decode() for run in runs]
    given_up = await asyncio.gather(*slow)
    time.cancel()
    opened = len(house.authority.cases())
    house.close()

    assert [run.returncode for run in runs] == [0] * len(runs), "\n".join(reports)
    assert sum(int(number) for number in re.findall(r"Tested: (\d+)", "\n".join(reports))) == 15
    assert opened > 0
    assert given_up == [b"408"] * len(TAKES_A_BODY)
