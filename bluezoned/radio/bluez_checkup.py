"""bluetoothd and its adapters as they are now, asked once by a person who wonders; changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bluezoned.bus import connected
from bluezoned.radio.bluez_bus import Adapter, Bluez, BluezError, block_of


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found."""

    is_running: bool
    """bluetoothd stands on the bus."""
    version: tuple[int, ...]
    """Of BlueZ, such as (5, 82); empty where it is not installed."""
    adapters: tuple[Adapter, ...]
    blocks: tuple[tuple[str, str], ...]
    """Adapters that rfkill blocks, each with `soft` or `hard`."""
    problem: str
    """Why bluetoothd did not answer, for people; empty when it did."""


async def check(bus: str) -> Checkup:
    """BusError when there is no bus."""
    version = await _version()
    async with connected(bus) as connection:
        bluez = Bluez(connection)
        try:
            if not await bluez.owner():
                return Checkup(False, version, (), (), "")
            adapters = await bluez.adapters()
        except BluezError as error:
            return Checkup(True, version, (), (), str(error))
        blocks = tuple((a.name, block) for a in adapters if (block := block_of(a)))
        return Checkup(True, version, tuple(adapters), blocks, "")


async def _version() -> tuple[int, ...]:
    """bluetoothd tells its version to nobody; bluetoothctl comes from the same package."""
    try:
        asked = await asyncio.create_subprocess_exec(
            "bluetoothctl", "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return ()
    output, _ = await asked.communicate()
    number = output.decode("ascii", "replace").rpartition(" ")[2].strip()
    return tuple(int(part) for part in number.split(".") if part.isdecimal())
