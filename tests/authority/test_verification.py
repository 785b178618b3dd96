"""Codes and the guard against guessing them, without any store."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.authority import verification
from bluezoned.authority.case import ALPHABET
from bluezoned.authority.verification import HOUR, LONGEST_HOLD, MINUTE, PER_DAY, PER_HOUR, Code, Guard, Kind, Problem
from bluezoned.protocols.protocol import DAY

NOON = 20_760 * DAY + 12 * HOUR


@pytest.mark.parametrize("kind", Kind)
def test_code_lives_as_long_as_promised_to_the_millisecond(kind: Kind) -> None:
    code = Code(b"", "", NOON, NOON + kind.lifetime)

    assert verification.judge(code, NOON + kind.lifetime - 1) is None
    assert verification.judge(code, NOON + kind.lifetime) is Problem.CODE_EXPIRED


def test_kinds_are_what_is_written_on_the_slip() -> None:
    assert (Kind.SHORT.length, Kind.SHORT.lifetime) == (8, 15 * MINUTE)
    assert (Kind.LONG.length, Kind.LONG.lifetime) == (16, 24 * HOUR)
    assert not set("IL01O") & set(ALPHABET)


@pytest.mark.parametrize("kind", Kind)
def test_short_codes_can_be_guessed_and_long_ones_cannot(kind: Kind) -> None:
    assert verification.is_short(kind.draw(os.urandom)) == (kind is Kind.SHORT)


def test_used_code_says_so_even_when_expired() -> None:
    assert verification.judge(Code(b"", "", 0, 1, used=0), NOON) is Problem.CODE_USED


def test_digest_depends_on_code_and_key() -> None:
    digests = {verification.digest(code, key * 32) for code in ("12345678", "12345679") for key in (b"a", b"b")}

    assert len(digests) == 4


def test_each_hold_is_twice_as_long_up_to_a_day() -> None:
    guard, at, holds = Guard(), NOON, []

    for _ in range(7):
        guard = guard.after_failure(at, PER_HOUR, PER_HOUR)
        holds.append((guard.held_until - at) // HOUR)
        at = guard.held_until

    assert holds == [1, 2, 4, 8, 16, 24, 24]


def test_week_of_peace_is_forgiven() -> None:
    struck = Guard().after_failure(NOON, PER_HOUR, PER_HOUR).after_failure(NOON + HOUR, PER_HOUR, PER_HOUR)

    later = struck.held_until + 7 * DAY

    assert struck.after_failure(later, PER_HOUR, PER_HOUR).held_until == later + HOUR
    assert struck.after_failure(later - 1, PER_HOUR, PER_HOUR).held_until == later - 1 + 4 * HOUR


def test_clock_that_is_put_back_opens_nothing() -> None:
    held = Guard().after_failure(NOON, PER_HOUR, PER_HOUR)

    assert held.after_failure(NOON - DAY, PER_HOUR, PER_HOUR).held_until == held.held_until


@given(st.lists(st.sampled_from([0, 1, 1_000, MINUTE, 5 * MINUTE, HOUR, 9 * HOUR]), min_size=200, max_size=1_500))
def test_nobody_tries_more_codes_than_the_stated_bound_allows(gaps: list[int]) -> None:
    """Whatever the rhythm: never more than 100 in an hour and 400 in a day are looked at."""
    guard, at, tried = Guard(), NOON, list[int]()

    for gap in gaps:
        at += gap
        last_day = sum(moment > at - DAY for moment in tried)
        if guard.is_shut(at, last_day):
            continue
        tried.append(at)
        last_hour = sum(moment > at - HOUR for moment in tried)
        guard = guard.after_failure(at, last_hour, last_day + 1)
        assert last_hour <= PER_HOUR
        assert last_day + 1 <= PER_DAY
        assert guard.held_until <= at + LONGEST_HOLD
