"""What the daemon tells, as values and as they stand on the bus. On the bus nothing is absent: "none" and 0 say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from bluezoned.fork_evidence import ForkEvidence
from bluezoned.tracing.calibration import LevelWindow

SIGNATURES = {
    "Version": "s",
    "Protocol": "s",
    "AlertLevel": "s",
    "OwnTier": "s",
    "Indication": "s",
    "Sentence": "s",
    "Nearby": "u",
    "KeysUpdatedAt": "t",
    "LogSize": "t",
    "LogRoot": "s",
    "LastUpload": "s",
    "LastUploadProblem": "s",
    "Hearing": "b",
    "Advertising": "b",
    "Paused": "b",
    "Acknowledged": "b",
    "Recording": "b",
    "Problems": "as",
}
"""D-Bus type of each property."""

ENCOUNTERS = "a(suuu)"
"""Day (2026-11-23), rolling ids heard, minutes heard, minutes near."""

EXPOSURES = "a(sssuuu)"
"""Day, tier (F1, F2), level (low, high), weighed minutes, the least and the most they may be."""

FORK = "as"
"""The log that was refused, then the one that had been believed: none, one or two."""

SELF_TEST = "das"
"""Seconds for each indication, parts."""

CALIBRATION = "a(uddnnd)"
"""Of each window: packets, mean and spread (dB), strongest (dBm), least step (dB), margin (dB)."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How the box is."""

    version: str
    protocol: str
    """The one on the air."""
    alert_level: str | None
    """`F1` or `F2`: what the exposures amount to."""
    own_tier: str | None
    """`F0`, `F1` or `F2`: the tier that the authority confirmed at our own upload."""
    indication: str
    """Name of what the light shows."""
    sentence: str
    """The same for people."""
    nearby: int
    """Others heard within the last minutes."""
    keys_updated_at: int | None
    """Seconds UTC: when the authority issued the newest list that is wholly applied."""
    log_size: int
    """Leaves of the authority's transparency log that were seen."""
    log_root: str
    """Their root, hex: whoever has seen as many has the same, or somebody was shown another log."""
    last_upload: str | None
    """`pending`, `accepted`, `refused` or `revoked`; `unconfirmed` while the box waits for its carrier's hand."""
    last_upload_problem: str
    hearing: bool
    advertising: bool
    paused: bool
    acknowledged: bool
    """The carrier has taken note of what is shown."""
    recording: bool
    """What is heard is written into a capture."""
    problems: tuple[str, ...]
    """Sentences, the weightiest first."""


@dataclass(frozen=True, slots=True)
class EncounterDay:
    """One UTC day of encounters in totals."""

    day: date
    rolling_ids: int
    minutes: int
    minutes_near: int


@dataclass(frozen=True, slots=True)
class ExposureDay:
    """One UTC day near published keys."""

    day: date
    tier: str
    """`F1` or `F2`: what it makes of the carrier."""
    level: str
    """`low` or `high`."""
    minutes: int
    """Weighed by the rule in force."""
    least: int
    most: int
    """The range of `minutes`: two times in three the truth lies in it."""


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """What a self-test plays: every indication in its order."""

    each_s: float
    """Seconds for which each is played."""
    parts: tuple[str, ...]
    """On what, for people; empty where there is nothing but the log."""


def to_properties(report: StatusReport) -> dict[str, object]:
    """Property to value, as SIGNATURES has them."""
    return {
        "Version": report.version,
        "Protocol": report.protocol,
        "AlertLevel": report.alert_level or "none",
        "OwnTier": report.own_tier or "none",
        "Indication": report.indication,
        "Sentence": report.sentence,
        "Nearby": report.nearby,
        "KeysUpdatedAt": report.keys_updated_at or 0,
        "LogSize": report.log_size,
        "LogRoot": report.log_root,
        "LastUpload": report.last_upload or "none",
        "LastUploadProblem": report.last_upload_problem,
        "Hearing": report.hearing,
        "Advertising": report.advertising,
        "Paused": report.paused,
        "Acknowledged": report.acknowledged,
        "Recording": report.recording,
        "Problems": list(report.problems),
    }


def from_properties(values: Mapping[str, object]) -> StatusReport:
    """The inverse. KeyError or TypeError when a property is missing or of another type: another version answered."""
    return StatusReport(
        version=_text(values["Version"]),
        protocol=_text(values["Protocol"]),
        alert_level=_known(values["AlertLevel"]),
        own_tier=_known(values["OwnTier"]),
        indication=_text(values["Indication"]),
        sentence=_text(values["Sentence"]),
        nearby=_number(values["Nearby"]),
        keys_updated_at=_number(values["KeysUpdatedAt"]) or None,
        log_size=_number(values["LogSize"]),
        log_root=_text(values["LogRoot"]),
        last_upload=_known(values["LastUpload"]),
        last_upload_problem=_text(values["LastUploadProblem"]),
        hearing=bool(values["Hearing"]),
        advertising=bool(values["Advertising"]),
        paused=bool(values["Paused"]),
        acknowledged=bool(values["Acknowledged"]),
        recording=bool(values["Recording"]),
        problems=_texts(values["Problems"]),
    )


def encounter_rows(days: Iterable[EncounterDay]) -> list[list[object]]:
    """As ENCOUNTERS has them."""
    return [[day.day.isoformat(), day.rolling_ids, day.minutes, day.minutes_near] for day in days]


def encounter_days(rows: Sequence[Sequence[object]]) -> list[EncounterDay]:
    """The inverse."""
    return [
        EncounterDay(date.fromisoformat(_text(day)), _number(ids), _number(minutes), _number(near))
        for day, ids, minutes, near in rows
    ]


def exposure_rows(days: Iterable[ExposureDay]) -> list[list[object]]:
    """As EXPOSURES has them."""
    return [[day.day.isoformat(), day.tier, day.level, day.minutes, day.least, day.most] for day in days]


def exposure_days(rows: Sequence[Sequence[object]]) -> list[ExposureDay]:
    """The inverse."""
    return [
        ExposureDay(date.fromisoformat(_text(day)), _text(tier), _text(level), *map(_number, minutes))
        for day, tier, level, *minutes in rows
    ]


def fork_values(evidence: ForkEvidence | None) -> list[str]:
    """As FORK has them."""
    logs = () if evidence is None else (evidence.fork, evidence.seen)
    return [log.decode("ascii") for log in logs if log is not None]


def fork(logs: Sequence[object]) -> ForkEvidence | None:
    """The inverse."""
    if not logs:
        return None
    refused, *believed = (_text(log).encode("ascii") for log in logs)
    return ForkEvidence(refused, believed[0] if believed else None)


def calibration_rows(windows: Iterable[LevelWindow]) -> list[list[object]]:
    """As CALIBRATION has them."""
    return [[w.packets, w.mean, w.spread, w.strongest, w.step, w.margin] for w in windows]


def calibration_windows(rows: Sequence[Sequence[object]]) -> list[LevelWindow]:
    """The inverse."""
    return [
        LevelWindow(_number(packets), _level(mean), _level(spread), _number(strongest), _number(step), _level(margin))
        for packets, mean, spread, strongest, step, margin in rows
    ]


def self_test_values(played: SelfTestReport) -> list[object]:
    """As SELF_TEST has them."""
    return [played.each_s, list(played.parts)]


def self_test(values: Sequence[object]) -> SelfTestReport:
    """The inverse."""
    each_s, parts = values
    return SelfTestReport(_level(each_s), _texts(parts))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(_text(item) for item in value)


def _known(value: object) -> str | None:
    text = _text(value)
    return None if text == "none" else text


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _level(value: object) -> float:
    if not isinstance(value, float):
        raise TypeError("not a level")
    return value
