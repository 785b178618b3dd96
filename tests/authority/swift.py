"""A real object store that speaks S3: OpenStack Swift with its s3api, as hosters run it, in a temporary directory.

Debian packages it, and it is a server in production use; what PyPI and npm offer under "S3 server" are doubles made for
tests, and MinIO and Ceph's gateway come in no package here, or need a cluster of daemons around them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEY, SECRET, BUCKET = "test:tester", "testing", "authority"

_LAUNCH = """
import sys
from swift.common import utils
utils.SWIFT_CONF_FILE = {conf!r}
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi({file!r}, {section!r}, verbose=True))
"""

_BACKEND = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {home}/devices
mount_check = false
swift_dir = {home}
user = {user}
workers = 0
log_level = WARNING
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {home}
user = {user}
workers = 0
log_level = WARNING
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
# tempauth asks for a cache; without one behind it, nothing is cached.
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""

SERVERS = ("account", "container", "object", "proxy")


class Swift:
    """One of each of Swift's servers, on loopback."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ports = {name: _free_port() for name in SERVERS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.endpoint = f"http://127.0.0.1:{self._ports['proxy']}"

    def found(self) -> None:
        user = pwd.getpwuid(os.geteuid()).pw_name
        (self._home / "devices" / "d1").mkdir(parents=True)
        (self._home / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = ward\n[storage-policy:0]\nname = ward\ndefault = yes\n"
        )
        for name, port in self._ports.items():
            text = (_PROXY if name == "proxy" else _BACKEND).format(name=name, port=port, home=self._home, user=user)
            (self._home / f"{name}.conf").write_text(text)
        for name in SERVERS[:3]:
            builder = f"{name}.builder"
            self._ring(builder, "create", "2", "1", "0")
            self._ring(builder, "add", f"r1z1-127.0.0.1:{self._ports[name]}/d1", "1")
            self._ring(builder, "rebalance")

    def _ring(self, *words: str) -> None:
        subprocess.run(("swift-ring-builder", *words), cwd=self._home, check=True, stdout=subprocess.DEVNULL)

    def start(self, *names: str) -> None:
        for name in names or SERVERS:
            launch = _LAUNCH.format(
                conf=str(self._home / "swift.conf"),
                file=str(self._home / f"{name}.conf"),
                section=f"{name}-server",
            )
            with (self._home / f"{name}.log").open("ab") as log:
                # Debian's own Python: Swift is no package of ours.
                self._processes[name] = subprocess.Popen(
                    ("/usr/bin/python3", "-c", launch), cwd=self._home, stdout=log, stderr=log, start_new_session=True
                )
        for name in names or SERVERS:
            self._wait(name)

    def _wait(self, name: str) -> None:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._ports[name]), 1):
                return
            assert self._processes[name].poll() is None, (self._home / f"{name}.log").read_text()[-2000:]
            time.sleep(0.05)
        raise AssertionError(f"Swift's {name} server did not start")

    def stop(self, *names: str) -> None:
        for name in names or tuple(self._processes):
            process = self._processes.pop(name)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def forbid_writing(self) -> None:
        """As a full disk, or one mounted to be read only: objects cannot be stored, the rest goes on."""
        self.stop("object")

    def allow_writing(self) -> None:
        self.start("object")


@contextmanager
def running() -> Iterator[Swift]:
    # On a file system with extended attributes, which the temporary directories of tests need not have.
    home = Path(tempfile.mkdtemp(prefix="bluezoned-swift-", dir="/var/tmp"))
    server = Swift(home)
    try:
        server.found()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


if __name__ == "__main__":
    with running() as served:
        print(served.endpoint)
        sys.stdin.read()
