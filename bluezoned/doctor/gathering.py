"""Looks at the machine: the bus, systemd, bluetoothd, the daemon, files. Waits for none of them for long."""

from __future__ import annotations

import asyncio
import grp
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbus_next.constants import MessageType
from dbus_next.message import Message

from bluezoned import assembly, board, hardware
from bluezoned.bus import BusError, connected
from bluezoned.clock import SystemClock
from bluezoned.config import Config
from bluezoned.control import proxy
from bluezoned.control.report import StatusReport
from bluezoned.doctor import diagnosis
from bluezoned.doctor.facts import Facts, Unit
from bluezoned.errors import BluezonedError, ConfigError
from bluezoned.radio import bluez_checkup
from bluezoned.radio.bluez_checkup import Checkup
from bluezoned.tracing import store

ANSWER_S = 5.0
"""Seconds for one question. What takes longer is stuck, and a person waits."""

GROUP = "bluezoned"

_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_PROPERTIES = "org.freedesktop.DBus.Properties"


async def gather(config: Config) -> Facts:
    """All there is to see. Never raises for what it does not find: that is a finding."""
    clock = SystemClock()
    bus_problem, units, synchronized, bluetooth = "", None, None, None
    try:
        async with connected("system") as connection:
            units = await _units(connection, config.beacon.instance)
            synchronized = await _synchronized(connection)
        bluetooth = await _bluetooth()
    except BusError as error:
        bus_problem = str(error)
    status, status_problem = await _status(config)
    wiring = hardware.wiring(config.alert)
    return Facts(
        config=config,
        now_s=clock.now() // 1000,
        is_root=os.geteuid() == 0,
        in_group=_in_group(),
        bus_problem=bus_problem,
        status=status,
        status_problem=status_problem,
        units=units,
        bluetooth=bluetooth,
        clock_is_believable=clock.is_synchronized(),
        clock_is_synchronized=synchronized,
        authority_problem=_authority_problem(config),
        free_bytes=_free(Path(config.beacon.state_dir)),
        store_flaw=_store_flaw(Path(config.beacon.state_dir) / "bluezoned.db"),
        gpio_is_wanted=bool(wiring.lights or wiring.buzzer or wiring.buttons),
        gpio_problem=_gpio_problem(),
        uncalibrated=board.uncalibrated(config, board.model()),
    )


async def _ask(connection: Any, *words: Any) -> list[Any] | None:
    """The answer of (destination, path, interface, member, signature, body); None when there is none."""
    destination, path, interface, member, signature, body = words
    message = Message(destination, path, interface, member, signature=signature, body=body)
    try:
        reply = await asyncio.wait_for(connection.call(message), ANSWER_S)
    except (TimeoutError, OSError, EOFError):
        return None
    if reply is None or reply.message_type is MessageType.ERROR:
        return None
    return list(reply.body)


async def _properties(connection: Any, destination: str, path: str, interface: str) -> dict[str, Any] | None:
    answer = await _ask(connection, destination, path, _PROPERTIES, "GetAll", "s", [interface])
    return None if answer is None else {name: variant.value for name, variant in answer[0].items()}


async def _units(connection: Any, instance: str) -> Mapping[str, Unit] | None:
    found = {}
    for name in diagnosis.unit_names(instance):
        answer = await _ask(connection, *_MANAGER, "LoadUnit", "s", [name])
        if answer is None:
            return None
        of_unit = await _properties(connection, _MANAGER[0], answer[0], "org.freedesktop.systemd1.Unit")
        of_service = await _properties(connection, _MANAGER[0], answer[0], "org.freedesktop.systemd1.Service")
        found[name] = _unit(of_unit or {}, of_service or {})
    return found


def _unit(of_unit: Mapping[str, Any], of_service: Mapping[str, Any]) -> Unit:
    return Unit(
        loaded=of_unit.get("LoadState") == "loaded",
        active=of_unit.get("ActiveState") in ("active", "reloading"),
        enabled=of_unit.get("UnitFileState") in ("enabled", "enabled-runtime"),
        exit_status=of_service.get("ExecMainStatus", 0),
        ended_s=of_service.get("ExecMainExitTimestamp", 0) // 1_000_000,
    )


async def _synchronized(connection: Any) -> bool | None:
    name = "org.freedesktop.timedate1"
    properties = await _properties(connection, name, "/org/freedesktop/timedate1", name)
    return None if properties is None else bool(properties.get("NTPSynchronized"))


async def _bluetooth() -> Checkup | None:
    try:
        return await asyncio.wait_for(bluez_checkup.check("system"), 3 * ANSWER_S)
    except TimeoutError:
        return Checkup(True, (), (), (), "bluetoothd does not answer")


async def _status(config: Config) -> tuple[StatusReport | None, str]:
    try:
        async with proxy.reached(config.control.bus, config.beacon.instance, ANSWER_S) as daemon:
            return await daemon.status(), ""
    except BluezonedError as error:
        return None, str(error)


def _in_group() -> bool | None:
    try:
        return grp.getgrnam(GROUP).gr_gid in {os.getegid(), *os.getgroups()}
    except KeyError:
        return None


def _authority_problem(config: Config) -> str:
    try:
        assembly.settings(config)
    except ConfigError as error:
        return str(error)
    return ""


def _free(place: Path) -> int | None:
    try:
        status = os.statvfs(place)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def _store_flaw(path: Path) -> str | None:
    try:
        path.stat()
        return store.flaw(path)
    except FileNotFoundError:
        return ""
    except PermissionError:
        return None


def _gpio_problem() -> str:
    """Whether the group that the daemon is in may use a chip: it is not asked itself, as lines have one user."""
    chips = sorted(Path("/dev").glob("gpiochip*"))
    if not chips:
        return "the machine has no GPIO lines (/dev/gpiochip*)"
    try:
        group = grp.getgrnam("gpio")
    except KeyError:
        return "there is no group gpio: sudo systemd-sysusers"
    if GROUP not in group.gr_mem:
        return "the daemon's user is not in the group gpio: sudo systemd-sysusers"
    if not any(chip.stat().st_gid == group.gr_gid and chip.stat().st_mode & 0o060 == 0o060 for chip in chips):
        return "the group gpio may not use /dev/gpiochip*: the udev rule was not applied"
    return ""
