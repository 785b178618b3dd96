"""Each fault of the stack below us: told while it lasts, over without a hand soon after its cause ends.

The bound is 30 s, for adapters with and without extended advertising at once. What is asserted is the air's log and
what the radios truly hear; beside each a box runs under systemd, whose bus, light and journal must tell the truth.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from bluezoned.bus import connected
from bluezoned.radio.bluez_bus import ADVERTISING, Bluez, BluezError
from tests.system import boxes
from tests.system.boxes import Box
from tests.system.conftest import EXTENDED, LEGACY, TREE, eventually, run, without_bluetoothd
from tests.system.connectable import ConnectableAdvertisement
from tests.system.medium.client import Air
from tests.system.radio_at_work import AtWork, at_work, numbered

SOON_S = 30.0
SCAN = ("StartDiscovery",)
Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Stand:
    """Both kinds of adapter at once: on the first of each a radio that sends number 1 and hears a phone, on the second
    a box under systemd. Without an authority a box's light says so when nothing else is wrong."""

    air: Air
    works: list[AtWork]
    boxes: list[Box]

    @property
    def controllers(self) -> list[int]:
        return [*(work.controller for work in self.works), *(box.controller for box in self.boxes)]

    @property
    def adapters(self) -> list[str]:
        return [self.air.adapter(controller) for controller in self.controllers]

    def order(self, do: str, name: str) -> None:
        """One order for each controller, by the name it has there. In the order in which the kernel first met them, so
        that each gets its old adapter's name when it is plugged in again."""
        for controller in sorted(self.controllers):
            self.air.order(do, **{name: controller})

    async def is_told(self, part: str, hearing: bool, advertising: bool, seconds: float = 30.0) -> None:
        """By each radio itself."""
        for work in self.works:
            health = work.radio.health
            await eventually(seconds, lambda: part in health().problem, health)
            assert (health().hearing, health().advertising) == (hearing, advertising)

    async def is_shown(self, since: float, light: str, problem: str) -> None:
        """By each box on the bus and with its light, which is set at its next tick; the journal keeps both."""
        for box in self.boxes:
            shown, lights = partial(box.get, "Indication", "Problems"), partial(box.lights, since)
            await eventually(SOON_S, lambda: _says(shown(), light, problem), shown)
            await eventually(SOON_S, lambda: light in lights(), lights)
            assert any(problem in entry["MESSAGE"] for entry in box.journal(since, "BLUEZONED_EVENT=radio-trouble"))

    async def recovers(self, record: Record) -> None:
        """All of it, soon."""
        begun = time.monotonic()
        taken = await asyncio.gather(*(work.proves_itself(1, SOON_S) for work in self.works))
        figures = {kind: round(seconds, 1) for kind, seconds in zip(("extended", "legacy"), taken, strict=True)}
        record("recovered_s", figures)
        print(f"recovered after {figures} s")
        for box in self.boxes:
            told, mark = partial(box.get, "Hearing", "Advertising", "Indication"), self.air.mark()
            left = max(10.0, begun + SOON_S - time.monotonic())
            await eventually(left, lambda: told() == [True, True, "KEYS_STALE"], told)
            await eventually(10, lambda: self.air.has_sent(mark, box.controller, "0fffb522"), told)


@pytest.fixture(scope="module")
def two_boxes(air: Air, installed: None) -> Iterator[list[Box]]:
    with ExitStack() as stack:
        yield [stack.enter_context(boxes.started(air, f"faults{at}", at)) for at in (EXTENDED[1], LEGACY[1])]


@pytest_asyncio.fixture
async def stand(air: Air, two_boxes: list[Box]) -> AsyncIterator[Stand]:
    async with AsyncExitStack() as stack:
        works = [await stack.enter_async_context(at_work(air, at)) for at in (EXTENDED[0], LEGACY[0])]
        for work in works:
            await work.radio.advertise(numbered(1))
        await asyncio.gather(*(work.proves_itself(1, 90) for work in works))
        yield Stand(air, works, two_boxes)


def _problem(work: AtWork) -> str:
    return work.radio.health().problem


def _says(shown: list[Any], light: str, problem: str) -> bool:
    """Whether light and problems are those."""
    return shown[:1] == [light] and any(problem in text for text in shown[1])


def set_powered(name: str, powered: bool) -> None:
    """Unless bluetoothd is busy: the box may be at the same."""
    run("busctl", "set-property", "org.bluez", f"/org/bluez/{name}", "org.bluez.Adapter1", "Powered", "b",
        "true" if powered else "false", check=False)  # fmt: skip


async def test_bluetoothd_killed(stand: Stand, record_property: Record) -> None:
    since = time.time()
    run("systemctl", "kill", "--signal=KILL", "bluetooth")
    await stand.recovers(record_property)
    for box in stand.boxes:
        assert any("bluetoothd is not running" in entry["MESSAGE"] for entry in box.journal(since))


async def test_bluetoothd_restarted(stand: Stand, record_property: Record) -> None:
    run("systemctl", "restart", "bluetooth")
    await stand.recovers(record_property)


async def test_bluetoothd_stopped(stand: Stand, record_property: Record) -> None:
    """As long as nobody may start it, the box says so; then it has it started."""
    since = time.time()
    with without_bluetoothd():
        await stand.is_told("bluetoothd is not running: systemctl start bluetooth", hearing=False, advertising=False)
        await stand.is_shown(since, "CANNOT_HEAR", "bluetoothd is not running: systemctl start bluetooth")
    await stand.recovers(record_property)


async def test_the_bus_restarted(stand: Stand, record_property: Record) -> None:
    """It is killed; its socket has it started at the next connection. bluetoothd ends with it, in good order."""
    run("systemctl", "kill", "--signal=KILL", "dbus")
    await stand.recovers(record_property)


async def test_unplugged_and_replugged(stand: Stand, record_property: Record) -> None:
    since = time.time()
    stand.order("unplug", "controller")
    await stand.is_told("there is no adapter", hearing=False, advertising=False)
    await stand.is_shown(since, "CANNOT_HEAR", "there is no adapter")
    stand.order("plug_in", "controller")
    await stand.recovers(record_property)


async def test_powered_off(stand: Stand, record_property: Record) -> None:
    for name in stand.adapters:
        set_powered(name, False)
    await stand.recovers(record_property)


async def test_powered_off_and_on_by_somebody(stand: Stand, record_property: Record) -> None:
    for name in stand.adapters:
        set_powered(name, False)
        set_powered(name, True)
    await stand.recovers(record_property)


async def test_blocked_by_rfkill(stand: Stand, record_property: Record) -> None:
    since = time.time()
    run("rfkill", "block", "bluetooth")
    await stand.is_told("is blocked: rfkill unblock bluetooth", hearing=False, advertising=False)
    await stand.is_shown(since, "CANNOT_HEAR", "is blocked: rfkill unblock bluetooth")
    run("rfkill", "unblock", "bluetooth")
    await stand.recovers(record_property)


async def test_another_program_scans(stand: Stand, record_property: Record) -> None:
    command = ["bluetoothctl", "--timeout", "20", "scan", "on"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        await asyncio.sleep(5)
        for work in stand.works:
            await work.radio.advertise(numbered(1))
        await asyncio.to_thread(other.wait)
    await stand.recovers(record_property)


async def test_the_scan_is_refused(stand: Stand, record_property: Record) -> None:
    """Another program makes the kernel search behind bluetoothd's back, again and again. A legacy controller that
    searches refuses a new random address too, so there it may be the advertisement that is told of."""
    command = [sys.executable, "-m", "tests.system.rival_search", *stand.adapters]
    with subprocess.Popen(command, cwd=TREE, stdout=subprocess.PIPE, text=True) as rival:
        try:
            assert rival.stdout is not None
            assert rival.stdout.readline() == "searching\n"
            run("systemctl", "restart", "bluetooth")
            for work, refused in zip(stand.works, (SCAN, (*SCAN, "RegisterAdvertisement")), strict=True):
                problem = partial(_problem, work)
                await eventually(90, lambda: any(word in problem() for word in refused), problem)
        finally:
            rival.kill()
    await stand.recovers(record_property)


async def test_the_registration_is_refused(stand: Stand, record_property: Record) -> None:
    """Another program has taken every advertising instance, ours too while we were silent."""
    async with AsyncExitStack() as stack:
        bluez = Bluez(await stack.enter_async_context(connected("system")))
        for work in stand.works:
            await work.radio.advertise(None)
        await asyncio.sleep(3)
        for work in stand.works:
            with pytest.raises(BluezError, match="RegisterAdvertisement"):
                await take_all(bluez, stand.air.adapter(work.controller))
            await work.radio.advertise(numbered(1))
            since = len(work.heard)
            health = work.radio.health
            await eventually(SOON_S, lambda: "RegisterAdvertisement" in health().problem, health)
            assert not health().advertising
            await eventually(SOON_S, lambda: work.hears_phone(since), health)
    await stand.recovers(record_property)


async def take_all(bluez: Bluez, adapter: str) -> None:
    """Every advertising instance. BluezError when there are no more. Connectable ones: a broadcast's random address
    cannot be set on a legacy controller that scans, which refuses the first with instances left."""
    for number in range(64):
        path = f"/taken/{adapter}/{number}"
        bluez.connection.export(path, ConnectableAdvertisement("180f", str(number)))
        await bluez.call(f"/org/bluez/{adapter}", ADVERTISING, "RegisterAdvertisement", "oa{sv}", [path, {}])


async def test_the_scan_is_dead_in_silence(stand: Stand, record_property: Record) -> None:
    since = time.time()
    stand.order("mute", "rx")
    await stand.is_told("deaf", hearing=False, advertising=True, seconds=200)
    await stand.is_shown(since, "CANNOT_HEAR", "deaf")
    stand.order("unmute", "rx")
    await stand.recovers(record_property)
