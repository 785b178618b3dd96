"""org.bluezoned.Daemon1 between a daemon and its proxy, over a real dbus-daemon: what crosses, as its document says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbus_next.constants import MessageType
from dbus_next.signature import Variant

from bluezoned.bus import connected
from bluezoned.control import names, report
from bluezoned.control.interface import DaemonInterface, offered
from bluezoned.control.names import ErrorName
from bluezoned.control.proxy import DaemonRefused
from bluezoned.control.report import SelfTestReport
from bluezoned.errors import AuthorityError, BluezonedError, ProtocolError, StoreError
from bluezoned.fork_evidence import ForkEvidence
from tests.control import daemon_double
from tests.control.daemon_double import ALERTED, WELL, Box, both, call
from tests.introspection import interfaces


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


@pytest.mark.parametrize(
    "evidence", [None, ForkEvidence(b"refused", None), ForkEvidence(b"refused\n{}\n", b"believed\n{}\n")]
)
async def test_evidence_of_a_fork_crosses_to_the_byte(bus: str, box: Box, evidence: ForkEvidence | None) -> None:
    box.evidence = evidence
    async with both(bus, box) as (_, daemon):
        assert await daemon.fork() == evidence


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
    assert f"{member} failed: KeyError at {daemon_double.__file__}:" in caplog.text


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
    for held in live.properties:
        assert f"| `{held.name}` | {held.signature} |" in text
    for found in live.methods:
        given = ", ".join(f"{arg.signature} {arg.name}" for arg in found.in_args)
        assert f"`{found.name}({given})`" in text


async def test_trouble_of_the_store_is_shown_not_raised(bus: str, box: Box) -> None:
    async with both(bus, box) as (offer, daemon):
        box.ill = StoreError("the disk is full")
        offer.changed()

        assert await daemon.status() == replace(WELL, problems=("the disk is full",))
