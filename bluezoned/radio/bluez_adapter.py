"""The wished adapter, switched on, or what keeps it from being used and what to do about it."""

from __future__ import annotations

from bluezoned.errors import RadioError
from bluezoned.radio.bluez_bus import Adapter, Bluez, BluezError, block_of


class Trouble(RadioError):
    """Why no adapter can be used now; passes by itself or by a hand."""


async def usable(bluez: Bluez, wish: str) -> Adapter:
    """The one that `wish` names: an address, a name or `auto`, the first one. It is switched on where that is allowed.
    Trouble says what is missing, BluezError that bluetoothd did not answer."""
    adapters = await bluez.adapters()
    fitting = [a for a in adapters if wish in ("auto", a.name, a.address)]
    if not fitting:
        raise Trouble("there is no Bluetooth adapter" if wish == "auto" else f"there is no adapter {wish}")
    adapter = fitting[0]
    if not adapter.powered:
        await _power_on(bluez, adapter)
        raise Trouble(f"{adapter.name} was off and is being switched on")
    if adapter.has_privacy:
        raise Trouble(
            f"{adapter.name} keeps its address while our identifiers change: set Privacy = off in "
            "/etc/bluetooth/main.conf and restart bluetooth"
        )
    return adapter


async def _power_on(bluez: Bluez, adapter: Adapter) -> None:
    match block_of(adapter):
        case "soft":
            raise Trouble(f"{adapter.name} is blocked: rfkill unblock bluetooth")
        case "hard":
            raise Trouble(f"{adapter.name} is blocked by a switch on the machine")
    try:
        await bluez.set_powered(adapter, True)
    except BluezError as error:
        raise Trouble(f"{adapter.name} cannot be switched on: {error}") from error
