"""Who reaches org.bluezoned.Daemon1, how often, and what a caller is told when it is not to be reached."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbus_next.constants import MessageType
from dbus_next.message import Message

from bluezoned.bus import BusError, connected
from bluezoned.control import names
from bluezoned.control.interface import DaemonInterface, offered
from bluezoned.control.names import ErrorName
from bluezoned.control.proxy import DaemonNotRunning, DaemonProxy, DaemonRefused, DaemonTooSlow, NotAllowed, reached
from tests.control.daemon_double import ALERTED, WELL, Box, StartBus, both


async def test_a_verb_is_refused_when_it_comes_too_often(bus: str, box: Box) -> None:
    async with both(bus, box) as (_, daemon):
        await daemon.consent("12345678")
        with pytest.raises(DaemonRefused) as caught:
            await daemon.consent("12345678")

    assert caught.value.name == ErrorName.TOO_OFTEN
    assert box.verbs == ["consent 12345678"]


async def test_a_burst_of_changes_is_two_signals(bus: str, box: Box) -> None:
    heard: list[dict[str, Any]] = []
    last = asyncio.Event()

    def hear(message: Any) -> None:
        if message.member == "PropertiesChanged":
            heard.append({name: variant.value for name, variant in message.body[1].items()})
            if heard[-1].get("Nearby") == 5000:
                last.set()

    async with connected(bus) as server, connected(bus) as client:
        interface = DaemonInterface(box, signal_gap_s=0.05)
        server.export(names.PATH, interface)
        rule = f"type='signal',sender='{server.unique_name}'"
        driver = "org.freedesktop.DBus"
        await client.call(Message(driver, "/org/freedesktop/DBus", driver, "AddMatch", signature="s", body=[rule]))
        client.add_message_handler(hear)

        for nearby in range(1, 5001):
            box.shown = replace(box.shown, nearby=nearby)
            interface.changed()
        await asyncio.wait_for(last.wait(), 10)
        interface.close()

    assert heard == [{"Nearby": 1}, {"Nearby": 5000}]


async def test_watch_tells_changes_until_the_daemon_ends(bus: str, box: Box) -> None:
    async with reached(bus, "") as daemon:
        async with offered(bus, "", box) as offer:
            watching = daemon.watch()
            assert await anext(watching) == WELL

            box.shown = ALERTED
            offer.changed()

            assert await anext(watching) == ALERTED
        with pytest.raises(DaemonNotRunning):
            await anext(watching)


async def test_a_daemon_that_is_not_there_is_told_as_such(bus: str) -> None:
    async with reached(bus, "") as daemon:
        with pytest.raises(DaemonNotRunning, match="bluezoned is not running"):
            await daemon.status()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_bus_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="cannot reach the D-Bus"):
        async with reached(f"unix:path={tmp_path}/absent", ""):
            pass
    gc.collect()


@pytest.mark.parametrize("greeting", [b"", b"REJ", b"REJECTED\r\n", b"\xff\xff\r\n"])
async def test_a_bus_that_does_not_greet_is_told_as_such(greeting: bytes, tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(greeting)
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "bus")
    async with server:
        with pytest.raises(BusError, match="cannot reach the D-Bus"):
            async with reached(f"unix:path={tmp_path}/bus", ""):
                pass


async def test_a_daemon_that_hangs_is_told_as_such(bus: str) -> None:
    async with connected(bus) as server, connected(bus) as client:
        await server.request_name(names.BUS_NAME)
        server.add_message_handler(lambda message: message.message_type is MessageType.METHOD_CALL)

        with pytest.raises(DaemonTooSlow):
            await DaemonProxy(client, "", answer_s=0.05).status()


async def test_another_version_is_told_as_such(bus: str, box: Box) -> None:
    class OlderInterface(DaemonInterface):
        Problems = None

    async with connected(bus) as server, reached(bus, "") as daemon:
        server.export(names.PATH, OlderInterface(box))
        await server.request_name(names.BUS_NAME)

        with pytest.raises(BusError, match="of one version"):
            await daemon.status()


async def test_instances_share_a_machine(bus: str) -> None:
    first, second = Box(), Box(shown=ALERTED)

    async with both(bus, first, "") as (_, one), both(bus, second, "b") as (_, other):
        assert await one.status() == WELL
        assert await other.status() == ALERTED

        with pytest.raises(BusError, match=r"another daemon is org\.bluezoned\.b already"):
            async with offered(bus, "b", first):
                pass


async def test_the_policy_of_the_bus_is_obeyed(start_bus: StartBus, box: Box) -> None:
    address, _ = start_bus(f'<deny send_interface="{names.INTERFACE}" send_member="Consent"/>')

    async with both(address, box) as (_, daemon):
        with pytest.raises(NotAllowed):
            await daemon.consent("12345678")
        assert await daemon.status() == WELL

    assert box.verbs == []


async def test_a_name_that_the_policy_withholds_is_told_as_such(start_bus: StartBus, box: Box) -> None:
    address, _ = start_bus(f'<deny own="{names.BUS_NAME}"/>')

    with pytest.raises(BusError, match="is the policy installed"):
        async with offered(address, "", box):
            pass


async def test_the_daemon_outlives_its_bus(start_bus: StartBus, box: Box) -> None:
    address, process = start_bus("")

    async with both(address, box) as (offer, daemon):
        process.kill()
        await asyncio.wait_for(offer.lost(), 10)
        box.shown = ALERTED
        offer.changed()

        with pytest.raises(BusError, match="was lost"):
            await daemon.status()
