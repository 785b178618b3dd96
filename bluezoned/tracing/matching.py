"""Which published keys explain what was heard: the only place where keys and encounters meet."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bluezoned.protocols.protocol import DiagnosisKey, TracingProtocol
from bluezoned.tracing.encounter import LONGEST

Sighted = Mapping[bytes, Sequence[tuple[int, int, int]]]
"""rolling id -> [(encounter's row, start ms, end ms)], of one protocol."""


@dataclass(frozen=True, slots=True)
class Match:
    """A published key and the rows of the encounters that it explains."""

    key: DiagnosisKey
    encounters: tuple[int, ...]


class Matcher:
    """Looks up keys of one protocol in what was sighted."""

    def __init__(self, protocol: TracingProtocol, sighted: Sighted, published: int) -> None:
        """`published`: ms, when the batch went out. A sighting after it proves nothing: from then on anybody can
        broadcast the ids."""
        self._protocol = protocol
        self._sighted = sighted
        self._published = published
        # Windows of the encounters, to skip keys of days on which nothing was heard before any id is computed.
        self._starts = sorted(start for rows in sighted.values() for _, start, _ in rows)

    def match(self, keys: Iterable[DiagnosisKey]) -> Iterator[Match]:
        """One Match for each key that was met, in order of the keys."""
        for key in keys:
            if not self._was_anything_heard(key):
                continue
            rows = tuple(dict.fromkeys(self._rows(key)))
            if rows:
                yield Match(key, rows)

    def _was_anything_heard(self, key: DiagnosisKey) -> bool:
        first = bisect_left(self._starts, key.start - self._protocol.tolerance - LONGEST)
        return first < len(self._starts) and self._starts[first] <= key.end + self._protocol.tolerance

    def _rows(self, key: DiagnosisKey) -> Iterator[int]:
        tolerance = self._protocol.tolerance
        for rolling_id, start, end in self._protocol.expand(key):
            for row, first, last in self._sighted.get(rolling_id, ()):
                if first <= end + tolerance and last >= start - tolerance and first < self._published:
                    yield row
