"""When bluezoned-sync comes, for what, and when it tries again."""

from pathlib import Path

import pytest

from bluezoned import config, config_source, sync
from bluezoned.errors import AuthorityError
from bluezoned.feed import schedule
from bluezoned.feed import visit as feed_visit
from bluezoned.feed.problem import FeedError, Reason
from bluezoned.feed.schedule import Plan
from bluezoned.feed.spool import Spool
from bluezoned.feed.visit import FeedReport, Postbox, Source

HOUR = 3_600_000
NOW = 20_759 * 24 * HOUR
AWAY = FeedReport(False, 0, 0, (FeedError(Reason.UNREACHABLE),))
WELL = FeedReport(False, 0, 0, ())


def a_round(spool: Spool, metered: bool = False) -> sync.Round:
    return sync.Round(config_source.load([], {}, {"authority.metered": str(metered).lower()}), spool)


async def test_each_try_pauses_after_those_before_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []

    def at_once(tried: int, _: schedule.Chance) -> int:
        asked.append(tried)
        return 1

    monkeypatch.setattr(schedule, "pause", at_once)

    async def errand(postbox: Postbox, source: Source) -> FeedReport:
        return await feed_visit.fetch_and_post(postbox, source, Spool(tmp_path))

    report = await sync.visit(config.Authority(url="http://127.0.0.1:9"), None, errand, 4)

    assert asked[:3] == [1, 2, 3]
    assert len(report.problems) == 1


async def test_an_address_that_must_not_be_asked_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "pause", lambda *_: pytest.fail("tried again"))

    async def errand(_: Postbox, __: Source) -> FeedReport:
        pytest.fail("asked")

    with pytest.raises(AuthorityError):
        await sync.visit(config.Authority(url="http://authority.example"), None, errand, 4)


def test_sync_goes_home_when_it_is_not_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    assert a_round(spool).errand(NOW) is not None
    spool.memory.write("visit", schedule.encode(Plan(NOW + HOUR)))
    assert a_round(spool).errand(NOW) is None
    assert a_round(spool).errand(NOW + HOUR) is not None
    spool.outbox.write("upload-00", b"sealed")
    assert a_round(spool).errand(NOW) is not None
    spool.memory.write("visit", schedule.encode(Plan(NOW + HOUR, retry=NOW + HOUR)))
    assert a_round(spool).errand(NOW) is None
    assert a_round(spool).errand(NOW + HOUR) is not None


def test_a_visit_leaves_word_of_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for metered, shortest, longest in ((False, 2, 6), (True, 12, 36)):
        this = a_round(spool, metered)
        this.close(this.everything, WELL, NOW)
        plan = schedule.decode(spool.memory.read("visit"))
        assert NOW + shortest * HOUR <= plan.due <= NOW + longest * HOUR
        assert plan.retry == 0

    this = a_round(spool)
    this.close(this.everything, AWAY, NOW)
    after = schedule.decode(spool.memory.read("visit"))
    assert after.due == plan.due
    assert NOW < after.retry <= NOW + HOUR + 1


def test_where_bytes_are_counted_an_upload_goes_by_itself_and_the_look_keeps_its_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.memory.write("visit", schedule.encode(Plan(NOW + 9 * HOUR)))
    spool.outbox.write("upload-00", b"sealed")

    this = a_round(spool, metered=True)
    alone = this.errand(NOW)
    assert alone is not None
    this.close(alone, WELL, NOW)

    assert alone != this.everything
    assert schedule.decode(spool.memory.read("visit")) == Plan(NOW + 9 * HOUR)
    assert a_round(spool, metered=True).errand(NOW + 9 * HOUR) is not None


@pytest.mark.parametrize("lost", [b"", b"1793530800000", b"{}", b'{"due": "soon"}', b"\xff"])
def test_a_lost_or_older_plan_costs_one_visit(lost: bytes, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.memory.write("visit", lost)

    assert a_round(spool).errand(NOW) is not None


def test_the_largest_plan_fits_its_file(tmp_path: Path) -> None:
    plan = Plan(2**62, 2**62)
    spool = Spool(tmp_path)

    spool.memory.write("visit", schedule.encode(plan))

    assert schedule.decode(spool.memory.read("visit")) == plan
