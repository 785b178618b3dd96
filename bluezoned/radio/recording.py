"""Captures of what a radio heard, and a radio that plays one again: a bug report, or a walk through a ward.

One JSON object a line: {"at": ms UTC, "rssi": dBm, "data": hex of the AD structures}. A capture holds rolling ids of
others, though never their addresses: whoever keeps one keeps personal data, and it belongs to no bug tracker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Self

import msgspec
from msgspec import Meta

from bluezoned import advertisement as words
from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import Clock
from bluezoned.errors import RadioError
from bluezoned.radio.radio import RadioHealth

LONGEST_LINE = 1024
"""Bytes. A line takes about 110; an extended advertisement of 255 bytes would take 560."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    at: Annotated[int, Meta(ge=0, lt=1 << 47)]
    rssi: Annotated[int, Meta(ge=-127, le=127)]
    data: Annotated[str, Meta(max_length=2 * 255)]


def write(receptions: Iterable[Reception], file: BinaryIO) -> None:
    """Append a line for each."""
    for reception in receptions:
        line = _Line(reception.at, reception.rssi, reception.advertisement.encode().hex())
        file.write(msgspec.json.encode(line) + b"\n")


def read(file: BinaryIO) -> Iterator[Reception]:
    """The receptions in order, one line held at a time. RadioError names the line that is none, or is earlier than the
    one before it."""
    number, latest = 0, 0
    while text := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(text) > LONGEST_LINE:
            raise RadioError(f"capture, line {number}: longer than {LONGEST_LINE} bytes")
        try:
            line = msgspec.json.decode(text, type=_Line)
            data = bytes.fromhex(line.data)
        except (msgspec.DecodeError, ValueError):
            raise RadioError(f'capture, line {number}: not {{"at": ms, "rssi": dBm, "data": hex}}') from None
        if line.at < latest:
            raise RadioError(f"capture, line {number}: earlier than the line before it")
        latest = line.at
        yield Reception(words.decode(data), line.rssi, line.at)


class RecordingRadio:
    """Plays a capture on a clock, beginning now; what it is told to send is taken note of and heard by nobody. At the
    end of the capture it falls silent."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._is_open = False
        self.on_air: Advertisement | None = None
        """The newest advertisement."""

    async def __aenter__(self) -> Self:
        if not self._path.is_file():
            raise RadioError(f"{self._path}: no such capture")
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self.on_air = None

    async def advertise(self, advertisement: Advertisement | None) -> None:
        if not self._is_open:
            raise RadioError("the radio is not open")
        if advertisement is not None:
            advertisement.encode()
        self.on_air = advertisement

    async def __aiter__(self) -> AsyncIterator[Reception]:
        shift: int | None = None
        with self._path.open("rb") as file:
            for reception in read(file):
                if shift is None:
                    shift = self._clock.now() - reception.at
                at = reception.at + shift
                await self._clock.sleep_until(at)
                yield Reception(reception.advertisement, reception.rssi, at)
        while True:
            await self._clock.sleep_until(self._clock.now() + 60_000)

    def health(self) -> RadioHealth:
        return RadioHealth(self._is_open, self.on_air is not None, "" if self._is_open else "the radio is off")
