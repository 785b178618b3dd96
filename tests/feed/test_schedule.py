"""A fleet spreads: what is drawn, and between which bounds."""

import random
import statistics
from itertools import pairwise

import pytest

from bluezoned.feed import schedule
from bluezoned.feed.schedule import Plan

MINUTE, HOUR = 60_000, 3_600_000
NOW = 20_759 * 24 * HOUR
FLEET = 4000


def chance(seed: int = 1) -> schedule.Chance:
    return random.Random(seed).random


def test_tries_do_not_come_back_in_step() -> None:
    draw = chance()
    for tried, bound in ((1, 30_000), (2, 60_000), (3, 120_000), (4, 240_000), (9, 600_000), (19, 600_000)):
        pauses = [schedule.pause(tried, draw) for _ in range(FLEET)]

        assert 0 <= min(pauses) < bound / 100
        assert bound * 0.99 < max(pauses) <= bound
        # The mean of 4,000 strays by 0.46 % of the bound; five times that is a fault.
        assert statistics.mean(pauses) == pytest.approx(bound / 2, abs=bound / 40)


@pytest.mark.parametrize("poll", [5 * MINUTE, 4 * HOUR, 24 * HOUR])
def test_boxes_switched_on_together_are_spread_at_their_second_visit(poll: int) -> None:
    draw = chance()
    waits = sorted(schedule.after_success(NOW, poll, draw).due - NOW for _ in range(FLEET))

    assert poll / 2 <= waits[0]
    assert waits[-1] < schedule.longest(poll) == poll * 3 // 2
    assert statistics.mean(waits) == pytest.approx(poll, rel=0.02)
    # None of 4,000 evenly laid points is farther from the next than some ten times the mean.
    assert max(later - earlier for earlier, later in pairwise(waits)) < poll * 20 / FLEET


def test_nothing_of_a_box_is_in_when_it_asks() -> None:
    """Two draws of one box are as far apart as those of two boxes: no offset is kept by which it could be known."""
    draw, poll = chance(), 4 * HOUR
    first, second = ([schedule.after_success(NOW, poll, draw).due % poll for _ in range(FLEET)] for _ in range(2))

    assert abs(statistics.correlation(first, second)) < 0.08  # five times what chance gives to 4,000


@pytest.mark.parametrize(("poll", "bound"), [(5 * MINUTE, 7.5 * MINUTE), (4 * HOUR, HOUR), (24 * HOUR, HOUR)])
def test_after_a_failure_the_whole_wait_is_drawn(poll: int, bound: float) -> None:
    draw = chance()
    waits = [schedule.after_failure(Plan(), NOW, poll, draw).retry - NOW for _ in range(FLEET)]

    assert 0 <= min(waits) < bound / 100
    assert bound * 0.99 < max(waits) <= bound
    assert statistics.mean(waits) == pytest.approx(bound / 2, abs=bound / 40)


@pytest.mark.parametrize("poll", [5 * MINUTE, 4 * HOUR, 24 * HOUR])
def test_a_plan_is_waited_for_to_its_end(poll: int) -> None:
    well = schedule.after_success(NOW, poll, lambda: 0.999)
    badly = schedule.after_failure(Plan(), NOW, poll, lambda: 0.999)

    assert not schedule.is_due(well, NOW, poll)
    assert not schedule.is_due(well, well.due - 1, poll)
    assert schedule.is_due(well, well.due, poll)
    assert schedule.may_go(well, NOW)
    assert not schedule.may_go(badly, badly.retry - 1)
    assert not schedule.is_due(badly, badly.retry - 1, poll)
    assert schedule.is_due(badly, badly.retry, poll)


def test_a_failure_does_not_bring_the_next_look_forward() -> None:
    plan = schedule.after_failure(Plan(due=NOW + 20 * HOUR), NOW, 24 * HOUR, chance())

    assert not schedule.is_due(plan, plan.retry, 24 * HOUR)
    assert schedule.may_go(plan, plan.retry)
    assert schedule.after_post(plan) == Plan(due=NOW + 20 * HOUR)


def test_after_a_failure_a_visit_tries_once() -> None:
    assert schedule.tries(Plan(), 3) == 3
    assert schedule.tries(Plan(retry=NOW), 3) == 1


def test_what_a_wrong_clock_planned_is_not_waited_for() -> None:
    for plan in (Plan(due=NOW), Plan(retry=NOW)):
        assert schedule.is_due(plan, NOW - 7 * HOUR, 4 * HOUR)
