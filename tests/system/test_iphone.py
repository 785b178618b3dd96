"""iPhones with the published app: their rolling id is read, from a real GATT server on another adapter."""

# No future annotations: dbus-next reads D-Bus signatures from them.

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bluez_peripheral.gatt.characteristic import CharacteristicFlags, characteristic  # type: ignore[import-untyped]
from bluez_peripheral.gatt.service import Service  # type: ignore[import-untyped]
from dbus_next.service import ServiceInterface

from bluezoned.bus import connected
from bluezoned.protocols import bluezone, bluezone_iphone, gaen
from bluezoned.radio.bluez_bus import ADAPTER, ADVERTISING, Bluez
from bluezoned.radio.bluez_reader import GAP, Iphones
from tests.system.conftest import EXTENDED, LEGACY, eventually, run
from tests.system.connectable import ConnectableAdvertisement
from tests.system.medium.client import Air
from tests.system.radio_at_work import AtWork, at_work, numbered

ROLLING_ID = bytes(range(200, 212))


class AppService(Service):  # type: ignore[misc]
    """The published app's, which counts how often it was read."""

    def __init__(self) -> None:
        super().__init__(bluezone_iphone.IPHONE_SERVICE, True)
        self.reads = 0

    @characteristic(bluezone_iphone.CHARACTERISTIC, CharacteristicFlags.READ)  # type: ignore[untyped-decorator]
    def rolling_id(self, options: object) -> bytes:
        self.reads += 1
        return ROLLING_ID


@asynccontextmanager
async def iphone(air: Air, controller: int) -> AsyncIterator[AppService]:
    """A phone on one controller; its advertisement ends with it."""
    service, path = AppService(), f"/org/bluez/{air.adapter(controller)}"
    async with connected("system") as bus:
        bluez = Bluez(bus)
        bus.export("/phone/advertisement", ConnectableAdvertisement(bluezone_iphone.IPHONE_SERVICE, "Bluezone"))
        # Its root, where bluetoothd asks for what is below.
        bus.export("/phone/app", ServiceInterface("phone.app"))
        service._export(bus, "/phone/app/service0")
        await bluez.call(path, "org.bluez.GattManager1", "RegisterApplication", "oa{sv}", ["/phone/app", {}])
        await bluez.call(path, ADVERTISING, "RegisterAdvertisement", "oa{sv}", ["/phone/advertisement", {}])
        yield service


@pytest.mark.parametrize(("box", "phone"), [(EXTENDED[0], EXTENDED[1]), (LEGACY[0], EXTENDED[1])],
                         ids=["extended", "legacy"])  # fmt: skip
async def test_its_rolling_id_is_read_once_and_heard_with_every_packet(air: Air, box: int, phone: int) -> None:
    air.set_rssi(phone, box, [-63])
    async with at_work(air, box, Iphones.READ) as work, iphone(air, phone) as app:
        await work.radio.advertise(numbered(1))
        await eventually(120, lambda: len(heard(work)) >= 5, lambda: (work.radio.health(), app.reads))
        assert set(heard(work)) == {-63}
        # Had its packets been kept waiting while it was read, it would be read again after the gap.
        await asyncio.sleep(GAP / 1000 + 2)
        assert app.reads == 1
        await work.radio.advertise(numbered(2))
        since = len(heard(work))
        await eventually(60, lambda: len(heard(work)) >= since + 5, lambda: (work.radio.health(), app.reads))
        assert app.reads == 1
    # At once as a rule. A removal that met the end of the connection was seen to leave the services on the disk until
    # bluetoothd forgot the phone, 30 s after it had heard it last.
    await eventually(45, lambda: not remembered(air.adapter(box)), lambda: remembered(air.adapter(box)))


async def test_it_is_left_alone_by_default(air: Air) -> None:
    async with at_work(air, EXTENDED[0]) as work, iphone(air, EXTENDED[1]) as app:
        await work.radio.advertise(numbered(1))
        await work.proves_itself(1, 90)
        await asyncio.sleep(5)
        assert heard(work) == []
        assert app.reads == 0


def heard(work: AtWork) -> list[int]:
    """dBm of what was heard as an Android phone's packet with the phone's id."""
    return [
        r.rssi
        for r in work.heard
        if r.advertisement.manufacturer_data.get(bluezone.COMPANY) == ROLLING_ID
        and bluezone.SERVICE in r.advertisement.service_uuids
        and gaen.SERVICE not in r.advertisement.service_data
    ]


def remembered(adapter: str) -> set[str]:
    """Addresses whose services bluetoothd keeps on the disk for that adapter."""
    command = ("busctl", "--json=short", "get-property", "org.bluez", f"/org/bluez/{adapter}", ADAPTER, "Address")
    kept = Path("/var/lib/bluetooth") / json.loads(run(*command))["data"] / "cache"
    return {file.name for file in kept.glob("*") if "Attributes" in file.read_text()}
