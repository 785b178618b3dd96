"""What the radio hears, written down for a person who asked for it, to be played again. Layer 4.

A capture holds the rolling ids of everybody near, though no addresses: personal data. So it lies among the daemon's
secrets and never crosses the bus, there is one at a time, it ends by itself, and goes by itself.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bluezoned.advertisement import Reception
from bluezoned.errors import ProtocolError, StoreError
from bluezoned.protocols.protocol import DAY
from bluezoned.radio import recording

log = logging.getLogger(__name__)

LONGEST = 3_600_000
"""ms. A question about a room is answered in minutes; a day would be a diary of others."""

MOST_BYTES = 32 << 20
"""A crowd that sends 120 packets a second for the longest time writes 48 MB: then it ends earlier, before it fills the
card."""

KEEP = DAY
"""ms after its end until a capture goes by itself. Halved, what was recorded in the evening is gone in the morning."""


class Recorder:
    """The one capture of a box, at `path`."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._end = 0

    @property
    def is_on(self) -> bool:
        return self._file is not None

    def begin(self, at: int, duration: int) -> None:
        """Write down what is heard for `duration` ms, in place of an earlier capture. ProtocolError when that is too
        long, StoreError when the file cannot be made."""
        if not 0 < duration <= LONGEST:
            raise ProtocolError(f"a recording takes from 1 to {LONGEST // 1000} s")
        self.erase()
        try:
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise StoreError(f"the capture cannot be written: {error.strerror}") from error
        self._end = at + duration

    def hear(self, reception: Reception) -> None:
        """Take one down, while recording. A card that fails ends it."""
        if self._file is None:
            return
        try:
            recording.write([reception], self._file)
            if self._file.tell() > self._most_bytes:
                self.end()
        except OSError as error:
            log.error("the recording ends: %s", error.strerror)
            self.end()

    def look(self, at: int) -> None:
        """End when it is time, and forget what nobody fetched."""
        if self.is_on and at >= self._end:
            self.end()
        with suppress(FileNotFoundError):
            if not self.is_on and self.path.stat().st_mtime_ns // 1_000_000 + KEEP < at:
                self.path.unlink()

    def end(self) -> None:
        """Now, if it is on. What was written stays."""
        if self._file is not None:
            # Its last bytes may find no room: then the capture is shorter.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def erase(self) -> None:
        """End, and leave no capture."""
        self.end()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"the capture cannot be removed: {error.strerror}") from error
