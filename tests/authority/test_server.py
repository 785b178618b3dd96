"""The authority over real HTTP on loopback: the real server process, the real client of the boxes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bluezoned import key_export, key_index, upload
from bluezoned.authority.house import House, open_house
from bluezoned.authority.verification import HOUR, Kind
from bluezoned.demo.cast import free_port, program
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether
from bluezoned.upload import Upload
from tests.authority.conftest import settings

NOON = 20_760 * DAY + 12 * HOUR


class Served:
    """A running server, its directory and the desk whose time it follows."""

    def __init__(self, directory: Path, desk: Desk, desk_socket: Path | None = None) -> None:
        self.data = directory / "authority"
        self.log = directory / "log"
        self.desk = desk
        self._socket = desk_socket or directory / "desk"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None

    async def act(self, *words: str, at_desk: bool = True) -> dict[str, Any]:
        desk = ("--desk", str(self._socket)) if at_desk else ()
        process = await asyncio.create_subprocess_exec(
            program("bluezone-authority"), *words, "--data", str(self.data), "--json", *desk,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 0
        answer: dict[str, Any] = json.loads(output)
        return answer

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                program("bluezone-authority"), "serve", "--data", str(self.data), "--port", str(self.port),
                "--desk", str(self._socket), stderr=log,
            )  # fmt: skip
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                try:
                    async with session.get(f"{self.url}/health") as response:
                        assert response.status == 200
                        return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        raise AssertionError("the server did not start")

    async def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return await self.process.wait()

    async def public_key(self, session: aiohttp.ClientSession) -> ec.EllipticCurvePublicKey:
        async with session.get(f"{self.url}/v1/authority") as response:
            key = load_pem_public_key((await response.json())["signing_key"].encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key

    async def index(self, session: aiohttp.ClientSession) -> key_index.KeyIndex:
        async with session.get(f"{self.url}/v1/index") as response:
            return key_index.read(await response.read(), await self.public_key(session))

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.end(signal.SIGKILL)

    def house(self) -> House:
        """The same authority, opened beside the running server."""
        return open_house(self.data, os.urandom)

    def code(self) -> str:
        """Issued beside the running server, on the same database."""
        house = self.house()
        try:
            case = house.authority.open_case(Tier.F0, self.desk.now)
            return house.authority.issue_code(case.id, Kind.LONG, self.desk.now).code
        finally:
            house.close()


@pytest_asyncio.fixture
async def served(tmp_path: Path, database_url: str) -> AsyncIterator[Served]:
    async with Desk(Ether(), NOON, tmp_path / "desk") as desk:
        running = Served(tmp_path, desk)
        running.data.mkdir()
        (running.data / "authority.toml").write_text(settings(database_url))
        await running.act("init", "--yes", at_desk=False)
        await running.start()
        yield running
        await running.stop()


def sealed(code: str, sealing_key: bytes, *secrets: bytes) -> bytes:
    start = NOON - NOON % DAY - DAY
    keys = tuple(DiagnosisKey("bluezone", Opaque(secret), start, start + DAY) for secret in secrets)
    return upload.seal(Upload(code, keys, Opaque(os.urandom(16))), sealing_key)


async def test_key_goes_in_sealed_and_comes_out_signed(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        secret = os.urandom(32)
        index = await served.index(session)
        body = sealed(served.code(), index.sealing_key, secret)

        async with session.post(f"{served.url}/v1/uploads", data=body) as response:
            receipt = upload.read_receipt(await response.read(), await served.public_key(session))
        await served.desk.advance(NOON + HOUR)

        (batch,) = (await served.index(session)).batches
        async with session.get(f"{served.url}/v1/batches/{batch.name}") as response:
            content = await response.read()
            assert "immutable" in response.headers["Cache-Control"]
        export = key_export.read(content, await served.public_key(session))
        assert receipt.accepted
        assert [bytes(key.secret) for key in export.keys] == [secret]
        assert hashlib.sha256(content).digest() == batch.sha256


async def test_unchanged_index_is_not_sent_twice(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{served.url}/v1/index") as response:
            etag, content = response.headers["ETag"], await response.read()
        async with session.get(f"{served.url}/v1/index", headers={"If-None-Match": etag}) as response:
            again = response.status, await response.read()

        assert etag.strip('"') == hashlib.sha256(content).hexdigest()
        assert again == (304, b"")


async def test_index_is_not_sent_to_who_has_any(served: Served) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{served.url}/v1/index", headers={"If-None-Match": '"other", *'}) as response,
    ):
        assert response.status == 304


async def test_batch_that_was_cut_short_is_continued(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        body = sealed(served.code(), (await served.index(session)).sealing_key, os.urandom(32))
        await (await session.post(f"{served.url}/v1/uploads", data=body)).read()
        await served.desk.advance(NOON + HOUR)
        (batch,) = (await served.index(session)).batches
        url = f"{served.url}/v1/batches/{batch.name}"

        async with session.get(url, headers={"Range": "bytes=0-99"}) as response:
            first, etag = await response.read(), response.headers["ETag"]
            assert (response.status, response.headers["Content-Range"]) == (206, f"bytes 0-99/{batch.size}")
        async with session.get(url, headers={"Range": "bytes=100-", "If-Range": etag}) as response:
            second = await response.read()
        async with session.get(url, headers={"Range": "bytes=100-", "If-Range": '"another"'}) as response:
            whole = response.status, await response.read()
        async with session.get(url, headers={"Range": f"bytes={batch.size}-"}) as response:
            beyond = response.status, response.headers["Content-Range"]

        assert hashlib.sha256(first + second).digest() == batch.sha256
        assert whole == (200, first + second)
        assert beyond == (416, f"bytes */{batch.size}")


async def test_two_uploads_with_one_code_at_once_are_one(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        key, sealing_key = await served.public_key(session), (await served.index(session)).sealing_key
        code = served.code()

        async def send() -> str:
            body = sealed(code, sealing_key, os.urandom(32))
            async with session.post(f"{served.url}/v1/uploads", data=body) as response:
                return upload.read_receipt(await response.read(), key).problem

        problems = await asyncio.gather(*(send() for _ in range(6)))

        assert sorted(problems) == ["", *["code-used"] * 5]


async def test_answer_that_was_lost_with_the_server_comes_again(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        body = sealed(served.code(), (await served.index(session)).sealing_key, os.urandom(32))
        async with session.post(f"{served.url}/v1/uploads", data=body) as response:
            first = await response.read()
        await served.end(signal.SIGKILL)
        await served.start()

        async with session.post(f"{served.url}/v1/uploads", data=body) as response:
            assert await response.read() == first


async def test_health_tells_when_was_published(served: Served) -> None:
    await served.desk.advance(NOON + 2 * HOUR)

    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/health") as response:
        told = await response.json()

    assert (told["status"], told["published"], told["newest_batch"]) == ("ok", "2026-11-03T14:00:00+00:00", 0)


async def test_staff_publish_beside_the_server(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        body = sealed(served.code(), (await served.index(session)).sealing_key, os.urandom(32))
        await (await session.post(f"{served.url}/v1/uploads", data=body)).read()

        assert await served.act("publish") == {"batches": 1, "keys": 1, "revoked": 0}
        assert len((await served.index(session)).batches) == 1


async def test_database_that_fails_is_said_without_a_word_of_what(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        body = sealed(served.code(), (await served.index(session)).sealing_key, os.urandom(32))
        house = open_house(served.data, os.urandom)
        with house.database.writing() as database:
            database.exec_driver_sql("DROP TABLE upload")
        house.close()
        async with session.post(f"{served.url}/v1/uploads", data=body) as response:
            answer = response.status, await response.json()

    assert answer == (503, {"detail": "the authority cannot answer now: try again later"})


async def test_every_answer_to_an_upload_looks_alike(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        sealing_key = (await served.index(session)).sealing_key
        bodies = [
            os.urandom(upload.SEALED_SIZE),
            sealed("00000000", sealing_key, os.urandom(32)),
            sealed(served.code(), sealing_key, os.urandom(32)),
        ]
        looks = set()
        for body in bodies:
            async with session.post(f"{served.url}/v1/uploads", data=body) as response:
                headers = {name for name in response.headers if name != "Date"}
                looks.add((response.status, len(await response.read()), frozenset(headers)))

        assert looks == {(200, upload.RECEIPT_SIZE, next(iter(looks))[2])}


@pytest.mark.parametrize("size", [0, 1, upload.SEALED_SIZE - 1, upload.SEALED_SIZE + 1, 10_000_000])
async def test_body_of_another_size_is_refused(served: Served, size: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/v1/uploads", data=bytes(size)) as response,
    ):
        assert response.status in (400, 413)


@pytest.mark.parametrize("name", ["%2e%2e%2findex", "..%2f..%2fkeys%2fsigning.pem", ".hidden.zip", "nothing.zip"])
async def test_no_path_leads_out_of_the_batches(served: Served, name: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{served.url}/v1/batches/{name}", allow_redirects=False) as response,
    ):
        assert response.status in (400, 404)


async def test_interface_is_documented(served: Served) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/schema/openapi.json") as response:
        paths = (await response.json(content_type=None))["paths"]

    upload_body = paths["/v1/uploads"]["post"]["requestBody"]["content"]["application/octet-stream"]["schema"]
    assert upload_body["maxLength"] == upload.SEALED_SIZE
    assert {"200", "206", "304", "404", "416"} <= set(paths["/v1/batches/{name}"]["get"]["responses"])
    assert {"/health", "/v1/authority", "/v1/index", "/v1/batches/{name}", "/v1/uploads"} <= set(paths)


async def test_document_of_the_interface_needs_nobody_elses_server(served: Served) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/schema") as response:
        assert "http://" not in await response.text()
        assert "html" not in response.headers["Content-Type"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_stopped_politely_it_ends_well(served: Served, how: signal.Signals) -> None:
    assert await served.end(how) == 0


async def test_port_that_is_taken_is_said(served: Served) -> None:
    process = await asyncio.create_subprocess_exec(
        program("bluezone-authority"), "serve", "--data", str(served.data), "--port", str(served.port),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await process.communicate()

    assert process.returncode == 1
    assert "choose others with --host and --port" in complaint.decode()


async def test_log_holds_no_key_code_or_case(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        sealing_key = (await served.index(session)).sealing_key
        code, secret = served.code(), os.urandom(32)
        for body in (sealed(code, sealing_key, secret), sealed("00000000", sealing_key, secret), b"short"):
            await (await session.post(f"{served.url}/v1/uploads", data=body)).read()
    await served.desk.advance(NOON + HOUR)
    await served.end(signal.SIGTERM)

    told = served.log.read_text()
    assert "published 1 batches, 1 keys" in told
    assert all(word not in told for word in (code, secret.hex(), "00000000", "C-", "/v1/"))


async def test_killed_at_any_moment_the_feed_stays_whole(served: Served) -> None:
    """Uploads and publications run while the plug is pulled eight times; whatever got a receipt is published once."""
    chance = random.Random(7)
    async with aiohttp.ClientSession() as session:
        sealing_key, key = (await served.index(session)).sealing_key, await served.public_key(session)
        accepted: set[bytes] = set()
        for _ in range(8):
            secrets = [os.urandom(32) for _ in range(4)]
            bodies = [(secret, sealed(served.code(), sealing_key, secret)) for secret in secrets]

            async def send(bodies: list[tuple[bytes, bytes]] = bodies) -> None:
                for secret, body in bodies:
                    async with session.post(f"{served.url}/v1/uploads", data=body) as response:
                        if upload.read_receipt(await response.read(), key).accepted:
                            accepted.add(secret)

            sending = asyncio.gather(send(), served.desk.advance(served.desk.now + HOUR), return_exceptions=True)
            # An answer is held for a quarter of a second, so some kills find one given and some find it under way.
            await asyncio.sleep(chance.uniform(0.1, 0.9))
            await served.end(signal.SIGKILL)
            await sending
            await served.start()
        await served.desk.advance(served.desk.now + HOUR)

        index = await served.index(session)
        published: list[bytes] = []
        for batch in index.batches:
            async with session.get(f"{served.url}/v1/batches/{batch.name}") as response:
                content = await response.read()
            assert hashlib.sha256(content).digest() == batch.sha256
            published += [bytes(k.secret) for k in key_export.read(content, key).keys]

        assert [batch.sequence for batch in index.batches] == list(range(1, index.sequence + 1))
        assert len(published) == len(set(published))
        assert accepted <= set(published)
        assert accepted
