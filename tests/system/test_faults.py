"""Each fault of the stack below us: told while it lasts, over without a hand soon after its cause ends.

The bound is 30 s. What is asserted is the air's log and what the radio truly hears; beside that radio a box runs under
systemd on another adapter of the same kind, and its bus and journal must tell the truth meanwhile.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from bluezoned.bus import connected
from bluezoned.radio.bluez_advertiser import _Broadcast
from bluezoned.radio.bluez_bus import ADVERTISING, Bluez, BluezError
from tests.system import boxes
from tests.system.boxes import Box
from tests.system.conftest import EXTENDED, LEGACY, eventually, run
from tests.system.medium.client import Air
from tests.system.radio_at_work import AtWork, at_work, numbered

SOON_S = 30.0
Record = Callable[[str, object], None]


@pytest.fixture(scope="module", params=[EXTENDED, LEGACY], ids=["extended", "legacy"])
def box(air: Air, installed: None, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A box on the second adapter of its kind. Without an authority its light says so when nothing else is wrong."""
    with boxes.started(air, f"faults{request.param[1]}", request.param[1]) as box:
        yield box


@pytest_asyncio.fixture
async def work(air: Air, box: Box, patience: float) -> AsyncIterator[AtWork]:
    """A radio that sends number 1 and hears a phone, on the first."""
    async with at_work(air, box.controller - 1) as work:
        work.soon_s = SOON_S * patience
        await work.radio.advertise(numbered(1))
        await work.proves_itself(1, 90)
        yield work


async def recovers(work: AtWork, record: Record, *also: Box) -> None:
    begun = time.monotonic()
    seconds = await work.proves_itself(1, work.soon_s)
    record("recovered_s", round(seconds, 1))
    print(f"recovered after {seconds:.1f} s")
    for box in also:
        mark = work.air.mark()

        def is_back(box: Box = box, mark: int = mark) -> bool:
            told = box.get("Hearing", "Advertising", "Indication")
            return told == [True, True, "KEYS_STALE"] and bool(work.air.since(mark, box.controller))

        left = begun + work.soon_s + seconds - time.monotonic()
        await eventually(left, is_back, lambda box=box: box.get("Hearing", "Advertising", "Indication", "Problems"))


async def tells(box: Box, since: float, light: str, problem: str) -> None:
    """The box's bus and light say so; the journal has kept both."""
    await eventually(SOON_S, lambda: box.get("Indication") == [light], lambda: box.get("Indication", "Problems"))
    (problems,) = box.get("Problems")
    assert any(problem in text for text in problems), problems
    assert light in box.lights(since)
    assert any(problem in entry["MESSAGE"] for entry in box.journal(since, "BLUEZONED_EVENT=radio-trouble"))


def adapters(work: AtWork, box: Box) -> list[str]:
    return [work.air.adapter(controller) for controller in (work.controller, box.controller)]


def set_powered(name: str, powered: bool) -> None:
    run("busctl", "set-property", "org.bluez", f"/org/bluez/{name}", "org.bluez.Adapter1", "Powered", "b",
        "true" if powered else "false")  # fmt: skip


async def test_bluetoothd_killed(work: AtWork, box: Box, record_property: Record) -> None:
    since = time.time()
    run("systemctl", "kill", "--signal=KILL", "bluetooth")
    await recovers(work, record_property, box)
    assert any("bluetoothd is not running" in entry["MESSAGE"] for entry in box.journal(since))


async def test_bluetoothd_restarted(work: AtWork, box: Box, record_property: Record) -> None:
    run("systemctl", "restart", "bluetooth")
    await recovers(work, record_property, box)


async def test_bluetoothd_stopped(work: AtWork, box: Box, record_property: Record) -> None:
    """As long as nobody may start it, the box says so; then it has it started."""
    since = time.time()
    run("systemctl", "mask", "--runtime", "--now", "bluetooth")
    try:
        await eventually(SOON_S, lambda: "systemctl start bluetooth" in work.radio.health().problem, work.radio.health)
        health = work.radio.health()
        assert (health.hearing, health.advertising) == (False, False)
        await tells(box, since, "CANNOT_HEAR", "bluetoothd is not running: systemctl start bluetooth")
    finally:
        run("systemctl", "unmask", "--runtime", "bluetooth")
    await recovers(work, record_property, box)


async def test_the_bus_restarted(work: AtWork, box: Box, record_property: Record) -> None:
    run("systemctl", "kill", "--signal=KILL", "dbus")
    await recovers(work, record_property, box)


async def test_unplugged_and_replugged(work: AtWork, box: Box, record_property: Record) -> None:
    since = time.time()
    for controller in (work.controller, box.controller):
        work.air.order("unplug", controller=controller)
    await eventually(SOON_S, lambda: "no adapter" in work.radio.health().problem, work.radio.health)
    assert not work.radio.health().advertising
    await tells(box, since, "CANNOT_HEAR", "there is no adapter")
    for controller in (work.controller, box.controller):
        work.air.order("plug_in", controller=controller)
    await recovers(work, record_property, box)


async def test_powered_off(work: AtWork, box: Box, record_property: Record) -> None:
    for name in adapters(work, box):
        set_powered(name, False)
    await recovers(work, record_property, box)


async def test_powered_off_and_on_by_somebody(work: AtWork, box: Box, record_property: Record) -> None:
    for name in adapters(work, box):
        set_powered(name, False)
        set_powered(name, True)
    await recovers(work, record_property, box)


async def test_blocked_by_rfkill(work: AtWork, box: Box, record_property: Record) -> None:
    since = time.time()
    run("rfkill", "block", "bluetooth")
    await eventually(SOON_S, lambda: "rfkill unblock" in work.radio.health().problem, work.radio.health)
    health = work.radio.health()
    assert (health.hearing, health.advertising) == (False, False)
    await tells(box, since, "CANNOT_HEAR", "is blocked: rfkill unblock bluetooth")
    run("rfkill", "unblock", "bluetooth")
    await recovers(work, record_property, box)


async def test_another_program_scans(work: AtWork, record_property: Record) -> None:
    command = ["bluetoothctl", "--timeout", "20", "scan", "on"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        await asyncio.sleep(5)
        await work.radio.advertise(numbered(1))
        await asyncio.to_thread(other.wait)
    await recovers(work, record_property)


async def test_the_scan_is_refused(work: AtWork, record_property: Record) -> None:
    """Another program has made the kernel search behind bluetoothd's back, again and again."""
    name = work.air.adapter(work.controller)
    search = f"while :; do btmgmt --index {name.removeprefix('hci')} find -l; done"
    with subprocess.Popen(["script", "-qfc", f"bash -c '{search}'", "/dev/null"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, start_new_session=True) as other:  # fmt: skip
        await asyncio.sleep(2)
        run("systemctl", "restart", "bluetooth")
        try:
            await eventually(
                90, lambda: "bluetoothd refused StartDiscovery: InProgress" in work.radio.health().problem,
                work.radio.health,
            )  # fmt: skip
            assert not work.radio.health().hearing
        finally:
            other.kill()
    await recovers(work, record_property)


async def test_the_registration_is_refused(work: AtWork, record_property: Record) -> None:
    """Another program has taken every advertising instance of the controller, ours too while we were silent."""
    name = work.air.adapter(work.controller)
    async with AsyncExitStack() as stack:
        bluez = Bluez(await stack.enter_async_context(connected("system")))
        await work.radio.advertise(None)
        await asyncio.sleep(2)
        with pytest.raises(BluezError, match="Maximum advertisements"):
            await take_all(bluez, name)
        await work.radio.advertise(numbered(1))
        await eventually(SOON_S, lambda: "RegisterAdvertisement" in work.radio.health().problem, work.radio.health)
        assert not work.radio.health().advertising
    await recovers(work, record_property)


async def take_all(bluez: Bluez, adapter: str) -> None:
    """Every advertising instance. BluezError when there are no more."""
    for number in range(64):
        path = f"/taken{number}"
        bluez.connection.export(path, _Broadcast(numbered(900 + number), lambda: None))
        await bluez.call(f"/org/bluez/{adapter}", ADVERTISING, "RegisterAdvertisement", "oa{sv}", [path, {}])


@pytest.mark.timeout(400)
async def test_the_scan_is_dead_in_silence(work: AtWork, box: Box, record_property: Record) -> None:
    since = time.time()
    for controller in (work.controller, box.controller):
        work.air.order("mute", rx=controller)
    await eventually(200, lambda: not work.radio.health().hearing, work.radio.health)
    health = work.radio.health()
    assert "deaf" in health.problem
    assert health.advertising
    await tells(box, since, "CANNOT_HEAR", "deaf")
    for controller in (work.controller, box.controller):
        work.air.order("unmute", rx=controller)
    await recovers(work, record_property, box)
