"""An alert that was taken note of is quiet until something new."""

from __future__ import annotations

from bluezoned.protocols.protocol import DAY, Tier
from tests.tracing.corridor import HOUR, MONDAY, NEAR, TUESDAY_NOON, Box, batch, exposed, meet, run_until


def test_acknowledged_alert_stays_so_over_a_restart(boxes: tuple[Box, Box, Box]) -> None:
    b = exposed(boxes)
    assert not b.device.alert().acknowledged

    b.device.acknowledge()
    b.restart()

    assert b.device.alert().tier is Tier.F1
    assert b.device.alert().acknowledged


def test_new_exposure_ends_the_acknowledgement(boxes: tuple[Box, Box, Box]) -> None:
    b, c = exposed(boxes), boxes[2]
    b.device.acknowledge()
    meet(b, c, TUESDAY_NOON, 20, NEAR)

    b.take(batch(c, 2, c.published(TUESDAY_NOON + HOUR, Tier.F0), at=TUESDAY_NOON + DAY), TUESDAY_NOON + DAY)

    assert not b.device.alert().acknowledged


def test_nothing_to_acknowledge_is_not_acknowledged(boxes: tuple[Box, Box, Box]) -> None:
    boxes[0].device.acknowledge()

    assert not boxes[0].device.alert().acknowledged


def test_acknowledgement_is_forgotten_with_its_exposure(boxes: tuple[Box, Box, Box]) -> None:
    b = exposed(boxes)
    b.device.acknowledge()

    run_until(b.device, MONDAY + 20 * DAY)

    assert b.store.fact("acknowledged") == (0, b"")
