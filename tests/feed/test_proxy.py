"""bluezoned-sync through a proxy: the whole program, a small true proxy, and an authority behind TLS on loopback."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bluezoned import key_index, merkle_tree, upload
from bluezoned.feed.spool import Spool
from bluezoned.key_index import KeyIndex
from tests.logbook import Logbook

SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
INDEX = key_index.write(KeyIndex("test", 0, 1, 2, bytes(upload.SEALING_KEY_SIZE), ()), SIGNING_KEY)
LOG = Logbook(SIGNING_KEY, merkle_tree.leaf_hash).signed()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """A server's, by a certificate for 127.0.0.1 in cert.pem."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, SIGNING_KEY.public_key(), 1, today - timedelta(days=1), today + timedelta(days=1)
    ).add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
    builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    (tmp_path / "cert.pem").write_bytes(builder.sign(SIGNING_KEY, hashes.SHA256()).public_bytes(Encoding.PEM))
    plain = SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(plain)
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return made


@pytest.fixture
async def authority(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Its URL. It has published nothing yet."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body={"index": INDEX, "log": LOG}[request.match_info["name"]])

    app = web.Application()
    app.router.add_get("/v1/{name}", answer)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def proxy(refusal: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its URL, and the heads of the requests that it was sent. Connects where it is told to, or answers `refusal`."""
    heads = list[bytes]()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        found = re.match(rb"CONNECT ([0-9.]+):([0-9]+) ", heads[-1])
        if refusal or not found:
            writer.write(refusal or b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        there = await asyncio.open_connection(found[1].decode(), int(found[2]))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}", heads


Sync = Callable[[str, str], Awaitable[tuple[int, str]]]


@pytest.fixture
def run(tmp_path: Path) -> Sync:
    """One visit with these addresses: exit status and complaints."""
    (tmp_path / "public.pem").write_bytes(
        SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )

    async def once(url: str, proxy_url: str) -> tuple[int, str]:
        settings = {
            "authority.url": url,
            "authority.proxy_url": proxy_url,
            "authority.public_key": str(tmp_path / "public.pem"),
            "beacon.spool_dir": str(tmp_path / "spool"),
        }
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        program = str(Path(sys.executable).with_name("bluezoned-sync"))
        process = await asyncio.create_subprocess_exec(
            program, "--tries", "1", *words,
            env=os.environ | {"SSL_CERT_FILE": str(tmp_path / "cert.pem")},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, complaints = await process.communicate()
        assert process.returncode is not None
        return process.returncode, complaints.decode()

    return once


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_a_proxy_learns_whom_the_box_asks_and_no_more(
    is_sealed: bool, authority: str, context: ssl.SSLContext, run: Sync, tmp_path: Path
) -> None:
    async with proxy(tls=context if is_sealed else None) as (url, heads):
        status, complaints = await run(authority, url)

    host = authority.removeprefix("https://").encode()
    assert (status, complaints) == (0, "")
    assert Spool(tmp_path / "spool").inbox.read("index") == INDEX
    assert {head.split(b"\r\n")[0] for head in heads} == {b"CONNECT " + host + b" HTTP/1.1"}
    assert {line.split(b":")[0] for head in heads for line in head.split(b"\r\n")[1:] if line} <= {
        b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Connection", b"Proxy-Connection"
    }  # fmt: skip


@pytest.mark.parametrize(
    "refusal", [b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 403 No\r\n\r\n"]
)
async def test_a_proxy_that_refuses_is_named(refusal: bytes, authority: str, run: Sync) -> None:
    async with proxy(refusal) as (url, _):
        status, complaints = await run(authority, url)

    assert status == 75
    assert "authority.proxy_url" in complaints
    assert refusal.split()[1].decode() in complaints


async def test_a_proxy_that_is_away_is_named_and_not_gone_around(authority: str, run: Sync, tmp_path: Path) -> None:
    async with proxy() as (url, _):
        pass

    status, complaints = await run(authority, url)

    assert status == 75
    assert "authority.proxy_url" in complaints
    assert Spool(tmp_path / "spool").inbox.names() == []
