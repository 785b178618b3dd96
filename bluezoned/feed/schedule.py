"""When the authority is asked: between two visits, and between the tries of one. Instants and spans are ms, and chance
is an argument: it gives numbers from 0 to below 1.

The spans are drawn anew each time. An offset that a box kept would spread a fleet as well, but be its name: the
authority would know a box again by when it asks, on whatever network.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

Chance = Callable[[], float]

SECOND, MINUTE = 1000, 60_000

FIRST_PAUSE = 15 * SECOND
"""That the second try of a visit waits on average, the third twice as long. Halved, a restarting server meets
everybody twice; doubled, the third try falls into the next visit."""

LONGEST_PAUSE = 10 * MINUTE

TRIES = 3
"""Of one visit. With five, the minute in which a fleet's authority comes back meets all those who are in the middle of
their tries: five times the usual rate, instead of three (tests/bench/fleet.py)."""

AWAY = 60 * MINUTE
"""Bound of what is waited after a visit that failed, where visits are not more frequent anyway. So long a carried box
waits at most when it is in reach of a network again, its carrier's consented keys too; a third of it, and a fleet whose
authority was away for an hour comes back at over five times its usual rate."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept between visits. Losing it costs one visit before its time."""

    due: int = 0
    """UTC, when the authority is asked for what is new."""
    retry: int = 0
    """UTC, before which nothing is tried, as the last visit did not end well; 0 when it did."""


def may_go(plan: Plan, now: int) -> bool:
    """Whether no visit is put off. An instant that lies farther ahead than any is chosen, here and below, was chosen by
    a wrong clock."""
    return not 0 < plan.retry - now <= AWAY


def is_due(plan: Plan, now: int, poll: int) -> bool:
    """Whether it is time to ask what is new."""
    return may_go(plan, now) and not 0 < plan.due - now <= longest(poll)


def after_success(now: int, poll: int, chance: Chance) -> Plan:
    """`poll` ms on average, between a half and one and a half of it: boxes that were switched on together are all over
    the span at their second visit."""
    return Plan(due=now + poll // 2 + int(poll * chance()))


def after_post(plan: Plan) -> Plan:
    """Uploads alone went well."""
    return Plan(due=plan.due)


def after_failure(plan: Plan, now: int, poll: int, chance: Chance) -> Plan:
    """Anything up to an hour, or to the longest time between two visits where that is less."""
    return Plan(due=plan.due, retry=now + 1 + int(min(AWAY, longest(poll)) * chance()))


def longest(poll: int) -> int:
    """The longest time between two visits that go well."""
    return poll * 3 // 2


def tries(plan: Plan, most: int) -> int:
    """Of the next visit. After one that failed they are not repeated: the next visit is the try."""
    return 1 if plan.retry else most


def pause(tried: int, chance: Chance) -> int:
    """Until the next try of a visit: anything up to a bound that doubles, so that a fleet whose authority was away does
    not come back in step, whichever try each box is at."""
    return int(min(LONGEST_PAUSE, FIRST_PAUSE << min(tried, 16)) * chance())


def encode(plan: Plan) -> bytes:
    return msgspec.json.encode(plan)


def decode(content: bytes | None) -> Plan:
    """The plan; one that is due where it was lost, spoilt or written by an earlier version."""
    try:
        return msgspec.json.decode(content or b"{}", type=Plan)
    except msgspec.DecodeError:
        return Plan()
