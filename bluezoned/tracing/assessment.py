"""What stored encounters mean: minutes of a day, exposures once keys matched, and how loud those keys were heard.

Reads the store and writes nothing; every answer is made anew of what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bluezoned import upload
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, Tier, TracingProtocol
from bluezoned.tracing import loudness, proximity
from bluezoned.tracing.encounter import LONGEST, Encounter
from bluezoned.tracing.exposure import (
    DayRisk,
    ExposureWindow,
    RiskLevel,
    RiskModel,
    ScanInstance,
    assess,
    cut_windows,
    infectiousness,
    merge,
    scan_instances,
)
from bluezoned.tracing.proximity import MINUTE, Minute, Ranging
from bluezoned.tracing.store import MatchedKey, Store

CROWD = 15 * MINUTE
"""ms before and after an encounter whose other encounters tell this box's offset: a box is carried otherwise an hour
later. Halved, the crowd of a quarter of an hour is small; doubled, the next room counts in."""


@dataclass(frozen=True, slots=True)
class DayEncounters:
    """One UTC day in figures that identify nobody."""

    day: int
    rolling_ids: int
    minutes: int
    minutes_near: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """One UTC day's risk and the tier of the keys behind it."""

    tier: Tier
    """F1 or F2: what it makes of the carrier."""
    risk: DayRisk


class Assessment:
    """Of one box's store, by one calibration and one model of risk. `heard`: protocols by name."""

    def __init__(self, store: Store, heard: Mapping[str, TracingProtocol], ranging: Ranging, model: RiskModel) -> None:
        self._store = store
        self._heard = heard
        self._ranging = ranging
        self._model = model

    def encounters(self, since: int, until: int) -> list[DayEncounters]:
        """Each UTC day from `since` to `until` (ms), newest first, days without encounters left out."""
        days: dict[int, list[tuple[int, float]]] = {}
        for encounter in self._store.encounters(since, until):
            near = proximity.near_time(proximity.excesses(encounter.minutes, None, self._ranging).values())
            days.setdefault(encounter.start // DAY, []).append((len(encounter.minutes), near.minutes))
        return [
            DayEncounters(day, len(rows), sum(m for m, _ in rows), sum(n for _, n in rows))
            for day, rows in sorted(days.items(), reverse=True)
        ]

    def exposures(self) -> list[Exposure]:
        """F1 from the windows near F0 keys; F2 from those near F0 and F1 keys together, so that half a dose of each
        is not nothing."""
        windows = [w for matched in self._store.matches() for w in self._windows(matched)]
        confirmed = [w for w in windows if w.tier is Tier.F0]
        first = [Exposure(Tier.F1, risk) for risk in assess(confirmed, self._model)]
        sure = {e.risk.day for e in first if e.risk.level is RiskLevel.HIGH}
        second = [
            Exposure(Tier.F2, risk)
            for risk in assess((w for w in windows if w.tier <= Tier.F1), self._model)
            if risk.day not in sure
        ]
        known = {(e.risk.day, e.risk.minutes) for e in first}
        return first + [e for e in second if (e.risk.day, e.risk.minutes) not in known]

    def _windows(self, matched: MatchedKey) -> list[ExposureWindow]:
        protocol = self._heard.get(matched.key.protocol)
        if protocol is None:
            return []
        tx_power, key = _tx_power(protocol, matched), matched.key
        scans: dict[int, ScanInstance] = {}
        for meeting in _meetings(matched.encounters):
            minutes = _timeline(meeting, matched)
            offset = loudness.crowd_offset(self._crowd(meeting)) + (key.loudness or 0)
            spread = proximity.SHARED_SPREAD if key.loudness is None else proximity.SHARED_SPREAD_TOLD
            scans |= scan_instances(minutes, tx_power, self._ranging, offset, spread)
        return [
            ExposureWindow(day, key.tier, key.report_type, infectiousness(key.days_since_onset), members)
            for day, members in cut_windows(scans, self._model.longest_window)
        ]

    def hearings(self) -> tuple[upload.Hearing, ...]:
        """How loud this box heard published keys, for others who met them; of those that were met long enough in
        company."""
        told: dict[bytes, upload.Hearing] = {}
        for matched in self._store.matches():
            word = self._word(matched)
            if word is not None:
                tag = Opaque(matched.key.secret[: upload.KEY_TAG_SIZE])
                told[tag] = upload.Hearing(tag, word)
        return tuple(told[tag] for tag in sorted(told)[: upload.MOST_HEARINGS])

    def _word(self, matched: MatchedKey) -> int | None:
        protocol = self._heard.get(matched.key.protocol)
        if protocol is None:
            return None
        tx_power, ranging = _tx_power(protocol, matched), self._ranging
        return loudness.word(
            loudness.Meeting(
                proximity.excesses(_timeline(meeting, matched), tx_power, ranging), self._crowd(meeting), len(meeting)
            )
            for meeting in _meetings(matched.encounters)
        )

    def _crowd(self, encounters: Sequence[Encounter]) -> list[dict[int, float]]:
        """Excesses of everybody around while this box met one peer. Powers are assumed: what one sends cannot be known
        of those who did not match."""
        start, end = min(e.start for e in encounters) - CROWD, max(e.end for e in encounters) + CROWD
        crowd = self._store.encounters(start - LONGEST, end)
        ranging = self._ranging
        return [proximity.excesses(e.minutes, None, ranging) for e in crowd if e.end >= start]


def _tx_power(protocol: TracingProtocol, matched: MatchedKey) -> int | None:
    """dBm, as the first packet says whose metadata can be believed."""
    powers = (protocol.tx_power(matched.key, e.payload) for e in matched.encounters)
    return next((power for power in powers if power is not None), None)


def _timeline(meeting: Sequence[Encounter], matched: MatchedKey) -> list[Minute]:
    return merge(m for e in meeting for m in e.minutes if m.at < matched.published)


def _meetings(encounters: Sequence[Encounter]) -> list[list[Encounter]]:
    """Encounters of one key, in order, parted where it was out of reach for so long that the crowd is another."""
    meetings: list[list[Encounter]] = []
    latest = 0
    for encounter in encounters:
        if not meetings or encounter.start - latest > CROWD:
            meetings.append([])
        meetings[-1].append(encounter)
        latest = max(latest, encounter.end)
    return meetings
