"""A second adapter of this machine as witness: whether what we send leaves the antenna, and whether our ear is dead.

bluetoothd believes in advertisements that nobody can hear, and an empty room is as silent as a dead receiver. From the
adapter alone neither can be told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.bus import BusError
from bluezoned.errors import RadioError
from bluezoned.radio import bluez_adapter
from bluezoned.radio.bluez_advertiser import Advertiser
from bluezoned.radio.bluez_bus import Adapter, Bluez
from bluezoned.radio.bluez_scanner import Scanner
from bluezoned.radio.hearing import MINUTE, SECOND

log = logging.getLogger(__name__)

LISTEN_S = 5.0
"""Seconds in which a box that sends is heard some twenty times."""

SETTLING = 2 * SECOND
"""ms after a registration until it should be on the air."""

EVERY = 5 * MINUTE
"""ms between two proofs of one advertisement. Known cases stopped after minutes to hours; each proof takes the
witness's time only."""

AGAIN = 10 * SECOND
"""ms until the next one, while we are not heard."""

CONVICTING = 2
"""Proofs that must fail in a row: in one of them something else may have held the witness."""


class Witness:
    """The adapter that `wish` names, used for nothing else of ours."""

    def __init__(self, wish: str, bluez: Bluez, bus: str, on_verdict: Callable[[], None]) -> None:
        self._wish = wish
        self._bluez = bluez
        self._on_verdict = on_verdict
        self._mouth = Advertiser(bus, lambda: None)
        self._lock = asyncio.Lock()
        """It cannot listen and begin to speak at once where it has no extended advertising."""
        self._proving: asyncio.Task[None] | None = None
        self._proven: Advertisement | None = None
        self._due = 0
        self._failed = 0

    @property
    def denies(self) -> bool:
        """Whether it has listened and did not hear us, until it does."""
        return self._failed >= CONVICTING

    def prove(self, advertisement: Advertisement, at: int) -> None:
        """Called at every look (`at` in monotonic ms), with what should be on the air: listens for it now and then."""
        if advertisement is not self._proven:
            self._proven = advertisement
            self._due = at + SETTLING
        if at >= self._due and (self._proving is None or self._proving.done()):
            if self._proving is not None:
                self._proving.result()  # a fault that nobody foresaw must be known
            self._due = at + EVERY
            self._proving = asyncio.create_task(self._prove(advertisement, at), name="witness")

    async def _prove(self, advertisement: Advertisement, at: int) -> None:
        try:
            async with self._lock:
                is_heard = await self._hears(advertisement)
        except (RadioError, BusError) as error:
            log.debug("the witness says nothing: %s", error)
            return
        self._failed = 0 if is_heard else self._failed + 1
        if not is_heard:
            self._due = at + AGAIN
        self._on_verdict()

    async def _hears(self, advertisement: Advertisement) -> bool:
        heard = asyncio.Event()

        def compare(reception: Reception) -> None:
            if reception.advertisement == advertisement:
                heard.set()

        scanner = Scanner(self._bluez, advertisement.service_uuids, lambda: 0, compare, lambda: None, None)
        await scanner.start(await self._adapter())
        try:
            await asyncio.wait_for(heard.wait(), LISTEN_S)
        except TimeoutError:
            return False
        finally:
            await scanner.stop()
        return True

    async def speak(self, uuids: Iterable[int]) -> None:
        """Send something that our ear lets through and nobody takes for a rolling id, until `hush`."""
        if not self._mouth.is_registered:
            with suppress(RadioError, BusError):
                async with self._lock:
                    await self._mouth.replace(await self._adapter(), Advertisement(frozenset(uuids)))

    async def hush(self) -> None:
        """Send nothing."""
        with suppress(RadioError):
            await self._mouth.withdraw()

    async def _adapter(self) -> Adapter:
        # Without the monitor: one packet is enough, and there is one monitor a connection.
        return replace(await bluez_adapter.usable(self._bluez, self._wish), has_monitors=False)

    async def close(self) -> None:
        """Neither listen nor speak."""
        proving, self._proving = self._proving, None
        if proving is not None:
            proving.cancel()
            with suppress(asyncio.CancelledError):
                await proving
        await self._mouth.close()
