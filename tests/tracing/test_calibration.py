"""Calibration: the loudest peer of each window, what makes a measurement useless, and the gains that follow."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.tracing import calibration, proximity
from bluezoned.tracing.calibration import DURATION, LONGEST, WINDOW, LevelLog, LevelWindow, Measurement
from bluezoned.tracing.proximity import Ranging

RECORDING = Path(__file__).parents[2] / "bluezoned/demo/recordings/near_open.csv"

STILL = Measurement(packets=160, level=-60.0, spread=3.0, drift=0.5, strongest=-52, step=1, margin=20.0)


def gathered(packets: Sequence[tuple[object, int, int]], until: int = DURATION) -> tuple[LevelWindow, ...]:
    """(peer, dBm, ms) of each packet."""
    log = LevelLog(0)
    for peer, rssi, at in packets:
        log.hear(peer, rssi, at)
    return log.windows(until)


def test_window_tells_the_loudest_peer_and_how_far_ahead_it_is() -> None:
    found = gathered([("near", -60, 0), ("far", -80, 1), ("near", -64, 2), ("near", -62, 3), ("far", -78, 4)])

    assert found == (LevelWindow(3, -62.0, pytest.approx(1.633, abs=0.001), -60, 2, 17.0),)  # type: ignore[arg-type]


def test_window_under_way_is_not_told() -> None:
    assert gathered([("peer", -60, 0)], until=WINDOW - 1) == ()
    assert len(gathered([("peer", -60, 0)], until=WINDOW)) == 1


def test_silent_windows_are_left_out() -> None:
    assert len(gathered([("peer", -60, 0), ("peer", -60, 20 * WINDOW)])) == 2


def test_changed_rolling_id_costs_nothing() -> None:
    one = [("id", -60, number * 500) for number in range(240)]
    two = [("old" if number < 101 else "new", -60, number * 500) for number in range(240)]

    unchanged, changed = (calibration.measure(gathered(packets)) for packets in (one, two))

    assert unchanged is not None
    assert changed == replace(unchanged, packets=239)


def test_single_loud_packet_is_not_the_loudest_peer() -> None:
    (found,) = gathered([("box", -60, 0), ("lucky", -40, 1), *(("box", -60, at) for at in range(2, 6))])

    assert (found.packets, found.mean) == (5, -60.0)


def test_gathering_ends_by_itself() -> None:
    log = LevelLog(1000)

    assert not log.is_over(1000 + LONGEST - 1)
    assert log.is_over(1000 + LONGEST)
    assert log.is_over(0)


@given(st.lists(st.lists(st.integers(-110, -30), min_size=1, max_size=8), min_size=1, max_size=8))
def test_measurement_is_that_of_all_packets(windows: list[list[int]]) -> None:
    levels = [rssi for w in windows for rssi in w]

    found = calibration.measure(
        gathered([("peer", rssi, number * WINDOW) for number, window in enumerate(windows) for rssi in window])
    )

    assert found is not None
    mean = sum(levels) / len(levels)
    assert found.packets == len(levels)
    assert found.level == pytest.approx(mean)
    assert found.spread**2 == pytest.approx(sum((level - mean) ** 2 for level in levels) / len(levels), abs=1e-6)
    assert found.strongest == max(levels)


def test_recorded_boxes_at_a_metre_are_calibrated() -> None:
    with RECORDING.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["distance_m"] == "0.978"]
    packets = [("box", int(row["rssi_dbm"]), int(float(row["t_s"]) * 1000)) for row in rows]

    found = calibration.measure(gathered(packets))

    assert found is not None
    assert calibration.flaws(found) == []
    assert -75 < found.level < -55


def test_nothing_heard_is_a_flaw() -> None:
    assert calibration.measure(()) is None
    assert "Nothing was heard" in calibration.flaws(None)[0]


def test_still_pair_has_no_flaw() -> None:
    assert calibration.flaws(STILL) == []


@pytest.mark.parametrize(
    ("measurement", "told"),
    [
        (replace(STILL, packets=59), "Only 59 packets"),
        (replace(STILL, margin=5.0), "A third box"),
        (replace(STILL, strongest=-30), "too close"),
        (replace(STILL, step=8), "steps of 8 dB"),
        (replace(STILL, spread=8.5), "scatter by 8 dB"),
        (replace(STILL, drift=-4.5), "moved by 4 dB"),
    ],
)
def test_flaw_is_told(measurement: Measurement, told: str) -> None:
    (sentence,) = calibration.flaws(measurement)

    assert told in sentence


@given(st.floats(-90, -35))
def test_boxes_alike_hear_each_other_at_a_metre_as_expected(level: float) -> None:
    gains = calibration.gains_among_alike(level)

    ranging = Ranging(receive_offset=gains.receive_offset)
    boundary = proximity.boundary_level(gains.tx_power, ranging)
    assert boundary - proximity.BOUNDARY == pytest.approx(level, abs=0.051)
    assert abs(gains.tx_power - gains.receive_offset) <= 1.1


@given(st.floats(-90, -35), st.integers(-50, 20))
def test_calibrated_box_is_heard_at_a_metre_as_expected(level: float, reference: int) -> None:
    gains = calibration.gains_beside(level, reference, -10)

    ranging = Ranging(receive_offset=gains.receive_offset)
    assert gains.tx_power == -10
    assert proximity.boundary_level(reference, ranging) - proximity.BOUNDARY == pytest.approx(level, abs=0.051)
