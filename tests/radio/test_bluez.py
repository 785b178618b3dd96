"""The BlueZ radio where there is no BlueZ: a real private D-Bus without bluetoothd. What it does on the air is for a
machine with a Bluetooth stack."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bluezoned.advertisement import Advertisement
from bluezoned.bus import connected
from bluezoned.clock import SystemClock
from bluezoned.errors import ProtocolError
from bluezoned.radio.bluez import BluezRadio
from bluezoned.radio.bluez_advertiser import _Broadcast
from bluezoned.radio.bluez_bus import ANSWER_S, Adapter, Bluez, BluezError, block_of, full_uuid

ADAPTER = Adapter("hci0", "AA:00:00:00:00:01", False, True, False, False, True)
ADVERTISEMENT = Advertisement(frozenset((0x4E56,)), {0x4E56: b"\1\2\3\4"}, {0x22B5: bytes(12)})


@contextmanager
def private_bus() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Its daemon and its address."""
    command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        yield daemon, daemon.stdout.readline().strip()
        daemon.terminate()


@pytest.fixture
def bus() -> Iterator[str]:
    with private_bus() as (_, address):
        yield address


async def problem_of(radio: BluezRadio, part: str) -> str:
    async with asyncio.timeout(30):
        while part not in radio.health().problem:
            await asyncio.sleep(0.02)
    return radio.health().problem


async def test_without_bluetoothd_it_says_so_and_what_to_do(bus: str) -> None:
    async with BluezRadio("auto", {0x4E56}, SystemClock(), bus=bus) as radio:
        await radio.advertise(ADVERTISEMENT)
        assert "systemctl start bluetooth" in await problem_of(radio, "bluetoothd is not running")
        health = radio.health()
        assert (health.hearing, health.advertising) == (False, False)
    assert radio.health().problem == "the radio is off"


async def test_without_a_bus_it_says_so(tmp_path: Path) -> None:
    async with BluezRadio("auto", {0x4E56}, SystemClock(), bus=f"unix:path={tmp_path}/none") as radio:
        await problem_of(radio, "cannot reach the D-Bus")
        assert not radio.health().hearing


async def test_a_radio_that_was_well_and_is_not_always_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def be_well(radio: BluezRadio, session: object) -> float:
        radio._adapter, radio._problem = ADAPTER, ""
        return 60

    monkeypatch.setattr(BluezRadio, "_look", be_well)
    with private_bus() as (daemon, address):
        async with BluezRadio("auto", {0x4E56}, SystemClock(), bus=address) as radio, asyncio.timeout(30):
            while not radio.health().hearing:
                await asyncio.sleep(0)
            daemon.kill()
            while radio.health().hearing:
                await asyncio.sleep(0)
            while "cannot reach the D-Bus" not in radio.health().problem:
                assert radio.health().problem
                await asyncio.sleep(0)


async def test_it_may_be_entered_again(bus: str) -> None:
    radio = BluezRadio("auto", {0x4E56}, SystemClock(), bus=bus)
    for _ in range(2):
        async with radio:
            await problem_of(radio, "bluetoothd")


async def test_what_fits_no_packet_is_refused_at_once(bus: str) -> None:
    async with BluezRadio("auto", {0x4E56}, SystemClock(), bus=bus) as radio:
        with pytest.raises(ProtocolError):
            await radio.advertise(Advertisement(frozenset((1,)), {1: bytes(30)}, {}))


async def test_a_failing_supervisor_fails_the_listener(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(radio: BluezRadio, session: object) -> float:
        raise RuntimeError("a flaw")

    monkeypatch.setattr(BluezRadio, "_look", fail)
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="a flaw"):
            await _listen(BluezRadio("auto", {0x4E56}, SystemClock(), bus=bus))


async def _listen(radio: BluezRadio) -> None:
    async with radio:
        async for _ in radio:
            pass


async def test_a_lost_bus_is_noticed_before_the_answer_is_overdue() -> None:
    with private_bus() as (daemon, address):
        async with connected(address) as connection:
            silent = Bluez(connection)
            # Nobody answers: the one who is asked is we, and we have no such object.
            asking = asyncio.create_task(silent._call(connection.unique_name, "/", "org.bluez.Silent", "Ask", "", []))
            await asyncio.sleep(0)
            daemon.kill()
            async with asyncio.timeout(ANSWER_S / 2):
                with pytest.raises(BluezError, match="D-Bus was lost"):
                    await asking
                with pytest.raises(BluezError, match="D-Bus was lost"):
                    await silent.owner()


def test_bluetoothd_reads_a_broadcast_with_the_right_types() -> None:
    broadcast = _Broadcast(ADVERTISEMENT, lambda: None)
    node = broadcast.introspect()
    signatures = {prop.name: (prop.signature, prop.access.value) for prop in node.properties}
    assert signatures == {
        "Type": ("s", "read"),
        "ServiceUUIDs": ("as", "read"),
        "ManufacturerData": ("a{qv}", "read"),
        "ServiceData": ("a{sv}", "read"),
        "Includes": ("as", "read"),
        "MinInterval": ("u", "read"),
        "MaxInterval": ("u", "read"),
        "TxPower": ("n", "write"),
    }


def test_short_uuids_are_spelled_out() -> None:
    assert full_uuid(0xFD6F) == "0000fd6f-0000-1000-8000-00805f9b34fb"


@pytest.mark.parametrize(("soft", "hard", "block"), [("0", "0", ""), ("1", "0", "soft"), ("1", "1", "hard")])
def test_a_block_is_found_by_the_adapter_s_name(tmp_path: Path, soft: str, hard: str, block: str) -> None:
    for number, (name, is_soft, is_hard) in enumerate((("hci1", "1", "1"), ("hci0", soft, hard))):
        switch = tmp_path / f"rfkill{number}"
        switch.mkdir()
        for file, text in (("name", name), ("soft", is_soft), ("hard", is_hard)):
            (switch / file).write_text(f"{text}\n")
    assert block_of(ADAPTER, tmp_path) == block
    assert block_of(ADAPTER, tmp_path / "none") == ""
