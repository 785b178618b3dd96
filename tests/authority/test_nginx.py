"""config/nginx.conf in a real nginx, before an authority that was published to."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned import key_index
from bluezoned.demo.cast import free_port
from tests.authority.ward import NOON, Ward, message

SITE = Path(__file__).parents[2] / "config" / "nginx.conf"


@pytest.fixture
def site(ward: Ward, tmp_path: Path) -> Iterator[str]:
    ward.send(message(ward.code()), NOON)
    ward.publisher.publish(NOON)
    port = free_port()
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=authority.example", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"),
        check=True, capture_output=True,
    )  # fmt: skip
    text = (
        SITE.read_text()
        .replace("listen 443", f"listen 127.0.0.1:{port}")
        .replace("/var/lib/bluezone-authority", str(ward.directory))
        .replace("/etc/letsencrypt/live/authority.example/fullchain.pem", str(tmp_path / "cert.pem"))
        .replace("/etc/letsencrypt/live/authority.example/privkey.pem", str(tmp_path / "key.pem"))
    )
    places = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi",
                                                                         "scgi"))  # fmt: skip
    whole = f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error; events {{}}\n"
    (tmp_path / "nginx.conf").write_text(f"{whole}http {{ {places}\n{text} }}\n")
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program is not None, "nginx is missing: run make, which installs it"
    process = subprocess.Popen((program, "-p", tmp_path, "-c", tmp_path / "nginx.conf"))
    try:
        while not (tmp_path / "pid").exists():
            assert process.poll() is None, (tmp_path / "error").read_text()
            time.sleep(0.02)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def got(url: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), context=context) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), b""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_boxes_get_their_files_from_nginx(site: str, ward: Ward) -> None:
    status, headers, content = got(f"{site}/v1/index")
    index = key_index.read(content, ward.public_key)
    batch = f"{site}/v1/batches/{index.batches[0].name}"

    assert (status, headers["Cache-Control"]) == (200, "public, max-age=300")
    assert got(f"{site}/v1/index", {"If-None-Match": headers["ETag"]})[0] == 304
    assert got(batch)[2] == (ward.files / index.batches[0].name).read_bytes()
    assert "immutable" in got(batch)[1]["Cache-Control"]
    assert got(batch, {"Range": "bytes=0-9"})[0] == 206
    assert got(f"{site}/metrics")[0] == 404
    assert got(f"{site}/v1/batches/../../keys/signing.pem")[0] in (400, 404, 502)
    assert got(f"{site}/v1/batches/%2e%2e/%2e%2e/keys/signing.pem")[0] in (400, 404, 502)
    assert got(f"{site}/health")[0] == 502  # nobody serves behind it here
