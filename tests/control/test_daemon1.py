"""org.bluezoned.Daemon1 between a daemon and its proxy, over a real dbus-daemon."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dbus_next.constants import MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

from bluezoned.bus import BusError, connected
from bluezoned.control import names, report
from bluezoned.control.interface import DaemonInterface, Offer, offered
from bluezoned.control.names import ErrorName
from bluezoned.control.proxy import DaemonNotRunning, DaemonProxy, DaemonRefused, DaemonTooSlow, NotAllowed, reached
from bluezoned.control.report import EncounterDay, ExposureDay, SelfTestReport, StatusReport
from bluezoned.errors import AuthorityError, BluezonedError, ProtocolError, StoreError
from bluezoned.tracing.calibration import LevelWindow
from tests.introspection import interfaces

StartBus = Callable[[str], tuple[str, "subprocess.Popen[str]"]]

WELL = StatusReport(
    version="0.1.0",
    protocol="bluezone",
    alert_level=None,
    own_tier=None,
    indication="ALL_WELL",
    sentence="All is well.",
    nearby=0,
    keys_updated_at=None,
    log_size=0,
    log_root="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    last_upload=None,
    last_upload_problem="",
    hearing=True,
    advertising=True,
    paused=False,
    acknowledged=False,
    recording=False,
    problems=(),
)
ALERTED = replace(
    WELL,
    alert_level="F1",
    own_tier="F2",
    indication="F1",
    nearby=3,
    keys_updated_at=1_790_000_000,
    log_size=7,
    log_root="ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    last_upload="refused",
    last_upload_problem="code-used",
    problems=("the disk is full", "News is old"),
)


@dataclass
class Box:
    """A daemon that says what it was told to say: the shell around it is what is tested."""

    shown: StatusReport = WELL
    wrong: Exception | None = None
    ill: BluezonedError | None = None
    verbs: list[str] = field(default_factory=list)

    def status(self) -> StatusReport:
        if self.ill is not None:
            raise self.ill
        return self.shown

    def encounters(self) -> list[EncounterDay]:
        self._act("encounters")
        return [EncounterDay(date(2026, 11, 23), 12, 340, 17), EncounterDay(date(2026, 11, 22), 1, 2, 0)]

    def exposures(self) -> list[ExposureDay]:
        self._act("exposures")
        return [ExposureDay(date(2026, 11, 20), "F1", "high", 21, 9, 34)]

    def consent(self, code: str, hours: tuple[int, int] | None = None) -> None:
        self._act(f"consent {code}" if hours is None else f"consent {code} from {hours[0]} to {hours[1]}")

    def calibrate(self) -> None:
        self._act("calibrate")

    def calibration(self) -> list[LevelWindow]:
        self._act("calibration")
        return [LevelWindow(7, -60.5, 2.25, -56, 1, 67.0), LevelWindow(1, -61.0, 0.0, -61, 0, 12.5)]

    def acknowledge(self) -> None:
        self.shown = replace(self.shown, acknowledged=True)
        self._act("acknowledge")

    def erase(self) -> None:
        self._act("erase")

    def erase_last(self, hours: int) -> None:
        self._act(f"erase last {hours}")

    def selftest(self) -> SelfTestReport:
        self._act("selftest")
        return SelfTestReport(1.5, ("LED on GPIO 17", "buzzer on GPIO 18"))

    def record(self, seconds: int) -> Path:
        self._act(f"record {seconds}")
        return Path("/var/lib/bluezoned/capture.jsonl")

    def end_recording(self) -> None:
        self._act("end recording")

    def pause(self) -> None:
        self.shown = replace(self.shown, paused=True)
        self._act("pause")

    def resume(self) -> None:
        self.shown = replace(self.shown, paused=False)
        self._act("resume")

    def _act(self, verb: str) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.verbs.append(verb)


@pytest.fixture
def box() -> Box:
    return Box()


@contextlib.asynccontextmanager
async def both(bus: str, box: Box, instance: str = "") -> AsyncIterator[tuple[Offer, DaemonProxy]]:
    async with offered(bus, instance, box) as offer, reached(bus, instance) as daemon:
        yield offer, daemon


async def test_status_crosses_whole(bus: str, box: Box) -> None:
    async with both(bus, box) as (offer, daemon):
        assert await daemon.status() == WELL

        box.shown = ALERTED
        offer.changed()

        assert await daemon.status() == ALERTED


async def test_days_cross_in_totals(bus: str, box: Box) -> None:
    async with both(bus, box) as (_, daemon):
        assert await daemon.encounters() == box.encounters()
        assert await daemon.exposures() == box.exposures()


async def test_calibration_crosses_as_counts_and_levels(bus: str, box: Box) -> None:
    async with both(bus, box) as (_, daemon):
        await daemon.calibrate()

        assert await daemon.calibration() == box.calibration()

    assert box.verbs[0] == "calibrate"


async def test_verbs_reach_the_daemon(bus: str, box: Box) -> None:
    async with both(bus, box) as (_, daemon):
        await daemon.consent("12345678")
        await daemon.consent("12345678", (1_790_000_000, 1_790_003_600))
        await daemon.pause()
        assert (await daemon.status()).paused
        await daemon.resume()
        assert not (await daemon.status()).paused
        await daemon.acknowledge()
        assert (await daemon.status()).acknowledged
        await daemon.erase()
        await daemon.erase_last(3)
        assert await daemon.record(60) == Path("/var/lib/bluezoned/capture.jsonl")
        await daemon.end_recording()

    verbs = [
        "consent 12345678",
        "consent 12345678 from 1790000000 to 1790003600",
        "pause",
        "resume",
        "acknowledge",
        "erase",
        "erase last 3",
        "record 60",
    ]
    assert box.verbs == [*verbs, "end recording"]


async def test_a_self_test_says_what_is_played_on_what(bus: str, box: Box) -> None:
    async with both(bus, box) as (_, daemon):
        assert await daemon.selftest() == SelfTestReport(1.5, ("LED on GPIO 17", "buzzer on GPIO 18"))


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ProtocolError("this is no code"), ErrorName.PROTOCOL),
        (AuthorityError("nothing received yet"), ErrorName.AUTHORITY),
        (StoreError("the disk is full"), ErrorName.STORE),
        (BluezonedError("not now"), ErrorName.FAILED),
    ],
)
async def test_named_errors_cross_with_their_words(error: Exception, name: ErrorName, bus: str, box: Box) -> None:
    box.wrong = error

    async with both(bus, box) as (_, daemon):
        with pytest.raises(DaemonRefused) as caught:
            await daemon.consent("12345678")

    assert (caught.value.name, str(caught.value)) == (name, str(error))


@pytest.mark.parametrize(
    "member", ["GetEncounters", "GetExposures", "Pause", "Resume", "Acknowledge", "Erase", "SelfTest"]
)
async def test_an_unexpected_error_tells_nothing(
    member: str, bus: str, box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    box.wrong = KeyError("a secret value")

    async with offered(bus, "", box), connected(bus) as connection:
        reply = await call(connection, member)

    assert (reply.error_name, reply.body) == (ErrorName.INTERNAL, ["internal error: see the daemon's log"])
    assert "a secret value" not in caplog.text
    assert f"{member} failed: KeyError at {__file__}:" in caplog.text


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("Consent", "u", [1]),
        ("Consent", "", []),
        ("Nothing", "", []),
        ("Consent", "s", ["x" * 1_000_000]),
        ("EraseLast", "i", [-1]),
        ("EraseLast", "s", ["all"]),
    ],
)
async def test_strange_calls_get_no_traceback(member: str, signature: str, body: list[Any], bus: str, box: Box) -> None:
    box.wrong = ProtocolError("this is no code")

    async with offered(bus, "", box), connected(bus) as connection:
        reply = await call(connection, member, signature, body)

    assert reply.message_type is MessageType.ERROR
    assert "Traceback" not in str(reply.body)
    assert ".py" not in str(reply.body)


async def test_properties_cannot_be_set(bus: str, box: Box) -> None:
    async with offered(bus, "", box), connected(bus) as connection:
        body = [names.INTERFACE, "Paused", Variant("b", True)]
        reply = await call(connection, "Set", "ssv", body, "org.freedesktop.DBus.Properties")

    assert reply.error_name == "org.freedesktop.DBus.Error.PropertyReadOnly"


async def call(
    connection: Any, member: str, signature: str = "", body: list[Any] | None = None, interface: str = names.INTERFACE
) -> Any:
    message = Message(names.BUS_NAME, names.PATH, interface, member, signature=signature, body=body or [])
    return await asyncio.wait_for(connection.call(message), 10)


def test_every_property_stands_on_the_bus_as_declared(box: Box) -> None:
    declared = {p.name: (p.signature, p.access.value) for p in DaemonInterface(box).introspect().properties}

    assert declared == {name: (signature, "read") for name, signature in report.SIGNATURES.items()}
    assert report.to_properties(WELL).keys() == report.SIGNATURES.keys()


def test_rows_stand_on_the_bus_as_declared(box: Box) -> None:
    methods = {m.name: m.out_args for m in DaemonInterface(box).introspect().methods}

    assert [arg.signature for arg in methods["GetEncounters"]] == [report.ENCOUNTERS]
    assert [arg.signature for arg in methods["GetExposures"]] == [report.EXPOSURES]


DOCUMENT = Path(__file__).parents[2] / "docs" / "dbus.md"


async def test_what_the_bus_is_told_is_what_the_document_says(bus: str, box: Box) -> None:
    document = DOCUMENT.parent / "dbus" / f"{names.INTERFACE}.xml"

    async with offered(bus, "", box), connected(bus) as connection:
        reply = await call(connection, "Introspect", interface="org.freedesktop.DBus.Introspectable")

    assert interfaces(reply.body[0])[names.INTERFACE] == interfaces(document.read_text())[names.INTERFACE]


def test_every_member_and_error_is_explained(box: Box) -> None:
    text = DOCUMENT.read_text()
    live = DaemonInterface(box).introspect()

    for name in ErrorName:
        assert f"`{name}`" in text
    for found in live.properties:
        assert f"| `{found.name}` | {found.signature} |" in text
    for found in live.methods:
        given = ", ".join(f"{arg.signature} {arg.name}" for arg in found.in_args)
        assert f"`{found.name}({given})`" in text


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


# The socket of a refused connection is dbus-next's to close, which it leaves to the garbage collector.
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


async def test_trouble_of_the_store_is_shown_not_raised(bus: str, box: Box) -> None:
    async with both(bus, box) as (offer, daemon):
        box.ill = StoreError("the disk is full")
        offer.changed()

        assert await daemon.status() == replace(WELL, problems=("the disk is full",))


@pytest.fixture(autouse=True)
def no_trouble_inside_dbus_next(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """dbus-next logs what it swallows to the root logger."""
    caplog.set_level(logging.WARNING)
    yield
    assert [record.message for record in caplog.records if record.name == "root"] == []
