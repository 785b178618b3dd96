"""What the BlueZ radio sends and hears, by the log of the air."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bluezoned.protocols import bluezone, gaen
from bluezoned.radio import bluez_advertiser
from tests.system.conftest import EXTENDED, LEGACY, eventually, patient
from tests.system.medium.client import Air, Packet
from tests.system.radio_at_work import APP_DATA, APP_ROLLING_ID, AtWork, at_work, number_of, numbered

KINDS = pytest.mark.parametrize("controllers", [EXTENDED, LEGACY], ids=["extended", "legacy"])
ROTATIONS = 96
"""A day's of Bluezone."""

Record = Callable[[str, object], None]


async def test_no_packet_mixes_old_and_new(air: Air, record_property: Record) -> None:
    """On a controller of each kind at once, scanning all the while."""
    async with at_work(air, EXTENDED[0]) as extended, at_work(air, LEGACY[0]) as legacy:
        found = await asyncio.gather(rotations(extended), rotations(legacy))
    for kind, rotated in zip(("extended", "legacy"), found, strict=True):
        for name, figure in rotated.figures().items():
            record_property(f"{kind}_{name}", figure)
            print(f"{kind} {name} {figure}")
        rotated.mix_nothing()
        assert rotated.figures()["median_gap_s"] <= patient(1)
        assert rotated.figures()["median_late_s"] <= patient(2)


@dataclass(frozen=True)
class Rotated:
    """What was on the air while one radio rotated."""

    packets: list[Packet]
    asked: dict[int, float]
    """When each number was asked for."""

    def mix_nothing(self) -> None:
        """No address with two identifiers, and no identifier after the next one. One that had to be registered anew
        has drawn another address for itself, which tells nobody anything."""
        numbers = defaultdict(set)
        for packet in self.packets:
            numbers[packet.address].add(number_of(packet.data))
        sent = [number_of(packet.data) for packet in self.packets]
        assert [number for number, _ in itertools.groupby(sent)] == list(range(ROTATIONS + 1))
        assert {packet.address_kind for packet in self.packets} == {"NRPA"}
        assert {packet.kind for packet in self.packets} == {"ADV_NONCONN_IND"}
        assert [address for address, used in numbers.items() if len(used) != 1] == []

    def figures(self) -> dict[str, float]:
        seen = defaultdict(list)
        for packet in self.packets:
            seen[number_of(packet.data)].append(packet.at)
        gaps = [seen[number + 1][0] - seen[number][-1] for number in range(ROTATIONS)]
        late = [seen[number][0] - self.asked[number] for number in self.asked]
        return {
            "median_gap_s": round(statistics.median(gaps), 3),
            "longest_gap_s": round(max(gaps), 3),
            "median_late_s": round(statistics.median(late), 3),
            "latest_s": round(max(late), 3),
            "packets": len(self.packets),
            "addresses": len({packet.address for packet in self.packets}),
        }


async def rotations(work: AtWork) -> Rotated:
    """A day's, in quick succession."""
    # Marked first, so that number 0 is in the log.
    mark, asked = work.air.mark(), {}
    await work.radio.advertise(numbered(0))
    await work.proves_itself(0, 90)
    for number in range(1, ROTATIONS + 1):
        asked[number] = time.time()
        here = work.air.mark()
        await work.radio.advertise(numbered(number))
        await eventually(30, lambda: work.is_on_air(number, here), work.radio.health)
        await asyncio.sleep(0.3)
    since = len(work.heard)
    await eventually(30, lambda: work.hears_phone(since), work.radio.health)
    return Rotated(work.air.since(mark, work.controller), asked)


@KINDS
async def test_each_packet_is_heard_with_its_own_level(
    air: Air, controllers: tuple[int, int], monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    monkeypatch.setattr(bluez_advertiser, "INTERVAL_MS", (100, 100))
    ramp = list(range(-90, -40))
    async with at_work(air, controllers[0]) as ear, at_work(air, controllers[1]) as mouth:
        air.order("send_phones_away")
        await mouth.radio.advertise(numbered(7))
        await eventually(60, lambda: bool(levels(ear, 0)), ear.radio.health)
        air.set_rssi(controllers[1], controllers[0], ramp)
        mark, since = air.mark(), len(ear.heard)
        await asyncio.sleep(15)
        sent = len([p for p in air.since(mark, controllers[1]) if number_of(p.data) == 7])
        heard = levels(ear, since)
    steps = [later - earlier for earlier, later in itertools.pairwise(heard)]
    air.set_rssi(controllers[1], controllers[0], [-50])
    record_property("heard_share", round(len(heard) / sent, 3))
    print(f"{len(heard)} of {sent} packets, {steps.count(1)} of {len(steps)} steps of 1 dB")
    assert len(heard) >= 0.9 * sent
    assert steps.count(1) >= 0.85 * len(steps)


def levels(ear: AtWork, since: int) -> list[int]:
    """dBm of the peer's packets."""
    heard = ear.heard[since:]
    return [r.rssi for r in heard if bluezone.COMPANY in r.advertisement.manufacturer_data]


@KINDS
async def test_phones_that_no_one_here_wrote_are_heard(air: Air, controllers: tuple[int, int]) -> None:
    identifier = bytes(range(20, 40))
    phone = bytes.fromhex("02011a 03036ffd 17166ffd") + identifier
    async with at_work(air, controllers[0]) as work:
        air.phone(controllers[0], "3A:00:00:00:00:02", APP_DATA, rssi=-71, kind=0, every_ms=200, times=200)
        air.phone(controllers[0], "3A:00:00:00:00:03", phone, rssi=-82, kind=3, every_ms=200, times=200)

        def are_heard() -> bool:
            said = {
                (r.advertisement.manufacturer_data.get(bluezone.COMPANY), r.rssi)
                for r in work.heard
                if bluezone.SERVICE in r.advertisement.service_uuids
            } | {(r.advertisement.service_data.get(gaen.SERVICE), r.rssi) for r in work.heard}
            return {(APP_ROLLING_ID, -71), (identifier, -82)} <= said

        await eventually(60, are_heard, work.radio.health)
