"""A connection to the bus, opened and closed, with its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType
from dbus_next.errors import AuthError, InvalidAddressError

from bluezoned.errors import BluezonedError

CONNECT_S = 10
"""Seconds to greet the bus; it answers in milliseconds or not at all."""


class BusError(BluezonedError):
    """The bus itself is not there, refuses us or was lost."""


@contextlib.asynccontextmanager
async def connected(bus: str) -> AsyncIterator[Any]:
    """A connection of our own. `bus` is `system`, `session` or an address, as in control.bus. BusError when there is
    none. Any: dbus-next's connection, half of whose methods carry no types."""
    connection: Any
    try:
        if bus == "system":
            connection = MessageBus(bus_type=BusType.SYSTEM)
        elif bus == "session":
            connection = MessageBus(bus_type=BusType.SESSION)
        else:
            connection = MessageBus(bus_address=bus)
        await asyncio.wait_for(connection.connect(), CONNECT_S)
    except (OSError, AuthError, InvalidAddressError, KeyError, TimeoutError, EOFError) as error:
        raise BusError(f"cannot reach the D-Bus ({bus}): is dbus-daemon running?") from error
    try:
        yield connection
    finally:
        if connection.connected:
            connection.disconnect()
            with contextlib.suppress(Exception):
                # Only waits for the socket to close; the reason of a loss was told to who waited for it.
                await asyncio.wait_for(connection.wait_for_disconnect(), CONNECT_S)
