"""The corridor from reception to alert: what is taken up, kept over a restart, and believed of the clock."""

from __future__ import annotations

import pytest

from bluezoned.advertisement import Reception
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.tracing.proximity import MINUTE
from tests.tracing.corridor import FAR, HOUR, MONDAY, NEAR, NINE, TUESDAY_NOON, Box, batch, index, meet, run_until


def test_alert_survives_a_restart(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)

    b.restart()

    assert b.device.alert().tier is Tier.F1


def test_alert_ends_with_the_retention(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)

    run_until(b.device, MONDAY + 20 * DAY)

    assert b.device.alert().tier is None
    assert b.device.encounters(MONDAY + 20 * DAY) == []


def test_calibration_gathers_the_loudest_peer_and_ends_by_itself(boxes: tuple[Box, Box, Box]) -> None:
    listener, near, far = boxes
    listener.device.calibrate(NINE)

    for second in range(60):
        at = NINE + second * 1000
        for peer, rssi in ((near, NEAR), (far, FAR)):
            listener.device.hear(Reception(peer.device.advertisement(at), rssi, at))

    windows = listener.device.calibration(NINE + MINUTE)
    assert [(w.packets, w.mean, w.margin) for w in windows] == [(5, NEAR, NEAR - FAR)] * 12
    listener.device.tick(NINE + 10 * MINUTE)
    assert listener.device.calibration(NINE + 10 * MINUTE) == ()


def test_stranger_and_missing_level_are_not_taken_up(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    sent = b.device.advertisement(NINE)

    assert not a.device.hear(Reception(type(sent)(), NEAR, NINE))
    assert not a.device.hear(Reception(sent, -127, NINE))
    assert not a.device.hear(Reception(sent, 127, NINE))


def test_present_peer_counts_as_near_by_its_level(boxes: tuple[Box, Box, Box]) -> None:
    a, b, c = boxes
    a.device.hear(Reception(b.device.advertisement(NINE), NEAR, NINE))
    a.device.hear(Reception(c.device.advertisement(NINE), FAR, NINE))

    assert a.device.nearby(NINE + 1000) == 1
    assert a.device.nearby(NINE + 3 * MINUTE) == 0


def test_pause_is_remembered(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.pause()
    a.restart()
    assert a.device.is_paused()

    a.device.resume()
    assert not a.device.is_paused()


def test_keys_and_ids_never_print() -> None:
    key = DiagnosisKey("gaen", Opaque(b"S" * 16), 0, DAY)

    assert "S" * 3 not in repr(key) + str(key) + f"{key}"


@pytest.mark.parametrize("leap", [365 * DAY, -365 * DAY])
def test_a_clock_that_leaps_a_year_and_comes_back_loses_nothing(leap: int, boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    met = b.store.encounters(0, MONDAY + 2 * DAY)
    keys = b.store.own_keys(b.protocol.name)

    for at in range(NINE + leap, NINE + leap + 3 * HOUR, 10 * MINUTE):
        b.device.advertisement(at)
        b.device.tick(at)
    b.device.tick(NINE + 4 * HOUR)

    assert b.store.encounters(0, MONDAY + 2 * DAY) == met
    assert [key for key in b.store.own_keys(b.protocol.name) if key in keys] == keys
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)
    assert b.device.alert().tier is Tier.F1


def test_a_leap_is_believed_after_a_day_of_running_by_it(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    later = NINE + 30 * DAY

    for at in range(later, later + DAY, 10 * MINUTE):
        b.device.tick(at)
    assert b.store.encounters(0, MONDAY + DAY) != []
    b.device.tick(later + DAY)

    assert b.store.encounters(0, MONDAY + DAY) == []


def test_a_leap_is_believed_when_the_authority_confirms_it(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    later = NINE + 30 * DAY

    b.device.apply_index(index(0, later - HOUR))
    b.device.tick(later)

    assert b.store.encounters(0, MONDAY + DAY) == []
