"""What one adapter sends, through BlueZ's LEAdvertisingManager1.

bluez-peripheral 0.1.7 gives the object on the bus; what it has wrong for a broadcast is put right here:

- service data is of D-Bus type a{sv}, not a{say}, which bluetoothd refuses to parse;
- properties that we do not use are not exported: an appearance of 0 would cost 4 of 31 bytes, an empty name a scan
  response, and `Discoverable` is refused in a broadcast by bluetoothd 5.69 to 5.79;
- the object stays exported, so that bluetoothd can tell that it dropped us, and can be unregistered.

A broadcast is non-connectable, and with Privacy off the kernel draws a fresh non-resolvable private address each time
one is registered. So the old one is always unregistered first: a change in place, or an overlap of both, was seen to
put new data out under the old address.
"""

# dbus-next reads D-Bus signatures from annotations; they are no Python types, which no_type_check tells to mypy.

import itertools
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import no_type_check

from bluez_peripheral.advert import Advertisement as PeripheralAdvertisement  # type: ignore[import-untyped]
from bluez_peripheral.advert import PacketType
from dbus_next.constants import PropertyAccess
from dbus_next.service import dbus_property, method
from dbus_next.signature import Variant

from bluezoned.advertisement import Advertisement
from bluezoned.bus import connected
from bluezoned.radio.bluez_bus import ADVERTISING, Adapter, Bluez, BluezError

INTERVAL_MS = (200, 270)
"""Shortest and longest between two packets, ms: what GAEN asks of phones. A Pi's controller sends every 100 ms
otherwise, or every 1280, depending on the kernel."""

_PATH = "/org/bluezoned/advertisement"

_GONE = {
    "org.bluez.Error.DoesNotExist",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.UnknownMethod",
    "org.freedesktop.DBus.Error.UnknownObject",
}
"""What is said when the advertisement, the adapter or bluetoothd is not there any more."""


class _Broadcast(PeripheralAdvertisement):  # type: ignore[misc]  # the library has no types
    """One advertisement as bluetoothd reads it."""

    # A property set to None is not exported.
    LocalName = Appearance = SolicitUUIDs = Discoverable = Timeout = Duration = None

    def __init__(self, advertisement: Advertisement, on_release: Callable[[], None]) -> None:
        super().__init__(
            localName="",
            serviceUUIDs=[f"{uuid:04x}" for uuid in sorted(advertisement.service_uuids)],
            appearance=0,
            timeout=0,
            discoverable=False,
            packet_type=PacketType.BROADCAST,
            manufacturerData={company: bytes(data) for company, data in advertisement.manufacturer_data.items()},
            serviceData={f"{uuid:04x}": bytes(data) for uuid, data in advertisement.service_data.items()},
        )
        self._on_release = on_release

    @method()
    @no_type_check
    def Release(self):
        self._on_release()

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def ServiceData(self) -> "a{sv}":
        return {uuid: Variant("ay", data) for uuid, data in self._serviceData.items()}

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def MinInterval(self) -> "u":
        return INTERVAL_MS[0]

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def MaxInterval(self) -> "u":
        return INTERVAL_MS[1]

    # bluetoothd tells which power the controller chose and wants an answer. We ask for none, so it cannot be read.
    @dbus_property(PropertyAccess.WRITE)
    @no_type_check
    def TxPower(self) -> "n":
        return 0

    @TxPower.setter  # type: ignore[no-redef]
    @no_type_check
    def TxPower(self, chosen: "n"):
        del chosen


class Advertiser:
    """The one advertisement of this process on an adapter. Its connection carries nothing else: bluetoothd drops an
    advertisement when the connection that registered it dies, and bursts of other traffic could kill it."""

    def __init__(self, bus: str, on_release: Callable[[], None]) -> None:
        self._bus = bus
        self._on_release = on_release
        self._bluez: Bluez | None = None
        self._open = AsyncExitStack()
        self._paths: Iterator[str] = (f"{_PATH}{number}" for number in itertools.count())
        self._registered: tuple[str, str] | None = None
        """Of the adapter and of our object."""

    @property
    def is_registered(self) -> bool:
        """As far as bluetoothd said. Whether a packet leaves the antenna, only another receiver knows."""
        return self._registered is not None and self._bluez is not None and self._bluez.connection.connected

    async def replace(self, adapter: Adapter, advertisement: Advertisement) -> None:
        """Silence what was there and register anew, which draws a new address. BluezError when refused: then nothing
        is on the air, or what was before, if not even that could be silenced. On an adapter without extended
        advertising nothing may scan meanwhile. BusError when there is no bus."""
        await self.withdraw()
        if self._bluez is None or not self._bluez.connection.connected:
            await self.close()
            self._bluez = Bluez(await self._open.enter_async_context(connected(self._bus)))
        path = next(self._paths)
        broadcast = _Broadcast(advertisement, lambda: self._released(path))
        self._bluez.connection.export(path, broadcast)
        self._registered = (adapter.path, path)
        try:
            await self._bluez.call(adapter.path, ADVERTISING, "RegisterAdvertisement", "oa{sv}", [path, {}])
        except BaseException:
            # Registered or not: bluetoothd may have been asked and not have answered yet.
            await self.close()
            raise

    async def close(self) -> None:
        """Silence, whatever bluetoothd thinks: it drops what a connection had registered as soon as it is closed."""
        self.forget()
        self._bluez = None
        await self._open.aclose()

    async def withdraw(self) -> None:
        """Silence. Also after bluetoothd or the adapter has gone, when there is nothing to silence."""
        if self._registered is None or self._bluez is None:
            return
        adapter_path, path = self._registered
        try:
            await self._bluez.call(adapter_path, ADVERTISING, "UnregisterAdvertisement", "o", [path])
        except BluezError as error:
            # Anything else leaves it on the air, perhaps: it must not be forgotten.
            if error.name not in _GONE:
                raise
        self.forget()

    def forget(self) -> None:
        """bluetoothd is new, or has told that it dropped us: nothing of ours is on the air."""
        if self._registered is not None and self._bluez is not None:
            self._bluez.connection.unexport(self._registered[1])
        self._registered = None

    def _released(self, path: str) -> None:
        if self._registered is not None and self._registered[1] == path:
            self.forget()
            self._on_release()
