"""What one adapter hears, through bleak, without the addresses.

Measured on BlueZ 5.66 and 5.82 with a controller that follows the specification:

- an active scan alone hears each sender about once: the kernel switches the controller's filter of duplicates on,
  whatever `DuplicateData` says. Any registered advertisement monitor switches it off, hence the dummy one here; it
  needs bluetoothd --experimental. One pattern is enough, and eight crash bluetoothd (a length byte of its own wraps);
- a level is reported only when it moved by 8 dB, unless the filter names an RSSI;
- a filter by UUID keeps strangers out of bluetoothd's memory and off the bus, at next to no cost.
"""

# dbus-next reads D-Bus signatures from annotations; they are no Python types, which no_type_check tells to mypy.

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import no_type_check

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError
from dbus_next.constants import PropertyAccess
from dbus_next.service import ServiceInterface, dbus_property, method

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.protocols import bluezone_iphone
from bluezoned.radio.bluez_bus import BASE_UUID, MONITORING, Adapter, Bluez, BluezError, full_uuid
from bluezoned.radio.bluez_reader import PhoneReader

log = logging.getLogger(__name__)

START_S, STOP_S = 15.0, 5.0
"""Seconds; what takes longer is stuck, and is tried again."""

_WEAKEST = -127
"""dBm. As a filter it keeps nothing out; as a level it is how bleak says that there is none."""

_MONITOR_PATH = "/org/bluezoned/monitor"

_INTERFACE = "org.bluez.AdvertisementMonitor1"

_NEVER_SENT = (0, 0x01, b"\xff\xff\xff\xff")
"""Offset, AD type and content of the dummy monitor's pattern: flags are one byte long."""


class _DummyMonitor(ServiceInterface):
    """Makes the kernel let repeated packets through; what it finds is of no interest, and it finds nothing."""

    def __init__(self) -> None:
        super().__init__(_INTERFACE)

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def Type(self) -> "s":
        return "or_patterns"

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def Patterns(self) -> "a(yyay)":
        return [list(_NEVER_SENT)]

    @method()
    @no_type_check
    def Release(self):
        pass

    @method()
    @no_type_check
    def Activate(self):
        pass

    @method()
    @no_type_check
    def DeviceFound(self, device: "o"):
        pass

    @method()
    @no_type_check
    def DeviceLost(self, device: "o"):
        pass


class Scanner:
    """One adapter's ear. In the running loop, `on_life` is called for each packet that bluetoothd lets through, and
    `on_reception` with what it held. `reader` is told of phones that must be read."""

    def __init__(
        self,
        bluez: Bluez,
        uuids: Iterable[int],
        now: Callable[[], int],
        on_reception: Callable[[Reception], None],
        on_life: Callable[[], None],
        reader: PhoneReader | None,
    ) -> None:
        self._bluez = bluez
        self._uuids = [full_uuid(uuid) for uuid in uuids]
        if reader is not None:
            self._uuids.append(bluezone_iphone.IPHONE_SERVICE)
        self._reader = reader
        self._now = now
        self._on_reception = on_reception
        self._on_life = on_life
        self.is_open = False
        """Whether everybody is let through."""
        self._scan: BleakScanner | None = None
        self._monitored: str | None = None
        """Path of the adapter that our monitor is registered with."""
        self._words: dict[str, int | None] = {}

    @property
    def is_scanning(self) -> bool:
        """As far as bluetoothd said."""
        return self._scan is not None

    @property
    def hears_repetitions(self) -> bool:
        """Whether each packet arrives, not only each sender's first."""
        return self._monitored is not None

    async def start(self, adapter: Adapter, only_ours: bool = True) -> None:
        """Listen; with `only_ours` unset to everybody, for a moment, as proof of life. BluezError when refused."""
        await self.stop()
        await self._register_monitor(adapter)
        filters = BlueZDiscoveryFilters(RSSI=_WEAKEST, DuplicateData=True)
        if only_ours:
            filters["UUIDs"] = self._uuids
        scan = BleakScanner(self._hear, scanning_mode="active", bluez={"adapter": adapter.name, "filters": filters})
        try:
            await asyncio.wait_for(scan.start(), START_S)
        except TimeoutError:
            raise BluezError("", "bluetoothd does not start to scan") from None
        except (BleakError, OSError, EOFError) as error:
            raise _refused("StartDiscovery", error) from error
        self._scan = scan
        self.is_open = not only_ours

    async def stop(self) -> None:
        """Listen no more. Never fails: where it is refused, nothing is left to stop, or the next start says so."""
        scan, self._scan = self._scan, None
        if scan is not None:
            try:
                await asyncio.wait_for(scan.stop(), STOP_S)
            except (TimeoutError, BleakError, OSError, EOFError) as error:
                log.debug("the scan did not stop in order: %s", type(error).__name__)
        await self._drop_monitor()

    async def _drop_monitor(self) -> None:
        """While a monitor is registered the kernel goes on listening for it by itself."""
        if self._monitored is None:
            return
        adapter_path, self._monitored = self._monitored, None
        try:
            await self._bluez.call(adapter_path, MONITORING, "UnregisterMonitor", "o", [_MONITOR_PATH])
        except BluezError as error:
            log.debug("the monitor did not end in order: %s", error.name)
        self._bluez.connection.unexport(_MONITOR_PATH)

    async def _register_monitor(self, adapter: Adapter) -> None:
        if not adapter.has_monitors:
            return
        await self._bluez.call(adapter.path, MONITORING, "RegisterMonitor", "o", [_MONITOR_PATH])
        # Exported after that: bluetoothd takes up only what it sees appear.
        self._bluez.connection.export(_MONITOR_PATH, _DummyMonitor())
        self._monitored = adapter.path

    def _hear(self, device: BLEDevice, heard: AdvertisementData) -> None:
        if heard.rssi == _WEAKEST:
            return
        self._on_life()
        if self._reader is not None and bluezone_iphone.is_shown(heard.service_uuids, heard.manufacturer_data):
            self._reader.notice(device, heard.rssi)
        del device  # with the address
        advertisement = Advertisement(
            frozenset(self._short(heard.service_uuids)),
            {uuid: data for text, data in heard.service_data.items() if (uuid := self._word(text)) is not None},
            heard.manufacturer_data,
        )
        self._on_reception(Reception(advertisement, heard.rssi, self._now()))

    def _short(self, uuids: Iterable[str]) -> Iterable[int]:
        return (uuid for text in uuids if (uuid := self._word(text)) is not None)

    def _word(self, text: str) -> int | None:
        """The 16-bit UUID, None where it is none. Remembered, as few different ones come."""
        if text not in self._words:
            if len(self._words) >= _WORDS:
                self._words.clear()
            short = len(text) == 36 and text.startswith("0000") and text.endswith(BASE_UUID)
            self._words[text] = int(text[4:8], 16) if short else None
        return self._words[text]


_WORDS = 256
"""UUIDs remembered; a stranger may send any number of different ones."""


def _refused(member: str, error: Exception) -> BluezError:
    name = getattr(error, "dbus_error", "")
    return BluezError(name, f"bluetoothd refused {member}: {name.rpartition('.')[2] or type(error).__name__}")
