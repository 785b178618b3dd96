"""Calls to bluetoothd and news from it, over a D-Bus connection of our own.

The only room, with its siblings radio/bluez_*, that says org.bluez.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbus_next.constants import MessageFlag, MessageType
from dbus_next.introspection import Node
from dbus_next.message import Message
from dbus_next.signature import Variant

from bluezoned import bus
from bluezoned.errors import RadioError

SERVICE = "org.bluez"
ROOT = "/org/bluez"
ADAPTER = "org.bluez.Adapter1"
ADVERTISING = "org.bluez.LEAdvertisingManager1"
MONITORING = "org.bluez.AdvertisementMonitorManager1"

_BUS = "org.freedesktop.DBus"
_PROPERTIES = "org.freedesktop.DBus.Properties"

ANSWER_S = 15.0
"""Seconds. Power cycles and registrations on a slow controller take up to two; what takes longer is stuck."""

BUS_LOST = "the D-Bus was lost"

BASE_UUID = "-0000-1000-8000-00805f9b34fb"
"""What a 16-bit UUID is short for (Core 5.4, vol 3, part B, 2.5.1), after `0000xxxx`."""


class BluezError(RadioError):
    """bluetoothd refused, or did not answer."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name
        """The D-Bus error, such as `org.bluez.Error.InProgress`; empty when there was no answer."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One Bluetooth adapter, as bluetoothd described it at some instant."""

    name: str
    """`hci0`. Swaps across boots."""
    address: str
    """Our own, as on the label of the dongle; never one of those that we heard."""
    powered: bool
    has_monitors: bool
    """Whether it can be told to let repeated packets through: bluetoothd runs with --experimental."""
    discovering: bool
    """Whether it scans for anybody, as bluetoothd believes."""
    has_privacy: bool
    """Whether the kernel chooses its address by itself (`Privacy` in main.conf)."""
    is_extended: bool
    """Whether its advertising can change while it scans: the controller has LE extended advertising."""

    @property
    def path(self) -> str:
        """On the bus."""
        return f"{ROOT}/{self.name}"


def block_of(adapter: Adapter, rfkill: Path = Path("/sys/class/rfkill")) -> str:
    """`soft` when a program has blocked the adapter, `hard` when a switch has, else empty. bluetoothd says only that it
    failed."""
    for switch in rfkill.glob("rfkill*"):
        # A switch may go while we look.
        with suppress(OSError):
            if (switch / "name").read_text().strip() == adapter.name:
                for kind in ("hard", "soft"):
                    if (switch / kind).read_text().strip() == "1":
                        return kind
    return ""


def full_uuid(uuid: int) -> str:
    """The 128-bit text form of a 16-bit UUID, in the lower case that bluetoothd speaks."""
    return f"0000{uuid:04x}{BASE_UUID}"


class Bluez:
    """bluetoothd, through one connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", body: Sequence[Any] = ()
    ) -> list[Any]:
        """The reply's values. BluezError when refused or unanswered."""
        return await self._call(SERVICE, path, interface, member, signature, body)

    async def _call(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: Sequence[Any]
    ) -> list[Any]:
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            # An absent bluetoothd would be started by the bus, or waited for: 20 s in which nothing else is done.
            flags=MessageFlag.NO_AUTOSTART,
        )
        who = "bluetoothd" if destination == SERVICE else destination
        reply = await self._answer(message, f"{who} does not answer {member}")
        if reply.message_type is MessageType.ERROR:
            name, text = reply.error_name, str(reply.body[0]) if reply.body else ""
            raise BluezError(name, f"{who} refused {member}: {text or name.rpartition('.')[2]}")
        return list(reply.body)

    async def _answer(self, message: Message, if_none: str) -> Message:
        end = bus.lost(self.connection)
        if end.done():
            raise BluezError("", BUS_LOST)
        calling = asyncio.ensure_future(self.connection.call(message))
        try:
            await asyncio.wait((calling, end), timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                answer: Message = calling.result()
                return answer
            raise BluezError("", BUS_LOST if end.done() else if_none)
        except (OSError, EOFError) as error:
            raise BluezError("", BUS_LOST) from error
        finally:
            calling.cancel()

    async def get(self, path: str, interface: str) -> dict[str, Any]:
        """Every property of one interface, without variants."""
        (properties,) = await self.call(path, _PROPERTIES, "GetAll", "s", [interface])
        return {name: variant.value for name, variant in properties.items()}

    async def set_powered(self, adapter: Adapter, powered: bool) -> None:
        """Returns when it is so. BluezError otherwise, for instance while rfkill blocks it."""
        await self.call(adapter.path, _PROPERTIES, "Set", "ssv", [ADAPTER, "Powered", Variant("b", powered)])

    async def owner(self) -> str:
        """bluetoothd's name on the bus, another after each of its starts; empty when it is not there."""
        try:
            (name,) = await self._call(_BUS, "/org/freedesktop/DBus", _BUS, "GetNameOwner", "s", [SERVICE])
        except BluezError as error:
            if error.name == "org.freedesktop.DBus.Error.NameHasNoOwner":
                return ""
            raise
        return str(name)

    async def start(self) -> None:
        """Have the bus start bluetoothd. BluezError when it is not to be started so: disabled, masked or not there."""
        await self._call(_BUS, "/org/freedesktop/DBus", _BUS, "StartServiceByName", "su", [SERVICE, 0])

    async def adapters(self) -> list[Adapter]:
        """In the order of their names. BluezError when bluetoothd is not there."""
        # By introspection: ObjectManager would send every stranger's device along.
        introspection = await self._introspect(ROOT)
        names = [node.name for node in introspection.nodes if node.name.startswith("hci")]
        found = []
        for name in sorted(names, key=lambda name: (len(name), name)):
            described = await self._introspect(f"{ROOT}/{name}")
            interfaces = {interface.name for interface in described.interfaces}
            # Between the appearance of the object and that of its advertising manager, it is not ready.
            if {ADAPTER, ADVERTISING} <= interfaces:
                adapter = await self.get(f"{ROOT}/{name}", ADAPTER)
                advertising = await self.get(f"{ROOT}/{name}", ADVERTISING)
                found.append(
                    Adapter(
                        name=name,
                        address=adapter["Address"],
                        powered=adapter["Powered"],
                        discovering=adapter["Discovering"],
                        has_privacy=adapter.get("AddressType", "public") == "random",
                        has_monitors=MONITORING in interfaces,
                        # Offered only by controllers with extended advertising.
                        is_extended=bool(advertising.get("SupportedSecondaryChannels")),
                    )
                )
        return found

    async def _introspect(self, path: str) -> Any:
        (xml,) = await self.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")
        return Node.parse(xml)

    async def watch(self, on_news: Callable[[bool], None]) -> None:
        """Call `on_news` whenever bluetoothd comes or goes or an adapter's state changes; with True when an adapter was
        switched off, however shortly, which ends what ran on it. Nothing of what adapters hear comes this way."""
        rules = (
            f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{SERVICE}'",
            f"type='signal',sender='{SERVICE}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{ADAPTER}'",
        )

        def hear(message: Any) -> None:
            if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
                on_news(True)
            elif message.message_type is MessageType.SIGNAL and message.member == "PropertiesChanged":
                powered = message.body[1].get("Powered")
                on_news(powered is not None and not powered.value)

        self.connection.add_message_handler(hear)
        for rule in rules:
            await self._call(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", [rule])

    async def request_reset(self, adapter: Adapter) -> None:
        """Ask systemd for the reset that we have no right to do ourselves. BluezError when it is not allowed."""
        await self._call(
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
            "StartUnit",
            "ss",
            [f"bluezoned-bt-reset@{adapter.name}.service", "replace"],
        )
