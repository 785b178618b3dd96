"""Windows of keys as a box may have used them, and as it may not. Time pushed by hand."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.authority.plausibility import CLOCK_ERROR, LONGEST_AGE, MOST_PER_DAY, are_plausible, recent
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey

MINUTE = 60_000
HOUR = 60 * MINUTE
MIDNIGHT = 20_760 * DAY
NOON = MIDNIGHT + 12 * HOUR
SIZES = {name: registry.by_name(name).key_size for name in registry.NAMES}


def key(start: int, end: int, protocol: str = "bluezone") -> DiagnosisKey:
    return DiagnosisKey(protocol, Opaque(os.urandom(SIZES[protocol])), start, end)


def yesterday(protocol: str = "bluezone") -> DiagnosisKey:
    return key(MIDNIGHT - DAY, MIDNIGHT, protocol)


@pytest.mark.parametrize("protocol", registry.NAMES)
def test_whole_days_are_plausible(protocol: str) -> None:
    assert are_plausible([key(MIDNIGHT - n * DAY, MIDNIGHT - (n - 1) * DAY, protocol) for n in range(1, 15)], NOON)


@pytest.mark.parametrize("protocol", registry.NAMES)
def test_dp3t_alone_publishes_a_day_that_is_not_over(protocol: str) -> None:
    assert are_plausible([key(MIDNIGHT, MIDNIGHT + DAY, protocol)], NOON) == (protocol == "dp3t")


def test_no_key_is_not_plausible() -> None:
    assert not are_plausible([], NOON)


@pytest.mark.parametrize("protocol", registry.NAMES)
def test_clock_of_the_box_may_run_ahead_but_not_far(protocol: str) -> None:
    end = MIDNIGHT + DAY if protocol == "dp3t" else MIDNIGHT + 3 * HOUR
    ahead = key(MIDNIGHT, end, protocol)

    assert are_plausible([ahead], MIDNIGHT + 3 * HOUR - CLOCK_ERROR)
    assert not are_plausible([ahead], MIDNIGHT - CLOCK_ERROR - 1)


def test_window_across_midnight_is_refused() -> None:
    assert not are_plausible([key(MIDNIGHT - 12 * HOUR, MIDNIGHT + 6 * HOUR)], NOON)


def test_window_without_a_whole_rotation_is_refused() -> None:
    assert not are_plausible([key(MIDNIGHT - HOUR, MIDNIGHT - HOUR + 10 * MINUTE)], NOON)


def test_dp3t_key_must_claim_its_whole_day() -> None:
    """Else it would leave the embargo while its ids of the same day can still be broadcast."""
    assert not are_plausible([key(MIDNIGHT, MIDNIGHT + 6 * HOUR, "dp3t")], NOON)


def test_secret_twice_is_refused() -> None:
    one = yesterday()

    assert not are_plausible([one, replace(one, start=one.start - DAY, end=one.end - DAY)], NOON)


@pytest.mark.parametrize(("keys", "plausible"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize("protocol", ["bluezone", "gaen"])
def test_keys_of_several_boxes_at_once_are_refused(protocol: str, keys: int, plausible: bool) -> None:
    assert are_plausible([yesterday(protocol) for _ in range(keys)], NOON) == plausible


@pytest.mark.parametrize("protocol", registry.NAMES)
def test_too_many_keys_of_one_day_are_refused(protocol: str) -> None:
    day = MIDNIGHT - DAY
    length = DAY if protocol == "dp3t" else HOUR
    steps = 0 if protocol == "dp3t" else HOUR
    keys = [key(day + n * steps, day + n * steps + length, protocol) for n in range(MOST_PER_DAY + 1)]

    assert are_plausible(keys[:-1], NOON)
    assert not are_plausible(keys, NOON)


def test_too_old_keys_are_left_out_to_the_millisecond() -> None:
    old = key(MIDNIGHT - DAY, MIDNIGHT)

    assert recent([old], MIDNIGHT + LONGEST_AGE - 1) == (old,)
    assert recent([old], MIDNIGHT + LONGEST_AGE) == ()


@given(
    protocol=st.sampled_from(registry.NAMES),
    age=st.integers(0, 13),
    cuts=st.lists(st.integers(1, 95), max_size=MOST_PER_DAY - 1, unique=True),
    slot=st.integers(0, 95),
)
def test_what_an_honest_box_publishes_is_plausible(protocol: str, age: int, cuts: list[int], slot: int) -> None:
    """A day's key cut by up to three publications, the last piece sent at any time of its day or later."""
    spoken = registry.by_name(protocol)
    day = MIDNIGHT - age * DAY
    edges = [day, *(day + cut * 15 * MINUTE // spoken.rotation * spoken.rotation for cut in sorted(cuts)), day + DAY]
    pieces = [
        DailyKey(Opaque(os.urandom(spoken.key_size)), start, end, Opaque(os.urandom(16)))
        for start, end in itertools.pairwise(edges)
        if start < end
    ]
    at = max(pieces[-1].start, day + slot * 15 * MINUTE)

    cut = at - at % spoken.rotation + spoken.rotation

    published = [spoken.publish(piece, cut) for piece in pieces]

    assert are_plausible(published, at)
    assert are_plausible(published, at + DAY)
