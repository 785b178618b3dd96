"""A Bluetooth controller at the end of a serial line, as a Pi's own chip is, and a phone near it.

    python -m tests.image.air SOCKET

RootCanal's controller without LE extended advertising, speaking H4 (Core 5.4, vol 4, part A) to whoever is behind the
socket. The phone says a GAEN identifier four times a second. Whatever the controller says on the air is printed, a hex
line each when it changes. Waves and the chip's quirks are the double; driver, line discipline and bluetoothd are not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from tests.system.medium.controller import Controller
from tests.system.medium.crowd import LEGACY_ADVERTISING, NON_CONNECTABLE, legacy_packet

PHONE = legacy_packet(
    bytes.fromhex("112233445536"), NON_CONNECTABLE, bytes.fromhex("02011a03036ffd17166ffd") + bytes(range(20))
)
LE_1M = 1
RSSI = -50
TICK_S = 0.01
TICKS_A_PACKET = 25

HEADERS = {1: (3, 2, 1), 2: (4, 2, 2), 3: (3, 2, 1), 5: (4, 2, 2)}
"""Kind of packet to the size of its header, and place and size of its length in there."""


class ControllerOnALine(Controller):
    """Its packets come in pieces, or several at once."""

    def connect(self, place: Path) -> None:
        self.load()
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(place))
        self._file = line.detach()
        self._came = bytearray()
        asyncio.get_running_loop().add_reader(self._file, self._take)

    def _take(self) -> None:
        assert self._file is not None
        piece = os.read(self._file, 4096)
        if not piece:
            asyncio.get_running_loop().stop()
        self._came += piece
        while (packet := self._packet()) is not None:
            self.receive_from_kernel(packet)

    def _packet(self) -> bytes | None:
        """The next whole one, if it has come."""
        if not self._came:
            return None
        size, at, width = HEADERS[self._came[0]]
        if len(self._came) < 1 + size:
            return None
        end = 1 + size + int.from_bytes(self._came[1 + at : 1 + at + width], "little")
        if len(self._came) < end:
            return None
        packet = bytes(self._came[:end])
        del self._came[:end]
        return packet


async def main(place: Path) -> None:
    last = b""

    def transmit(_number: int, packet: bytes, _phy: int) -> None:
        nonlocal last
        if packet[0] == LEGACY_ADVERTISING and packet[16:] != last:
            last = packet[16:]
            print(last.hex(), flush=True)

    controller = ControllerOnALine(0, True, transmit)
    controller.connect(place)
    while True:
        for _ in range(TICKS_A_PACKET):
            controller.tick()
            await asyncio.sleep(TICK_S)
        controller.receive(PHONE, LE_1M, RSSI)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
