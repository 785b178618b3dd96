"""A second adapter proves what the first one does: an advertisement that left no antenna, an ear in an empty room."""

from __future__ import annotations

import asyncio

import pytest

from bluezoned.radio import bluez_witness, hearing
from tests.system.conftest import EXTENDED, LEGACY, eventually
from tests.system.medium.client import Air
from tests.system.radio_at_work import at_work, numbered

PAIRS = pytest.mark.parametrize(("box", "witness"), [EXTENDED, LEGACY], ids=["extended", "legacy"])


@PAIRS
async def test_an_advertisement_that_is_not_heard_is_told_and_mended(
    air: Air, box: int, witness: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluez_witness, "EVERY", 10_000)
    async with at_work(air, box, witness=witness) as work:
        await work.radio.advertise(numbered(1))
        await work.proves_itself(1, 90)
        air.order("gag", tx=box)
        await eventually(60, lambda: not work.radio.health().advertising, work.radio.health)
        assert "does not reach its second adapter" in work.radio.health().problem
        assert work.radio.health().hearing
        air.order("ungag", tx=box)
        await work.proves_itself(1, 30)


@PAIRS
async def test_an_ear_in_an_empty_room_is_trusted(
    air: Air, box: int, witness: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "FIRST_PROOF", 10_000)
    async with at_work(air, box, witness=witness) as work:
        air.order("send_phones_away")
        mark = air.mark()
        await work.radio.advertise(numbered(1))
        await eventually(60, lambda: work.is_on_air(1, mark), work.radio.health)
        for _ in range(45):
            await asyncio.sleep(1)
            assert work.radio.health().hearing
