"""Receptions on their way from the radio to who listens."""

from __future__ import annotations

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.radio.backlog import Backlog, Tally

RECEPTIONS = [Reception(Advertisement(), -60, at) for at in range(10)]


async def taken(backlog: Backlog) -> list[int]:
    backlog.end()
    return [reception.at async for reception in backlog]


async def test_what_comes_is_taken_in_order() -> None:
    backlog = Backlog()
    for reception in RECEPTIONS:
        backlog.put(reception)

    assert await taken(backlog) == list(range(10))


async def test_what_nobody_takes_is_dropped_and_counted() -> None:
    backlog = Backlog(size=4)
    for reception in RECEPTIONS:
        backlog.put(reception)

    assert backlog.dropped == 6
    assert backlog.tally() == Tally(heard=10, dropped=6, deepest=4)


async def test_each_tally_begins_anew() -> None:
    backlog = Backlog(size=4)
    for reception in RECEPTIONS:
        backlog.put(reception)
    backlog.tally()
    backlog.put(RECEPTIONS[0])

    assert backlog.tally() == Tally(heard=1, dropped=1, deepest=4)
    assert backlog.dropped == 7


async def test_a_full_one_can_end_and_be_used_again() -> None:
    backlog = Backlog(size=2)
    for reception in RECEPTIONS[:2]:
        backlog.put(reception)

    assert await taken(backlog) == [1]
    backlog.put(RECEPTIONS[5])
    backlog.clear()
    assert backlog.dropped == 0
    backlog.put(RECEPTIONS[6])
    assert await taken(backlog) == [6]
