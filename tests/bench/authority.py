"""The authority under load: downloads beside nginx, uploads with all their checks, a million keys published.

    make bench-authority

Two workers on a PostgreSQL of its own, with fsync. Downloads are ratios of one run, A and B in turns; uploads are also
split into the CPU time of their steps, since the machine that measures may be busy with other things.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import insert, select

from bluezoned import key_index, upload
from bluezoned.authority import tables
from bluezoned.authority.house import found_house
from bluezoned.authority.verification import HOUR, Kind
from bluezoned.demo.cast import free_port, program
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.upload import Receipt, Upload
from tests.authority import postgres
from tests.authority.conftest import settings
from tests.authority.postgres import Postgres
from tests.authority.ward import Ward

PARTS = ("downloads", "uploads", "keys")
ROUNDS = 3
CONNECTIONS = 100
"""At once; answers to uploads are held for 250 ms, so fewer would wait more than they send."""

_NGINX = """
pid {directory}/nginx.pid; error_log {directory}/error.log; worker_processes 2; daemon off;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; default_type application/zip;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; root {public}; rewrite ^/v1/(.*)$ /$1 break; }}
}}
"""

_UPLOADS = """
local file = io.open(os.getenv("UPLOADS"), "rb")
local bodies = file:read("*a")
local size, at = tonumber(os.getenv("SIZE")), 0
request = function()
    local body = bodies:sub(at * size + 1, (at + 1) * size)
    at = (at + 1) % (#bodies / size)
    return wrk.format("POST", "/v1/uploads", {{["Content-Type"] = "application/octet-stream"}}, body)
end
""".replace("{{", "{").replace("}}", "}")


def now() -> int:
    return time.time_ns() // 1_000_000


def wrk(url: str, seconds: int, *words: str, environment: dict[str, str] | None = None) -> float:
    """Answers a second."""
    done = subprocess.run(
        ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *words, url),
        capture_output=True, text=True, check=True, env=os.environ | (environment or {}),
    )  # fmt: skip
    found = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    assert "Non-2xx" not in done.stdout or "304" in " ".join(words), done.stdout
    return float(found[1])


@contextmanager
def process(
    *words: str | Path, url: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(words, env=os.environ | (environment or {}))
    try:
        for _ in range(1200):
            with suppress(OSError), urllib.request.urlopen(url, timeout=5):
                break
            assert started.poll() is None
            time.sleep(0.05)
        yield started
    finally:
        started.terminate()
        started.wait()


def compare(name: str, ours: str, theirs: str, seconds: int, *words: str) -> None:
    """Medians of turns, so that what else the machine does weighs on both."""
    pairs = [(wrk(ours, seconds, *words), wrk(theirs, seconds, *words)) for _ in range(ROUNDS)]
    mine, nginx = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{name:<24}{mine:>9.0f}/s   nginx {nginx:>9.0f}/s   ratio {ratio:.2f} (asked: 0.33)", flush=True)


def downloads(ward: Ward, base: str, seconds: int, directory: Path) -> None:
    port = free_port()
    conf = directory / "nginx.conf"
    conf.write_text(_NGINX.format(directory=directory, port=port, public=ward.directory / "public"))
    nginx = f"http://127.0.0.1:{port}"
    with process("nginx", "-c", conf, "-p", directory, url=f"{nginx}/v1/index"):
        with urllib.request.urlopen(f"{base}/v1/index") as response:
            etag, index = response.headers["ETag"], key_index.peek(response.read())
        with urllib.request.urlopen(f"{nginx}/v1/index") as response:
            nginx_etag = response.headers["ETag"]
        compare("index", f"{base}/v1/index", f"{nginx}/v1/index", seconds)
        # What no code of ours can better.
        bare_port = free_port()
        bare, words = f"http://127.0.0.1:{bare_port}", f"--port {bare_port} --workers 2 --no-access-log --lifespan off"
        command = (sys.executable, "-m", "uvicorn", "tests.bench.bare_server:answer", *words.split())
        environment = {"FILE": str(ward.directory / "public" / "index")}
        with process(*command, url=bare, environment=environment):
            compare("its server, bare", bare, f"{nginx}/v1/index", seconds)
        pairs = [
            (wrk(f"{base}/v1/index", seconds, "-H", f"If-None-Match: {etag}"),
             wrk(f"{nginx}/v1/index", seconds, "-H", f"If-None-Match: {nginx_etag}")) for _ in range(ROUNDS)
        ]  # fmt: skip
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{'index, unchanged (304)':<24}{statistics.median(a for a, _ in pairs):>9.0f}/s   ratio {ratio:.2f}")
        batch = f"/v1/batches/{index.batches[-1].name}"
        compare(f"batch, {index.batches[-1].size // 1024} KiB", base + batch, nginx + batch, seconds)


def sealed(ward: Ward, count: int) -> list[bytes]:
    """As many uploads, each with a code and fourteen keys of its own."""
    midnight = now() // DAY * DAY
    bodies = []
    for _ in range(count):
        code = ward.code(at=now(), kind=Kind.LONG)
        keys = tuple(
            DiagnosisKey("bluezone", Opaque(os.urandom(32)), midnight - day * DAY, midnight - (day - 1) * DAY)
            for day in range(1, 14)
        )
        bodies.append(ward.seal(Upload(code, keys, Opaque(os.urandom(16)))))
    return bodies


def uploads(ward: Ward, base: str, seconds: int, directory: Path) -> None:
    bodies = sealed(ward, 450 * seconds)
    (directory / "uploads").write_bytes(b"".join(bodies))
    (directory / "uploads.lua").write_text(_UPLOADS)
    environment = {"UPLOADS": str(directory / "uploads"), "SIZE": str(upload.SEALED_SIZE)}
    with ward.database.reading() as seen:
        before = len(seen.execute(tables.upload.select()).all())
    start = time.perf_counter()
    wrk(base, seconds, "-s", str(directory / "uploads.lua"), environment=environment)
    elapsed = time.perf_counter() - start
    with ward.database.reading() as seen:
        accepted = len(seen.execute(tables.upload.select()).all()) - before
    print(f"{'uploads accepted':<24}{accepted / elapsed:>9.0f}/s   (asked: 200; {accepted} in {elapsed:.1f} s)")


def steps(ward: Ward) -> None:
    """CPU time of one upload in this process, by step."""
    bodies = sealed(ward, 200)
    key = ward.house.secrets.sealing_key
    receipt = Receipt(Opaque(bytes(16)), True, "", Tier.F0, 0)
    opening = spent(lambda: [upload.open_sealed(body, key) for body in bodies])
    signing = spent(lambda: [upload.write_receipt(receipt, ward.house.secrets.signing_key) for _ in bodies])
    whole = spent(lambda: [ward.authority.accept(body, now()) for body in bodies])
    per = 1000 / len(bodies)
    print(
        f"CPU of one upload       {whole * per:>9.2f} ms: opening HPKE (ML-KEM-768, X25519) {opening * per:.2f}, "
        f"signing the receipt {signing * per:.2f}, checks and SQL {(whole - opening - signing) * per:.2f}; "
        "PostgreSQL's own and HTTP's beside"
    )


def spent(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def received(ward: Ward, count: int) -> None:
    """As many keys that are due, as they come: of fourteen of a box, today's waits."""
    case = ward.authority.open_case(Tier.F0, now()).id
    midnight = now() // DAY * DAY
    for first in range(0, count, 13_000):
        rows = [
            {"case_id": case, "protocol": "gaen", "secret": os.urandom(16), "start": midnight - day * DAY,
             "end": midnight - (day - 1) * DAY, "tier": 0, "report_type": 1, "days_since_onset": 5 - day,
             "received": now() - HOUR, "is_revoked": False}
            for _ in range(0, min(13_000, count - first), 13) for day in range(14)
        ]  # fmt: skip
        with ward.database.writing() as connection:
            connection.execute(insert(tables.key), rows)
    with ward.database.writing() as connection:
        of_case = select(tables.key.c.id).where(tables.key.c.case_id == case)
        connection.execute(insert(tables.waiting).from_select(["key_id"], of_case))


def million(ward: Ward, count: int, server: Postgres) -> None:
    """Published by the command, in a process of its own."""
    received(ward, count)
    before, start = server.cpu(), time.perf_counter()
    child = subprocess.Popen((program("bluezone-authority"), "publish", "--data", ward.directory),
                             stdout=subprocess.PIPE)  # fmt: skip
    told = child.stdout.read().decode() if child.stdout else ""
    _, status, used = os.wait4(child.pid, 0)
    elapsed, databases = time.perf_counter() - start, server.cpu() - before
    assert status == 0
    ward.require_whole()
    print(
        f"{count} keys published   {elapsed:>9.1f} s wall at a load of {os.getloadavg()[0]:.1f}, "
        f"{used.ru_utime + used.ru_stime:.1f} s CPU, PostgreSQL's {databases:.1f} s; "
        f"{used.ru_maxrss / 1024:.0f} MB at most (asked: 30 s, 300 MB); {', '.join(told.split(chr(10))).strip(', ')}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keys", type=int, default=1_000_000)
    options.add_argument("--seconds", type=int, default=5, help="of each measurement")
    options.add_argument("--part", choices=PARTS, action="append", help="only that; may be given again")
    chosen = options.parse_args()
    parts = chosen.part or PARTS
    with tempfile.TemporaryDirectory() as name, postgres.running(is_durable=True) as server:
        directory = Path(name)
        directory.chmod(0o755)
        data = directory / "ward"
        data.mkdir(mode=0o755)
        (data / "authority.toml").write_text(settings(server.url(server.make_database())))
        found_house(data, "test", os.urandom)
        ward, port = Ward(data), free_port()
        if parts != ["keys"]:
            # Also for their keys: without any there is no batch to fetch.
            steps(ward)
        ward.publisher.publish(now())
        base = f"http://127.0.0.1:{port}"
        serve = (program("bluezone-authority"), "serve", "--data", data, "--port", str(port), "--workers", "2")
        if parts != ["keys"]:
            with process(*serve, url=f"{base}/health"):
                if "downloads" in parts:
                    downloads(ward, base, chosen.seconds, directory)
                if "uploads" in parts:
                    uploads(ward, base, chosen.seconds, directory)
        if "keys" in parts:
            million(ward, chosen.keys, server)
        ward.database.close()


if __name__ == "__main__":
    main()
