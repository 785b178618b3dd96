"""Numbers for the world outside: none so small that somebody could be found in it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bluezoned.authority.portal import statistics
from bluezoned.authority.portal.statistics import FLOOR
from bluezoned.protocols.protocol import DAY

FIRST = date(2026, 11, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(13)]
START = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 1000


def local(at: int) -> date:
    return datetime.fromtimestamp(at / 1000, UTC).date()


def counted(*counts: int) -> statistics.Series:
    moments = [START + n * DAY + k for n, count in enumerate(counts) for k in range(count)]
    (series,) = statistics.by_day({"f0": moments}, DAYS, local)
    return series


def test_floor_hides_small_numbers_and_none_alike() -> None:
    bars = counted(0, 1, FLOOR - 1, FLOOR, 37).bars

    assert [bar.count for bar in bars[:5]] == [None, None, None, FLOOR, 37]
    assert len({(bar.count, bar.height) for bar in bars[:3]}) == 1


@given(st.lists(st.integers(0, 60), min_size=13, max_size=13))
def test_nothing_that_is_told_depends_on_a_number_below_the_floor(counts: list[int]) -> None:
    """The law behind the floor: raise every hidden number to the largest that is hidden, and nothing changes."""
    told = counted(*counts)

    assert told == counted(*(FLOOR - 1 if count < FLOOR else count for count in counts))
    assert told == counted(*(0 if count < FLOOR else count for count in counts))


@given(st.lists(st.integers(0, 2000), min_size=13, max_size=13))
def test_bars_fit_their_axis(counts: list[int]) -> None:
    series = counted(*counts)

    assert all(0 <= bar.height <= 100 for bar in series.bars)
    assert series.top >= max((bar.count for bar in series.bars if bar.count is not None), default=0)
