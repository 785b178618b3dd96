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


class _Connection(MessageBus):
    """dbus-next 0.2.3 reads a closed socket for ever, without a pause, when the bus dies during the greeting."""

    async def _auth_readline(self) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            # One byte at a time: what follows the greeting is not ours to take.
            byte = await asyncio.get_running_loop().sock_recv(self._sock, 1)
            if not byte:
                raise EOFError("the bus hung up")
            line += byte
        return line[:-2].decode("ascii", "replace")

    def _finalize(self, err: Exception | None = None) -> None:
        super()._finalize(err)  # type: ignore[no-untyped-call]
        if not self._disconnect_future.cancelled():
            # Looked at, or asyncio would log it with a traceback where nobody waits for the end.
            self._disconnect_future.exception()


@contextlib.asynccontextmanager
async def connected(bus: str) -> AsyncIterator[Any]:
    """A connection of our own. `bus` is `system`, `session` or an address, as in control.bus. BusError when there is
    none. Any: dbus-next's connection, half of whose methods carry no types."""
    try:
        connection = _connection(bus)
    except (OSError, InvalidAddressError, KeyError) as error:
        raise _absent(bus) from error
    try:
        try:
            await asyncio.wait_for(connection.connect(), CONNECT_S)
        except (OSError, AuthError, ValueError, EOFError) as error:
            raise _absent(bus) from error
        yield connection
    finally:
        _close(connection)


def lost(connection: Any) -> asyncio.Future[None]:
    """Done when the bus is gone. Nothing that a dead connection is asked comes back, not even an error, so whoever
    waits for an answer waits for this too. Not to be cancelled: everybody has the same."""
    future: asyncio.Future[None] = connection._disconnect_future
    return future


def _connection(bus: str) -> Any:
    if bus == "system":
        return _Connection(bus_type=BusType.SYSTEM)
    if bus == "session":
        return _Connection(bus_type=BusType.SESSION)
    return _Connection(bus_address=bus)


def _absent(bus: str) -> BusError:
    return BusError(f"cannot reach the D-Bus ({bus}): is dbus-daemon running?")


def _close(connection: Any) -> None:
    """At any stage, also after the bus was lost. dbus-next 0.2.3 has no such thing: its disconnect() leaves the
    readers to the loop and the socket to the garbage collector, hence the reach inside (pinned below 0.3)."""
    connection._user_disconnect = True
    connection._finalize()
    with contextlib.suppress(OSError):
        connection._stream.close()
    connection._sock.close()
