"""A second adapter proves what the first one does: an advertisement that left no antenna, an ear in an empty room. On a
pair of adapters of each kind at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from bluezoned.radio import bluez_witness, hearing
from tests.system.conftest import EXTENDED, LEGACY, eventually
from tests.system.medium.client import Air
from tests.system.radio_at_work import AtWork, at_work, numbered


@pytest_asyncio.fixture
async def works(air: Air, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[AtWork]]:
    # Sooner than in life, where proofs are five minutes apart and silence is doubted after 90 s.
    monkeypatch.setattr(bluez_witness, "EVERY", 10_000)
    monkeypatch.setattr(hearing, "FIRST_PROOF", 10_000)
    async with AsyncExitStack() as stack:
        works = [await stack.enter_async_context(at_work(air, pair[0], witness=pair[1])) for pair in (EXTENDED, LEGACY)]
        for work in works:
            await work.radio.advertise(numbered(1))
        await asyncio.gather(*(work.proves_itself(1, 120) for work in works))
        yield works


async def test_an_advertisement_that_is_not_heard_is_told_and_mended(works: list[AtWork]) -> None:
    for work in works:
        work.air.order("gag", tx=work.controller)
    for work in works:
        health = work.radio.health
        await eventually(60, lambda: not health().advertising, health)
        assert "does not reach its second adapter" in health().problem
        assert health().hearing
    for work in works:
        work.air.order("ungag", tx=work.controller)
    await asyncio.gather(*(work.proves_itself(1, 30) for work in works))


async def test_an_ear_in_an_empty_room_is_trusted(works: list[AtWork]) -> None:
    air = works[0].air
    air.order("send_phones_away")
    # The two boxes must not hear each other.
    for tx, rx in ((EXTENDED, LEGACY), (LEGACY, EXTENDED)):
        for sender in tx:
            air.order("loss", tx=sender, rx=rx[0], share=1.0)
    try:
        for _ in range(45):
            await asyncio.sleep(1)
            assert [work.radio.health().hearing for work in works] == [True, True]
    finally:
        for tx, rx in ((EXTENDED, LEGACY), (LEGACY, EXTENDED)):
            for sender in tx:
                air.order("loss", tx=sender, rx=rx[0], share=0.0)
