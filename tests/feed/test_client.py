"""A visit to the authority over real HTTP on loopback: what is sent, what is taken, what a kill costs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bluezoned import key_index, merkle_tree, transparency_log, upload
from bluezoned.errors import StoreError
from bluezoned.feed import client
from bluezoned.feed import spool as spool_names
from bluezoned.feed import visit as feed_visit
from bluezoned.feed.client import WebAuthority
from bluezoned.feed.problem import FeedError, Reason
from bluezoned.feed.signed import Signed
from bluezoned.feed.spool import Spool
from bluezoned.feed.visit import FeedReport
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.transparency_log import TILE_SIZE, TransparencyLog
from tests.logbook import Logbook

SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
DAY = 86_400_000
NOON = 20_000 * DAY
SEALING_KEY = bytes(upload.SEALING_KEY_SIZE)


@dataclass
class Authority:
    """A small true server: serves an index of batches and answers uploads. Faults are set from outside."""

    batches: dict[int, bytes] = field(default_factory=dict)
    index: bytes | None = None
    """Instead of the true one."""
    log: bytes | None = None
    """Instead of the true one."""
    logbook: Logbook = field(default_factory=lambda: Logbook(SIGNING_KEY, merkle_tree.leaf_hash))
    etag: str | None = None
    """Instead of the digest."""
    answers: dict[str, web.Response] = field(default_factory=dict)
    """Instead of the true answer, by path."""
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    signed: dict[tuple[Batch, ...], bytes] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the next batch after which the connection breaks, once."""
    url: str = ""

    def publish(self, sequence: int, content: bytes) -> None:
        self.batches[sequence] = content

    def written_index(self) -> bytes:
        """Signed once for one state, as an ECDSA signature is another each time."""
        batches = tuple(batch(sequence, content) for sequence, content in sorted(self.batches.items()))
        if batches not in self.signed:
            newest = max(self.batches, default=0)
            index = KeyIndex("test", newest, NOON, NOON + DAY, SEALING_KEY, batches)
            self.signed[batches] = key_index.write(index, SIGNING_KEY)
        return self.signed[batches]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        self.headers.append(dict(request.headers))
        if request.path in self.answers:
            return self.answers.pop(request.path)
        if request.path == "/v1/index":
            content = self.index or self.written_index()
            etag = self.etag or f'"{hashlib.sha256(content).hexdigest()}"'
            if request.headers.get("If-None-Match") == etag:
                return web.Response(status=304, headers={"ETag": etag})
            return web.Response(body=content, headers={"ETag": etag, "Set-Cookie": "device=7"})
        if request.path == "/v1/log":
            return web.Response(body=self.log or self.logbook.signed(self.batches.values()))
        if request.path.startswith("/v1/leaves/"):
            return web.Response(body=bytes([int(request.path.rsplit("/")[-1])]) * TILE_SIZE)
        if request.path == "/v1/uploads":
            self.posted.append(await request.read())
            return web.Response(body=receipt(self.posted[-1]))
        sequence = int(request.path.rsplit("/")[-1].partition("-")[0])
        return await self._answer_batch(request, self.batches[sequence])

    async def _answer_batch(self, request: web.Request, content: bytes) -> web.StreamResponse:
        """As the authority does: a part when it is still of the same content."""
        size, status, headers = len(content), 200, dict[str, str]()
        if request.headers.get("If-Range") == f'"{hashlib.sha256(content).hexdigest()}"':
            start = request.http_range.start
            content, status = content[start:], 206
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        if self.cut_after is None:
            await response.write(content)
            return response
        await response.write(content[: self.cut_after])
        self.cut_after = None
        assert request.transport is not None
        request.transport.close()
        return response


def receipt(sealed: bytes) -> bytes:
    return (b"receipt for " + sealed).ljust(upload.RECEIPT_SIZE)


def batch(sequence: int, content: bytes) -> Batch:
    name = f"{sequence}-gaen.zip"
    return Batch(sequence, name, len(content), hashlib.sha256(content).digest(), "gaen", NOON - DAY, NOON)


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    served = Authority()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


async def visit(authority: Authority, spool: Spool, protocols: frozenset[str] | None = None) -> FeedReport:
    async with client.open_session() as session:
        asked = WebAuthority(session, authority.url)
        return await feed_visit.fetch_and_post(asked, asked, spool, protocols)


def moved(to: str) -> web.Response:
    return web.Response(status=307, headers={"Location": to})


def reasons(report: FeedReport) -> list[Reason]:
    return [problem.reason for problem in report.problems]


async def test_first_visit_fetches_everything_in_order(authority: Authority, spool: Spool) -> None:
    for sequence in (1, 2, 10):
        authority.publish(sequence, b"batch %d" % sequence)

    report = await visit(authority, spool)

    assert report == FeedReport(index_changed=True, batches=3, uploads=0, problems=())
    stored = [spool.inbox.read(name) for name in spool.inbox.names("batch-")]
    assert stored == [b"batch 1", b"batch 2", b"batch 10"]
    assert spool.inbox.read("index") == authority.written_index()


async def test_second_visit_fetches_what_is_new(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    await visit(authority, spool)
    for name in spool.inbox.names():
        spool.inbox.remove(name)
    authority.publish(2, b"two")

    report = await visit(authority, spool)

    assert (report.index_changed, report.batches) == (True, 1)
    assert [spool.inbox.read(name) for name in spool.inbox.names("batch-")] == [b"two"]


async def test_nothing_new_costs_one_request(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    await visit(authority, spool)
    authority.asked.clear()

    report = await visit(authority, spool)

    assert report == FeedReport(index_changed=False, batches=0, uploads=0, problems=())
    assert authority.asked == ["GET /v1/index"]


@pytest.mark.parametrize("state", [None, b"", b"{}", b"[]", b'{"fetched": {"x": 1}}', b"\xff"])
async def test_a_lost_memory_costs_fetching_again(state: bytes | None, authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    await visit(authority, spool)
    spool.memory.remove("state")
    if state is not None:
        spool.memory.write("state", state)

    report = await visit(authority, spool)

    assert (report.index_changed, report.batches, report.problems) == (True, 1, ())


async def test_nothing_that_identifies_is_sent(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    spool.outbox.write("upload-00ff", b"sealed")
    for _ in range(2):
        authority.publish(2, b"two")
        await visit(authority, spool)
        authority.index = None

    host = authority.url.removeprefix("http://")
    always = {"Host": host, "User-Agent": "bluezoned", "Accept": "*/*", "Accept-Encoding": "identity"}
    post = {"Content-Type": "application/octet-stream", "Content-Length": "6"}
    etag = {"If-None-Match": f'"{hashlib.sha256(authority.written_index()).hexdigest()}"'}
    assert list(zip(authority.asked, authority.headers, strict=True)) == [
        ("POST /v1/uploads", always | post),
        ("GET /v1/index", always),
        ("GET /v1/log", always),
        ("GET /v1/batches/1-gaen.zip", always),
        ("GET /v1/batches/2-gaen.zip", always),
        ("GET /v1/index", always | etag),
    ]


async def test_an_etag_that_could_mark_a_device_is_not_sent_back(authority: Authority, spool: Spool) -> None:
    authority.etag = '"device-7"'
    await visit(authority, spool)

    await visit(authority, spool)

    assert "If-None-Match" not in authority.headers[-1]


async def test_an_upload_is_answered_and_goes(authority: Authority, spool: Spool) -> None:
    spool.outbox.write("upload-01", b"one")
    spool.outbox.write("upload-02", b"two")

    report = await visit(authority, spool)

    assert report.uploads == 2
    assert authority.posted == [b"one", b"two"]
    assert spool.inbox.read("receipt-01") == receipt(b"one")
    assert spool.inbox.read("receipt-02") == receipt(b"two")
    assert spool.outbox.names() == []


async def test_an_upload_waits_while_it_is_refused(authority: Authority, spool: Spool) -> None:
    spool.outbox.write("upload-01", b"one")
    spool.outbox.write("upload-02", b"two")
    authority.answers["/v1/uploads"] = web.Response(status=503)

    report = await visit(authority, spool)

    assert (report.uploads, report.index_changed) == (1, True)
    assert [str(problem) for problem in report.problems] == [f"{Reason.REFUSED.value} (HTTP status 503)"]
    assert spool.outbox.names() == ["upload-01"]


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        ("/v1/index", lambda: web.Response(status=500), Reason.REFUSED),
        ("/v1/index", lambda: web.Response(status=304), Reason.REFUSED),
        ("/v1/index", lambda: moved("http://elsewhere.example/"), Reason.REDIRECTED),
        ("/v1/index", lambda: web.Response(body=b"<html>log in</html>"), Reason.NO_INDEX),
        ("/v1/index", lambda: web.Response(body=bytes(spool_names.limit("index") + 1)), Reason.TOO_LARGE),
        ("/v1/log", lambda: web.Response(status=404), Reason.REFUSED),
        ("/v1/log", lambda: web.Response(body=b"<html>log in</html>"), Reason.NO_LOG),
        ("/v1/log", lambda: web.Response(body=bytes(spool_names.limit("log") + 1)), Reason.TOO_LARGE),
        ("/v1/batches/1-gaen.zip", lambda: web.Response(status=404), Reason.REFUSED),
        ("/v1/batches/1-gaen.zip", lambda: web.Response(body=b"on"), Reason.NOT_AS_LISTED),
        ("/v1/batches/1-gaen.zip", lambda: web.Response(body=b"two"), Reason.NOT_AS_LISTED),
        ("/v1/batches/1-gaen.zip", lambda: web.Response(body=bytes(1 << 20)), Reason.NOT_AS_LISTED),
        ("/v1/batches/1-gaen.zip", lambda: moved("/v1/batches/2-gaen.zip"), Reason.REDIRECTED),
        ("/v1/uploads", lambda: web.Response(body=bytes(upload.RECEIPT_SIZE + 1)), Reason.TOO_LARGE),
        ("/v1/uploads", lambda: web.Response(body=b"<html>log in</html>"), Reason.NO_RECEIPT),
        ("/v1/uploads", lambda: moved("/elsewhere"), Reason.REDIRECTED),
    ],
)
async def test_a_wrong_answer_is_named_and_the_next_visit_mends_it(
    path: str, answer: Callable[[], web.Response], reason: Reason, authority: Authority, spool: Spool
) -> None:
    authority.publish(1, b"one")
    authority.publish(2, b"two")
    spool.outbox.write("upload-01", b"sealed")
    authority.answers[path] = answer()

    first = await visit(authority, spool)
    second = await visit(authority, spool)

    assert reasons(first) == [reason]
    assert second.problems == ()
    assert first.batches + second.batches == 2
    assert first.uploads + second.uploads == 1
    assert spool.inbox.read("index") == authority.written_index()


async def test_a_later_batch_does_not_overtake(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    authority.publish(2, b"two")
    authority.answers["/v1/batches/1-gaen.zip"] = web.Response(status=503)

    await visit(authority, spool)

    assert spool.inbox.names() == ["log"]


async def test_a_box_that_was_off_for_long_gets_the_archive_it_wants(authority: Authority, spool: Spool) -> None:
    await visit(authority, spool)
    peaks = [b"p" * 32] * 2
    told = TransparencyLog("test", 1, 192, b"r" * 32, 192, tuple(peaks), (), ())
    authority.log = transparency_log.write(told, SIGNING_KEY)
    spool.outbox.write("wanted-1", b"")

    report = await visit(authority, spool)

    assert report.problems == ()
    assert spool.inbox.names("leaves-") == ["leaves-1", "leaves-2"]
    assert spool.inbox.read("leaves-2") == bytes([2]) * TILE_SIZE
    assert spool.outbox.names() == []


async def test_batches_of_other_protocols_are_passed_over_and_stay_so(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    authority.publish(2, b"two")

    passed_over = await visit(authority, spool, frozenset({"bluezone"}))
    authority.publish(3, b"three")
    later = await visit(authority, spool, frozenset({"bluezone", "gaen"}))

    assert (passed_over.index_changed, passed_over.batches, passed_over.problems) == (True, 0, ())
    assert later.batches == 1
    assert [spool.inbox.read(name) for name in spool.inbox.names("batch-")] == [b"three"]


async def test_an_index_that_lies_of_a_protocol_hides_no_batch_for_ever(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    false = replace(batch(1, b"one"), protocol="dp3t")
    index = KeyIndex("test", 1, NOON, NOON + DAY, SEALING_KEY, (false,))
    authority.index = key_index.write(index, SIGNING_KEY)
    await visit(authority, spool, frozenset({"gaen"}))
    authority.index = None

    report = await visit(authority, spool, frozenset({"gaen"}))

    assert report.batches == 1
    assert spool.inbox.names("batch-") != []


async def test_uploads_go_by_themselves(authority: Authority, spool: Spool) -> None:
    spool.outbox.write("upload-01", b"one")

    async with client.open_session() as session:
        report = await feed_visit.post(WebAuthority(session, authority.url), spool)

    assert report == FeedReport(index_changed=False, batches=0, uploads=1, problems=())
    assert authority.asked == ["POST /v1/uploads"]
    assert spool.inbox.names() == ["receipt-01"]


async def test_a_false_index_does_not_hide_true_batches_for_ever(authority: Authority, spool: Spool) -> None:
    authority.batches = {1: b"false", 999: b"false"}
    await visit(authority, spool)
    authority.batches = {1: b"true", 2: b"true"}

    report = await visit(authority, spool)

    assert report.batches == 2
    assert [spool.inbox.read(name) for name in spool.inbox.names("batch-")][:2] == [b"true", b"true"]


async def test_a_false_log_takes_no_true_batch_along(authority: Authority, spool: Spool) -> None:
    """The daemon would refuse the batches with it, and sync would not bring them again."""
    authority.publish(1, b"one")
    stranger = ec.generate_private_key(ec.SECP256R1())
    authority.log = Logbook(stranger, merkle_tree.leaf_hash).signed([b"one"])

    async with client.open_session() as session:
        asked = WebAuthority(session, authority.url)
        source = Signed(asked, SIGNING_KEY.public_key())
        refused = await feed_visit.fetch_and_post(asked, source, spool)
        laid, authority.log = spool.inbox.names(), None
        mended = await feed_visit.fetch_and_post(asked, source, spool)

    assert (reasons(refused), laid) == ([Reason.NOT_SIGNED], [])
    assert (mended.batches, mended.problems) == (1, ())


async def test_a_batch_that_cannot_be_is_not_begun(authority: Authority, spool: Spool) -> None:
    authority.publish(1, b"one")
    limit = spool_names.limit("batch-1-x.zip")
    authority.index = authority.written_index().replace(b'"size":3', b'"size":%d' % (limit + 1))

    report = await visit(authority, spool)

    assert reasons(report) == [Reason.NO_INDEX]
    assert authority.asked == ["GET /v1/index"]


async def test_a_large_batch_comes_whole(authority: Authority, spool: Spool) -> None:
    content = bytes(range(256)) * (4 << 10)
    authority.publish(1, content)

    await visit(authority, spool)

    assert spool.inbox.read(spool.inbox.names("batch-")[0]) == content


@pytest.mark.parametrize("url", ["", "http://authority.example", "ftp://127.0.0.1", "https://a:b@authority.example"])
async def test_an_unfit_address_is_not_asked(url: str) -> None:
    async with client.open_session() as session:
        with pytest.raises(FeedError) as caught:
            WebAuthority(session, url)

    assert caught.value.reason is Reason.INSECURE_URL


async def test_an_authority_that_is_away_is_named(spool: Spool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spool.outbox.write("upload-01", b"one")
    spool.outbox.write("upload-02", b"two")

    report = await visit(Authority(url=f"http://127.0.0.1:{port}"), spool)

    assert reasons(report) == [Reason.UNREACHABLE, Reason.UNREACHABLE]
    assert len(spool.outbox.names()) == 2


async def test_an_authority_that_says_nothing_is_named(spool: Spool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=0.05)) as session:
            asked = WebAuthority(session, url)
            report = await feed_visit.fetch_and_post(asked, asked, spool)

    assert reasons(report) == [Reason.TOO_SLOW]


async def test_a_certificate_that_nobody_vouches_for_is_named(spool: Spool, tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, SIGNING_KEY.public_key(), 1, today, today + timedelta(days=1))
    (tmp_path / "cert.pem").write_bytes(builder.sign(SIGNING_KEY, hashes.SHA256()).public_bytes(Encoding.PEM))
    plain = SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(plain)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        report = await visit(Authority(url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"), spool)

    assert reasons(report) == [Reason.NOT_TRUSTED]


async def test_a_connection_cut_in_the_middle_leaves_nothing_behind(spool: Spool) -> None:
    listed = key_index.write(KeyIndex("test", 1, NOON, NOON + DAY, SEALING_KEY, (batch(1, b"whole"),)), SIGNING_KEY)

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            body, size = (listed, len(listed)) if b"/v1/index" in request else (b"who", 5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        report = await visit(Authority(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), spool)

    assert reasons(report) == [Reason.UNREACHABLE]
    assert list(spool.inbox.directory.iterdir()) == []


LARGE = bytes(range(256)) * (2 << 10)
"""A batch of half a mebibyte."""


async def cut(authority: Authority, spool: Spool, after: int = 300_000) -> None:
    """A first visit that is cut within the batch LARGE."""
    authority.publish(1, LARGE)
    authority.cut_after = after
    assert reasons(await visit(authority, spool)) == [Reason.UNREACHABLE]
    authority.headers.clear()


def asked_range(authority: Authority) -> tuple[str | None, str | None]:
    """Range and If-Range of the last request."""
    return authority.headers[-1].get("Range"), authority.headers[-1].get("If-Range")


async def test_a_download_that_was_cut_goes_on_where_it_stopped(authority: Authority, spool: Spool) -> None:
    await cut(authority, spool)
    [part] = spool.memory.names("part-")
    kept = (spool.memory.read(part) or b"")[: 4 * spool_names.GRAIN]

    report = await visit(authority, spool)

    assert (report.problems, report.batches) == ((), 1)
    assert kept == LARGE[: 4 * spool_names.GRAIN]
    assert asked_range(authority) == ("bytes=262144-", f'"{hashlib.sha256(LARGE).hexdigest()}"')
    assert spool.inbox.read("batch-1-1-gaen.zip") == LARGE
    assert spool.memory.names("part-") == []


async def test_what_was_spoilt_on_the_card_comes_whole(authority: Authority, spool: Spool) -> None:
    await cut(authority, spool)
    [part] = spool.memory.names("part-")
    (spool.memory.directory / part).write_bytes(bytes(300_000))

    spoilt, mended = await visit(authority, spool), await visit(authority, spool)

    assert (reasons(spoilt), mended.problems) == ([Reason.NOT_AS_LISTED], ())
    assert asked_range(authority) == (None, None)
    assert spool.inbox.read("batch-1-1-gaen.zip") == LARGE


@pytest.mark.parametrize(("status", "tries"), [(200, 1), (206, 2), (416, 2)])
async def test_a_server_without_parts_sends_the_whole(
    status: int, tries: int, authority: Authority, spool: Spool
) -> None:
    await cut(authority, spool)
    authority.answers["/v1/batches/1-gaen.zip"] = web.Response(status=status, body=LARGE if status == 200 else b"")

    reports = [await visit(authority, spool) for _ in range(tries)]

    assert reports[-1].problems == ()
    assert spool.inbox.read("batch-1-1-gaen.zip") == LARGE


async def test_what_is_kept_of_downloads_is_bounded(authority: Authority, spool: Spool) -> None:
    await cut(authority, spool)
    authority.batches = {2: LARGE[::-1]}
    authority.cut_after = 100_000
    await visit(authority, spool)

    [part] = spool.memory.names("part-")
    assert part == f"part-{hashlib.sha256(LARGE[::-1]).hexdigest()}"


@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_no_link_is_gone_on_with(
    link: Callable[[Path, Path], None], authority: Authority, spool: Spool, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    link(tmp_path / "precious", spool.memory.directory / f"part-{hashlib.sha256(LARGE).hexdigest()}")
    authority.publish(1, LARGE)

    await visit(authority, spool)

    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert spool.inbox.read("batch-1-1-gaen.zip") == LARGE


async def test_two_visits_do_not_meet(authority: Authority, spool: Spool) -> None:
    with spool.exclusive(), pytest.raises(StoreError, match="another bluezoned-sync"):
        await visit(authority, spool)


VISITOR = """
import sys
from bluezoned.feed import client, visit
from tests.feed.deaths import die_at_each

url, spools = sys.argv[1:]

async def once(spool):
    async with client.open_session() as session:
        authority = client.WebAuthority(session, url)
        await visit.fetch_and_post(authority, authority, spool)

die_at_each(spools, once)
"""


async def test_a_kill_at_any_file_operation_is_made_good_by_the_next_visit(
    authority: Authority, tmp_path: Path
) -> None:
    authority.batches = {1: b"one", 2: b"two"}
    spools = [Spool(tmp_path / str(nth)) for nth in range(1, 100)]
    for spool in spools:
        spool.outbox.write("upload-01", b"sealed")
    command = [sys.executable, "-c", VISITOR, authority.url, str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    survivor, _ = await process.communicate()

    killed = spools[: int(survivor)]
    reports = [await visit(authority, spool) for spool in killed]

    assert len(killed) > 10
    assert {report.problems for report in reports} == {()}
    assert [contents(spool) for spool in killed] == [contents(killed[-1])] * len(killed)
    assert contents(killed[-1]) == {
        "inbox/batch-1-1-gaen.zip": b"one",
        "inbox/batch-2-2-gaen.zip": b"two",
        "inbox/index": authority.written_index(),
        "inbox/log": authority.logbook.signed(),
        "inbox/receipt-01": receipt(b"sealed"),
    }


def contents(spool: Spool) -> dict[str, bytes]:
    boxes = (spool.inbox.directory, spool.outbox.directory)
    return {f"{box.name}/{path.name}": path.read_bytes() for box in boxes for path in box.iterdir()}
