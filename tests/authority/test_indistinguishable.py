"""What who listens to the line can tell of an upload: nothing. Real, refused and chaff go the same way, byte for byte
but for what is sealed, and take the same time. How well the last holds on a real machine: `tests.bench.chaff`."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import selectors
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bluezoned import upload
from bluezoned.authority.api.discretion import HOLD_S, held
from bluezoned.demo.cast import free_port
from bluezoned.feed import client, visit
from bluezoned.feed.spool import Spool, upload_name
from tests.authority.test_api import HMAC_KEY, own_keys, tekmac, told
from tests.authority.test_server import Served, sealed, served

__all__ = ["served"]

REAL, REFUSED, CHAFF = "real", "refused", "chaff"


class Line:
    """Between a box and its authority, with somebody who listens."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.answered = bytearray()


@asynccontextmanager
async def tapped(port: int) -> AsyncIterator[tuple[str, Line]]:
    line = Line()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray) -> None:
        while some := await reader.read(1 << 16):
            heard += some
            writer.write(some)
            await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as both:
            both.create_task(pass_on(reader, back, line.sent))
            both.create_task(pass_on(there, writer, line.answered))

    entrance = free_port()
    async with await asyncio.start_server(connect, "127.0.0.1", entrance):
        yield f"http://127.0.0.1:{entrance}", line


async def test_visit_with_an_upload_is_the_same_on_the_wire_whatever_the_upload(served: Served, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    async with client.open_session() as session:
        straight = client.WebAuthority(session, served.url)
        await visit.fetch_and_post(straight, straight, spool)
        key = (await served.index(session)).sealing_key
    made = {
        REAL: lambda: sealed(served.code(), key, os.urandom(32), os.urandom(32)),
        REFUSED: lambda: sealed("00000000", key, os.urandom(32)),
        CHAFF: lambda: upload.seal_chaff(key),
    }
    looks = {}
    for kind in (REAL, CHAFF, REFUSED, CHAFF, REAL):
        body = made[kind]()
        spool.outbox.write(upload_name(os.urandom(8)), body)
        async with tapped(served.port) as (url, line), client.open_session() as session:
            heard = client.WebAuthority(session, url)
            report = await visit.fetch_and_post(heard, heard, spool)
        assert (report.uploads, report.problems) == (1, ())
        assert body in line.sent
        request = re.sub(rb"127\.0\.0\.1:\d+", b"", bytes(line.sent).replace(body, b""))
        head, rest = bytes(line.answered).split(b"\r\n\r\n", 1)
        looks[kind] = (request, re.sub(rb"(?i)date: [^\r]*", b"", head), len(rest))

    assert looks[REAL] == looks[CHAFF] == looks[REFUSED]


async def test_chaff_of_an_app_of_others_is_answered_as_its_success_is(served: Served) -> None:
    keys = own_keys()
    looks: dict[bool, list[object]] = {False: [], True: []}
    async with client.open_session() as session:
        for chaff, seen in looks.items():
            code: dict[str, object] = {"code": served.code()}
            status, token = await told(session, f"{served.url}/api/verify", code, chaff)
            bound: dict[str, object] = {"token": token["token"], "ekeyhmac": tekmac(keys)}
            certified, certificate = await told(session, f"{served.url}/api/certificate", bound, chaff)
            publication: dict[str, object] = {
                "temporaryExposureKeys": keys,
                "verificationPayload": certificate["certificate"],
                "hmacKey": base64.b64encode(HMAC_KEY).decode(),
            }
            published, taken = await told(session, f"{served.url}/v1/publish", publication, chaff)
            seen += [status, set(token), certified, set(certificate), published, set(taken)]

    # Each has ANSWER_SIZE bytes: `told` asserts it.
    assert looks[False] == looks[True]
    assert looks[False][::2] == [200, 200, 200]


class _PushedSelector(selectors.DefaultSelector):
    """A double of the time alone: whoever waits has waited at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class _PushedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.pushed = _PushedSelector()
        super().__init__(self.pushed)

    def time(self) -> float:
        return self.pushed.now


@settings(deadline=None)
@given(st.floats(0.0, 5.0))
def test_answer_leaves_at_a_multiple_of_the_hold_however_long_the_work(work_s: float) -> None:
    async def answer() -> float:
        async with held():
            await asyncio.sleep(work_s)
        return asyncio.get_running_loop().time()

    loop = _PushedLoop()
    left = loop.run_until_complete(answer())
    loop.close()

    holds = left / HOLD_S
    assert abs(holds - round(holds)) * HOLD_S < 0.002
    assert work_s <= left + 0.002 <= work_s + HOLD_S + 0.004
