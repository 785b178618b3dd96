"""A fleet spreads: what is drawn, and between which bounds."""

import random
import statistics
from itertools import pairwise

import pytest

from bluezoned.feed import schedule

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
    waits = [schedule.after_failure(NOW, poll, draw).due - NOW for _ in range(FLEET)]

    assert 0 <= min(waits) < bound / 100
    assert bound * 0.99 < max(waits) <= bound
    assert statistics.mean(waits) == pytest.approx(bound / 2, abs=bound / 40)


def test_a_plan_that_was_made_is_waited_for_to_its_end() -> None:
    for poll in (5 * MINUTE, 4 * HOUR, 24 * HOUR):
        for plan in (
            schedule.after_success(NOW, poll, lambda: 0.999),
            schedule.after_failure(NOW, poll, lambda: 0.999),
        ):
            assert not schedule.is_due(plan, NOW, poll, upload_waits=False)
            assert not schedule.is_due(plan, plan.due - 1, poll, upload_waits=False)
            assert schedule.is_due(plan, plan.due, poll, upload_waits=False)
