"""A BluezRadio in a test, and what it hears; judged by the air's log and the bus, not by what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import SystemClock
from bluezoned.protocols import bluezone, gaen
from bluezoned.radio.bluez import BluezRadio
from bluezoned.radio.bluez_reader import Iphones
from tests.system.conftest import eventually
from tests.system.medium.client import Air

SERVICES = (bluezone.SERVICE, gaen.SERVICE)

PHONE = "3A:00:00:00:00:01"
PHONE_PAYLOAD = bytes(range(20))
PHONE_DATA = bytes.fromhex("02011a 03036ffd 17166ffd") + PHONE_PAYLOAD
"""What a phone with GAEN sends: flags, UUID list, service data (Exposure Notification Bluetooth specification v1.2)."""

APP_ROLLING_ID = bytes(range(100, 112))
APP_DATA = bytes.fromhex("020102 0303564e 0fffb522") + APP_ROLLING_ID
"""What the published Bluezone app for Android sends: flags, the UUID list, manufacturer data; it is connectable."""


def numbered(number: int) -> Advertisement:
    """One of ours, each with another content."""
    rolling_id = number.to_bytes(4, "big") * 3
    return Advertisement(frozenset((bluezone.SERVICE,)), {bluezone.SERVICE: bytes(4)}, {bluezone.COMPANY: rolling_id})


def number_of(data: str) -> int | None:
    """Of the advertisement in a packet of the log; None when it is not `numbered`."""
    at = data.find("0fffb522")
    return int(data[at + 8 : at + 16], 16) if at >= 0 else None


@dataclass
class AtWork:
    """The radio, its controller and what it has heard."""

    air: Air
    controller: int
    radio: BluezRadio
    heard: list[Reception] = field(default_factory=list)

    def hears_phone(self, since: int) -> bool:
        """Whether the phone was heard after the first `since` receptions."""
        return any(r.advertisement.service_data.get(gaen.SERVICE) == PHONE_PAYLOAD for r in self.heard[since:])

    def is_on_air(self, number: int, mark: int) -> bool:
        """Whether that one was sent since then, by the log of the air."""
        return self.air.has_sent(mark, self.controller, f"0fffb522{number:08x}")

    async def proves_itself(self, number: int, seconds: float) -> float:
        """Seconds until, from now on, it was seen to send and has heard the phone, and says so; and does so again two
        seconds later, so that what was still under way at a fault proves nothing."""
        taken = await self._works(number, seconds)
        await asyncio.sleep(2)
        return taken + await self._works(number, max(5.0, seconds - taken))

    async def _works(self, number: int, seconds: float) -> float:
        mark, since = self.air.mark(), len(self.heard)

        def works() -> bool:
            health = self.radio.health()
            return (
                self.is_on_air(number, mark)
                and self.hears_phone(since)
                and (health.hearing, health.advertising, health.problem) == (True, True, "")
            )

        return await eventually(seconds, works, lambda: f"{self.radio.health()}, {len(self.heard) - since} heard")


@asynccontextmanager
async def at_work(
    air: Air, controller: int, iphones: Iphones = Iphones.IGNORE, witness: int | None = None
) -> AsyncIterator[AtWork]:
    """The radio on one controller, with a phone near it."""
    second = "" if witness is None else air.adapter(witness)
    radio = BluezRadio(air.adapter(controller), SERVICES, SystemClock(), iphones=iphones, witness=second)
    async with radio:
        work = AtWork(air, controller, radio)

        async def listen() -> None:
            async for reception in radio:
                work.heard.append(reception)

        listening = asyncio.create_task(listen())
        air.phone(controller, PHONE, PHONE_DATA, rssi=-61, kind=3, every_ms=250, times=100_000)
        try:
            yield work
        finally:
            air.order("send_phones_away")
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
