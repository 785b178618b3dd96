"""The program as a service: real datagrams where the journal and systemd would read them."""

from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned import service

# A private /run in a namespace of its own, with our socket in the journal's place: libsystemd knows one path only.
IN_NAMESPACE = ["unshare", "--map-root-user", "--mount"]
PROGRAM = """
import json, logging, os, socket, subprocess, sys, uuid
from pathlib import Path
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
Path("/run/systemd/journal").mkdir(parents=True)
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.settimeout(10)

from bluezoned import service
service.to_journal("bluezoned", "debug")
log = logging.getLogger("bluezoned.tracing")
try:
    raise ValueError("wrong")
except ValueError:
    log.error(
        "%d of %s", 3, "argument-one", exc_info=True,
        extra={"BLUEZONED_EVENT": "tried", "PRIORITY": "0", "stranger": "secret", "SECRET": "secret",
               "MESSAGE_ID": uuid.UUID(int=1)},
    )
print(json.dumps(journal.recv(1 << 16).decode("latin-1")))
"""


def parsed(datagram: bytes) -> dict[str, str]:
    """Source: systemd, docs/JOURNAL_NATIVE_PROTOCOL.md."""
    fields = {}
    rest = datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        fields[name.decode()] = value.decode()
    return fields


@pytest.mark.skipif(
    subprocess.run([*IN_NAMESPACE, "true"], check=False, capture_output=True).returncode != 0,
    reason="this machine allows no mount namespace",
)
def test_a_record_with_arguments_sends_only_the_fixed_fields() -> None:
    command = [*IN_NAMESPACE, sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    sent = parsed(json.loads(done.stdout).encode("latin-1"))

    assert sent.pop("MESSAGE").startswith("3 of argument-one\nTraceback ")
    assert sent.pop("CODE_LINE").isdecimal()
    assert sent == {
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "bluezoned",
        "LOGGER": "bluezoned.tracing",
        "CODE_FILE": "<string>",
        "CODE_FUNC": "<module>",
        "BLUEZONED_EVENT": "tried",
        "MESSAGE_ID": f"{1:032x}",
    }


def test_the_mapping_holds_no_argument() -> None:
    record = logging.LogRecord("bluezoned", logging.INFO, "file", 1, "%s", ("argument",), None, "function")

    message, fields = service.fields(record, "the message", 6, "bluezoned")

    assert message == "the message"
    assert fields.keys() == {"PRIORITY", "SYSLOG_IDENTIFIER", "LOGGER", "CODE_FILE", "CODE_LINE", "CODE_FUNC"}


@pytest.fixture
def root_log() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield root
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def test_lines_go_to_the_stream(root_log: logging.Logger) -> None:
    stream = io.StringIO()

    service.to_stream(stream, "info")
    logging.getLogger("bluezoned.feed").info("%d batches", 2)
    logging.getLogger("bluezoned.feed").debug("quiet")
    logging.getLogger("bleak").info("an address")

    assert stream.getvalue() == "INFO bluezoned.feed: 2 batches\n"


def test_the_journal_is_known_by_device_and_inode() -> None:
    with tempfile.TemporaryFile("w") as stream:
        status = Path(f"/proc/self/fd/{stream.fileno()}").stat()

        assert service.is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not service.is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not service.is_journal(stream, {})
    assert not service.is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})


def test_systemd_hears_the_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

    service.notify_ready("listening")
    service.notify_status("3 near")
    service.notify_watchdog()
    service.notify_reloading()
    service.notify_stopping()

    heard = [systemd.recv(1000).decode() for _ in range(5)]
    systemd.close()
    assert heard == ["READY=1\nSTATUS=listening", "STATUS=3 near", "WATCHDOG=1", "RELOADING=1", "STOPPING=1"]


def test_without_systemd_notices_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    service.notify_ready("listening")
