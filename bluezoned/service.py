"""The program as a systemd service: its log with fixed fields where the journal reads it, and its notices to systemd.

Layer 4: programs call it once, at their start.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO
from uuid import UUID

from systemd import daemon, journal

EXTRA_FIELDS = ("BLUEZONED_EVENT", "BLUEZONED_LIGHT", "BLUEZONED_ADAPTER")
"""What a log call may add with `extra=`, all of them words from a fixed set. Anything else in a record stays here."""

_LINE = "%(levelname)s %(name)s: %(message)s"


class JournalHandler(journal.JournalHandler):  # type: ignore[misc]  # its base is untyped
    """Sends a fixed set of fields.

    The stock handler sends the record's whole dictionary and `CODE_ARGS=str(record.args)`: every argument of a log
    call would stand in the journal beside its message (systemd-python 235, journal.py, JournalHandler.emit).
    """

    def __init__(self, identifier: str) -> None:
        super().__init__(SYSLOG_IDENTIFIER=identifier)
        self._identifier = identifier

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message, rest = fields(record, self.format(record), self.map_priority(record.levelno), self._identifier)
            self.send(message, **rest)
        except Exception:
            # As logging.Handler asks: a log that cannot be written must not stop the program.
            self.handleError(record)


def fields(record: logging.LogRecord, message: str, priority: int, identifier: str) -> tuple[str, dict[str, object]]:
    """Everything that the journal gets of one record: the message and its fields."""
    sent: dict[str, object] = {
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": identifier,
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
    }
    given = record.__dict__
    sent |= {name: str(given[name]) for name in EXTRA_FIELDS if name in given}
    if isinstance(given.get("MESSAGE_ID"), UUID):
        sent["MESSAGE_ID"] = given["MESSAGE_ID"].hex
    return message, sent


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is the one that the journal reads, as $JOURNAL_STREAM says by device and inode.

    Source: systemd.exec(5), $JOURNAL_STREAM. The variable alone does not do: a shell below a unit inherits it.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def to_journal(identifier: str, level: str) -> None:
    """Send the whole program's log to the journal."""
    _install(JournalHandler(identifier), level)


def to_stream(stream: TextIO, level: str) -> None:
    """Write the whole program's log as lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(_LINE))
    _install(handler, level)


def to_where_it_is_read(identifier: str, level: str, environ: Mapping[str, str]) -> None:
    """To the journal when it reads our stderr, else to stderr."""
    if is_journal(sys.stderr, environ):
        to_journal(identifier, level)
    else:
        to_stream(sys.stderr, level)


def _install(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("aiohttp", "asyncio", "bleak", "dbus_fast", "dbus_next"):
        # Below WARNING they tell peers' addresses and every message.
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
    # Warns of a connection that did not end, by the peer's address (bleak 3.1.0); what matters of it we say ourselves.
    logging.getLogger("bleak.backends.bluezdbus.client").setLevel(logging.CRITICAL)


def set_level(level: str) -> None:
    """Tell more or less from now on."""
    _install(logging.getLogger().handlers[0], level)


def notify_ready(status: str) -> None:
    """Tell systemd that the service is up. Nothing happens where it was not started by systemd."""
    daemon.notify(f"READY=1\nSTATUS={status}")


def notify_reloading() -> None:
    """Tell systemd that settings are being read; `notify_ready` ends it."""
    daemon.notify("RELOADING=1")


def notify_status(status: str) -> None:
    """The line that `systemctl status` shows."""
    daemon.notify(f"STATUS={status}")


def notify_watchdog() -> None:
    """Feed the watchdog. Only for who knows that the radio and the store have answered."""
    daemon.notify("WATCHDOG=1")


def notify_stopping() -> None:
    """Tell systemd that the service is going down."""
    daemon.notify("STOPPING=1")
