"""When bluezoned-sync comes, and when it tries again."""

from pathlib import Path

import pytest

from bluezoned import sync
from bluezoned.errors import AuthorityError
from bluezoned.feed import schedule
from bluezoned.feed.schedule import Plan
from bluezoned.feed.spool import Spool

HOUR = 3_600_000
NOW = 20_759 * 24 * HOUR


async def test_each_try_pauses_after_those_before_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []

    def at_once(tried: int, _: schedule.Chance) -> int:
        asked.append(tried)
        return 1

    monkeypatch.setattr(schedule, "pause", at_once)

    report = await sync.visit("http://127.0.0.1:9", Spool(tmp_path), 4)

    assert asked[:3] == [1, 2, 3]
    assert len(report.problems) == 1


async def test_an_address_that_must_not_be_asked_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(schedule, "pause", lambda *_: pytest.fail("tried again"))

    with pytest.raises(AuthorityError):
        await sync.visit("http://authority.example", Spool(tmp_path), 4)


def test_sync_goes_home_when_it_is_not_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    poll = 4 * HOUR

    assert sync.tries_due(spool, NOW, poll, 3) == 3
    spool.memory.write("visit", schedule.encode(Plan(NOW + HOUR)))
    assert sync.tries_due(spool, NOW, poll, 3) == 0
    assert sync.tries_due(spool, NOW + HOUR, poll, 3) == 3
    spool.outbox.write("upload-00", b"sealed")
    assert sync.tries_due(spool, NOW, poll, 3) == 3
    spool.memory.write("visit", schedule.encode(Plan(NOW + HOUR, failed=True)))
    assert sync.tries_due(spool, NOW, poll, 3) == 0
    assert sync.tries_due(spool, NOW + HOUR, poll, 3) == 1


@pytest.mark.parametrize("lost", [b"", b"1793530800000", b"{}", b'{"due": "soon"}', b"\xff"])
def test_a_lost_or_older_plan_costs_one_visit(lost: bytes, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.memory.write("visit", lost)

    assert sync.tries_due(spool, NOW, 4 * HOUR, 3) == 3


def test_the_largest_plan_fits_its_file(tmp_path: Path) -> None:
    plan = Plan(2**62, failed=True)
    spool = Spool(tmp_path)

    spool.memory.write("visit", schedule.encode(plan))

    assert schedule.decode(spool.memory.read("visit")) == plan


def test_what_a_wrong_clock_planned_is_not_waited_for() -> None:
    for plan in (Plan(NOW), Plan(NOW, failed=True)):
        assert schedule.is_due(plan, NOW - 7 * HOUR, 4 * HOUR, upload_waits=False)
