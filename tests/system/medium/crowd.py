"""A crowd near one controller: residents who stay, and visitors who come and go."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence

LEGACY_ADVERTISING = 0x0B
"""RootCanal's number of that link layer packet."""

PAUSE_S = 0.02
NON_CONNECTABLE = 3


def legacy_packet(address: bytes, kind: int, data: bytes) -> bytes:
    """RootCanal's form of a legacy advertisement from a random address."""
    return bytes((LEGACY_ADVERTISING,)) + address + bytes(6) + bytes((1, 0, kind)) + data


class Crowd:
    """`residents` (hex of what each sends) are there all the time and send half of `per_second` packets in turn. The
    other half is that of `visitors` phones with GAEN, each with an address and an identifier of its own; as many of
    them are there at once as there are residents, so that each stays for a while and sends as often as a resident."""

    def __init__(
        self, rx: int, per_second: int, seconds: int, residents: Sequence[str], visitors: int, rssi: int
    ) -> None:
        self._rx = rx
        self._rssi = rssi
        self._per_second = per_second
        self._total = per_second * seconds
        chance = random.Random(1)
        self._residents = [legacy_packet(_address(chance), NON_CONNECTABLE, bytes.fromhex(r)) for r in residents]
        self._visitors = [legacy_packet(_address(chance), NON_CONNECTABLE, _gaen(chance)) for _ in range(visitors)]
        self.residents_sent = self.visitors_sent = 0

    async def send(self, receive: Callable[[int, bytes, int], None]) -> None:
        """All of it, in real time."""
        begun = time.monotonic()
        present = len(self._residents)
        turns = itertools.count()
        while (sent := self.residents_sent + self.visitors_sent) < self._total:
            for _ in range(sent, min(self._total, int((time.monotonic() - begun) * self._per_second))):
                turn = next(turns)
                if turn % 2:
                    receive(self._rx, self._residents[turn // 2 % present], self._rssi)
                    self.residents_sent += 1
                else:
                    # The window of those present moves on over all of them.
                    first = turn * (len(self._visitors) - present) // self._total
                    receive(self._rx, self._visitors[first + turn // 2 % present], self._rssi)
                    self.visitors_sent += 1
            await asyncio.sleep(PAUSE_S)


def _address(chance: random.Random) -> bytes:
    """A non-resolvable private one, little-endian."""
    address = bytearray(chance.randbytes(6))
    address[5] &= 0x3F
    return bytes(address)


def _gaen(chance: random.Random) -> bytes:
    return bytes.fromhex("02011a 03036ffd 17166ffd") + chance.randbytes(20)
