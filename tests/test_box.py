"""What the box tells the service manager about itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import assembly, config_source, key_index, upload
from bluezoned.advertisement import Advertisement, Reception
from bluezoned.alert.indicator import Indication
from bluezoned.alert.journal import JournalIndicator
from bluezoned.box import Box, Rhythm
from bluezoned.clock import ManualClock
from bluezoned.control.report import StatusReport
from bluezoned.feed.spool import Spool
from bluezoned.key_index import KeyIndex
from bluezoned.protocols.protocol import DAY
from bluezoned.radio.radio import RadioHealth
from bluezoned.recorder import Recorder
from bluezoned.tracing.case_list import EXPIRED, STANDS_STILL
from bluezoned.tracing.device import Device
from bluezoned.tracing.store import Store


class RadioWithoutAir:
    """A radio that hears nobody; `looks` is what whoever minds it has done."""

    def __init__(self, looks: int | None) -> None:
        self.looks = looks

    async def __aenter__(self) -> RadioWithoutAir:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def advertise(self, advertisement: Advertisement | None) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Reception]:
        return
        yield

    def health(self) -> RadioHealth:
        return RadioHealth(True, True, "", looks=self.looks)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with Store(tmp_path / "s.db", bytes(32), os.urandom) as store:
        device = Device(assembly.settings(config_source.load([], {}, {})), store, os.urandom)
        clock, recorder = ManualClock(20_000 * DAY), Recorder(tmp_path / "capture.jsonl")
        yield Box(device, RadioWithoutAir(3), clock, Spool(tmp_path), JournalIndicator(), recorder, Rhythm(60_000, DAY))


def looked_at(box: Box, looks: int | None) -> bool:
    box.radio = RadioWithoutAir(looks)
    return box.answers()


def test_a_radio_that_nobody_looks_at_any_more_does_not_answer(box: Box) -> None:
    assert [looked_at(box, looks) for looks in (3, 4, 4, 4, 5)] == [True, True, False, False, True]


def test_a_radio_that_needs_nobody_always_answers(box: Box) -> None:
    assert [looked_at(box, None), looked_at(box, None)] == [True, True]


def test_a_paused_radio_is_not_asked(box: Box) -> None:
    box.pause()

    assert [looked_at(box, 3), looked_at(box, 3)] == [True, True]


def test_the_line_that_every_login_may_read_tells_nothing_of_the_carrier() -> None:
    report = StatusReport(
        "1", "gaen", "F1", "F0", "OWN_CASE", "You are a confirmed case.", 7, 1_793_491_200, 7, "", "accepted", "",
        True, False, False, False, False, ("bluetoothd is not running",),
    )  # fmt: skip

    line = assembly.health(report)

    assert line == ("hears; DOES NOT ADVERTISE; list of cases of 2026-11-01 00:00 UTC; bluetoothd is not running")
    assert assembly.health(replace(report, paused=True)) == "paused by the carrier"


AUTHORITY_KEY = ec.generate_private_key(ec.SECP256R1())


async def test_a_list_that_is_renewed_no_more_is_told_and_is_no_all_clear(box: Box) -> None:
    box.device.adopt(replace(box.device._settings, authority_key=AUTHORITY_KEY.public_key()))
    clock = box.clock
    assert isinstance(clock, ManualClock)
    start = clock.now()
    # Expires before it is stale: the authority's word and the settings' each count.
    short = KeyIndex("test", 0, start, start + DAY // 2, upload.public_sealing_key(bytes(96)), ())
    lasting = replace(short, issued=start + 1, expires=start + 14 * DAY)
    told = []
    for index, age in ((short, DAY // 2 - 1), (short, DAY // 2), (lasting, DAY), (lasting, DAY + 2)):
        box.device.apply_index(key_index.write(index, AUTHORITY_KEY))
        await clock.advance(start + age)
        told.append((box.condition.indication(), box.status().problems))

    assert told == [
        (Indication.ALL_WELL, ()),
        (Indication.KEYS_STALE, (EXPIRED,)),
        (Indication.ALL_WELL, ()),
        (Indication.KEYS_STALE, (STANDS_STILL,)),
    ]
