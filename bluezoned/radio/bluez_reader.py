"""Reads the rolling ids of iPhones with the published app, which do not send them: one connection at a time, each phone
once in a rotation, and what it holds is heard with each of its packets from then on.

Whose address was read last stays in memory here for as long, and nowhere else: bluetoothd is told to forget it, for it
would keep what it learnt of a phone's services on the disk, by address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakCharacteristicNotFoundError, BleakError

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import Clock
from bluezoned.protocols import bluezone_iphone
from bluezoned.protocols.bluezone import Bluezone
from bluezoned.radio.bluez_bus import ADAPTER, Adapter, Bluez, BluezError

log = logging.getLogger(__name__)

READ_S = 10.0
"""Seconds for one phone, as the published Android app allows. What is in range answers within two."""

GAP = 5_000
"""ms between two connections. The controller does not listen while it connects: at twelve a minute that is a
fifth of the time at most, and a crowd of two hundred phones is through in a quarter of an hour."""

ROTATION = Bluezone().rotation
"""ms. An iPhone's rolling id is computed when it is read, so it is another one after each boundary."""

FIRST_AGAIN, AFTER_FAILURE = 30_000, 5 * 60_000
"""ms until a phone that did not answer is asked again: soon the first time, as it may just have been passing or busy,
and then twice as long each time, as the radio is deaf while it waits for an answer. The longest for what has no such
value: others' services on the same bit of the mask."""

MOST_WAITING, MOST_KNOWN = 32, 512
"""Phones; more than a rotation has time for. Strangers with made-up addresses push out one another and nothing else."""


class Iphones(Enum):
    """What is done about them."""

    IGNORE = "ignore"
    READ = "read"


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A phone that should be read, as it was heard."""

    device: BLEDevice
    rssi: int
    at: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What a phone's packets mean until `until` (ms UTC); None for nothing."""

    advertisement: Advertisement | None
    until: int
    failures: int = 0
    """Tries in a row that it did not answer."""


class _Unanswered(Exception):
    """A phone was out of reach, or too slow."""


class PhoneReader:
    """One adapter's reader."""

    def __init__(self, bluez: Bluez, clock: Clock, on_reception: Callable[[Reception], None]) -> None:
        self._bluez = bluez
        self._clock = clock
        self._on_reception = on_reception
        self._waiting: dict[str, _Sighting] = {}
        self._known: dict[str, _Known] = {}
        self._came = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def notice(self, device: BLEDevice, rssi: int) -> None:
        """A packet of such a phone was heard: it is a reception when its id is known, else it waits to be read."""
        at = self._clock.now()
        known = self._known.get(device.address)
        if known is None or at >= known.until:
            if device.address in self._waiting or len(self._waiting) < MOST_WAITING:
                self._waiting[device.address] = _Sighting(device, rssi, at)
                self._came.set()
        elif known.advertisement is not None:
            self._on_reception(Reception(known.advertisement, rssi, at))

    def start(self, adapter: Adapter) -> None:
        """Read whoever waits, until `stop`."""
        if self._reading is not None and self._reading.done():
            self._reading.result()  # it ends only by a fault that must be known
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all(adapter), name="phone reader")

    async def stop(self) -> None:
        """Connect no more: a controller that is connecting cannot change its address. Cuts off a connection."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        self._waiting.clear()

    async def _read_all(self, adapter: Adapter) -> None:
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            address, sighting = self._waiting.popitem()  # the newest: the oldest may be out of reach
            known = await self._ask(adapter, sighting.device)
            self._remember(address, known)
            if known.advertisement is not None:
                self._on_reception(Reception(known.advertisement, sighting.rssi, sighting.at))
            await self._clock.sleep_until(self._clock.now() + GAP)

    async def _ask(self, adapter: Adapter, device: BLEDevice) -> _Known:
        try:
            found = await self._read(adapter, device)
        except _Unanswered:
            before = self._known.get(device.address)
            failures = 1 if before is None else before.failures + 1
            wait = min(FIRST_AGAIN << (failures - 1), AFTER_FAILURE)
            return _Known(None, self._clock.now() + wait, failures)
        now = self._clock.now()
        return _Known(found, now + AFTER_FAILURE if found is None else now - now % ROTATION + ROTATION)

    async def _read(self, adapter: Adapter, device: BLEDevice) -> Advertisement | None:
        try:
            async with BleakClient(device, timeout=READ_S, bluez={"adapter": adapter.name}) as phone:
                value = await asyncio.wait_for(phone.read_gatt_char(bluezone_iphone.CHARACTERISTIC), READ_S)
        except BleakCharacteristicNotFoundError:
            log.debug("a phone has nothing to be read")
            return None
        except (TimeoutError, BleakError, OSError, EOFError) as error:
            log.debug("a phone did not let itself be read: %s", type(error).__name__)
            raise _Unanswered from error
        finally:
            with suppress(BluezError):
                await self._bluez.call(adapter.path, ADAPTER, "RemoveDevice", "o", [device.details["path"]])
        return bluezone_iphone.advertisement(bytes(value))

    def _remember(self, address: str, known: _Known) -> None:
        self._known.pop(address, None)
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[address] = known
        # Its packets went on while it was read, and had it wait again.
        self._waiting.pop(address, None)
