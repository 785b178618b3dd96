"""The daemon keeps the schedule: at each quarter of an hour the next identifier is on the air, and no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from bluezoned.advertisement import decode
from bluezoned.protocols.bluezone import COMPANY, Bluezone
from bluezoned.storage import open_store
from tests.system import boxes
from tests.system.boxes import Box, at_another_time, set_time
from tests.system.conftest import EXTENDED, LEGACY, within
from tests.system.medium.client import Air

BOUNDARIES = 4
AHEAD = 35_000
"""ms. The daemon sleeps for 30 s at most, and may be in the middle of that when the clock is set."""

IN_TIME = 2_000
"""ms from the boundary to the first packet of the new identifier."""

PROTOCOL = Bluezone()


@pytest.mark.timeout(900)
def test_each_identifier_comes_within_two_seconds_of_its_time(
    air: Air, installed: None, patience: float, record_property: Callable[[str, object], None]
) -> None:
    late = []
    with at_another_time(), ExitStack() as stack:
        pair = [stack.enter_context(boxes.started(air, f"schedule{at}", at)) for at in (EXTENDED[0], LEGACY[0])]
        boundary = PROTOCOL.rotation * (round(time.time() * 1000) // PROTOCOL.rotation)
        for _ in range(BOUNDARIES):
            boundary += PROTOCOL.rotation
            set_time(boundary - AHEAD)
            mark = air.mark()
            within(90, lambda to=boundary + 10_000: time.time() * 1000 > to, lambda: "the time does not pass")
            for box in pair:
                sent = [
                    (round(packet.at * 1000), rolling_id_of(packet.data)) for packet in air.since(mark, box.controller)
                ]
                before, after = scheduled(box, boundary - 1), scheduled(box, boundary)
                first = min(at for at, rolling_id in sent if rolling_id == after)
                late.append(first - boundary)
                assert {rolling_id for _, rolling_id in sent} == {before, after}
                assert {rolling_id for at, rolling_id in sent if at < boundary} == {before}
                assert {rolling_id for at, rolling_id in sent if at >= first} == {after}
    record_property("late_ms", late)
    print(f"late by {late} ms")
    assert max(late) <= IN_TIME * patience


def scheduled(box: Box, at: int) -> bytes:
    """What it must send at `at` (ms UTC), from its own keys."""
    with open_store(boxes.STATE / box.name, {}) as store:
        (key,) = [key for key in store.own_keys(PROTOCOL.name) if key.start <= at < key.end]
    return bytes(PROTOCOL.advertisement(key, at, 0).manufacturer_data[COMPANY])


def rolling_id_of(data: str) -> bytes:
    return bytes(decode(bytes.fromhex(data)).manufacturer_data[COMPANY])
