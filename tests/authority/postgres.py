"""A real PostgreSQL in a temporary directory, reached by a socket there and by nobody else."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "ward"


def _programs() -> Path:
    """Where Debian keeps initdb and the like: beside the newest version, not on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    assert on_path is not None, "PostgreSQL is missing: run make, which installs it"
    return Path(on_path).parent


class Postgres:
    """One server; it must not run as root."""

    def __init__(self, directory: Path, is_durable: bool = False) -> None:
        self.directory = directory
        # No fsync: no test pulls the machine's plug, and every one makes a database of its own.
        self._fsync = "on" if is_durable else "off"
        self._data = directory / "data"
        self._bin = _programs()
        self._user = "postgres" if os.geteuid() == 0 else None
        self._made = 0

    def _run(self, program: str, *words: str | Path) -> None:
        subprocess.run(
            (self._bin / program, *words), user=self._user, cwd=self.directory, check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip

    def found(self) -> None:
        if self._user is not None:
            os.chown(self.directory, pwd.getpwnam(self._user).pw_uid, -1)
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self.directory} -c fsync={self._fsync} -c max_connections=200"
        self._run("pg_ctl", "start", "-D", self._data, "-w", "-l", self.directory / "log", "-o", options)

    def stop(self, how: str = "immediate") -> None:
        """`immediate` as after a crash: nobody is asked, nothing is written."""
        self._run("pg_ctl", "stop", "-D", self._data, "-w", "-m", how)

    def cpu(self) -> float:
        """Seconds that all its processes have used by now, those that have ended too."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        ticks = sum(_times(postmaster)) + sum(sum(_times(int(child))[:2]) for child in children)
        return ticks / os.sysconf("SC_CLK_TCK")

    def make_database(self, template: str = "template1") -> str:
        self._made += 1
        name = f"ward{self._made}"
        self._run("createdb", "-h", self.directory, "-U", USER, "-T", template, name)
        return name

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.directory}"


def _times(pid: int) -> list[int]:
    """Ticks in user and system of the process, and of those of its children that have ended."""
    return [int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]]


@contextmanager
def running(is_durable: bool = False) -> Iterator[Postgres]:
    # Not pytest's own directory: only its owner may enter that, and the server is somebody else.
    directory = Path(tempfile.mkdtemp(prefix="bluezoned-postgres-"))
    server = Postgres(directory, is_durable)
    try:
        server.found()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)
