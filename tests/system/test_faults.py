"""Each fault of the stack below us: told while it lasts, over without a hand soon after its cause ends.

The bound is 30 s. What is asserted is the air's log and what the radio truly hears.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.system.conftest import EXTENDED, LEGACY, eventually, run
from tests.system.medium.client import Air
from tests.system.radio_at_work import AtWork, at_work, numbered

SOON_S = 30.0
Record = Callable[[str, object], None]


@pytest_asyncio.fixture(params=[EXTENDED[0], LEGACY[0]], ids=["extended", "legacy"])
async def work(air: Air, request: pytest.FixtureRequest) -> AsyncIterator[AtWork]:
    """A radio that sends number 1 and hears a phone."""
    async with at_work(air, request.param) as work:
        await work.radio.advertise(numbered(1))
        await work.proves_itself(1, 90)
        yield work


async def recovers(work: AtWork, record: Record) -> None:
    seconds = await work.proves_itself(1, SOON_S)
    record("recovered_s", round(seconds, 1))
    print(f"recovered after {seconds:.1f} s")


def adapter(work: AtWork) -> str:
    return work.air.adapter(work.controller)


def set_powered(name: str, powered: bool) -> None:
    run("busctl", "set-property", "org.bluez", f"/org/bluez/{name}", "org.bluez.Adapter1", "Powered", "b",
        "true" if powered else "false")  # fmt: skip


async def test_bluetoothd_killed(work: AtWork, record_property: Record) -> None:
    run("systemctl", "kill", "--signal=KILL", "bluetooth")
    run("systemctl", "start", "bluetooth")
    await recovers(work, record_property)


async def test_bluetoothd_restarted(work: AtWork, record_property: Record) -> None:
    run("systemctl", "restart", "bluetooth")
    await recovers(work, record_property)


async def test_bluetoothd_stopped_and_started(work: AtWork, record_property: Record) -> None:
    run("systemctl", "stop", "bluetooth")
    await eventually(SOON_S, lambda: "systemctl start bluetooth" in work.radio.health().problem, "the truth")
    health = work.radio.health()
    assert (health.hearing, health.advertising) == (False, False)
    run("systemctl", "start", "bluetooth")
    await recovers(work, record_property)


async def test_unplugged_and_replugged(work: AtWork, record_property: Record) -> None:
    work.air.order("unplug", controller=work.controller)
    await eventually(SOON_S, lambda: "no adapter" in work.radio.health().problem, "the truth")
    assert not work.radio.health().advertising
    work.air.order("plug_in", controller=work.controller)
    await recovers(work, record_property)


async def test_powered_off(work: AtWork, record_property: Record) -> None:
    set_powered(adapter(work), False)
    await recovers(work, record_property)


async def test_powered_off_and_on_by_somebody(work: AtWork, record_property: Record) -> None:
    set_powered(adapter(work), False)
    set_powered(adapter(work), True)
    await recovers(work, record_property)


async def test_blocked_by_rfkill(work: AtWork, record_property: Record) -> None:
    run("rfkill", "block", "bluetooth")
    await eventually(SOON_S, lambda: "rfkill unblock" in work.radio.health().problem, "the truth")
    health = work.radio.health()
    assert (health.hearing, health.advertising) == (False, False)
    run("rfkill", "unblock", "bluetooth")
    await recovers(work, record_property)


async def test_another_program_scans(work: AtWork, record_property: Record) -> None:
    command = ["bluetoothctl", "--timeout", "20", "scan", "on"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        await asyncio.sleep(5)
        await work.radio.advertise(numbered(1))
        await asyncio.to_thread(other.wait)
    await recovers(work, record_property)


@pytest.mark.timeout(400)
async def test_the_scan_is_dead_in_silence(work: AtWork, record_property: Record) -> None:
    work.air.order("mute", rx=work.controller)
    await eventually(200, lambda: not work.radio.health().hearing, "the doubt")
    health = work.radio.health()
    assert "deaf" in health.problem
    assert health.advertising
    work.air.order("unmute", rx=work.controller)
    await recovers(work, record_property)
