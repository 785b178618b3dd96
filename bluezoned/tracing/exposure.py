"""From matches to risk: exposure windows as GAEN v2 draws them, weighed by a configurable model.

The default model is Bluezone's rule: within 2 m for 15 minutes in a day. `RiskModel` also holds the published
Corona-Warn-App and GAEN configurations, which weigh attenuation bands instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from bluezoned.protocols.protocol import DAY, ReportType, Tier
from bluezoned.tracing import proximity
from bluezoned.tracing.proximity import MINUTE, Minute, Ranging

LONGEST_WINDOW = 30 * MINUTE
"""ms. GAEN v2 cuts windows at 30 min, so that an exposure's length tells no more than it must."""

LONGEST_GAP = 10 * MINUTE
"""ms of silence after which a new window begins (GAEN v2)."""


class Infectiousness(IntEnum):
    """Source: GAEN v2, `Infectiousness`."""

    NONE = 0
    STANDARD = 1
    HIGH = 2


class RiskLevel(IntEnum):
    """What a day amounts to."""

    NONE = 0
    LOW = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class ScanInstance:
    """What was heard since the last look; here one minute."""

    min_attenuation: float
    """dB, of the strongest packet."""
    typical_attenuation: float
    """dB, of the mean."""
    seconds: float
    near: float = 0.0
    """Share of it to count as within 2 m, 0..1."""
    near_least: float = 0.0
    near_most: float = 0.0
    """The same if what all minutes with this key have in common misleads by one standard deviation, either way."""


@dataclass(frozen=True, slots=True)
class ExposureWindow:
    """Up to 30 minutes near one diagnosis key, within one UTC day."""

    day: int
    """Whole days since 1970 UTC."""
    tier: Tier
    report_type: ReportType
    infectiousness: Infectiousness
    scans: tuple[ScanInstance, ...]
    calibration_confidence: int = 0
    """0 (none) to 3 (high), of the sender's transmit power."""


def infectiousness(days_since_onset: int | None) -> Infectiousness:
    """High from two days before the onset of symptoms to five after (where WHO's contact definition begins and viral
    load is highest), standard otherwise and where the onset is unknown."""
    if days_since_onset is None or not -2 <= days_since_onset <= 5:
        return Infectiousness.STANDARD
    return Infectiousness.HIGH


def merge(minutes: Iterable[Minute]) -> list[Minute]:
    """One timeline of one peer: a minute in which its rolling id changed was heard twice in part."""
    merged: dict[int, Minute] = {}
    for minute in minutes:
        other = merged.get(minute.at)
        merged[minute.at] = minute if other is None else proximity.join(other, minute)
    return [merged[at] for at in sorted(merged)]


def scan_instances(
    minutes: Sequence[Minute],
    tx_power: int | None,
    ranging: Ranging,
    offset: float = 0.0,
    spread: float = proximity.SHARED_SPREAD,
) -> dict[int, ScanInstance]:
    """One per minute of a merged timeline, by start (ms); a bridged minute carries the smoothed level alone.
    `offset` (dB) is what the crowd told of this box's own offset then and others of the sender's; `spread` (dB s.d.)
    what is not known of them."""
    sent = ranging.assumed_tx_power if tx_power is None else tx_power
    heard = {m.at: m for m in minutes}
    scans: dict[int, ScanInstance] = {}
    for at, excess in proximity.excesses(minutes, tx_power, ranging).items():
        minute = heard.get(at)
        level = excess + proximity.boundary_level(tx_power, ranging)
        strongest, typical = (level, level) if minute is None else (minute.strongest, minute.mean)
        lost = sent + ranging.receive_offset
        near = (proximity.near_share(excess - offset + error) for error in (0.0, -spread, spread))
        scans[at] = ScanInstance(lost - strongest, lost - typical, MINUTE / 1000, *near)
    return scans


def cut_windows(
    scans: dict[int, ScanInstance], longest: int = LONGEST_WINDOW
) -> list[tuple[int, tuple[ScanInstance, ...]]]:
    """Windows of one key as (day, scans): a new one at each UTC day, after `longest` ms and after 10 min of
    silence."""
    windows: list[tuple[int, list[ScanInstance]]] = []
    begun = last = -LONGEST_WINDOW - DAY
    for at in sorted(scans):
        if at // DAY != last // DAY or at - begun >= longest or at - last > LONGEST_GAP:
            windows.append((at // DAY, []))
            begun = at
        windows[-1][1].append(scans[at])
        last = at
    return [(day, tuple(members)) for day, members in windows]


# the model


@dataclass(frozen=True, slots=True)
class Band:
    """A half-open range and what it stands for; `high` None is without end."""

    low: float
    high: float | None
    value: float

    def holds(self, number: float) -> bool:
        return self.low <= number and (self.high is None or number < self.high)


def look_up(bands: Sequence[Band], number: float) -> float | None:
    """The value of the first band that holds the number."""
    return next((band.value for band in bands if band.holds(number)), None)


def by_nearness(scan: ScanInstance) -> float:
    """Bluezone's weight of a minute: the share of it that counts as within 2 m."""
    return scan.near


@dataclass(frozen=True, slots=True)
class ByAttenuation:
    """GAEN's weight: by the band in which the strongest packet's attenuation (dB) falls."""

    bands: tuple[Band, ...]

    def __call__(self, scan: ScanInstance) -> float:
        return look_up(self.bands, scan.min_attenuation) or 0.0


@dataclass(frozen=True, slots=True)
class Transmission:
    """Transmission risk level: an offset for the report type plus one for the infectiousness, and each level's
    factor. Source: Corona-Warn-App, risk calculation v2."""

    report_offsets: tuple[tuple[ReportType, int], ...] = ()
    infectiousness_offsets: tuple[tuple[Infectiousness, int], ...] = ()
    factors: tuple[tuple[int, float], ...] = ((0, 1.0),)

    def level(self, window: ExposureWindow) -> int:
        return dict(self.report_offsets).get(window.report_type, 0) + dict(self.infectiousness_offsets).get(
            window.infectiousness, 0
        )

    def factor(self, window: ExposureWindow) -> float:
        return dict(self.factors).get(self.level(window), 0.0)


def weights(report_types: Mapping[ReportType, float], infectiousnesses: Mapping[Infectiousness, float]) -> Transmission:
    """GAEN v2's form of the same: the product of a weight for the report type and one for the infectiousness."""
    return Transmission(
        tuple((report, 10 * report) for report in report_types),
        tuple((level, int(level)) for level in infectiousnesses),
        tuple((10 * r + i, wr * wi) for r, wr in report_types.items() for i, wi in infectiousnesses.items()),
    )


@dataclass(frozen=True, slots=True)
class MinutesFilter:
    """Drops a window that spent too few minutes in a range of attenuation."""

    attenuation: Band
    minutes: Band
    """Dropped when the minutes in `attenuation` fall in here; the value is unused."""

    def drops(self, window: ExposureWindow) -> bool:
        seconds = sum(s.seconds for s in window.scans if self.attenuation.holds(s.min_attenuation))
        return self.minutes.holds(seconds / 60)


@dataclass(frozen=True, slots=True)
class RiskModel:
    """How windows become the risk of a day. The defaults are Bluezone's rule."""

    weigh: Callable[[ScanInstance], float] = by_nearness
    transmission: Transmission = Transmission()
    dropped: tuple[MinutesFilter, ...] = ()
    dropped_transmission: tuple[Band, ...] = ()
    window_levels: tuple[Band, ...] = (Band(0, None, RiskLevel.LOW),)
    day_levels: tuple[Band, ...] = (Band(5, 15, RiskLevel.LOW), Band(15, None, RiskLevel.HIGH))
    """Weighed minutes of a UTC day to its level. 15 is the white paper's "within 2 m for 15 minutes": at 7.5 a
    shared lift and a queue alarm, at 30 a shared meal does not."""
    longest_window: int = LONGEST_WINDOW
    """ms."""


@dataclass(frozen=True, slots=True)
class DayRisk:
    """What one UTC day amounts to."""

    day: int
    level: RiskLevel
    minutes: float
    """Weighed minutes; with Bluezone's rule, the median of those spent within 2 m."""
    least: float
    most: float
    """The range of `minutes`: two times in three the truth lies in it, with several keys more often. Of the models that
    weigh attenuation, `minutes` itself."""
    low_encounters: int
    high_encounters: int
    """Distinct windows at least, by level: windows alike in transmission risk and confidence may be one encounter."""


def weighed_minutes(window: ExposureWindow, model: RiskModel) -> float:
    """0.0 for a window that the model drops."""
    level = model.transmission.level(window)
    if any(f.drops(window) for f in model.dropped) or any(b.holds(level) for b in model.dropped_transmission):
        return 0.0
    seconds = sum(model.weigh(scan) * scan.seconds for scan in window.scans)
    # Rounded to a nanosecond-scale grain: 0.6 + 4.8 + 3.6 must reach 9 although no binary fraction says so.
    return round(seconds / 60 * model.transmission.factor(window), 9)


def _range(window: ExposureWindow, model: RiskModel) -> tuple[float, float]:
    """Least and most of `weighed_minutes`."""
    least = replace(window, scans=tuple(replace(scan, near=scan.near_least) for scan in window.scans))
    most = replace(window, scans=tuple(replace(scan, near=scan.near_most) for scan in window.scans))
    return weighed_minutes(least, model), weighed_minutes(most, model)


def assess(windows: Iterable[ExposureWindow], model: RiskModel) -> list[DayRisk]:
    """The days with any risk, newest first. Revoked and recursive reports count for nothing unless the model says
    so."""
    days: dict[int, list[tuple[ExposureWindow, float]]] = {}
    for window in windows:
        minutes = weighed_minutes(window, model)
        if minutes > 0:
            days.setdefault(window.day, []).append((window, minutes))
    return [risk for day in sorted(days, reverse=True) if (risk := _assess_day(day, days[day], model)) is not None]


def _assess_day(day: int, weighed: list[tuple[ExposureWindow, float]], model: RiskModel) -> DayRisk | None:
    total = round(sum(minutes for _, minutes in weighed), 9)
    level = RiskLevel(int(look_up(model.day_levels, total) or 0))
    if level is RiskLevel.NONE:
        return None
    distinct: dict[RiskLevel, set[tuple[int, int]]] = {RiskLevel.LOW: set(), RiskLevel.HIGH: set()}
    for window, minutes in weighed:
        window_level = RiskLevel(int(look_up(model.window_levels, minutes) or 0))
        if window_level is not RiskLevel.NONE:
            distinct[window_level].add((model.transmission.level(window), window.calibration_confidence))
    least, most = (round(sum(ends), 9) for ends in zip(*(_range(window, model) for window, _ in weighed), strict=True))
    return DayRisk(day, level, total, least, most, len(distinct[RiskLevel.LOW]), len(distinct[RiskLevel.HIGH]))
