"""Exposure windows and risk, against the published cases of the Corona-Warn-App."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bluezoned.protocols.protocol import DAY, ReportType, Tier
from bluezoned.tracing.exposure import (
    Band,
    ByAttenuation,
    DayRisk,
    ExposureWindow,
    Infectiousness,
    MinutesFilter,
    RiskLevel,
    RiskModel,
    ScanInstance,
    Transmission,
    assess,
    cut_windows,
    infectiousness,
    merge,
    scan_instances,
    weights,
)
from bluezoned.tracing.proximity import MINUTE, Minute, Ranging

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "exposure_windows.json").read_text())
TODAY = 18_700


def band(json_range: dict[str, Any], value: float) -> Band:
    high = json_range["max"]
    return Band(json_range["min"], high if json_range.get("maxExclusive") else high + 1e-9, value)


def published_model(configuration: dict[str, Any]) -> RiskModel:
    encoding = configuration["trlEncoding"]
    return RiskModel(
        weigh=ByAttenuation(
            tuple(band(w["attenuationRange"], w["weight"]) for w in configuration["minutesAtAttenuationWeights"])
        ),
        transmission=Transmission(
            report_offsets=(
                (ReportType.CONFIRMED_TEST, encoding["reportTypeOffsetConfirmedTest"]),
                (ReportType.CONFIRMED_CLINICAL, encoding["reportTypeOffsetConfirmedClinicalDiagnosis"]),
                (ReportType.SELF_REPORT, encoding["reportTypeOffsetSelfReport"]),
                (ReportType.RECURSIVE, encoding["reportTypeOffsetRecursive"]),
            ),
            infectiousness_offsets=(
                (Infectiousness.STANDARD, encoding["infectiousnessOffsetStandard"]),
                (Infectiousness.HIGH, encoding["infectiousnessOffsetHigh"]),
            ),
            factors=tuple(
                (m["transmissionRiskLevel"], m["transmissionRiskValue"])
                for m in configuration["transmissionRiskValueMapping"]
            ),
        ),
        window_levels=tuple(
            band(m["normalizedTimeRange"], m["riskLevel"])
            for m in configuration["normalizedTimePerEWToRiskLevelMapping"]
        ),
        day_levels=tuple(
            band(m["normalizedTimeRange"], m["riskLevel"])
            for m in configuration["normalizedTimePerDayToRiskLevelMapping"]
        ),
    )


def published_window(case: dict[str, Any]) -> ExposureWindow:
    return ExposureWindow(
        day=TODAY - case["ageInDays"],
        tier=Tier.F0,
        report_type=ReportType(case["reportType"]),
        infectiousness=Infectiousness(case["infectiousness"]),
        calibration_confidence=case["calibrationConfidence"],
        scans=tuple(
            ScanInstance(s["minAttenuation"], s["typicalAttenuation"], s["secondsSinceLastScan"])
            for s in case["scanInstances"]
        ),
    )


def newest_age(days: list[DayRisk]) -> int | None:
    return min((TODAY - d.day for d in days), default=None)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: c["description"][:60])
def test_published_case_is_reproduced(case: dict[str, Any]) -> None:
    model = published_model(VECTORS["default_configuration"])

    days = assess(map(published_window, case["exposureWindows"]), model)

    low = [d for d in days if d.level is RiskLevel.LOW]
    high = [d for d in days if d.level is RiskLevel.HIGH]
    assert {
        "expTotalRiskLevel": 2 if high else 1,
        "expAgeOfMostRecentDateWithLowRisk": newest_age(low),
        "expAgeOfMostRecentDateWithHighRisk": newest_age(high),
        "expNumberOfDaysWithLowRisk": len(low),
        "expNumberOfDaysWithHighRisk": len(high),
        "expTotalMinimumDistinctEncountersWithLowRisk": sum(d.low_encounters for d in days),
        "expTotalMinimumDistinctEncountersWithHighRisk": sum(d.high_encounters for d in days),
    } == {key: value for key, value in case.items() if key.startswith("exp") and key != "exposureWindows"}


def near_window(day: int, minutes: int, near: float = 1.0) -> ExposureWindow:
    scans = tuple(ScanInstance(50, 55, 60, near) for _ in range(minutes))
    return ExposureWindow(day, Tier.F0, ReportType.CONFIRMED_TEST, Infectiousness.STANDARD, scans)


@pytest.mark.parametrize(
    ("minutes", "level"), [(4, None), (5, RiskLevel.LOW), (14, RiskLevel.LOW), (15, RiskLevel.HIGH)]
)
def test_fifteen_minutes_in_a_day_are_high_by_default(minutes: int, level: RiskLevel | None) -> None:
    days = assess([near_window(3, minutes)], RiskModel())

    assert [d.level for d in days] == ([] if level is None else [level])


def test_minutes_of_one_day_add_up_and_of_two_days_do_not() -> None:
    model = RiskModel()

    same_day = assess([near_window(3, 8), near_window(3, 8)], model)
    two_days = assess([near_window(3, 8), near_window(4, 8)], model)

    assert [d.level for d in same_day] == [RiskLevel.HIGH]
    assert [d.level for d in two_days] == [RiskLevel.LOW, RiskLevel.LOW]


def test_range_of_minutes_holds_them_and_narrows_with_what_is_known() -> None:
    minutes = [Minute(m * MINUTE, 9, -70, -65, -70) for m in range(20)]
    ranging = Ranging(attenuation_1m=67.0)

    def risk(spread: float) -> DayRisk:
        scans = tuple(scan_instances(minutes, 0, ranging, spread=spread).values())
        (day,) = assess(
            [replace(near_window(0, 0), scans=scans)], RiskModel(day_levels=(Band(0, None, RiskLevel.LOW),))
        )
        return day

    wide, narrow = risk(7.0), risk(1.0)

    assert 0 <= wide.least < narrow.least < narrow.minutes < narrow.most < wide.most <= 20
    assert wide.minutes == narrow.minutes


def test_models_that_weigh_attenuation_know_no_range() -> None:
    model = RiskModel(weigh=ByAttenuation((Band(0, 60, 1),)))

    (day,) = assess([near_window(3, 20)], model)

    assert day.least == day.minutes == day.most == 20


def test_window_with_too_few_close_minutes_is_dropped_where_the_model_says_so() -> None:
    model = RiskModel(dropped=(MinutesFilter(Band(0, 79, 0), Band(0, 10, 0)),))

    assert assess([near_window(3, 9)], model) == []
    assert assess([near_window(3, 10)], model) != []


def test_transmission_levels_can_be_dropped() -> None:
    model = RiskModel(dropped_transmission=(Band(0, 3, 0),))

    assert assess([near_window(3, 30)], model) == []


def scans(*minutes: int) -> dict[int, ScanInstance]:
    return {m * MINUTE: ScanInstance(50, 55, 60, 1) for m in minutes}


def test_window_is_cut_after_thirty_minutes() -> None:
    assert [len(members) for _, members in cut_windows(scans(*range(70)))] == [30, 30, 10]


def test_window_is_cut_after_ten_silent_minutes() -> None:
    assert [len(members) for _, members in cut_windows(scans(0, 10, 21))] == [2, 1]


def test_window_is_cut_at_midnight_utc() -> None:
    late = DAY // MINUTE - 5

    assert [(day, len(members)) for day, members in cut_windows(scans(*range(late, late + 10)))] == [(0, 5), (1, 5)]


def test_minute_of_a_rotation_is_one_minute() -> None:
    before, after = Minute(0, 3, -60.0, -55, -60.0), Minute(0, 1, -64.0, -64, -60.0)

    assert merge([before, after]) == [Minute(0, 4, -61.0, -55, -60.0)]


def test_missing_minute_between_two_is_bridged() -> None:
    found = scan_instances([Minute(0, 5, -40, -38, -40), Minute(2 * MINUTE, 5, -40, -38, -40)], 0, Ranging())

    assert list(found) == [0, MINUTE, 2 * MINUTE]
    assert found[MINUTE].near == found[0].near


@pytest.mark.parametrize(("days", "level"), [(None, 1), (-3, 1), (-2, 2), (5, 2), (6, 1)])
def test_infectiousness_follows_the_onset(days: int | None, level: int) -> None:
    assert infectiousness(days) == level


def test_gaen_weights_multiply() -> None:
    model = RiskModel(
        transmission=weights(
            {ReportType.CONFIRMED_TEST: 1.0, ReportType.SELF_REPORT: 0.0}, {Infectiousness.STANDARD: 0.5}
        )
    )

    (risk,) = assess([near_window(3, 20)], model)
    assert risk.minutes == 10
