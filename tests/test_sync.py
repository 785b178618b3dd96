"""When bluezoned-sync tries again."""

import statistics
from pathlib import Path

import pytest

from bluezoned import sync
from bluezoned.errors import AuthorityError
from bluezoned.feed.spool import Spool


def test_a_fleet_does_not_come_back_in_step() -> None:
    for tried, bound in ((1, 30), (2, 60), (3, 120), (4, 240), (9, 600), (19, 600)):
        pauses = [sync.pause(tried) for _ in range(4000)]

        assert 0 <= min(pauses) < bound / 100
        assert bound * 0.99 < max(pauses) <= bound
        # The mean of 4,000 strays by 0.46 % of the bound; five times that is a fault.
        assert statistics.mean(pauses) == pytest.approx(bound / 2, abs=bound / 40)


async def test_each_try_pauses_after_those_before_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []

    def at_once(tried: int) -> float:
        asked.append(tried)
        return 0.001

    monkeypatch.setattr(sync, "pause", at_once)

    report = await sync.visit("http://127.0.0.1:9", Spool(tmp_path), 4)

    assert asked[:3] == [1, 2, 3]
    assert len(report.problems) == 1


async def test_an_address_that_must_not_be_asked_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sync, "pause", lambda _: pytest.fail("tried again"))

    with pytest.raises(AuthorityError):
        await sync.visit("http://authority.example", Spool(tmp_path), 4)
