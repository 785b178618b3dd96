"""The estimate of nearness: smoothing, silence, minutes that do not grow by patience."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bluezoned.tracing import proximity
from bluezoned.tracing.proximity import MINUTE, Minute, MinuteSums, Ranging

RANGING = Ranging(attenuation_1m=67.0)
LEVELS = st.lists(st.integers(-110, -30), min_size=1, max_size=60)


def minute(number: int, level: float) -> Minute:
    return Minute(number * MINUTE, 30, level, round(level), level)


def summed(levels: list[int]) -> Minute:
    sums = MinuteSums()
    for level in levels:
        sums.add(level)
    return sums.summary(0)


@given(LEVELS)
def test_level_of_few_packets_lies_between_mean_and_strongest(levels: list[int]) -> None:
    found = summed(levels[: proximity.FEW - 1])

    assert found.mean - 1e-9 <= found.power <= found.strongest + 1e-9


def test_one_packet_far_too_loud_among_many_changes_no_level() -> None:
    assert math.isclose(summed([-80] * 40 + [-50]).power, summed([-80] * 40).power, abs_tol=1e-6)
    assert summed([-80] * 5 + [-50]).power > -60


@given(LEVELS, LEVELS)
def test_joined_halves_of_a_minute_are_the_minute(one: list[int], other: list[int]) -> None:
    one, other = one[:3], other[:4]  # of more packets each half leaves out its strongest
    whole, joined = summed(one + other), proximity.join(summed(one), summed(other))

    assert (joined.packets, joined.strongest) == (whole.packets, whole.strongest)
    assert math.isclose(joined.mean, whole.mean, abs_tol=1e-9)
    assert math.isclose(joined.power, whole.power, abs_tol=1e-6)


def test_two_silent_minutes_between_two_heard_ones_are_bridged_and_three_are_not() -> None:
    bridged = proximity.smooth([minute(0, -60), minute(3, -60)])
    parted = proximity.smooth([minute(0, -60), minute(4, -60)])

    assert list(bridged) == [0, MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert set(bridged.values()) == {-60}
    assert list(parted) == [0, 4 * MINUTE]


def test_boundary_follows_every_term_in_db() -> None:
    base = proximity.boundary_level(0, RANGING)

    assert base == -67 + proximity.BOUNDARY
    assert proximity.boundary_level(-10, RANGING) == base - 10
    assert proximity.boundary_level(None, Ranging(67.0, assumed_tx_power=4)) == base + 4
    assert proximity.boundary_level(0, Ranging(67.0, receive_offset=3.0)) == base + 3


def test_patience_at_a_distance_makes_no_minutes_near() -> None:
    hour_far = [-6.0] * 60

    assert proximity.near_time(hour_far).minutes < 1
    assert proximity.near_probability(-6.0) > 0.3


@given(st.lists(st.floats(-40, 40), max_size=30))
def test_range_holds_the_median(excesses: list[float]) -> None:
    found = proximity.near_time(excesses)

    assert 0 <= found.low <= found.minutes <= found.high <= len(excesses)


@given(st.lists(st.floats(-90, -50), min_size=1, max_size=2))
def test_somebody_is_near_when_a_smoothed_minute_is(levels: list[float]) -> None:
    minutes = [minute(number, level) for number, level in enumerate(levels)]

    found = proximity.excesses(minutes, None, RANGING)

    assert proximity.is_near(minutes, RANGING) is (max(found.values()) >= 0)
