"""Which published keys explain what was heard: the only place where keys and encounters meet.

Made for a country's keys on a small computer, and measured (docs/matching.md). A key of a day on which nothing was
heard costs its reading alone. Of the others the rolling ids are computed for the rotations that were sighted, and
looked up by their first four bytes in the day's set; one key in some thousands passes by chance, and one that passes
is expanded as its protocol says and looked up again, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from bluezoned.export_message import Terms
from bluezoned.protocols.protocol import DAY, DiagnosisKey, TracingProtocol
from bluezoned.protocols.sieve import Core, Numbers, PlainNumbers, Sieve
from bluezoned.tracing.sighted import Sighted

BUNCH = 512
"""Keys of one day that are looked up together: its set, a quarter of a megabyte for five thousand encounters, is then
fetched into the processor's cache once for all of them. At 64 the fetching costs a third more in all."""

STEP = 64
"""Keys that are looked up between two pauses: below 1 ms here, perhaps 60 ms on a Pi Zero."""

PAUSE = 1024
"""Keys read after which there is a pause even where none had to be looked up: a reading costs a twentieth."""

MOST_TERMS = 4096
"""As many as the reader keeps: see export_message."""


@dataclass(frozen=True, slots=True)
class Match:
    """A published key and the rows of the encounters that it explains."""

    key: DiagnosisKey
    encounters: tuple[int, ...]


class Matcher:
    """Looks up keys of one protocol in what was sighted."""

    def __init__(self, protocol: TracingProtocol, sighted: Sighted, published: int, core: Core | None) -> None:
        """`published`: ms, when the batch went out. A sighting after it proves nothing: from then on anybody can
        broadcast the ids. `core`: the compiled code, where there is any; the matches are the same without."""
        self._protocol = protocol
        self._sighted = sighted
        self._published = published
        self._days = _days(protocol, sighted, published, PlainNumbers if core is None else core.numbers)
        self._plans: dict[Terms, _Plan] = {}
        self._plans_of_days: dict[range, _Plan] = {}

    def match(self, keys: Iterable[tuple[bytes, Terms]]) -> Iterator[list[Match]]:
        """The keys that were met, a bunch at a time and in no order; between bunches, some of them empty, the caller
        may do something else."""
        plans = self._plans
        for number, key in enumerate(keys, 1):
            plan = plans.get(key[1])
            if plan is None:
                plan = self._plan(key[1])
            if plan.steps:
                plan.waiting.append(key)
                if len(plan.waiting) == BUNCH:
                    yield from self._look_up(plan)
            if number % PAUSE == 0:
                yield []
        for plan in self._plans_of_days.values():
            yield from self._look_up(plan)

    def _look_up(self, plan: _Plan) -> Iterator[list[Match]]:
        waiting = plan.waiting
        plan.waiting = []
        for first in range(0, len(waiting), STEP):
            some = waiting[first : first + STEP]
            secrets = [secret for secret, _ in some]
            passed = {position for passing in plan.steps for position in passing(secrets)}
            found = (self._look_closer(some[position][1].key(secrets[position])) for position in passed)
            yield [match for match in found if match is not None]

    def _plan(self, terms: Terms) -> _Plan:
        """What to compute of every key with this window; nothing where nothing was sighted. Of a day that the window
        covers in part more may be computed than the key can have sent: the closer look knows."""
        if len(self._plans) == MOST_TERMS:
            self._plans.clear()
        midnights = range(terms.start - terms.start % DAY, terms.end, DAY)
        plan = self._plans_of_days.get(midnights)
        if plan is None:
            plan = _Plan([step for days, midnight in enumerate(midnights) for step in self._steps(days, midnight)])
            if plan.steps:
                self._plans_of_days[midnights] = plan
        self._plans[terms] = plan
        return plan

    def _steps(self, days: int, midnight: int) -> list[Sieve]:
        day = self._days.get(midnight // DAY)
        if day is None:
            return []
        return [day.numbers.sieve(self._protocol.beginnings(days, midnight, day.starts()))]

    def _look_closer(self, key: DiagnosisKey) -> Match | None:
        rows = tuple(dict.fromkeys(self._rows(key)))
        return Match(key, rows) if rows else None

    def _rows(self, key: DiagnosisKey) -> Iterator[int]:
        tolerance = self._protocol.tolerance
        for rolling_id, start, end in self._protocol.expand(key):
            day = self._days.get(start // DAY)
            if day is None or int.from_bytes(rolling_id[:4], "little") not in day.numbers:
                continue
            for row, first, last in self._sighted.places(rolling_id):
                if first <= end + tolerance and last >= start - tolerance and first < self._published:
                    yield row


class _Plan:
    """What to do with the keys of some days, and those for which it is not done yet."""

    def __init__(self, steps: list[Sieve]) -> None:
        self.steps = steps
        self.waiting: list[tuple[bytes, Terms]] = []


class _Day:
    """What can explain a key on one UTC day."""

    def __init__(self, midnight: int, rotation: int) -> None:
        self._midnight, self._rotation = midnight, rotation
        self.beginnings: set[int] = set()
        self.numbers: Numbers = PlainNumbers(set())
        # How many sightings begin and end to count at each rotation: their running sum is how many count there.
        self._changes = [0] * (DAY // rotation + 1)

    def count(self, first: int, last: int) -> None:
        """A sighting counts at the rotations `first` to `last` of the day, as far as those are of this day."""
        self._changes[max(first, 0)] += 1
        self._changes[min(last + 1, len(self._changes) - 1)] -= 1

    def settle(self, gather: Callable[[set[int]], Numbers]) -> None:
        """No more will come."""
        if self.beginnings:
            self.numbers = gather(self.beginnings)
            self.beginnings = set()

    def starts(self) -> list[int]:
        """ms of each rotation at which some sighting counts."""
        counts = enumerate(accumulate(self._changes[:-1]))
        return [self._midnight + number * self._rotation for number, counted in counts if counted]


def _days(
    protocol: TracingProtocol, sighted: Sighted, published: int, gather: Callable[[set[int]], Numbers]
) -> dict[int, _Day]:
    """By UTC day since 1970; those at which nothing counts are missing."""
    rotation, tolerance = protocol.rotation, protocol.tolerance
    rotations = DAY // rotation
    days: dict[int, _Day] = {}
    for taken in sorted(sighted.days):
        column = sighted.days[taken]
        for beginning, first, last in zip(column.beginnings(), column.starts, column.ends, strict=True):
            if first >= published:
                continue
            # The rotations whose window, widened by the tolerance at both ends, touches the sighting.
            low = -(-(first - tolerance) // rotation) - 1
            high = (last + tolerance) // rotation
            for number in range(low // rotations, high // rotations + 1):
                day = days.get(number)
                if day is None:
                    day = days[number] = _Day(number * DAY, rotation)
                day.beginnings.add(beginning)
                day.count(low - number * rotations, high - number * rotations)
        # Encounters of later days count for the one before at most, so the earlier ones are complete.
        for number in (taken - 2, taken - 1):
            if number in days:
                days[number].settle(gather)
    for day in days.values():
        day.settle(gather)
    return days
